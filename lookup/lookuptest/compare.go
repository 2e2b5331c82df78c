package lookuptest

import (
	"iter"
	"math"
	"net/netip"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/lookup"
)

// route is one element of an iterator.
type route struct {
	prefix netip.Prefix
	index  lookup.Index
}

func collect(routes iter.Seq2[netip.Prefix, lookup.Index]) []route {
	var all []route
	for p, i := range routes {
		all = append(all, route{p, i})
	}
	return all
}

func sequence(routes []route) iter.Seq2[netip.Prefix, lookup.Index] {
	return func(yield func(netip.Prefix, lookup.Index) bool) {
		for _, r := range routes {
			if !yield(r.prefix, r.index) {
				return
			}
		}
	}
}

// Indexed returns prefixes as routes, each with its position as index: what
// [lookup.Engine.Build] takes.
func Indexed(prefixes []netip.Prefix) iter.Seq2[netip.Prefix, lookup.Index] {
	return func(yield func(netip.Prefix, lookup.Index) bool) {
		for i, p := range prefixes {
			if !yield(p, lookup.Index(i)) {
				return
			}
		}
	}
}

// sameReads requires that got and want answer alike about each of the probes, as
// prefixes and as addresses.
func sameReads(t require.TestingT, want, got lookup.Reader, probes []netip.Prefix) {
	require.Equal(t, want.Len(), got.Len(), "Len")
	for _, p := range probes {
		wantIndex, wantOK := want.Get(p)
		gotIndex, gotOK := got.Get(p)
		if wantIndex != gotIndex || wantOK != gotOK {
			require.Failf(t, "Get", "%v: got %d, %t; want %d, %t", p, gotIndex, gotOK, wantIndex, wantOK)
		}
		dst := p.Addr()
		wantMatch, wantOK := want.Lookup(dst)
		gotMatch, gotOK := got.Lookup(dst)
		if wantMatch != gotMatch || wantOK != gotOK {
			require.Failf(t, "Lookup", "%v: got %v, %t; want %v, %t", dst, gotMatch, gotOK, wantMatch, wantOK)
		}
		for _, bits := range []int{-1, 0, 1, p.Bits(), p.Bits() + 1, int(wantMatch.Bits), dst.BitLen(), 129, math.MinInt, math.MaxInt} {
			wantMatch, wantOK := want.Shorter(dst, bits)
			gotMatch, gotOK := got.Shorter(dst, bits)
			if wantMatch != gotMatch || wantOK != gotOK {
				require.Failf(t, "Shorter", "%v, %d: got %v, %t; want %v, %t", dst, bits, gotMatch, gotOK, wantMatch, wantOK)
			}
		}
	}
}

// sameTables requires that got and want hold the same, and answer alike about probes.
func sameTables(t require.TestingT, want, got lookup.Table, probes []netip.Prefix) {
	require.Equal(t, collect(want.All()), collect(got.All()), "All")
	sameReads(t, want, got, probes)
	for _, p := range probes {
		require.Equal(t, collect(want.Covering(p)), collect(got.Covering(p)), "Covering %v", p)
		require.Equal(t, collect(want.Covered(p)), collect(got.Covered(p)), "Covered %v", p)
	}
}

// chainIsCovering requires that falling back step by step from the longest match of an
// address meets the same prefixes as Covering.
func chainIsCovering(t require.TestingT, table lookup.Table, dst netip.Addr) {
	var chain []route
	for m, ok := table.Lookup(dst); ok; m, ok = table.Shorter(dst, int(m.Bits)) {
		if len(chain) > 0 && int(m.Bits) >= chain[len(chain)-1].prefix.Bits() {
			require.Failf(t, "Shorter", "%v: a match of %d bits is no shorter than the one before", dst, m.Bits)
		}
		chain = append(chain, route{m.Prefix(dst), m.Index})
	}
	require.Equal(t, collect(table.Covering(netip.PrefixFrom(dst, dst.BitLen()))), chain, "chain of %v", dst)
}
