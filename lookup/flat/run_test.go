package flat

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/internal/fulltable"
	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/lookup"
)

// TestRunsAreInserts: what is entered in order, or nearly, with prefixes that come twice and reads and deletions
// between, makes the table that insertions one by one make, of which changes are as right, and no version
// changes with a later one.
func TestRunsAreInserts(t *testing.T) {
	r := rand.New(rand.NewPCG(randtest.Seed(t), 0))
	orders := []func([]netip.Prefix){
		func(all []netip.Prefix) { slices.SortFunc(all, netip.Prefix.Compare) },
		func(all []netip.Prefix) { // of a kernel's dump
			slices.SortFunc(all, func(a, b netip.Prefix) int {
				if c := a.Addr().Compare(b.Addr()); c != 0 {
					return c
				}
				return b.Bits() - a.Bits()
			})
		},
		func(all []netip.Prefix) { r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] }) },
	}
	for range randtest.Fewer(24) {
		engine := Engine{Direct4: 1 + min(r.IntN(4), 1)*100_000, Ranges: 1 + r.IntN(600)}
		n := 1 + r.IntN([...]int{30, 700, 3 * runChunk}[r.IntN(3)])
		all := append(fulltable.Synthetic4(n, r.Uint64()), fulltable.Synthetic6(1+n/4, r.Uint64())...)
		for range n / 8 { // more of them inside each other, and twice
			p := all[r.IntN(len(all))]
			all = append(all, p, netip.PrefixFrom(p.Addr(), r.IntN(p.Addr().BitLen()+1)).Masked())
		}
		orders[r.IntN(3)](all)
		for range r.IntN(3) {
			i, j := r.IntN(len(all)), r.IntN(len(all))
			all[i], all[j] = all[j], all[i]
		}
		fast, slow := engine.New().Edit().(*Editor), engine.New().(*Table).edit()
		require.True(t, fast.runs)
		require.False(t, slow.runs)
		reads := r.IntN(2) * len(all)
		for _, p := range all {
			i := lookup.Index(r.IntN(300))
			was, replaced := slow.Insert(p, i)
			old, again := fast.Insert(p, i)
			require.True(t, was == old && replaced == again && slow.Len() == fast.Len(), p)
			switch q := all[r.IntN(len(all))]; {
			case reads == 0 || r.IntN(reads) > 2:
			case r.IntN(2) == 0:
				slow.Delete(q)
				fast.Delete(q)
			default:
				was, found := slow.Get(q)
				i, ok := fast.Get(q)
				require.True(t, was == i && found == ok, q)
			}
		}
		var versions []*Table
		var held []map[netip.Prefix]lookup.Index
		for range 3 {
			x, y := slow.table(), fast.table()
			require.True(t, maps.Equal(collect(x), collect(y)))
			whole(t, y.four)
			whole(t, y.six)
			versions, held = append(versions, y), append(held, maps.Collect(x.All()))
			for range 200 {
				a := all[r.IntN(len(all))].Addr()
				m, ok := x.Lookup(a)
				w, found := y.Lookup(a)
				require.True(t, m == w && ok == found, a)
			}
			for range r.IntN(n + 1) {
				p, i := all[r.IntN(len(all))], lookup.Index(r.IntN(300))
				if r.IntN(2) == 0 {
					slow.Insert(p, i)
					fast.Insert(p, i)
				} else {
					slow.Delete(p)
					fast.Delete(p)
				}
			}
		}
		for i, v := range versions {
			require.True(t, maps.Equal(held[i], maps.Collect(v.All())))
		}
	}
}

// whole requires that a tree is one: counted, in order, no leaf too long.
func whole(t *testing.T, n *node[lookup.Index]) int {
	if n == nil {
		return 0
	}
	count := len(n.list)
	for i := range n.list {
		e := &n.list[i]
		require.True(t, n.holds(e.key) && n.keeps(int(e.length)) && int(e.length) >= int(n.depth) && (i == 0 || n.list[i-1].before(e)))
	}
	if n.kids == nil {
		require.True(t, count > 0 && (count <= burstAt || n.depth == 64))
	} else {
		for i, kid := range n.kids {
			if kid != nil {
				require.Equal(t, [2]int{i, int(n.depth) + step}, [2]int{n.digit(kid.first), int(kid.depth)})
				require.Equal(t, kid.first&maskOf(int(kid.depth)), kid.first)
			}
			count += whole(t, kid)
		}
		require.Greater(t, count, mergeAt)
	}
	require.Equal(t, n.n, count)
	return count
}
