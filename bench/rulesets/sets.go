package rulesets

import (
	"fmt"
	"net/netip"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/rules"
)

func none() *Set {
	s := &Set{Name: "none", About: "the rules of a new host", Bare: true}
	s.same(fib.Flow{})
	return s
}

// miss has n rules before main that match nothing: what a walk over rules costs.
func miss(n int) *Set {
	s := &Set{Name: fmt.Sprintf("miss-%d", n), About: fmt.Sprintf("%d rules by source address, of which none matches", n), Bare: true}
	for i := range n {
		for _, f := range families {
			s.Rules = append(s.Rules, rules.Rule{Family: f, Priority: 1000, Action: rules.ActLookup, Table: 100, From: pod(f, i)})
		}
	}
	s.same(fib.Flow{})
	return s
}

// pod is the address of the i-th pod of a host, or of many.
func pod(f fib.Family, i int) netip.Prefix {
	if f == fib.Inet {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64 + byte(i>>16&63), byte(i >> 8), byte(i)}), 32)
	}
	a := netip.MustParseAddr("fd00:10:64::").As16()
	a[13], a[14], a[15] = byte(i>>16), byte(i>>8), byte(i)
	return netip.PrefixFrom(netip.AddrFrom16(a), 128)
}

// wgQuick sends everything through a tunnel but what is already inside it, and what
// is nearer than a default route.
func wgQuick() *Set {
	const table, mark, link = 51820, 0xca6c, 20
	s := &Set{Name: "wg-quick", About: "as wg-quick makes them: all traffic through a tunnel, but its own"}
	s.both(rules.Rule{Priority: 32764, Action: rules.ActLookup, Table: rules.TableMain, SuppressPrefixLength: rules.Some(0)})
	s.both(rules.Rule{Priority: 32765, Action: rules.ActLookup, Table: table, Not: true, Mark: mark, MarkMask: ^uint32(0)})
	s.Links = []fib.Link{tunnel(link, "wg0")}
	s.towards(table, link)
	s.same(fib.Flow{}, fib.Flow{}, fib.Flow{}, fib.Flow{Mark: mark})
	return s
}

// multiUplink has four uplinks: a mark or a source address chooses one, else main.
func multiUplink() *Set {
	s := &Set{Name: "multi-uplink", About: "four uplinks, chosen by mark or else by table main"}
	var flows []fib.Flow
	for i := range 4 {
		table, link := uint32(101+i), int32(30+i)
		s.both(rules.Rule{Priority: uint32(100 + i), Action: rules.ActLookup, Table: table, Mark: uint32(i+1) << 16, MarkMask: 0xff0000})
		for _, f := range families {
			s.Rules = append(s.Rules, rules.Rule{Family: f, Priority: uint32(200 + i), Action: rules.ActLookup, Table: table, From: pod(f, i)})
		}
		s.Links = append(s.Links, tunnel(link, fmt.Sprint("up", i)))
		s.towards(fib.TableID(table), link)
		flows = append(flows, fib.Flow{Mark: uint32(i+1) << 16}, fib.Flow{})
	}
	s.same(flows...)
	return s
}

// tailscale has the rules of its client: marked packets pass by, all others try its
// table first.
func tailscale() *Set {
	const table, mark, mask, link = 52, 0x80000, 0xff0000, 40
	s := &Set{Name: "tailscale", About: "as Tailscale's client makes them, with 200 peers"}
	marked := rules.Rule{Mark: mark, MarkMask: mask, Action: rules.ActLookup}
	for i, t := range []uint32{rules.TableMain, rules.TableDefault} {
		marked.Priority, marked.Table = uint32(5210+20*i), t
		s.both(marked)
	}
	s.both(rules.Rule{Priority: 5250, Mark: mark, MarkMask: mask, Action: rules.ActUnreachable})
	s.both(rules.Rule{Priority: 5270, Action: rules.ActLookup, Table: table})
	s.Links = []fib.Link{tunnel(link, "tailscale0")}
	for i := range 200 {
		for _, f := range families {
			dst := pod(f, i)
			s.Routes = append(s.Routes, fib.Route{Table: table, Dst: dst, Type: fib.TypeUnicast, Scope: fib.ScopeLink,
				Priority: metric(dst.String()), Nexthops: []fib.Nexthop{{Link: link, Weight: 1}}})
		}
	}
	s.same(fib.Flow{}, fib.Flow{}, fib.Flow{}, fib.Flow{Mark: mark})
	return s
}

// cni is a host of n pods as cloud plug-ins configure it: one rule towards each pod and
// one from it, which leads to the table of one of eight interfaces. Packets come from
// pods, each through the link of its own.
func cni(n int) *Set {
	const interfaces, links, in = 8, 64, 100
	s := &Set{Name: fmt.Sprintf("cni-%d", n), About: fmt.Sprintf("a host of %d pods: two rules for each", n)}
	s.both(rules.Rule{Priority: 1024, Action: rules.ActLookup, Table: rules.TableMain, Mark: 0x80, MarkMask: 0x80})
	for i := range n {
		for _, f := range families {
			s.Rules = append(s.Rules,
				rules.Rule{Family: f, Priority: 512, Action: rules.ActLookup, Table: rules.TableMain, To: pod(f, i)},
				rules.Rule{Family: f, Priority: 1536, Action: rules.ActLookup, Table: uint32(2 + i%interfaces), From: pod(f, i)})
		}
	}
	for i := range interfaces {
		s.Links = append(s.Links, tunnel(int32(50+i), fmt.Sprint("eni", i)))
		s.towards(fib.TableID(2+i), int32(50+i))
	}
	for i := range links { // enough to see that links differ; ten thousand pods share them
		s.Links = append(s.Links, tunnel(int32(in+i), fmt.Sprint("pod", i)))
	}
	s.Flows = map[fib.Family][]fib.Flow{}
	for _, f := range families {
		for k := range 1024 {
			i := k * 7919 % n
			s.Flows[f] = append(s.Flows[f], fib.Flow{Src: pod(f, i).Addr(), Iif: in + int32(i%links)})
		}
	}
	return s
}

func tunnel(index int32, name string) fib.Link {
	l := fib.Link{Index: index, Name: name, MTU: 1420, Flags: fib.LinkUp | fib.LinkRunning | fib.LinkLowerUp}
	l.Conf4.Forwarding, l.Conf6.Forwarding = true, true
	return l
}
