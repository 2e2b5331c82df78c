package iproute_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/iproute"
	"github.com/fibula-net/fibula/rules"
)

var desiredOpt = iproute.DesiredOptions{
	File: "want", Protocol: 99,
	Table:    func(t fib.TableID) bool { return t == 100 || t == fib.TableMain },
	Priority: func(n uint32) bool { return 100 <= n && n < 200 },
	Nexthop:  func(id uint32) bool { return 10 <= id && id < 20 },
}

const desiredBatch = `# uplinks
nexthop add id 10 via 10.0.0.2 dev d0
nexthop add id 11 via 10.0.0.3 dev d1 onlink proto 99
nexthop add id 12 group 10,2/11
ip route add default via 10.0.0.2 dev d0 table 100 metric 5
route replace 10.1.0.0/16 dev d1 table 100 mtu lock 1400 \
  src 10.0.0.1
route add unreachable default table 100 metric 4294967295
-6 route add 2001:db8::/32 nexthop via fe80::1 dev d0 weight 2 nexthop via fe80::2 dev d1 table 100
route add 10.9.0.0/16 nhid 12
rule add pref 100 fwmark 0x1/0xff lookup 100
-6 rule add not pref 101 from 2001:db8::/32 iif d0 unreachable
`

const desiredYAML = `
nexthops:
  - {id: 10, via: 10.0.0.2, dev: d0}
  - {id: 11, via: 10.0.0.3, dev: d1, onlink: true, proto: 99}
  - id 12 group 10,2/11
routes:
  - to: default
    via: 10.0.0.2
    dev: d0
    table: 100
    metric: 5
  - {to: 10.1.0.0/16, dev: d1, table: 100, mtu: lock 1400, src: 10.0.0.1}
  - {type: unreachable, table: 100, metric: 4294967295, to: default}
  - to: 2001:db8::/32
    nexthops:
      - {via: "fe80::1", dev: d0, weight: 2}
      - {via: "fe80::2", dev: d1}
    table: 100
  - 10.9.0.0/16 nhid 12
rules:
  - {priority: 100, fwmark: 0x1/0xff, lookup: 100}
  - {priority: 101, not: true, from: "2001:db8::/32", iif: d0, unreachable: true}
`

func TestDesiredBatchAndYAMLSayTheSame(t *testing.T) {
	st, err := iproute.ParseDesired([]byte(desiredBatch), desiredOpt)
	require.NoError(t, err)
	require.Len(t, st.Routes, 5)
	want := fib.Route{Table: 100, Dst: netip.MustParsePrefix("10.1.0.0/16"), Type: fib.TypeUnicast, Scope: fib.ScopeLink, Protocol: 99,
		PrefSrc: netip.MustParseAddr("10.0.0.1"), Nexthops: []fib.Nexthop{{Link: 2, Weight: 1}}}
	want.Metrics.Values[fib.MetricMTU], want.Metrics.Values[fib.MetricLock] = 1400, 1<<fib.MetricMTU
	assert.Equal(t, want, st.Routes[1])
	assert.Equal(t, []fib.GroupMember{{ID: 10, Weight: 2}, {ID: 11, Weight: 1}}, st.Nexthops[2].Group)
	assert.Equal(t, rules.Rule{Family: fib.Inet6, Priority: 101, Not: true, From: netip.MustParsePrefix("2001:db8::/32"), Iif: "d0",
		Action: rules.ActUnreachable, Protocol: 99}, st.Rules[1])

	y, err := iproute.ParseDesired([]byte(desiredYAML), desiredOpt)
	require.NoError(t, err)
	assert.Equal(t, st, y)
}

func TestDesiredErrorsNameLineAndColumn(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"route add 10.0.0.0/8 via 10.0.0.300 dev d0 table 100", "want:1:26: \"10.0.0.300\" is no inet address or prefix"},
		{"\nroute add 10.0.0.0/8 dev d0 table 7", "want:2:35: table 7 is not among the tables that are ours"},
		{"route add 10.0.0.1/8 dev d0 table 100", "want:1:11: argument \"10.0.0.1/8\""},
		{"route del 10.0.0.0/8", "want:1:7: \"del\" is no way"},
		{"route add 10.0.0.0/8 table 100", "want:1:11: a route of type unicast needs"},
		{"route add 10.0.0.0/8 dev d0 table 100 colour red", "want:1:39: \"colour\" is no word of a route"},
		{"route add 10.0.0.0/8 dev d0 table 100 proto static", "want:1:45: protocol static is not the one"},
		{"route add 10.0.0.0/8 dev", "want:1:22: the line is not complete"},
		{"link set d0 up", "want:1:6: \"set\" is no way"},
		{"link add d0", "want:1:1: \"link\" cannot be in a desired state"},
		{"rule add lookup 100", "want:1:10: a rule needs pref"},
		{"rule add pref 7 lookup 100", "want:1:15: priority 7 is not"},
		{"rule add pref 100 goto 100", "want:1:10: "},
		{"nexthop add id 5 dev d0", "want:1:16: nexthop id 5 is not"},
		{"route add 10.0.0.0/8 dev d0 table 100\nroute add 10.0.0.0/8 dev d1 table 100", "want:2:11: route 10.0.0.0/8"},
		{"route add 'x", "want:1:1: the quote in"},
		{"routes:\n  - {to: 10.0.0.0/8, dev: d0, table: 7}", "want:2:38: table 7"},
		{"routes:\n  - {to: 10.0.0.0/8, dev: d0, colour: red}", "want:2:31: \"colour\""},
		{"routes:\n  - {to: [1, 2]}", "want:2:10: to: expected one value"},
		{"routes: 7", "want:1:9: routes: expected a list"},
		{"wires:\n  - x", "want:1:1: \"wires\""},
		{"routes:\n  - {", "want:"},
		{"rules:\n  - priority: 100\n    lookup: 100\n    onlink: false", "want:4:13: onlink: leave it out"},
	} {
		_, err := iproute.ParseDesired([]byte(c.in), desiredOpt)
		require.Error(t, err, c.in)
		assert.Contains(t, err.Error(), c.want, c.in)
		var f *iproute.FileError
		assert.ErrorAs(t, err, &f, c.in)
	}
}

func FuzzParseDesired(f *testing.F) {
	for _, s := range []string{desiredBatch, desiredYAML, "route add default", "routes:\n- &a {to: *a}", "rules: [[]]"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		st, err := iproute.ParseDesired(data, iproute.DesiredOptions{File: "f"})
		if (st == nil) == (err == nil) {
			t.Fatal("both or none", st, err)
		}
		if err != nil {
			return
		}
		fb := fib.New(fib.Config{})
		if _, err := fb.Update(func(tx *fib.Txn) error { return tx.Load(st) }); err != nil {
			t.Fatalf("what was accepted cannot be loaded: %v", err)
		}
	})
}
