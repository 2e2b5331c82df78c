package fib

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/internal/conformance"
	"github.com/fibula-net/fibula/rules"
)

// Two links got an address within the resolution of the kernel's stamp: the order
// of the local routes tells which was last.
func TestOwnerOfAddressWithEqualStamps(t *testing.T) {
	a := netip.MustParsePrefix("10.77.0.1/24")
	for _, last := range []int32{2, 3} {
		st := twoLinks()
		for _, dev := range []int32{5 - last, last} {
			st.Routes = append(st.Routes, Route{Table: TableLocal, Dst: netip.PrefixFrom(a.Addr(), 32), Type: TypeLocal, Scope: ScopeHost,
				Protocol: ProtoKernel, Nexthops: []Nexthop{{Link: dev, Weight: 1}}})
		}
		for _, dev := range []int32{2, 3} { // in the order of links, as dumped
			st.Addresses = append(st.Addresses, Address{Link: dev, Local: a.Addr(), Prefix: a, Created: 12345})
		}
		d := loaded(t, Config{}, st).Snapshot().Resolve(Flow{Dst: netip.MustParseAddr("239.1.2.3"), Src: a.Addr()})
		require.Equal(t, last, d.Link)
	}
}

// Many routes under one prefix load in time and memory that grow with their
// number, in whatever order they come.
func TestLoadOfManyAliases(t *testing.T) {
	const n = 20_000
	st := &State{Links: twoLinks().Links}
	plain, sources := netip.MustParsePrefix("10.8.0.0/16"), netip.MustParsePrefix("2001:db8::/32")
	for i := range uint32(n) {
		leg := []Nexthop{{Link: 2 + int32(i%2), Weight: 1}}
		st.Routes = append(st.Routes, Route{Table: TableMain, Dst: plain, Type: TypeUnicast, Priority: i, Nexthops: leg},
			Route{Table: TableMain, Dst: sources, Src: netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)}), 128),
				Type: TypeUnicast, Priority: 1, Nexthops: leg})
	}
	var f *FIB
	mallocs := testing.AllocsPerRun(1, func() { f = loaded(t, Config{}, st) })
	require.Less(t, mallocs, float64(40*n))
	got := slices.Collect(f.Snapshot().RoutesOf(Inet, TableMain))
	require.Len(t, got, n)
	for i := range got {
		require.Equal(t, uint32(i), got[i].Priority)
	}
	require.Len(t, slices.Collect(f.Snapshot().RoutesOf(Inet6, TableMain)), n)
	before := f.in.internState()
	_, err := f.Update(func(tx *Txn) error {
		for i := range st.Routes {
			r := st.Routes[i]
			r.Priority += n
			require.NoError(t, tx.LoadRoute(&r))
		}
		return errors.New("no")
	})
	require.Error(t, err)
	require.Equal(t, before, f.in.internState())
}

// A route that is loaded first of all in a transaction must not reach the leaves
// of the snapshot that readers hold.
func TestLoadRouteLeavesSnapshotAlone(t *testing.T) {
	for _, fail := range []error{nil, errors.New("no")} {
		f := loaded(t, Config{}, twoLinks())
		s := f.Snapshot()
		page := s.leaves[0]
		_, err := f.Update(func(tx *Txn) error {
			r := Route{Dst: netip.MustParsePrefix("10.8.0.0/16"), Type: TypeUnicast, Nexthops: []Nexthop{{Link: 2, Gateway: netip.MustParseAddr("10.1.0.77")}}}
			require.NoError(t, tx.LoadRoute(&r))
			return fail
		})
		require.Equal(t, fail, err)
		require.True(t, page == s.leaves[0], "the snapshot got another page")
		require.NoError(t, f.CheckWriter())
	}
}

// What a transaction shows of a load is what it publishes, also where the scope of
// a gateway had to wait for the tables.
func TestLoadShowsSettledScopes(t *testing.T) {
	st := twoLinks()
	own := netip.MustParseAddr("10.2.0.1") // of d1, and by table 50 a way through d0
	st.Routes = append(st.Routes,
		Route{Table: 50, Dst: netip.MustParsePrefix("10.8.0.0/16"), Type: TypeUnicast, Nexthops: []Nexthop{{Link: 2, Gateway: own, Weight: 1}}},
		Route{Table: 50, Dst: netip.MustParsePrefix("10.2.0.0/16"), Type: TypeUnicast, Scope: ScopeLink, Nexthops: []Nexthop{{Link: 2, Weight: 1}}})
	st.Rules = append(st.Rules, rules.Rule{Family: Inet, Priority: 10, Action: rules.ActLookup, Table: 50})
	flow := Flow{Dst: netip.MustParseAddr("10.8.1.1")}
	f := New(Config{})
	var within Decision
	_, err := f.Update(func(tx *Txn) error {
		err := tx.Load(st)
		within = tx.Snapshot().Resolve(flow)
		return err
	})
	require.NoError(t, err)
	require.Equal(t, own, within.Gateway)
	require.Equal(t, within, f.Snapshot().Resolve(flow))
}

// A gateway on lo, of which nothing tells whether it was our own when the route came,
// most likely was.
func TestLoadedGatewayOnLo(t *testing.T) {
	conformance.CoversEngine(t, "B30")
	st := twoLinks()
	gw := netip.MustParseAddr("127.0.0.9")
	st.Routes = append(st.Routes, Route{Table: TableMain, Dst: netip.MustParsePrefix("10.8.0.0/16"), Type: TypeUnicast, Nexthops: []Nexthop{{Link: 1, Gateway: gw, Weight: 1}}})
	s := loaded(t, Config{}, st).Snapshot()
	flow := Flow{Dst: netip.MustParseAddr("10.8.1.1")}
	require.Equal(t, UndeterminedGateway, s.Resolve(flow).Undetermined)
	c := s.Candidates(flow)
	require.Len(t, c, 2)
	require.Equal(t, []netip.Addr{{}, gw}, []netip.Addr{c[0].Gateway, c[1].Gateway})
}
