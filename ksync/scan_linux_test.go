package ksync

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/conformance"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/internal/rtnl"
	"github.com/fibula-net/fibula/rules"
)

func addr(s string) netip.Addr  { return netip.MustParseAddr(s) }
func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// request sends messages into a namespace, each of which must succeed.
func request(t testing.TB, ns *netnstest.NS, msgs ...[]byte) {
	t.Helper()
	var c *conn
	require.NoError(t, ns.Do(func() (err error) { c, err = dial(); return err }))
	defer c.close()
	buf := make([]byte, datagram)
	for _, msg := range msgs {
		require.NoError(t, c.send(msg))
		b, err := c.recv(buf)
		require.NoError(t, err)
		m, _, err := rtnl.Next(b)
		require.NoError(t, err)
		require.NoError(t, refusal(m))
	}
}

func create(typ uint16) rtnl.Header {
	return rtnl.Header{Type: typ, Flags: rtnl.NLM_F_REQUEST | rtnl.NLM_F_ACK | rtnl.NLM_F_CREATE}
}

func scanned(t testing.TB, ns *netnstest.NS, opt Options) fib.State {
	t.Helper()
	opt.NetNS = Named(ns.Name())
	st, rep, err := Scan(t.Context(), opt)
	require.NoError(t, err)
	assert.Empty(t, rep.String(), "the running kernel says something that is not modelled")
	return st
}

// rich configures everything that a scan reads.
func rich(t *testing.T) *netnstest.NS {
	ns := netnstest.New(t, netnstest.LoUp, netnstest.Quiet)
	ns.Batch(
		"link add d0 type veth peer d1", "link add d2 type veth peer d3", "link set d2 group 7 mtu 1400",
		"link set d0 up", "link set d1 up", "link set d2 up", "link set d3 up",
		"addr add 10.0.0.1/24 dev d0", "addr add 10.0.0.7/24 dev d0", "addr add 10.9.0.1 peer 10.9.0.2/32 dev d2 metric 77 noprefixroute",
		"addr add 192.168.7.1/24 brd + dev d2 scope link valid_lft 1000 preferred_lft 500",
		"addr add 2001:db8::1/64 dev d0 nodad", "addr add 2001:db8:9::1 peer 2001:db8:9::2/128 dev d2 nodad", "addr add fe80::1/64 dev d0 nodad",
		"addr add 2001:db8:7::1/64 dev d2 nodad preferred_lft 0",
		"neigh add 10.0.0.9 lladdr 02:00:00:00:00:09 dev d0 nud permanent", "neigh add 2001:db8::9 lladdr 02:00:00:00:00:0a dev d0 nud stale",
		"-6 addrlabel add prefix 2001:db8:55::/48 label 99", "-6 addrlabel add prefix 2001:db8:56::/48 dev d0 label 98",
		"maddr add 01:00:5e:01:02:03 dev d2")
	ns.Settle() // a link whose carrier is still on its way loses its nexthop objects
	ns.Batch(
		"nexthop add id 1 via 10.0.0.9 dev d0", "nexthop add id 2 dev d2", "nexthop add id 3 blackhole", "nexthop add id 4 via 2001:db8::9 dev d0",
		"nexthop add id 5 group 1/2,3", "nexthop add id 6 group 1/2,7 type resilient buckets 8 idle_timer 30 unbalanced_timer 60",
	)
	return ns
}

