package fib_test

import (
	"cmp"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/rules"
)

// stateGen makes random states: small universes, so that things meet.
type stateGen struct{ *rand.Rand }

func (g stateGen) one(in int) bool { return g.IntN(in) == 0 }

func pick[T any](g stateGen, from ...T) T { return from[g.IntN(len(from))] }

// byteSource lets a fuzzer decide; a generator goes on where its bytes end.
type byteSource struct {
	data []byte
	rest *rand.PCG
}

func (s *byteSource) Uint64() uint64 {
	if len(s.data) == 0 {
		return s.rest.Uint64()
	}
	// The high bits decide, so the byte goes there.
	word := [8]byte{s.data[0]}
	s.data = s.data[1:]
	return binary.BigEndian.Uint64(word[:])
}

func fuzzGen(data []byte) stateGen {
	return stateGen{rand.New(&byteSource{data, rand.NewPCG(uint64(len(data)), 1)})}
}

const genLinks = 5 // lo, d0, d1, d2 and, sometimes, the VRF "red"

func (g stateGen) state() *fib.State { return g.stateUpTo(usualSize) }

// stateSize bounds what a random state has of each kind.
type stateSize struct{ neighs, routes4, routes6, rules int }

var usualSize = stateSize{neighs: 9, routes4: 39, routes6: 29, rules: 9}

func (g stateGen) stateUpTo(most stateSize) *fib.State {
	st := &fib.State{
		Kernel:  pick(g, fib.KernelVersion{}, fib.KernelVersion{}, fib.KernelVersion{Major: 6, Minor: 1}, fib.KernelVersion{Major: 6, Minor: 12}),
		Sysctls: fib.DefaultSysctls(), AddrLabels: fib.DefaultAddrLabels(),
		Mode4: pick(g, fib.ModeUnknown, fib.ModeRules), Mode6: pick(g, fib.ModeUnknown, fib.ModeRules),
		UserLocalRoutes: pick(g, fib.FactUnknown, fib.FactNo, fib.FactYes),
	}
	c := &st.Sysctls
	c.HashSeed = pick[uint32](g, 0, 1, 0xdeadbeef)
	c.Multipath4 = fib.Multipath{Policy: uint8(g.IntN(4)), Fields: uint32(g.IntN(64))}
	c.Multipath6 = fib.Multipath{Policy: uint8(g.IntN(4)), Fields: uint32(g.IntN(64))}
	c.MultipathUseNeigh = g.one(2)
	c.All4.RPFilter, c.All4.AcceptLocal, c.All4.McForwarding = uint8(g.IntN(3)), g.one(3), g.one(3)
	c.All4.SendRedirects, c.All4.SrcValidMark, c.All4.BcForwarding = g.one(2), g.one(3), g.one(3)
	c.All6.Forwarding = g.one(2)
	g.links(st)
	g.objects(st)
	for range g.IntN(most.neighs + 1) {
		l, host := int32(2+g.IntN(genLinks-1)), byte(9+g.IntN(2))
		st.Neighbours = append(st.Neighbours, fib.Neighbour{
			Link: l, Addr: pick(g, gw4(l, host), gw6(l, host)),
			State: pick(g, fib.NeighReachable, fib.NeighStale, fib.NeighFailed, fib.NeighIncomplete),
		})
	}
	for range g.IntN(most.routes4 + 1) {
		st.Routes = append(st.Routes, g.route4())
	}
	if g.one(3) { // default routers to choose among (B18)
		for l := range int32(1 + g.IntN(3)) {
			st.Routes = append(st.Routes, fib.Route{Table: fib.TableMain, Type: fib.TypeUnicast, Dst: netip.PrefixFrom(netip.IPv4Unspecified(), 0),
				Nexthops: []fib.Nexthop{{Link: 2 + l, Gateway: gw4(2+l, 9)}}})
		}
		st.Neighbours = append(st.Neighbours, fib.Neighbour{Link: 2, Addr: gw4(2, 9), State: pick(g, fib.NeighStale, fib.NeighDelay, fib.NeighFailed)})
	}
	for range g.IntN(most.routes6 + 1) {
		st.Routes = append(st.Routes, g.route6())
	}
	sortRoutes(st)
	st.Rules = append(slices.Collect(initialRules(fib.Inet)), slices.Collect(initialRules(fib.Inet6))...)
	if !g.one(4) {
		for range g.IntN(most.rules + 1) {
			st.Rules = append(st.Rules, g.rule(pick(g, fib.Inet, fib.Inet6)))
		}
	}
	return st
}

// sortRoutes brings routes into an order that a dump may have (B5, D13).
func sortRoutes(st *fib.State) {
	slices.SortStableFunc(st.Routes, func(a, b fib.Route) int {
		if a.Family() == fib.Inet && b.Family() == fib.Inet && a.TOS != b.TOS {
			return int(b.TOS) - int(a.TOS)
		}
		return cmp.Or(int(a.Family())-int(b.Family()), int(a.Priority)-int(b.Priority))
	})
}

