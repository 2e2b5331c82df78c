package ksync

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/ksync/plan"
)

func TestRefusalsRestAndEnd(t *testing.T) {
	now := time.Unix(0, 0)
	f := newRefusals(func() time.Time { return now })
	r := routeVia("20.0.0.0/24", "10.0.0.1", 2)
	op := plan.Op{Kind: plan.Route, Route: &r}
	k := keyOfOp(&op)
	never := &kernelError{fib.EINVAL, "Nexthop has invalid gateway"}
	for i := range refusedTimes - 1 {
		x, news := f.refuse(&op, never)
		require.Equal(t, i == 0, news)
		require.False(t, x.givenUp())
		wait := min(refusedFirst<<i, refusedLongest)
		require.Equal(t, now.Add(wait), f.next())
		now = now.Add(wait - 1)
		require.NotNil(t, f.rests(k))
		now = now.Add(1)
		require.Nil(t, f.rests(k))
	}
	x, _ := f.refuse(&op, never)
	assert.True(t, x.givenUp())
	assert.Zero(t, f.next())
	now = now.Add(1000 * time.Hour)
	assert.NotNil(t, f.rests(k))
	assert.ErrorIs(t, x.failure().Err, ErrGivenUp)
	assert.ErrorIs(t, x.failure().Err, fib.EINVAL)
	f.revive()
	assert.NotNil(t, f.rests(k), "not at once")
	now = now.Add(refusedLongest)
	assert.Nil(t, f.rests(k), "but once more")
	x, _ = f.refuse(&op, never)
	assert.True(t, x.givenUp())
	f.anew()
	assert.Nil(t, f.rests(k))
	for range 3 * refusedTimes { // what may pass is never given up
		x, _ = f.refuse(&op, &kernelError{errno: fib.ENETUNREACH})
	}
	assert.Equal(t, now.Add(refusedLongest), f.next())
	assert.False(t, x.givenUp())
}

// A report counts what is given up as nothing that waits, from the time on that it is.
func TestGivenUpWaitsForNothing(t *testing.T) {
	f := newRefusals(time.Now)
	r := routeVia("20.0.0.0/24", "10.0.0.1", 2)
	w := writer{report: &ExportReport{}, refused: func(op *plan.Op, err error) { f.refuse(op, err) }}
	for range refusedTimes {
		w.report = &ExportReport{}
		w.fail(plan.Op{Kind: plan.Route, Route: &r}, &kernelError{fib.EINVAL, "Nexthop has invalid gateway"})
	}
	f.standing(w.report)
	assert.Equal(t, 1, w.report.GivenUp)
	assert.Zero(t, w.report.Pending)
	assert.Equal(t, 1, w.report.Failed)
}

// counted counts what a kernel said.
type counted map[OpResult]int

func (c counted) add(r OpResult, n int) { c[r] += n }

// unwillingKernel is an export of ten routes that a kernel takes and one that it does not: its
// gateway is a broadcast address.
func unwillingKernel(t *testing.T, ns *netnstest.NS, d0 int32) (x *exporting, f *fib.FIB, said counted, pass func(time.Duration)) {
	f = loadable(t, 10, fib.Nexthop{Link: d0, Gateway: addr("10.0.0.9"), Weight: 1})
	_, err := f.Update(tellRoute(routeVia("30.0.0.0/24", "10.0.0.255", d0)))
	require.NoError(t, err)
	said = counted{}
	x = newExporting(openExporter(t, ExportOptions{NetNS: Named(ns.Name()), Owner: table100, Count: said.add}))
	now := time.Unix(0, 0)
	x.refusals.now = func() time.Time { return now }
	x.want = f.Snapshot()
	return x, f, said, func(d time.Duration) { now = now.Add(d) }
}

func TestWhatIsRefusedIsGivenUp(t *testing.T) {
	t.Parallel()
	ns, d0 := exportNS(t)
	x, f, said, pass := unwillingKernel(t, ns, d0)
	var last *ExportReport
	x.opt.Event = func(e ExportEvent) { last = e.Report }
	require.NoError(t, x.everything(t.Context()))
	refused := OpResult{plan.Add, plan.Route, fib.EINVAL}
	assert.Equal(t, 10, said[OpResult{plan.Add, plan.Route, 0}])
	tries := said[refused]
	assert.Positive(t, tries)
	require.Equal(t, 1, last.Failed)
	assert.ErrorContains(t, last.Failures[0].Err, "Nexthop has invalid gateway")

	// Nothing is tried before its time, whatever is compared meanwhile.
	for range 5 {
		require.NoError(t, x.everything(t.Context()))
		require.NoError(t, x.again(t.Context()))
	}
	assert.Equal(t, tries, said[refused])
	assert.Equal(t, 1, last.Failed)
	for range 100 {
		pass(time.Minute)
		require.NoError(t, x.again(t.Context()))
	}
	assert.Less(t, said[refused], 5*refusedTimes)
	tries = said[refused]
	assert.Equal(t, 1, last.GivenUp)
	assert.ErrorIs(t, last.Failures[0].Err, ErrGivenUp)
	require.NoError(t, x.everything(t.Context()))
	assert.Equal(t, tries, said[refused])
	assert.False(t, last.InSync())
	assert.Equal(t, 10, x.there)

	// A change of what is desired is tried at once, at no more cost than itself.
	_, err := f.Update(tellRoute(routeVia("30.0.0.0/24", "10.0.0.8", d0)))
	require.NoError(t, err)
	x.want = f.Snapshot()
	ok, err := x.step(t.Context())
	require.NoError(t, err)
	assert.True(t, ok)
	assert.True(t, last.InSync(), "%+v", last)
	assert.Contains(t, ns.IP("route show table 100"), "30.0.0.0/24 via 10.0.0.8")
}

