package conformance_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/conformance"
	"github.com/fibula-net/fibula/ksync"
)

// Section D: what the acceptance cases leave.
func TestInet6TablesAndResolution(t *testing.T) {
	const src0, src1 = " src 2001:db8:1::1", " src 2001:db8:2::1"
	const to0, to1 = "unicast main ::/0 via 2001:db8:1::2 dev d0", "unicast main ::/0 via 2001:db8:2::2 dev d1"
	defaults := []string{"-6 route add default via 2001:db8:1::2", "-6 route add default via 2001:db8:2::2 metric 2000"}
	runRows(t, []row{
		{"D3 routes of protocol ra by request are legs", []string{seeded},
			[]string{"-6 route add 2001:db8:8::/48 via 2001:db8:1::2 proto ra", "-6 route append 2001:db8:8::/48 via 2001:db8:2::2 proto ra"},
			[]ask{{"2001:db8:8::5", "unicast main 2001:db8:8::/48 via 2001:db8:2::2 dev d1" + src1}, {"2001:db8:8::3", "unicast main 2001:db8:8::/48 via 2001:db8:1::2 dev d0" + src0}}},
		{"D5 host bits are masked", nil, []string{"-6 route add 2001:db8:9::5/48 via 2001:db8:1::2"},
			[]ask{{"2001:db8:9::7", "unicast main 2001:db8:9::/48 via 2001:db8:1::2 dev d0" + src0}}},
		{"D10 oif is strict for multicast, link-local and without a source", nil,
			append(defaults, "-6 addr add fe80::1/64 dev d0", "-6 addr add fe80::2/64 dev d1"),
			[]ask{{"2001:db8:9::5 oif d1", to1 + src1}, {"2001:db8:9::5 from 2001:db8:1::1 oif d1", to0 + src0},
				{"fe80::9 from 2001:db8:1::1 oif d1", "unicast main fe80::/64 dev d1 src fe80::2"}, {"fe80::9 from 2001:db8:1::1 oif lo", "ENETUNREACH"},
				{"::1 from 2001:db8:1::1 oif d1", to1 + " src fe80::2"}, {"ff02::1 from 2001:db8:1::1 oif d1", "multicast local ff00::/8 dev d1 src fe80::2"}}},
		{"D10 strict on input for link-local only", nil, append(defaults, "-6 addr add fe80::1/64 dev d0"),
			[]ask{{"2001:db8:9::5 from 2001:db8:8::1 iif lo", to0}, {"fe80::9 from fe80::8 iif d1", to1}, {"fe80::9 from fe80::8 iif d0", "unicast main fe80::/64 dev d0"}}},
		{"D10 D12 neighbours count without forwarding", nil, append(defaults, "neigh add 2001:db8:1::2 dev d0 nud failed"),
			[]ask{{"2001:db8:9::5", to1 + src1}}},
		{"D10 D12 and not with it", []string{"net.ipv6.conf.all.forwarding=1"}, append(defaults, "neigh add 2001:db8:1::2 dev d0 nud failed"),
			[]ask{{"2001:db8:9::5", to0 + src0}}},
		{"D11 the wanted link is oif, and iif on input", nil,
			[]string{"-6 route add 2001:db8:9::/48 via 2001:db8:1::2", "-6 route append 2001:db8:9::/48 dev d1"},
			[]ask{{"2001:db8:9::5 from 2001:db8:1::1 oif d1", "unicast main 2001:db8:9::/48 dev d1" + src1}, {"2001:db8:9::5 from 2001:db8:1::1", "unicast main 2001:db8:9::/48 via 2001:db8:1::2 dev d0" + src0},
				{"2001:db8:9::5 from 2001:db8:8::1 iif d1", "unicast main 2001:db8:9::/48 dev d1"}, {"2001:db8:9::5 from 2001:db8:8::1 iif d0", "unicast main 2001:db8:9::/48 via 2001:db8:1::2 dev d0"}}},
		{"D12 preference weighs more than the link", nil,
			[]string{"-6 route add 2001:db8:9::/48 dev d0 pref high", "-6 route append 2001:db8:9::/48 dev d1 pref medium", "-6 route add 2001:db8:a::/48 dev d0 pref low", "-6 route append 2001:db8:a::/48 dev d1 pref low"},
			[]ask{{"2001:db8:9::5 from 2001:db8:2::1 oif d1", "unicast main 2001:db8:9::/48 dev d0" + src0}, {"2001:db8:a::5 from 2001:db8:2::1 oif d1", "unicast main 2001:db8:a::/48 dev d1" + src1}}},
		{"D12 no carrier, not ignored", nil, append(defaults, "link set p0 down"), []ask{{"2001:db8:9::5", to0 + src0}}},
		{"D12 no carrier, ignored on the link", []string{"net.ipv6.conf.d0.ignore_routes_with_linkdown=1"}, append(defaults, "link set p0 down"), []ask{{"2001:db8:9::5", to1 + src1}}},
		{"D23 fibmatch lists the chosen leg first", []string{seeded},
			[]string{"-6 route add 2001:db8:9::/48 nexthop via 2001:db8:1::2 nexthop via 2001:db8:2::2 nexthop via 2001:db8:1::3",
				"-6 route add 2001:db8:8::/48 nexthop via 2001:db8:1::2 nexthop via 2001:db8:2::2"},
			[]ask{{"2001:db8:9::1", "unicast main 2001:db8:9::/48 via 2001:db8:1::2 dev d0" + src0}, {"2001:db8:9::2", "unicast main 2001:db8:9::/48 via 2001:db8:1::3 dev d0" + src0},
				{"2001:db8:8::5", "unicast main 2001:db8:8::/48 via 2001:db8:2::2 dev d1" + src1}}},
		{"D42 the longest label, by link too", nil,
			[]string{"-6 addrlabel add prefix 2001:db8:9::/48 label 77", "-6 addrlabel add prefix 2001:db8:3::/64 label 77", "-6 addr add 2001:db8:3::1/64 dev d1",
				"-6 addr add 2001:db8:4::1/64 dev d1", "-6 route add default dev d1"},
			[]ask{{"2001:db8:9::5", "unicast main ::/0 dev d1 src 2001:db8:3::1"}, {"2001:db8:8::5", "unicast main ::/0 dev d1 src 2001:db8:4::1"}}},
	})
}