func TestScanReadsLinksAndAddresses(t *testing.T) {
	t.Parallel()
	ns := netnstest.New(t, netnstest.LoUp, netnstest.Quiet)
	ns.Batch("link add d0 index 50 type veth peer d0p index 49", "link add d2 index 20 type veth peer d2p index 19",
		"link add d1 index 30 mtu 1200 type veth peer d1p index 29",
		"link set d2 group 7 mtu 1400", "link set d0 up", "link set d0p up", "link set d2 up", "link set d2p up",
		"addr add 10.0.0.1/24 dev d0", "addr add 10.0.0.7/24 dev d0",
		"addr add 10.9.0.1 peer 10.9.0.2/32 dev d2 metric 77 noprefixroute",
		"addr add 192.168.7.1/24 brd + dev d2 scope link valid_lft 1000 preferred_lft 500",
		"addr add 2001:db8::1/64 dev d0 nodad", "addr add 2001:db8:9::1 peer 2001:db8:9::2/128 dev d2 nodad",
		"addr add 2001:db8:7::1/64 dev d2 nodad preferred_lft 0 metric 5")
	for k, v := range map[string]string{
		"net.ipv4.conf.d0.forwarding": "1", "net.ipv4.conf.d0.accept_local": "1", "net.ipv4.conf.d0.route_localnet": "1",
		"net.ipv4.conf.d0.src_valid_mark": "1", "net.ipv4.conf.d0.send_redirects": "0", "net.ipv4.conf.d0.shared_media": "0",
		"net.ipv4.conf.d0.bc_forwarding": "1", "net.ipv4.conf.d0.ignore_routes_with_linkdown": "1",
		"net.ipv4.conf.d0.promote_secondaries": "1", "net.ipv4.conf.d0.rp_filter": "2",
		"net.ipv6.conf.d0.forwarding": "1", "net.ipv6.conf.d0.ignore_routes_with_linkdown": "1",
		"net.ipv6.conf.d0.use_oif_addrs_only": "1", "net.ipv6.conf.d0.keep_addr_on_down": "-1", "net.ipv6.conf.d0.use_tempaddr": "2",
		"net.ipv6.conf.d0.accept_dad": "2", "net.ipv6.conf.d0.addr_gen_mode": "3", "net.ipv6.conf.d0.mtu": "1300",
		"net.ipv6.conf.d2.disable_ipv6": "0",
	} {
		ns.Sysctl(k, v)
	}
	for _, k := range []string{"optimistic_dad", "use_optimistic"} { // not in every kernel
		_ = ns.TrySysctl("net.ipv6.conf.d0."+k, "0")
	}
	ns.Settle()
	st := scanned(t, ns, Options{})

	names := func() (out []string) {
		for _, l := range st.Links {
			out = append(out, l.Name)
		}
		return out
	}()
	// d1 and its peer are down and without addresses: nothing shows when they were made.
	assert.Equal(t, []string{"lo", "d0p", "d0", "d2p", "d2"},
		slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == "d1" || n == "d1p" }))
	link := func(name string) fib.Link { return st.Links[slices.Index(names, name)] }
	d0 := link("d0")
	assert.Equal(t, fib.Conf4{Forwarding: true, AcceptLocal: true, RouteLocalnet: true, SrcValidMark: true, BcForwarding: true,
		IgnoreRoutesWithLinkdown: true, PromoteSecondaries: true, RPFilter: 2}, d0.Conf4)
	assert.Equal(t, fib.Conf6{Forwarding: true, IgnoreRoutesWithLinkdown: true, UseOifAddrsOnly: true, KeepAddrOnDown: -1,
		UseTempaddr: 2, AcceptDAD: 2, AddrGenMode: 3}, d0.Conf6)
	assert.Equal(t, []any{int32(50), "veth", uint32(1500), uint32(1300), true, true},
		[]any{d0.Index, d0.Kind, d0.MTU, d0.MTU6, d0.Up(), d0.Carrier()})
	assert.Contains(t, d0.Groups4, addr("224.0.0.1"))
	d1, d2 := link("d1"), link("d2")
	assert.True(t, d1.NoInet6, "its MTU is too small")
	assert.False(t, d1.NoInet)
	assert.Equal(t, []any{uint32(7), uint32(1400), uint32(0), false}, []any{d2.Group, d2.MTU, d2.MTU6, d2.NoInet6})

	byAddr := map[netip.Addr]fib.Address{}
	for _, a := range st.Addresses {
		byAddr[a.Local] = a
	}
	assert.True(t, byAddr[addr("10.0.0.7")].Flags&fib.AddrSecondary != 0)
	p := byAddr[addr("10.9.0.1")]
	assert.Equal(t, []any{pfx("10.9.0.2/32"), uint32(77), int32(20)}, []any{p.Prefix, p.Metric, p.Link})
	assert.True(t, p.Flags&fib.AddrNoPrefixRoute != 0)
	assert.Equal(t, pfx("2001:db8:9::2/128"), byAddr[addr("2001:db8:9::1")].Prefix)
	b := byAddr[addr("192.168.7.1")]
	assert.Equal(t, []any{addr("192.168.7.255"), fib.ScopeLink, "d2"}, []any{b.Broadcast, b.Scope, b.Label})
	assert.InDelta(t, 1000, b.ValidLft, 300)
	assert.NotZero(t, b.Created)
	assert.True(t, byAddr[addr("2001:db8:7::1")].Flags&fib.AddrDeprecated != 0)
	assert.Equal(t, uint32(5), byAddr[addr("2001:db8:7::1")].Metric)
}

