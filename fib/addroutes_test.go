package fib

import (
	"math/rand/v2"
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
