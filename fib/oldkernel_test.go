package fib

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/internal/conformance"
	"github.com/fibula-net/fibula/rules"
)

// Section I: an old kernel makes a rule without the attributes it does not know.
func TestOldKernelsIgnoreNewRuleAttributes(t *testing.T) {
	full := rules.Rule{Family: Inet6, Priority: 10, Action: rules.ActLookup, Table: 50, DSCP: 8, DSCPMask: 0x38, FlowLabel: 5, FlowLabelMask: 0xff,
		Dport: rules.PortRange{Start: 0x100, End: 0x100, Mask: 0xff00}}
	for _, c := range []struct {
		kernel KernelVersion
		want   func(*rules.Rule)
	}{
		{KernelVersion{6, 1, 0}, func(r *rules.Rule) {
			r.DSCP, r.DSCPMask, r.FlowLabel, r.FlowLabelMask, r.Dport = 0, 0, 0, 0, rules.Port(0x100)
		}},
		{KernelVersion{6, 12, 0}, func(r *rules.Rule) { r.DSCPMask, r.FlowLabel, r.FlowLabelMask, r.Dport = 0x3f, 0, 0, rules.Port(0x100) }},
		{KernelVersion{6, 14, 0}, func(r *rules.Rule) { r.DSCPMask, r.Dport = 0x3f, rules.Port(0x100) }},
		{KernelVersion{6, 15, 0}, func(*rules.Rule) {}},
		{KernelVersion{}, func(*rules.Rule) {}},
	} {
		f := New(Config{Kernel: c.kernel})
		want := full
		c.want(&want)
		mustUpdate(t, f, func(tx *Txn) error {
			got, err := tx.AddRule(rules.RequestOf(full), Create|Excl)
			require.Equal(t, want, got, c.kernel)
			return err
		})
		mustUpdate(t, f, func(tx *Txn) error {
			_, err := tx.DeleteRule(rules.RequestOf(full))
			return err
		})
	}
}

// Before Linux 6.14 queries had no flow label, and one given changes no answer.
func TestOldKernelsHaveNoFlowLabel(t *testing.T) {
	labelled := rules.Rule{Family: Inet6, Priority: 9, Action: rules.ActProhibit, FlowLabel: 0, FlowLabelMask: 0xfffff}
	for _, c := range []struct {
		kernel KernelVersion
		want   Errno
	}{{KernelVersion{6, 12, 0}, EACCES}, {KernelVersion{6, 14, 0}, ENETUNREACH}} {
		st := New(Config{Kernel: c.kernel}).Snapshot().State()
		st.Mode6, st.Rules = ModeRules, append(st.Rules, labelled) // as no such kernel could have it
		f := New(Config{})
		mustUpdate(t, f, func(tx *Txn) error { return tx.Load(st) })
		require.Equal(t, c.want, f.Snapshot().Resolve(Flow{Dst: netip.MustParseAddr("2001:db8::1"), FlowLabel: 6}).Errno, c.kernel)
	}
}

// Before Linux 6.15 the link of a nexthop object was looked at before its gateway.
func TestOldKernelsCheckLinksOfNexthopsFirst(t *testing.T) {
	down := NexthopObject{ID: 1, Family: Inet, Nexthop: Nexthop{Link: 2, Flags: FlagOnlink}}
	for _, c := range []struct {
		kernel KernelVersion
		want   Errno
	}{{KernelVersion{6, 1, 0}, ENETDOWN}, {KernelVersion{6, 15, 0}, EINVAL}} {
		f := New(Config{Kernel: c.kernel})
		_, err := f.Update(func(tx *Txn) error {
			require.NoError(t, tx.SetLink(ethernet(2, LinkUp)))
			_, err := tx.AddNexthop(down, Create)
			return err
		})
		require.ErrorIs(t, err, c.want, c.kernel)
	}
}

