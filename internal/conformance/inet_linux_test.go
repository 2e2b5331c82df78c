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

const seeded = "net.ipv4.fib_multipath_hash_seed=7"

// Sections B and C: what the acceptance cases leave.
func TestInetTablesAndResolution(t *testing.T) {
	const src0, src1 = " src 10.1.0.1", " src 10.2.0.1"
	legs := "route add 10.9.0.0/16 nexthop via 10.1.0.2 nexthop via 10.2.0.2"
	objects := []string{"nexthop add id 1 via 10.1.0.2 dev d0", "nexthop add id 2 via 10.2.0.2 dev d1", "nexthop add id 5 group 1/2"}
	runRows(t, []row{
		{"B10 the longest first, of one address and of others", nil,
			[]string{"route add 10.8.0.0/13 via 10.1.0.2", "route add 10.9.0.0/16 via 10.1.0.3", "route add 10.9.0.0/20 via 10.1.0.4", "route add 10.9.0.0/24 via 10.1.0.5"},
			[]ask{{"10.9.0.5", "unicast main 10.9.0.0/24 via 10.1.0.5 dev d0" + src0}, {"10.9.1.5", "unicast main 10.9.0.0/20 via 10.1.0.4 dev d0" + src0},
				{"10.9.16.5", "unicast main 10.9.0.0/16 via 10.1.0.3 dev d0" + src0}, {"10.10.0.5", "unicast main 10.8.0.0/13 via 10.1.0.2 dev d0" + src0}}},
		{"B10 a shorter one where the aliases of the longer do not fit", nil,
			[]string{"route add 10.8.0.0/13 via 10.1.0.2", "route add 10.9.0.0/24 tos 0x10 via 10.1.0.5", "route add 10.9.0.0/16 via 10.2.0.2"},
			[]ask{{"10.9.0.5", "unicast main 10.9.0.0/16 via 10.2.0.2 dev d1" + src1},
				{"10.9.0.5 tos 0x10", "unicast main 10.9.0.0/24 via 10.1.0.5 dev d0" + src0 + " tos 0x10"},
				{"10.9.0.5 oif d0 tos 0x08", "unicast main 10.8.0.0/13 via 10.1.0.2 dev d0" + src0}}},
		{"B13a legs of the object where dumps expand them", []string{seeded, "net.ipv4.nexthop_compat_mode=1"}, append(objects, "route add 10.9.0.0/16 nhid 5"),
			[]ask{{"10.9.0.4", "unicast main 10.9.0.0/16 via 10.2.0.2 dev d1" + src1}, {"10.9.0.1", "unicast main 10.9.0.0/16 via 10.1.0.2 dev d0" + src0}}},
		{"B13a legs of the object where dumps have the id alone", []string{seeded, "net.ipv4.nexthop_compat_mode=0"}, append(objects, "route add 10.9.0.0/16 nhid 5"),
			[]ask{{"10.9.0.4", "unicast main 10.9.0.0/16 via 10.2.0.2 dev d1" + src1}, {"10.9.0.1", "unicast main 10.9.0.0/16 via 10.1.0.2 dev d0" + src0}}},
		{"B14 other addresses in turn, then no route", nil,
			[]string{"rule add pref 100 table 50", "route add 10.9.1.0/24 tos 0x10 via 10.1.0.2 table 50", "route add 10.0.0.0/7 via 10.2.0.2 table 50",
				"route add 12.0.0.0/8 tos 0x08 via 10.1.0.2"},
			[]ask{{"10.9.1.1", "unicast 50 10.0.0.0/7 via 10.2.0.2 dev d1" + src1}, {"12.0.0.1", "ENETUNREACH"}}},
		{"B17 C9 several legs are chosen among by hash, then the source", []string{seeded}, []string{legs},
			[]ask{{"10.9.0.4", "unicast main 10.9.0.0/16 via 10.2.0.2 dev d1" + src1}, {"10.9.0.1", "unicast main 10.9.0.0/16 via 10.1.0.2 dev d0" + src0}}},
		{"B17 equal default routes on output, by neighbours", nil,
			[]string{"route add default via 10.1.0.2", "route append default via 10.2.0.2", "neigh add 10.1.0.2 dev d0 nud failed", "neigh add 10.2.0.2 dev d1 lladdr 02:00:00:00:00:01 nud reachable"},
			[]ask{{"11.0.0.1", "unicast main 0.0.0.0/0 via 10.2.0.2 dev d1" + src1}}},
		{"B17 but not on input", []string{"net.ipv4.conf.all.forwarding=1"},
			[]string{"route add default via 10.1.0.2", "route append default via 10.2.0.2", "neigh add 10.1.0.2 dev d0 nud failed", "neigh add 10.2.0.2 dev d1 lladdr 02:00:00:00:00:01 nud reachable"},
			[]ask{{"11.0.0.1 from 10.2.0.9 iif d1", "unicast main 0.0.0.0/0 via 10.1.0.2 dev d0"}}},
		{"B17 nor for a longer prefix", nil,
			[]string{"route add 10.9.0.0/16 via 10.1.0.2", "route append 10.9.0.0/16 via 10.2.0.2", "neigh add 10.1.0.2 dev d0 nud failed"},
			[]ask{{"10.9.0.1", "unicast main 10.9.0.0/16 via 10.1.0.2 dev d0" + src0}}},
		{"C12 no gateway where its scope is host", nil, []string{"route add 10.9.0.0/16 via 10.2.0.1", "route add 10.8.0.0/16 via 10.1.0.2"},
			[]ask{{"10.9.0.1", "unicast main 10.9.0.0/16 dev d1" + src1}, {"10.8.0.1", "unicast main 10.8.0.0/16 via 10.1.0.2 dev d0" + src0}}},
		{"B30 a gateway on lo is our own, whichever address of lo's prefix it is", nil,
			[]string{"addr add 10.5.0.1/24 dev lo", "route add 10.9.0.0/16 via 10.5.0.9", "route add 10.8.0.0/16 via 127.0.0.9", "route add 10.7.0.0/16 via 127.0.0.9 table 50",
				"rule add pref 100 table 50", "route add 10.6.0.0/16 dev lo table 51", "rule add pref 101 table 51", "route add 10.4.0.0/16 via 10.6.0.9 table 51"},
			[]ask{{"10.9.0.1", "unicast main 10.9.0.0/16 dev lo src 10.5.0.1"}, {"10.8.0.1", "unicast main 10.8.0.0/16 dev lo src 10.5.0.1"},
				{"10.7.0.1", "unicast 50 10.7.0.0/16 dev lo src 10.5.0.1"}, {"10.4.0.1", "unicast 51 10.4.0.0/16 via 10.6.0.9 dev lo src 10.5.0.1"}}},
		{"C14 the stored route, if there is one", nil,
			[]string{"route add 10.9.0.0/16 via 10.1.0.2 metric 7 mtu 1400 proto static", "nexthop add id 1 via 10.1.0.2 dev d0", "route add 10.8.0.0/16 nhid 1"},
			[]ask{{"10.9.0.1", "unicast main 10.9.0.0/16 via 10.1.0.2 dev d0" + src0 + " mtu 1400"}, {"10.8.0.1", "unicast main 10.8.0.0/16 via 10.1.0.2 dev d0" + src0},
				{"10.9.0.1 oif d1", "unicast - - dev d1" + src1}, {"224.0.0.9 from 10.1.0.1", "multicast - - dev d0"}, {"0.0.0.0", "local - - dev lo src 127.0.0.1"}}},
		{"C32 the stored route on input", []string{"net.ipv4.conf.all.forwarding=1"}, []string{"route add 10.9.0.0/16 via 10.1.0.2 metric 7"},
			[]ask{{"10.9.0.1 from 10.2.0.9 iif d1", "unicast main 10.9.0.0/16 via 10.1.0.2 dev d0"},
				{"10.1.0.1 from 10.2.0.9 iif d1", "local main 10.1.0.1/32 dev lo"}, {"224.0.0.1 from 10.2.0.9 iif d1", "multicast - - dev lo"}}},
		{"C18 the route's source unchecked, else that of the nexthop's link", nil,
			[]string{"addr add 10.2.0.7/24 dev d1", "route add 10.9.0.0/16 via 10.1.0.2 src 10.2.0.7", "route add 10.8.0.0/16 via 10.2.0.2"},
			[]ask{{"10.9.0.1", "unicast main 10.9.0.0/16 via 10.1.0.2 dev d0 src 10.2.0.7"}, {"10.8.0.1", "unicast main 10.8.0.0/16 via 10.2.0.2 dev d1" + src1}}},
		{"C21 of larger scope first, then in order of addition, secondaries last", nil,
			[]string{"addr flush dev d1", "addr add 10.3.0.1/24 dev d1", "addr add 10.4.0.1/24 dev d1", "addr add 10.3.0.2/24 dev d1", "addr add 10.5.0.1/24 dev d1 scope link",
				"route add 10.9.0.0/16 dev d1 scope link", "route add 10.8.0.0/16 dev d1 scope global"},
			[]ask{{"10.9.0.1", "unicast main 10.9.0.0/16 dev d1 src 10.5.0.1"}, {"10.8.0.1", "unicast main 10.8.0.0/16 dev d1 src 10.3.0.1"}}},
	})
}