// What the kernel refuses for its surroundings comes when they change.
func TestWhatIsRefusedComesWithItsSurroundings(t *testing.T) {
	t.Parallel()
	ns, d0 := exportNS(t)
	x := exportFIB(t, ns, loadable(t, 3, fib.Nexthop{Link: d0, Gateway: addr("10.0.0.255"), Weight: 1}), ExportOptions{})
	r := x.await(ExportSynced, nil).Report
	assert.Equal(t, 3, r.Failed)
	ns.Batch("addr add 10.0.0.77/16 dev d0", "addr del 10.0.0.1/24 dev d0")
	x.await(ExportSynced, inSync)
	assert.Equal(t, 3, countOf(ns, "route show table 100"))
	x.end()
}

// Routes of ours by another's nexthop object go with it without a word, and are missed at once.
func TestAnothersNexthopTakesRoutesAlong(t *testing.T) {
	t.Parallel()
	ns, _ := exportNS(t)
	ns.IP("nexthop add id 7 via 10.0.0.9 dev d0")
	f := fib.New(fib.Config{})
	_, err := f.Update(func(tx *fib.Txn) error {
		r := fib.Route{Table: 100, Dst: pfx("20.0.0.0/8"), Type: fib.TypeUnicast, NexthopID: 7}
		_, err := tx.TellRoute(&r, fib.OpAdd)
		return err
	})
	require.NoError(t, err)
	x := exportFIB(t, ns, f, ExportOptions{})
	x.await(ExportSynced, inSync)
	ns.IP("nexthop del id 7")
	r := x.await(ExportSynced, nil).Report
	assert.Equal(t, 1, r.Failed)
	ns.IP("nexthop add id 7 via 10.0.0.8 dev d0")
	x.await(ExportSynced, inSync)
	assert.Equal(t, 1, countOf(ns, "route show table 100"))
	x.end()
}

// named is another name of a namespace, which a test can take away.
func named(t *testing.T, ns *netnstest.NS) string {
	file := filepath.Join(t.TempDir(), "ns")
	require.NoError(t, os.Symlink(ns.Path(), file))
	return file
}

func TestExportEndsWithItsNamespace(t *testing.T) {
	t.Parallel()
	ns, d0 := exportNS(t)
	name := named(t, ns)
	x := exportFIB(t, ns, loadable(t, 3, fib.Nexthop{Link: d0, Gateway: addr("10.0.0.9"), Weight: 1}), ExportOptions{NetNS: Path(name)})
	x.await(ExportSynced, inSync)
	require.NoError(t, os.Remove(name))
	err := <-x.done
	require.ErrorIs(t, err, ErrNamespaceGone)
	assert.ErrorContains(t, err, name)
	assert.Equal(t, 3, countOf(ns, "route show table 100"), "nobody knows what the name stood for")
}

// A source that ends because the export is to end keeps nothing from being withdrawn.
func TestExportWithdrawsThoughItsSourceEndsToo(t *testing.T) {
	t.Parallel()
	ns, d0 := exportNS(t)
	want := loadable(t, 3, fib.Nexthop{Link: d0, Gateway: addr("10.0.0.9"), Weight: 1}).Snapshot()
	var x *running
	states := 0
	changed := make(chan struct{}, 1)
	x = export(t, ns, Source{Changed: changed, Desired: func() (*fib.Snapshot, error) {
		if states++; states == 1 {
			return want, nil
		}
		x.stop()
		return nil, ErrSourceEnded
	}}, ExportOptions{})
	x.await(ExportSynced, inSync)
	changed <- struct{}{}
	require.NoError(t, <-x.done)
	assert.Zero(t, countOf(ns, "route show table 100"))
}

// Follow: changes of another namespace arrive, and when it goes all stays.
func TestExportFollowsANamespace(t *testing.T) {
	t.Parallel()
	ns, _ := exportNS(t)
	from, _ := exportNS(t)
	name := named(t, from)
	from.Batch("route add 20.0.0.0/24 via 10.0.0.9 dev d0 table 100 proto static", "route add 20.0.1.0/24 via 10.0.0.9 dev d0 table 100")
	src, m, err := Follow(t.Context(), fib.New(fib.Config{}), MirrorOptions{NetNS: Path(name), Tables: []fib.TableID{100}})
	require.NoError(t, err)
	t.Cleanup(m.Close)
	x := export(t, ns, src, ExportOptions{})
	x.await(ExportSynced, inSync)
	assert.Equal(t, 2, countOf(ns, "route show table 100 proto 99"))
	from.Batch("route replace 20.0.0.0/24 via 10.0.0.8 dev d0 table 100", "route del 20.0.1.0/24 table 100", "route add 20.0.2.0/24 via 10.0.0.7 dev d0 table 100")
	ns.WaitFor("the changes arrive", func() string {
		if s := ns.IP("route show table 100"); s != "20.0.0.0/24 via 10.0.0.8 dev d0 proto openr \n20.0.2.0/24 via 10.0.0.7 dev d0 proto openr \n" {
			return s
		}
		return ""
	})
	from.IP("link set d0 down") // its IPv4 routes go without a word
	waitCount(ns, "what went in silence goes", "route show table 100", 0)
	from.Batch("link set d0 up", "route add 20.0.3.0/24 via 10.0.0.9 dev d0 table 100")
	waitCount(ns, "and comes", "route show table 100", 1)
	require.NoError(t, os.Remove(name))
	err = <-x.done
	require.ErrorIs(t, err, ErrSourceEnded)
	require.ErrorIs(t, err, ErrNamespaceGone)
	assert.Equal(t, 1, countOf(ns, "route show table 100 proto 99"), "what is there stays")
}