// Before Linux 6.6 an IPv6 address that goes was forgotten by routes on its own link alone, and by
// those even where another link has it too.
func TestOldKernelsKeepPreferredSourcesOnOtherLinks(t *testing.T) {
	conformance.CoversEngine(t, "D43", "I24")
	src := address(2, "2001:db8:1::1/64")
	on := func(dst string, link int32) Route {
		return Route{Dst: netip.MustParsePrefix(dst), PrefSrc: src.Local, Nexthops: []Nexthop{{Link: link}}}
	}
	for _, c := range []struct {
		kernel KernelVersion
		want   []netip.Addr // of the route on the address's link, and of the other
		twice  bool         // the other link has the address too
	}{
		{KernelVersion{6, 1, 0}, []netip.Addr{{}, src.Local}, false},
		{KernelVersion{6, 6, 0}, []netip.Addr{{}, {}}, false},
		{KernelVersion{6, 1, 0}, []netip.Addr{{}, src.Local}, true},
		{KernelVersion{6, 6, 0}, []netip.Addr{src.Local, src.Local}, true},
	} {
		f := New(Config{Kernel: c.kernel})
		mustUpdate(t, f, func(tx *Txn) error {
			require.NoError(t, errors.Join(tx.SetLink(ethernet(2, running)), tx.SetLink(ethernet(3, running)), tx.AddAddress(src)))
			if c.twice {
				require.NoError(t, tx.AddAddress(address(3, "2001:db8:1::1/64")))
			}
			return errors.Join(tx.AddRoute(on("2001:db8:8::/48", 2), OpAdd), tx.AddRoute(on("2001:db8:9::/48", 3), OpAdd), tx.DeleteAddress(src))
		})
		var got []netip.Addr
		for r := range f.Snapshot().RoutesOf(Inet6, TableMain) {
			if r.Dst.Bits() == 48 {
				got = append(got, r.PrefSrc)
			}
		}
		require.Equal(t, c.want, got, c.kernel)
	}
}

// 6.1.192 weighs groups as 6.12 (I11) and treats their failed members as 6.6 (I7): without a known hash the old rule
// leaves the failed last member open.
func TestBackportToGroups(t *testing.T) {
	conformance.CoversEngine(t, "I7", "I11")
	for kernel, old := range map[KernelVersion]bool{{6, 1, 190}: true, {6, 1, 192}: false, {6, 5, 200}: true, {6, 12, 0}: false} {
		st := twoUp(t).Snapshot().State()
		st.Kernel = kernel
		f := New(Config{})
		gateway := func(id uint32, link int32, gw string) NexthopObject {
			return NexthopObject{ID: id, Nexthop: Nexthop{Link: link, Gateway: netip.MustParseAddr(gw)}}
		}
		mustUpdate(t, f, func(tx *Txn) error {
			require.NoError(t, tx.Load(st))
			_, err1 := tx.AddNexthop(gateway(1, 2, "10.1.0.2"), OpAdd)
			_, err2 := tx.AddNexthop(gateway(2, 3, "10.2.0.2"), OpAdd)
			_, err3 := tx.AddNexthop(NexthopObject{ID: 5, Group: []GroupMember{{ID: 1}, {ID: 2}}}, OpAdd)
			return errors.Join(err1, err2, err3, tx.AddRoute(Route{Dst: netip.MustParsePrefix("10.9.0.0/16"), NexthopID: 5}, OpAdd),
				tx.SetNeighbour(Neighbour{Link: 3, Addr: netip.MustParseAddr("10.2.0.2"), State: NeighFailed}))
		})
		links := map[int32]bool{}
		for _, d := range f.Snapshot().Candidates(Flow{Dst: netip.MustParseAddr("10.9.0.1")}) {
			links[d.Link] = true
		}
		require.Equal(t, old, links[3], kernel)
		require.True(t, links[2], kernel)
		_, err := f.Update(func(tx *Txn) error {
			_, err := tx.AddNexthop(NexthopObject{ID: 6, Group: []GroupMember{{ID: 1, Weight: 300}}}, OpAdd)
			return err
		})
		require.Equal(t, old, errors.Is(err, EINVAL), kernel)
	}
}

