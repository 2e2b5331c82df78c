package ksync_test

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/ksync"
	"github.com/fibula-net/fibula/rules"
)

// busy is a namespace with more than one disagreement needs.
func busy(t *testing.T) *netnstest.NS {
	ns := netnstest.New(t, netnstest.Quiet, netnstest.LoUp)
	for i := range 3 {
		ns.Batch(fmt.Sprintf("link add d%d type veth peer p%d", i, i), fmt.Sprintf("link set p%d up", i), fmt.Sprintf("link set d%d up", i),
			fmt.Sprintf("addr add 10.0.%d.1/24 dev d%d", i, i), fmt.Sprintf("addr add 2001:db8:%d::1/64 dev d%d nodad", i, i))
	}
	ns.Settle()
	ns.Batch("route add default via 10.0.0.9", "route add 10.5.0.0/16 via 10.0.1.9", "route add 10.6.0.0/16 via 10.0.2.9 table 100",
		"route add unreachable 10.7.0.0/16 table 100", "-6 route add default via 2001:db8::9", "-6 route add 2001:db8:55::/48 via 2001:db8:1::9",
		"rule add pref 100 fwmark 0x7/0xff from 10.0.0.0/8 ipproto tcp dport 1-100 lookup 100", "rule add pref 200 iif d0 nop",
		"-6 rule add pref 100 to 2001:db8:99::/48 prohibit", "neigh replace 10.0.0.9 dev d0 lladdr 02:00:00:00:00:01 nud permanent")
	ns.Sysctl("net.ipv4.conf.all.forwarding", "1")
	if netnstest.Has(t, netnstest.HashSeed) {
		ns.Sysctl("net.ipv4.fib_multipath_hash_seed", "7")
	}
	return ns
}

func verify(t *testing.T, ns *netnstest.NS, opt ksync.VerifyOptions) ksync.VerifyReport {
	t.Helper()
	opt.NetNS = ksync.Named(ns.Name())
	r, err := ksync.Verify(t.Context(), opt)
	require.NoError(t, err)
	r.Compared = 0
	return r
}

func TestVerifyAgreesAndIsReproducible(t *testing.T) {
	t.Parallel()
	ns := busy(t)
	r := verify(t, ns, ksync.VerifyOptions{Flows: 5000, Seed: 3})
	assert.Equal(t, 5000, r.Flows)
	assert.Zero(t, r.Differ)
	assert.Equal(t, r.Flows, r.Agree+r.Unknown+r.Unanswered+r.History)
	assert.Greater(t, r.Agree, 4000)
	assert.Equal(t, r, verify(t, ns, ksync.VerifyOptions{Flows: 5000, Seed: 3}))
	assert.NotEqual(t, r.Rows, verify(t, ns, ksync.VerifyOptions{Flows: 5000, Seed: 4}).Rows)
	for _, row := range verify(t, ns, ksync.VerifyOptions{Flows: 1000, Family: fib.Inet6}).Rows {
		assert.Equal(t, "inet6", row.Family)
	}
	for _, want := range []string{"errno EACCES", "errno EHOSTUNREACH", "selector fwmark failed", "selector fwmark matched", "type unreachable",
		"action prohibit", "action nop"} {
		assert.Positive(t, r.Coverage[want], want)
	}
}

// withoutRule makes a FIB wrong: it does not know the rules of a priority.
func withoutRule(priority uint32) func(*fib.State) {
	return func(st *fib.State) {
		st.Rules = slices.DeleteFunc(st.Rules, func(r rules.Rule) bool { return r.Priority == priority })
	}
}

func TestVerifyFindsAWrongFIBAndShrinksIt(t *testing.T) {
	t.Parallel()
	ns := busy(t)
	before := load(t, ns)
	for name, tc := range map[string]struct {
		alter func(*fib.State)
		lines int      // a reproduction has at most so many
		words []string // that it must have
	}{
		"rule": {func(st *fib.State) {
			st.Rules = slices.DeleteFunc(st.Rules, func(r rules.Rule) bool { return r.Priority == 100 && r.Action == rules.ActProhibit })
		}, 3, []string{"ip -n repro -6 rule add pref 100 ", "prohibit"}},
		"rule with table": {func(st *fib.State) {
			st.Rules = slices.DeleteFunc(st.Rules, func(r rules.Rule) bool { return r.Priority == 100 && r.Action == rules.ActLookup })
		}, 15, []string{"rule add pref 100 lookup 100", " table 100"}},
		"route": {func(st *fib.State) {
			st.Routes = slices.DeleteFunc(st.Routes, func(r fib.Route) bool { return r.Dst.String() == "10.5.0.0/16" })
		}, 14, []string{"route add 10.5.0.0/16", "link add d1 ", "route get 10.5."}},
		"setting": {func(st *fib.State) {
			st.Sysctls.All4.Forwarding = false
			for i := range st.Links {
				st.Links[i].Conf4.Forwarding = false
			}
		},
			9, []string{"forwarding=1", " iif d"}},
	} {
		r := verify(t, ns, ksync.VerifyOptions{Flows: 6000, Seed: 1, Alter: tc.alter, Shrink: 2})
		assert.Positive(t, r.Differ, name)
		require.NotEmpty(t, r.Groups, name)
		g := r.Groups[0]
		require.NotNil(t, g.Repro, "%s: %s", name, g.NoRepro)
		text := strings.Join(g.Repro.Commands, "\n")
		t.Logf("%s: %d of %d flows differ, %d groups; %d scratch namespaces\n%s\n%v", name, r.Differ, r.Flows, len(r.Groups), g.Repro.Tried, text, g.Repro.Answer.Differences)
		assert.LessOrEqual(t, len(g.Repro.Commands), tc.lines, "%s:\n%s", name, text)
		for _, w := range tc.words {
			assert.Contains(t, text, w, name)
		}
		assert.NotEmpty(t, g.Explanation.Steps)
	}
	assert.True(t, ksync.SameAnswers(before, load(t, ns)), "the verified namespace is only read")
}

