package ksync

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
)

// BenchmarkMirror measures a mirror of a large table: its start, an audit, the time until
// it is equal again after a storm that overflows the socket, and its memory. MIRROR_ROUTES
// is how many there are.
func BenchmarkMirror(b *testing.B) {
	n := 100_000
	if s := os.Getenv("MIRROR_ROUTES"); s != "" {
		var err error
		n, err = strconv.Atoi(s)
		require.NoError(b, err)
	}
	ns, link := filled(b, n)
	cpu := func() time.Duration {
		var u syscall.Rusage
		require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	heap := func() int {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	for range b.N {
		before := heap()
		c0, t0 := cpu(), time.Now()
		m, err := Mirror(context.Background(), fib.New(fib.Config{}), MirrorOptions{NetNS: Named(ns.Name()), ReceiveBuffer: 1 << 20})
		require.NoError(b, err)
		start, startCPU := time.Since(t0), cpu()-c0
		size := heap() - before
		c0, t0 = cpu(), time.Now()
		c, err := m.Audit(context.Background())
		require.NoError(b, err)
		audit, auditCPU := time.Since(t0), cpu()-c0
		require.True(b, c.Equal(), "%+v", c)
		ns.IP("link set d0 down")
		t0 = time.Now()
		for m.FIB().Snapshot().Digest()[0].Routes > 1000 || len(m.FIB().Snapshot().Digest()) > 4 && time.Since(t0) < 10*time.Second {
			time.Sleep(time.Millisecond)
		}
		withdrawn := time.Since(t0)
		require.NoError(b, m.Sync(context.Background()))
		b.ReportMetric(withdrawn.Seconds(), "withdrawn-s")
		ns.IP("link set d0 up")
		ns.Settle()
		fill(b, ns, link, 100, n)
		t0 = time.Now()
		require.NoError(b, m.Sync(context.Background()))
		storm := time.Since(t0)
		s := m.Stats()
		c, err = m.Audit(context.Background())
		require.NoError(b, err)
		require.True(b, c.Equal(), "%d", c.Differing)
		b.ReportMetric(start.Seconds(), "start-s")
		b.ReportMetric(startCPU.Seconds(), "start-cpu-s")
		b.ReportMetric(audit.Seconds(), "audit-s")
		b.ReportMetric(auditCPU.Seconds(), "audit-cpu-s")
		b.ReportMetric(storm.Seconds(), "storm-s")
		b.ReportMetric(float64(size)/float64(n), "B/route")
		fmt.Fprintf(os.Stderr, "%d routes, %v overruns, resyncs %v, looks %d, drift %d, events %v, commits %d\n", c.Routes, s.Overruns, s.Resyncs, s.Looks, s.Drift, s.Events, s.Commits)
		m.Close()
	}
}