// Before Linux 6.16 the gateways of several IPv6 legs were missed in the legs that had been made: after what is
// wrong with a link, and in every leg of a reject route.
func TestOldKernelsMakeIPv6LegsFirst(t *testing.T) {
	conformance.CoversEngine(t, "D50", "D52", "I23")
	gateway := Nexthop{Link: 2, Gateway: netip.MustParseAddr("2001:db8:1::2"), Weight: 1}
	other := Nexthop{Link: 2, Gateway: netip.MustParseAddr("2001:db8:1::3"), Weight: 1}
	bare, nowhere := Nexthop{Link: 2, Weight: 1}, Nexthop{Link: 99, Weight: 1}
	for _, c := range []struct {
		what     string
		typ      RouteType
		legs     []Nexthop
		old, now error
	}{
		{"two gateways", TypeUnicast, []Nexthop{gateway, other}, nil, nil},
		{"twice the same", TypeUnicast, []Nexthop{gateway, gateway}, EEXIST, EEXIST},
		{"no gateway, no link", TypeUnicast, []Nexthop{nowhere, gateway}, ENODEV, EINVAL},
		{"no gateway, then no link", TypeUnicast, []Nexthop{bare, nowhere}, EINVAL, EINVAL},
		{"no link, then no gateway", TypeUnicast, []Nexthop{gateway, nowhere}, ENODEV, EINVAL},
		{"reject", TypeProhibit, []Nexthop{gateway, other}, EINVAL, EEXIST},
		{"reject, no link", TypeProhibit, []Nexthop{nowhere, gateway}, ENODEV, EINVAL},
		{"reject, no gateway", TypeProhibit, []Nexthop{bare, gateway}, EINVAL, EINVAL},
		{"reject, one leg", TypeProhibit, []Nexthop{bare}, nil, nil},
	} {
		for kernel, want := range map[KernelVersion]error{{6, 1, 0}: c.old, {6, 15, 0}: c.old, {6, 16, 0}: c.now, {}: c.now} {
			f := New(Config{Kernel: kernel})
			_, err := f.Update(func(tx *Txn) error {
				require.NoError(t, errors.Join(tx.SetLink(ethernet(2, running)), tx.AddAddress(address(2, "2001:db8:1::1/64"))))
				return tx.AddRoute(Route{Dst: netip.MustParsePrefix("2001:db8:9::/48"), Type: c.typ, Nexthops: c.legs}, OpAdd)
			})
			require.ErrorIs(t, err, want, "%s, Linux %v", c.what, kernel)
		}
	}
}

// An oif binds the member of an IPv6 group on 6.1, dead neighbour or not (I25).
func TestOldKernelsBindMembersToTheOif(t *testing.T) {
	conformance.CoversEngine(t, "D22", "I25")
	gw := netip.MustParseAddr("2001:db8:2::9")
	for kernel, want := range map[KernelVersion]int32{{6, 1, 192}: 3, {}: 2} {
		st := twoLinks()
		st.Kernel = kernel
		st.Neighbours = append(st.Neighbours, Neighbour{Link: 3, Addr: gw, State: NeighFailed})
		st.Nexthops = []NexthopObject{
			{ID: 1, Family: Inet6, Nexthop: Nexthop{Link: 3, Gateway: gw}}, {ID: 2, Family: Inet6, Nexthop: Nexthop{Link: 2}},
			{ID: 3, Family: Inet6, Group: []GroupMember{{ID: 1, Weight: 1}, {ID: 2, Weight: 1}}}}
		st.Routes = append(st.Routes, Route{Table: TableMain, Dst: netip.MustParsePrefix("2001:db8:81::/64"), Type: TypeUnicast, Priority: 1024, NexthopID: 3})
		s := loaded(t, Config{}, st).Snapshot()
		f := Flow{Dst: netip.MustParseAddr("2001:db8:81::1"), Oif: 3}
		d := s.Resolve(f)
		require.Equal(t, want, d.Link, "%v", kernel)
		require.Zero(t, d.Undetermined, "%v", kernel)
		require.Equal(t, d, s.Explain(f).Decision, "%v", kernel)
	}
}