func TestScanReadsEveryRuleSelector(t *testing.T) {
	t.Parallel()
	selectors := netnstest.Has(t, netnstest.RuleSelectors)
	ns := netnstest.New(t, netnstest.LoUp)
	n := uint32(100)
	var want []rules.Rule
	var msgs [][]byte
	add := func(r rules.Rule) {
		if masked := r.Sport.Mask | r.Dport.Mask; !selectors && (r.DSCPMask != 0 || r.FlowLabelMask != 0 || masked != 0 && masked != 0xffff) {
			return // the kernel would make a rule without it
		}
		r.Priority = n
		n++
		if r.Action == 0 {
			r.Action, r.Table = rules.ActLookup, 1000+n
		}
		q := rules.RequestOf(r)
		b, err := rtnl.AppendRule(nil, create(rtnl.RTM_NEWRULE), &q)
		require.NoError(t, err)
		msgs, want = append(msgs, b), append(want, r)
	}
	for _, fam := range []fib.Family{fib.Inet, fib.Inet6} {
		from, to := pfx("10.1.2.0/24"), pfx("10.3.0.1/8")
		if fam == fib.Inet6 {
			from, to = pfx("2001:db8::/32"), pfx("2001:db8:1::5/48")
		}
		for _, r := range []rules.Rule{
			{From: from}, {To: to}, {Not: true, To: to}, {Iif: "lo"}, {Iif: "gone"}, {Oif: "gone"}, {Mark: 7, MarkMask: 0xffffffff},
			{MarkMask: 0xff}, {Mark: 0x10, MarkMask: 0xf0}, {TOS: 0x10}, {DSCP: 46, DSCPMask: 0x3f}, {DSCPMask: 0x3f}, {DSCP: 8, DSCPMask: 0x38},
			{UIDs: rules.UIDRange{Start: 5, End: 10}, HasUIDs: true}, {IPProto: 6}, {Sport: rules.Port(53)}, {Dport: rules.Ports(100, 200)},
			{Dport: rules.PortRange{Start: 0x50, End: 0x50, Mask: 0xfff0}}, {Sport: rules.PortRange{Start: 0x50, End: 0x50, Mask: 0xff50}},
			{TunID: 0x1234567890}, {L3MDev: true, Action: rules.ActLookup}, {SuppressPrefixLength: rules.Some(0)},
			{SuppressIfGroup: rules.Some(5)}, {Action: rules.ActGoto, Goto: 30000}, {Action: rules.ActNop}, {Action: rules.ActBlackhole},
			{Action: rules.ActUnreachable}, {Action: rules.ActProhibit}, {Action: 77}, {Protocol: 99},
			{Action: rules.ActLookup, Table: 254}, {Action: rules.ActLookup, Table: 1 << 31},
		} {
			r.Family = fam
			add(r)
		}
	}
	add(rules.Rule{Family: fib.Inet, Realms: 3<<16 | 4})
	add(rules.Rule{Family: fib.Inet6, FlowLabel: 0x12345, FlowLabelMask: 0xfffff})
	add(rules.Rule{Family: fib.Inet6, From: pfx("2001:db8::/32"), FindSaddr: true})
	request(t, ns, msgs...)

	st := scanned(t, ns, Options{})
	var got []rules.Rule
	for _, r := range st.Rules {
		if r.Protocol != 2 { // not the kernel's own
			got = append(got, r)
		}
	}
	slices.SortFunc(got, func(a, b rules.Rule) int { return int(a.Priority) - int(b.Priority) })
	assert.Equal(t, want, got)
	assert.Equal(t, []fib.Mode{fib.ModeRules, fib.ModeRules}, []fib.Mode{st.Mode4, st.Mode6})
}

