package ksync

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/ksync/plan"
	"github.com/fibula-net/fibula/rules"
)

var table100 = plan.Owner{Protocol: 99, Tables: []fib.TableID{100}, Rules: plan.Range{First: 1000, Last: 1999}, Nexthops: plan.Range{First: 1000, Last: 1999}}

// running is an export in a goroutine of its own.
type running struct {
	t      testing.TB
	stop   context.CancelFunc
	events chan ExportEvent
	done   chan error
}

func export(t testing.TB, ns *netnstest.NS, src Source, opt ExportOptions) *running {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	x := &running{t: t, stop: stop, events: make(chan ExportEvent, 10_000), done: make(chan error, 1)}
	if opt.NetNS == Current() {
		opt.NetNS = Named(ns.Name())
	}
	opt.Event = func(e ExportEvent) { x.events <- e }
	if len(opt.Owner.Tables) == 0 {
		opt.Owner = table100
	}
	go func() { x.done <- Export(ctx, src, opt) }()
	return x
}

// await returns the next event of a kind that fits.
func (x *running) await(kind ExportEventKind, fits func(*ExportEvent) bool) ExportEvent {
	x.t.Helper()
	limit := time.After(time.Minute)
	for {
		select {
		case e := <-x.events:
			if e.Kind == kind && (fits == nil || fits(&e)) {
				return e
			}
		case err := <-x.done:
			x.t.Fatalf("the export ended: %v", err)
		case <-limit:
			x.t.Fatalf("no event %q", kind)
		}
	}
}

func (x *running) end() {
	x.t.Helper()
	x.stop()
	require.NoError(x.t, <-x.done)
}

func inSync(e *ExportEvent) bool { return e.Report.InSync() }

func countOf(ns *netnstest.NS, what string) int { return strings.Count(ns.IP(what), "\n") }

// waitCount waits until ip shows that many lines.
func waitCount(ns *netnstest.NS, why, what string, n int) {
	ns.WaitFor(why, func() string {
		if have := countOf(ns, what); have != n {
			return fmt.Sprintf("%s shows %d lines, not %d", what, have, n)
		}
		return ""
	})
}

func TestExportMendsWhatOthersDelete(t *testing.T) {
	t.Parallel()
	ns, d0 := exportNS(t)
	const n = 2000
	want := manyRoutes(t, n, fib.Nexthop{Link: d0, Gateway: addr("10.0.0.9"), Weight: 1})
	x := export(t, ns, Fixed(want), ExportOptions{})
	r := x.await(ExportSynced, inSync).Report
	assert.Equal(t, n, r.Done)
	repaired := func(n int) {
		t.Helper()
		for left := n; left > 0; {
			left -= x.await(ExportRepaired, nil).Times
		}
		require.Equal(t, 2000, countOf(ns, "route show table 100 proto 99"))
	}
	ns.IP("route del 20.0.0.0/24 table 100")
	repaired(1)
	var lines []string
	for i := range 1000 {
		lines = append(lines, fmt.Sprintf("route del 20.%d.%d.0/24 table 100", i>>8, i&255))
	}
	ns.Batch(lines...)
	repaired(1000)
	ns.IP("route replace 20.0.1.0/24 via 10.0.0.77 dev d0 table 100 proto 99")
	repaired(1)
	assert.Contains(t, ns.IP("route show 20.0.1.0/24 table 100"), "10.0.0.9")
	ns.IP("route add 30.0.0.0/8 dev d0 table 100 proto 99") // of ours, but nobody asked for it
	x.await(ExportSynced, func(e *ExportEvent) bool { return e.Report.Counts[plan.Route].Deleted == 1 })
	assert.Empty(t, ns.IP("route show 30.0.0.0/8 table 100"))
	ns.IP("route flush table 100")
	waitCount(ns, "all are back", "route show table 100 proto 99", n)
	x.end()
	assert.Zero(t, countOf(ns, "route show table 100"), "withdrawn at the end")
}

