package ksync_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"

	"github.com/fibula-net/fibula/rules"
)

// randomConf is a random configuration: lines for ip, some of which the kernel
// may refuse, and rules, which ip cannot say in full.
type randomConf struct {
	sysctls    [][2]string
	links      []string // lines that make links and addresses; all must succeed
	nh4, nh6   []string // nexthop objects
	groups     []string // of nexthop objects: ip takes them without a family only
	v4, v6     []string
	rules      []rules.Request
	customized bool // has rules of its own: merged mode is over
}

// confLinks are the links of every random configuration: veth pairs d0/p0 …
const confLinks = 4

type confGen struct{ *rand.Rand }

func (g confGen) one(in int) bool { return g.IntN(in) == 0 }

func pickOf[T any](g confGen, vs ...T) T { return vs[g.IntN(len(vs))] }

func newRandomConf(seed uint64) randomConf {
	g := confGen{rand.New(rand.NewPCG(seed, 7))}
	var c randomConf
	g.base(&c)
	g.neighbours(&c)
	g.objects(&c)
	for range 4 + g.IntN(25) {
		c.v4 = append(c.v4, g.route4())
	}
	for range 4 + g.IntN(20) {
		c.v6 = append(c.v6, g.route6())
	}
	g.corners(&c)
	if !g.one(4) {
		c.customized = true
		for range 1 + g.IntN(10) {
			c.rules = append(c.rules, g.rule(rules.Inet))
		}
		for range 1 + g.IntN(8) {
			c.rules = append(c.rules, g.rule(rules.Inet6))
		}
	}
	return c
}

func (g confGen) base(c *randomConf) {
	set := func(k string, v any) { c.sysctls = append(c.sysctls, [2]string{k, fmt.Sprint(v)}) }
	set("net.ipv4.fib_multipath_hash_seed", 1+g.Uint32N(1<<31-2))
	set("net.ipv4.fib_multipath_hash_policy", g.IntN(4))
	set("net.ipv6.fib_multipath_hash_policy", g.IntN(4))
	set("net.ipv4.fib_multipath_hash_fields", 1+g.IntN(63))
	set("net.ipv6.fib_multipath_hash_fields", 1+g.IntN(63))
	set("net.ipv4.fib_multipath_use_neigh", g.IntN(2))
	set("net.ipv4.conf.all.forwarding", g.IntN(2))
	set("net.ipv6.conf.all.forwarding", g.IntN(2))
	set("net.ipv4.conf.all.src_valid_mark", g.IntN(2))
	for i := range confLinks {
		c.links = append(c.links, fmt.Sprintf("link add d%d type veth peer name p%d", i, i))
	}
	for i := range confLinks {
		if i == confLinks-1 && g.one(2) {
			continue // its peer stays down: no carrier
		}
		c.links = append(c.links, fmt.Sprintf("link set p%d up", i))
	}
	c.links = append(c.links, "link set lo up")
	for i := range confLinks {
		dev := fmt.Sprintf("d%d", i)
		if g.one(3) {
			c.links = append(c.links, fmt.Sprintf("link set %s group %d", dev, 1+g.IntN(3)))
		}
		c.links = append(c.links, "link set "+dev+" up")
		c.links = append(c.links, fmt.Sprintf("addr add 10.%d.0.1/24 dev %s", i+1, dev), fmt.Sprintf("addr add 2001:db8:%d::1/64 dev %s nodad", i+1, dev),
			fmt.Sprintf("addr add fe80::%d:1/64 dev %s nodad", i+1, dev))
		if g.one(2) {
			c.links = append(c.links, fmt.Sprintf("addr add 10.%d.0.%d/24 dev %s", i+1, 2+g.IntN(3), dev)) // secondary
		}
		if g.one(3) {
			c.links = append(c.links, fmt.Sprintf("addr add 172.16.%d.1/%d dev %s scope %s", i, pickOf(g, 16, 24, 30, 31, 32), dev, pickOf(g, "global", "link", "host")))
		}
		if g.one(3) {
			c.links = append(c.links, fmt.Sprintf("addr add 2001:db8:%d::%d/%d dev %s nodad %s", i+1, 0x20+i, pickOf(g, 64, 128, 127), dev,
				pickOf(g, "", "", "preferred_lft 0", "noprefixroute")))
		}
		if g.one(3) {
			c.links = append(c.links, fmt.Sprintf("addr add fd00:%d::1/48 dev %s nodad", i, dev))
		}
		for _, k := range []string{"accept_local", "route_localnet", "ignore_routes_with_linkdown", "send_redirects", "src_valid_mark"} {
			if g.one(3) {
				set("net.ipv4.conf."+dev+"."+k, g.IntN(2))
			}
		}
		set("net.ipv4.conf."+dev+".rp_filter", g.IntN(3))
		if i == confLinks-1 && g.one(2) {
			set("net.ipv4.conf."+dev+".ignore_routes_with_linkdown", 1)
			set("net.ipv6.conf."+dev+".ignore_routes_with_linkdown", 1)
		}
		if g.one(3) {
			set("net.ipv4.conf."+dev+".forwarding", g.IntN(2))
		}
		if g.one(4) {
			set("net.ipv6.conf."+dev+".ignore_routes_with_linkdown", 1)
		}
		if g.one(6) {
			set("net.ipv6.conf."+dev+".use_oif_addrs_only", 1)
		}
	}
	if g.one(2) {
		c.links = append(c.links, "addr add 192.168.255.1/32 dev lo")
	}
	if g.one(3) {
		c.links = append(c.links, "addr add 10.1.0.129 peer 10.1.0.130 dev d1")
	}
	if g.one(4) {
		c.links = append(c.links, "link set d2 down")
	}
	if g.one(3) {
		c.v6 = append(c.v6, fmt.Sprintf("addrlabel add prefix %s label %d", pickOf(g, "fd00::/16", "2001:db8:2::/48", "fd00:1::/48"), pickOf(g, 1, 5, 99)))
	}
	if g.one(4) { // without a carrier it stays tentative
		set("net.ipv6.conf.d3.accept_dad", 1)
		set("net.ipv6.conf.d3.dad_transmits", 1)
		c.v6 = append(c.v6, "addr add 2001:db8:4::77/64 dev d3")
	}
}

