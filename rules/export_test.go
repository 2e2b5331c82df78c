package rules

import "fmt"

// Scanned is the length up to which lists have no index.
const Scanned = scanned

// Seek returns a cursor that stands before the rule at position i.
func (l *List) Seek(i int) Cursor {
	c := Cursor{at: i, order: 1<<64 - 1}
	if i < l.Len() {
		c.order = l.rules.orderAt(i)
	}
	return c
}

// WithAge returns l as if so many rules had been added in its life.
func WithAge(l *List, age uint32) *List {
	c := *l
	c.age = age
	return &c
}

// CheckIndex compares what the index of l says about itself with what it holds, and
// that with the rules of l.
func CheckIndex(l *List) error {
	for i, e := range l.rules.all(0) {
		if l.rules.at(i) != e || l.rules.orderAt(i) != e.order || i > 0 && l.rules.orderAt(i-1) >= e.order || l.rules.position(e.order) != i || e.order>>32 != uint64(e.Priority) || uint32(e.order) >= l.age {
			return fmt.Errorf("rule %d of priority %d has order %#x, age %d", i, e.Priority, e.order, l.age)
		}
	}
	if (l.index != nil) != (l.Len() > scanned) {
		return fmt.Errorf("%d rules, index %v", l.Len(), l.index != nil)
	}
	if l.index == nil {
		return nil
	}
	var c checker
	acts, notes, named := 0, 0, 0
	open := l.index.open
	for i, e := range l.rules.all(0) {
		n := 0
		e.shapes(func(*shape, *words) { n++ })
		switch {
		case e.open != e.isOpen():
			return fmt.Errorf("rule %d: open is %v", i, e.open)
		case e.Action == ActNop:
		case e.open:
			if len(open) == 0 || open[0] != e {
				return fmt.Errorf("rule %d is not among the open ones", i)
			}
			open = open[1:]
		default:
			acts += n
		}
		if e.L3MDev && !e.IifDetached() && !e.OifDetached() {
			notes++
		}
		e.values(func(uint64) { named++ })
	}
	if len(open) > 0 {
		return fmt.Errorf("%d open rules too many", len(open))
	}
	c.rules = l
	if n := c.tuples(l.index.acts, true); n != acts {
		return fmt.Errorf("%d rules in shapes, want %d: %v", n, acts, c.err)
	}
	if n := c.tuples(l.index.notes, false); n != notes {
		return fmt.Errorf("%d l3mdev rules in shapes, want %d: %v", n, notes, c.err)
	}
	c.own = true
	if n := c.trie(&l.index.named); n != named {
		return fmt.Errorf("%d values, want %d: %v", n, named, c.err)
	}
	return c.err
}

type checker struct {
	rules *List
	own   bool // the index holds the list's entries, not others made for it
	err   error
}

func (c *checker) is(ok bool, format string, args ...any) {
	if !ok && c.err == nil {
		c.err = fmt.Errorf(format, args...)
	}
}

func (c *checker) tuples(ts tuples, own bool) (n int) {
	c.own = own
	for i, t := range ts {
		c.is(!t.rules.empty(), "shape %d: empty", i)
		c.is(i == 0 || ts[i-1].rules.min <= t.rules.min, "shape %d: sequence", i)
		c.is(ts.of(&t.shape) == i, "shape %d: twice", i)
		n += c.trie(&t.rules)
	}
	return n
}

func (c *checker) trie(t *hashTrie) (n int) {
	if t.empty() {
		return 0
	}
	sum := *t
	sum.sum()
	c.is(sum.min == t.min && sum.max == t.max, "trie: bounds %#x-%#x, want %#x-%#x", t.min, t.max, sum.min, sum.max)
	c.is(t.leafAt&t.nodeAt == 0 && t.leafAt|t.nodeAt != 0, "trie: digits %b %b", t.leafAt, t.nodeAt)
	for i := range t.leaves {
		l := &t.leaves[i]
		if (l.one == nil) == (l.many == nil) || l.many != nil && l.many.size < 2 {
			c.is(false, "leaf %v", l)
			continue
		}
		l.each(func(e *Entry) bool {
			n++
			at := c.rules.rules.position(e.order)
			c.is(at < c.rules.Len() && (!c.own || c.rules.At(at) == e), "rule %v is of another list", e)
			return true
		})
		c.tree(l.many)
	}
	for i := range t.nodes {
		below := &t.nodes[i]
		c.is(below.nodeAt != 0 || len(below.leaves) > 1, "trie: a node for one leaf")
		n += c.trie(below)
	}
	return n
}

func (c *checker) tree(t *tree) {
	if t == nil {
		return
	}
	sum := *t
	sum.sum()
	c.is(sum == *t, "tree: %+v, want %+v", t, sum)
	for _, child := range [...]*tree{t.left, t.right} {
		c.is(child == nil || child.e.rank() <= t.e.rank(), "tree: balance")
	}
	var last *Entry
	t.each(func(e *Entry) bool {
		c.is(last == nil || inTree(last, e) < 0, "tree: sequence")
		last = e
		return true
	})
	c.tree(t.left)
	c.tree(t.right)
}
