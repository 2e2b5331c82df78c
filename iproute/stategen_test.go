package iproute

import (
	"net/netip"

	"pgregory.net/rapid"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/sysctl"
	"github.com/fibula-net/fibula/rules"
)

// Generators of every value that a fib.State can hold, sensible or not, but for those
// that WriteState documents not to keep.

func u32() *rapid.Generator[uint32] { return rapid.OneOf(rapid.Uint32Range(0, 3), rapid.Uint32()) }
func u16() *rapid.Generator[uint16] { return rapid.OneOf(rapid.Uint16Range(0, 3), rapid.Uint16()) }
func u8() *rapid.Generator[uint8]   { return rapid.OneOf(rapid.Uint8Range(0, 12), rapid.Uint8()) }

func addr4() *rapid.Generator[netip.Addr] {
	return rapid.Custom(func(t *rapid.T) netip.Addr {
		return netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "a4")))
	})
}

func addr6() *rapid.Generator[netip.Addr] {
	return rapid.OneOf(
		rapid.Custom(func(t *rapid.T) netip.Addr {
			return netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "a16")))
		}),
		rapid.SampledFrom([]netip.Addr{netip.IPv6Unspecified(), netip.MustParseAddr("::ffff:192.0.2.1")}))
}

func addr() *rapid.Generator[netip.Addr] {
	return rapid.OneOf(rapid.Just(netip.Addr{}), addr4(), addr6())
}

func prefixOf(g *rapid.Generator[netip.Addr]) *rapid.Generator[netip.Prefix] {
	return rapid.Custom(func(t *rapid.T) netip.Prefix {
		a := g.Draw(t, "addr")
		if !a.IsValid() {
			return netip.Prefix{}
		}
		return netip.PrefixFrom(a, rapid.IntRange(0, a.BitLen()).Draw(t, "bits"))
	})
}

func masked(g *rapid.Generator[netip.Prefix]) *rapid.Generator[netip.Prefix] {
	return rapid.Map(g, netip.Prefix.Masked)
}

// name draws link names: mostly plain, sometimes any bytes.
func name() *rapid.Generator[string] {
	return rapid.OneOf(rapid.SampledFrom([]string{"", "lo", "eth0", "eth0.1", "if17", "5"}), rapid.StringN(1, 15, 15),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 1, 15), func(b []byte) string { return string(b) }))
}

func opt32(t *rapid.T, label string) rules.Opt32 {
	if !rapid.Bool().Draw(t, label) {
		return rules.Opt32{}
	}
	return rules.Some(u32().Draw(t, label))
}

func drawRule(t *rapid.T) rules.Rule {
	r := rules.Rule{
		Family: rapid.SampledFrom([]rules.Family{rules.Inet, rules.Inet6}).Draw(t, "family"), Priority: u32().Draw(t, "priority"),
		Action: rules.Action(u8().Draw(t, "action")), Not: rapid.Bool().Draw(t, "not"), FindSaddr: rapid.Bool().Draw(t, "findsaddr"),
		Iif: name().Draw(t, "iif"), Oif: name().Draw(t, "oif"), Mark: u32().Draw(t, "mark"), MarkMask: u32().Draw(t, "markmask"),
		TOS: u8().Draw(t, "tos"), DSCP: u8().Draw(t, "dscp"), DSCPMask: u8().Draw(t, "dscpmask"),
		FlowLabel: u32().Draw(t, "label"), FlowLabelMask: u32().Draw(t, "labelmask"), HasUIDs: rapid.Bool().Draw(t, "hasuids"),
		IPProto: u8().Draw(t, "ipproto"), Sport: drawPorts(t), Dport: drawPorts(t), TunID: rapid.Uint64().Draw(t, "tunid"),
		L3MDev: rapid.Bool().Draw(t, "l3mdev"), Realms: u32().Draw(t, "realms"), Table: u32().Draw(t, "table"), Goto: u32().Draw(t, "goto"),
		SuppressPrefixLength: opt32(t, "suppress"), SuppressIfGroup: opt32(t, "ifgroup"), Protocol: u8().Draw(t, "protocol"),
	}
	own := addr4()
	if r.Family == rules.Inet6 {
		own = addr6()
	}
	some := rapid.OneOf(rapid.Just(netip.Prefix{}), prefixOf(own))
	r.From, r.To = some.Draw(t, "from"), some.Draw(t, "to")
	if r.HasUIDs {
		r.UIDs = rules.UIDRange{Start: u32().Draw(t, "start"), End: u32().Draw(t, "end")}
	}
	return r
}