func TestScanReadsNexthopObjects(t *testing.T) {
	conformance.Covers(t, "J6")
	t.Parallel()
	ns := netnstest.New(t, netnstest.LoUp, netnstest.Quiet)
	ns.Batch("link add d0 type veth peer p0", "link set d0 up", "link set p0 up", "addr add 10.0.0.1/24 dev d0", "addr add 2001:db8::1/64 dev d0 nodad")
	ns.Settle()
	idx := links(scanned(t, ns, Options{}))
	gw4 := fib.Nexthop{Link: idx["d0"], Gateway: addr("10.0.0.9"), Weight: 1}
	want := []fib.NexthopObject{
		{ID: 1, Family: fib.Inet, Protocol: 4, Scope: fib.ScopeLink, Nexthop: gw4},
		{ID: 2, Family: fib.Inet, Protocol: 99, Scope: fib.ScopeHost, Nexthop: fib.Nexthop{Link: idx["d0"], Weight: 1}},
		{ID: 3, Family: fib.Inet, Protocol: 4, Blackhole: true, Nexthop: fib.Nexthop{Weight: 1}},
		{ID: 4, Family: fib.Inet6, Protocol: 4, Nexthop: fib.Nexthop{Link: idx["d0"], Gateway: addr("2001:db8::9"), Weight: 1}},
		{ID: 5, Family: fib.Inet, Protocol: 4, Scope: fib.ScopeLink, Nexthop: fib.Nexthop{Link: idx["d0"], Gateway: addr("198.51.100.1"), Weight: 1, Flags: fib.FlagOnlink}},
		{ID: 6, Protocol: 4, Group: []fib.GroupMember{{ID: 1, Weight: 1}, {ID: 5, Weight: 300}}},
		{ID: 7, Protocol: 4, Resilient: true, Group: []fib.GroupMember{{ID: 1, Weight: 3}, {ID: 5, Weight: 1}},
			Buckets: make([]uint32, 8), IdleTimer: 3000, UnbalancedTimer: 6000},
		{ID: 8, Family: fib.Inet, Protocol: 4, FDB: true, Nexthop: fib.Nexthop{Gateway: addr("10.0.0.7"), Weight: 1}},
	}
	var msgs [][]byte
	for i := range want {
		b, err := rtnl.AppendNexthop(nil, create(rtnl.RTM_NEWNEXTHOP), &want[i])
		require.NoError(t, err)
		msgs = append(msgs, b)
	}
	request(t, ns, msgs...)
	got := scanned(t, ns, Options{}).Nexthops
	require.Len(t, got, len(want))
	counts := map[uint32]int{}
	for _, id := range got[6].Buckets {
		counts[id]++
	}
	assert.Equal(t, map[uint32]int{1: 6, 5: 2}, counts, "buckets are dealt by weight")
	got[6].Buckets = make([]uint32, 8)
	for i := range want {
		if want[i].Family == fib.Inet6 || want[i].Blackhole || want[i].FDB || want[i].IsGroup() {
			got[i].Scope = want[i].Scope // whatever: it matters to IPv4 gateways only
		}
	}
	assert.Equal(t, want, got)
}