func initialRules(f fib.Family) func(func(rules.Rule) bool) {
	return func(yield func(rules.Rule) bool) {
		for _, r := range rules.Initial(f).All() {
			if !yield(r) {
				return
			}
		}
	}
}

func gw4(link int32, host byte) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(link), 0, host}) }

func gw6(link int32, host byte) netip.Addr {
	return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, byte(link), 15: host})
}

func (g stateGen) links(st *fib.State) {
	for i := int32(1); i <= genLinks; i++ {
		l := fib.Link{Index: i, Name: "d" + strconv.Itoa(int(i-2)), Flags: fib.LinkUp | fib.LinkLowerUp, MTU: 1500, Group: uint32(g.IntN(3))}
		switch {
		case i == 1:
			l.Name, l.Flags, l.MTU = "lo", fib.LinkUp|fib.LinkLoopback, 65536
		case i == genLinks && g.one(2):
			l.Name, l.Kind, l.VRFTable = "red", "vrf", 100
			for k := range st.Links[1:] {
				if g.one(2) {
					st.Links[k+1].Master = i
				}
			}
		case g.one(6):
			l.Flags &^= fib.LinkUp
		}
		l.NoInet, l.NoInet6 = g.one(20), g.one(20)
		l.Conf4 = fib.Conf4{
			Forwarding: g.one(2), AcceptLocal: g.one(4), RouteLocalnet: g.one(4), SendRedirects: g.one(2), SharedMedia: g.one(2),
			McForwarding: g.one(2), BcForwarding: g.one(2), SrcValidMark: g.one(3), IgnoreRoutesWithLinkdown: g.one(3), RPFilter: uint8(g.IntN(3)),
		}
		l.Conf6 = fib.Conf6{IgnoreRoutesWithLinkdown: g.one(3), UseOifAddrsOnly: g.one(6), UseTempaddr: int32(g.IntN(3))}
		if g.one(3) {
			l.Groups4 = []netip.Addr{netip.MustParseAddr("239.1.1.1")}
		}
		st.Links = append(st.Links, l)
		for k := range g.IntN(4) {
			host := byte(1 + k)
			st.Addresses = append(st.Addresses, fib.Address{
				Link: i, Local: gw4(i, host), Prefix: netip.PrefixFrom(gw4(i, host), pick(g, 24, 24, 32, 16)),
				Scope: pick(g, fib.ScopeUniverse, fib.ScopeUniverse, fib.ScopeLink, fib.ScopeHost), Flags: pick(g, 0, 0, fib.AddrSecondary),
			})
		}
		for k := range g.IntN(3) {
			host := byte(1 + k)
			a := gw6(i, host)
			if g.one(4) {
				a = netip.AddrFrom16([16]byte{0xfe, 0x80, 15: host})
			}
			st.Addresses = append(st.Addresses, fib.Address{Link: i, Local: a, Prefix: netip.PrefixFrom(a, 64),
				Flags: pick(g, 0, 0, fib.AddrDeprecated, fib.AddrTemporary, fib.AddrTentative)})
		}
	}
}

func (g stateGen) objects(st *fib.State) {
	for _, f := range []fib.Family{fib.Inet, fib.Inet6} {
		base := uint32(f) * 100
		for id := base + 1; id <= base+4; id++ {
			o := fib.NexthopObject{ID: id, Family: f, Scope: fib.ScopeHost, Nexthop: g.leg(f)}
			if o.Nexthop.Gateway.IsValid() {
				o.Scope = fib.ScopeLink
			}
			if g.one(8) {
				o.Blackhole, o.Nexthop = true, fib.Nexthop{}
			}
			st.Nexthops = append(st.Nexthops, o)
		}
		o := fib.NexthopObject{ID: base + 9}
		for i := range 1 + g.IntN(3) {
			o.Group = append(o.Group, fib.GroupMember{ID: base + 1 + uint32(i), Weight: uint16(1 + g.IntN(4))})
		}
		if o.Resilient = g.one(4); o.Resilient {
			for range 8 {
				o.Buckets = append(o.Buckets, base+1+uint32(g.IntN(len(o.Group))))
			}
		}
		st.Nexthops = append(st.Nexthops, o)
	}
}

func (g stateGen) leg(f fib.Family) fib.Nexthop {
	l := int32(2 + g.IntN(genLinks-1))
	n := fib.Nexthop{Link: l, Weight: uint16(1 + g.IntN(4)), Flags: pick(g, 0, 0, 0, 0, fib.FlagDead, fib.FlagLinkdown, fib.FlagOnlink)}
	switch {
	case g.one(4):
	case f == fib.Inet && !g.one(8):
		n.Gateway = gw4(l, byte(9+g.IntN(2)))
		if g.one(8) {
			n.Gateway = gw4(l, 1)
		}
	default:
		n.Gateway = gw6(l, byte(9+g.IntN(2)))
	}
	if f == fib.Inet && g.one(12) {
		n.Realms = uint32(g.IntN(3))<<16 | uint32(g.IntN(3))
	}
	return n
}

