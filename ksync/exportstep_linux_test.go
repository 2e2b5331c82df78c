package ksync

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/ksync/plan"
	"github.com/fibula-net/fibula/ksync/plan/plantest"
)

// desiring is an export whose desired state a test edits.
type desiring struct {
	*running
	f       *fib.FIB
	changed chan struct{}
}

func exportFIB(t testing.TB, ns *netnstest.NS, f *fib.FIB, opt ExportOptions) *desiring {
	t.Helper()
	d := &desiring{f: f, changed: make(chan struct{})}
	d.running = export(t, ns, Source{Changed: d.changed, Desired: func() (*fib.Snapshot, error) { return f.Snapshot(), nil }}, opt)
	return d
}

// edit changes the desired state and returns what came of it.
func (d *desiring) edit(fn func(*fib.Txn) error) *ExportReport {
	d.t.Helper()
	_, err := d.f.Update(fn)
	require.NoError(d.t, err)
	d.changed <- struct{}{}
	return d.await(ExportSynced, nil).Report
}

func routeVia(dst, via string, link int32) fib.Route {
	return fib.Route{Table: 100, Dst: pfx(dst), Type: fib.TypeUnicast, Nexthops: []fib.Nexthop{{Link: link, Gateway: addr(via), Weight: 1}}}
}

// loadable is a FIB of many routes that a test can edit.
func loadable(t testing.TB, n int, leg fib.Nexthop) *fib.FIB {
	t.Helper()
	f := fib.New(fib.Config{})
	s := manyRoutes(t, n, leg)
	_, err := f.Update(func(tx *fib.Txn) (err error) {
		s.EachRoute(fib.Inet, 100, func(r *fib.Route) bool { err = tx.LoadRoute(r); return err == nil })
		return err
	})
	require.NoError(t, err)
	return f
}

// tellRoute enters a route whatever the FIB knows of links.
func tellRoute(r fib.Route) func(*fib.Txn) error {
	return func(tx *fib.Txn) error { _, err := tx.TellRoute(&r, fib.OpReplace); return err }
}

func tellGone(r fib.Route) func(*fib.Txn) error {
	return func(tx *fib.Txn) error { _, err := tx.TellRouteGone(&r); return err }
}

func TestChangedStatesCostWhatChanged(t *testing.T) {
	t.Parallel()
	ns, d0 := exportNS(t)
	x := exportFIB(t, ns, loadable(t, 2000, fib.Nexthop{Link: d0, Gateway: addr("10.0.0.9"), Weight: 1}), ExportOptions{})
	first := x.await(ExportSynced, inSync).Report
	assert.True(t, first.Whole)
	shown := func(dst string) string { return ns.IP("route show " + dst + " table 100") }

	r := x.edit(tellRoute(routeVia("20.0.1.0/24", "10.0.0.8", d0)))
	assert.False(t, r.Whole)
	assert.Equal(t, plan.Count{Desired: 2000, Owned: 2000, Kept: 1999, Replaced: 1}, r.Counts[plan.Route])
	assert.Contains(t, shown("20.0.1.0/24"), "10.0.0.8")
	r = x.edit(tellRoute(routeVia("30.0.0.0/24", "10.0.0.8", d0)))
	assert.False(t, r.Whole)
	assert.Equal(t, 2001, countOf(ns, "route show table 100"))
	r = x.edit(tellGone(routeVia("20.0.2.0/24", "10.0.0.9", d0)))
	assert.False(t, r.Whole)
	assert.Equal(t, plan.Count{Desired: 2000, Owned: 2001, Kept: 2000, Deleted: 1}, r.Counts[plan.Route])
	assert.Empty(t, shown("20.0.2.0/24"))

	// What somebody took away and was mended leaves no doubt.
	ns.IP("route del 20.0.3.0/24 table 100")
	x.await(ExportRepaired, nil)
	assert.False(t, x.edit(tellRoute(routeVia("20.0.3.0/24", "10.0.0.7", d0))).Whole)
	assert.Contains(t, shown("20.0.3.0/24"), "10.0.0.7")

	// Another's route before ours would be replaced in its place.
	ns.IP("route prepend 20.0.4.0/24 dev d0 table 100 proto static")
	ns.IP("route del 20.0.5.0/24 table 100")
	x.await(ExportRepaired, nil) // so that the news before it was heard
	r = x.edit(tellRoute(routeVia("20.0.4.0/24", "10.0.0.7", d0)))
	assert.True(t, r.Whole)
	assert.Len(t, r.Conflicts, 1)
	assert.Contains(t, shown("20.0.4.0/24"), "proto static")
	ns.IP("route del 20.0.4.0/24 proto static table 100")
	x.await(ExportSynced, inSync) // it is tried again
	assert.Contains(t, shown("20.0.4.0/24"), "10.0.0.7")
	x.end()
}

