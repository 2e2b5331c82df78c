package ksync

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/internal/rtnl"
	"github.com/fibula-net/fibula/ksync/plan"
	"github.com/fibula-net/fibula/rules"
)

// stepwise is an export whose news a test brings, and of which it takes each step.
type stepwise struct {
	*exporting
	t    *testing.T
	f    *fib.FIB
	last *ExportReport
}

func exportStepwise(t *testing.T, ns *netnstest.NS, f *fib.FIB) *stepwise {
	t.Helper()
	x := &stepwise{exporting: newExporting(openExporter(t, ExportOptions{NetNS: Named(ns.Name()), Owner: table100})), t: t, f: f}
	x.opt.Event = func(e ExportEvent) {
		if e.Report != nil {
			x.last = e.Report
		}
	}
	x.l = &listener{}
	x.want = f.Snapshot()
	require.NoError(t, x.everything(t.Context()))
	return x
}

// hears brings news and does all that they ask for, however long it would rest.
func (x *stepwise) hears(n foreignNews) {
	x.t.Helper()
	x.l.news = n
	for range 5 {
		x.notBefore = time.Time{}
		require.NoError(x.t, x.settle(x.t.Context()))
		if !x.all && !x.fresh {
			return
		}
	}
}

func (x *stepwise) edit(fn func(*fib.Txn) error) {
	x.t.Helper()
	_, err := x.f.Update(fn)
	require.NoError(x.t, err)
	x.want, x.fresh = x.f.Snapshot(), true
	x.hears(foreignNews{})
}

func keyAt(dst string) routeKey { return routeKey{table: 100, dst: pfx(dst)} }

// A deletion may be heard when a comparison has mended it already.
func TestALateDeletionLeavesNoDoubt(t *testing.T) {
	t.Parallel()
	ns, d0 := exportNS(t)
	x := exportStepwise(t, ns, loadable(t, 10, fib.Nexthop{Link: d0, Gateway: addr("10.0.0.9"), Weight: 1}))
	x.hears(foreignNews{routes: map[routeKey]heard{keyAt("20.0.3.0/24"): {deleted: true}}})
	assert.True(t, x.last.InSync(), "%+v", x.last)
	assert.Empty(t, x.refusals.objects)
	x.edit(tellGone(routeVia("20.0.3.0/24", "10.0.0.9", d0)))
	assert.Equal(t, 9, countOf(ns, "route show table 100"))
}

// What was in the way of a route may become it.
func TestWhatWasRefusedIsThereWhenHeardOf(t *testing.T) {
	t.Parallel()
	ns, d0 := exportNS(t)
	ns.IP("route add 20.0.3.0/24 dev d0 table 100 proto static")
	x := exportStepwise(t, ns, loadable(t, 10, fib.Nexthop{Link: d0, Gateway: addr("10.0.0.9"), Weight: 1}))
	require.Len(t, x.last.Conflicts, 1)
	ns.IP("route replace 20.0.3.0/24 via 10.0.0.9 dev d0 table 100 proto 99")
	r := routeVia("20.0.3.0/24", "10.0.0.9", d0)
	r.Protocol = 99
	x.hears(foreignNews{routes: map[routeKey]heard{keyAt("20.0.3.0/24"): {flags: rtnl.NLM_F_CREATE | rtnl.NLM_F_REPLACE, route: &r}}})
	assert.True(t, x.last.InSync(), "%+v", x.last)
	x.edit(tellGone(routeVia("20.0.3.0/24", "10.0.0.9", d0)))
	assert.Equal(t, 9, countOf(ns, "route show table 100"))
}

// With a new state that is refused comes a loss that only a comparison finds.
func TestARefusedStateHidesNoLoss(t *testing.T) {
	t.Parallel()
	ns, d0 := exportNS(t)
	x := exportStepwise(t, ns, loadable(t, 50, fib.Nexthop{Link: d0, Gateway: addr("10.0.0.9"), Weight: 1}))
	x.before, x.want, x.fresh = x.want, fib.New(fib.Config{}).Snapshot(), true
	ns.IP("route del 20.0.3.0/24 table 100") // as with a link, without a word
	x.hears(foreignNews{all: true})
	assert.Equal(t, 50, countOf(ns, "route show table 100"))
	assert.True(t, x.last.InSync(), "%+v", x.last)
}

