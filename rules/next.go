package rules

// Cursor is where the walk of one flow over one list stands. The zero value stands
// before the first rule.
type Cursor struct {
	at    int    // position of the next rule, in a short list
	order uint64 // of the next rule at least, in a long one
	words words  // of the flow
	ready bool   // words are set
}

// Next returns the next rule at which the walk of a flow has something to do: that
// matches as Match says and is neither a nop nor a goto without a target. It is nil
// behind the last one. The cursor then stands behind that rule, where a walk goes on
// if the rule's table has no answer or a suppressor drops it. See Jump for a goto.
//
// deferred is Match's for that rule. noted reports whether any rule on the way, or
// that rule itself, whether it matched or not, noted the table of the L3 domain, see
// [Rule.NotesL3Table].
//
// A short list is walked. In a long one the search costs O(shapes · log n): rules that
// compare the same selectors under the same masks and prefix lengths have one shape.
// Tried one by one are inverted rules, gotos without a target, and rules of one key
// whose different ranges of uids or ports overlap. Next does not allocate, take locks
// or write shared memory. A cursor must not be used for another flow, profile or list.
func (l *List) Next(c *Cursor, f *Flow, p Profile) (e *Entry, deferred, noted bool) {
	if l == nil || l.index == nil {
		return l.scan(c, f, p)
	}
	// Not a literal: it would be made aside and copied, and the copy wait for it.
	var s search
	s.l, s.p, s.start, s.limit = l, p, c.order, 1<<64-1
	for _, e := range l.index.open[l.index.firstOpen(c.order):] {
		if e.Action == ActGoto {
			if _, ok := l.target(e); !ok {
				continue
			}
		}
		s.best, s.limit = e, e.order
		break
	}
	s.in(l.index.acts, f, c)
	if e = s.best; e != nil {
		deferred = e.defersFrom(f)
		s.best, s.limit = nil, e.order+1
	}
	c.order = s.limit
	if f.L3Master != 0 && len(l.index.notes) > 0 {
		s.in(l.index.notes, f, c)
		noted = s.best != nil
	}
	return e, deferred, noted
}

// wordsOf returns the words of the walk's flow, which it makes once.
func (c *Cursor) wordsOf(f *Flow, l *List, p Profile) *words {
	if !c.ready {
		c.words.set(f, l.family, p, l.index.used)
		c.ready = true
	}
	return &c.words
}

// scan is Next, rule by rule.
func (l *List) scan(c *Cursor, f *Flow, p Profile) (e *Entry, deferred, noted bool) {
	for c.at < l.Len() {
		e := l.rules.at(c.at)
		c.at++
		noted = noted || e.L3MDev && e.noted(f, p)
		if e.open && e.Action == ActLookup || l.acts(e, f, p) {
			return e, e.defersFrom(f), noted
		}
	}
	return nil, false, noted
}

// Jump moves the cursor to the target of e, a goto that Next returned.
func (l *List) Jump(c *Cursor, e *Entry) {
	c.order = two(e.Goto, 0)
	if l.index == nil {
		c.at = l.lowerBound(e.Goto)
	}
}

// Position returns the position of e, a rule of l. O(log n).
func (l *List) Position(e *Entry) int { return l.rules.position(e.order) }

// acts reports whether e matches and a walk then has something to do.
func (l *List) acts(e *Entry, f *Flow, p Profile) bool {
	if (e.firstMiss(f, p) == SelNone) == e.Not || e.Action == ActNop {
		return false
	}
	if e.Action == ActGoto {
		_, ok := l.target(e)
		return ok
	}
	return true
}

// noted reports whether the test of e, an l3mdev rule, notes the L3 table.
func (e *Entry) noted(f *Flow, p Profile) bool {
	failed := e.firstMiss(f, p)
	if failed == SelNone && e.Not {
		failed = SelNot
	}
	return e.NotesL3Table(f, failed)
}