func TestOrderOfDumps(t *testing.T) {
	conformance.Covers(t, "B9", "C21")
	ns := newHost(t, nil, "route add 10.9.0.0/16 via 10.1.0.2 table 50", "route add 10.9.0.0/24 via 10.1.0.2 table 50", "route add 10.8.0.0/13 via 10.1.0.2 table 50",
		"route add 10.9.0.0/20 via 10.1.0.2 table 50", "route add 10.9.0.0/20 via 10.1.0.3 metric 5 table 50", "route add 10.9.0.0/20 tos 0x10 via 10.1.0.4 table 50",
		"route append 10.9.0.0/20 via 10.1.0.5 table 50", "route prepend 10.9.0.0/20 via 10.1.0.6 table 50", "route add 10.0.0.0/8 via 10.1.0.2 table 306",
		"addr add 10.1.1.1/24 dev d0 scope link", "addr add 10.1.0.2/24 dev d0", "addr add 10.0.9.1/24 dev d0")
	st := scan(t, ns)
	var want []netip.Prefix
	for _, p := range []string{"10.8.0.0/13", "10.9.0.0/24", "10.9.0.0/20", "10.9.0.0/20", "10.9.0.0/20", "10.9.0.0/20", "10.9.0.0/20", "10.9.0.0/16"} {
		want = append(want, netip.MustParsePrefix(p))
	}
	assert.Equal(t, want, prefixes(&st, fib.Inet, 50))
	var gateways []string
	var tables []fib.TableID
	for _, r := range st.Routes {
		if r.Dst == want[2] {
			gateways = append(gateways, r.Nexthops[0].Gateway.String())
		}
		if r.Table == 50 || r.Table == 306 {
			tables = append(tables, r.Table)
		}
	}
	assert.Equal(t, []string{"10.1.0.4", "10.1.0.6", "10.1.0.2", "10.1.0.5", "10.1.0.3"}, gateways, "TOS, then metric, then place")
	assert.Equal(t, []fib.TableID{306, 50, 50, 50, 50, 50, 50, 50, 50}, tables, "306 is 50 modulo 256, and the newer")
	var addresses []string
	for _, a := range st.Addresses {
		if d0, _ := load(t, ns).s.LinkByName("d0"); a.Link == d0.Index && a.Local.Is4() {
			addresses = append(addresses, a.Local.String())
		}
	}
	assert.Equal(t, []string{"10.1.1.1", "10.1.0.1", "10.0.9.1", "10.1.0.2"}, addresses)
}