// While too much would be deleted nothing is lost sight of.
func TestTooMuchIsTriedAgain(t *testing.T) {
	t.Parallel()
	ns, d0 := exportNS(t)
	x := exportStepwise(t, ns, loadable(t, 5, fib.Nexthop{Link: d0, Gateway: addr("10.0.0.9"), Weight: 1}))
	ns.IP("route del 20.0.3.0/24 table 100")
	var add, del []string
	for i := range 40 {
		r := fmt.Sprintf("30.0.%d.0/24 dev d0 table 100 proto 99", i)
		add, del = append(add, "route add "+r), append(del, "route del "+r)
	}
	ns.Batch(add...)
	var told []ExportEvent
	x.opt.Event = func(e ExportEvent) { told = append(told, e) }
	x.hears(foreignNews{all: true})
	assert.Equal(t, 44, countOf(ns, "route show table 100"))
	require.Len(t, told, 1)
	assert.Equal(t, ExportGuarded, told[0].Kind)
	assert.ErrorContains(t, told[0].Err, "40")
	ns.Batch(del...)
	assert.False(t, x.retryAt.IsZero())
	x.retryAt = time.Now()
	x.hears(foreignNews{})
	assert.Equal(t, 5, countOf(ns, "route show table 100"))
}

// Leftovers are spared for a time, whatever happens to other rules.
func TestGraceSparesRules(t *testing.T) {
	t.Parallel()
	ns, d0 := exportNS(t)
	x := exportStepwise(t, ns, loadable(t, 1, fib.Nexthop{Link: d0, Gateway: addr("10.0.0.9"), Weight: 1}))
	ns.IP("rule add pref 1500 lookup 100 protocol 99")
	x.pruneAt = time.Now().Add(time.Hour)
	x.hears(foreignNews{more: true})
	assert.Contains(t, ns.IP("rule show"), "1500:")
	x.pruneAt = time.Now()
	x.hears(foreignNews{})
	assert.NotContains(t, ns.IP("rule show"), "1500:")
}

// What is told of a new state is not what is told of the one before.
func TestATryOfTheOldStateAnswersNotForTheNew(t *testing.T) {
	t.Parallel()
	ns, d0 := exportNS(t)
	f := loadable(t, 50, fib.Nexthop{Link: d0, Gateway: addr("10.0.0.9"), Weight: 1})
	_, err := f.Update(tellRoute(routeVia("30.0.0.0/24", "10.0.0.255", d0))) // a broadcast address
	require.NoError(t, err)
	x := exportStepwise(t, ns, f)
	require.Equal(t, 1, x.last.Failed)
	var kinds []ExportEventKind
	x.opt.Event = func(e ExportEvent) { kinds = append(kinds, e.Kind) }
	x.refusals.now = func() time.Time { return time.Now().Add(time.Minute) }
	x.againAt = time.Now()
	x.before, x.want, x.fresh = x.want, fib.New(fib.Config{}).Snapshot(), true
	x.hears(foreignNews{})
	assert.Equal(t, ExportRefused, kinds[0])
}

// A key of several routes may be there though its first was refused.
func TestAKeyOfWhichTheFirstWasRefused(t *testing.T) {
	t.Parallel()
	ns, d0 := exportNS(t)
	f := loadable(t, 5, fib.Nexthop{Link: d0, Gateway: addr("10.0.0.9"), Weight: 1})
	bad, good := routeVia("30.0.0.0/24", "10.0.0.255", d0), routeVia("30.0.0.0/24", "10.0.0.8", d0)
	_, err := f.Update(func(tx *fib.Txn) error {
		_, err := tx.TellRoute(&bad, fib.OpReplace)
		if err == nil {
			_, err = tx.TellRoute(&good, fib.OpAppend)
		}
		return err
	})
	require.NoError(t, err)
	x := exportStepwise(t, ns, f)
	require.Equal(t, 1, x.last.Failed)
	require.Equal(t, 6, countOf(ns, "route show table 100"))
	_, err = f.Update(func(tx *fib.Txn) error {
		_, err := tx.TellRouteGone(&bad)
		if err == nil {
			_, err = tx.TellRouteGone(&good)
		}
		return err
	})
	require.NoError(t, err)
	x.want, x.fresh = f.Snapshot(), true
	x.hears(foreignNews{})
	assert.Equal(t, 5, countOf(ns, "route show table 100"))
}

// A rule that the kernel refuses is missed whenever rules are compared, but nobody took it away.
func TestARefusedRuleIsNoFight(t *testing.T) {
	t.Parallel()
	ns, _ := exportNS(t)
	f := fib.New(fib.Config{})
	_, err := f.Update(func(tx *fib.Txn) error {
		return tx.Load(&fib.State{Rules: []rules.Rule{{Family: fib.Inet, Priority: 1000, Action: rules.ActLookup, Table: 100},
			{Family: fib.Inet, Priority: 1500, Action: rules.ActGoto, Goto: 1200}}}) // backwards
	})
	require.NoError(t, err)
	x := exportStepwise(t, ns, f)
	require.Equal(t, 1, x.last.Failed, "%+v", x.last)
	var kinds []ExportEventKind
	x.opt.Event = func(e ExportEvent) { kinds = append(kinds, e.Kind) }
	for range 2 * fightTimes {
		x.hears(foreignNews{more: true, port: 7})
	}
	assert.NotContains(t, kinds, ExportFight)
	assert.True(t, x.certain)
	ns.IP("rule del pref 1000")
	x.hears(foreignNews{more: true, port: 7})
	assert.Contains(t, ns.IP("rule show"), "1000:", "what was taken away comes back")
	assert.Contains(t, kinds, ExportRepaired)
}

