package conformance_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/conformance"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/iproute"
	"github.com/fibula-net/fibula/ksync"
	"github.com/fibula-net/fibula/rules"
)

// Sections 0 and A: what the acceptance cases leave.
func TestFlowKeyAndRules(t *testing.T) {
	const (
		to0 = "unicast main 10.9.0.0/16 via 10.1.0.2 dev d0"
		to1 = "unicast 50 10.9.0.0/16 via 10.2.0.2 dev d1"
	)
	both := []string{"route add 10.9.0.0/16 via 10.1.0.2", "route add 10.9.0.0/16 via 10.2.0.2 table 50"}
	both6 := []string{"-6 route add 2001:db8:9::/48 via 2001:db8:1::2", "-6 route add 2001:db8:9::/48 via 2001:db8:2::2 table 50"}
	forward := []string{"net.ipv4.conf.all.forwarding=1"}
	runRows(t, []row{
		{"0.3 without a rule that needs them no protocol and no ports", forward,
			append(both, "rule add pref 100 not iif lo ipproto udp table 50"),
			[]ask{{"10.9.0.1 from 10.8.0.1 iif lo ipproto udp", to1}}},
		{"0.3 with such a rule there are", forward,
			append(both, "rule add pref 100 not iif lo ipproto udp table 50", "rule add pref 40000 ipproto tcp table 77"),
			[]ask{{"10.9.0.1 from 10.8.0.1 iif lo ipproto udp", to0}, {"10.9.0.1 from 10.8.0.1 iif lo ipproto tcp", to1}}},
		{"0.4 an input flow without user is outside ranges", nil,
			append(both6, "-6 rule add pref 100 uidrange 0-4294967294 table 50"),
			[]ask{{"2001:db8:9::5 from 2001:db8:8::1 iif d0", "unicast main 2001:db8:9::/48 via 2001:db8:1::2 dev d0"},
				{"2001:db8:9::5 from 2001:db8:8::1 iif d0 uid 5", "unicast 50 2001:db8:9::/48 via 2001:db8:2::2 dev d1"}}},
		{"0.4 and inside the range that a rule without one has", nil,
			append(both6, "-6 rule add pref 100 table 50"),
			[]ask{{"2001:db8:9::5 from 2001:db8:8::1 iif d0", "unicast 50 2001:db8:9::/48 via 2001:db8:2::2 dev d1"}}},
		{"A5 a delete takes the first that agrees", nil,
			append(both, "route add prohibit 10.9.0.0/16 table 60", "rule add pref 100 fwmark 1 table 60", "rule add pref 100 table 50", "rule del pref 100"),
			[]ask{{"10.9.0.1 mark 1", to1 + " src 10.2.0.1"}}},
		{"A5 and only one that agrees with all", nil,
			append(both, "route add prohibit 10.9.0.0/16 table 60", "rule add pref 100 fwmark 1 table 60", "rule add pref 100 table 50", "rule del pref 100 table 50"),
			[]ask{{"10.9.0.1 mark 1", "EACCES"}, {"10.9.0.1", to0 + " src 10.1.0.1"}}},
		{"A12 a reject route in an early table hides later ones", nil,
			append(both, "route add unreachable 10.0.0.0/8 table 60", "rule add pref 90 table 60", "rule add pref 100 table 50"),
			[]ask{{"10.9.0.1", "EHOSTUNREACH"}, {"10.1.0.9", "EHOSTUNREACH"}, {"11.0.0.1", "ENETUNREACH"}}},
	})
}

