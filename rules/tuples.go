package rules

import (
	"cmp"
	"slices"
)

// tuples finds the first rule in order that matches a flow: one hash trie per shape,
// looked at from the shape whose first rule comes first, until no other shape can
// have an earlier one. It is immutable and costs O(shapes) where flows match little.
type tuples []*tuple // sorted by rules.min

// tuple is the rules of one shape.
type tuple struct {
	rules hashTrie
	used  uint16 // the words under shape.mask
	shape
}

func newTuple(s *shape) *tuple {
	t := &tuple{shape: *s}
	for i, m := range s.mask {
		if m != 0 {
			t.used |= 1 << i
		}
	}
	return t
}

// of returns the position of the tuple of a shape, or -1.
func (ts tuples) of(s *shape) int {
	return slices.IndexFunc(ts, func(t *tuple) bool { return t.shape == *s })
}

// changed returns ts with what change makes of the tuple of shape s.
func (ts tuples) changed(s *shape, change func(t *tuple) hashTrie) tuples {
	var t tuple
	i := ts.of(s)
	if i >= 0 {
		t, ts = *ts[i], removed(ts, i)
	} else {
		t, ts = *newTuple(s), slices.Clone(ts)
	}
	if t.rules = change(&t); t.rules.empty() {
		return ts
	}
	i, _ = slices.BinarySearchFunc(ts, t.rules.min, (*tuple).compareMin)
	return slices.Insert(ts, i, &t)
}

func (t *tuple) compareMin(order uint64) int { return cmp.Compare(t.rules.min, order) }

func (ts tuples) with(e *Entry) tuples {
	e.shapes(func(s *shape, v *words) {
		ts = ts.changed(s, func(t *tuple) hashTrie { return t.rules.with(t.hash(v, t.used), e) })
	})
	return ts
}

func (ts tuples) without(e *Entry) tuples {
	e.shapes(func(s *shape, v *words) {
		ts = ts.changed(s, func(t *tuple) hashTrie { return t.rules.without(t.hash(v, t.used), e) })
	})
	return ts
}

// tuplesOf returns the tuples of all rules. O(n log n).
func tuplesOf(es []*Entry) tuples {
	at := map[shape]int{}
	var ts tuples
	var rules [][]hashed
	for _, e := range es {
		e.shapes(func(s *shape, v *words) {
			i, ok := at[*s]
			if !ok {
				i = len(ts)
				at[*s] = i
				ts, rules = append(ts, newTuple(s)), append(rules, nil)
			}
			rules[i] = append(rules[i], hashed{s.hash(v, ts[i].used), e})
		})
	}
	for i, t := range ts {
		t.rules = hashTrieOf(rules[i])
	}
	slices.SortFunc(ts, func(a, b *tuple) int { return cmp.Compare(a.rules.min, b.rules.min) })
	return ts
}

// search looks for the first rule from start to before limit that a flow matches. It
// does not hold the flow: what holds both a rule and a flow makes the compiler believe
// that the flow lives as long as the rule, and so has to be allocated.
type search struct {
	l            *List
	p            Profile
	start, limit uint64
	best         *Entry // its order is limit
}

// in searches ts for f. It is a filter: what it comes across is compared in full.
func (s *search) in(ts tuples, f *Flow, c *Cursor) {
	if len(ts) == 0 || ts[0].rules.min >= s.limit {
		return
	}
	w := c.wordsOf(f, s.l, s.p)
	unmet := withSource
	if s.l.family == Inet6 && f.hasSource() { // of IPv4 all are met always
		unmet = withoutSource
	}
	for _, t := range ts {
		if t.rules.min >= s.limit {
			return
		}
		if t.rules.max < s.start || t.when == unmet {
			continue
		}
		if l := t.rules.get(t.hash(w, t.used)); l == nil {
			continue
		} else if l.one != nil {
			s.try(l.one, f)
		} else {
			s.inTree(l.many, f)
		}
	}
}

// inTree searches what t holds.
func (s *search) inTree(t *tree, f *Flow) {
	for t != nil && t.min < s.limit && t.max >= s.start && t.box.holds(f) {
		s.inTree(t.left, f)
		s.try(t.e, f)
		t = t.right
	}
}

// try takes e if it comes earlier than what was found and acts.
func (s *search) try(e *Entry, f *Flow) {
	if e.order >= s.start && e.order < s.limit && s.l.acts(e, f, s.p) {
		s.best, s.limit = e, e.order
	}
}
