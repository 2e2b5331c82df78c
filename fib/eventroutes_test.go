package fib

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// onD0 is an IPv4 route through link 2.
func onD0(dst string, changes ...func(*Route)) Route {
	r := Route{Table: TableMain, Dst: netip.MustParsePrefix(dst), Type: TypeUnicast, Scope: ScopeLink, Nexthops: []Nexthop{{Link: 2}}}
	for _, c := range changes {
		c(&r)
	}
	return r
}

// routesAfter lists what twoUp has of a family and table after some operations.
func routesAfter(t *testing.T, f Family, id TableID, ops func(tx *Txn) error) []string {
	t.Helper()
	b := twoUp(t)
	mustUpdate(t, b, ops)
	return listing(b.Snapshot(), f, id)
}

// setFlags changes the flags of link 2.
func setFlags(tx *Txn, flags LinkFlags) error { return tx.SetLink(ethernet(2, flags)) }

func TestPeerHasANetworkRoute(t *testing.T) { // E1
	a := Address{Link: 2, Local: netip.MustParseAddr("10.5.0.1"), Prefix: netip.MustParsePrefix("10.5.0.9/32")}
	assert.Contains(t, routesAfter(t, Inet, TableMain, func(tx *Txn) error { return tx.AddAddress(a) }), "unicast 10.5.0.9/32 dev 2")
	a.Prefix = netip.MustParsePrefix("10.5.0.1/32")
	assert.NotContains(t, routesAfter(t, Inet, TableMain, func(tx *Txn) error { return tx.AddAddress(a) }), "unicast 10.5.0.1/32 dev 2")
}

func TestPreferredSourceFallsInMainOnly(t *testing.T) { // E4
	a := address(2, "10.5.0.1/24")
	prefers := func(id TableID) func(*Route) { return func(r *Route) { r.Table, r.PrefSrc = id, a.Local } }
	for id, left := range map[TableID]bool{TableMain: false, 50: true} {
		routes := routesAfter(t, Inet, id, func(tx *Txn) error {
			return errors.Join(tx.AddAddress(a), tx.AddRoute(onD0("192.0.2.0/24", prefers(id)), OpAdd), tx.DeleteAddress(a))
		})
		assert.Equal(t, left, len(routes) > 0 && routes[len(routes)-1] == "unicast 192.0.2.0/24 dev 2", "table %v: %v", id, routes)
	}
}

func TestLinkDownLeavesLocalRoutes(t *testing.T) { // E7
	down := func(tx *Txn) error { return setFlags(tx, 0) }
	local := routesAfter(t, Inet, TableLocal, down)
	assert.Contains(t, local, "local 10.1.0.1/32 dev 2")
	assert.NotContains(t, local, "broadcast 10.1.0.255/32 dev 2")
	assert.NotContains(t, routesAfter(t, Inet, TableMain, down), "unicast 10.1.0.0/24 dev 2")
}

func TestMultipathRouteFallsWithItsLastLeg(t *testing.T) { // E12
	r := Route{Table: TableMain, Dst: netip.MustParsePrefix("2001:db8:9::/48"), Type: TypeUnicast, Priority: 1024, Nexthops: []Nexthop{
		{Link: 2, Gateway: netip.MustParseAddr("2001:db8:1::9")}, {Link: 3, Gateway: netip.MustParseAddr("2001:db8:2::9")}}}
	one := routesAfter(t, Inet6, TableMain, func(tx *Txn) error { return errors.Join(tx.AddRoute(r, OpAdd), setFlags(tx, 0)) })
	assert.Contains(t, one, "unicast 2001:db8:9::/48 dev 2 via 2001:db8:1::9 dead linkdown dev 3 via 2001:db8:2::9")
	both := routesAfter(t, Inet6, TableMain, func(tx *Txn) error {
		return errors.Join(tx.AddRoute(r, OpAdd), setFlags(tx, 0), tx.SetLink(ethernet(3, 0)))
	})
	for _, line := range both {
		assert.NotContains(t, line, "2001:db8:9::/48")
	}
}

func TestCarrierLossSparesLocalRoutes(t *testing.T) { // E13
	lost := func(tx *Txn) error { return setFlags(tx, LinkUp) }
	assert.Contains(t, routesAfter(t, Inet6, TableLocal, lost), "local 2001:db8:1::1/128 dev 2")
	assert.Contains(t, routesAfter(t, Inet6, TableMain, lost), "unicast 2001:db8:1::/64 dev 2 linkdown")
}

// What random requests alone told apart.
func TestRequestsAtTheEdge(t *testing.T) {
	gateway := netip.MustParseAddr("10.1.0.9")
	for _, c := range []struct {
		name string
		r    Route
		want error
	}{
		{"pervasive without a gateway (B29)", onD0("192.0.2.0/24", func(r *Route) { r.Nexthops[0].Flags = FlagPervasive }), EINVAL},
		{"onlink with scope link (B30)", onD0("192.0.2.0/24", func(r *Route) { r.Nexthops[0] = Nexthop{Link: 2, Gateway: gateway, Flags: FlagOnlink} }), EINVAL},
		{"onlink with scope site (B30)", onD0("192.0.2.0/24", func(r *Route) {
			r.Scope, r.Nexthops[0] = ScopeSite, Nexthop{Link: 2, Gateway: gateway, Flags: FlagOnlink}
		}), nil},
		{"a unicast route that prefers its destination (B31)", onD0("192.0.2.1/32", func(r *Route) { r.PrefSrc = r.Dst.Addr() }), EINVAL},
		{"a local route that prefers its destination (B31)", onD0("192.0.2.1/32", func(r *Route) {
			r.Type, r.Scope, r.PrefSrc = TypeLocal, ScopeHost, r.Dst.Addr()
		}), nil},
	} {
		_, err := twoUp(t).Update(func(tx *Txn) error { return tx.AddRoute(c.r, OpAdd) })
		if c.want == nil {
			require.NoError(t, err, c.name)
		} else {
			require.ErrorIs(t, err, c.want, c.name)
		}
	}
}
