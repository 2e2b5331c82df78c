package iproute

import (
	"archive/tar"
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/rules"
)

// capturedNamespace has each kind of thing that the kernel and the ip at hand can make without
// modules.
func capturedNamespace(t *testing.T) *netnstest.NS {
	ns := netnstest.New(t, netnstest.Quiet, netnstest.LoUp)
	ns.Batch(
		"link add v0 index 9 type veth peer name v.1 index 8",
		"link add br0 index 5 type bridge", "link add w0 index 3 type veth peer name w1 index 4", "link set w0 up",
		"link set v0 group 7", "link set v0 up", "link set v.1 up", "link set br0 mtu 1400", "link set br0 up",
		"address add 192.0.2.1/24 brd + dev v0", "address add 192.0.2.9/24 dev v0",
		"address add 10.9.9.1 peer 10.9.9.2/32 dev v.1",
		"address add 10.8.0.1/24 dev v.1 noprefixroute metric 77 label v.1:x",
		"address add 127.0.0.5/32 dev lo scope host",
		"address add 2001:db8::1/64 dev v0", "address add 2001:db8::2/64 dev v0 valid_lft 3000 preferred_lft 0",
		"address add 2001:db8:77::1 peer 2001:db8:77::2/128 dev v.1",
		"nexthop add id 1 via 192.0.2.2 dev v0", "nexthop add id 2 blackhole", "nexthop add id 3 dev v0 protocol static",
		"nexthop add id 4 via 10.0.0.1 dev v0 onlink", "nexthop add id 12 via 2001:db8::9 dev v0",
		"nexthop add id 10 group 1,7/3,3", "nexthop add id 20 via 192.0.2.200 fdb",
		"nexthop add id 14 group 1,3/4,2 type resilient buckets 4 idle_timer 100",
		"-6 nexthop add id 30 dev v0", "-6 nexthop add id 31 blackhole",
		"route add 10.1.0.0/16 nhid 10", "route add 10.2.0.0/16 nhid 1 table 100 metric 5", "route add 10.2.0.0/16 nhid 14 table 101",
		"route add 10.2.0.0/16 nhid 2 table 102",
		"route add 10.3.0.0/16 nexthop via 192.0.2.2 weight 3 realms 1/2 nexthop dev v.1 weight 2 nexthop via 10.0.0.9 dev v0 onlink",
		"route add 10.4.0.0/16 via inet6 2001:db8::7 dev v0 mtu 1400 advmss 1000 congctl cubic initcwnd 10 features ecn quickack 1 fastopen_no_cookie 1",
		"route add 10.4.1.0/24 via 192.0.2.4 hoplimit 4 rto_min 20ms cwnd 30 ssthresh 3 reordering 4 window 1000 initrwnd 7",
		"route add blackhole 10.5.0.0/16", "route add throw 10.6.0.0/16 table 5 tos 0x10", "route add prohibit 10.7.0.0/16 metric 9",
		"route add unreachable default metric 4000", "route add default via 192.0.2.3", "route add 203.0.113.7 via 192.0.2.3 proto bird",
		"route append 203.0.113.7 via 192.0.2.4 proto bird", "route add 203.0.113.7 tos 0x08 via 192.0.2.5",
		"route add 10.77.0.0/16 via 172.16.0.1 dev v0 onlink realms 5/6 src 192.0.2.9 proto 200 scope site",
		"route add local 10.78.0.0/16 dev lo table 77", "route add 10.79.0.0/16 dev br0 scope link table 4000000000",
		"-6 route add 2001:db8:1::/48 via 2001:db8::7 dev v0 from 2001:db8:5::/64 pref high expires 1000",
		"-6 route add 2001:db8:2::/48 nexthop via 2001:db8::7 dev v0 weight 2 nexthop via 2001:db8::8 dev v0",
		"-6 route add unreachable 2001:db8:3::/48", "-6 route add 2001:db8:4::/48 nhid 12", "-6 route add 2001:db8:5::/48 nhid 30 metric 7",
		"-6 route add default via fe80::1 dev v0 pref low mtu 1300", "-6 route add throw default table 900",
		"-6 route add local 2001:db8:9::/64 dev lo", "-6 route add default dev v.1 from 2001:db8:8::/48",
		"rule add from 10.0.0.0/8 to 1.2.3.4 iif v0 oif nope fwmark 5/0xff tos 0x10 uidrange 5-9 ipproto tcp sport 5 dport 7-9 table 100 suppress_prefixlength 0 suppress_ifgroup 7 realms 3/4 protocol static",
		"rule add pref 700 not fwmark 7 goto 5000", "rule add pref 701 l3mdev", "rule add pref 702 nop", "rule add pref 703 from 1.1.1.1 prohibit",
		"rule add pref 704 fwmark 0/0x8000 table 51820", "rule add pref 705 ipproto 47 unreachable", "rule add pref 706 to 10.0.0.1 blackhole",
		"rule add pref 5000 iif lo tun_id 99 table local", "rule add pref 5000 oif v.1 table 4000000000",
		"-6 rule add pref 10 tun_id 77 from 2001:db8::/32 blackhole", "-6 rule add pref 11 iif v0 fwmark 5 tos 0x10 lookup 51820",
		"-6 rule add pref 12 not from all to 2001:db8::/64 lookup main suppress_prefixlength 0",
		"neigh add 192.0.2.77 lladdr 02:00:00:00:00:01 dev v0", "-6 neigh add 2001:db8::77 lladdr 02:00:00:00:00:02 dev v0 router nud noarp",
		"-6 neigh add proxy 2001:db8::78 dev v0",
		"addrlabel add prefix 2001:db8::/32 dev v0 label 99",
	)
	ns.Sysctl("net.ipv4.conf.all.rp_filter", "2")
	ns.Sysctl("net.ipv4.conf.default.accept_local", "1")
	ns.Sysctl("net/ipv4/conf/v.1/rp_filter", "1")
	ns.Sysctl("net/ipv6/conf/v.1/keep_addr_on_down", "1")
	ns.Sysctl("net.ipv4.fib_multipath_hash_policy", "1")
	ns.Settle()
	return ns
}

