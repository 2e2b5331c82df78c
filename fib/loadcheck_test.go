package fib

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// What no dump can contain is refused, and a state that has it leaves the
// transaction as it was.
func TestLoadTakesAllOrNothing(t *testing.T) {
	addr, pfx := netip.MustParseAddr, netip.MustParsePrefix
	v6 := Route{Dst: pfx("2001:db8::/32"), Type: TypeUnicast}
	with := func(r Route, change func(*Route)) Route { change(&r); return r }
	cases := map[string]func(*State){
		"name twice":     func(s *State) { s.Links = append(s.Links, Link{Index: 9, Name: "d0"}) },
		"index twice":    func(s *State) { s.Links = append(s.Links, Link{Index: 2, Name: "d9"}) },
		"index 0":        func(s *State) { s.Links = append(s.Links, Link{Name: "d9"}) },
		"no link":        func(s *State) { s.Addresses[0].Link = 9 },
		"no address":     func(s *State) { s.Addresses[0].Local = netip.Addr{} },
		"no prefix":      func(s *State) { s.Addresses[0].Prefix = netip.Prefix{} },
		"prefix of IPv6": func(s *State) { s.Addresses[0].Prefix = pfx("::/64") },
		"no neighbour":   func(s *State) { s.Neighbours = []Neighbour{{Link: 2}} },
		"object 0":       func(s *State) { s.Nexthops = []NexthopObject{{Family: Inet}} },
		"object twice":   func(s *State) { s.Nexthops = []NexthopObject{{ID: 1, Family: Inet}, {ID: 1, Family: Inet}} },
		"no destination": func(s *State) { s.Routes = append(s.Routes, Route{}) },
		"unmasked":       func(s *State) { s.Routes[0].Dst = pfx("10.0.0.1/8") },
		"source unmasked": func(s *State) {
			s.Routes = append(s.Routes, with(v6, func(r *Route) { r.Src = pfx("2001:db8::1/64") }))
		},
		"source of IPv4":  func(s *State) { s.Routes = append(s.Routes, with(v6, func(r *Route) { r.Src = pfx("10.0.0.0/8") })) },
		"prefsrc of IPv4": func(s *State) { s.Routes = append(s.Routes, with(v6, func(r *Route) { r.PrefSrc = addr("10.1.0.1") })) },
		"gateway of IPv4": func(s *State) {
			s.Routes = append(s.Routes, with(v6, func(r *Route) { r.Nexthops = []Nexthop{{Gateway: addr("10.1.0.9")}} }))
		},
		"gateway with a zone": func(s *State) {
			s.Routes = append(s.Routes, with(v6, func(r *Route) { r.Nexthops = []Nexthop{{Gateway: addr("fe80::1%d0")}} }))
		},
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			f := loaded(t, Config{}, twoLinks())
			before := f.Snapshot()
			bad := twoLinks()
			change(bad)
			res, err := f.Update(func(tx *Txn) error {
				var oe *OpError
				require.ErrorAs(t, tx.Load(bad), &oe)
				return nil
			})
			require.NoError(t, err)
			require.False(t, res.Changed)
			require.Same(t, before, f.Snapshot())
		})
	}
}

// Requests with addresses that do not go together were entered.
func TestAddRouteRefusesMixedFamilies(t *testing.T) {
	f := loaded(t, Config{}, twoLinks())
	_, err := f.Update(func(tx *Txn) error {
		for _, r := range []Route{
			{Dst: netip.MustParsePrefix("2001:db8:9::/48"), Src: netip.MustParsePrefix("10.0.0.0/8"), Nexthops: []Nexthop{{Link: 2}}},
			{Dst: netip.MustParsePrefix("10.9.0.0/16"), Type: TypeBlackhole, PrefSrc: netip.MustParseAddr("2001:db8::1")},
			{Dst: netip.MustParsePrefix("2001:db8:9::/48"), Nexthops: []Nexthop{{Link: 2, Gateway: netip.MustParseAddr("fe80::9%d1")}}},
		} {
			require.ErrorIs(t, tx.AddRoute(r, OpAdd), EINVAL, "%v", r)
		}
		return nil
	})
	require.NoError(t, err)
}
