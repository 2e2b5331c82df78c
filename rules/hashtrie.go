package rules

import (
	"cmp"
	"math/bits"
	"slices"
)

// hashTrie maps hashes to rules: a persistent trie over five bits of the hash at a
// time, from the highest. Nodes hold only the children that exist. Hashes are
// taken for what was hashed: whoever finds a rule compares it anyway.
//
// A trie is immutable, the zero value is the empty one. A search costs O(log n), a
// change copies one path. Nodes are values in one slice: a pointer to each would be
// one more load that waits for another on each level.
type hashTrie struct {
	leafAt   uint32 // which digits have a leaf, and which a node
	nodeAt   uint32
	leaves   []leaf
	nodes    []hashTrie
	min, max uint64 // orders in the subtree
}

func (t *hashTrie) empty() bool { return t.leafAt|t.nodeAt == 0 }

// leaf holds the rules of one hash: nearly always one, without a tree then.
type leaf struct {
	hash uint64
	one  *Entry
	many *tree
}

const digitBits = 5

// digit returns the first digit of a hash as a bit. What follows it is shifted up
// on the way down.
func digit(hash uint64) uint32 { return 1 << (hash >> (64 - digitBits)) }

// place is where in a slice the child of a digit is.
func place(at, digit uint32) int { return bits.OnesCount32(at & (digit - 1)) }

func (l *leaf) min() uint64 {
	if l.one != nil {
		return l.one.order
	}
	return l.many.min
}

func (l *leaf) max() uint64 {
	if l.one != nil {
		return l.one.order
	}
	return l.many.max
}

func (l *leaf) size() int {
	if l.one != nil {
		return 1
	}
	return int(l.many.size)
}

// each calls fn for every rule until it returns false.
func (l *leaf) each(fn func(*Entry) bool) {
	if l.one != nil {
		fn(l.one)
	} else {
		l.many.each(fn)
	}
}

func (l leaf) with(e *Entry) leaf {
	if l.one != nil {
		return leaf{l.hash, nil, newTree(l.one, nil, nil).with(e)}
	}
	return leaf{l.hash, nil, l.many.with(e)}
}

// without is false if nothing is left.
func (l leaf) without(e *Entry) (leaf, bool) {
	if l.one != nil {
		return leaf{}, false
	}
	if t := l.many.without(e); t.size > 1 {
		return leaf{l.hash, nil, t}, true
	} else {
		return leaf{l.hash, t.e, nil}, true
	}
}

// get returns the rules under a hash, or nil.
func (t *hashTrie) get(hash uint64) *leaf {
	for rest := hash; ; rest <<= digitBits {
		d := digit(rest)
		if t.nodeAt&d != 0 {
			t = &t.nodes[place(t.nodeAt, d)]
			continue
		}
		if t.leafAt&d != 0 {
			if l := &t.leaves[place(t.leafAt, d)]; l.hash == hash {
				return l
			}
		}
		return nil
	}
}

// with returns t with e under hash, where no rule of its order is yet.
func (t *hashTrie) with(hash uint64, e *Entry) hashTrie { return t.withAt(0, hash, e) }

// withAt is with for a node that so many bits of the hash lead to.
func (t *hashTrie) withAt(depth int, hash uint64, e *Entry) hashTrie {
	d := digit(hash << depth)
	if t.empty() {
		return hashTrie{min: e.order, max: e.order, leafAt: d, leaves: []leaf{{hash, e, nil}}}
	}
	c := *t
	c.min, c.max = min(t.min, e.order), max(t.max, e.order)
	i, j := place(t.leafAt, d), place(t.nodeAt, d)
	switch {
	case t.nodeAt&d != 0:
		c.nodes = slices.Clone(t.nodes)
		c.nodes[j] = t.nodes[j].withAt(depth+digitBits, hash, e)
	case t.leafAt&d == 0:
		c.leafAt |= d
		c.leaves = inserted(t.leaves, i, leaf{hash, e, nil})
	case t.leaves[i].hash == hash:
		c.leaves = slices.Clone(t.leaves)
		c.leaves[i] = t.leaves[i].with(e)
	default: // two hashes that go on alike
		old := t.leaves[i]
		below := hashTrie{min: old.min(), max: old.max(), leafAt: digit(old.hash << (depth + digitBits)), leaves: []leaf{old}}
		c.leafAt, c.nodeAt = t.leafAt&^d, t.nodeAt|d
		c.leaves = removed(t.leaves, i)
		c.nodes = inserted(t.nodes, j, below.withAt(depth+digitBits, hash, e))
	}
	return c
}

