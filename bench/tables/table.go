package tables

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"iter"
	"net/netip"
	"slices"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/fulltable"
	"github.com/fibula-net/fibula/lookup"
)

// Table is what a benchmark fills engines with: prefixes of both families, masked,
// different and ascending. It is not changed after it was made.
type Table struct {
	Name   string // as file names and benchmark names spell it
	Origin string // for people
	V4, V6 []netip.Prefix
}

// NextHops is how many different next hops a table has.
const NextHops = 64

// NextHop is where every engine sends what matches p: a hash, so that neighbours
// rarely agree and nothing can be aggregated that a real table could not.
func NextHop(p netip.Prefix) lookup.Index {
	h := fnv.New64a()
	b := p.Addr().As16()
	h.Write(b[:])
	h.Write([]byte{byte(p.Bits())})
	x := h.Sum64()
	// The low bits of an FNV hash change little with the last byte.
	return lookup.Index((x ^ x>>29 ^ x>>43) % NextHops)
}

// Real is the internet's table of the bart module's test data.
func Real(ctx context.Context) (Table, error) {
	all, err := fulltable.Real(ctx)
	if err != nil {
		return Table{}, fmt.Errorf("the real table: %w", err)
	}
	return Of("real", "the internet's table, from the test data of the bart module", all), nil
}

// Synthetic is a table of n4 and n6 prefixes that looks like the internet's.
func Synthetic(n4, n6 int, seed uint64) Table {
	return Table{
		Name:   fmt.Sprintf("synthetic:%d,%d", n4, n6),
		Origin: fmt.Sprintf("synthetic, like the internet's, seed %d", seed),
		V4:     fulltable.Synthetic4(n4, seed), V6: fulltable.Synthetic6(n6, seed),
	}
}

// OfSnapshot has the destinations of all unicast routes, whatever their table.
func OfSnapshot(name, origin string, s *fib.Snapshot) Table {
	var all []netip.Prefix
	for r := range s.Routes() {
		if r.Type == fib.TypeUnicast && !r.Src.IsValid() {
			all = append(all, r.Dst)
		}
	}
	return Of(name, origin, all)
}

// Of is a table of any prefixes. Invalid and repeated ones are dropped, host bits are
// cleared. The slice is not kept.
func Of(name, origin string, all []netip.Prefix) Table {
	sorted := make([]netip.Prefix, 0, len(all))
	for _, p := range all {
		if p.IsValid() {
			sorted = append(sorted, p.Masked())
		}
	}
	slices.SortFunc(sorted, netip.Prefix.Compare)
	sorted = slices.Compact(sorted)
	n := slices.IndexFunc(sorted, func(p netip.Prefix) bool { return p.Addr().Is6() })
	if n < 0 {
		n = len(sorted)
	}
	return Table{Name: name, Origin: origin, V4: sorted[:n:n], V6: sorted[n:]}
}

// Family returns the prefixes of one family.
func (t *Table) Family(f fib.Family) []netip.Prefix {
	if f == fib.Inet {
		return t.V4
	}
	return t.V6
}

// Only is the table with one family left.
func (t *Table) Only(f fib.Family) Table {
	one := Table{Name: t.Name, Origin: t.Origin}
	if f == fib.Inet {
		one.V4 = t.V4
	} else {
		one.V6 = t.V6
	}
	return one
}

// Sample is every so many-th prefix of the table, about n in all: smaller, of the
// same shape.
func (t *Table) Sample(n int) Table {
	size := len(t.V4) + len(t.V6)
	if n >= size {
		return *t
	}
	pick := func(all []netip.Prefix) []netip.Prefix {
		var some []netip.Prefix
		want := int(int64(n) * int64(len(all)) / int64(size))
		for i := range want {
			some = append(some, all[int(int64(i)*int64(len(all))/int64(want))])
		}
		return some
	}
	return Table{Name: fmt.Sprintf("%s/%d", t.Name, n), Origin: t.Origin + ", sampled", V4: pick(t.V4), V6: pick(t.V6)}
}

// Len is the number of prefixes of both families.
func (t *Table) Len() int { return len(t.V4) + len(t.V6) }

// All yields every prefix with its next hop, in ascending order.
func (t *Table) All() iter.Seq2[netip.Prefix, lookup.Index] {
	return func(yield func(netip.Prefix, lookup.Index) bool) {
		for _, part := range [][]netip.Prefix{t.V4, t.V6} {
			for _, p := range part {
				if !yield(p, NextHop(p)) {
					return
				}
			}
		}
	}
}

// Checksum tells tables apart.
func (t *Table) Checksum() uint64 {
	h := fnv.New64a()
	for p, i := range t.All() {
		b := p.Addr().As16()
		h.Write(b[:])
		h.Write(binary.LittleEndian.AppendUint32([]byte{byte(p.Bits())}, i))
	}
	return h.Sum64()
}