// What is printed makes the disagreement: the commands are run by ip itself.
func TestReproductionCanBePasted(t *testing.T) {
	t.Parallel()
	ns := busy(t)
	r := verify(t, ns, ksync.VerifyOptions{Flows: 6000, Seed: 1, Shrink: 1, Family: fib.Inet, Alter: withoutRule(100)})
	require.NotNil(t, r.Groups[0].Repro)
	a, b := "fibrepro-a-"+ns.Name(), "fibrepro-b-"+ns.Name()
	t.Cleanup(func() {
		_ = exec.Command("ip", "netns", "del", a).Run()
		_ = exec.Command("ip", "netns", "del", b).Run()
	})
	cmds := r.Groups[0].Repro.Commands
	for i, c := range cmds {
		c = strings.NewReplacer("repro-far", b, "repro", a).Replace(c)
		out, err := exec.CommandContext(t.Context(), "sh", "-c", c).CombinedOutput()
		if i < len(cmds)-1 {
			require.NoError(t, err, "%s: %s", c, out)
		}
	}
	f, err := ksync.Load(t.Context(), ksync.Options{NetNS: ksync.Named(a)})
	require.NoError(t, err)
	q, err := ksync.OpenQuerier(ksync.Named(a))
	require.NoError(t, err)
	defer q.Close()
	want := r.Groups[0].Repro.Answer
	_, errno, err := q.Get(want.Flow, ksync.LookupTable)
	require.NoError(t, err)
	assert.Equal(t, want.KernelErrno, errno)
	assert.Equal(t, want.KernelErrno, f.Snapshot().Resolve(want.Flow).Errno, "an unaltered FIB agrees")
}

// A namespace that changes is compared again, and what differed for that reason
// is no disagreement.
func TestVerifyFollowsChanges(t *testing.T) {
	t.Parallel()
	ns := busy(t)
	changes := 0
	r := verify(t, ns, ksync.VerifyOptions{Flows: 300_000, Seed: 9, Progress: func(stage string, _ int) {
		if stage == "flows compared" && changes < 3 {
			changes++
			ns.Batch(fmt.Sprintf("route replace unreachable 10.5.0.0/16 metric 0 table main proto %d", 40+changes),
				fmt.Sprintf("rule add pref %d to 10.0.0.0/9 lookup 100", 50+changes))
			ns.IP("route del 10.5.0.0/16")
		}
	}})
	assert.Equal(t, 3, changes)
	assert.Zero(t, r.Differ, "%+v", r.Groups)
	assert.Equal(t, 300_000, r.Flows)
	assert.Positive(t, r.Reloads)
}

func TestVerifyGivesUpOnANamespaceWithoutRest(t *testing.T) {
	t.Parallel()
	ns := busy(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	r, err := ksync.Verify(ctx, ksync.VerifyOptions{NetNS: ksync.Named(ns.Name()), Flows: 2000, Seed: 1, Alter: func(st *fib.State) {
		n++
		ns.IP(fmt.Sprintf("route add 10.99.%d.0/24 via 10.0.0.9", n)) // after each load
		withoutRule(100)(st)
	}})
	require.ErrorIs(t, err, ksync.ErrUnstable)
	assert.Zero(t, r.Differ, "nothing is proven")
}

// What earlier queries left behind where routes share an entry is no disagreement.
func TestVerifyKnowsWhatQueriesLeaveBehind(t *testing.T) {
	t.Parallel()
	ns := busy(t)
	ns.Batch("nexthop add id 5 via 10.0.1.9 dev d1", "nexthop add id 6 via 2001:db8:1::9 dev d1",
		"route add 10.21.0.0/16 nhid 5 mtu 1111", "route add 10.22.0.0/16 nhid 5", "route add 239.0.0.0/8 nhid 5",
		"-6 route add 2001:db8:21::/48 nhid 6 metric 7", "-6 route add 2001:db8:22::/48 nhid 6",
		"-6 route add 2001:db8:31::/48 via 2001:db8:1::9 dev d1", "-6 route append 2001:db8:31::/48 via 2001:db8:2::9 dev d2 pref high")
	r := verify(t, ns, ksync.VerifyOptions{Flows: 20_000, Seed: 2})
	assert.Zero(t, r.Differ, "%+v", r.Groups)
	assert.Positive(t, r.History)
}

// Of IPv6 routes with one nexthop object, a reject route may decide for the others (D22a).
func TestVerifyKnowsWhatRejectRoutesLeaveBehind(t *testing.T) {
	t.Parallel()
	ns := busy(t)
	ns.Batch("nexthop add id 7 via 2001:db8:1::9 dev d1", "-6 route add prohibit 2001:db8:7::/48 nhid 7", "-6 route add throw 2001:db8:8::/48 nhid 7",
		"-6 route add 2001:db8:9::/48 nhid 7", "-6 rule add pref 40000 table 50", "-6 route add default nhid 7 table 50")
	r := verify(t, ns, ksync.VerifyOptions{Flows: 5000, Seed: 3, Family: fib.Inet6})
	assert.Zero(t, r.Differ)
	assert.Positive(t, r.History)
}
