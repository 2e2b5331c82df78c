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
