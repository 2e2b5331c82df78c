package rtnl

import (
	"math/rand/v2"
	"net/netip"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/rules"
)

type gen struct{ *rand.Rand }

func (g gen) half() bool { return g.IntN(2) == 0 }

func (g gen) family() fib.Family {
	if g.half() {
		return fib.Inet
	}
	return fib.Inet6
}

func (g gen) addr(f fib.Family) netip.Addr {
	var b [16]byte
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	switch {
	case f == fib.Inet:
		return netip.AddrFrom4([4]byte(b[:4]))
	case g.IntN(10) == 0: // 4-in-6 stays IPv6
		return netip.MustParseAddr("::ffff:10.1.2.3")
	}
	return netip.AddrFrom16(b)
}

func (g gen) bits(f fib.Family) int {
	edges := []int{0, 1, f.Bits() - 1, f.Bits()}
	if g.half() {
		return edges[g.IntN(len(edges))]
	}
	return g.IntN(f.Bits() + 1)
}

func (g gen) num32() uint32 {
	return []uint32{0, 1, 255, 256, 1<<31 + 5, 1<<32 - 1, g.Uint32()}[g.IntN(7)]
}

func (g gen) leg(f fib.Family) fib.Nexthop {
	l := fib.Nexthop{Link: int32(g.IntN(5)) + 1, Weight: uint16(g.IntN(256)) + 1, Flags: fib.NexthopFlags(g.IntN(2)) * fib.FlagOnlink}
	switch g.IntN(4) {
	case 0, 1:
		l.Gateway = g.addr(f)
	case 2:
		l.Gateway = g.addr(fib.Inet6)
	}
	if g.IntN(4) == 0 {
		l.Realms = g.num32()
	}
	if g.IntN(6) == 0 {
		l.Encap = fib.Encap{Type: uint16(g.IntN(9) + 1), Data: string([]byte{8, 0, 1, 0, 1, 2, 3, byte(g.IntN(256))})}
	}
	return l
}

// route is any route that a message can hold, in the form a decoder gives.
func (g gen) route() fib.Route {
	f := g.family()
	r := fib.Route{
		Table: fib.TableID(g.num32()), Dst: netip.PrefixFrom(g.addr(f), g.bits(f)).Masked(), TOS: uint8(g.IntN(64)) << 2,
		Priority: g.num32(), Type: fib.RouteType(g.IntN(12)), Scope: fib.Scope(g.IntN(256)), Protocol: fib.Protocol(g.IntN(256)),
		Flags: fib.RouteFlags(g.IntN(2)) * RTM_F_PREFIX,
	}
	if f == fib.Inet6 {
		if n := g.bits(f); n > 0 && g.half() {
			r.Src = netip.PrefixFrom(g.addr(f), n).Masked()
		}
		r.Pref = []fib.RouterPref{fib.PrefMedium, fib.PrefHigh, fib.PrefLow}[g.IntN(3)]
		r.Expires = uint32(g.IntN(2) * g.IntN(1000))
	}
	if g.half() {
		r.PrefSrc = g.addr(f)
	}
	if g.IntN(3) == 0 {
		for range g.IntN(4) {
			if i := g.IntN(len(r.Metrics.Values)-1) + 1; i != rtaxCCAlgo {
				r.Metrics.Values[i] = g.num32()
			}
		}
		if g.half() {
			r.Metrics.CongCtl = "bbr"
		}
	}
	switch {
	case r.Type.IsReject():
	case g.IntN(5) == 0:
		r.NexthopID = g.Uint32() | 1
	default:
		n := 1
		if g.half() {
			n = g.IntN(4) + 1
		}
		for range n {
			r.Nexthops = append(r.Nexthops, g.leg(f))
		}
		if n == 1 {
			r.Nexthops[0].Weight = 1
		}
	}
	return r
}

func (g gen) ports() rules.PortRange {
	a, b := uint16(g.IntN(65534))+1, uint16(g.IntN(65534))+1
	if g.half() {
		b = a // a range of one port is a port
	}
	switch g.IntN(4) {
	case 0:
		return rules.Ports(min(a, b), max(a, b))
	case 1:
		return rules.Port(a)
	case 2:
		return rules.PortRange{Start: a, End: a, Mask: a | b}
	}
	return rules.PortRange{}
}

func (g gen) selectorPrefix(f fib.Family) netip.Prefix {
	if n := g.bits(f); n > 0 && g.half() {
		return netip.PrefixFrom(g.addr(f), n) // host bits are kept
	}
	return netip.Prefix{}
}

// rule is any rule as a dump shows it.
func (g gen) rule() rules.Rule {
	f := g.family()
	r := rules.Rule{Family: f, Priority: g.num32(), Action: rules.Action(g.IntN(10)), Not: g.half(), FindSaddr: g.half(),
		From: g.selectorPrefix(f), To: g.selectorPrefix(f), Protocol: uint8(g.IntN(256)), Table: g.num32()}
	opts := []func(){
		func() { r.Iif = "d0" },
		func() { r.Oif = "a-long-name-of-" },
		func() { r.Mark, r.MarkMask = g.Uint32()|1, g.Uint32()|1 },
		func() { r.Mark, r.MarkMask = 0, 0xff },
		func() { r.TOS = 0x10 },
		func() { r.DSCP, r.DSCPMask = uint8(g.IntN(64)), uint8(g.IntN(63))+1 },
		func() { r.FlowLabel, r.FlowLabelMask = uint32(g.IntN(1<<20)), 0xfffff },
		func() { r.UIDs, r.HasUIDs = rules.UIDRange{Start: 0, End: g.Uint32()}, true },
		func() { r.IPProto = uint8(g.IntN(255)) + 1 },
		func() { r.Sport = g.ports() },
		func() { r.Dport = g.ports() },
		func() { r.TunID = g.Uint64() },
		func() { r.L3MDev = true },
		func() { r.Realms = g.Uint32() },
		func() { r.Goto = g.Uint32() },
		func() { r.SuppressPrefixLength = rules.Some(uint32(g.IntN(129))) },
		func() { r.SuppressIfGroup = rules.Some(uint32(g.IntN(9))) },
	}
	for range g.IntN(5) {
		opts[g.IntN(len(opts))]()
	}
	return r
}

func (g gen) nexthop() fib.NexthopObject {
	o := fib.NexthopObject{ID: g.Uint32() | 1, Protocol: fib.Protocol(g.IntN(256))}
	switch g.IntN(4) {
	case 0:
		for range g.IntN(5) + 1 {
			o.Group = append(o.Group, fib.GroupMember{ID: g.Uint32(), Weight: uint16(max(1, g.num32()&0xffff))})
		}
		if g.half() {
			o.Resilient = true
			o.Buckets = make([]uint32, g.IntN(64)+1)
			o.IdleTimer, o.UnbalancedTimer = g.num32(), g.num32()
		}
	case 1:
		o.Family, o.Blackhole = g.family(), true
		o.Nexthop.Weight = 1
	default:
		o.Family = g.family()
		o.Nexthop = fib.Nexthop{Link: int32(g.IntN(9)), Weight: 1, Flags: fib.NexthopFlags(g.IntN(2)) * fib.FlagOnlink}
		if g.half() {
			o.Nexthop.Gateway = g.addr(o.Family)
		}
		if g.IntN(4) == 0 {
			o.Nexthop.Encap = fib.Encap{Type: 1, Data: "\x08\x00\x01\x00abcd"}
		}
		o.FDB = g.IntN(8) == 0
	}
	return o
}