// A change of a route that the kernel refuses makes the next change of another cost no comparison of all.
func TestARefusedReplacementLeavesStepsPossible(t *testing.T) {
	t.Parallel()
	ns, d0 := exportNS(t)
	x := exportStepwise(t, ns, loadable(t, 10, fib.Nexthop{Link: d0, Gateway: addr("10.0.0.9"), Weight: 1}))
	x.edit(tellRoute(routeVia("20.0.3.0/24", "10.0.0.255", d0))) // a broadcast address
	require.Equal(t, 1, x.last.Failed)
	x.edit(tellRoute(routeVia("20.0.4.0/24", "10.0.0.8", d0)))
	assert.False(t, x.last.Whole, "%+v", x.last)
	assert.Equal(t, 1, x.last.Failed)
	assert.Contains(t, ns.IP("route show table 100"), "20.0.4.0/24 via 10.0.0.8")
	assert.Contains(t, ns.IP("route show table 100"), "20.0.3.0/24 via 10.0.0.9")
	x.edit(tellRoute(routeVia("20.0.3.0/24", "10.0.0.7", d0))) // of which it is not known what is there
	assert.True(t, x.last.InSync(), "%+v", x.last)
	assert.Contains(t, ns.IP("route show table 100"), "20.0.3.0/24 via 10.0.0.7")
	x.edit(tellRoute(routeVia("20.0.3.0/24", "10.0.0.255", d0)))
	x.edit(tellGone(routeVia("20.0.3.0/24", "10.0.0.255", d0)))
	assert.Equal(t, 9, countOf(ns, "route show table 100"))
}

// A deletion may be heard of a key of which two routes are wanted.
func TestADeletionUnderAKeyOfTwo(t *testing.T) {
	t.Parallel()
	ns, d0 := exportNS(t)
	f := loadable(t, 5, fib.Nexthop{Link: d0, Gateway: addr("10.0.0.9"), Weight: 1})
	a, b := routeVia("30.0.0.0/24", "10.0.0.7", d0), routeVia("30.0.0.0/24", "10.0.0.8", d0)
	_, err := f.Update(func(tx *fib.Txn) error {
		_, err := tx.TellRoute(&a, fib.OpReplace)
		if err == nil {
			_, err = tx.TellRoute(&b, fib.OpAppend)
		}
		return err
	})
	require.NoError(t, err)
	x := exportStepwise(t, ns, f)
	require.Equal(t, 7, countOf(ns, "route show table 100"))
	ns.IP("route del 30.0.0.0/24 via 10.0.0.8 table 100")
	x.hears(foreignNews{routes: map[routeKey]heard{keyAt("30.0.0.0/24"): {deleted: true}}})
	assert.Equal(t, 7, countOf(ns, "route show table 100"))
}

// An end deletes what is known to be there and what came since, and nothing of others.
func TestAnEndDeletesWhatIsKnownAndWhatIsNot(t *testing.T) {
	t.Parallel()
	ns, d0 := exportNS(t)
	ns.Batch("route add 20.0.1.0/24 via 10.0.0.7 dev d0 table 100 metric 5 proto static", "route add 30.0.0.0/24 dev d0 table 100 proto static")
	x := exportStepwise(t, ns, loadable(t, 2000, fib.Nexthop{Link: d0, Gateway: addr("10.0.0.9"), Weight: 1}))
	require.True(t, x.certain)
	deleted := 0
	x.opt.Result = func(op plan.Op, err error) {
		if op.Verb == plan.Delete && err == nil {
			deleted++
		}
	}
	require.NoError(t, x.withdrawKnown(t.Context()))
	assert.Equal(t, 2000, deleted)
	assert.Equal(t, 2, countOf(ns, "route show table 100"))
	require.NoError(t, x.everything(t.Context()))
	// What nothing was heard of: ours that came, another's in place of ours.
	ns.Batch("route add 40.0.0.0/24 dev d0 table 100 proto 99", "route del 20.0.2.0/24 table 100", "route add 20.0.2.0/24 dev d0 table 100 proto static")
	require.NoError(t, x.leave(t.Context()))
	assert.Equal(t, 3, countOf(ns, "route show table 100 proto static"))
	assert.Zero(t, countOf(ns, "route show table 100 proto 99"))
}
