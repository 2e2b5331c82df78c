package fib_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/randtest"
)

func TestEachRouteAndRoutesAtAgreeWithRoutes(t *testing.T) {
	g := stateGen{randtest.Rand(t)}
	for range 50 {
		f := fib.New(fib.Config{})
		_, err := f.Update(func(tx *fib.Txn) error { return tx.Load(g.state()) })
		require.NoError(t, err)
		s := f.Snapshot()
		var each, at []fib.Route
		for _, fam := range []fib.Family{fib.Inet, fib.Inet6} {
			for id := range s.Tables(fam) {
				var last netip.Prefix
				s.EachRoute(fam, id, func(r *fib.Route) bool {
					if r.Dst != last {
						at = append(at, s.RoutesAt(id, r.Dst)...)
						last = r.Dst
					}
					c := *r
					c.Nexthops = slices.Clone(r.Nexthops)
					if len(c.Nexthops) == 0 {
						c.Nexthops = nil
					}
					each = append(each, c)
					return true
				})
			}
		}
		all := slices.Collect(s.Routes())
		assert.Equal(t, all, each)
		assert.Equal(t, all, at)
	}
}

func TestEachRouteDoesNotAllocatePerRoute(t *testing.T) {
	f := fib.New(fib.Config{})
	r := fib.Route{Table: 100, Type: fib.TypeUnicast, Nexthops: []fib.Nexthop{{Link: 2, Weight: 1}}}
	_, err := f.Update(func(tx *fib.Txn) error {
		for i := range 1000 {
			r.Dst = netip.PrefixFrom(netip.AddrFrom4([4]byte{20, byte(i >> 8), byte(i), 0}), 24)
			if err := tx.LoadRoute(&r); err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(t, err)
	s := f.Snapshot()
	n := testing.AllocsPerRun(10, func() { s.EachRoute(fib.Inet, 100, func(*fib.Route) bool { return true }) })
	assert.Less(t, n, 20.)
}

// What is spread are the same routes under the same numbers, those of one prefix together.
func TestEachRouteSpreadIsEachRouteInAnotherOrder(t *testing.T) {
	f := fib.New(fib.Config{})
	_, err := f.Update(func(tx *fib.Txn) error {
		for i := range 200 {
			r := fib.Route{Table: 100, Type: fib.TypeUnreachable, Dst: netip.PrefixFrom(netip.AddrFrom4([4]byte{20, byte(i), 0, 0}), 16+i%9)}
			for k := range 1 + i%3 {
				r.Priority = uint32(k)
				if err := tx.AddRoute(r, fib.OpAdd); err != nil {
					return err
				}
			}
		}
		return nil
	})
	require.NoError(t, err)
	s := f.Snapshot()
	var all []string
	var dsts []netip.Prefix
	s.EachRoute(fib.Inet, 100, func(r *fib.Route) bool {
		all, dsts = append(all, r.String()), append(dsts, r.Dst)
		return true
	})
	prefixes := slices.Compact(slices.Clone(dsts))
	for _, step := range []int{1, 2, 7, 8, 1000} {
		var want, got []netip.Prefix
		for from := range step {
			for i := from; i < len(prefixes); i += step {
				want = append(want, prefixes[i])
			}
		}
		var numbers []int
		s.EachRouteSpread(100, step, func(int) bool { return true }, func(n int, r *fib.Route) bool {
			require.Equal(t, all[n], r.String())
			got, numbers = append(got, r.Dst), append(numbers, n)
			return true
		})
		assert.Equal(t, want, slices.Compact(got), "step %d", step)
		slices.Sort(numbers)
		assert.Len(t, slices.Compact(numbers), len(all), "step %d", step)
	}
	one := 0
	s.EachRouteSpread(100, 8, func(n int) bool { return n == 77 }, func(_ int, r *fib.Route) bool {
		assert.Equal(t, dsts[77], r.Dst)
		one++
		return false
	})
	assert.Equal(t, 1, one)
	n := testing.AllocsPerRun(10, func() {
		s.EachRouteSpread(100, 8, func(int) bool { return true }, func(int, *fib.Route) bool { return true })
	})
	assert.Less(t, n, 40.)
}
