package flat

import (
	"net/netip"

	"github.com/fibula-net/fibula/lookup"
)

var _ lookup.DiffTable = (*Table)(nil)

// Diff yields what differs from an older table. What the trees share is passed over, so that
// it costs the paths of the changes between them.
func (t *Table) Diff(older lookup.Table, same func(lookup.Index) bool, yield func(lookup.Change) bool) bool {
	o, ok := older.(*Table)
	if !ok || t.line != o.line { // what they have in common does not tell what became of a prefix between
		return false
	}
	if t.under != nil || o.under != nil {
		t.diffShared(o, same, yield)
		return true
	}
	t.diffTrees(o, same, yield)
	return true
}

// diffTrees compares the trees.
func (t *Table) diffTrees(o *Table, same func(lookup.Index) bool, yield func(lookup.Change) bool) bool {
	unlike := func(a, b lookup.Index) bool { return a != b || !same(a) }
	index := func(p func(*entry[lookup.Index]) netip.Prefix) func(a, b *entry[lookup.Index]) bool {
		return func(a, b *entry[lookup.Index]) bool {
			switch {
			case b == nil:
				return yield(lookup.Change{Prefix: p(a), Old: a.value, Had: true})
			case a == nil:
				return yield(lookup.Change{Prefix: p(b), New: b.value, Has: true})
			}
			return !unlike(a.value, b.value) || yield(lookup.Change{Prefix: p(a), Old: a.value, New: b.value, Had: true, Has: true})
		}
	}
	four := index(func(e *entry[lookup.Index]) netip.Prefix { return prefixOf(true, e.key, 0, int(e.length)) })
	six := index(func(e *entry[lookup.Index]) netip.Prefix { return prefixOf(false, e.key, 0, int(e.length)) })
	long := func(a, b *entry[*node[lookup.Index]]) bool {
		var key uint64
		var x, y *node[lookup.Index]
		if a != nil {
			key, x = a.key, a.value
		}
		if b != nil {
			key, y = b.key, b.value
		}
		return diff(x, y, index(func(e *entry[lookup.Index]) netip.Prefix { return prefixOf(false, key, e.key, 64+int(e.length)) }))
	}
	return diff(o.four, t.four, four) && diff(o.six, t.six, six) && diff(o.long, t.long, long)
}

// diffShared compares where at least one is shared: prefixes that are among the differences of one
// of them have to be looked up, of the others the tables below tell.
func (t *Table) diffShared(o *Table, same func(lookup.Index) bool, yield func(lookup.Change) bool) {
	below := func(t *Table) (under, diff *Table) {
		if t.under != nil {
			return t.under, t.diff
		}
		return t, t.fresh()
	}
	under, differs := below(t)
	was, differed := below(o)
	look := func(p netip.Prefix) bool {
		c := lookup.Change{Prefix: p}
		c.Old, c.Had = o.Get(p)
		c.New, c.Has = t.Get(p)
		return !c.Had && !c.Has || c.Had && c.Has && c.Old == c.New && same(c.Old) || yield(c)
	}
	if under == was { // what neither of the lists of differences has anew is as it was
		differs.diffTrees(differed, same, func(c lookup.Change) bool { return look(c.Prefix) })
		return
	}
	seen := map[netip.Prefix]bool{}
	for _, d := range [...]*Table{differs, differed} {
		for p := range d.All() {
			if !seen[p] {
				seen[p] = true
				if !look(p) {
					return
				}
			}
		}
	}
	under.diffTrees(was, same, func(c lookup.Change) bool { return seen[c.Prefix] || yield(c) })
}

// diff gives pair every entry that is not in a node of both trees: beside the other's entry of
// the same prefix, or nil. It reports whether it came to the end. Both nodes stand at the
// same place.
func diff[V any](a, b *node[V], pair func(a, b *entry[V]) bool) bool {
	switch {
	case a == b:
		return true
	case a == nil:
		return b.walk(0, 0, func(e *entry[V]) bool { return pair(nil, e) })
	case b == nil:
		return a.walk(0, 0, func(e *entry[V]) bool { return pair(e, nil) })
	case a.kids == nil || b.kids == nil: // then one of them is short, or was
		return merge(a.all(), b.all(), pair)
	}
	if !merge(a.list, b.list, pair) {
		return false
	}
	for i := range a.kids {
		if !diff(a.kids[i], b.kids[i], pair) {
			return false
		}
	}
	return true
}

// all are the entries at n and below.
func (n *node[V]) all() []entry[V] {
	if n.kids == nil {
		return n.list
	}
	list := make([]entry[V], 0, n.n)
	n.walk(0, 0, func(e *entry[V]) bool { list = append(list, *e); return true })
	return list
}

// merge pairs two sorted lists.
func merge[V any](a, b []entry[V], pair func(a, b *entry[V]) bool) bool {
	if len(a) > 0 && len(a) == len(b) && &a[0] == &b[0] {
		return true
	}
	for len(a) > 0 || len(b) > 0 {
		var x, y *entry[V]
		if len(b) == 0 || len(a) > 0 && !b[0].before(&a[0]) {
			x = &a[0]
		}
		if len(a) == 0 || len(b) > 0 && !a[0].before(&b[0]) {
			y = &b[0]
		}
		if x != nil {
			a = a[1:]
		}
		if y != nil {
			b = b[1:]
		}
		if !pair(x, y) {
			return false
		}
	}
	return true
}
