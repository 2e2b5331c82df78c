package trie

import (
	"iter"
	"net/netip"

	"github.com/gaissmai/bart"

	"github.com/fibula-net/fibula/lookup"
)

// Engine makes tries.
type Engine struct{}

var _ lookup.Engine = Engine{}

// Name returns "trie".
func (Engine) Name() string { return "trie" }

// New returns an empty table.
func (Engine) New() lookup.Table { return &Table{new(bart.Table[lookup.Match])} }

// Build returns a table with all of routes, inserting them in place. Routes in
// ascending order load fastest: neighbours then share nodes that are in cache.
func (Engine) Build(routes iter.Seq2[netip.Prefix, lookup.Index]) lookup.Table {
	next := new(bart.Table[lookup.Match])
	for p, i := range routes {
		next.Insert(p, match(p, i))
	}
	return &Table{next}
}

// match is what is stored under p. It carries the length of its own prefix, so that a
// lookup need not work it out on the way back up: 4.5 bytes more per route than the bare
// index (30 in place of 26 on a full table) for an eighth less time per lookup.
func match(p netip.Prefix, i lookup.Index) lookup.Match {
	return lookup.Match{Index: i, Bits: int16(p.Bits())}
}

// Table is one version of a trie. Versions share the nodes in which they do not differ.
type Table struct {
	trie *bart.Table[lookup.Match]
}

var _ lookup.Table = (*Table)(nil)

// Len returns the number of prefixes.
func (t *Table) Len() int { return t.trie.Size() }

// Get returns the index stored under exactly p, in at most one step per byte.
func (t *Table) Get(p netip.Prefix) (lookup.Index, bool) {
	m, ok := t.trie.Get(p)
	return m.Index, ok
}

// Lookup returns the longest prefix that contains dst, in at most one step per byte
// down and one per byte back.
func (t *Table) Lookup(dst netip.Addr) (lookup.Match, bool) { return t.trie.Lookup(dst) }

// Shorter returns the longest prefix that contains dst and is shorter than bits. It
// descends only to that length.
func (t *Table) Shorter(dst netip.Addr, bits int) (lookup.Match, bool) {
	if bits <= 0 {
		return lookup.Match{}, false
	}
	// PrefixFrom drops the zone; of an invalid address it makes an invalid prefix, which
	// matches nothing.
	return t.trie.LookupPrefix(netip.PrefixFrom(dst, min(bits-1, dst.BitLen())))
}

// Covering yields p and every prefix that contains it, longest first.
func (t *Table) Covering(p netip.Prefix) iter.Seq2[netip.Prefix, lookup.Index] {
	return indexes(t.trie.Supernets(p))
}

// Covered yields p and every prefix inside it, in the order of All.
func (t *Table) Covered(p netip.Prefix) iter.Seq2[netip.Prefix, lookup.Index] {
	return indexes(t.trie.Subnets(p))
}

// All yields every prefix in the order of netip.Prefix.Compare.
func (t *Table) All() iter.Seq2[netip.Prefix, lookup.Index] {
	return indexes(t.trie.AllSorted())
}

func indexes(matches iter.Seq2[netip.Prefix, lookup.Match]) iter.Seq2[netip.Prefix, lookup.Index] {
	return func(yield func(netip.Prefix, lookup.Index) bool) {
		for p, m := range matches {
			if !yield(p, m.Index) {
				return
			}
		}
	}
}

// Edit starts a next version at no cost; the first change pays.
func (t *Table) Edit() lookup.Editor { return &Editor{next: *t} }
