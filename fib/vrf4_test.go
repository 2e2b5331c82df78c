package fib_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/conformance"
	"github.com/fibula-net/fibula/rules"
)

// The links of vrfState: d0 is a slave of red, d1 belongs to no VRF, d3 is a slave
// without address.
const (
	vrfD0 = iota + 2
	vrfD1
	vrfRed
	vrfD3
)

// vrfState is the setting of section L: red has table 100, d0 10.1.0.1/24 and d1
// 10.2.0.1/24, main a default route through d1.
func vrfState(k fib.KernelVersion) *fib.State {
	st := &fib.State{Kernel: k, Sysctls: fib.DefaultSysctls(), Mode4: fib.ModeRules, Mode6: fib.ModeRules}
	up := fib.LinkUp | fib.LinkLowerUp
	st.Links = []fib.Link{
		{Index: 1, Name: "lo", Flags: up | fib.LinkLoopback, MTU: 65536},
		{Index: vrfD0, Name: "d0", Flags: up, MTU: 1500, Master: vrfRed},
		{Index: vrfD1, Name: "d1", Flags: up, MTU: 1500},
		{Index: vrfRed, Name: "red", Flags: up, MTU: 65575, Kind: "vrf", VRFTable: 100},
		{Index: vrfD3, Name: "d3", Flags: up, MTU: 1500, Master: vrfRed},
	}
	st.Rules = append(slices.Collect(initialRules(fib.Inet)),
		rules.Rule{Family: fib.Inet, Priority: 1000, Action: rules.ActLookup, L3MDev: true})
	for _, a := range []struct {
		link        int32
		addr        string
		main, local fib.TableID
	}{{vrfD0, "10.1.0.1/24", 100, 100}, {vrfD1, "10.2.0.1/24", fib.TableMain, fib.TableLocal}} {
		p := netip.MustParsePrefix(a.addr)
		host, _ := p.Addr().Prefix(32)
		leg := []fib.Nexthop{{Link: a.link}}
		st.Addresses = append(st.Addresses, fib.Address{Link: a.link, Local: p.Addr(), Prefix: p})
		st.Routes = append(st.Routes,
			fib.Route{Table: a.local, Dst: host, Type: fib.TypeLocal, Scope: fib.ScopeHost, PrefSrc: p.Addr(), Nexthops: leg},
			fib.Route{Table: a.main, Dst: p.Masked(), Type: fib.TypeUnicast, Scope: fib.ScopeLink, PrefSrc: p.Addr(), Nexthops: leg})
	}
	st.Routes = append(st.Routes, route4("0.0.0.0/0", fib.TableMain, "10.2.0.2", vrfD1))
	return st
}

func route4(dst string, table fib.TableID, gw string, link int32) fib.Route {
	r := fib.Route{Table: table, Dst: netip.MustParsePrefix(dst), Type: fib.TypeUnicast, Nexthops: []fib.Nexthop{{Link: link}}}
	if gw != "" {
		r.Nexthops[0].Gateway = netip.MustParseAddr(gw)
	} else {
		r.Scope = fib.ScopeLink
	}
	return r
}

