package flat

import (
	"iter"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fibula-net/fibula/internal/fulltable"
	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/lookup"
	"github.com/fibula-net/fibula/lookup/lookuptest"
	"github.com/fibula-net/fibula/lookup/trie"
)

// sharing makes tables of which each differs from another one in all that it holds and all that that
// one holds, so that answers come from everywhere.
type sharing struct{ Engine }

func (e sharing) New() lookup.Table { return emptied() }

var colliding = sync.OnceValue(func() []netip.Prefix { return lookuptest.Colliding(400, 1) })

// emptied is a table without prefixes that shares one with many.
var emptied = sync.OnceValue(func() lookup.Table {
	engine := Engine{Differ: 1 << 20}
	below := engine.Build(lookuptest.Indexed(colliding()[:200])).(*Table)
	next := engine.Build(below.All()).(*Table).edit()
	if !next.Share(below.edit()) {
		panic("a table is not like itself")
	}
	for p := range below.All() {
		next.Delete(p)
	}
	return next.Table()
})

func (e sharing) Build(routes iter.Seq2[netip.Prefix, lookup.Index]) lookup.Table {
	next := e.New().Edit()
	for p, i := range routes {
		next.Insert(p, i)
	}
	return next.Table()
}

func TestSharedTables(t *testing.T) { lookuptest.TestEngine(t, sharing{}) }

func FuzzSharedTables(f *testing.F) { lookuptest.Fuzz(f, sharing{}) }

// TestSharedTablesAreTheSame compares tables that share with ones that don't, under changes that bring them
// together and apart, in every read method.
func TestSharedTablesAreTheSame(t *testing.T) {
	for _, engine := range []Engine{{Differ: 25}, {Differ: 25, Ranges: 1}, {Differ: 25, Direct4: 1, Direct6: 1}}[:2+randtest.Fewer(10)/10] {
		n := 0
		shared, apart := 0, 0
		rapid.Check(t, func(t *rapid.T) {
			if n++; engine.Direct4 == 1 && n > randtest.Fewer(12) {
				return // each costs 32 MiB to clear
			}
			rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
			universe := make([]netip.Prefix, 60)
			for i := range universe {
				universe[i] = colliding()[rng.IntN(400)]
			}
			any := func() netip.Prefix { return universe[rng.IntN(len(universe))] }
			a, golden := engine.New().(*Table).edit(), trie.Engine{}.New().Edit()
			for range 40 {
				p, i := any(), rng.Uint32N(4)
				a.Insert(p, i)
				golden.Insert(p, i)
			}
			other := a.Table().(*Table)
			b := engine.New().(*Table).edit()
			for p, i := range other.All() {
				b.Insert(p, i)
			}
			change := func() {
				if p := any(); rng.IntN(2) == 0 {
					i := rng.Uint32N(4)
					old, was := b.Insert(p, i)
					wantOld, want := golden.Insert(p, i)
					require.Equal(t, wantOld, old)
					require.Equal(t, want, was)
				} else {
					old, was := b.Delete(p)
					wantOld, want := golden.Delete(p)
					require.Equal(t, wantOld, old)
					require.Equal(t, want, was)
				}
			}
			for range rng.IntN(4) {
				change()
			}
			shares := b.Like(other) && b.Share(a)
			if shares {
				shared++
			}
			for range 5 {
				for range rng.IntN(6) {
					change()
				}
				equal(t, golden.Table(), b.View(), universe, rng)
				equal(t, golden.Table(), b.Table(), universe, rng)
				if shares && b.next.under == nil {
					apart++
				}
			}
			require.Equal(t, collect(other), collect(a.Table()))
		})
		if n >= 100 && engine.Direct4 == 0 {
			assert.NotZero(t, shared)
			assert.NotZero(t, apart)
		}
	}
}

func collect(t lookup.Table) map[netip.Prefix]lookup.Index {
	all := map[netip.Prefix]lookup.Index{}
	for p, i := range t.All() {
		all[p] = i
	}
	return all
}

func equal(t require.TestingT, want, got lookup.Table, universe []netip.Prefix, rng *rand.Rand) {
	type pair struct {
		netip.Prefix
		lookup.Index
	}
	list := func(s iter.Seq2[netip.Prefix, lookup.Index]) (out []pair) {
		for p, i := range s {
			out = append(out, pair{p, i})
		}
		return out
	}
	require.Equal(t, want.Len(), got.Len())
	require.Equal(t, list(want.All()), list(got.All()))
	flat := got.(*Table)
	for range 12 {
		p := universe[rng.IntN(len(universe))]
		require.Equal(t, list(want.Covered(p)), list(got.Covered(p)), "inside %v", p)
		require.Equal(t, list(want.Covering(p)), list(got.Covering(p)), "around %v", p)
		addr := lookuptest.Matching([]netip.Prefix{p}, 1, rng.Uint64())[0]
		m, ok := want.Lookup(addr)
		x, found := got.Lookup(addr)
		require.Equal(t, ok, found, "%v", addr)
		require.Equal(t, m, x, "%v", addr)
		i := indexOf(m, ok)
		hi, lo := words(addr)
		var out [1]lookup.Index
		if addr.Is4() {
			require.Equal(t, i, flat.Lookup4(uint32(hi>>32)))
			flat.LookupBatch4([]uint32{uint32(hi >> 32)}, out[:])
		} else {
			require.Equal(t, i, flat.Lookup6([2]uint64{hi, lo}))
			flat.LookupBatch6([][2]uint64{{hi, lo}}, out[:])
		}
		require.Equal(t, i, out[0], "%v in a batch", addr)
	}
}

// TestManyLargeTablesShare: 64 tables with an eighth of the internet's prefixes, of which each has one of
// a hundred to itself. `fibula bench` measures whole ones.
func TestManyLargeTablesShare(t *testing.T) {
	everything, _ := fulltable.Get(t.Context())
	var prefixes []netip.Prefix
	for k, p := range everything {
		if k%8 == 0 {
			prefixes = append(prefixes, p)
		}
	}
	addrs := lookuptest.Matching(prefixes, 1000, 1)
	before := int64(heap())
	all := []*Table{Engine{}.Build(lookuptest.Indexed(prefixes)).(*Table)}
	one := int64(heap()) - before
	const tables = 64
	for k := 1; k < randtest.Fewer(tables); k++ {
		rng := rand.New(rand.NewPCG(uint64(k), 1))
		next := all[0].fresh().edit()
		for p, i := range lookuptest.Indexed(prefixes) {
			switch rng.IntN(300) {
			case 0:
				continue
			case 1:
				i ^= 1
			case 2:
				next.Insert(netip.PrefixFrom(p.Addr(), min(p.Bits()+1, p.Addr().BitLen())), i)
			}
			next.Insert(p, i)
		}
		golden := next.View()
		require.True(t, next.Large())
		first := all[0].edit()
		require.True(t, next.Like(all[0]) && next.Share(first))
		all[0] = first.table()
		all = append(all, next.table())
		assert.Same(t, all[1].under, all[k].under)
		assert.LessOrEqual(t, all[k].ArrayBytes(), all[0].under.ArrayBytes()/50)
		for _, a := range addrs {
			want, _ := golden.Lookup(a)
			got, _ := all[k].Lookup(a)
			require.Equal(t, want, got, "%v", a)
		}
	}
	used := int64(heap()) - before
	t.Logf("one table has %d kB beside its arrays, %d have %d kB: %.2f times as much", one>>10, len(all), used>>10, float64(used)/float64(one))
	assert.Less(t, used, 4*one)
	runtime.KeepAlive(all)
	runtime.KeepAlive(everything)
}
