package fib

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// What a transaction shows of itself includes its routes.
func TestTxnSnapshotListsItsRoutes(t *testing.T) {
	f := loaded(t, Config{}, twoLinks())
	dst := netip.MustParsePrefix("10.8.0.0/16")
	_, err := f.Update(func(tx *Txn) error {
		require.NoError(t, tx.AddRoute(Route{Dst: dst, Nexthops: []Nexthop{{Link: 2}}}, OpAdd))
		inside := tx.Snapshot().State()
		require.True(t, slices.ContainsFunc(inside.Routes, func(r Route) bool { return r.Dst == dst }))
		require.NoError(t, tx.DeleteRoute(Route{Dst: dst, Scope: ScopeNowhere}))
		require.Equal(t, f.Snapshot().State(), tx.Snapshot().State())
		require.NoError(t, tx.Load(twoLinks()))
		require.Equal(t, f.Snapshot().State(), tx.Snapshot().State())
		return nil
	})
	require.NoError(t, err)
}

// What a snapshot hands out may be changed by who got it.
func TestSnapshotHandsOutCopies(t *testing.T) {
	st := twoLinks()
	group, other := netip.MustParseAddr("239.1.1.1"), netip.MustParseAddr("239.2.2.2")
	st.Links[1].Groups4 = []netip.Addr{group}
	s := loaded(t, Config{}, st).Snapshot()
	s.State().Links[1].Groups4[0] = other
	l, _ := s.Link(2)
	l.Groups4[0] = other
	for l := range s.Links() {
		if l.Index == 2 {
			l.Groups4[0] = other
		}
	}
	require.Equal(t, []netip.Addr{group}, s.links[2].Groups4)
}

func TestSameAddrLabelsPublishNothing(t *testing.T) {
	f := loaded(t, Config{}, twoLinks())
	res, err := f.Update(func(tx *Txn) error { return tx.SetAddrLabels(DefaultAddrLabels()) })
	require.NoError(t, err)
	require.False(t, res.Changed)
}

// The first leg with realms makes sources be looked up, within the transaction too.
func TestTxnSnapshotKnowsOfRealms(t *testing.T) {
	st := twoLinks()
	for i := range st.Links {
		st.Links[i].Conf4.Forwarding = true
	}
	st.Routes = append(st.Routes, Route{Table: TableLocal, Dst: netip.MustParsePrefix("10.1.0.255/32"), Type: TypeBroadcast, Scope: ScopeLink,
		Nexthops: []Nexthop{{Link: 2, Weight: 1}}})
	f := loaded(t, Config{}, st)
	flow := Flow{Dst: netip.MustParseAddr("10.2.0.9"), Src: netip.MustParseAddr("10.1.0.255"), Iif: 2}
	require.Zero(t, f.Snapshot().Resolve(flow).Errno)
	var inside Decision
	_, err := f.Update(func(tx *Txn) error {
		require.NoError(t, tx.AddRoute(Route{Dst: netip.MustParsePrefix("10.8.0.0/16"), Nexthops: []Nexthop{{Link: 2, Realms: 5}}}, OpAdd))
		inside = tx.Snapshot().Resolve(flow)
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, EINVAL, f.Snapshot().Resolve(flow).Errno)
	require.Equal(t, f.Snapshot().Resolve(flow), inside)
}