func (g confGen) neighbours(c *randomConf) {
	for i := range confLinks {
		for _, gw := range []string{fmt.Sprintf("10.%d.0.9", i+1), fmt.Sprintf("10.%d.0.10", i+1)} {
			if g.one(3) {
				c.v4 = append(c.v4, fmt.Sprintf("neigh replace %s dev d%d lladdr 02:00:00:00:00:%02x nud %s", gw, i, i, pickOf(g, "permanent", "failed", "permanent")))
			}
		}
		for _, gw := range []string{fmt.Sprintf("2001:db8:%d::9", i+1), fmt.Sprintf("fe80::%d:9", i+1)} {
			if g.one(3) {
				c.v6 = append(c.v6, fmt.Sprintf("neigh replace %s dev d%d lladdr 02:00:00:00:00:%02x nud %s", gw, i, i, pickOf(g, "permanent", "failed", "permanent")))
			}
		}
	}
}

// objects adds nexthop objects and routes through them, of which several may share
// one.
func (g confGen) objects(c *randomConf) {
	for id := 1; id <= 8; id++ {
		i := g.IntN(confLinks)
		if g.one(2) {
			c.nh4 = append(c.nh4, fmt.Sprintf("nexthop add id %d via 10.%d.0.%d dev d%d", id, i+1, 9+g.IntN(2), i))
			c.nh6 = append(c.nh6, fmt.Sprintf("nexthop add id %d via 2001:db8:%d::9 dev d%d", 100+id, i+1, i))
		} else {
			c.nh4 = append(c.nh4, fmt.Sprintf("nexthop add id %d dev d%d", id, i))
			c.nh6 = append(c.nh6, fmt.Sprintf("nexthop add id %d dev d%d", 100+id, i))
		}
	}
	c.nh4 = append(c.nh4, "nexthop add id 20 blackhole")
	c.nh6 = append(c.nh6, "nexthop add id 120 blackhole")
	for _, base := range []int{0, 100} {
		c.groups = append(c.groups,
			fmt.Sprintf("nexthop add id %d group %d,%d/%d/%d,%d", base+30, base+1, 1+g.IntN(4), base+2, base+3, 1+g.IntN(200)),
			fmt.Sprintf("nexthop add id %d group %d,%d/%d type resilient buckets %d idle_timer 100000", base+31, base+4, 1+g.IntN(3), base+5, pickOf(g, 4, 7, 16)))
	}
	for _, id := range []int{30, 30, 31, 1, 4, 5, 6, 7, 8, 20} {
		if g.one(2) {
			c.v4 = append(c.v4, fmt.Sprintf("route add 10.%d.%s nhid %d%s", 8+g.IntN(2), pickOf(g, "0.0/24", "1.0/24", "3.0/25", "2.0/23", "0.0/22"), id, g.table()))
		}
	}
	for _, id := range []int{130, 130, 131, 101, 104, 105, 106, 107, 108, 120} {
		if g.one(2) {
			c.v6 = append(c.v6, fmt.Sprintf("route add 2001:db8:%x::/%d nhid %d%s", 0x80+g.IntN(4), pickOf(g, 48, 64), id, g.table()))
		}
	}
}

