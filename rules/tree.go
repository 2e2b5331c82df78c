package rules

import (
	"cmp"
	"math/bits"
	"slices"
)

// tree is a set of rules that an index can't tell apart by hashing: a persistent
// treap, sorted by the ranges that its rules select (uid, sport, dport) and then by
// their order. Each node knows the bounds of what is below it, so that a search
// passes over subtrees whose ranges or orders don't fit. Without ranges that is
// the search for an order in a balanced tree, with disjoint or with equal ranges it
// costs as little; rules whose different ranges overlap are looked at one by one.
//
// A tree is immutable, nil is the empty one. Changing it costs O(log n) new nodes.
type tree struct {
	e           *Entry
	left, right *tree
	min, max    uint64 // orders in the subtree
	box         box    // ranges in the subtree
	size        uint32
}

// box holds ranges of the three selectors that can name some.
type box struct {
	uids         UIDRange
	sport, dport [2]uint16
}

// box returns what e selects; everything for an inverted rule, which matches
// outside its ranges too.
func (e *Entry) box() box {
	b := box{UIDRange{0, 1<<32 - 1}, [2]uint16{0, 1<<16 - 1}, [2]uint16{0, 1<<16 - 1}}
	if e.Not {
		return b
	}
	if e.HasUIDs {
		b.uids = e.UIDs
	}
	if e.Sport.isRange() {
		b.sport = [2]uint16{e.Sport.Start, e.Sport.End}
	}
	if e.Dport.isRange() {
		b.dport = [2]uint16{e.Dport.Start, e.Dport.End}
	}
	return b
}

// isRange reports whether p compares with two bounds, not under a mask.
func (p PortRange) isRange() bool { return p.IsSet() && p.Mask == 0 }

func (b *box) holds(f *Flow) bool {
	return b.uids.Start <= f.UID && f.UID <= b.uids.End &&
		b.sport[0] <= f.Sport && f.Sport <= b.sport[1] &&
		b.dport[0] <= f.Dport && f.Dport <= b.dport[1]
}

func (b *box) widen(o *box) {
	b.uids.Start, b.uids.End = min(b.uids.Start, o.uids.Start), max(b.uids.End, o.uids.End)
	b.sport = [2]uint16{min(b.sport[0], o.sport[0]), max(b.sport[1], o.sport[1])}
	b.dport = [2]uint16{min(b.dport[0], o.dport[0]), max(b.dport[1], o.dport[1])}
}

// inTree is the sequence of a tree.
func inTree(a, b *Entry) int {
	x, y := a.box(), b.box()
	return cmp.Or(
		cmp.Compare(x.uids.Start, y.uids.Start), cmp.Compare(x.uids.End, y.uids.End),
		slices.Compare(x.sport[:], y.sport[:]), slices.Compare(x.dport[:], y.dport[:]),
		cmp.Compare(a.order, b.order))
}

// rank is what balances the treap: a parent's is not below its children's. It takes
// the place of a random number, of which this package has none.
func (e *Entry) rank() uint64 {
	hi, lo := bits.Mul64(e.order^0x9e3779b97f4a7c15, 0xd6e8feb86659fd93)
	return hi ^ lo
}

func newTree(e *Entry, left, right *tree) *tree {
	t := &tree{e: e, left: left, right: right}
	t.sum()
	return t
}

// sum works out what the node knows about its subtree.
func (t *tree) sum() {
	t.min, t.max, t.box, t.size = t.e.order, t.e.order, t.e.box(), 1
	for _, c := range [...]*tree{t.left, t.right} {
		if c != nil {
			t.min, t.max, t.size = min(t.min, c.min), max(t.max, c.max), t.size+c.size
			t.box.widen(&c.box)
		}
	}
}

// with returns t with e, whose order no rule in it has.
func (t *tree) with(e *Entry) *tree {
	switch {
	case t == nil:
		return newTree(e, nil, nil)
	case e.rank() > t.e.rank():
		left, right := t.split(e)
		return newTree(e, left, right)
	case inTree(e, t.e) < 0:
		return newTree(t.e, t.left.with(e), t.right)
	}
	return newTree(t.e, t.left, t.right.with(e))
}

// split returns what is before e and what is behind.
func (t *tree) split(e *Entry) (before, behind *tree) {
	if t == nil {
		return nil, nil
	}
	if inTree(e, t.e) < 0 {
		before, behind = t.left.split(e)
		return before, newTree(t.e, behind, t.right)
	}
	before, behind = t.right.split(e)
	return newTree(t.e, t.left, before), behind
}

// without returns t without the rule of e's order, which must have e's ranges.
func (t *tree) without(e *Entry) *tree {
	if t == nil {
		return nil
	}
	switch c := inTree(e, t.e); {
	case c < 0:
		return newTree(t.e, t.left.without(e), t.right)
	case c > 0:
		return newTree(t.e, t.left, t.right.without(e))
	}
	return joined(t.left, t.right)
}

// joined returns the rules of both; those of left come before those of right.
func joined(left, right *tree) *tree {
	switch {
	case left == nil:
		return right
	case right == nil:
		return left
	case left.e.rank() > right.e.rank():
		return newTree(left.e, left.left, joined(left.right, right))
	}
	return newTree(right.e, joined(left, right.left), right.right)
}

// treeOf returns a tree of the rules, which it sorts. O(n log n).
func treeOf(es []*Entry) *tree {
	slices.SortFunc(es, inTree)
	var right []*tree // the path to the last node
	for _, e := range es {
		t := &tree{e: e}
		for len(right) > 0 && right[len(right)-1].e.rank() < e.rank() {
			t.left = right[len(right)-1]
			right = right[:len(right)-1]
		}
		if len(right) > 0 {
			right[len(right)-1].right = t
		}
		right = append(right, t)
	}
	right[0].sumAll()
	return right[0]
}

func (t *tree) sumAll() {
	if t != nil {
		t.left.sumAll()
		t.right.sumAll()
		t.sum()
	}
}

// each calls fn for every rule until it returns false.
func (t *tree) each(fn func(*Entry) bool) bool {
	return t == nil || t.left.each(fn) && fn(t.e) && t.right.each(fn)
}
