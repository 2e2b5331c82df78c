package main

import (
	"context"
	"io"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/bench"
	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/fulltable"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/iproute"
	"github.com/fibula-net/fibula/ksync"
)

func demoRouter(t testing.TB) *throwaway {
	netnstest.Require(t)
	ns, err := newThrowaway()
	require.NoError(t, err)
	t.Cleanup(ns.close)
	require.NoError(t, configure(t.Context(), ns))
	return ns
}

// TestRouterStateIsTheDemos keeps testdata/router.json what the demo sets up.
// FIBULA_UPDATE=1 writes it.
func TestRouterStateIsTheDemos(t *testing.T) {
	ns := demoRouter(t)
	now, _, err := ksync.Scan(t.Context(), ksync.Options{NetNS: ns.netns()})
	require.NoError(t, err)
	if os.Getenv("FIBULA_UPDATE") != "" {
		require.NoError(t, replaceFile(routerState, func(w io.Writer) error {
			return iproute.WriteState(w, &now, iproute.StateOptions{})
		}))
	}
	kept, warnings, err := iproute.Open(routerState)
	require.NoError(t, err)
	assert.Empty(t, warnings)
	assert.Equal(t, texts(now.Rules), texts(kept.Rules))
	assert.ElementsMatch(t, texts(now.Routes), texts(kept.Routes))
	names := func(st *fib.State) (out []string) {
		for _, l := range st.Links {
			out = append(out, l.Name)
		}
		return out
	}
	assert.Equal(t, names(&now), names(kept))
}

func texts[T any, P interface {
	*T
	String() string
}](list []T) (out []string) {
	for i := range list {
		out = append(out, P(&list[i]).String())
	}
	return out
}

// TestDemoInstallsAndAgrees is the demo with a small table.
func TestDemoInstallsAndAgrees(t *testing.T) {
	ns := demoRouter(t)
	prefixes := fulltable.Synthetic(3000, 1000, 1)
	n, err := install(t.Context(), ns, prefixes, func(int) {})
	require.NoError(t, err)
	require.Equal(t, len(prefixes), n)

	var out, errs strings.Builder
	a := &app{out: &out, errs: &errs}
	d := &demo{a: a, nflows: 2000}
	snaps, err := d.loadLive(t.Context(), ns)
	require.NoError(t, err)
	require.Len(t, tablePrefixes(snaps[0]), len(prefixes))
	assert.ElementsMatch(t, prefixes, tablePrefixes(snaps[1]))

	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("TEST_SEED"); s != "" {
		seed, err = strconv.ParseUint(s, 0, 64)
		require.NoError(t, err)
	}
	t.Logf("TEST_SEED=%d", seed)
	flows := bench.Flows(snaps[0], d.nflows, seed)
	require.NoError(t, d.compareEngines(t.Context(), snaps, flows))
	q, err := ksync.OpenQuerier(ns.netns())
	require.NoError(t, err)
	defer q.Close()
	require.NoError(t, d.compareKernel(snaps[0], q, flows))
	for _, g := range d.report.Agree {
		assert.Equal(t, g.Compared, g.Agree, "%s\n%s", g.Sides, errs.String())
		assert.GreaterOrEqual(t, g.Compared, d.nflows*9/10, "%s: too few answers are certain", g.Sides)
	}
}

func TestInstallNamesWhatTheKernelRefuses(t *testing.T) {
	ns := demoRouter(t)
	twice := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("192.0.2.0/24")}
	_, err := install(t.Context(), ns, twice, func(int) {})
	require.ErrorIs(t, err, fib.EEXIST)
	require.ErrorContains(t, err, "number 2")
}

func TestInstallStops(t *testing.T) {
	ns := demoRouter(t)
	ctx, cancel := context.WithCancel(t.Context())
	n, err := install(ctx, ns, fulltable.Synthetic(20_000, 0, 1), func(int) { cancel() })
	require.ErrorIs(t, err, context.Canceled)
	assert.Less(t, n, 20_000)
}

// TestThrowawayIsAnotherNamespaceAndEnds looks at the namespaces' inode numbers.
func TestThrowawayIsAnotherNamespaceAndEnds(t *testing.T) {
	netnstest.Require(t)
	self, err := os.Readlink("/proc/self/ns/net")
	require.NoError(t, err)
	var paths, seen []string
	for range 3 {
		ns, err := newThrowaway()
		require.NoError(t, err)
		inside, err := os.Readlink(ns.Path())
		require.NoError(t, err)
		assert.NotEqual(t, self, inside)
		assert.NotContains(t, seen, inside)
		require.NoError(t, ns.do(func() error {
			own, err := os.Readlink("/proc/thread-self/ns/net")
			assert.Equal(t, inside, own)
			return err
		}))
		seen, paths = append(seen, inside), append(paths, ns.Path())
		defer func() {
			ns.close()
			for { // the thread ends by itself
				if _, err := os.Readlink(ns.Path()); err != nil {
					return
				}
				runtime.Gosched()
			}
		}()
	}
	assert.Len(t, slices.Compact(slices.Sorted(slices.Values(paths))), 3)
	now, err := os.Readlink("/proc/self/ns/net")
	require.NoError(t, err)
	assert.Equal(t, self, now, "the process itself has moved")
}

// BenchmarkKernelLoad reads a full table from a kernel: dump, decoding and commit.
func BenchmarkKernelLoad(b *testing.B) {
	ns := demoRouter(b)
	prefixes, origin := fulltable.Get(b.Context())
	n, err := install(b.Context(), ns, prefixes, func(int) {})
	require.NoError(b, err)
	b.Logf("%d routes in the kernel: %s", n, origin)
	for _, e := range engines {
		b.Run("engine="+e.Name(), func(b *testing.B) {
			before := bench.Heap()
			var f *fib.FIB
			for b.Loop() {
				f = nil
				f, err = ksync.Load(b.Context(), ksync.Options{NetNS: ns.netns(), Config: fib.Config{Engine: e}})
				require.NoError(b, err)
			}
			perLoad := b.Elapsed().Seconds() / float64(b.N)
			b.ReportMetric(perLoad, "s/load")
			b.ReportMetric(float64(n)/perLoad, "routes/s")
			b.ReportMetric((float64(bench.Heap())-float64(before))/float64(n), "B/route")
			runtime.KeepAlive(f)
		})
	}
}

// BenchmarkKernelGet asks the kernel over netlink, many queries in a system call.
func BenchmarkKernelGet(b *testing.B) {
	ns := demoRouter(b)
	prefixes, _ := fulltable.Get(b.Context())
	_, err := install(b.Context(), ns, prefixes, func(int) {})
	require.NoError(b, err)
	q, err := ksync.OpenQuerier(ns.netns())
	require.NoError(b, err)
	defer q.Close()
	flows := bench.Inside(prefixes, 1<<13, 1)
	n := 0
	for b.Loop() {
		require.NoError(b, q.GetBatch(flows, ksync.LookupTable, func(int, *ksync.Reply, fib.Errno) { n++ }))
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "answers/s")
}