// runCapture runs CaptureCommand in ns and returns the path of what it wrote.
func runCapture(t *testing.T, ns *netnstest.NS) string {
	dir := t.TempDir()
	cmd := ns.Command("sh", "-c", CaptureCommand)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Empty(t, string(out), "the command says nothing when it works")
	return filepath.Join(dir, "capture.tar.gz")
}

// saved decodes what ip saves of ns, another way to the same truth than JSON.
func saved(t *testing.T, ns *netnstest.NS) (routes []fib.Route, rs []rules.Rule) {
	for _, family := range []string{"-4", "-6"} {
		w, err := ReadRouteDump(strings.NewReader(ns.IP(family+" route save table all")), func(r *fib.Route) error {
			own := *r
			own.Nexthops = append([]fib.Nexthop(nil), r.Nexthops...)
			routes = append(routes, own)
			return nil
		})
		require.NoError(t, err)
		assert.Empty(t, w)
		w, err = ReadRuleDump(strings.NewReader(ns.IP(family+" rule save")), func(r *rules.Rule) error {
			rs = append(rs, *r)
			return nil
		})
		require.NoError(t, err)
		assert.Empty(t, w)
	}
	return routes, rs
}

func TestCaptureEqualsSavedDumps(t *testing.T) {
	ns := capturedNamespace(t)
	routes, rs := saved(t, ns)
	st, warnings, err := Open(runCapture(t, ns))
	require.NoError(t, err)
	assert.Empty(t, warnings)

	assert.Equal(t, rs, st.Rules)
	require.Len(t, st.Routes, len(routes))
	for i := range routes {
		want, got := routes[i], st.Routes[i]
		assert.InDelta(t, want.Expires, got.Expires, 2, "a clock")
		want.Expires = got.Expires
		want.Metrics.Values[fib.MetricLock] = 0 // JSON does not show locks
		assert.Equal(t, want, got, "%s", want.String())
	}

	assert.Equal(t, fib.ModeRules, st.Mode4)
	assert.Greater(t, st.Kernel.Major, 3)
	assert.Equal(t, uint8(2), st.Sysctls.All4.RPFilter)
	assert.True(t, st.Sysctls.Default4.AcceptLocal)
	assert.Equal(t, uint8(1), st.Sysctls.Multipath4.Policy)
	links := map[string]*fib.Link{}
	var order []string
	for i := range st.Links {
		l := &st.Links[i]
		links[l.Name] = l
		order = append(order, l.Name)
	}
	assert.Equal(t, []string{"lo", "v.1", "v0", "br0", "w1", "w0"}, order, "a veth's peer is registered first (C22)")
	assert.Equal(t, uint8(1), links["v.1"].Conf4.RPFilter)
	assert.Equal(t, int32(1), links["v.1"].Conf6.KeepAddrOnDown)
	assert.False(t, links["v.1"].Conf4.AcceptLocal, "made before the default changed")
	assert.Equal(t, uint32(7), links["v0"].Group)
	assert.Equal(t, "bridge", links["br0"].Kind)
	assert.Equal(t, uint32(1400), links["br0"].MTU)
	assert.True(t, links["v0"].Up() && links["v0"].Carrier())
	assert.True(t, links["w0"].Up())
	assert.False(t, links["w0"].Carrier())
	assert.Equal(t, []netip.Addr{netip.MustParseAddr("224.0.0.1")}, links["v0"].Groups4)

	v0, v1 := links["v0"].Index, links["v.1"].Index
	const forEver = 1<<32 - 1
	byAddr := map[string]fib.Address{}
	for _, a := range st.Addresses {
		byAddr[a.Local.String()] = a
	}
	assert.Equal(t, fib.Address{Link: v0, Local: netip.MustParseAddr("192.0.2.1"), Prefix: netip.MustParsePrefix("192.0.2.1/24"),
		Broadcast: netip.MustParseAddr("192.0.2.255"), Flags: fib.AddrPermanent, Label: "v0", ValidLft: forEver, PreferredLft: forEver}, byAddr["192.0.2.1"])
	assert.Equal(t, fib.AddrPermanent|fib.AddrSecondary, byAddr["192.0.2.9"].Flags)
	assert.Equal(t, netip.MustParsePrefix("10.9.9.2/32"), byAddr["10.9.9.1"].Prefix)
	assert.Equal(t, fib.Address{Link: v1, Local: netip.MustParseAddr("10.8.0.1"), Prefix: netip.MustParsePrefix("10.8.0.1/24"), Metric: 77,
		Flags: fib.AddrPermanent | fib.AddrNoPrefixRoute, Label: "v.1:x", ValidLft: forEver, PreferredLft: forEver}, byAddr["10.8.0.1"])
	assert.Equal(t, fib.ScopeHost, byAddr["127.0.0.5"].Scope)
	assert.Equal(t, fib.AddrDeprecated, byAddr["2001:db8::2"].Flags)
	assert.Equal(t, netip.MustParsePrefix("2001:db8:77::2/128"), byAddr["2001:db8:77::1"].Prefix)

	objects := map[uint32]fib.NexthopObject{}
	for _, o := range st.Nexthops {
		objects[o.ID] = o
	}
	assert.Equal(t, fib.NexthopObject{ID: 1, Family: fib.Inet, Scope: fib.ScopeLink,
		Nexthop: fib.Nexthop{Link: v0, Gateway: netip.MustParseAddr("192.0.2.2"), Weight: 1}}, objects[1])
	assert.Equal(t, fib.Inet, objects[3].Family)
	assert.Equal(t, fib.FlagOnlink, objects[4].Nexthop.Flags)
	assert.Equal(t, []fib.GroupMember{{ID: 1, Weight: 7}, {ID: 3, Weight: 3}}, objects[10].Group)
	assert.True(t, objects[14].Resilient)
	assert.Equal(t, uint32(10_000), objects[14].IdleTimer)
	require.Len(t, objects[14].Buckets, 4)
	assert.NotContains(t, objects[14].Buckets, uint32(0))
	assert.True(t, objects[20].FDB)
	assert.Equal(t, fib.Inet6, objects[30].Family)
	assert.Equal(t, fib.NexthopObject{ID: 31, Family: fib.Inet6, Blackhole: true, Nexthop: fib.Nexthop{Weight: 1}}, objects[31])

	assert.Contains(t, st.Neighbours, fib.Neighbour{Link: v0, Addr: netip.MustParseAddr("192.0.2.77"), State: fib.NeighPermanent, LLAddr: "02:00:00:00:00:01"})
	assert.Contains(t, st.Neighbours, fib.Neighbour{Link: v0, Addr: netip.MustParseAddr("2001:db8::77"), State: fib.NeighNoARP, LLAddr: "02:00:00:00:00:02"})
	assert.Contains(t, st.AddrLabels, fib.AddrLabel{Prefix: netip.MustParsePrefix("2001:db8::/32"), Link: v0, Label: 99})
	assert.Len(t, st.AddrLabels, len(fib.DefaultAddrLabels())+1)

	file := encode(t, st, StateOptions{})
	again, _, err := ReadState(bytes.NewReader(file))
	require.NoError(t, err)
	assert.Equal(t, st, again)
}

