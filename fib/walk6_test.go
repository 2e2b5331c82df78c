package fib_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/conformance"
	"github.com/fibula-net/fibula/rules"
)

// The links of the small host that the IPv6 cases start from: d0 has
// 2001:db8:1::1/64, d1 has 2001:db8:2::1/64.
const (
	lo int32 = 1 + iota
	d0
	d1
	red // a VRF, where a case has one
)

func pfx6(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func addr6(s string) netip.Addr  { return netip.MustParseAddr(s) }

func on(link int32) fib.Nexthop { return fib.Nexthop{Link: link, Weight: 1} }

func via(gw string, link int32) fib.Nexthop {
	return fib.Nexthop{Link: link, Gateway: addr6(gw), Weight: 1}
}

var (
	gw0, gw1 = via("2001:db8:1::2", d0), via("2001:db8:2::2", d1)
)

// change alters a route under construction.
type change func(*fib.Route)

func metric(m uint32) change             { return func(r *fib.Route) { r.Priority = m } }
func table(t fib.TableID) change         { return func(r *fib.Route) { r.Table = t } }
func kind(t fib.RouteType) change        { return func(r *fib.Route) { r.Type = t } }
func from(s string) change               { return func(r *fib.Route) { r.Src = pfx6(s) } }
func pref(p fib.RouterPref) change       { return func(r *fib.Route) { r.Pref = p } }
func nhid(id uint32) change              { return func(r *fib.Route) { r.NexthopID = id } }
func kernelOwned(r *fib.Route)           { r.Protocol, r.Priority = fib.ProtoKernel, 0 }
func legs(n ...fib.Nexthop) change       { return func(r *fib.Route) { r.Nexthops = n } }
func leg(n fib.Nexthop) change           { return legs(n) }
func flagged(f fib.NexthopFlags) change  { return func(r *fib.Route) { r.Nexthops[0].Flags |= f } }
func prefSrc(s string) change            { return func(r *fib.Route) { r.PrefSrc = addr6(s) } }
func failed(n fib.Nexthop) fib.Neighbour { return neigh(n, fib.NeighFailed) }
func neigh(n fib.Nexthop, s fib.NeighState) fib.Neighbour {
	return fib.Neighbour{Link: n.Link, Addr: n.Gateway, State: s}
}

// route6 is a unicast route of main, metric 1024, as changed.
func route6(dst string, cs ...change) fib.Route {
	r := fib.Route{Table: fib.TableMain, Dst: pfx6(dst), Type: fib.TypeUnicast, Priority: 1024, Protocol: fib.ProtoBoot}
	for _, c := range cs {
		c(&r)
	}
	return r
}

// host is the small host.
func host() *fib.State {
	st := &fib.State{Sysctls: fib.DefaultSysctls(), AddrLabels: fib.DefaultAddrLabels()}
	st.Sysctls.HashSeed = 12345
	up := fib.LinkUp | fib.LinkRunning | fib.LinkLowerUp
	st.Links = []fib.Link{{Index: lo, Name: "lo", Flags: up | fib.LinkLoopback, MTU: 65536},
		{Index: d0, Name: "d0", Flags: up, MTU: 1500}, {Index: d1, Name: "d1", Flags: up, MTU: 1500}}
	for r := range initialRules(fib.Inet6) {
		st.Rules = append(st.Rules, r)
	}
	connect(st, d0, "2001:db8:1::1/64", fib.TableLocal, fib.TableMain)
	connect(st, d1, "2001:db8:2::1/64", fib.TableLocal, fib.TableMain)
	return st
}

// connect adds an address with the routes that come with it.
func connect(st *fib.State, link int32, a string, local, main fib.TableID) {
	p := pfx6(a)
	st.Addresses = append(st.Addresses, fib.Address{Link: link, Local: p.Addr(), Prefix: p})
	st.Routes = append(st.Routes,
		route6(netip.PrefixFrom(p.Addr(), 128).String(), leg(on(link)), kind(fib.TypeLocal), table(local), kernelOwned),
		route6(p.Masked().String(), leg(on(link)), table(main), kernelOwned, metric(256)),
		route6("ff00::/8", leg(on(link)), table(local), kind(fib.TypeMulticast), kernelOwned, metric(256)))
}

// vrf makes d0 a slave of red, whose table is 100.
func vrf(st *fib.State) {
	st.Links = append(st.Links, fib.Link{Index: red, Name: "red", Kind: "vrf", VRFTable: 100, Flags: fib.LinkUp, MTU: 65575})
	st.Links[1].Master = red
	st.Rules = append(st.Rules, rules.Rule{Family: fib.Inet6, Priority: 1000, Action: rules.ActLookup, L3MDev: true})
	for i := range st.Routes {
		if st.Routes[i].Nexthops[0].Link == d0 {
			st.Routes[i].Table = 100
		}
	}
	connect(st, d0, "fe80::1/64", 100, 100)
}

// told is the answer in one line, as a test compares it.
func told(s *fib.Snapshot, f fib.Flow) string {
	d := s.Resolve(f)
	if d.Errno != 0 {
		return d.Errno.Name()
	}
	b := &strings.Builder{}
	fmt.Fprintf(b, "%v %v %v", d.Type, d.Table, d.Prefix)
	if d.SrcPrefix.IsValid() {
		fmt.Fprintf(b, " from %v", d.SrcPrefix)
	}
	if d.Gateway.IsValid() {
		fmt.Fprintf(b, " via %v", d.Gateway)
	}
	l, _ := s.Link(d.Link)
	fmt.Fprintf(b, " dev %s", l.Name)
	if d.Source.IsValid() {
		fmt.Fprintf(b, " src %v", d.Source)
	}
	return b.String()
}

type case6 struct {
	name string
	st   func(*fib.State)
	flow fib.Flow
	want string
}

func routes(rs ...fib.Route) func(*fib.State) {
	return func(st *fib.State) { st.Routes = append(st.Routes, rs...) }
}

func (c case6) run(t *testing.T) {
	t.Run(c.name, func(t *testing.T) {
		conformance.CoversEngine(t, conformance.NumbersIn(c.name)...)
		st := host()
		if c.st != nil {
			c.st(st)
		}
		s := loaded(t, st)
		checkFlow(t, s, c.flow)
		assert.Equal(t, c.want, told(s, c.flow))
	})
}

var nine = fib.Flow{Dst: addr6("2001:db8:9::5")}

func TestTables6(t *testing.T) {
	def0, def1 := route6("::/0", leg(gw0)), route6("::/0", leg(gw1))
	to0, to1 := " via 2001:db8:1::2 dev d0 src 2001:db8:1::1", " via 2001:db8:2::2 dev d1 src 2001:db8:2::1"
	one, two := addr6("2001:db8:1::1"), addr6("2001:db8:2::1")
	for _, c := range []case6{
		{"D2 no route", nil, nine, "ENETUNREACH"},
		{"D13 metric", routes(route6("::/0", leg(gw0), metric(10)), def1), nine, "unicast main ::/0" + to0},
		{"D13 preference beats order", routes(route6("::/0", leg(gw0), pref(fib.PrefLow)), route6("::/0", leg(gw1), pref(fib.PrefHigh), func(r *fib.Route) { r.Protocol = fib.ProtoRA })),
			nine, "unicast main ::/0" + to1},
		{"D13 preference does not beat metric", routes(route6("::/0", leg(gw0), metric(10), pref(fib.PrefLow)), route6("::/0", leg(gw1), pref(fib.PrefHigh))),
			nine, "unicast main ::/0" + to0},
		{"D13 higher metrics compete together", func(st *fib.State) {
			st.Routes = append(st.Routes, route6("::/0", leg(gw0), metric(10)), route6("::/0", leg(gw1), metric(20), pref(fib.PrefLow)),
				route6("::/0", leg(via("2001:db8:2::3", d1)), metric(30), pref(fib.PrefHigh)))
			st.Neighbours = []fib.Neighbour{failed(gw0)}
		}, nine, "unicast main ::/0 via 2001:db8:2::3 dev d1 src 2001:db8:2::1"},
		{"D14 oif is strict without source", routes(def0), fib.Flow{Dst: nine.Dst, Oif: d1}, "ENETUNREACH"},
		{"D14 oif only a preference with source", routes(def0), fib.Flow{Dst: nine.Dst, Oif: d1, Src: two}, "unicast main ::/0" + to0},
		{"D14 oif preferred with source", routes(route6("::/0", leg(gw0), func(r *fib.Route) { r.Protocol = fib.ProtoRA }), route6("::/0", leg(gw1), func(r *fib.Route) { r.Protocol = fib.ProtoRA })),
			fib.Flow{Dst: nine.Dst, Oif: d1, Src: two}, "unicast main ::/0" + to1},
		{"D15 failed neighbour: shorter prefix first", func(st *fib.State) {
			st.Routes = append(st.Routes, route6("2001:db8:9::/48", leg(gw0)), def1)
			st.Neighbours = []fib.Neighbour{failed(gw0)}
		}, nine, "unicast main ::/0" + to1},
		{"D15 all failed", func(st *fib.State) {
			st.Routes = append(st.Routes, route6("2001:db8:9::/48", leg(gw0)), def1)
			st.Neighbours = []fib.Neighbour{failed(gw0), failed(gw1)}
		}, nine, "unicast main 2001:db8:9::/48" + to0},
		{"D15 forwarding on: neighbours do not count", func(st *fib.State) {
			st.Sysctls.All6.Forwarding = true
			st.Routes = append(st.Routes, route6("2001:db8:9::/48", leg(gw0)), def1)
			st.Neighbours = []fib.Neighbour{failed(gw0)}
		}, nine, "unicast main 2001:db8:9::/48" + to0},
		{"D12 linkdown used", routes(route6("2001:db8:9::/48", leg(gw0), flagged(fib.FlagLinkdown)), def1), nine, "unicast main 2001:db8:9::/48" + to0},
		{"D12 linkdown ignored", func(st *fib.State) {
			st.Routes = append(st.Routes, route6("2001:db8:9::/48", leg(gw0), flagged(fib.FlagLinkdown)), def1)
			st.Links[1].Conf6.IgnoreRoutesWithLinkdown = true
		}, nine, "unicast main ::/0" + to1},
		{"D16 reject", routes(route6("::/0", kind(fib.TypeUnreachable))), nine, "EHOSTUNREACH"},
		{"D16 reject not eligible with oif", routes(route6("::/0", kind(fib.TypeUnreachable))), fib.Flow{Dst: nine.Dst, Oif: d0}, "ENETUNREACH"},
		{"D16 reject with oif and source", routes(route6("::/0", kind(fib.TypeBlackhole))), fib.Flow{Dst: nine.Dst, Oif: d0, Src: one}, "EINVAL"},
		{"D16 throw", routes(route6("2001:db8:9::/48", kind(fib.TypeThrow)), def0), nine, "ENETUNREACH"},
		{"D17 route through lo", routes(route6("::/0", leg(on(lo)))), nine, "unicast main ::/0 dev lo src 2001:db8:1::1"},
		{"D8 destination length before source length", routes(route6("2001:db8:9::/48", leg(gw0)), route6("2001:db8::/32", from("2001:db8:1::1/128"), leg(gw1))),
			fib.Flow{Dst: nine.Dst, Src: one}, "unicast main 2001:db8:9::/48" + to0},
		{"D8 no source prefix fits: plain routes are hidden", routes(route6("2001:db8:9::/48", leg(gw0)), route6("2001:db8:9::/48", from("2001:db8:2::/64"), leg(gw1)), def1),
			fib.Flow{Dst: nine.Dst, Src: one}, "unicast main ::/0" + to1},
		{"D8 but not those of the default", routes(def0, route6("::/0", from("2001:db8:2::/64"), leg(gw1))),
			fib.Flow{Dst: nine.Dst, Src: one}, "unicast main ::/0" + to0},
		{"D8 source beats metric", routes(route6("2001:db8:9::/48", leg(gw0), metric(1)), route6("2001:db8:9::/48", from("2001:db8:1::/64"), leg(gw1))),
			fib.Flow{Dst: nine.Dst, Src: one}, "unicast main 2001:db8:9::/48 from 2001:db8:1::/64" + to1},
		{"D9 plain routes by way of a failed source route", func(st *fib.State) {
			st.Routes = append(st.Routes, route6("2001:db8:9::/48", leg(gw0)), route6("2001:db8:9::/48", from("2001:db8:1::/64"), leg(gw1)))
			st.Neighbours = []fib.Neighbour{failed(gw1)}
		}, fib.Flow{Dst: nine.Dst, Src: one}, "unicast main 2001:db8:9::/48" + to0},
		{"D30 input prefers its own link", routes(route6("::/0", leg(gw0), func(r *fib.Route) { r.Protocol = fib.ProtoRA }), route6("::/0", leg(gw1), func(r *fib.Route) { r.Protocol = fib.ProtoRA })),
			fib.Flow{Dst: nine.Dst, Iif: d1}, "unicast main ::/0 via 2001:db8:2::2 dev d1"},
		{"D30 stored source shown on input", routes(route6("::/0", leg(gw0), prefSrc("2001:db8:2::1"))),
			fib.Flow{Dst: nine.Dst, Iif: d1}, "unicast main ::/0 via 2001:db8:1::2 dev d0 src 2001:db8:2::1"},
		{"0.1 oif is ignored on input", routes(def0), fib.Flow{Dst: nine.Dst, Iif: d1, Oif: d1}, "unicast main ::/0 via 2001:db8:1::2 dev d0"},
		{"no such input link", nil, fib.Flow{Dst: nine.Dst, Iif: 77}, "ENODEV"},
		{"D31 own address", nil, fib.Flow{Dst: one}, "local local 2001:db8:1::1/128 dev lo src 2001:db8:1::1"},
		{"D31 oif other", nil, fib.Flow{Dst: one, Oif: lo}, "ENETUNREACH"},
		{"D32 kernel's anycast", routes(route6("2001:db8:1::/128", leg(on(d0)), table(fib.TableLocal), kind(fib.TypeAnycast), kernelOwned)),
			fib.Flow{Dst: addr6("2001:db8:1::")}, "anycast local 2001:db8:1::/128 dev lo src 2001:db8:1::1"},
		{"D32 a user's anycast", routes(route6("2001:db8:1::/128", leg(on(d0)), kind(fib.TypeAnycast))),
			fib.Flow{Dst: addr6("2001:db8:1::")}, "anycast main 2001:db8:1::/128 dev d0 src 2001:db8:1::1"},
		{"D34 multicast without oif", nil, fib.Flow{Dst: addr6("ff02::1")}, "multicast local ff00::/8 dev d0 src 2001:db8:1::1"},
		{"D34 multicast with oif", nil, fib.Flow{Dst: addr6("ff0e::1"), Oif: d1}, "multicast local ff00::/8 dev d1 src 2001:db8:2::1"},
		{"D35 the unspecified address is ordinary", routes(def0), fib.Flow{Dst: addr6("::")}, "unicast main ::/0" + to0},
		{"a mapped address is no loopback", routes(def0), fib.Flow{Dst: addr6("::ffff:127.0.0.1"), Oif: d1, Src: two}, "unicast main ::/0" + to0},
	} {
		c.run(t)
	}
}

func TestNexthopObjects6(t *testing.T) {
	objects := func(rs ...fib.Route) func(*fib.State) {
		return func(st *fib.State) {
			st.Nexthops = []fib.NexthopObject{
				{ID: 1, Family: fib.Inet6, Nexthop: gw0}, {ID: 2, Family: fib.Inet6, Nexthop: gw1},
				{ID: 3, Family: fib.Inet6, Blackhole: true},
				{ID: 10, Group: []fib.GroupMember{{ID: 1, Weight: 1}, {ID: 2, Weight: 1}}},
				{ID: 11, Resilient: true, Buckets: []uint32{2, 2, 2, 2}, Group: []fib.GroupMember{{ID: 1, Weight: 1}, {ID: 2, Weight: 1}}},
			}
			routes(rs...)(st)
		}
	}
	nine48 := func(id uint32) fib.Route { return route6("2001:db8:9::/48", nhid(id)) }
	failing := func(n fib.Nexthop) func(*fib.State) {
		return func(st *fib.State) {
			objects(nine48(10))(st)
			st.Neighbours = []fib.Neighbour{failed(n)}
		}
	}
	for _, c := range []case6{
		{"single", objects(nine48(2)), nine, "unicast main 2001:db8:9::/48 via 2001:db8:2::2 dev d1 src 2001:db8:2::1"},
		{"D13 blackhole", objects(nine48(3), route6("::/0", leg(gw0))), nine, "EINVAL"},
		{"D13 a blackhole wins whatever the score", objects(route6("2001:db8:9::/48", leg(gw0), pref(fib.PrefHigh)), nine48(3)), nine, "EINVAL"},
		{"D13 blackhole needs no link", objects(nine48(3)), fib.Flow{Dst: nine.Dst, Oif: d0}, "EINVAL"},
		{"D22 the source is the first member's", failing(gw0), nine, "unicast main 2001:db8:9::/48 via 2001:db8:2::2 dev d1 src 2001:db8:1::1"},
		{"D22 oif does not bind the member", failing(gw0), fib.Flow{Dst: nine.Dst, Oif: d1}, "unicast main 2001:db8:9::/48 via 2001:db8:2::2 dev d1 src 2001:db8:1::1"},
		{"D22 neighbours count with forwarding too", func(st *fib.State) {
			failing(gw1)(st)
			st.Sysctls.All6.Forwarding = true
		}, nine, "unicast main 2001:db8:9::/48 via 2001:db8:1::2 dev d0 src 2001:db8:1::1"},
		{"B24 resilient", objects(nine48(11)), nine, "unicast main 2001:db8:9::/48 via 2001:db8:2::2 dev d1 src 2001:db8:1::1"},
	} {
		c.run(t)
	}
}

// TestSiblingsWithFailedNeighbours6: with forwarding off the hash does not lead to a
// leg with a failed neighbour, and its share goes to the leg chosen without hash (D20).
func TestSiblingsWithFailedNeighbours6(t *testing.T) {
	gw2 := via("2001:db8:1::3", d0)
	chosen := func(forwarding bool, bad ...fib.Nexthop) map[netip.Addr]bool {
		st := host()
		st.Sysctls.All6.Forwarding = forwarding
		routes(route6("2001:db8:9::/48", legs(gw0, gw1, gw2)))(st)
		for _, n := range bad {
			st.Neighbours = append(st.Neighbours, failed(n))
		}
		s := loaded(t, st)
		seen := map[netip.Addr]bool{}
		for i := range 100 {
			f := fib.Flow{Dst: nine.Dst, FlowLabel: uint32(i)}
			checkFlow(t, s, f)
			seen[s.Resolve(f).Gateway] = true
		}
		return seen
	}
	assert.Len(t, chosen(false), 3)
	assert.Equal(t, map[netip.Addr]bool{gw0.Gateway: true, gw2.Gateway: true}, chosen(false, gw1))
	assert.Equal(t, map[netip.Addr]bool{gw0.Gateway: true}, chosen(false, gw0, gw1, gw2))
	assert.Len(t, chosen(true, gw0, gw1, gw2), 3)

	marked := func(bad ...fib.Nexthop) bool {
		st := host()
		st.Sysctls.HashSeed = 0
		routes(route6("2001:db8:9::/48", legs(gw0, gw1)))(st)
		for _, n := range bad {
			st.Neighbours = append(st.Neighbours, failed(n))
		}
		return loaded(t, st).Resolve(nine).Undetermined == fib.UndeterminedHash
	}
	assert.True(t, marked())
	assert.False(t, marked(gw1), "one leg only is eligible")
}

func TestVRF6(t *testing.T) {
	ll, own := addr6("fe80::99"), addr6("2001:db8:1::1")
	with := func(rs ...fib.Route) func(*fib.State) {
		return func(st *fib.State) { vrf(st); routes(rs...)(st) }
	}
	for _, c := range []case6{
		{"L5 invisible without the VRF", with(), fib.Flow{Dst: addr6("2001:db8:1::9")}, "ENETUNREACH"},
		{"L5 by VRF", with(), fib.Flow{Dst: addr6("2001:db8:1::9"), Oif: red}, "unicast 100 2001:db8:1::/64 dev d0 src 2001:db8:1::1"},
		{"L5 by slave", with(), fib.Flow{Dst: addr6("2001:db8:1::9"), Oif: d0}, "unicast 100 2001:db8:1::/64 dev d0 src 2001:db8:1::1"},
		{"L7 falls through to main", with(route6("::/0", leg(gw1))), fib.Flow{Dst: nine.Dst, Oif: red},
			"unicast main ::/0 via 2001:db8:2::2 dev d1 src 2001:db8:2::1"},
		{"L7 unreachable default", with(route6("::/0", table(100), kind(fib.TypeUnreachable)), route6("::/0", leg(gw1))), fib.Flow{Dst: nine.Dst, Oif: red}, "EHOSTUNREACH"},
		{"L8 reject routes are skipped by slave", with(route6("::/0", table(100), kind(fib.TypeUnreachable))), fib.Flow{Dst: nine.Dst, Oif: d0}, "ENETUNREACH"},
		{"L13 own address", with(), fib.Flow{Dst: own, Oif: red}, "local 100 2001:db8:1::1/128 dev red src 2001:db8:1::1"},
		{"L13 own link-local address", with(), fib.Flow{Dst: addr6("fe80::1"), Oif: d0}, "local 100 fe80::1/128 dev lo src fe80::1"},
		{"L13 link-local address of the VRF device", with(route6("fe80::5/128", leg(on(red)), table(100), kind(fib.TypeLocal), kernelOwned)),
			fib.Flow{Dst: addr6("fe80::5"), Iif: red}, "local 100 fe80::5/128 dev red"},
		{"L19 no source outside the domain", func(st *fib.State) {
			with(route6("::/0", table(100), leg(on(d0))))(st)
			st.Addresses = st.Addresses[1:2] // d1's alone
		}, fib.Flow{Dst: nine.Dst, Oif: red}, "unicast 100 ::/0 dev d0"},
		{"L24 link-local by VRF", with(), fib.Flow{Dst: ll, Oif: red}, "ENETUNREACH"},
		{"L24 multicast by VRF", with(), fib.Flow{Dst: addr6("ff0e::1"), Oif: red}, "ENETUNREACH"},
		{"L24 link-local by slave", with(), fib.Flow{Dst: ll, Oif: d0}, "unicast 100 fe80::/64 dev d0 src fe80::1"},
		{"L24 multicast by slave", with(), fib.Flow{Dst: addr6("ff02::1"), Oif: d0}, "multicast 100 ff00::/8 dev d0 src fe80::1"},
		{"L24 link-local received by VRF", with(), fib.Flow{Dst: ll, Iif: red}, "ENETUNREACH"},
		{"L24 link-local received by slave", with(), fib.Flow{Dst: ll, Iif: d0}, "unicast 100 fe80::/64 dev d0"},
	} {
		c.run(t)
	}
}

// TestDroppedRouteIsNotBehindALaterError: a route that a suppressor dropped has no
// part in the answer of the next rule.
func TestDroppedRouteIsNotBehindALaterError(t *testing.T) {
	for _, next := range []func(*fib.State){
		func(*fib.State) {},
		func(st *fib.State) {
			st.Rules = append(st.Rules, rules.Rule{Family: fib.Inet6, Priority: 40001, Action: rules.ActProhibit})
		},
	} {
		st := host()
		routes(route6("::/0", leg(gw0), table(50)))(st)
		st.Rules = append(st.Rules, rules.Rule{Family: fib.Inet6, Priority: 40000, Action: rules.ActLookup, Table: 50, SuppressPrefixLength: rules.Some(0)})
		next(st)
		s := loaded(t, st)
		checkFlow(t, s, nine)
		d := s.Resolve(nine)
		assert.NotZero(t, d.Errno)
		assert.False(t, d.HasRoute, "%+v", d)
	}
}

// TestFindSaddr6 covers the rule flag that ip(8) cannot set (A17).
func TestFindSaddr6(t *testing.T) {
	find := func(from string) func(*fib.State) {
		return func(st *fib.State) {
			st.Rules = append(st.Rules, rules.Rule{Family: fib.Inet6, Priority: 100, Action: rules.ActLookup, Table: 50, From: pfx6(from), FindSaddr: true})
			routes(route6("::/0", leg(gw1), table(50)), route6("::/0", leg(gw0)))(st)
		}
	}
	for _, c := range []case6{
		{"inside", find("2001:db8:2::/64"), nine, "unicast 50 ::/0 via 2001:db8:2::2 dev d1 src 2001:db8:2::1"},
		{"outside", find("2001:db8:3::/64"), nine, "unicast main ::/0 via 2001:db8:1::2 dev d0 src 2001:db8:1::1"},
	} {
		c.run(t)
	}
	// A throw route is a result, too, when it comes to the source; it hangs on lo,
	// so any address will do. What follows is looked up with that source.
	throws := func(allowed string) func(*fib.State) {
		return func(st *fib.State) {
			st.Rules = append(st.Rules, rules.Rule{Family: fib.Inet6, Priority: 100, Action: rules.ActLookup, Table: 50, From: pfx6(allowed), FindSaddr: true})
			routes(route6("2001:db8:9::/48", kind(fib.TypeThrow), table(50)), route6("2001:db8:9::/48", from("2001:db8:1::1/128"), leg(gw0)))(st)
		}
	}
	for _, c := range []case6{
		{"inside, thrown", throws("2001:db8:1::/64"), nine, "unicast main 2001:db8:9::/48 from 2001:db8:1::1/128 via 2001:db8:1::2 dev d0 src 2001:db8:1::1"},
		{"outside, thrown", throws("2001:db8:3::/64"), nine, "ENETUNREACH"},
	} {
		c.run(t)
	}
	st := host()
	find("2001:db8:2::/64")(st)
	assert.NotZero(t, loaded(t, st).Resolve(nine).Flags&fib.DecisionSourceInFlow)
}

func TestFibMatchOf6StartsWithTheChosenLeg(t *testing.T) {
	st := host()
	gws := []fib.Nexthop{gw0, gw1, via("2001:db8:1::3", d0)}
	routes(route6("2001:db8:9::/48", legs(gws...)))(st)
	s := loaded(t, st)
	seen := map[int32]bool{}
	for i := range 64 {
		d, r, ok := s.FibMatch(fib.Flow{Dst: nine.Dst, FlowLabel: uint32(i)})
		require.True(t, ok)
		require.Equal(t, []fib.Nexthop{gws[d.Leg], gws[(d.Leg+1)%3], gws[(d.Leg+2)%3]}, r.Nexthops)
		seen[d.Leg] = true
	}
	assert.Len(t, seen, 3, "not every leg was chosen")
}

// The answer names the preference of the leg that won on score, whichever the hash
// took then; the stored route is that of the hash (D4a).
func TestPreferenceIsThatOfTheBestLeg(t *testing.T) {
	st := host()
	st.Sysctls.HashSeed = 7
	routes(route6("2001:db8:9::/48", leg(gw0)), route6("2001:db8:9::/48", leg(gw1), pref(fib.PrefHigh)))(st)
	s := loaded(t, st)
	stored := map[fib.RouterPref]int{}
	for i := range 64 {
		f := fib.Flow{Dst: nine.Dst, FlowLabel: uint32(i)}
		checkFlow(t, s, f)
		assert.Equal(t, fib.PrefHigh, s.Resolve(f).Pref)
		_, r, ok := s.FibMatch(f)
		require.True(t, ok)
		stored[r.Pref]++
	}
	assert.Len(t, stored, 2, "not every leg was chosen")
}