func TestExportMendsRulesAndNexthops(t *testing.T) {
	t.Parallel()
	ns, d0 := exportNS(t)
	f := fib.New(fib.Config{})
	_, err := f.Update(func(tx *fib.Txn) error {
		return tx.Load(&fib.State{
			Rules:    []rules.Rule{{Family: fib.Inet, Priority: 1000, Action: rules.ActLookup, Table: 100}, {Family: fib.Inet6, Priority: 1000, Action: rules.ActLookup, Table: 100}},
			Nexthops: []fib.NexthopObject{{ID: 1000, Family: fib.Inet, Nexthop: fib.Nexthop{Link: d0, Gateway: addr("10.0.0.9"), Weight: 1}}},
			Routes:   []fib.Route{{Table: 100, Dst: pfx("20.0.0.0/8"), Type: fib.TypeUnicast, NexthopID: 1000}},
		})
	})
	require.NoError(t, err)
	x := export(t, ns, Fixed(f.Snapshot()), ExportOptions{Persist: true})
	x.await(ExportSynced, inSync)
	ns.IP("-6 rule del pref 1000")
	x.await(ExportRepaired, nil)
	assert.Contains(t, ns.IP("-6 rule show"), "lookup 100")
	ns.IP("nexthop del id 1000") // takes the route with it, silently
	x.await(ExportSynced, func(e *ExportEvent) bool { return inSync(e) && e.Report.Done == 2 })
	assert.Contains(t, ns.IP("route show table 100"), "nhid 1000")
	x.end()
	assert.Contains(t, ns.IP("route show table 100"), "nhid 1000", "it persists")
}

func TestExportWaitsForLinks(t *testing.T) {
	t.Parallel()
	ns, d0 := exportNS(t)
	want := manyRoutes(t, 50, fib.Nexthop{Link: d0, Gateway: addr("10.0.0.9"), Weight: 1})
	ns.IP("link set d0 down")
	x := export(t, ns, Fixed(want), ExportOptions{Nexthops: plan.Objects})
	r := x.await(ExportSynced, nil).Report
	assert.False(t, r.InSync())
	assert.Positive(t, r.Pending)
	for _, f := range r.Failures {
		assert.ErrorIs(t, f.Err, ErrPending)
	}
	ns.IP("link set d0 up")
	x.await(ExportSynced, inSync)
	require.Equal(t, 50, countOf(ns, "route show table 100"))
	ns.IP("link set p0 down") // carrier lost: object and routes go without a word (E15)
	waitCount(ns, "gone", "nexthop show", 0)
	ns.IP("link set p0 up")
	waitCount(ns, "all are back", "route show table 100", 50)
	x.end()
}

func TestExportTellsOfAFight(t *testing.T) {
	t.Parallel()
	ns, d0 := exportNS(t)
	want := manyRoutes(t, 1, fib.Nexthop{Link: d0, Gateway: addr("10.0.0.9"), Weight: 1})
	x := export(t, ns, Fixed(want), ExportOptions{})
	x.await(ExportSynced, inSync)
	stop := make(chan struct{})
	enemy := make(chan struct{})
	go func() { // deletes it whenever it is there
		defer close(enemy)
		for {
			select {
			case <-stop:
				return
			default:
				ns.TryIP("route del 20.0.0.0/24 table 100")
			}
		}
	}()
	e := x.await(ExportFight, nil)
	close(stop)
	<-enemy
	assert.Contains(t, e.Object, "20.0.0.0/24")
	assert.Equal(t, fightTimes, e.Times)
	assert.Equal(t, fightWait, e.Wait)
	assert.NotZero(t, e.Writer.Port)
	waitCount(ns, "it comes back when the enemy rests", "route show table 100", 1)
	x.end()
}

func TestFightsBackOff(t *testing.T) {
	now := time.Unix(0, 0)
	f, k := newFights(func() time.Time { return now }), objectKey{name: "x"}
	for range fightTimes - 1 {
		_, wait, _ := f.lost(k)
		require.Zero(t, wait)
	}
	times, wait, begun := f.lost(k)
	assert.Equal(t, []any{fightTimes, fightWait, true}, []any{times, wait, begun})
	_, wait, begun = f.lost(k)
	assert.Equal(t, []any{fightWait, false}, []any{wait, begun}, "it waits already")
	assert.True(t, f.waiting(k))
	now = now.Add(fightWait)
	assert.False(t, f.waiting(k))
	_, wait, begun = f.lost(k)
	assert.Equal(t, []any{2 * fightWait, true}, []any{wait, begun})
	for range 20 {
		now = now.Add(f.objects[k].wait)
		f.lost(k)
	}
	assert.Equal(t, fightLongest, f.objects[k].wait)
	now = now.Add(3 * fightLongest)
	_, wait, _ = f.lost(k)
	assert.Zero(t, wait, "a long peace is a new start")
}

