package daemon

import (
	"runtime/metrics"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fibula-net/fibula/fib"
)

// mirrorMetrics tell of a mirror. Everything is read when it is asked for, but for the counts of
// routes.
type mirrorMetrics struct {
	d *Daemon

	mu     sync.Mutex // guards what follows
	gen    uint64     // of counted
	known  bool
	counts []fib.RouteCount
	next   time.Time // earliest moment to count again
}

func newMetrics(d *Daemon) *mirrorMetrics { return &mirrorMetrics{d: d} }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("fibula_"+name, help, labels, nil)
}

var (
	descRoutes    = describe("routes", "Routes, as a dump shows them.", "table", "family", "protocol", "type")
	descRules     = describe("rules", "Routing policy rules.", "family")
	descNexthops  = describe("nexthops", "Nexthop objects.")
	descLinks     = describe("links", "Network links.")
	descNeighs    = describe("neighbours", "Entries of the ARP and ND tables.")
	descEvents    = describe("netlink_events_total", "Announcements of the kernel, by what they were about.", "group")
	descOverruns  = describe("netlink_overruns_total", "Times that the kernel dropped announcements.")
	descRoom      = describe("netlink_receive_buffer_bytes", "What the kernel keeps of announcements that are not read yet, and what was asked for.", "size")
	descResyncs   = describe("resync_total", "Times that everything was compared anew, by reason.", "reason")
	descLooks     = describe("looks_total", "Looks at what was in doubt.")
	descFailures  = describe("look_failures_total", "Looks that failed and were repeated.")
	descCommits   = describe("commits_total", "Transactions that changed something.")
	descDoubts    = describe("doubts", "What is in doubt now.")
	descLag       = describe("mirror_lag_seconds", "Time from taking the last batch of announcements to publishing it.")
	descAge       = describe("mirror_age_seconds", "Time since the mirror was last known to be equal to the kernel.")
	descHealthy   = describe("mirror_lockstep", "1 while the mirror is known to be equal to the kernel, as /healthz.")
	descDrift     = describe("drift_total", "Objects that were not as the kernel had them although nothing was lost.")
	descAudits    = describe("audits_total", "Audits completed.")
	descMismatch  = describe("audit_mismatch_total", "Objects that audits found to differ.")
	descAuditTime = describe("audit_timestamp_seconds", "When the last audit ended; 0: never.")
	descMemory    = describe("memory_bytes", "Memory that the process uses, by what for.", "class")
	descGen       = describe("generation", "Number of the last transaction.")
	descBuild     = describe("build_info", "1, with the version of fibula.", "version", "goversion", "platform")
)

func (m *mirrorMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descRoutes, descRules, descNexthops, descLinks, descNeighs, descEvents, descOverruns, descRoom, descResyncs, descLooks, descFailures,
		descCommits, descDoubts, descLag, descAge, descHealthy, descDrift, descAudits, descMismatch, descAuditTime, descMemory, descGen, descBuild,
	} {
		ch <- d
	}
}

func (m *mirrorMetrics) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		for i := range labels { // a name of a table is whatever a file says
			labels[i] = strings.ToValidUTF8(labels[i], "\uFFFD")
		}
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	s, st := m.d.m.FIB().Snapshot(), m.d.m.Stats()
	for _, c := range m.routes(s, time.Now()) {
		gauge(descRoutes, float64(c.Routes), m.d.opt.TableName(c.Table), c.Family.String(), m.d.opt.ProtocolName(c.Protocol), c.Type.String())
	}
	size := s.Size()
	gauge(descRules, float64(size.Rules4), fib.Inet.String())
	gauge(descRules, float64(size.Rules6), fib.Inet6.String())
	gauge(descNexthops, float64(size.Nexthops))
	gauge(descLinks, float64(size.Links))
	gauge(descNeighs, float64(size.Neighbours))
	gauge(descGen, float64(s.Generation()))
	for what, n := range st.Events {
		counter(descEvents, n, what)
	}
	for why, n := range st.Resyncs {
		counter(descResyncs, n, why)
	}
	counter(descOverruns, st.Overruns)
	gauge(descRoom, float64(st.ReceiveBuffer), "granted")
	gauge(descRoom, float64(st.BufferAsked), "asked")
	counter(descLooks, st.Looks)
	counter(descFailures, st.Failures)
	counter(descCommits, st.Commits)
	counter(descDrift, st.Drift)
	counter(descAudits, st.Audits)
	counter(descMismatch, st.Mismatches)
	at := 0.0
	if !st.LastAudit.Time.IsZero() {
		at = float64(st.LastAudit.Time.UnixMilli()) / 1000
	}
	gauge(descAuditTime, at)
	gauge(descDoubts, float64(st.Doubts))
	gauge(descLag, st.Lag.Seconds())
	gauge(descAge, m.d.m.Age().Seconds())
	healthy := 0.0
	if m.d.Health() == nil {
		healthy = 1
	}
	gauge(descHealthy, healthy)
	for class, n := range memory() {
		gauge(descMemory, float64(n), class)
	}
	b := m.d.opt.Build
	gauge(descBuild, 1, b.Version, b.Go, b.Platform)
}

const (
	countEvery = 10 * time.Second // the least time between two counts of routes
	countShare = 100              // and counting takes no more than this part of the time
)

// routes are the counts of a snapshot, or of one before it if they were taken not long ago.
func (m *mirrorMetrics) routes(s *fib.Snapshot, now time.Time) []fib.RouteCount {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known && (m.gen == s.Generation() || now.Before(m.next)) {
		return m.counts
	}
	m.counts, m.gen, m.known = s.CountRoutes(), s.Generation(), true
	end := time.Now()
	m.next = end.Add(max(countEvery, countShare*end.Sub(now)))
	return m.counts
}

// memory is what the Go runtime holds.
func memory() map[string]uint64 {
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}, {Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
	}
	metrics.Read(samples)
	return map[string]uint64{
		"heap": samples[0].Value.Uint64(), "stacks": samples[1].Value.Uint64(), "total": samples[2].Value.Uint64() - samples[3].Value.Uint64(),
	}
}