func links(st fib.State) map[string]int32 {
	idx := map[string]int32{}
	for _, l := range st.Links {
		idx[l.Name] = l.Index
	}
	return idx
}

func TestScanReadsEveryRouteAttribute(t *testing.T) {
	t.Parallel()
	ns := netnstest.New(t, netnstest.LoUp, netnstest.Quiet)
	ns.Batch("link add d0 type veth peer p0", "link add d1 type veth peer p1", "link set d0 up", "link set p0 up", "link set d1 up", "link set p1 up", "addr add 10.0.0.1/24 dev d0",
		"addr add 10.0.1.1/24 dev d1", "addr add 2001:db8::1/64 dev d0 nodad", "addr add 2001:db8:1::1/64 dev d1 nodad")
	ns.Settle()
	ns.IP("nexthop add id 5 via 10.0.0.9 dev d0")
	idx := links(scanned(t, ns, Options{}))
	d0, d1 := idx["d0"], idx["d1"]
	base := func(dst string, legs ...fib.Nexthop) fib.Route {
		r := fib.Route{Table: 100, Dst: pfx(dst), Type: fib.TypeUnicast, Protocol: fib.ProtoStatic, Nexthops: legs}
		if r.Family() == fib.Inet6 {
			r.Priority = 1024
		}
		for i := range r.Nexthops {
			r.Nexthops[i].Weight = max(r.Nexthops[i].Weight, 1)
		}
		return r
	}
	gw := func(a string, link int32) fib.Nexthop { return fib.Nexthop{Gateway: addr(a), Link: link} }
	with := func(r fib.Route, f func(*fib.Route)) fib.Route { f(&r); return r }
	onlink := gw("198.51.100.1", d0)
	onlink.Flags = fib.FlagOnlink
	realm := gw("10.0.0.9", d0)
	realm.Realms = 3<<16 | 4
	heavy := gw("10.0.1.9", d1)
	heavy.Weight = 256
	want := []fib.Route{
		base("172.16.0.0/16", gw("10.0.0.9", d0)),
		with(base("172.16.0.0/16", gw("10.0.0.9", d0)), func(r *fib.Route) { r.Priority = 1<<32 - 1 }),
		with(base("172.17.0.0/16", gw("10.0.0.9", d0)), func(r *fib.Route) { r.TOS, r.PrefSrc, r.Protocol = 0x10, addr("10.0.1.1"), 186 }),
		with(base("172.18.0.0/16", gw("10.0.0.9", d0)), func(r *fib.Route) {
			r.Metrics.Values[fib.MetricMTU], r.Metrics.Values[fib.MetricLock], r.Metrics.Values[fib.MetricAdvMSS] = 1300, 1<<fib.MetricMTU, 1200
			r.Metrics.CongCtl = "reno"
		}),
		base("172.19.0.0/16", onlink), base("172.20.0.0/16", realm), base("172.21.0.0/16", gw("2001:db8::9", d0)),
		with(base("172.22.0.0/16", fib.Nexthop{Link: d1}), func(r *fib.Route) { r.Scope = fib.ScopeLink }),
		base("172.23.0.0/16", gw("10.0.0.9", d0), heavy, gw("2001:db8::8", d0)),
		with(base("172.24.0.0/16"), func(r *fib.Route) { r.NexthopID = 5 }),
		with(base("172.25.0.0/16", fib.Nexthop{Link: d0}), func(r *fib.Route) { r.Type, r.Scope = fib.TypeLocal, fib.ScopeHost }),
		with(base("0.0.0.0/0"), func(r *fib.Route) { r.Type, r.Table = fib.TypeBlackhole, 1<<31 }),
		with(base("10.0.0.0/8"), func(r *fib.Route) { r.Type = fib.TypeUnreachable }),
		with(base("10.0.0.0/9"), func(r *fib.Route) { r.Type = fib.TypeProhibit }),
		with(base("10.0.0.0/10"), func(r *fib.Route) { r.Type = fib.TypeThrow }),
		base("2001:db8:a::/48", gw("2001:db8::9", d0)),
		with(base("2001:db8:a::/48", gw("2001:db8::9", d0)), func(r *fib.Route) { r.Src = pfx("2001:db8:b::/48") }),
		with(base("2001:db8:c::/48", gw("2001:db8::9", d0)), func(r *fib.Route) {
			r.Pref, r.Expires, r.PrefSrc, r.Priority = fib.PrefLow, 5000, addr("2001:db8:1::1"), 7
			r.Metrics.Values[fib.MetricHopLimit] = 9
		}),
		base("2001:db8:d::/48", gw("2001:db8::9", d0), gw("2001:db8:1::9", d1)),
		with(base("2001:db8:e::/48"), func(r *fib.Route) { r.Type = fib.TypeUnreachable }),
		with(base("::/0"), func(r *fib.Route) { r.Type = fib.TypeThrow }),
		with(base("2001:db8:f::/48", fib.Nexthop{Link: d1}), func(r *fib.Route) { r.Pref = fib.PrefHigh }),
	}
	var msgs [][]byte
	for i := range want {
		b, err := rtnl.AppendRoute(nil, create(rtnl.RTM_NEWROUTE), &want[i])
		require.NoError(t, err)
		msgs = append(msgs, b)
	}
	request(t, ns, msgs...)
	got := map[string]fib.Route{}
	key := func(r *fib.Route) string { return fmt.Sprint(r.Table, r.Dst, r.Src, r.TOS, r.Priority) }
	for _, r := range scanned(t, ns, Options{Tables: []fib.TableID{100, 12345, 1 << 31}}).Routes {
		assert.Contains(t, []fib.TableID{100, 1 << 31}, r.Table, "the kernel filters")
		got[key(&r)] = r
	}
	assert.Len(t, got, len(want))
	for _, w := range want {
		g, ok := got[key(&w)]
		require.True(t, ok, "%+v", w)
		if w.Expires != 0 {
			assert.InDelta(t, w.Expires, g.Expires, 300)
			g.Expires = w.Expires
		}
		if w.NexthopID != 0 {
			g.Nexthops = nil // expanded, by net.ipv4.nexthop_compat_mode
		}
		assert.Equal(t, w, g)
	}
	all := scanned(t, ns, Options{}).Routes
	assert.Greater(t, len(all), len(want), "without a filter all tables come")
	assert.Len(t, scanned(t, ns, Options{Tables: []fib.TableID{100, 1 << 31, 100}}).Routes, len(want), "a table named twice comes once")
	assert.Len(t, scanned(t, ns, Options{Tables: []fib.TableID{100, fib.TableUnspec}}).Routes, len(all), "table 0 means all")
}