func TestDefaultRouterMemoryGoesWithItsRoute(t *testing.T) {
	conformance.Covers(t, "B19", "J2")
	ns := newHost(t, nil, "route add default via 10.1.0.2", "route append default via 10.2.0.2",
		"neigh add 10.1.0.2 dev d0 lladdr 02:00:00:00:00:01 nud permanent", "neigh add 10.2.0.2 dev d1 lladdr 02:00:00:00:00:02 nud permanent")
	c := load(t, ns)
	gateway := func() string {
		reply, errno, err := c.q.Get(c.flow("11.0.0.1"), ksync.LookupTable)
		require.NoError(t, err)
		require.Zero(t, errno)
		return reply.Gateway.String()
	}
	assert.Equal(t, "10.1.0.2", gateway())
	assert.Equal(t, "10.2.0.2", gateway(), "the one that was not chosen last")
	assert.Equal(t, "10.1.0.2", gateway())
	ns.IP("route replace default via 10.1.0.2 mtu 1400")
	assert.Equal(t, "10.1.0.2", gateway(), "a replaced route has forgotten it")
	assert.Equal(t, fib.UndeterminedDefaultRouter, load(t, ns).s.Resolve(c.flow("11.0.0.1")).Undetermined)
}

// What a leg's share and remembered source were is kept until an event; that of
// today's settings and addresses is what fibula can know.
func TestLegsKeepSharesAndSourcesUntilAnEvent(t *testing.T) {
	chosen := func(c *client, query string) map[string]int {
		seen := map[string]int{}
		for i := range 64 {
			f := c.flow(query)
			a := f.Dst.As4()
			a[3] = byte(i + 1)
			f.Dst = netip.AddrFrom4(a)
			reply, errno, err := c.q.Get(f, ksync.LookupTable)
			require.NoError(t, err)
			require.Zero(t, errno)
			seen[reply.Gateway.String()]++
		}
		return seen
	}
	t.Run("B20 J3 shares", func(t *testing.T) {
		conformance.Covers(t, "B20", "J3")
		ns := newHost(t, []string{seeded}, "route add 10.9.0.0/16 nexthop via 10.1.0.2 weight 3 nexthop via 10.2.0.2", "link set p1 down")
		c := load(t, ns)
		before := chosen(c, "10.9.0.1")
		assert.Greater(t, before["10.1.0.2"], before["10.2.0.2"])
		assert.Positive(t, before["10.2.0.2"], "a leg without carrier is used")
		ns.Sysctl("net.ipv4.conf.all.ignore_routes_with_linkdown", "1")
		assert.Equal(t, before, chosen(c, "10.9.0.1"), "the setting alone changes no share")
		ns.Batch("link set d0 down", "link set d0 up")
		ns.Settle()
		assert.Equal(t, map[string]int{"10.1.0.2": 64}, chosen(c, "10.9.0.1"), "an event does")
		load(t, ns).agree("10.9.0.1", "unicast main 10.9.0.0/16 via 10.1.0.2 dev d0 src 10.1.0.1")
	})
	t.Run("B22 J3 sources", func(t *testing.T) {
		conformance.Covers(t, "B22", "J3")
		// 10.2.0.1 moves to lo: it stays an own address, no longer that of the second leg.
		ns := newHost(t, []string{seeded}, "route add 10.9.0.0/16 nexthop via 10.1.0.2 nexthop via 10.2.0.2", "addr add 10.2.0.1/32 dev lo",
			"addr add 10.2.7.1/24 dev d1", "addr del 10.2.0.1/24 dev d1")
		c := load(t, ns)
		second := func(source string) int { return chosen(c, "10.9.0.1 from "+source)["10.2.0.2"] }
		assert.Equal(t, 64, second("10.2.0.1"), "the address that went still attracts")
		assert.Less(t, second("10.2.7.1"), 64, "the new one is not recognised")
		chosen(c, "10.9.0.1") // meets both legs without a source
		assert.Less(t, second("10.2.0.1"), 64)
		assert.Equal(t, 64, second("10.2.7.1"))
	})
}

