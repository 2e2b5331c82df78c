package ksync_test

import (
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync"
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
	diffFlows   = 300
)

// TestKernelDifferential configures namespaces at random and compares the answers
// of a FIB loaded from each with the kernel's, in every field, plain and fibmatch.
// TEST_SEED repeats a run; DIFF_ONLY=n runs its n-th configuration alone.
func TestKernelDifferential(t *testing.T) {
	netnstest.Require(t)
	seed := randtest.Seed(t)
	configs, flows := envInt(t, "DIFF_CONFIGS", uint64(randtest.Fewer(diffConfigs))), envInt(t, "DIFF_FLOWS", diffFlows)
	only := envInt(t, "DIFF_ONLY", 0)
	var total tally
	t.Run("configs", func(t *testing.T) {
		for n := uint64(1); n <= configs; n++ {
			if only != 0 && n != only {
				continue
			}
			t.Run(strconv.FormatUint(n, 10), func(t *testing.T) {
				t.Parallel()
				differential(t, seed+n, int(flows), &total)
			})
		}
	})
	t.Logf("%d configurations, %d flows compared, %d undetermined; %v", configs, total.compared, total.undetermined, total.kinds)
	if only == 0 && !t.Failed() {
		require.Greater(t, total.compared, total.undetermined*9, "too few answers were determined")
		for _, k := range []string{"ok", "ENETUNREACH", "EHOSTUNREACH", "EACCES", "EINVAL"} {
			require.Greater(t, total.kinds[k], int(configs)/10, "answers of kind %s: the configurations are too weak", k)
		}
	}
}

type tally struct {
	mu                     sync.Mutex
	compared, undetermined int
	kinds                  map[string]int
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
		_ = cmd.Run() // what the kernel refuses is no part of the configuration
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

func differential(t *testing.T, seed uint64, flows int, total *tally) {
	ns := configure(t, seed)
	for try := 1; ; try++ {
		before := load(t, ns)
		failures := compareAll(t, ns, seed, flows, total)
		// The kernel may finish what a link or address began only now.
		if after := load(t, ns); !reflect.DeepEqual(before, after) && try < 5 {
			continue
		}
		for _, f := range failures {
			t.Error(f)
		}
		if len(failures) > 0 {
			t.Errorf("%d answers differ; configuration:\n%s", len(failures), describe(seed, ns))
		}
		return
	}
}

func load(t *testing.T, ns *netnstest.NS) *fib.State {
	f, err := ksync.Load(t.Context(), ksync.Options{NetNS: ksync.Named(ns.Name())})
	require.NoError(t, err)
	return f.Snapshot().State()
}

// compareAll returns a text for each of the first answers that differ.
func compareAll(t *testing.T, ns *netnstest.NS, seed uint64, flows int, total *tally) (failures []string) {
	f, err := ksync.Load(t.Context(), ksync.Options{NetNS: ksync.Named(ns.Name())})
	require.NoError(t, err)
	z, err := ksync.Load(t.Context(), ksync.Options{NetNS: ksync.Named(ns.Name()), Config: fib.Config{Engine: hashzone.Engine{}}})
	require.NoError(t, err)
	q, err := ksync.OpenQuerier(ksync.Named(ns.Name()))
	require.NoError(t, err)
	defer q.Close()
	s, zs := f.Snapshot(), z.Snapshot()
	g := flowgen.New(s, seed, flowgen.Options{Input: true})
	fs := make([]fib.Flow, flows)
	for i := range fs {
		fs[i] = g.Next()
	}
	// Plain and fibmatch in one pass: B18 and the caches of shared objects
	// depend on what was asked before.
	report := func(i int, ds []ksync.Difference) {
		if len(ds) > 0 && len(failures) < 5 {
			failures = append(failures, fmt.Sprintf("flow %d %+v:\n%v\nours %+v", i, fs[i], ds, s.Resolve(fs[i])))
		}
	}
	compared, undetermined, kinds := 0, 0, map[string]int{}
	require.NoError(t, q.GetBatch(fs, rtnl.RTM_F_LOOKUP_TABLE, func(i int, reply *rtnl.Reply, errno fib.Errno) {
		d := s.Resolve(fs[i])
		if e := s.Explain(fs[i]).Decision; e != d {
			t.Errorf("flow %+v: Explain\n%+v, Resolve\n%+v", fs[i], e, d)
		}
		if zd := zs.Resolve(fs[i]); zd != d {
			t.Errorf("flow %+v: hashzone\n%+v, trie\n%+v", fs[i], zd, d)
		}
		if d.Undetermined != 0 || ksync.Unanswerable(fs[i], errno) {
			if d.Undetermined != 0 && !ksync.Unanswerable(fs[i], errno) && !possible(s, fs[i], reply, errno) {
				report(i, []ksync.Difference{{Field: "candidates", Ours: fmt.Sprint(s.Candidates(fs[i])), Kernel: fmt.Sprint(reply, errno)}})
			}
			undetermined++
			return
		}
		compared++
		kind := "ok"
		if errno != 0 {
			kind = errno.Name()
		}
		kinds[kind]++
		_, route, _ := s.FibMatch(fs[i])
		report(i, ksync.Differences(fs[i], d, route.Metrics, reply, errno))
	}))
	require.NoError(t, q.GetBatch(fs, rtnl.RTM_F_LOOKUP_TABLE|rtnl.RTM_F_FIB_MATCH, func(i int, reply *rtnl.Reply, errno fib.Errno) {
		d, route, found := s.FibMatch(fs[i])
		if d.Undetermined == 0 {
			report(i, ksync.MatchDifferences(fs[i], d, route, found, reply, errno))
		}
	}))
	total.mu.Lock()
	defer total.mu.Unlock()
	total.compared += compared
	total.undetermined += undetermined
	if total.kinds == nil {
		total.kinds = map[string]int{}
	}
	for k, n := range kinds {
		total.kinds[k] += n
	}
	return failures
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