func drawPorts(t *rapid.T) rules.PortRange {
	return rules.PortRange{Start: u16().Draw(t, "start"), End: u16().Draw(t, "end"),
		Mask: rapid.OneOf(u16(), rapid.Just(uint16(0xffff))).Draw(t, "mask")}
}

func drawLeg(t *rapid.T, links *rapid.Generator[int32]) fib.Nexthop {
	n := fib.Nexthop{Link: links.Draw(t, "link"), Gateway: addr().Draw(t, "gateway"), Weight: u16().Draw(t, "weight"),
		Flags: fib.NexthopFlags(u8().Draw(t, "flags")), ScopeSet: rapid.Bool().Draw(t, "scopeset")}
	if rapid.Bool().Draw(t, "more") {
		n.Realms = u32().Draw(t, "realms")
		n.Encap = fib.Encap{Type: u16().Draw(t, "encap"), Data: rapid.StringN(0, 20, 20).Draw(t, "data")}
	}
	if n.ScopeSet {
		n.Scope = fib.Scope(u8().Draw(t, "scope"))
	}
	return n
}

func drawRoute(t *rapid.T, links *rapid.Generator[int32]) fib.Route {
	r := fib.Route{Table: fib.TableID(u32().Draw(t, "table")), Dst: masked(prefixOf(addr())).Draw(t, "dst"),
		Type: fib.RouteType(u8().Draw(t, "type")), Scope: fib.Scope(u8().Draw(t, "scope")), Protocol: fib.Protocol(u8().Draw(t, "protocol"))}
	if rapid.Bool().Draw(t, "more") {
		r.Src = masked(prefixOf(rapid.OneOf(rapid.Just(netip.Addr{}), addr6()))).Draw(t, "src")
		r.TOS, r.Priority = u8().Draw(t, "tos"), u32().Draw(t, "priority")
		r.Flags, r.PrefSrc = fib.RouteFlags(u32().Draw(t, "flags")), addr().Draw(t, "prefsrc")
		r.Pref, r.Expires = fib.RouterPref(u8().Draw(t, "pref")), u32().Draw(t, "expires")
		r.NexthopID = u32().Draw(t, "nhid")
	}
	if rapid.Bool().Draw(t, "metrics") {
		for i := range r.Metrics.Values {
			r.Metrics.Values[i] = u32().Draw(t, "metric")
		}
		r.Metrics.CongCtl = rapid.StringN(0, 8, 8).Draw(t, "cc")
	}
	for range rapid.IntRange(0, 3).Draw(t, "legs") {
		r.Nexthops = append(r.Nexthops, drawLeg(t, links))
	}
	return r
}

func drawConf4(t *rapid.T) (c fib.Conf4) { drawSettings(t, sysctl.Conf4, &c); return c }
func drawConf6(t *rapid.T) (c fib.Conf6) { drawSettings(t, sysctl.Conf6, &c); return c }

func drawSettings[C any](t *rapid.T, settings []sysctl.Setting[C], c *C) {
	for _, s := range settings {
		switch p := s.At(c).(type) {
		case *bool:
			*p = rapid.Bool().Draw(t, s.Name)
		case *uint8:
			*p = u8().Draw(t, s.Name)
		case *int32:
			*p = rapid.Int32().Draw(t, s.Name)
		case *uint32:
			*p = u32().Draw(t, s.Name)
		}
	}
}

func drawLink(t *rapid.T, st *fib.State, index int32) fib.Link {
	l := fib.Link{Index: index, Name: name().Draw(t, "name"), Flags: fib.LinkFlags(u32().Draw(t, "flags")), MTU: u32().Draw(t, "mtu"),
		MTU6: u32().Draw(t, "mtu6"), Group: u32().Draw(t, "group"), Master: rapid.Int32Range(0, 6).Draw(t, "master"),
		Kind: rapid.SampledFrom([]string{"", "vrf", "veth"}).Draw(t, "kind"), VRFTable: fib.TableID(u32().Draw(t, "vrftable")),
		NoInet: rapid.Bool().Draw(t, "noinet"), NoInet6: rapid.Bool().Draw(t, "noinet6"),
		Conf4: st.Sysctls.Default4, Conf6: st.Sysctls.Default6}
	if rapid.Bool().Draw(t, "conf") {
		l.Conf4, l.Conf6 = drawConf4(t), drawConf6(t)
	}
	for range rapid.IntRange(0, 2).Draw(t, "groups") {
		l.Groups4 = append(l.Groups4, addr4().Draw(t, "group"))
	}
	return l
}

