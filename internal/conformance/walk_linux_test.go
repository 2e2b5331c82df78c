package conformance_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/conformance"
)

const (
	own0, own1 = " src 10.1.0.1", " src 10.2.0.1"
	six0, six1 = " src 2001:db8:1::1", " src 2001:db8:2::1"
	forwarding = "net.ipv4.conf.all.forwarding=1"
	legs4      = "route add 10.9.0.0/16 nexthop via 10.1.0.2 nexthop via 10.2.0.2"
	to9        = "unicast main 10.9.0.0/16 via "
	to9six     = "unicast main 2001:db8:9::/48 via "
	gw0, gw1   = "10.1.0.2 dev d0", "10.2.0.2 dev d1"
	gw0six     = "2001:db8:1::2 dev d0"
	gw1six     = "2001:db8:2::2 dev d1"
)

// Section K for IPv4: each step of the walk decides an answer, in its turn.
func TestWalkOfInet(t *testing.T) {
	runRows(t, []row{
		{"K1 merged mode skips the rules", nil, []string{"route add prohibit 10.9.0.0/16 table 253", "route add 10.9.0.0/24 via 10.1.0.2"},
			[]ask{{"10.9.0.1", "unicast main 10.9.0.0/24 via " + gw0 + own0}, {"10.9.1.1", "EACCES"}, {"11.0.0.1", "ENETUNREACH"}}},
		{"K2 no rule is left", nil, []string{legs4, "rule add pref 5 fwmark 1 table 50", "rule del pref 32766"},
			[]ask{{"10.9.0.1", "ENETUNREACH"}, {"10.9.0.1 mark 1", "ENETUNREACH"}}},
		{"K2 the conjunction first, then its inverse", nil, []string{"route add 10.9.0.0/16 via 10.1.0.2", "rule add pref 5 not from 10.1.0.0/24 fwmark 1 prohibit"},
			[]ask{{"10.9.0.1 from 10.1.0.1 mark 1", to9 + gw0}, {"10.9.0.1 from 10.1.0.1", "EACCES"}, {"10.9.0.1 from 10.2.0.1 mark 1", "EACCES"}}},
		{"K3 actions without a table", nil,
			[]string{"rule add pref 5 fwmark 1 blackhole", "rule add pref 6 fwmark 2 unreachable", "rule add pref 7 fwmark 3 prohibit", "rule add pref 8 fwmark 4 goto 20",
				"rule add pref 9 fwmark 4 prohibit", "rule add pref 20 fwmark 4 unreachable", "rule add pref 21 fwmark 5 goto 99", "route add 10.9.0.0/16 via 10.1.0.2"},
			[]ask{{"10.9.0.1 mark 1", "EINVAL"}, {"10.9.0.1 mark 2", "ENETUNREACH"}, {"10.9.0.1 mark 3", "EACCES"}, {"10.9.0.1 mark 4", "ENETUNREACH"}, {"10.9.0.1 mark 5", to9 + gw0 + own0}}},
		{"K4 a table's answer or the next rule", nil,
			[]string{"rule add pref 5 table 50 suppress_prefixlength 8", "rule add pref 6 table 60", "route add 10.0.0.0/8 tos 0x10 via 10.1.0.2 table 50", "route add 10.8.0.0/16 via 10.2.0.2 table 50",
				"route add throw 10.7.0.0/16 table 50", "route add unreachable 10.6.0.0/16 table 50", legs4},
			[]ask{{"10.8.0.1", "unicast 50 10.8.0.0/16 via " + gw1 + own1}, {"10.7.0.1", "ENETUNREACH"}, {"10.6.0.1", "EHOSTUNREACH"},
				{"10.5.0.1 tos 0x10 oif d0", "unicast - - dev d0" + own0 + " tos 0x10"}, {"10.5.0.1 oif d0", "unicast - - dev d0" + own0}}},
		{"K5 local and main as one, then the default table", nil,
			[]string{"route add local 10.9.0.0/16 dev lo table local", "route add 10.9.1.0/24 via 10.1.0.2", "route add 10.9.0.0/16 via 10.2.0.2", "route add 11.0.0.0/8 via 10.2.0.2 table 253"},
			[]ask{{"10.9.1.1", "unicast main 10.9.1.0/24 via " + gw0 + own0}, {"10.9.2.1", "local main 10.9.0.0/16 dev lo src 10.9.2.1"}, {"11.0.0.1", "unicast default 11.0.0.0/8 via " + gw1 + own1}}},
		{"K6 lengths from 32 to 0", nil, []string{"route add default via 10.1.0.2", "route add 10.9.0.0/16 via 10.2.0.2", "route add 10.9.0.1/32 via 10.1.0.3"},
			[]ask{{"10.9.0.1", "unicast main 10.9.0.1/32 via 10.1.0.3 dev d0" + own0}, {"10.9.0.2", to9 + gw1 + own1}, {"12.0.0.1", "unicast main 0.0.0.0/0 via " + gw0 + own0}}},
		{"K7 TOS, reject types and dead routes", nil,
			[]string{"route add 10.9.0.0/16 tos 0x10 via 10.2.0.2", "route add 10.9.0.0/16 via 10.1.0.2", "route add prohibit 10.8.0.0/16", "route add 10.8.0.0/16 via 10.1.0.2 metric 5"},
			[]ask{{"10.9.0.1 tos 0x10", to9 + gw1 + own1 + " tos 0x10"}, {"10.9.0.1 tos 0x08", to9 + gw0 + own0}, {"10.8.0.1", "EACCES"}}},
		{"K8 a leg that fits, or the next alias", nil,
			[]string{legs4, "route add 10.8.0.0/16 via 10.1.0.2", "route add 10.8.0.0/16 via 10.2.0.2 metric 5"},
			[]ask{{"10.9.0.1 oif d1", to9 + gw1 + own1}, {"10.8.0.1 oif d1", "unicast main 10.8.0.0/16 via " + gw1 + own1}}},
		{"K8 an object without a fitting leg ends its address", nil,
			[]string{"nexthop add id 1 via 10.1.0.2 dev d0", "nexthop add id 3 blackhole", "route add 10.9.0.0/24 nhid 1", "route add 10.9.0.0/16 via 10.2.0.2", "route add 10.0.0.0/7 via 10.2.0.3", "route add 10.8.0.0/16 nhid 3"},
			[]ask{{"10.9.0.1 oif d1", "unicast main 10.0.0.0/7 via 10.2.0.3 dev d1" + own1}, {"10.8.0.1 oif d1", "unicast - - dev d1" + own1}, {"10.8.0.1", "EINVAL"}}},
		{"K16 scopes of nexthops", nil,
			[]string{"route add 10.9.0.0/16 via 10.2.0.1", "route add 10.8.0.0/16 via 10.7.0.2 dev d0 onlink", "route add 10.6.0.0/16 via inet6 2001:db8:1::2", "route add 10.5.0.0/16 dev d0 scope host"},
			[]ask{{"10.9.0.1", "unicast main 10.9.0.0/16 dev d1" + own1}, {"10.8.0.1", "unicast main 10.8.0.0/16 via 10.7.0.2 dev d0" + own0},
				{"10.6.0.1", "unicast main 10.6.0.0/16 via 2001:db8:1::2 dev d0" + own0}, {"10.5.0.1", "unicast main 10.5.0.0/16 dev d0" + own0}}},
		{"K17 the source for link, gateway and scope", nil,
			[]string{"addr add 10.1.7.1/24 dev d0", "route add 10.9.0.0/16 via 10.1.7.2", "route add 10.8.0.0/16 dev d0", "route add 10.7.0.0/16 via 10.1.7.2 src 10.2.0.1"},
			[]ask{{"10.9.0.1", to9 + "10.1.7.2 dev d0 src 10.1.7.1"}, {"10.8.0.1", "unicast main 10.8.0.0/16 dev d0" + own0}, {"10.7.0.1", "unicast main 10.7.0.0/16 via 10.1.7.2 dev d0" + own1}}},
		{"K18 no choice among legs with oif", []string{seeded}, []string{legs4},
			[]ask{{"10.9.0.4", to9 + gw1 + own1}, {"10.9.0.4 oif d0", to9 + gw0 + own0}}},
		{"K19 bounds leave dead legs out", []string{seeded}, []string{legs4, "link set d1 down"},
			[]ask{{"10.9.0.1", to9 + gw0 + own0}, {"10.9.0.4", to9 + gw0 + own0}}},
		{"K20 members of a group with a good neighbour", []string{seeded},
			[]string{"nexthop add id 1 via 10.1.0.2 dev d0", "nexthop add id 2 via 10.2.0.2 dev d1", "nexthop add id 5 group 1/2", "route add 10.8.0.0/16 nhid 5", "neigh add 10.2.0.2 dev d1 nud failed"},
			[]ask{{"10.8.0.1", "unicast main 10.8.0.0/16 via " + gw0 + own0}, {"10.8.0.2", "unicast main 10.8.0.0/16 via " + gw0 + own0}}},
		{"K21 a given source attracts, on output alone", []string{seeded, forwarding}, []string{legs4},
			[]ask{{"10.9.0.1 from 10.2.0.1", to9 + gw1}, {"10.9.0.4 from 10.1.0.1", to9 + gw0}}},
		{"K22 the protocol of the query goes into the hash", []string{seeded, "net.ipv4.fib_multipath_hash_policy=1"}, []string{legs4},
			[]ask{{"10.9.0.1 ipproto udp sport 1 dport 4", to9 + gw1 + own1}, {"10.9.0.1 ipproto tcp sport 1 dport 4", to9 + gw0 + own0},
				{"10.9.0.1 sport 1 dport 4", to9 + gw1 + own1}}},
		{"K23 sources, oif and zero are checked first", nil, []string{"rule add pref 5 prohibit"},
			[]ask{{"10.9.0.1 from 224.0.0.1", "EINVAL"}, {"10.9.0.1 from 10.77.0.1", "ENETUNREACH"}, {"224.0.0.9 oif d1", "multicast - - dev d1" + own1},
				{"255.255.255.255 oif d0", "broadcast - - dev d0" + own0}, {"0.0.0.0", "local - - dev lo src 127.0.0.1"}}},
		{"K24 an error becomes on-link with oif", nil, []string{"rule add pref 5 prohibit"},
			[]ask{{"10.9.0.1", "EACCES"}, {"10.9.0.1 oif d1", "unicast - - dev d1" + own1}}},
		{"K25 local goes to lo, from itself", nil, []string{"route add local 10.9.0.0/16 dev d0 table local src 10.2.0.1"},
			[]ask{{"10.1.0.1", "local main 10.1.0.1/32 dev lo" + own0}, {"10.9.0.5", "local main 10.9.0.0/16 dev lo" + own1}}},
		{"K26 last checks and what the reply shows", nil, []string{"route add default via 10.1.0.2 mtu 1400", "route add 239.0.0.0/8 via 10.2.0.2"},
			[]ask{{"11.0.0.1 from 127.0.0.1", "EINVAL"}, {"11.0.0.1 from 10.2.0.1", "unicast main 0.0.0.0/0 via " + gw0 + " mtu 1400"},
				{"255.255.255.255", "broadcast main 0.0.0.0/0 dev d0" + own0}, {"239.1.1.1", "multicast main 239.0.0.0/8 via " + gw1 + own1}}},
		{"K27 checks of input in their order", []string{forwarding}, nil,
			[]ask{{"224.0.0.1 from 10.1.0.9 iif d0", "multicast - - dev lo"}, {"239.1.1.1 from 10.1.0.9 iif d0", "EINVAL"}, {"10.9.0.1 from 224.0.0.1 iif d0", "EINVAL"},
				{"255.255.255.255 from 10.1.0.9 iif d0", "broadcast - - dev lo"}, {"10.9.0.1 iif d0", "EINVAL"}, {"127.0.0.1 from 10.1.0.9 iif d0", "EINVAL"}}},
		{"K28 input that is forwarded", []string{forwarding, seeded}, []string{legs4, "route add blackhole 10.8.0.0/16"},
			[]ask{{"10.9.0.1 from 10.1.0.1 iif d1", "EINVAL"}, {"10.8.0.1 from 10.1.0.9 iif d0", "EINVAL"}, {"10.7.0.1 from 10.1.0.9 iif d0", "ENETUNREACH"},
				{"10.2.0.1 from 10.1.0.9 iif d0", "local main 10.2.0.1/32 dev lo"}, {"10.1.0.255 from 10.1.0.9 iif d0", "broadcast main 10.1.0.255/32 dev lo"}}},
		{"K28 input that is not", nil, []string{legs4, "route add blackhole 10.8.0.0/16"},
			[]ask{{"10.9.0.1 from 10.1.0.9 iif d0", "EHOSTUNREACH"}, {"10.8.0.1 from 10.1.0.9 iif d0", "EHOSTUNREACH"}, {"10.7.0.1 from 10.1.0.9 iif d0", "EHOSTUNREACH"},
				{"10.2.0.1 from 10.1.0.9 iif d0", "local main 10.2.0.1/32 dev lo"}}},
	})
}