var genTables = []fib.TableID{fib.TableMain, fib.TableMain, fib.TableMain, fib.TableLocal, fib.TableDefault, 50, 100, 1000}

func (g stateGen) route(f fib.Family) fib.Route {
	r := fib.Route{
		Table: pick(g, genTables...), Priority: pick[uint32](g, 0, 0, 100, 200), Protocol: pick(g, fib.ProtoBoot, fib.ProtoKernel, fib.ProtoRA),
		Type: pick(g, fib.TypeUnicast, fib.TypeUnicast, fib.TypeUnicast, fib.TypeUnicast, fib.TypeLocal, fib.TypeBroadcast, fib.TypeAnycast,
			fib.TypeMulticast, fib.TypeBlackhole, fib.TypeUnreachable, fib.TypeProhibit, fib.TypeThrow),
	}
	if g.one(8) {
		r.Metrics.Values[fib.MetricMTU] = 1400
	}
	switch {
	case r.Type.IsReject():
	case g.one(4):
		r.NexthopID = uint32(f)*100 + pick[uint32](g, 1, 2, 3, 4, 9, 9)
	default:
		for range pick(g, 1, 1, 1, 2, 3) {
			r.Nexthops = append(r.Nexthops, g.leg(f))
		}
	}
	return r
}

func (g stateGen) route4() fib.Route {
	r := g.route(fib.Inet)
	r.TOS = pick[uint8](g, 0, 0, 0, 0x10, 0x08, 0xb8)
	r.Scope = pick(g, fib.ScopeUniverse, fib.ScopeUniverse, fib.ScopeLink, fib.ScopeHost)
	a := netip.AddrFrom4([4]byte{10, byte(8 + g.IntN(2)), byte(g.IntN(2)), byte(pick(g, 0, 0, 128))})
	if g.one(5) {
		a = pick(g, netip.AddrFrom4([4]byte{239, 1, 1, 1}), netip.AddrFrom4([4]byte{127, 0, 0, 1}), gw4(2, 1))
	}
	r.Dst, _ = a.Prefix(pick(g, 0, 0, 3, 4, 8, 15, 16, 20, 24, 25, 31, 32))
	if g.one(6) {
		r.PrefSrc = gw4(int32(2+g.IntN(3)), 1)
	}
	return r
}

func (g stateGen) route6() fib.Route {
	r := g.route(fib.Inet6)
	a := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(g.IntN(2)), byte(pick(g, 0, 0, 0x80))})
	if g.one(4) {
		a = pick(g, netip.MustParseAddr("ff02::1"), netip.MustParseAddr("fe80::1"), gw6(2, 1))
	}
	r.Dst, _ = a.Prefix(pick(g, 0, 0, 8, 32, 40, 48, 64, 127, 128))
	if g.one(4) && r.NexthopID == 0 {
		r.Src, _ = gw6(int32(2+g.IntN(2)), 1).Prefix(pick(g, 32, 48, 64, 128))
	}
	if r.Pref = pick(g, fib.PrefMedium, fib.PrefMedium, fib.PrefHigh, fib.PrefLow); g.one(6) {
		r.PrefSrc = gw6(int32(2+g.IntN(3)), 1)
	}
	return r
}

func (g stateGen) rule(f fib.Family) rules.Rule {
	r := rules.Rule{Family: f, Priority: uint32(g.IntN(6)) * 10, Not: g.one(6)}
	switch g.IntN(8) {
	case 0:
		r.Action, r.Goto = rules.ActGoto, r.Priority+10*uint32(1+g.IntN(3))
	case 1:
		r.Action = pick(g, rules.ActNop, rules.ActBlackhole, rules.ActUnreachable, rules.ActProhibit, rules.Action(9))
	default:
		r.Action, r.Table = rules.ActLookup, uint32(pick(g, append(genTables, 51)...))
		if g.one(6) {
			r.L3MDev, r.Table = true, 0
		}
		if g.one(4) {
			r.SuppressPrefixLength = rules.Some(uint32(pick(g, 0, 8, 24)))
		}
		if g.one(6) {
			r.SuppressIfGroup = rules.Some(uint32(g.IntN(3)))
		}
	}
	wide := pick(g, 0, 8, 16, 24)
	if g.one(3) {
		a := gw4(2, 1)
		if f == fib.Inet6 {
			a, wide, r.FindSaddr = gw6(2, 1), wide*2, g.one(2)
		}
		if r.From, _ = a.Prefix(wide); g.one(2) {
			r.From, r.To = netip.Prefix{}, r.From
		}
	}
	if g.one(5) {
		r.Iif = pick(g, "lo", "d0", "red", "gone")
	}
	if g.one(5) {
		r.Oif = pick(g, "d1", "red", "gone")
	}
	if g.one(5) {
		r.Mark, r.MarkMask = uint32(g.IntN(2)), 1
	}
	if g.one(8) {
		r.TOS = 0x10
	}
	if g.one(8) {
		r.IPProto, r.Dport = 6, rules.Ports(50, 60)
	}
	if f == fib.Inet && g.one(6) {
		r.Realms = 5<<16 | 6
	}
	return r
}