func drawAddress(t *rapid.T, links *rapid.Generator[int32]) fib.Address {
	return fib.Address{Link: links.Draw(t, "link"), Local: addr().Draw(t, "local"), Prefix: prefixOf(addr()).Draw(t, "prefix"),
		Broadcast: addr().Draw(t, "broadcast"), Scope: fib.Scope(u8().Draw(t, "scope")), Flags: fib.AddrFlags(u32().Draw(t, "flags")),
		Label: name().Draw(t, "label"), Protocol: u8().Draw(t, "protocol"), Metric: u32().Draw(t, "metric"),
		ValidLft: u32().Draw(t, "valid"), PreferredLft: u32().Draw(t, "preferred"), Created: u32().Draw(t, "created")}
}

func drawNexthop(t *rapid.T, links *rapid.Generator[int32]) fib.NexthopObject {
	o := fib.NexthopObject{ID: u32().Draw(t, "id"), Family: rapid.SampledFrom([]fib.Family{0, fib.Inet, fib.Inet6}).Draw(t, "family"),
		Protocol: fib.Protocol(u8().Draw(t, "protocol")), Blackhole: rapid.Bool().Draw(t, "blackhole"), FDB: rapid.Bool().Draw(t, "fdb"),
		Nexthop: drawLeg(t, links), Scope: fib.Scope(u8().Draw(t, "scope")), Resilient: rapid.Bool().Draw(t, "resilient"),
		IdleTimer: u32().Draw(t, "idle"), UnbalancedTimer: u32().Draw(t, "unbalanced")}
	for range rapid.IntRange(0, 2).Draw(t, "members") {
		o.Group = append(o.Group, fib.GroupMember{ID: u32().Draw(t, "id"), Weight: u16().Draw(t, "weight")})
	}
	for range rapid.IntRange(0, 2).Draw(t, "buckets") {
		o.Buckets = append(o.Buckets, u32().Draw(t, "bucket"))
	}
	return o
}

func drawState(t *rapid.T) *fib.State {
	st := &fib.State{Mode4: fib.Mode(rapid.Uint8Range(0, 2).Draw(t, "mode4")), Mode6: fib.Mode(rapid.Uint8Range(0, 2).Draw(t, "mode6")),
		UserLocalRoutes: fib.Fact(rapid.IntRange(0, 2).Draw(t, "userlocal"))}
	st.Kernel = fib.KernelVersion{Major: rapid.IntRange(0, 9).Draw(t, "major"), Minor: rapid.IntRange(0, 99).Draw(t, "minor"),
		Patch: rapid.IntRange(0, 999).Draw(t, "patch")}
	drawSettings(t, sysctl.Namespace, &st.Sysctls)
	for i := range rapid.IntRange(0, 4).Draw(t, "links") {
		st.Links = append(st.Links, drawLink(t, st, int32(i+1)))
	}
	links := rapid.OneOf(rapid.Int32Range(0, 5), rapid.Int32Range(0, 1<<31-1))
	n := func(label string) int { return rapid.IntRange(0, 3).Draw(t, label) }
	for range n("addresses") {
		st.Addresses = append(st.Addresses, drawAddress(t, links))
	}
	for range n("rules") {
		st.Rules = append(st.Rules, drawRule(t))
	}
	for range n("nexthops") {
		st.Nexthops = append(st.Nexthops, drawNexthop(t, links))
	}
	for range n("neighbours") {
		st.Neighbours = append(st.Neighbours, fib.Neighbour{Link: links.Draw(t, "link"), Addr: addr().Draw(t, "addr"),
			State: fib.NeighState(u16().Draw(t, "state")), LLAddr: rapid.StringN(0, 9, 9).Draw(t, "lladdr")})
	}
	for range n("labels") {
		st.AddrLabels = append(st.AddrLabels, fib.AddrLabel{Prefix: prefixOf(addr6()).Draw(t, "prefix"),
			Link: links.Draw(t, "link"), Label: u32().Draw(t, "label")})
	}
	for range n("routes") {
		st.Routes = append(st.Routes, drawRoute(t, links))
	}
	return st
}
