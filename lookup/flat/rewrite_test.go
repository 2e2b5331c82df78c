package flat

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/internal/fulltable"
	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/lookup"
)

// TestRewriteIsInsertAndDelete: one pass makes what changes of single prefixes make, in the middle of other
// changes and before them, and no version that was there changes with it.
func TestRewriteIsInsertAndDelete(t *testing.T) {
	r := rand.New(rand.NewPCG(randtest.Seed(t), 0))
	for range randtest.Fewer(40) {
		engine := Engine{Direct4: 1 + r.IntN(2)*100_000, Ranges: 1 + r.IntN(600)}
		table := engine.New().(*Table)
		prefixes := append(fulltable.Synthetic4(1+r.IntN(3000), r.Uint64()), netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("2001:db8::/32"))
		want := map[netip.Prefix]lookup.Index{}
		var versions []*Table
		var held []map[netip.Prefix]lookup.Index
		for range 4 {
			e := table.edit()
			some := func() {
				for range r.IntN(200) {
					p := prefixes[r.IntN(len(prefixes))]
					if r.IntN(3) == 0 {
						e.Delete(p)
						delete(want, p)
					} else {
						want[p] = lookup.Index(r.IntN(8))
						e.Insert(p, want[p])
					}
				}
			}
			some()
			if r.IntN(2) == 0 {
				e.View()
			}
			to := make([]lookup.Index, 8)
			for i := range to {
				if to[i] = lookup.Index(i); r.IntN(3) == 0 {
					to[i] = lookup.Index(r.IntN(10))
				}
			}
			kept := func(i lookup.Index) (lookup.Index, bool) { return to[i&7], to[i&7] < 8 }
			changes := 0
			for p, i := range want {
				if n, ok := kept(i); p.Addr().Is4() && (!ok || n != i) {
					if changes++; ok {
						want[p] = n
					} else {
						delete(want, p)
					}
				}
			}
			n, ok := e.Rewrite(r.IntN(2)*len(want), func(i lookup.Index, n int) (lookup.Index, bool) {
				require.Positive(t, n)
				return kept(i)
			})
			require.True(t, ok)
			require.Equal(t, changes, n)
			some()
			table = e.table()
			versions, held = append(versions, table), append(held, maps.Clone(want))
			for i, v := range versions {
				require.Equal(t, held[i], maps.Collect(v.All()))
				require.Equal(t, len(held[i]), v.Len())
			}
			for range 200 {
				a := netip.AddrFrom4([4]byte{byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())})
				if r.IntN(2) == 0 {
					a = prefixes[r.IntN(len(prefixes))].Addr()
				}
				m, ok := table.Lookup(a)
				w, found := table.Shorter(a, 129)
				require.Equal(t, found, ok)
				require.Equal(t, w, m)
			}
		}
	}
}

// What takes all routes of a table away allocates nothing for each: a link that goes down must not have the
// garbage collector run before readers hear of it.
func TestRewriteOfAllAllocatesNothing(t *testing.T) {
	e := Engine{}.New().(*Table).edit()
	for _, p := range fulltable.Synthetic4(20_000, 1) {
		e.Insert(p, 3)
	}
	full := e.table()
	allocs := testing.AllocsPerRun(3, func() {
		e := full.edit()
		n, ok := e.Rewrite(full.Len(), func(lookup.Index, int) (lookup.Index, bool) { return 0, false })
		require.True(t, ok)
		require.Equal(t, full.Len(), n)
		require.Zero(t, e.Len())
	})
	require.Less(t, allocs, 20.0)
}
