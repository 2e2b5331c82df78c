package conformance_test

import (
	"fmt"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/conformance"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/internal/rtnl"
	"github.com/fibula-net/fibula/ksync"
	"github.com/fibula-net/fibula/rules"
)

// send makes one request in the namespace and returns the kernel's answer.
func send(t *testing.T, ns *netnstest.NS, msg []byte, err error) (answer fib.Errno) {
	t.Helper()
	require.NoError(t, err)
	require.NoError(t, ns.Do(func() error {
		s, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer unix.Close(s)
		if err := unix.Sendto(s, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return err
		}
		buf := make([]byte, 4096)
		n, _, err := unix.Recvfrom(s, buf, 0)
		if err != nil {
			return err
		}
		m, _, err := rtnl.Next(buf[:n])
		if err == nil {
			answer, _ = rtnl.DecodeError(m)
		}
		return err
	}))
	return answer
}

func addRule(t *testing.T, ns *netnstest.NS, r rules.Rule) fib.Errno {
	t.Helper()
	q := rules.RequestOf(r)
	msg, err := rtnl.AppendRule(nil, rtnl.Header{Type: rtnl.RTM_NEWRULE, Flags: rtnl.NLM_F_REQUEST | rtnl.NLM_F_ACK | rtnl.NLM_F_CREATE | rtnl.NLM_F_EXCL}, &q)
	return send(t, ns, msg, err)
}

// Section I: what differs between kernels is as the running one's version says.
// Before it knew an attribute of rules a kernel ignored it.
func TestAttributesOfRulesByVersion(t *testing.T) {
	netnstest.Require(t)
	port := func(mask uint16) rules.Rule {
		return rules.Rule{Family: fib.Inet, Sport: rules.PortRange{Start: 80, End: 80, Mask: mask}}
	}
	for _, c := range []struct {
		name         string
		major, minor int // the first that knows the attribute
		rule         rules.Rule
		twin         rules.Rule // differs in the attribute alone
		older        rules.Rule // what a kernel without the attribute stores
	}{
		{"I3 DSCP", 6, 12, rules.Rule{Family: fib.Inet, DSCP: 8, DSCPMask: 0x3f}, rules.Rule{Family: fib.Inet, DSCP: 9, DSCPMask: 0x3f}, rules.Rule{Family: fib.Inet}},
		{"I4 flow label", 6, 14, rules.Rule{Family: fib.Inet6, FlowLabel: 5, FlowLabelMask: 0xff}, rules.Rule{Family: fib.Inet6, FlowLabel: 6, FlowLabelMask: 0xff}, rules.Rule{Family: fib.Inet6}},
		{"I5 port mask", 6, 15, port(0xfff0), port(0xfff8), port(0xffff)},
	} {
		t.Run(c.name, func(t *testing.T) {
			conformance.Covers(t, append(conformance.NumbersIn(c.name), "I1", "I2")...)
			ns := netnstest.New(t)
			for _, r := range []*rules.Rule{&c.rule, &c.twin, &c.older} {
				r.Priority, r.Action, r.Table = 100, rules.ActLookup, 50
			}
			require.Zero(t, addRule(t, ns, c.rule), "no kernel refuses it")
			st := scan(t, ns)
			want, again := c.rule, fib.Errno(0)
			if !st.Kernel.AtLeast(c.major, c.minor) {
				want, again = c.older, fib.EEXIST
			}
			assert.Contains(t, st.Rules, want, "as stored by Linux %d.%d", st.Kernel.Major, st.Kernel.Minor)
			assert.Equal(t, again.Name(), addRule(t, ns, c.twin).Name(), "a rule that differs in the attribute alone")
		})
	}
}

// groupBackport: 6.1.190 has the old ways with nexthop groups, 6.1.192 the new ones.
var groupBackport = fib.KernelVersion{Major: 6, Minor: 1, Patch: 192}