// Section K for IPv6.
func TestWalkOfInet6(t *testing.T) {
	add := func(lines ...string) (out []string) {
		for _, l := range lines {
			out = append(out, "-6 "+l)
		}
		return out
	}
	runRows(t, []row{
		{"K9 strict where oif is given and no source", nil, add("route add 2001:db8:9::/48 via 2001:db8:1::2"),
			[]ask{{"2001:db8:9::5 oif d1", "ENETUNREACH"}, {"2001:db8:9::5 from 2001:db8:2::1 oif d1", to9six + gw0six + six0}}},
		{"K10 start at the first node whose sources fit", nil,
			add("route add 2001:db8:9::/48 via 2001:db8:1::2", "route add 2001:db8:9::/48 from 2001:db8:2::/64 via 2001:db8:2::2", "route add 2001:db8::/32 via 2001:db8:2::3"),
			[]ask{{"2001:db8:9::5 from 2001:db8:2::1", "unicast main 2001:db8:9::/48 from 2001:db8:2::/64 via " + gw1six + six1},
				{"2001:db8:9::5 from 2001:db8:1::1", "unicast main 2001:db8::/32 via 2001:db8:2::3 dev d1" + six1}}},
		{"K11 its source lists, then its plain one", nil,
			add("route add 2001:db8:9::/48 via 2001:db8:1::2", "route add 2001:db8:9::/48 from 2001:db8:2::/64 via 2001:db8:2::2", "neigh add 2001:db8:2::2 dev d1 nud failed"),
			[]ask{{"2001:db8:9::5 from 2001:db8:2::1", to9six + gw0six + six0}}},
		{"K12 the first metric, then all others together", nil,
			add("route add 2001:db8:9::/48 via 2001:db8:1::2 metric 10", "route add 2001:db8:9::/48 via 2001:db8:1::3 metric 20 pref low", "route add 2001:db8:9::/48 via 2001:db8:2::2 metric 30 pref high",
				"route add 2001:db8:8::/48 via 2001:db8:1::3 metric 10 pref low", "route add 2001:db8:8::/48 via 2001:db8:2::2 metric 20 pref high", "neigh add 2001:db8:1::2 dev d0 nud failed"),
			[]ask{{"2001:db8:9::5", to9six + gw1six + six1}, {"2001:db8:8::5", "unicast main 2001:db8:8::/48 via 2001:db8:1::3 dev d0" + six0}}},
		{"K13 what the chosen entry is", nil,
			add("route add prohibit 2001:db8:9::/48", "route add throw 2001:db8:8::/48", "route add default via 2001:db8:1::2", "rule add pref 40000 table 50", "route add 2001:db8:8::/47 via 2001:db8:2::2 table 50"),
			[]ask{{"2001:db8:9::5", "EACCES"}, {"2001:db8:8::5", "unicast 50 2001:db8:8::/47 via " + gw1six + six1}}},
		{"K14 legs and members by hash", []string{seeded},
			add("route add 2001:db8:8::/48 nexthop via 2001:db8:1::2 nexthop via 2001:db8:2::2"),
			[]ask{{"2001:db8:8::5", "unicast main 2001:db8:8::/48 via " + gw1six + six1}, {"2001:db8:8::3", "unicast main 2001:db8:8::/48 via " + gw0six + six0},
				{"2001:db8:8::5 oif d0", "unicast main 2001:db8:8::/48 via " + gw0six + six0}}},
		{"K15 a suppressor sees the entry's length and the leg's link", []string{seeded},
			append(add("rule add pref 5 table 50 suppress_ifgroup 7", "route add 2001:db8:8::/48 table 50 nexthop via 2001:db8:1::2 nexthop via 2001:db8:2::2",
				"rule add pref 6 table 60 suppress_prefixlength 48", "route add 2001:db8:8::/48 via 2001:db8:1::9 table 60", "route add 2001:db8:8::/64 via 2001:db8:1::8 table 60"),
				"link set d1 group 7"),
			[]ask{{"2001:db8:8::3", "unicast 50 2001:db8:8::/48 via " + gw0six + six0}, {"2001:db8:8::5", "unicast 60 2001:db8:8::/64 via 2001:db8:1::8 dev d0" + six0},
				{"2001:db8:8:1::8", "ENETUNREACH"}}},
		{"K29 the entry tells all but what local goes to", nil, add("route add 2001:db8:9::/48 via 2001:db8:1::2 mtu 1400"),
			[]ask{{"2001:db8:1::1", "local local 2001:db8:1::1/128 dev lo" + six0}, {"2001:db8:9::5", to9six + gw0six + six0 + " mtu 1400"}, {"2001:db8:f::1", "ENETUNREACH"}}},
		{"K30 the source of the entry, else one is selected", nil,
			add("addr add 2001:db8:9:1::1/64 dev d1", "route add 2001:db8:9::/48 via 2001:db8:2::2", "route add 2001:db8:8::/48 via 2001:db8:1::2 src 2001:db8:2::1", "addr add 2001:db8:1::9/64 dev d0"),
			[]ask{{"2001:db8:9::5", to9six + gw1six + " src 2001:db8:9:1::1"}, {"2001:db8:8::5", "unicast main 2001:db8:8::/48 via " + gw0six + six1},
				{"2001:db8:1::5", "unicast main 2001:db8:1::/64 dev d0 src 2001:db8:1::9"}, {"2001:db8:9::5 from 2001:db8:f::1 iif d0", to9six + gw1six}}},
	})
}

