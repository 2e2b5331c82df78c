package hashzone

import (
	"cmp"
	"iter"
	"net/netip"
	"slices"

	"github.com/fibula-net/fibula/lookup"
)

// Engine makes tables of hash zones.
type Engine struct{}

var _ lookup.Engine = Engine{}

// Name returns "hashzone".
func (Engine) Name() string { return "hashzone" }

// New returns an empty table.
func (Engine) New() lookup.Table {
	return &Table{four: &family{bands: bands4}, six: &family{bands: bands6}}
}

// Build returns a table with all of routes, inserting them into pages of its own. Their
// order makes little difference.
func (e Engine) Build(routes iter.Seq2[netip.Prefix, lookup.Index]) lookup.Table {
	next := e.New().Edit()
	for p, i := range routes {
		next.Insert(p, i)
	}
	return next.Table()
}

// Table is one version. Versions share the zones, and of changed zones the pages, in
// which they do not differ.
type Table struct {
	four, six *family
}

var _ lookup.Table = (*Table)(nil)

func (t *Table) family(is4 bool) *family {
	if is4 {
		return t.four
	}
	return t.six
}

// Len returns the number of prefixes.
func (t *Table) Len() int { return t.four.n + t.six.n }

// Get returns the index stored under exactly p: one probe of one zone.
func (t *Table) Get(p netip.Prefix) (lookup.Index, bool) {
	if !p.IsValid() {
		return 0, false
	}
	return t.family(p.Addr().Is4()).get(words(p.Addr()), p.Bits())
}

// Lookup returns the longest prefix that contains dst. It probes at most two heads for
// IPv4 and three for IPv6, then as many zones as there are lengths in the blocks of
// dst that are longer than the match.
func (t *Table) Lookup(dst netip.Addr) (lookup.Match, bool) {
	return t.Shorter(dst, dst.BitLen()+1)
}

// Shorter returns the longest prefix that contains dst and is shorter than bits.
func (t *Table) Shorter(dst netip.Addr, bits int) (lookup.Match, bool) {
	if !dst.IsValid() {
		return lookup.Match{}, false
	}
	return t.family(dst.Is4()).shorter(words(dst), bits)
}

// Covering yields p and every prefix that contains it, longest first.
func (t *Table) Covering(p netip.Prefix) iter.Seq2[netip.Prefix, lookup.Index] {
	return func(yield func(netip.Prefix, lookup.Index) bool) {
		addr := p.Addr()
		m, ok := t.Shorter(addr, p.Bits()+1)
		for ok && yield(m.Prefix(addr), m.Index) {
			m, ok = t.Shorter(addr, int(m.Bits))
		}
	}
}

// Covered yields p and every prefix inside it, in the order of All. It costs a pass over
// all zones from the length of p on, and a sort of what it finds.
func (t *Table) Covered(p netip.Prefix) iter.Seq2[netip.Prefix, lookup.Index] {
	return func(yield func(netip.Prefix, lookup.Index) bool) {
		if p.IsValid() {
			t.family(p.Addr().Is4()).sorted(p, yield)
		}
	}
}

// All yields every prefix in the order of netip.Prefix.Compare. It costs a sort, and
// some 32 bytes per prefix of one family while it runs.
func (t *Table) All() iter.Seq2[netip.Prefix, lookup.Index] {
	return func(yield func(netip.Prefix, lookup.Index) bool) {
		_ = t.four.sorted(netip.PrefixFrom(netip.IPv4Unspecified(), 0), yield) &&
			t.six.sorted(netip.PrefixFrom(netip.IPv6Unspecified(), 0), yield)
	}
}

// sorted yields all that within covers, in order, and reports whether it came to the end.
func (f *family) sorted(within netip.Prefix, yield func(netip.Prefix, lookup.Index) bool) bool {
	type route struct {
		addr   long
		length uint8
		index  lookup.Index
	}
	block, length := words(within.Masked().Addr()), within.Bits()
	var found []route
	if length == 0 {
		found = make([]route, 0, f.n)
	}
	f.each(length, func(addr long, l int, i lookup.Index) {
		if short := uint64(mask(addr.hi, min(length, 64))); short != block.hi ||
			length > 64 && maskLong(addr, length) != block {
			return
		}
		found = append(found, route{addr, uint8(l), i})
	})
	slices.SortFunc(found, func(a, b route) int {
		return cmp.Or(cmp.Compare(a.addr.hi, b.addr.hi), cmp.Compare(a.addr.lo, b.addr.lo),
			cmp.Compare(a.length, b.length))
	})
	is4 := within.Addr().Is4()
	for _, r := range found {
		if !yield(r.addr.prefix(is4, int(r.length)), r.index) {
			return false
		}
	}
	return true
}

// Edit starts a next version at no cost; the first change pays.
func (t *Table) Edit() lookup.Editor { return &Editor{next: *t, epoch: epochs.Add(1)} }