func TestAnswersByVersion(t *testing.T) {
	// counts is how many of 64 destinations below 10.9.0.0/26 each gateway gets.
	counts := func(c *client, source string) map[string]int {
		seen := map[string]int{}
		for i := range 64 {
			reply, errno, err := c.q.Get(c.flow(fmt.Sprintf("10.9.0.%d%s", i, source)), ksync.LookupTable)
			require.NoError(t, err)
			require.Zero(t, errno)
			seen[reply.Gateway.String()]++
		}
		return seen
	}
	t.Run("I6 input errors", func(t *testing.T) {
		conformance.Covers(t, "I6")
		c := load(t, newHost(t, []string{"net.ipv4.conf.all.forwarding=1", "net.ipv4.conf.all.rp_filter=1"}, "route add 10.9.0.0/16 via 10.1.0.2"))
		failed := "EINVAL"
		if !c.s.State().Kernel.AtLeast(6, 13) {
			failed = "EXDEV"
		}
		c.agree("10.9.0.1 from 10.1.0.9 iif d1", failed)
		c.agree("10.9.0.1 from 10.2.0.1 iif d1", "EINVAL")
	})
	t.Run("I7 members with failed neighbours", func(t *testing.T) {
		conformance.Covers(t, "I7")
		c := load(t, newHost(t, nil, "nexthop add id 1 via 10.1.0.2 dev d0", "nexthop add id 2 via 10.2.0.2 dev d1", "nexthop add id 5 group 1/2",
			"route add 10.9.0.0/16 nhid 5", "neigh add 10.2.0.2 dev d1 nud failed"))
		if n := counts(c, "")["10.2.0.2"]; c.s.State().Kernel.AtLeast(6, 6, groupBackport) {
			assert.Zero(t, n, "a failed member gets nothing")
		} else {
			assert.Positive(t, n, "the last member keeps its share")
		}
	})
	t.Run("I8 legs with the given source", func(t *testing.T) {
		conformance.Covers(t, "I8")
		c := load(t, newHost(t, nil, legs4))
		if n := counts(c, " from 10.2.0.1")["10.2.0.2"]; c.s.State().Kernel.AtLeast(6, 16) {
			assert.Equal(t, 64, n)
		} else {
			assert.Less(t, n, 64)
			assert.Positive(t, n)
		}
	})
	t.Run("I10 legs of IPv6 without carrier", func(t *testing.T) {
		conformance.Covers(t, "I10")
		for ignored, share := range map[string]bool{"0": true, "1": false} {
			c := load(t, newHost(t, []string{"net.ipv6.conf.d1.ignore_routes_with_linkdown=" + ignored},
				"-6 route add 2001:db8:9::/48 nexthop via 2001:db8:1::2 nexthop via 2001:db8:2::2", "link set p1 down"))
			n := 0
			for i := range 64 {
				reply, errno, err := c.q.Get(c.flow(fmt.Sprintf("2001:db8:9::%x", i)), 0)
				require.NoError(t, err)
				require.Zero(t, errno)
				if reply.Gateway.String() == "2001:db8:2::2" {
					n++
				}
			}
			assert.Equal(t, share, n > 0, "ignored %s: %d", ignored, n)
		}
	})
	t.Run("I11 weights of sixteen bits", func(t *testing.T) {
		conformance.Covers(t, "I11")
		ns := newHost(t, nil, "nexthop add id 1 via 10.1.0.2 dev d0")
		f, err := ksync.Load(t.Context(), ksync.Options{NetNS: ksync.Named(ns.Name())})
		require.NoError(t, err)
		group := fib.NexthopObject{ID: 5, Group: []fib.GroupMember{{ID: 1, Weight: 300}}}
		want := fib.Errno(0)
		if !f.Snapshot().State().Kernel.AtLeast(6, 12, groupBackport) {
			want = fib.EINVAL
		}
		msg, err := rtnl.AppendNexthop(nil, rtnl.Header{Type: rtnl.RTM_NEWNEXTHOP, Flags: rtnl.NLM_F_REQUEST | rtnl.NLM_F_ACK | rtnl.NLM_F_CREATE}, &group)
		assert.Equal(t, want.Name(), send(t, ns, msg, err).Name())
		_, err = f.Update(func(tx *fib.Txn) error { _, err := tx.AddNexthop(group, fib.OpAdd); return err })
		if want == 0 {
			assert.NoError(t, err)
		} else {
			assert.ErrorIs(t, err, want)
		}
	})
}

func TestSettingsByVersion(t *testing.T) {
	ns := newHost(t, nil)
	kernel := scan(t, ns).Kernel
	for _, c := range []struct {
		name         string
		key          string
		major, minor int
		value        string // as it is at first
	}{
		{"I9 hash seed", "net.ipv4.fib_multipath_hash_seed", 6, 11, "0"},
		{"I17 force_forwarding", "net.ipv6.conf.d0.force_forwarding", 6, 17, "0"},
		{"I18 skip_notify_on_dev_down", "net.ipv6.route.skip_notify_on_dev_down", 6, 1, "0"},
		{"I18 ra_defrtr_metric", "net.ipv6.conf.d0.ra_defrtr_metric", 6, 1, "1024"},
		{"I18 hash fields", "net.ipv4.fib_multipath_hash_fields", 6, 1, "7"},
		{"I18 compat mode", "net.ipv4.nexthop_compat_mode", 6, 1, "1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conformance.Covers(t, conformance.NumbersIn(c.name)...)
			value, err := ns.ReadSysctl(c.key)
			if !kernel.AtLeast(c.major, c.minor) {
				assert.ErrorIs(t, err, fs.ErrNotExist)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, c.value, value)
		})
	}
}

// What newer sources, or older kernels without a backport, would do otherwise.
func TestAnswersOfEveryVersion(t *testing.T) {
	runRows(t, []row{
		{"I14 the TOS of the route, not of the query", nil, []string{"route add 10.9.0.0/16 via 10.1.0.2", "route add 10.8.0.0/16 tos 0x10 via 10.1.0.2"},
			[]ask{{"10.9.0.1 tos 0x10", to9 + gw0 + own0}, {"10.8.0.1 tos 0x10", "unicast main 10.8.0.0/16 via " + gw0 + own0 + " tos 0x10"}}},
		{"I15 three bits of TOS are compared", nil, []string{"route add 10.9.0.0/16 tos 0x10 via 10.1.0.2", "route add 10.9.0.0/16 via 10.2.0.2", "rule add pref 5 tos 0x08 prohibit"},
			[]ask{{"10.9.0.1 tos 0xf0", to9 + gw0 + own0 + " tos 0x10"}, {"10.9.0.1 tos 0xe8", "EACCES"}, {"10.9.0.1 tos 0x04", to9 + gw1 + own1}}},
		{"I21 a reject route is final, whatever the default table has", nil, []string{"route add prohibit 10.9.0.0/16", "route add default via 10.1.0.2 table 253"},
			[]ask{{"10.9.0.1", "EACCES"}, {"11.0.0.1", "unicast default 0.0.0.0/0 via " + gw0 + own0}}},
		{"I22 a suppressed route does not come back", nil, []string{"-6 route add default via 2001:db8:1::2 table 50", "-6 rule add pref 40000 table 50 suppress_prefixlength 0"},
			[]ask{{"2001:db8:9::5", "ENETUNREACH"}}},
	})
}
