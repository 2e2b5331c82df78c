package fib

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/internal/randtest"
)

// TestAddRoutesIsAddRoute: many routes at once, refused ones among them, are what they are one by one.
func TestAddRoutesIsAddRoute(t *testing.T) {
	r := rand.New(rand.NewPCG(randtest.Seed(t), 0))
	refused, entered := 0, 0
	for range randtest.Fewer(60) {
		together, alone := loaded(t, Config{}, twoLinks()), loaded(t, Config{}, twoLinks())
		for range 3 {
			routes := make([]Route, r.IntN(3*expected))
			for i := range routes {
				routes[i] = randomRoute(r)
				routes[i].Table = []TableID{TableMain, 50, TableUnspec}[r.IntN(3)]
				routes[i].Metrics.Values[MetricMTU] = uint32(r.IntN(2)) * 1300
			}
			flags := []AddFlags{OpReplace, OpReplace, OpPrepend, OpAdd}[r.IntN(4)]
			var n, m int
			var err, want error
			_, _ = together.Update(func(tx *Txn) error {
				n, err = tx.AddRoutes(routes, flags)
				return nil
			})
			_, _ = alone.Update(func(tx *Txn) error {
				for m = range routes {
					if want = tx.AddRoute(routes[m], flags); want != nil {
						return nil
					}
				}
				m = len(routes)
				return nil
			})
			require.Equal(t, want, err)
			require.Equal(t, m, n)
			require.Equal(t, alone.Snapshot().State(), together.Snapshot().State())
			require.Equal(t, alone.Snapshot().Generation(), together.Snapshot().Generation())
			entered += n
			if err != nil {
				refused++
			}
		}
	}
	require.Positive(t, refused)
	require.Greater(t, entered, randtest.Fewer(60)*expected)
}

// TestAddRoutesRefusedChangesNothing: what was looked at ahead is no change.
func TestAddRoutesRefusedChangesNothing(t *testing.T) {
	f := loaded(t, Config{}, twoLinks())
	route := f.Snapshot().RoutesOf(Inet, TableMain)
	var routes []Route
	for r := range route {
		routes = append(routes, r, r)
	}
	for len(routes) < 2*expected {
		routes = append(routes, routes...)
	}
	res, err := f.Update(func(tx *Txn) error {
		n, err := tx.AddRoutes(routes, OpAdd)
		require.Zero(t, n)
		require.ErrorIs(t, err, EEXIST)
		return nil
	})
	require.NoError(t, err)
	require.False(t, res.Changed)
}

// TestAddRoutesIsHostile: a transaction that has ended touches nothing of the next, and what is no route is refused.
func TestAddRoutesIsHostile(t *testing.T) {
	f := loaded(t, Config{}, twoLinks())
	var many []Route
	for i := range 2 * expected {
		many = append(many, Route{Dst: netip.PrefixFrom(netip.AddrFrom4([4]byte{60, byte(i >> 8), byte(i)}), 24), Type: TypeUnreachable},
			Route{Dst: netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, byte(i >> 8), byte(i)}), 48), Type: TypeUnreachable, Priority: 1})
	}
	var ended *Txn
	_, err := f.Update(func(tx *Txn) error {
		ended = tx
		n, err := tx.AddRoutes(many, OpAdd)
		require.Equal(t, len(many), n)
		return err
	})
	require.NoError(t, err)
	f.in.scratch.prefixes = nil
	n, err := ended.AddRoutes(many, OpReplace)
	require.ErrorIs(t, err, ErrTxnDone)
	require.Zero(t, n)
	require.Nil(t, f.in.scratch.prefixes, "another transaction may use it now")
	for _, dst := range []netip.Prefix{{}, netip.PrefixFrom(netip.MustParseAddr("::ffff:1.2.3.4"), 96), netip.PrefixFrom(netip.MustParseAddr("1.2.3.4"), 99)} {
		_, err = f.Update(func(tx *Txn) error {
			n, err := tx.AddRoutes([]Route{{Dst: dst}, {Dst: dst}, many[0]}, OpReplace)
			require.Zero(t, n)
			return err
		})
		require.Error(t, err)
	}
}