func TestVRF4(t *testing.T) {
	add := func(rs ...fib.Route) func(*fib.State) {
		return func(st *fib.State) { st.Routes = append(st.Routes, rs...) }
	}
	unreachable := add(fib.Route{Table: 100, Dst: netip.MustParsePrefix("0.0.0.0/0"), Type: fib.TypeUnreachable, Priority: 4278198272})
	inRed := add(route4("0.0.0.0/0", 100, "10.1.0.2", vrfD0))
	unnumbered := add(route4("10.20.0.0/16", 100, "", vrfD3))
	oifRule := func(st *fib.State) {
		inRed(st)
		st.Routes = append(st.Routes, route4("10.9.0.0/16", 50, "10.1.0.3", vrfD0))
		st.Rules = append(st.Rules, rules.Rule{Family: fib.Inet, Priority: 500, Action: rules.ActLookup, Oif: "red", Table: 50})
	}
	// A selector ahead of l3mdev decides, so the walk has noted no domain's table.
	invertedByMark := func(st *fib.State) {
		inRed(st)
		st.Rules = append(st.Rules, rules.Rule{Family: fib.Inet, Priority: 500, Action: rules.ActLookup, L3MDev: true, Not: true, Mark: 1, MarkMask: 1})
	}
	old := fib.KernelVersion{Major: 6, Minor: 1}
	in := func(changes ...func(*fib.State)) func(*fib.State) { // with forwarding
		return func(st *fib.State) {
			for i := range st.Links {
				st.Links[i].Conf4.Forwarding = true
			}
			for _, c := range changes {
				c(st)
			}
		}
	}
	rule := func(r rules.Rule) func(*fib.State) {
		r.Family, r.Action = fib.Inet, rules.ActLookup
		return func(st *fib.State) { st.Rules = append(st.Rules, r) }
	}
	strict := func(st *fib.State) { st.Sysctls.All4.RPFilter = 1 }
	loose := func(st *fib.State) { st.Sysctls.All4.RPFilter = 2 }
	both := func(changes ...func(*fib.State)) func(*fib.State) {
		return func(st *fib.State) {
			for _, c := range changes {
				c(st)
			}
		}
	}
	l3mdev := func(r rules.Rule) func(*fib.State) { // in place of the kernel's
		r.L3MDev = true
		return func(st *fib.State) { st.Rules = st.Rules[:len(st.Rules)-1]; rule(r)(st) }
	}
	iifRed := both(inRed, add(route4("10.9.0.0/16", 50, "10.1.0.3", vrfD0)), rule(rules.Rule{Priority: 500, Iif: "red", Table: 50}))
	for _, c := range []struct {
		name   string
		kernel fib.KernelVersion
		change func(*fib.State)
		dst    string
		oif    int32
		iif    int32
		src    string
		mark   uint32
		want   string // type, link, gateway, source, table; or the error
	}{
		{name: "connected by vrf", dst: "10.1.0.5", oif: vrfRed, want: "unicast 2 - 10.1.0.1 100"},
		{name: "connected by slave", dst: "10.1.0.5", oif: vrfD0, want: "unicast 2 - 10.1.0.1 100"},
		{name: "invisible without vrf (L5)", dst: "10.1.0.5", want: "unicast 3 10.2.0.2 10.2.0.1 main"},
		{name: "falls through to main (L7, L18)", dst: "10.9.1.5", oif: vrfRed, want: "unicast 3 10.2.0.2 10.1.0.1 main"},
		{name: "no on-link fallback in a VRF (L9)", dst: "10.9.1.5", oif: vrfD0, want: "ENETUNREACH"},
		{name: "the on-link fallback elsewhere (C7)", change: func(st *fib.State) { st.Routes = st.Routes[:len(st.Routes)-1] },
			dst: "10.9.1.5", oif: vrfD1, want: "unicast 3 - 10.2.0.1 -"},
		{name: "guard route", change: unreachable, dst: "10.9.1.5", oif: vrfRed, want: "EHOSTUNREACH"},
		{name: "guard route by slave (L8)", change: unreachable, dst: "10.9.1.5", oif: vrfD0, want: "EHOSTUNREACH"},
		{name: "own address is delivered by the VRF device (L13)", dst: "10.1.0.1", oif: vrfRed, want: "local 4 - 10.1.0.1 100"},
		{name: "own address of the default VRF (L12)", dst: "10.2.0.1", oif: vrfRed, want: "local 1 - 10.2.0.1 local"},
		{name: "VRF device down (L11)", change: func(st *fib.State) { inRed(st); st.Links[vrfRed-1].Flags = 0 },
			dst: "10.9.1.5", oif: vrfRed, want: "ENETUNREACH"},
		{name: "source from another slave (L17)", change: unnumbered, dst: "10.20.0.5", oif: vrfRed, want: "unicast 5 - 10.1.0.1 100"},
		{name: "oif names a VRF before 6.15 (L14)", kernel: old, change: oifRule, dst: "10.9.1.5", oif: vrfRed, want: "unicast 2 10.1.0.2 10.1.0.1 100"},
		{name: "oif names a VRF since 6.15 (L16, I16)", change: oifRule, dst: "10.9.1.5", oif: vrfRed, want: "unicast 2 10.1.0.3 10.1.0.1 50"},
		{name: "a rule of a user does as the kernel's (L4)", change: both(inRed, l3mdev(rules.Rule{Priority: 500})), dst: "10.9.1.5", oif: vrfRed, want: "unicast 2 10.1.0.2 10.1.0.1 100"},
		{name: "suppressors work (L4)", change: both(inRed, l3mdev(rules.Rule{Priority: 1000, SuppressPrefixLength: rules.Some(0)})), dst: "10.9.1.5", oif: vrfRed, want: "unicast 3 10.2.0.2 10.1.0.1 main"},
		{name: "no rule, no VRF table (L2)", change: both(inRed, func(st *fib.State) { st.Rules = st.Rules[:len(st.Rules)-1] }), dst: "10.9.1.5", oif: vrfRed, want: "unicast 3 10.2.0.2 10.1.0.1 main"},
		{name: "an earlier rule wins (L6)", change: both(inRed, add(route4("10.9.0.0/16", 50, "10.2.0.3", vrfD1)), rule(rules.Rule{Priority: 500, Mark: 1, MarkMask: 1, Table: 50})),
			dst: "10.9.1.5", oif: vrfRed, mark: 1, want: "unicast 3 10.2.0.3 10.1.0.1 50"},
		{name: "a VRF's table by another rule (L6)", change: rule(rules.Rule{Priority: 500, To: netip.MustParsePrefix("10.1.0.0/24"), Table: 100}), dst: "10.1.0.5", want: "unicast 2 - 10.1.0.1 100"},
		{name: "a slave skips routes of other slaves (L10)", change: add(route4("10.9.1.0/24", 100, "", vrfD3), route4("10.9.0.0/16", 100, "10.1.0.2", vrfD0)),
			dst: "10.9.1.5", oif: vrfD0, want: "unicast 2 10.1.0.2 10.1.0.1 100"},
		{name: "iif names a VRF before 6.15 (L15)", kernel: old, change: in(iifRed), dst: "10.9.1.5", iif: vrfD0, src: "10.1.0.9", want: "unicast 2 10.1.0.2 - 100"},
		{name: "iif names a VRF since 6.15 (L16, I16)", change: in(iifRed), dst: "10.9.1.5", iif: vrfD0, src: "10.1.0.9", want: "unicast 2 10.1.0.3 - 50"},
		{name: "strict, the way back is in the VRF (L20)", change: in(inRed, strict), dst: "10.9.1.5", iif: vrfD0, src: "11.0.0.1", want: "unicast 2 10.1.0.2 - 100"},
		{name: "strict, the way back is through main (L20)", change: in(add(route4("10.9.0.0/16", 100, "10.1.0.2", vrfD0)), strict), dst: "10.9.1.5", iif: vrfD0, src: "11.0.0.1", want: "EINVAL"},
		{name: "strict before 6.13 (L20)", kernel: old, change: in(add(route4("10.9.0.0/16", 100, "10.1.0.2", vrfD0)), strict), dst: "10.9.1.5", iif: vrfD0, src: "11.0.0.1", want: "EXDEV"},
		{name: "loose, the way back is through main (L20)", change: in(add(route4("10.9.0.0/16", 100, "10.1.0.2", vrfD0)), loose), dst: "10.9.1.5", iif: vrfD0, src: "11.0.0.1", want: "unicast 2 10.1.0.2 - 100"},
		{name: "a source of this VRF's own (L20)", change: in(inRed), dst: "10.9.1.5", iif: vrfD0, src: "10.1.0.1", want: "EINVAL"},
		{name: "a leak to the default VRF (L23)", change: add(route4("10.30.0.0/16", 100, "10.2.0.9", vrfD1)), dst: "10.30.0.1", oif: vrfRed, want: "unicast 3 10.2.0.9 10.1.0.1 100"},
		{name: "a leak to the VRF device answers with it (L23)", change: add(route4("10.1.0.0/24", fib.TableMain, "", vrfRed)), dst: "10.1.0.5", want: "unicast 4 - 10.1.0.1 main"},
		{name: "an inverted l3mdev rule looks up main (A26)", change: invertedByMark, dst: "10.9.1.5", oif: vrfRed, want: "unicast 3 10.2.0.2 10.1.0.1 main"},
		{name: "link-local multicast through the VRF device (L9)", dst: "224.0.0.9", oif: vrfRed, want: "multicast 4 - 10.1.0.1 -"},
		{name: "a slave that is down has left the group that its VRF is in (C25)", change: func(st *fib.State) { st.Links[vrfD0-1].Flags = 0 },
			dst: "224.0.0.1", iif: vrfD0, want: "EINVAL"},
		{name: "other multicast needs a route (L9)", change: unreachable, dst: "239.1.1.1", oif: vrfRed, want: "EHOSTUNREACH"},
		{name: "other multicast through a slave (L9)", change: unreachable, dst: "239.1.1.1", oif: vrfD0, want: "multicast 2 - 10.1.0.1 -"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conformance.CoversEngine(t, conformance.NumbersIn(c.name)...)
			st := vrfState(c.kernel)
			if c.change != nil {
				c.change(st)
			}
			s := loaded(t, st)
			f := fib.Flow{Dst: netip.MustParseAddr(c.dst), Oif: c.oif, Iif: c.iif, Mark: c.mark}
			if c.src != "" {
				f.Src = netip.MustParseAddr(c.src)
			}
			checkFlow(t, s, f)
			assert.Equal(t, c.want, answer(s.Resolve(f)))
		})
	}
}

// answer is a decision in few words.
func answer(d fib.Decision) string {
	if d.Errno != 0 {
		return d.Errno.Name()
	}
	addr := func(a netip.Addr) string {
		if !a.IsValid() {
			return "-"
		}
		return a.String()
	}
	table := "-"
	if d.HasRoute {
		table = d.Table.String()
	}
	return fmt.Sprintf("%v %d %s %s %s", d.Type, d.Link, addr(d.Gateway), addr(d.Source), table)
}