// What people have captured without our command: no -N, no -d, few files, other names.
func TestCaptureOfHandMadeFiles(t *testing.T) {
	ns := capturedNamespace(t)
	dir := t.TempDir()
	write := func(name, content string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
	}
	write("ip_-j_rule.txt", ns.IP("-j rule"))
	write("rule6.json", ns.IP("-j -6 rule"))
	write("IP -j -d route show table all.txt", ns.IP("-j -d route show table all"))
	write("addr.json", ns.IP("-j addr"))
	write("notes.md", "hello")
	st, warnings, err := Open(dir)
	require.NoError(t, err)
	text := strings.Join(warnings, "\n")
	for _, want := range []string{"notes.md: not used", "no kernel file", "no sysctl file", "no igmp file", "no get file"} {
		assert.Contains(t, text, want)
	}
	routes, rs := saved(t, ns)
	assert.Len(t, st.Routes, len(routes), "both families are in one file")
	require.Len(t, st.Rules, len(rs))
	for i := range rs {
		if rs[i].Protocol != uint8(fib.ProtoKernel) {
			rs[i].Protocol, st.Rules[i].Protocol = 0, 0 // ip shows all of them with -d only
		}
	}
	assert.Equal(t, rs, st.Rules)
	assert.Len(t, st.Links, 6)
	for i := range routes {
		want, got := routes[i], st.Routes[i]
		want.Expires, got.Expires = 0, 0
		want.Metrics.Values[fib.MetricLock] = 0
		assert.Equal(t, want, got)
	}
}