func (g confGen) table() string {
	return pickOf(g, "", "", " table 50", " table 51", " table 100", " table 1000")
}

func (g confGen) dst4() string {
	if g.one(4) {
		return pickOf(g, "default", "0.0.0.0/1", "128.0.0.0/1", "224.0.0.0/4", "239.0.0.0/8", "10.0.0.0/8", "10.1.0.0/16", "10.1.0.128/25", "255.255.255.255/32", "192.0.2.0/24")
	}
	bits := pickOf(g, 12, 16, 20, 23, 24, 24, 25, 30, 31, 32)
	a := netip.AddrFrom4([4]byte{10, byte(8 + g.IntN(2)), byte(g.IntN(4)), byte(pickOf(g, 0, 0, 64, 128, 255))})
	p, _ := a.Prefix(bits)
	return p.String()
}

func (g confGen) leg4() string {
	i := g.IntN(confLinks)
	switch g.IntN(8) {
	case 0:
		return fmt.Sprintf("dev d%d", i)
	case 1:
		return fmt.Sprintf("via 10.77.0.%d dev d%d onlink", 1+g.IntN(3), i)
	case 2:
		return fmt.Sprintf("via inet6 2001:db8:%d::9 dev d%d", i+1, i)
	default:
		return fmt.Sprintf("via 10.%d.0.%d dev d%d", i+1, 9+g.IntN(2), i)
	}
}

func (g confGen) route4() string {
	var b strings.Builder
	b.WriteString("route " + pickOf(g, "add", "add", "append", "prepend", "replace") + " ")
	typ := ""
	if g.one(4) {
		typ = pickOf(g, "blackhole", "unreachable", "prohibit", "throw", "local", "broadcast", "anycast", "multicast")
	}
	dst := g.dst4()
	b.WriteString(typ + " " + dst)
	legs := ""
	switch {
	case typ == "" && g.one(2):
		for range 2 + g.IntN(3) {
			legs += fmt.Sprintf(" nexthop %s weight %d", g.leg4(), 1+g.IntN(pickOf(g, 3, 20)))
		}
	case typ == "":
		legs = " " + g.leg4()
	case typ == "local":
		legs = " dev " + pickOf(g, "lo", "d0", "d1")
	case typ == "anycast" || typ == "broadcast" || typ == "multicast":
		legs = fmt.Sprintf(" dev d%d", g.IntN(confLinks))
	}
	if g.one(4) {
		fmt.Fprintf(&b, " tos %#x", pickOf(g, 0x10, 0x08, 0x04, 0x1c, 0x20))
	}
	if g.one(3) {
		fmt.Fprintf(&b, " metric %d", g.IntN(4)*10)
	}
	if g.one(4) && typ == "" {
		fmt.Fprintf(&b, " src 10.%d.0.1", 1+g.IntN(confLinks))
	}
	if g.one(5) && typ == "" {
		fmt.Fprintf(&b, " mtu %d", 1000+g.IntN(400))
	}
	if g.one(8) && typ == "" {
		fmt.Fprintf(&b, " realm %d/%d", 1+g.IntN(9), 1+g.IntN(9))
	}
	if g.one(4) {
		b.WriteString(" proto " + pickOf(g, "static", "42", "bird"))
	}
	return b.String() + g.table() + legs // ip wants the legs last
}