func TestScanReadsNeighboursLabelsAndSettings(t *testing.T) {
	conformance.Covers(t, "D42", "F11")
	t.Parallel()
	ns := netnstest.New(t, netnstest.LoUp, netnstest.Quiet)
	ns.Batch("link add d0 type veth peer p0", "link set d0 up", "link set p0 up", "addr add 10.0.0.1/24 dev d0",
		"neigh add 10.0.0.9 lladdr 02:00:00:00:00:09 dev d0 nud permanent", "neigh add 2001:db8::9 lladdr 02:00:00:00:00:0a dev d0 nud stale",
		"neigh add proxy 10.0.0.10 dev d0",
		"-6 addrlabel add prefix 2001:db8:55::/48 label 99", "-6 addrlabel add prefix 2001:db8:56::/48 dev d0 label 98")
	for k, v := range map[string]string{
		"net.ipv4.fib_multipath_hash_policy": "3", "net.ipv4.fib_multipath_hash_fields": "0x37", "net.ipv6.fib_multipath_hash_policy": "1",
		"net.ipv6.fib_multipath_hash_fields": "0x9", "net.ipv4.fib_multipath_use_neigh": "1", "net.ipv4.nexthop_compat_mode": "0",
		"net.ipv6.route.skip_notify_on_dev_down": "1", "net.ipv4.conf.all.rp_filter": "2", "net.ipv4.conf.default.accept_local": "1",
		"net.ipv6.conf.all.forwarding": "1", "net.ipv6.conf.default.keep_addr_on_down": "1",
	} {
		ns.Sysctl(k, v)
	}
	seeded := ns.TrySysctl("net.ipv4.fib_multipath_hash_seed", "12345") == nil // Linux 6.11
	st := scanned(t, ns, Options{})
	d0 := links(st)["d0"]
	assert.Contains(t, st.Neighbours, fib.Neighbour{Link: d0, Addr: addr("10.0.0.9"), State: fib.NeighPermanent, LLAddr: "02:00:00:00:00:09"})
	assert.Contains(t, st.Neighbours, fib.Neighbour{Link: d0, Addr: addr("2001:db8::9"), State: fib.NeighStale, LLAddr: "02:00:00:00:00:0a"})
	assert.False(t, slices.ContainsFunc(st.Neighbours, func(n fib.Neighbour) bool { return n.Addr == addr("10.0.0.10") }))
	want := append(fib.DefaultAddrLabels(), fib.AddrLabel{Prefix: pfx("2001:db8:55::/48"), Label: 99},
		fib.AddrLabel{Prefix: pfx("2001:db8:56::/48"), Link: d0, Label: 98})
	assert.ElementsMatch(t, want, st.AddrLabels)
	s := st.Sysctls
	assert.Equal(t, []any{fib.Multipath{Policy: 3, Fields: 0x37}, fib.Multipath{Policy: 1, Fields: 9}, true, false, true, uint8(2), true, true, int32(1)},
		[]any{s.Multipath4, s.Multipath6, s.MultipathUseNeigh, s.NexthopCompatMode, s.SkipNotifyOnDevDown, s.All4.RPFilter,
			s.Default4.AcceptLocal, s.All6.Forwarding, s.Default6.KeepAddrOnDown})
	if seeded {
		assert.Equal(t, uint32(12345), s.HashSeed)
	}
	assert.True(t, st.Kernel.AtLeast(4, 20))
}