func TestOpenSavedDumps(t *testing.T) {
	ns := capturedNamespace(t)
	dir := t.TempDir()
	write := func(name, content string) string {
		p := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(p, []byte(content), 0o644))
		return p
	}
	paths := []string{write("a", ns.IP("route save table all")), write("b", ns.IP("rule save")), write("c", ns.IP("-6 rule save"))}
	wantRoutes, wantRules := saved(t, ns)
	st, warnings, err := Open(paths...)
	require.NoError(t, err)
	assert.Contains(t, strings.Join(warnings, "\n"), "taken to be up and named if")
	assert.Equal(t, wantRules, st.Rules)
	assert.Len(t, st.Routes, len(wantRoutes))
	assert.Equal(t, "lo", st.Links[0].Name)

	// "route save table all" holds both families already, and nothing counts twice.
	st, warnings, err = Open(append(paths, write("e", ns.IP("-6 route save table all")), write("f", ns.IP("-6 rule save")))...)
	require.NoError(t, err)
	assert.Contains(t, strings.Join(warnings, "\n"), "has the same; the first counts")
	assert.Equal(t, wantRules, st.Rules)
	assert.Len(t, st.Routes, len(wantRoutes))
	for _, p := range []string{"e", "f"} {
		require.NoError(t, os.Remove(filepath.Join(dir, p)))
	}

	// Beside JSON of the rest, the saved routes count: here they have what JSON lacks.
	write("link.json", ns.IP("-j -d link"))
	write("addr.json", ns.IP("-j -d addr"))
	write("route.json", ns.IP("-j -d -N route show table 100"))
	st, _, err = Open(dir)
	require.NoError(t, err)
	assert.Len(t, st.Routes, len(wantRoutes))
	assert.Len(t, st.Links, 6)

	cut := ns.IP("route save table all")
	_, _, err = Open(write("d", cut[:len(cut)-5]))
	require.Error(t, err)
	assert.Contains(t, err.Error(), "cut short")
}

// minimal is a capture that a test can break.
func minimal() fstest.MapFS {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	return fstest.MapFS{
		"cap/link.json":  file(`[{"ifindex":1,"ifname":"lo","flags":["LOOPBACK","UP","LOWER_UP"],"mtu":65536,"group":"default"}]`),
		"cap/rule.json":  file(`[{"priority":0,"src":"all","table":"local","protocol":"kernel"}]`),
		"cap/route.json": file(`[{"type":"local","dst":"127.0.0.1","dev":"lo","table":"local","protocol":"kernel","scope":"host","flags":[]}]`),
	}
}