func (g confGen) dst6() string {
	if g.one(4) {
		return pickOf(g, "::/0", "::/0", "2000::/3", "ff00::/8", "fe80::/10", "fc00::/7", "2001:db8::/32", "2001:db8:1::/48", "2001:db8:1::/65")
	}
	bits := pickOf(g, 44, 48, 56, 63, 64, 64, 65, 127, 128)
	a := netip.MustParseAddr(fmt.Sprintf("2001:db8:%x:%x::%x", 0x80+g.IntN(2), g.IntN(3)*0x80, pickOf(g, 0, 0, 1, 0xff)))
	p, _ := a.Prefix(bits)
	return p.String()
}

func (g confGen) leg6() string {
	i := g.IntN(confLinks)
	return pickOf(g, fmt.Sprintf("via 2001:db8:%d::9 dev d%d", i+1, i), fmt.Sprintf("via fe80::%d:9 dev d%d", i+1, i),
		fmt.Sprintf("via 2001:db8:%d::10 dev d%d", i+1, i))
}

func (g confGen) route6() string {
	var b strings.Builder
	if g.one(8) {
		// With other attributes than the first leg's, or a route between two legs, only a
		// flow that reaches the table can tell (D4a), and the rules may let none.
		return fmt.Sprintf("route append %s metric 500%s %s", g.dst6(), g.table(), g.leg6())
	}
	b.WriteString("route " + pickOf(g, "add", "add", "replace") + " ")
	typ := ""
	if g.one(4) {
		typ = pickOf(g, "blackhole", "unreachable", "prohibit", "throw", "local", "anycast", "multicast")
	}
	b.WriteString(typ + " " + g.dst6())
	if g.one(4) {
		b.WriteString(" from " + pickOf(g, "2001:db8:1::/64", "2001:db8:2::/64", "2001:db8::/32", "2001:db8:1::1/128"))
	}
	legs := ""
	switch typ {
	case "":
		switch {
		case g.one(3):
			for range 2 + g.IntN(3) {
				legs += fmt.Sprintf(" nexthop %s weight %d", g.leg6(), 1+g.IntN(5))
			}
		case g.one(4):
			legs = fmt.Sprintf(" dev d%d", g.IntN(confLinks))
		case g.one(12):
			legs = " dev lo"
		default:
			legs = " " + g.leg6()
		}
	case "local":
		legs = " dev " + pickOf(g, "lo", "d0")
	case "anycast", "multicast":
		legs = fmt.Sprintf(" dev d%d", g.IntN(confLinks))
	}
	if g.one(3) {
		fmt.Fprintf(&b, " metric %d", 100+g.IntN(3)*100)
	}
	if g.one(4) && typ == "" {
		b.WriteString(" pref " + pickOf(g, "low", "medium", "high"))
	}
	if g.one(4) && typ == "" {
		fmt.Fprintf(&b, " src 2001:db8:%d::1", 1+g.IntN(confLinks))
	}
	if g.one(5) && typ == "" {
		fmt.Fprintf(&b, " mtu %d", 1300+g.IntN(100))
	}
	return b.String() + g.table() + legs
}

