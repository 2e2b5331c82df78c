package lookuptest

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/internal/fulltable"
	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/lookup"
	"github.com/fibula-net/fibula/lookup/linear"
)

// testInternet compares tables of internet shape, large enough for an engine to grow,
// split and copy in all its ways: built, edited a little, emptied by half.
func testInternet(t *testing.T, engine lookup.Engine, seed uint64) {
	random := source(seed)
	all := fulltable.Synthetic(randtest.Fewer(5000), randtest.Fewer(2500), seed)
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	probes := make([]netip.Prefix, 0, 150)
	for _, p := range all[:50] {
		inside := randomIn(p, random.Uint64)
		probes = append(probes, p, netip.PrefixFrom(inside, inside.BitLen()), netip.PrefixFrom(inside, inside.BitLen()/4))
	}
	want, got := linear.Engine{}.Build(Indexed(all)), engine.Build(Indexed(all))
	sameTables(t, want, got, probes)

	before := collect(got.All())
	wantNext, gotNext := want.Edit(), got.Edit()
	edit := func(prefixes []netip.Prefix) {
		for i, p := range prefixes {
			if i%2 == 0 {
				wantNext.Delete(p)
				gotNext.Delete(p)
			} else {
				wantNext.Insert(p, lookup.Index(seed)+uint32(i))
				gotNext.Insert(p, lookup.Index(seed)+uint32(i))
			}
		}
		sameTables(t, wantNext.Table(), gotNext.Table(), probes)
	}
	edit(all[:3])
	edit(fulltable.Synthetic4(30, seed+2))
	edit(all)

	for _, p := range all {
		gotNext.Delete(p)
	}
	for _, p := range fulltable.Synthetic4(30, seed+2) {
		gotNext.Delete(p)
	}
	sameTables(t, linear.Engine{}.New(), gotNext.Table(), probes)
	require.Equal(t, before, collect(got.All()), "the first version changed under later edits")
}

// testReadersWhileEditing lets readers hold versions while an editor goes on. Each
// version carries its number under two prefixes, one of each family; a reader must see
// the same number under both, and never an older one than before.
func testReadersWhileEditing(t *testing.T, engine lookup.Engine, seed uint64) {
	const generations, readers = 300, 4
	var (
		four = netip.MustParsePrefix("198.18.0.0/15")
		six  = netip.MustParsePrefix("2001:db8::/32")
		base = fulltable.Synthetic(2000, 1000, seed)
	)
	first := engine.Build(Indexed(base)).Edit()
	first.Insert(four, 0)
	first.Insert(six, 0)
	type published struct{ lookup.Table }
	var current atomic.Pointer[published]
	current.Store(&published{first.Table()})
	oldest := current.Load()
	before := collect(oldest.All())

	var done atomic.Bool
	var wait sync.WaitGroup
	for range readers {
		wait.Go(func() {
			var last lookup.Index
			for finished := false; !finished; {
				finished = done.Load() // one more round after the last version
				table := current.Load()
				m4, ok4 := table.Shorter(four.Addr(), 16)
				m6, ok6 := table.Shorter(six.Addr(), 33)
				i4, _ := table.Get(four)
				if !assert.True(t, ok4 && ok6) || !assert.Equal(t, m4.Index, m6.Index, "half a version") ||
					!assert.Equal(t, m4.Index, i4) || !assert.GreaterOrEqual(t, m4.Index, last, "an older version") {
					return
				}
				last = m4.Index
			}
			assert.EqualValues(t, generations, last)
		})
	}
	e := oldest.Edit()
	random := source(seed)
	for generation := range lookup.Index(generations) {
		e.Insert(four, generation+1)
		for range 1 + random.IntN(8) {
			if p := base[random.IntN(len(base))]; random.IntN(2) == 0 {
				e.Delete(p)
			} else {
				e.Insert(p, generation)
			}
		}
		e.Insert(six, generation+1)
		current.Store(&published{e.Table()})
	}
	done.Store(true)
	wait.Wait()
	assert.Equal(t, before, collect(oldest.All()), "the oldest version changed")
}

func testNoAllocs(t *testing.T, engine lookup.Engine, seed uint64) {
	all := fulltable.Synthetic(500, 500, seed)
	table := engine.Build(Indexed(all))
	addrs := slices.Concat(Matching(all, 50, seed), Uniform(4, 25, seed), Uniform(6, 25, seed))
	addrs = append(addrs, netip.MustParseAddr("fe80::1%eth0"), netip.MustParseAddr("::ffff:192.0.2.1"), netip.Addr{})
	for name, r := range map[string]lookup.Reader{"table": table, "editor": table.Edit()} {
		for what, read := range map[string]func(k int){
			"Get":     func(k int) { r.Get(all[k%len(all)]) },
			"Lookup":  func(k int) { r.Lookup(addrs[k%len(addrs)]) },
			"Shorter": func(k int) { r.Shorter(addrs[k%len(addrs)], k%130) },
			"Len":     func(int) { r.Len() },
		} {
			k := 0
			assert.Zero(t, testing.AllocsPerRun(2*len(addrs), func() { read(k); k++ }), "%s of a %s", what, name)
		}
	}
}