func TestCaptureErrorsAndWarnings(t *testing.T) {
	for _, c := range []struct{ file, content, wantErr, wantWarning string }{
		{"cap/rule.json", `[{"priority":5,"src":"all","table":"vpn"}]`, `cap/rule.json:1:36: table: table "vpn" is neither`, ""},
		{"cap/rule.json", `[{"priority":5,"src":"all","colour":"red","table":"7"},{"priority":6,"colour":"blue","table":"7"}]`, "", `rule: key "colour" is not modelled; answers may be wrong where it matters (2 times)`},
		{"cap/rule.json", `[{"priority":5,"src":"2001:db8::1","table":"7"}]`, "src 2001:db8::1 is not of family inet", ""},
		{"cap/rule.json", `[`, "", "cap/rule.json: empty: the ip command behind it failed"},
		{"cap/rule.json", ``, "", "no inet rules: taken to be those of a new namespace"},
		{"cap/rule6.json", `[{"priority":7,"dscp":"AF41","dscp_mask":"0x3c","table":"7"}]`, "", ""},
		{"cap/route.json", `[{"dst":"10.0.0.0/8","dev":"eth9"}]`, `dev "eth9": no such link; the link file does not have it; capture again`, ""},
		{"cap/route.json", `[{"dst":"10.0.0.0/8","dev":"lo","flags":["novel"]}]`, "", `route flag "novel" is not modelled`},
		{"cap/route.json", `[{"dst":"10.0.0.0/8","encap":"ip","id":5,"src":"0.0.0.0","dst":"1.2.3.4","ttl":3,"tos":0,"gateway":"192.0.2.2","dev":"lo"}]`, "", `parameters of encap ip cannot be kept`},
		{"cap/route.json", `{}`, "expected an array as ip -j prints, found an object", ""},
		{"cap/route.json", `[{}]`, "route without dst", ""},
		{"other/route.json", `[]`, "hold the same part of a capture", ""},
		{"cap/sysctl.txt", "net.ipv4.conf.all.rp_filter = 900\n", "", "sysctl.txt:1: net.ipv4.conf.all.rp_filter: value \"900\" not understood"},
		{"cap/kernel.txt", "unknown", "", "no release such as"},
		{"cap/nexthop.json", `[{"id":5,"dev":"lo"}]`, "", "nexthop 5: without a gateway nothing tells its family"},
		{"cap/bucket.json", `[{"id":5,"bucket":{"index":0,"nhid":1}}]`, "bucket of nexthop 5, which the nexthop file does not have", ""},
	} {
		fsys := minimal()
		fsys[c.file] = &fstest.MapFile{Data: []byte(c.content)}
		st, warnings, err := ReadCapture(fsys)
		if c.wantErr != "" {
			if assert.Error(t, err, "%s", c.content) {
				assert.Contains(t, err.Error(), c.wantErr)
			}
			continue
		}
		require.NoError(t, err, "%s", c.content)
		assert.Contains(t, strings.Join(warnings, "\n"), c.wantWarning)
		assert.NotNil(t, st)
	}

	fsys := minimal()
	delete(fsys, "cap/route.json")
	_, _, err := ReadCapture(fsys)
	require.Error(t, err)
	assert.Contains(t, err.Error(), "no routes: expected a file route or route6")
	assert.Contains(t, err.Error(), "cap/link.json, cap/rule.json")
}

// The initial rules are the initial rules, also where ip hides their protocol.
func TestCaptureKnowsInitialRulesWithoutProtocol(t *testing.T) {
	fsys := minimal()
	fsys["cap/rule.json"].Data = []byte(`[{"priority":0,"src":"all","table":"local"},{"priority":32766,"src":"all","table":"main"},{"priority":32767,"src":"all","table":"default"}]`)
	st, _, err := ReadCapture(fsys)
	require.NoError(t, err)
	assert.True(t, rules.Load(fib.Inet, st.Rules).IsInitial())
	assert.Equal(t, fib.ModeUnknown, st.Mode4)
	fsys["cap/route_get.json"] = &fstest.MapFile{Data: []byte(`[{"type":"local","dst":"127.0.0.1","dev":"lo","prefsrc":"127.0.0.1","flags":[]}]`)}
	st, _, err = ReadCapture(fsys)
	require.NoError(t, err)
	assert.Equal(t, fib.ModeMerged, st.Mode4)
}