func TestNothingOfTheKernelIsUnknown(t *testing.T) {
	t.Parallel()
	ns := rich(t)
	for i, kind := range []string{"bridge", "vxlan id 5 dstport 4789 remote 10.0.0.9", "sit local 10.0.0.1", "gre local 10.0.0.1",
		"vrf table 77", "bond", "macvlan", "vlan id 4", "wireguard", "ifb"} {
		name := fmt.Sprint("k", i)
		if _, stderr, code := ns.TryIP("link add link d2 name " + name + " type " + kind); code != 0 {
			t.Logf("this kernel has no %s: %s", kind, stderr)
			continue
		}
		ns.IP("link set " + name + " up")
	}
	ns.IP("tuntap add t0 mode tun")
	ns.Batch("link set d3 master k0", "route add 10.5.0.0/16 nhid 5", "-6 route add 2001:db8:77::/48 nhid 4", "rule add pref 77 to 10.9.9.9 table 9")
	st := scanned(t, ns, Options{}) // which asserts it
	assert.Len(t, st.Nexthops, 6)
	idx := links(st)
	d3 := st.Links[slices.IndexFunc(st.Links, func(l fib.Link) bool { return l.Name == "d3" })]
	assert.Equal(t, idx["k0"], d3.Master)
	for _, m := range []fib.Family{fib.Inet, fib.Inet6} {
		assert.True(t, slices.ContainsFunc(st.Routes, func(r fib.Route) bool { return r.Family() == m && r.NexthopID != 0 }))
	}
}