// The entry of a nexthop object describes the route that was looked up first.
func TestSharedEntryOfANexthopObject(t *testing.T) {
	conformance.Covers(t, "C15", "J11")
	ns := newHost(t, nil, "nexthop add id 5 via 10.1.0.2 dev d0", "route add 10.9.0.0/16 nhid 5 mtu 1400", "route add 10.8.0.0/16 nhid 5 metric 7 mtu 1300")
	c := load(t, ns)
	ask := func(query string) uint32 {
		reply, errno, err := c.q.Get(c.flow(query), ksync.LookupTable)
		require.NoError(t, err)
		require.Zero(t, errno)
		return reply.Route.Metrics.Values[fib.MetricMTU]
	}
	var first, second uint32
	onOneCPU(t, func() {
		first, second = ask("10.9.0.1"), ask("10.8.0.1")
		assert.Equal(t, uint32(1400), first)
		assert.Equal(t, uint32(1400), second, "the metrics of the other route")
		ns.Sysctl("net.ipv4.route.flush", "1")
		assert.Equal(t, uint32(1300), ask("10.8.0.1"), "its own, when it is the first")
	})
	_, route, _ := c.s.FibMatch(c.flow("10.8.0.1"))
	assert.Equal(t, uint32(1300), route.Metrics.Values[fib.MetricMTU], "fibula tells the true ones")
}