// Rules of iproute2 newer than the one at hand, written after its source.
func TestRuleKeysOfNewerIproute2(t *testing.T) {
	fsys := minimal()
	fsys["cap/rule.json"].Data = []byte(`[{"priority":1,"src":"all","sport":"0x50","sport_mask":"0xfff0","dport":443,"table":"7","dscp":"46","protocol":"static"},
		{"priority":2,"src":"all","dscp":"0x20","dscp_mask":"0x38","table":"7"},{"priority":3,"src":"all","dscp":"EF","suppress_prefixlength":8,"table":"7"}]`)
	fsys["cap/rule6.json"] = &fstest.MapFile{Data: []byte(`[{"priority":1,"src":"all","flowlabel":"0x12345","table":"7"},{"priority":2,"src":"all","flowlabel":"0x1","flowlabel_mask":"0x3","goto":"none","unresolved":null}]`)}
	st, _, err := ReadCapture(fsys)
	require.NoError(t, err)
	require.Len(t, st.Rules, 5)
	assert.Equal(t, rules.PortRange{Start: 0x50, End: 0x50, Mask: 0xfff0}, st.Rules[0].Sport)
	assert.Equal(t, rules.Port(443), st.Rules[0].Dport)
	assert.Equal(t, []uint8{46, 0x3f}, []uint8{st.Rules[0].DSCP, st.Rules[0].DSCPMask})
	assert.Equal(t, []uint8{0x20, 0x38}, []uint8{st.Rules[1].DSCP, st.Rules[1].DSCPMask})
	assert.Equal(t, []uint8{46, 0x3f}, []uint8{st.Rules[2].DSCP, st.Rules[2].DSCPMask})
	assert.Equal(t, rules.Some(8), st.Rules[2].SuppressPrefixLength)
	assert.Equal(t, []uint32{0x12345, 0xfffff}, []uint32{st.Rules[3].FlowLabel, st.Rules[3].FlowLabelMask})
	assert.Equal(t, rules.ActGoto, st.Rules[4].Action)
}

func TestOpenTellsWhatItSaw(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		p := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(p, []byte(content), 0o644))
		return p
	}
	state := write("s.json", `{"format":"fibula-state","version":1}`)
	for _, c := range []struct {
		paths []string
		want  string
	}{
		{nil, "no state given"},
		{[]string{filepath.Join(dir, "none")}, "no such file"},
		{[]string{write("x.png", "\x89PNG....")}, `starts with "\x89PNG....`},
		{[]string{state, write("route.json", "[]")}, "a state file is complete and goes with no other"},
		{[]string{write("evil.tar", string(tarOf(t, map[string]string{"../../etc/passwd": "x"})))}, "no routes: expected a file route or route6 (ip -j -d route show table all) or one of ip route save; found etc/passwd"},
		{[]string{write("dot.tar", string(tarOf(t, map[string]string{"./.": "y"})))}, `file "" appears twice, or has no name`},
		{[]string{write("cut.gz", "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03")}, "cut.gz"},
	} {
		_, _, err := Open(c.paths...)
		if assert.Error(t, err, "%v", c.paths) {
			assert.Contains(t, err.Error(), c.want)
		}
	}
	st, _, err := Open(state)
	require.NoError(t, err)
	assert.Equal(t, fib.DefaultSysctls(), st.Sysctls)
}

func tarOf(t testing.TB, files map[string]string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, content := range files {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), Typeflag: tar.TypeReg}))
		_, err := w.Write([]byte(content))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

// Any part of a capture may be hostile.
func FuzzReadCapture(f *testing.F) {
	kinds := []string{"link", "addr", "rule", "rule6", "route", "route6", "nexthop", "bucket", "neigh", "addrlabel", "get", "sysctl", "igmp", "igmp6", "rt_tables", "x"}
	seeds := map[string]string{
		"sysctl": "net.ipv4.conf.lo.rp_filter = 1\n/proc/sys/net/ipv6/conf/lo/mtu:1400\n",
		"igmp":   "1\tlo        :     1      V3\n\t\t\t\t010000E0     1 0:00000000\t\t0\n",
		"addr":   `[{"ifindex":1,"ifname":"lo","addr_info":[{"local":"127.0.0.1","prefixlen":8,"scope":"host"}]}]`,
		"x":      "\x24\x12\x31\x45\x10\x00\x00\x00\x18\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
	}
	for i, k := range kinds {
		f.Add(uint8(i), []byte(seeds[k]))
	}
	f.Add(uint8(4), minimal()["cap/route.json"].Data)
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		fsys := minimal()
		fsys["cap/"+kinds[int(which)%len(kinds)]] = &fstest.MapFile{Data: data}
		delete(fsys, "cap/"+kinds[int(which)%len(kinds)]+".json")
		st, _, err := ReadCapture(fsys)
		if err != nil {
			return
		}
		again, _, err := ReadState(bytes.NewReader(encode(t, st, StateOptions{})))
		require.NoError(t, err, "what a capture gives, a state file can keep")
		require.Equal(t, string(encode(t, st, StateOptions{})), string(encode(t, again, StateOptions{})))
	})
}
