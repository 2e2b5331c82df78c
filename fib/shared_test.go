package fib

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/internal/fulltable"
	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/lookup/flat"
	"github.com/fibula-net/fibula/lookup/lookuptest"
	"github.com/fibula-net/fibula/lookup/trie"
)

// arrayBytes is what the table has for itself of the compiled engine.
func (s *Snapshot) arrayBytes(f Family, id TableID) int { return int(s.table(f, id).flat.ArrayBytes()) }

// TestLargeTablesShare: tables that are nearly equal share, however they come to be, and answer as those of
// an engine that shares nothing, whatever becomes of each.
func TestLargeTablesShare(t *testing.T) {
	rng := randtest.Rand(t)
	const tables = 5
	n4, n6 := randtest.Fewer(2000), randtest.Fewer(1500) // too few for arrays under the race detector, which takes a minute to clear them
	engine := flat.Engine{Direct4: 1000, Direct6: 1000}
	prefixes := fulltable.Synthetic(n4, n6, rng.Uint64())
	gateways := [...]netip.Addr{netip.MustParseAddr("10.1.0.77"), netip.MustParseAddr("2001:db8:1::77")}
	route := func(p netip.Prefix, table TableID, priority uint32) Route {
		n := Nexthop{Link: 2 + int32(priority%2), Gateway: gateways[0], Weight: 1}
		if p.Addr().Is6() {
			n.Gateway = gateways[1]
		}
		return Route{Table: table, Dst: p, Type: TypeUnicast, Protocol: ProtoStatic, Priority: 1 + priority, Nexthops: []Nexthop{n}}
	}
	st := twoLinks()
	for table := range TableID(tables) {
		for _, p := range prefixes {
			switch rng.IntN(200) {
			case 0:
				continue
			case 1:
				st.Routes = append(st.Routes, route(p, 100+table, rng.Uint32N(4)))
				continue
			}
			st.Routes = append(st.Routes, route(p, 100+table, 0))
		}
	}
	shared, alone := loaded(t, Config{Engine: engine}, st), loaded(t, Config{Engine: trie.Engine{}}, st)
	check := func() {
		a, b := shared.Snapshot(), alone.Snapshot()
		require.NoError(t, shared.CheckWriter())
		for _, addr := range append(lookuptest.Matching(prefixes, 300, rng.Uint64()), lookuptest.Uniform(4, 50, rng.Uint64())...) {
			for table := range TableID(tables) {
				require.Equal(t, b.LookupTable(100+table, addr), a.LookupTable(100+table, addr), "%v in %d", addr, table)
			}
		}
		for _, f := range [...]Family{Inet, Inet6} {
			for table := range TableID(tables) {
				require.Equal(t, slices.Collect(b.RoutesOf(f, 100+table)), slices.Collect(a.RoutesOf(f, 100+table)))
			}
		}
	}
	sharing := func() (n int) {
		for _, f := range [...]Family{Inet, Inet6} {
			for table := range TableID(tables) {
				if shared.Snapshot().arrayBytes(f, 100+table) < 1<<20 {
					n++
				}
			}
		}
		return n
	}
	require.Equal(t, 2*tables, sharing())
	check()
	both := func(fn func(*Txn) error) {
		for _, f := range [...]*FIB{shared, alone} {
			_, err := f.Update(fn)
			require.NoError(t, err)
		}
	}
	change := func(table TableID, some int) {
		seed := rng.Uint64()
		both(func(tx *Txn) error {
			rng := rand.New(rand.NewPCG(seed, 0))
			for range some {
				p := prefixes[rng.IntN(len(prefixes))]
				r := route(p, table, rng.Uint32N(4))
				switch rng.IntN(3) {
				case 0:
					_ = tx.DeleteRoute(Route{Table: table, Dst: p, Type: TypeUnicast})
				default:
					_ = tx.LoadRoute(&r)
				}
			}
			return nil
		})
	}
	for range 5 {
		change(100+TableID(rng.Uint32N(tables)), 20)
	}
	check()
	// So much that one stands alone.
	change(101, (n4+n6)/2)
	require.LessOrEqual(t, sharing(), 2*tables-n4/1000)
	check()
	// A table that comes later, route by route, finds one to share with.
	both(func(tx *Txn) error {
		for _, p := range prefixes {
			r := route(p, 100+tables, 0)
			if err := tx.LoadRoute(&r); err != nil {
				return err
			}
		}
		return nil
	})
	require.Less(t, shared.Snapshot().arrayBytes(Inet, 100+tables), 1<<20)
	// And one that goes leaves the others as they are.
	both(func(tx *Txn) error {
		for _, p := range prefixes {
			for tx.DeleteRoute(Route{Table: 100, Dst: p, Type: TypeUnicast}) == nil {
			}
		}
		return nil
	})
	check()
}