func (g confGen) rule(f rules.Family) rules.Request {
	r := rules.Rule{Family: f, Priority: 10 * uint32(1+g.IntN(30)), Action: rules.ActLookup,
		Table: pickOf(g, uint32(50), 51, 100, 1000, 254, 77)}
	switch g.IntN(10) {
	case 0:
		r.Action, r.Table, r.Goto = rules.ActGoto, 0, r.Priority+10*uint32(1+g.IntN(10))
	case 1:
		r.Action, r.Table = pickOf(g, rules.ActNop, rules.ActBlackhole, rules.ActUnreachable, rules.ActProhibit), 0
	}
	if g.one(4) && r.Action == rules.ActLookup {
		r.SuppressPrefixLength = rules.Some(pickOf(g, uint32(0), 0, 15, 24, 64))
	}
	if g.one(6) && r.Action == rules.ActLookup {
		r.SuppressIfGroup = rules.Some(uint32(g.IntN(4)))
	}
	g.selectors(&r)
	r.Not = g.one(8)
	if f == rules.Inet && g.one(8) {
		r.Realms = g.Uint32N(9)<<16 | g.Uint32N(9)
	}
	if f == rules.Inet6 && g.one(4) {
		r.FindSaddr, r.From = true, netip.MustParsePrefix(pickOf(g, "2001:db8:1::/64", "2001:db8:2::/64", "2001:db8:3::1/128", "fd00::/16", "2001:db8::/32"))
	}
	return rules.RequestOf(r)
}

func (g confGen) selectors(r *rules.Rule) {
	pfx := func(s4, s6 string) netip.Prefix {
		if r.Family == rules.Inet {
			return netip.MustParsePrefix(s4)
		}
		return netip.MustParsePrefix(s6)
	}
	if g.one(4) {
		r.From = pickOf(g, pfx("10.1.0.0/24", "2001:db8:1::/64"), pfx("10.2.0.1/32", "2001:db8:2::1/128"), pfx("0.0.0.0/8", "::/8"), pfx("10.0.0.0/8", "2001:db8::/32"))
	}
	if g.one(4) {
		r.To = pickOf(g, pfx("10.8.0.0/16", "2001:db8:80::/48"), pfx("10.9.1.0/24", "2001:db8:81::/48"), pfx("224.0.0.0/4", "ff00::/8"), pfx("10.0.0.0/8", "2001:db8::/32"))
	}
	if g.one(6) {
		r.Iif = pickOf(g, "lo", "d0", "d1", "d2", "gone")
	}
	if g.one(8) {
		r.Oif = pickOf(g, "d0", "d1", "gone")
	}
	if g.one(5) {
		r.Mark, r.MarkMask = pickOf(g, uint32(1), 0x100, 0), pickOf(g, uint32(0xff), 0xffffffff, 0xff00)
		r.Mark &= r.MarkMask
	}
	switch g.IntN(8) {
	case 0:
		r.TOS = pickOf(g, uint8(0x10), 0x08, 0x04)
	case 1:
		r.DSCP, r.DSCPMask = uint8(g.IntN(64)), pickOf(g, uint8(0x3f), 0x0f, 0x38)
		r.DSCP &= r.DSCPMask
	}
	if g.one(8) {
		r.HasUIDs, r.UIDs = true, rules.UIDRange{Start: 1000, End: 1000 + g.Uint32N(1000)}
	}
	if g.one(6) {
		r.IPProto = pickOf(g, uint8(6), 17, 1)
		if r.Family == rules.Inet6 && r.IPProto == 1 {
			r.IPProto = 58
		}
	}
	if g.one(6) {
		r.Dport = pickOf(g, rules.Port(80), rules.Ports(50, 500), rules.PortRange{Start: 0x100, End: 0x100, Mask: 0xff00})
	}
	if g.one(8) {
		r.Sport = pickOf(g, rules.Port(53), rules.Ports(1, 100))
	}
	if r.Family == rules.Inet6 && g.one(8) {
		r.FlowLabel, r.FlowLabelMask = 0x12345, pickOf(g, uint32(0xfffff), 0xff)
		r.FlowLabel &= r.FlowLabelMask
	}
	if g.one(20) {
		r.TunID = 7
	}
	if g.one(15) && r.Action == rules.ActLookup {
		r.L3MDev, r.Table = true, 0
	}
}
