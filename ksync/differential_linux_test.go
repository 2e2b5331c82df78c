package ksync_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/flowgen"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/internal/rtnl"
	"github.com/fibula-net/fibula/ksync"
	"github.com/fibula-net/fibula/lookup/hashzone"
)

// How much the differential test does; DIFF_CONFIGS and DIFF_FLOWS change it.
const (
	diffConfigs = 200
	diffFlows   = 500
)

// TestKernelDifferential configures namespaces at random and compares the answers
// of a FIB loaded from each with the kernel's, in every field, plain and fibmatch.
// TEST_SEED repeats a run; DIFF_ONLY=n runs its n-th configuration alone; SOAK_JSON
// names a file for the result. It fails
// too if the configurations were too weak: see coverage_linux_test.go.
func TestKernelDifferential(t *testing.T) {
	netnstest.Require(t)
	seed := randtest.Seed(t)
	configs, flows := envInt(t, "DIFF_CONFIGS", uint64(randtest.Fewer(diffConfigs))), envInt(t, "DIFF_FLOWS", diffFlows)
	only := envInt(t, "DIFF_ONLY", 0)
	total := newTally()
	t.Run("configs", func(t *testing.T) {
		for n := uint64(1); n <= configs; n++ {
			if only != 0 && n != only {
				continue
			}
			t.Run(strconv.FormatUint(n, 10), func(t *testing.T) {
				t.Parallel()
				differential(t, configure(t, seed+n), seed+n, int(flows), total)
			})
		}
	})
	t.Logf("%d configurations, %s", configs, total)
	if file := os.Getenv("SOAK_JSON"); file != "" {
		total.write(t, file, seed, int(configs))
	}
	if only == 0 && configs >= diffConfigs && !t.Failed() { // fewer tell nothing
		total.requireStrength(t, int(configs*flows))
	}
}

func envInt(t *testing.T, name string, def uint64) uint64 {
	s := os.Getenv(name)
	if s == "" {
		return def
	}
	n, err := strconv.ParseUint(s, 0, 64)
	require.NoError(t, err, name)
	return n
}