// The story of an answer takes the same steps.
func TestStoryFollowsTheWalk(t *testing.T) {
	conformance.Covers(t, "K2", "K3", "K4", "K6")
	c := load(t, newHost(t, nil, "route add 10.9.0.0/24 tos 0x10 via 10.1.0.3 table 50", "route add 10.9.0.0/16 via 10.1.0.2 table 50",
		"rule add pref 5 fwmark 1 prohibit", "rule add pref 6 goto 40000", "rule add pref 7 prohibit", "rule add pref 40000 table 50"))
	c.agree("10.9.0.1", "unicast 50 10.9.0.0/16 via 10.1.0.2 dev d0 src 10.1.0.1")
	var priorities []uint32
	var lengths []int
	for _, s := range c.s.Explain(c.flow("10.9.0.1")).Steps {
		switch {
		case s.Kind == fib.StepRule && (len(priorities) == 0 || priorities[len(priorities)-1] != s.Rule.Priority):
			priorities = append(priorities, s.Rule.Priority)
		case s.Kind == fib.StepPrefix && s.Table == 50:
			lengths = append(lengths, s.Prefix.Bits())
		}
	}
	assert.Equal(t, []uint32{0, 5, 6, 40000}, priorities)
	assert.Equal(t, []int{24, 16}, lengths)
}
