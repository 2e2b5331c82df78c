package linear

import (
	"iter"
	"net/netip"
	"slices"

	"github.com/fibula-net/fibula/lookup"
)

// Engine makes linear tables.
type Engine struct{}

var _ lookup.Engine = Engine{}

// Name returns "linear".
func (Engine) Name() string { return "linear" }

// New returns an empty table.
func (Engine) New() lookup.Table { return &Table{} }

// Build returns a table with all of routes. It costs O(n log n).
func (Engine) Build(routes iter.Seq2[netip.Prefix, lookup.Index]) lookup.Table {
	last := make(map[netip.Prefix]lookup.Index)
	for p, i := range routes {
		if p.IsValid() {
			last[p.Masked()] = i
		}
	}
	t := &Table{routes: make([]route, 0, len(last))}
	for p, i := range last {
		t.routes = append(t.routes, route{p, i})
	}
	slices.SortFunc(t.routes, func(a, b route) int { return a.prefix.Compare(b.prefix) })
	return t
}

type route struct {
	prefix netip.Prefix // masked
	index  lookup.Index
}

// Table is a slice in the order of netip.Prefix.Compare. Its reads cost O(n), Get
// O(log n).
type Table struct {
	routes []route
}

var _ lookup.Table = (*Table)(nil)

// find returns where p is, or where it would have to be inserted.
func (t *Table) find(p netip.Prefix) (int, bool) {
	return slices.BinarySearchFunc(t.routes, p, func(r route, p netip.Prefix) int {
		return r.prefix.Compare(p)
	})
}

// Len returns the number of prefixes.
func (t *Table) Len() int { return len(t.routes) }

// Get returns the index stored under exactly p.
func (t *Table) Get(p netip.Prefix) (lookup.Index, bool) {
	if at, ok := t.find(p.Masked()); ok {
		return t.routes[at].index, true
	}
	return 0, false
}

// Lookup returns the longest prefix that contains dst.
func (t *Table) Lookup(dst netip.Addr) (lookup.Match, bool) {
	return t.Shorter(dst, dst.BitLen()+1)
}

// Shorter returns the longest prefix that contains dst and is shorter than bits.
func (t *Table) Shorter(dst netip.Addr, bits int) (best lookup.Match, ok bool) {
	dst = dst.WithZone("") // Contains is false for a zone
	for _, r := range t.routes {
		length := r.prefix.Bits()
		if length < bits && r.prefix.Contains(dst) && (!ok || length > int(best.Bits)) {
			best, ok = lookup.Match{Index: r.index, Bits: int16(length)}, true
		}
	}
	return best, ok
}

// Covering yields p and every prefix that contains it, longest first.
func (t *Table) Covering(p netip.Prefix) iter.Seq2[netip.Prefix, lookup.Index] {
	return func(yield func(netip.Prefix, lookup.Index) bool) {
		// Of two prefixes that both contain p, the longer comes later in the slice.
		for _, r := range slices.Backward(t.routes) {
			if covers(r.prefix, p) && !yield(r.prefix, r.index) {
				return
			}
		}
	}
}

// Covered yields p and every prefix inside it, in the order of All.
func (t *Table) Covered(p netip.Prefix) iter.Seq2[netip.Prefix, lookup.Index] {
	return func(yield func(netip.Prefix, lookup.Index) bool) {
		for _, r := range t.routes {
			if covers(p, r.prefix) && !yield(r.prefix, r.index) {
				return
			}
		}
	}
}

// covers reports whether inner lies inside outer or is equal to it.
func covers(outer, inner netip.Prefix) bool {
	return outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
}

// All yields every prefix in the order of netip.Prefix.Compare.
func (t *Table) All() iter.Seq2[netip.Prefix, lookup.Index] {
	return func(yield func(netip.Prefix, lookup.Index) bool) {
		for _, r := range t.routes {
			if !yield(r.prefix, r.index) {
				return
			}
		}
	}
}

// Edit starts a next version by copying the whole slice.
func (t *Table) Edit() lookup.Editor {
	return &Editor{Table{routes: slices.Clone(t.routes)}}
}

// Editor is a table of its own that may change. Its changes cost O(n).
type Editor struct {
	next Table
}

var _ lookup.Editor = (*Editor)(nil)

// Len returns the number of prefixes.
func (e *Editor) Len() int { return e.next.Len() }

// Get returns the index stored under exactly p.
func (e *Editor) Get(p netip.Prefix) (lookup.Index, bool) { return e.next.Get(p) }

// Lookup returns the longest prefix that contains dst.
func (e *Editor) Lookup(dst netip.Addr) (lookup.Match, bool) { return e.next.Lookup(dst) }

// Shorter returns the longest prefix that contains dst and is shorter than bits.
func (e *Editor) Shorter(dst netip.Addr, bits int) (lookup.Match, bool) {
	return e.next.Shorter(dst, bits)
}

// Insert stores i under p.
func (e *Editor) Insert(p netip.Prefix, i lookup.Index) (old lookup.Index, replaced bool) {
	if !p.IsValid() {
		return 0, false
	}
	p = p.Masked()
	at, ok := e.next.find(p)
	if ok {
		old = e.next.routes[at].index
		e.next.routes[at].index = i
		return old, true
	}
	e.next.routes = slices.Insert(e.next.routes, at, route{p, i})
	return 0, false
}

// Delete removes p.
func (e *Editor) Delete(p netip.Prefix) (old lookup.Index, existed bool) {
	at, ok := e.next.find(p.Masked())
	if !ok {
		return 0, false
	}
	old = e.next.routes[at].index
	e.next.routes = slices.Delete(e.next.routes, at, at+1)
	return old, true
}

// View is Table.
func (e *Editor) View() lookup.Table { return e.Table() }

// Table publishes a copy, O(n), unlike the other engines.
func (e *Editor) Table() lookup.Table {
	return &Table{routes: slices.Clone(e.next.routes)}
}