func TestProtocolsThatAQueryMayHave(t *testing.T) {
	conformance.Covers(t, "0.5")
	c := load(t, newHost(t, nil, "route add default via 10.1.0.2", "-6 route add default via 2001:db8:1::2"))
	for _, tc := range []struct {
		query string
		ok    bool
	}{
		{"11.0.0.1 ipproto 6", true}, {"11.0.0.1 ipproto 17", true}, {"11.0.0.1 ipproto 1", true},
		{"11.0.0.1 ipproto 58", false}, {"11.0.0.1 ipproto 47", false}, {"11.0.0.1 ipproto 132", false},
		{"2001:db8:f::1 ipproto 6", true}, {"2001:db8:f::1 ipproto 17", true}, {"2001:db8:f::1 ipproto 58", true},
		{"2001:db8:f::1 ipproto 1", false}, {"2001:db8:f::1 ipproto 47", false},
	} {
		q, err := iproute.ParseGet(strings.Fields(tc.query), iproute.Env{})
		require.NoError(t, err, tc.query)
		dst, _, _ := strings.Cut(tc.query, " ")
		f := c.flow(dst)
		f.IPProto = q.IPProto
		_, errno, err := c.q.Get(f, ksync.LookupTable)
		require.NoError(t, err, tc.query)
		_, refused := q.Flow(c.s)
		if tc.ok {
			assert.Zero(t, errno, tc.query)
			assert.NoError(t, refused, tc.query)
		} else {
			assert.Equal(t, fib.EOPNOTSUPP, errno, tc.query)
			assert.ErrorIs(t, refused, fib.EOPNOTSUPP, tc.query)
		}
	}
}

func TestReplyNamesTheTableWhenAsked(t *testing.T) {
	conformance.Covers(t, "0.6")
	c := load(t, newHost(t, nil, "rule add pref 100 table 50", "route add 10.9.0.0/16 via 10.1.0.2 table 50",
		"-6 rule add pref 100 table 50", "-6 route add 2001:db8:9::/48 via 2001:db8:1::2 table 50"))
	for _, tc := range []struct {
		query string
		flags uint32
		want  fib.TableID
	}{
		{"10.9.0.1", ksync.LookupTable, 50}, {"10.9.0.1", 0, fib.TableMain}, {"10.9.0.1 oif d1", 0, fib.TableMain},
		{"10.9.0.1 oif d1", ksync.LookupTable, fib.TableUnspec}, {"2001:db8:9::1", 0, 50},
	} {
		reply, errno, err := c.q.Get(c.flow(tc.query), tc.flags)
		require.NoError(t, err)
		require.Zero(t, errno)
		assert.Equal(t, tc.want, reply.Route.Table, "%s flags %#x", tc.query, tc.flags)
		if tc.flags != 0 {
			assert.Equal(t, tc.want, c.s.Resolve(c.flow(tc.query)).Table, tc.query)
		}
	}
	c.agree("10.9.0.1", "unicast 50 10.9.0.0/16 via 10.1.0.2 dev d0 src 10.1.0.1")
}

func TestRulesOfANewNamespace(t *testing.T) {
	conformance.Covers(t, "A3")
	ns := netnstest.New(t)
	st := scan(t, ns)
	fresh := fib.New(fib.Config{}).Snapshot().State()
	assert.Equal(t, fresh.Rules, st.Rules)
	for _, line := range []string{"rule del pref 32767", "rule del pref 0", "-6 rule del pref 0", "-6 rule del pref 32766"} {
		ns.IP(line)
	}
	st = scan(t, ns)
	require.Len(t, st.Rules, 1, "initial rules can be deleted")
	assert.Equal(t, uint32(32766), st.Rules[0].Priority)
}

func TestRuleDumpValues(t *testing.T) {
	conformance.Covers(t, "A28")
	ns := netnstest.New(t)
	ns.Batch("rule add pref 10 goto 500", "rule add pref 20 sport 80 table 9", "rule add pref 30 dport 80-90 table 9",
		"rule add pref 40 tos 0x10 table 9")
	assert.Contains(t, ns.IP("rule show"), "goto 500 [unresolved]")
	st := scan(t, ns)
	byPref := map[uint32]rules.Rule{}
	for _, r := range st.Rules {
		byPref[r.Priority] = r
	}
	assert.Equal(t, rules.Port(80), byPref[20].Sport, "one port has all bits of its mask")
	assert.Equal(t, rules.Ports(80, 90), byPref[30].Dport)
	assert.Equal(t, uint8(0x10), byPref[40].TOS)
	assert.Zero(t, byPref[40].DSCPMask, "TOS or DSCP, never both")
	ns.IP("rule add pref 500 table 9")
	assert.NotContains(t, ns.IP("rule show"), "unresolved")
}