func TestExportHearsNothingOfItsOwnWrites(t *testing.T) {
	t.Parallel()
	ns, d0 := exportNS(t)
	want := manyRoutes(t, 100_000, fib.Nexthop{Link: d0, Gateway: addr("10.0.0.9"), Weight: 1})
	x := export(t, ns, Fixed(want), ExportOptions{})
	x.await(ExportSynced, inSync)
	ns.IP("route del 20.0.0.0/24 table 100") // what is heard of this is the first news
	for {
		e := <-x.events
		require.NotEqual(t, ExportOverflow, e.Kind)
		if e.Kind == ExportRepaired {
			assert.Equal(t, 1, e.Times)
			break
		}
	}
	x.end()
}

func TestExportFollowsItsSource(t *testing.T) {
	t.Parallel()
	ns, d0 := exportNS(t)
	leg := fib.Nexthop{Link: d0, Gateway: addr("10.0.0.9"), Weight: 1}
	states := make(chan *fib.Snapshot, 1)
	changed := make(chan struct{})
	states <- manyRoutes(t, 100, leg)
	x := export(t, ns, Source{Changed: changed, Desired: func() (*fib.Snapshot, error) {
		s := <-states
		if s == nil {
			return nil, fmt.Errorf("no good")
		}
		return s, nil
	}}, ExportOptions{})
	x.await(ExportSynced, inSync)
	states <- manyRoutes(t, 120, leg)
	changed <- struct{}{}
	r := x.await(ExportSynced, func(e *ExportEvent) bool { return e.Report.Done > 0 }).Report
	assert.Equal(t, 20, r.Done)
	states <- nil
	changed <- struct{}{}
	x.await(ExportRefused, nil)
	states <- manyRoutes(t, 3, leg) // more than half would go
	changed <- struct{}{}
	var much *plan.TooMuchError
	require.ErrorAs(t, x.await(ExportRefused, nil).Err, &much)
	ns.IP("route del 20.0.0.0/24 table 100")
	x.await(ExportRepaired, nil)
	assert.Equal(t, 120, countOf(ns, "route show table 100"), "the last accepted state stays in force")
	x.end()
}

func TestGraceAddsFirstAndPrunesLater(t *testing.T) {
	t.Parallel()
	ns, d0 := exportNS(t)
	leg := fib.Nexthop{Link: d0, Gateway: addr("10.0.0.9"), Weight: 1}
	ns.IP("route add 99.0.0.0/8 dev d0 table 100 proto 99") // a leftover
	x := export(t, ns, Fixed(manyRoutes(t, 5, leg)), ExportOptions{Grace: time.Hour, Persist: true})
	x.await(ExportSynced, nil)
	assert.Equal(t, 6, countOf(ns, "route show table 100"))
	x.end()
	x = export(t, ns, Fixed(manyRoutes(t, 5, leg)), ExportOptions{Grace: time.Millisecond})
	waitCount(ns, "the leftover goes", "route show table 100", 5)
	x.end()
}

// One message moves all routes of a shared object.
func TestSharedNexthopsMoveTogether(t *testing.T) {
	t.Parallel()
	ns, d0 := exportNS(t)
	e := openExporter(t, ExportOptions{NetNS: Named(ns.Name()), Owner: table100, Nexthops: plan.Objects})
	a, b := fib.Nexthop{Link: d0, Gateway: addr("10.0.0.9"), Weight: 1}, fib.Nexthop{Link: d0, Gateway: addr("10.0.0.8"), Weight: 1}
	r, err := e.Sync(t.Context(), manyRoutes(t, 1000, a))
	require.NoError(t, err)
	assert.Equal(t, 1001, r.Done)
	r, err = e.Sync(t.Context(), manyRoutes(t, 1000, b))
	require.NoError(t, err)
	assert.Equal(t, 1, r.Done, "%+v", r.Counts)
	assert.Contains(t, ns.IP("route show 20.0.0.0/24 table 100"), "via 10.0.0.8")
}