func configure(t *testing.T, seed uint64) *netnstest.NS {
	c := forKernel(t, newRandomConf(seed), seed)
	ns := netnstest.New(t, netnstest.Quiet)
	force := func(lines []string, args ...string) {
		cmd := ns.Command("ip", append(args, "-force", "-batch", "-")...)
		cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
		out, _ := cmd.CombinedOutput() // what the kernel refuses is no part of the configuration
		// What ip itself does not understand would end the batch there.
		require.NotEqual(t, 255, cmd.ProcessState.ExitCode(), "ip %s: %s", strings.Join(args, " "), out)
	}
	var late [][2]string
	for _, kv := range c.sysctls {
		if strings.Contains(kv[0], ".conf.d") {
			late = append(late, kv)
		} else {
			ns.Sysctl(kv[0], kv[1])
		}
	}
	force(c.links)
	for _, kv := range late {
		ns.Sysctl(kv[0], kv[1])
	}
	ns.Settle()
	force(c.nh4, "-4")
	force(c.nh6, "-6")
	force(c.groups)
	force(c.v4, "-4")
	force(c.v6, "-6")
	if len(c.rules) > 0 {
		require.NoError(t, ns.Do(func() error {
			s, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
			if err != nil {
				return err
			}
			defer unix.Close(s)
			for i := range c.rules {
				m, err := rtnl.AppendRule(nil, rtnl.Header{Type: rtnl.RTM_NEWRULE,
					Flags: unix.NLM_F_REQUEST | unix.NLM_F_ACK | unix.NLM_F_CREATE | unix.NLM_F_EXCL}, &c.rules[i])
				if err != nil {
					return err
				}
				if err := unix.Sendto(s, m, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
					return err
				}
				if _, _, err := unix.Recvfrom(s, make([]byte, 4096), 0); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	ns.Settle()
	return ns
}

// differential compares what a namespace answers. VRF configurations come here too.
func differential(t *testing.T, ns *netnstest.NS, seed uint64, flows int, total *tally) {
	d := &diff{t: t, ns: ns}
	for try := 1; ; try++ {
		before := load(t, ns)
		part := d.compare(seed, flows)
		// The kernel may finish what a link or address began only now.
		if after := load(t, ns); !ksync.SameAnswers(before, after) && try < 5 {
			continue
		}
		total.merge(part)
		for _, text := range d.apart {
			t.Error(text)
		}
		for i := range d.wrong {
			t.Error(d.describe(&d.wrong[i]))
		}
		if d.differ > 0 {
			t.Errorf("%d answers differ; configuration of seed %d:\n%s", d.differ, seed, describe(seed, ns))
		}
		return
	}
}

func load(t *testing.T, ns *netnstest.NS) *fib.State {
	f, err := ksync.Load(t.Context(), ksync.Options{NetNS: ksync.Named(ns.Name())})
	require.NoError(t, err)
	return f.Snapshot().State()
}

// diff is the comparison of one namespace.
type diff struct {
	t      *testing.T
	ns     *netnstest.NS
	s      *fib.Snapshot
	q      *ksync.Querier
	differ int
	wrong  []ksync.Answer // the first of those that differ
	apart  []string       // where our own engines or walks differ
}

// compare asks both sides about many flows, as fast as the kernel answers, and
// again one by one about those that differ.
func (d *diff) compare(seed uint64, flows int) *tally {
	t := d.t
	opt := ksync.Options{NetNS: ksync.Named(d.ns.Name())}
	f, err := ksync.Load(t.Context(), opt)
	require.NoError(t, err)
	// The same state: what a second load learned would depend on which processor's cache answers it (A27).
	z := fib.New(fib.Config{Engine: hashzone.Engine{}})
	_, err = z.Update(func(tx *fib.Txn) error { return tx.Load(f.Snapshot().State()) })
	require.NoError(t, err)
	d.q, err = ksync.OpenQuerier(opt.NetNS)
	require.NoError(t, err)
	defer d.q.Close()
	d.s, d.differ, d.wrong, d.apart = f.Snapshot(), 0, nil, nil
	s, zs := d.s, z.Snapshot()
	fs := slices.Collect(flowgen.New(s, seed, flowgen.Options{Input: true}).Flows(flows))
	// Plain and fibmatch in one pass each: B18 and the caches of shared objects
	// depend on what was asked before.
	suspect, unanswerable, impossible := map[int]bool{}, map[int]bool{}, map[int]bool{}
	require.NoError(t, d.q.GetBatch(fs, ksync.LookupTable, func(i int, reply *ksync.Reply, errno fib.Errno) {
		r := s.Resolve(fs[i])
		if zd := zs.Resolve(fs[i]); zd != r {
			d.apart = append(d.apart, fmt.Sprintf("flow %+v: hashzone\n%+v, trie\n%+v", fs[i], zd, r))
		}
		unanswerable[i] = ksync.Unanswerable(fs[i], errno)
		impossible[i] = r.Undetermined != 0 && !unanswerable[i] && !possible(s, fs[i], reply, errno)
		_, route, _ := s.FibMatch(fs[i])
		suspect[i] = r.Undetermined == 0 && len(ksync.Differences(fs[i], r, route.Metrics, reply, errno)) > 0
	}))
	require.NoError(t, d.q.GetBatch(fs, ksync.LookupTable|ksync.FibMatch, func(i int, reply *ksync.Reply, errno fib.Errno) {
		r, route, found := s.FibMatch(fs[i])
		suspect[i] = suspect[i] || r.Undetermined == 0 && len(ksync.MatchDifferences(fs[i], r, route, found, reply, errno)) > 0
	}))
	part := newTally()
	for i := range fs {
		e := s.Explain(fs[i])
		if r := s.Resolve(fs[i]); e.Decision != r {
			d.apart = append(d.apart, fmt.Sprintf("flow %+v: Explain\n%+v, Resolve\n%+v", fs[i], e.Decision, r))
		}
		known := e.Decision.Undetermined == 0 && !unanswerable[i]
		differs := false
		if suspect[i] {
			known, differs = d.alone(fs[i])
		}
		if impossible[i] {
			d.candidates(fs[i])
		}
		part.add(&e, known, differs)
	}
	return part
}

// alone asks about one flow after the kernel has forgotten earlier ones. known is
// false if it still answers from a route that this flow met before (D22a).
func (d *diff) alone(f fib.Flow) (known, differs bool) {
	d.forget()
	a, err := ksync.Ask(d.s, d.q, f)
	require.NoError(d.t, err)
	if len(a.Differences) == 0 {
		return true, false
	}
	if f.Family() == fib.Inet6 && ksync.LeftByThisQuery(d.s, &a) {
		return false, false
	}
	if d.differ++; len(d.wrong) < 5 {
		d.wrong = append(d.wrong, a)
	}
	return true, true
}

// candidates asks about one flow whose answer is undetermined, after the kernel has
// forgotten earlier ones: it must be among the candidates.
func (d *diff) candidates(f fib.Flow) {
	d.forget()
	reply, errno, err := d.q.Get(f, ksync.LookupTable)
	require.NoError(d.t, err)
	if !possible(d.s, f, &reply, errno) {
		d.apart = append(d.apart, fmt.Sprintf("flow %+v: candidates\n%+v, kernel\n%+v %v", f, d.s.Candidates(f), reply, errno))
	}
}

// forget makes the kernel drop the entries that it resolved (C15, D22a), and what
// it still counts of routes that are gone.
func (d *diff) forget() {
	ksync.GracePeriod()
	d.ns.Sysctl("net.ipv4.route.flush", "1")
	d.ns.Batch("-6 route add blackhole 2001:db8:dead::/48 table 4000", "-6 route del blackhole 2001:db8:dead::/48 table 4000")
}

func (d *diff) describe(a *ksync.Answer) string {
	text := fmt.Sprintf("flow %+v:\n%v\nours %+v\n", a.Flow, a.Differences, a.Ours)
	r, err := ksync.Shrink(d.t.Context(), d.s.State(), a)
	if err != nil {
		return text + err.Error()
	}
	return text + "reproduction:\n" + strings.Join(r.Commands, "\n") + fmt.Sprintf("\n%v", r.Answer.Differences)
}

// describe is the configuration as the kernel took it.
func describe(seed uint64, ns *netnstest.NS) string {
	c := newRandomConf(seed)
	var b strings.Builder
	fmt.Fprintln(&b, c.sysctls)
	for _, args := range []string{"addr", "rule", "-6 rule", "nexthop", "route show table all", "-6 route show table all", "neigh"} {
		out, _, _ := ns.TryIP(args)
		fmt.Fprintf(&b, "# ip %s\n%s", args, out)
	}
	return b.String()
}