// without returns t without the rule of e's order under hash, where it must be.
func (t *hashTrie) without(hash uint64, e *Entry) hashTrie { return t.withoutAt(0, hash, e) }

func (t *hashTrie) withoutAt(depth int, hash uint64, e *Entry) hashTrie {
	d := digit(hash << depth)
	c := *t
	i, j := place(t.leafAt, d), place(t.nodeAt, d)
	if t.nodeAt&d != 0 {
		below := t.nodes[j].withoutAt(depth+digitBits, hash, e)
		if below.nodeAt == 0 && len(below.leaves) == 1 { // needs no node of its own
			c.leafAt, c.nodeAt = t.leafAt|d, t.nodeAt&^d
			c.leaves, c.nodes = inserted(t.leaves, i, below.leaves[0]), removed(t.nodes, j)
		} else {
			c.nodes = slices.Clone(t.nodes)
			c.nodes[j] = below
		}
	} else if l, ok := t.leaves[i].without(e); ok {
		c.leaves = slices.Clone(t.leaves)
		c.leaves[i] = l
	} else {
		c.leafAt &^= d
		c.leaves = removed(t.leaves, i)
	}
	if e.order == t.min || e.order == t.max {
		c.sum()
	}
	return c
}

// sum works out the orders in the subtree.
func (t *hashTrie) sum() {
	t.min, t.max = 1<<64-1, 0
	for i := range t.leaves {
		t.min, t.max = min(t.min, t.leaves[i].min()), max(t.max, t.leaves[i].max())
	}
	for i := range t.nodes {
		t.min, t.max = min(t.min, t.nodes[i].min), max(t.max, t.nodes[i].max)
	}
}

// hashed is a rule on its way into a trie.
type hashed struct {
	hash uint64
	e    *Entry
}

// hashTrieOf returns a trie of what hs holds, which it sorts. O(n log n).
func hashTrieOf(hs []hashed) hashTrie {
	slices.SortFunc(hs, func(a, b hashed) int { return cmp.Compare(a.hash, b.hash) })
	return hashTrieAt(0, hs)
}

func hashTrieAt(depth int, hs []hashed) hashTrie {
	var t hashTrie
	for len(hs) > 0 {
		d := digit(hs[0].hash << depth)
		n := 1
		for n < len(hs) && digit(hs[n].hash<<depth) == d {
			n++
		}
		if hs[0].hash == hs[n-1].hash {
			t.leafAt |= d
			t.leaves = append(t.leaves, leafOf(hs[:n]))
		} else {
			t.nodeAt |= d
			t.nodes = append(t.nodes, hashTrieAt(depth+digitBits, hs[:n]))
		}
		hs = hs[n:]
	}
	t.leaves, t.nodes = slices.Clip(t.leaves), slices.Clip(t.nodes)
	t.sum()
	return t
}

func leafOf(hs []hashed) leaf {
	if len(hs) == 1 {
		return leaf{hs[0].hash, hs[0].e, nil}
	}
	es := make([]*Entry, len(hs))
	for i := range hs {
		es[i] = hs[i].e
	}
	return leaf{hs[0].hash, nil, treeOf(es)}
}

// inserted returns a copy of s with v at i.
func inserted[T any](s []T, i int, v T) []T {
	c := make([]T, 0, len(s)+1)
	return append(append(append(c, s[:i]...), v), s[i:]...)
}

// removed returns a copy of s without element i.
func removed[T any](s []T, i int) []T {
	return append(append(make([]T, 0, len(s)-1), s[:i]...), s[i+1:]...)
}