// calm takes from a state most of what makes an answer depend on more than its route:
// such are the answers that stand ready.
func (g stateGen) calm(st *fib.State) {
	st.Kernel = pick(g, fib.KernelVersion{}, fib.KernelVersion{Major: 6, Minor: 12})
	st.Sysctls.HashSeed, st.Sysctls.MultipathUseNeigh = 7, false
	st.UserLocalRoutes = pick(g, fib.FactNo, fib.FactYes)
	st.Sysctls.All4.RPFilter, st.Sysctls.All4.AcceptLocal = uint8(g.IntN(3)*g.IntN(2)), false
	if g.one(2) {
		st.Neighbours = nil
	}
	for i := range st.Links {
		l := &st.Links[i]
		l.Flags |= fib.LinkUp
		l.Conf4.Forwarding, l.NoInet = l.Conf4.Forwarding || !g.one(4), false
		if l.Kind == "vrf" {
			l.Kind, l.VRFTable = "", 0
		}
	}
	leg := func(n *fib.Nexthop) {
		n.Realms, n.Flags = 0, n.Flags&fib.FlagOnlink
		if n.Gateway.IsValid() {
			n.Scope, n.ScopeSet = fib.ScopeLink, true
		}
	}
	for i := range st.Routes {
		r := &st.Routes[i]
		for k := range r.Nexthops {
			leg(&r.Nexthops[k])
		}
		r.TOS, r.Src = 0, netip.Prefix{}
		if r.Type > fib.TypeLocal && !g.one(3) {
			r.Type = fib.TypeUnreachable
		}
	}
	for _, a := range st.Addresses {
		st.Routes = append(st.Routes, fib.Route{Table: fib.TableLocal, Type: fib.TypeLocal, Scope: fib.ScopeHost, Protocol: fib.ProtoKernel,
			Dst: netip.PrefixFrom(a.Local, a.Local.BitLen()), Nexthops: []fib.Nexthop{{Link: a.Link, Weight: 1}}})
	}
	sortRoutes(st)
	for i := range st.Nexthops {
		leg(&st.Nexthops[i].Nexthop)
	}
	for i := range st.Rules {
		r := &st.Rules[i]
		r.Realms, r.L3MDev, r.SuppressIfGroup = 0, false, rules.Opt32{}
	}
}

// busy makes of f, half of the time, one that a link received from a host that some route
// leads to, or now and then one to such a host by its link.
func (g stateGen) busy(st *fib.State, f fib.Flow) fib.Flow {
	if g.one(2) || len(st.Routes) == 0 {
		return f
	}
	for range 20 {
		r := &st.Routes[g.IntN(len(st.Routes))]
		if r.Family() != f.Family() || r.Type != fib.TypeUnicast {
			continue
		}
		if g.one(4) && len(r.Nexthops) == 1 {
			f.Iif, f.Oif, f.Src, f.Dst = 0, r.Nexthops[0].Link, netip.Addr{}, r.Dst.Addr().Next()
			return f
		}
		f.Iif, f.Src = int32(2+g.IntN(genLinks-1)), r.Dst.Addr().Next()
		if g.one(3) && len(r.Nexthops) > 0 {
			f.Iif = r.Nexthops[0].Link
		}
		return f
	}
	return f
}

// onlySelective leaves of the rules those that hardly a flow meets, and those that a host has from the start.
func (g stateGen) onlySelective(st *fib.State) {
	for i := range st.Rules {
		if r := &st.Rules[i]; r.Protocol != uint8(fib.ProtoKernel) {
			*r = rules.Rule{Family: r.Family, Priority: r.Priority, Action: rules.ActLookup, Table: 100, Mark: uint32(i) << 8, MarkMask: 0xff00}
			if g.one(2) {
				r.MarkMask, r.Mark = 0, 0
				r.From = netip.PrefixFrom(gw4(9, byte(i)), 32)
				if r.Family == fib.Inet6 {
					r.From = netip.PrefixFrom(gw6(9, byte(i)), 128)
				}
				if g.one(2) {
					r.From, r.To = netip.Prefix{}, r.From
				}
			}
		}
	}
}