func TestAddressLabels(t *testing.T) {
	conformance.Covers(t, "D42")
	ns := newHost(t, nil)
	st := scan(t, ns)
	assert.ElementsMatch(t, fib.DefaultAddrLabels(), st.AddrLabels)
	ns.IP("-6 addrlabel add prefix 2001:db8::/32 dev d0 label 9")
	d0, _ := load(t, ns).s.LinkByName("d0")
	st = scan(t, ns)
	assert.Contains(t, st.AddrLabels, fib.AddrLabel{Prefix: netip.MustParsePrefix("2001:db8::/32"), Link: d0.Index, Label: 9})
}

// Every leg of an IPv6 multipath route keeps its own attributes, and a dump shows
// those of the first.
func TestLegsOf6AreRoutes(t *testing.T) {
	conformance.Covers(t, "D4a", "J12")
	ns := newHost(t, []string{seeded}, "-6 route add 2001:db8:9::/48 via 2001:db8:1::2 proto static mtu 1400", "-6 route append 2001:db8:9::/48 via 2001:db8:2::2 proto boot mtu 1300")
	c := load(t, ns)
	seen := map[string][2]uint32{}
	for i := range 32 {
		f := c.flow("2001:db8:9::5")
		f.FlowLabel = uint32(i)
		reply, errno, err := c.q.Get(f, ksync.LookupTable)
		require.NoError(t, err)
		require.Zero(t, errno)
		seen[reply.Gateway.String()] = [2]uint32{uint32(reply.Route.Protocol), reply.Route.Metrics.Values[fib.MetricMTU]}
	}
	assert.Equal(t, map[string][2]uint32{"2001:db8:1::2": {uint32(fib.ProtoStatic), 1400}, "2001:db8:2::2": {uint32(fib.ProtoBoot), 1300}}, seen)
	st := scan(t, ns)
	for _, r := range st.Routes {
		if len(r.Nexthops) == 2 {
			assert.Equal(t, fib.ProtoStatic, r.Protocol, "the dump has the first leg's")
			assert.Equal(t, uint32(1400), r.Metrics.Values[fib.MetricMTU])
		}
	}

	ns = newHost(t, nil, "-6 route add 2001:db8:9::/48 via 2001:db8:1::2", "-6 route append 2001:db8:9::/48 dev d0", "-6 route append 2001:db8:9::/48 via 2001:db8:2::2")
	st = scan(t, ns)
	want := netip.MustParsePrefix("2001:db8:9::/48")
	for _, r := range st.Routes {
		if r.Dst == want {
			assert.True(t, r.Nexthops[0].Gateway.IsValid(), "a dump skips the route between two legs")
		}
	}
	require.NoError(t, ns.Do(func() error {
		return fileHas("/proc/thread-self/net/ipv6_route", "20010db8000900000000000000000000 30", 3)
	}))
}

// The copy of a nexthop object describes the route that was looked up first.
func TestSharedCopyOfANexthopObject6(t *testing.T) {
	conformance.Covers(t, "D22a", "J11")
	ns := newHost(t, nil, "nexthop add id 5 via 2001:db8:1::2 dev d0", "-6 route add 2001:db8:9::/48 nhid 5 metric 7", "-6 route add 2001:db8:8::/47 nhid 5 metric 8")
	c := load(t, ns)
	ask := func(query string) (netip.Prefix, uint32) {
		reply, errno, err := c.q.Get(c.flow(query), ksync.FibMatch)
		require.NoError(t, err)
		require.Zero(t, errno)
		return reply.Route.Dst, reply.Route.Priority
	}
	nine, eight := netip.MustParsePrefix("2001:db8:9::/48"), netip.MustParsePrefix("2001:db8:8::/47")
	onOneCPU(t, func() {
		p, metric := ask("2001:db8:9::5")
		assert.Equal(t, nine, p)
		assert.Equal(t, uint32(7), metric)
		p, metric = ask("2001:db8:8::5")
		assert.Equal(t, nine, p, "a prefix that does not cover the destination")
		assert.Equal(t, uint32(7), metric)
		ns.Batch("-6 rule add pref 9 table 9", "-6 rule del pref 9")
		p, metric = ask("2001:db8:8::5")
		assert.Equal(t, eight, p, "a change of rules drops the copy")
		assert.Equal(t, uint32(8), metric)
	})
	d := c.s.Resolve(c.flow("2001:db8:8::5"))
	assert.Equal(t, eight, d.Prefix, "fibula tells the route that matched")
}