// A restart knows nothing of others' routes under the keys of what it adopts, until it has
// looked once.
func TestAdoptedRoutesAreLookedAtBeforeTheyAreReplaced(t *testing.T) {
	t.Parallel()
	ns, d0 := exportNS(t)
	leg := fib.Nexthop{Link: d0, Gateway: addr("10.0.0.9"), Weight: 1}
	f := loadable(t, 10, leg)
	x := exportFIB(t, ns, f, ExportOptions{Persist: true})
	x.await(ExportSynced, inSync)
	x.end()
	ns.IP("route prepend 20.0.4.0/24 dev d0 table 100 proto static")
	x = exportFIB(t, ns, f, ExportOptions{})
	assert.Zero(t, x.await(ExportSynced, inSync).Report.Done)
	r := x.edit(tellRoute(routeVia("20.0.4.0/24", "10.0.0.7", d0)))
	assert.True(t, r.Whole)
	assert.Len(t, r.Conflicts, 1)
	x.end()
	assert.Contains(t, ns.IP("route show table 100"), "proto static")
}

// Whatever a step does, the kernel then has what a whole comparison would leave.
func TestRandomStepsLeaveWhatIsDesired(t *testing.T) {
	t.Parallel()
	seed := randtest.Seed(t)
	ns := plantestNS(t)
	o := plantest.Owner
	steps, wholes := 0, 0
	for n := range randtest.Fewer(40) {
		g := plantest.Gen{Rand: rand.New(rand.NewPCG(seed, uint64(n)))}
		others := g.Part(1, plantest.Theirs)
		enter(t, ns, &others)
		want, err := plantest.Base()
		require.NoError(t, err)
		mine := g.Part(100, plantest.Ours)
		mine.Enter(want)
		mode := plantest.Pick(g, plan.AsGiven, plan.Objects, plan.Inline)
		x := newExporting(openExporter(t, ExportOptions{NetNS: Named(ns.Name()), Owner: o, Nexthops: mode, Force: true}))
		before := scanned(t, ns, Options{})
		_, foreign := halves(&before, &o)
		var last *ExportReport
		x.opt.Event = func(e ExportEvent) { last = e.Report }
		for round := range 6 {
			x.want, x.fresh = want.Snapshot(), true
			ok, err := x.step(t.Context())
			require.NoError(t, err)
			if ok {
				steps++
			} else {
				wholes++
				require.NoError(t, x.everything(t.Context()))
			}
			after := scanned(t, ns, Options{})
			_, left := halves(&after, &o)
			require.Equal(t, foreign, left, "configuration %d, round %d", n, round)
			check := openExporter(t, ExportOptions{NetNS: Named(ns.Name()), Owner: o, Nexthops: mode, Force: true})
			p, err := check.Plan(t.Context(), want.Snapshot())
			require.NoError(t, err)
			if last.InSync() {
				require.Zero(t, p.Counts.Changes(), "configuration %d, round %d, step %v: %+v", n, round, ok, p.Counts)
			}
			if x.certain {
				require.Equal(t, p.Counts[plan.Route].Owned, x.there, "configuration %d, round %d, step %v: %+v", n, round, ok, last)
			}
			check.Close()
			more := g.Part(100, plantest.Ours)
			more.Enter(want)
			if g.One(2) {
				_, err = want.Update(func(tx *fib.Txn) error {
					for r := range tx.Snapshot().Routes() {
						if r.Protocol == plantest.Ours && g.One(3) {
							_ = tx.DeleteRoute(fib.Route{Table: r.Table, Dst: r.Dst, Src: r.Src, TOS: r.TOS, Priority: r.Priority, Protocol: r.Protocol, Scope: fib.ScopeNowhere})
						}
					}
					return nil
				})
				require.NoError(t, err)
			}
		}
		_, err = x.Withdraw(t.Context())
		require.NoError(t, err)
		x.Close()
		e := openExporter(t, ExportOptions{NetNS: Named(ns.Name()), Force: true,
			Owner: plan.Owner{Protocol: plantest.Theirs, Tables: o.Tables, Rules: plan.Range{First: 1, Last: 1000}, Nexthops: plan.Range{First: 1, Last: 99}}})
		_, err = e.Withdraw(t.Context())
		require.NoError(t, err)
		e.Close()
	}
	t.Logf("%d steps, %d whole comparisons", steps, wholes)
	assert.Positive(t, steps)
}

// BenchmarkExportChange measures how long one change of a large desired state takes, until the
// kernel has it.
func BenchmarkExportChange(b *testing.B) {
	n := 100_000
	if v, err := strconv.Atoi(os.Getenv("EXPORT_ROUTES")); err == nil {
		n = v
	}
	for _, mode := range []plan.Mode{plan.AsGiven, plan.Objects} {
		b.Run(fmt.Sprintf("objects=%v", mode == plan.Objects), func(b *testing.B) {
			ns, d0 := exportNS(b)
			x := exportFIB(b, ns, loadable(b, n, fib.Nexthop{Link: d0, Gateway: addr("10.0.0.9"), Weight: 1}), ExportOptions{Nexthops: mode})
			x.await(ExportSynced, inSync)
			for i, dst := range []string{"20.0.1.0/24", "20.0.2.0/24", "20.0.3.0/24"} { // the nexthops are there already
				x.edit(tellRoute(routeVia(dst, "10.0.0."+strconv.Itoa(6+i), d0)))
			}
			var all []time.Duration
			for i := 0; b.Loop(); i++ {
				begin := time.Now()
				r := x.edit(tellRoute(routeVia("20.0.1.0/24", "10.0.0."+strconv.Itoa(7+i%2), d0)))
				all = append(all, time.Since(begin))
				require.False(b, r.Whole)
				require.Positive(b, r.Done)
			}
			slices.Sort(all)
			b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "median-ms")
			x.end()
		})
	}
}
