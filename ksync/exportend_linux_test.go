package ksync

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/ksync/plan"
)

// An end in the middle of the first synchronization withdraws what was written by then.
func TestExportThatEndsEarlyWithdraws(t *testing.T) {
	t.Parallel()
	ns, d0 := exportNS(t)
	ctx, stop := context.WithCancel(t.Context())
	n := 0
	opt := ExportOptions{NetNS: Named(ns.Name()), Owner: table100, Result: func(plan.Op, error) {
		if n++; n == 1500 {
			stop()
		}
	}}
	want := manyRoutes(t, 10_000, fib.Nexthop{Link: d0, Gateway: addr("10.0.0.9"), Weight: 1})
	require.NoError(t, Export(ctx, Fixed(want), opt))
	assert.Greater(t, n, 1500)
	assert.Zero(t, countOf(ns, "route show table 100"))
}

// A dump that is given up in its middle does not keep the exporter from the next one.
func TestExporterReadsAfterABrokenDump(t *testing.T) {
	t.Parallel()
	ns, d0 := exportNS(t)
	e := openExporter(t, ExportOptions{NetNS: Named(ns.Name()), Owner: table100})
	_, err := e.Sync(t.Context(), manyRoutes(t, 50_000, fib.Nexthop{Link: d0, Gateway: addr("10.0.0.9"), Weight: 1}))
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	a, err := e.look(ctx)
	require.NoError(t, err)
	var last error
	for _, last = range a.Routes(fib.Inet, 100) {
		stop()
	}
	require.ErrorIs(t, last, context.Canceled)
	_, err = e.Withdraw(t.Context())
	require.NoError(t, err)
	assert.Zero(t, countOf(ns, "route show table 100"))
}

// exportingAt is an export at rest that has made the kernel as want says.
func exportingAt(t *testing.T, opt ExportOptions, want *fib.Snapshot) *exporting {
	t.Helper()
	e := openExporter(t, opt)
	r, p, err := e.sync(t.Context(), want, true, true, nil)
	require.NoError(t, err)
	require.True(t, r.InSync(), "%+v", r)
	x := newExporting(e)
	x.want = want
	x.certain = true
	x.synced(&r, p)
	return x
}

// Another's route that came in place of ours stays, whatever was heard of ours before.
func TestMendingLeavesWhatIsAnothers(t *testing.T) {
	t.Parallel()
	ns, d0 := exportNS(t)
	f := fib.New(fib.Config{})
	v4, v6 := pfx("20.0.0.0/24"), pfx("2001:db8:9::/48")
	_, err := f.Update(func(tx *fib.Txn) error {
		return tx.Load(&fib.State{Routes: []fib.Route{
			{Table: 100, Dst: v4, Type: fib.TypeUnicast, Nexthops: []fib.Nexthop{{Link: d0, Gateway: addr("10.0.0.9"), Weight: 1}}},
			{Table: 100, Dst: v6, Type: fib.TypeUnicast, Priority: 1024, Nexthops: []fib.Nexthop{
				{Link: d0, Gateway: addr("2001:db8::8"), Weight: 1}, {Link: d0, Gateway: addr("2001:db8::9"), Weight: 1}}},
		}})
	})
	require.NoError(t, err)
	x := exportingAt(t, ExportOptions{NetNS: Named(ns.Name()), Owner: table100}, f.Snapshot())
	ns.Batch("route del 20.0.0.0/24 table 100", "route add 20.0.0.0/24 dev d0 table 100 proto static",
		"route del 2001:db8:9::/48 table 100", "route add 2001:db8:9::/48 via 2001:db8::7 dev d0 table 100 proto static")
	gone := func(p netip.Prefix, metric uint32) map[routeKey]heard {
		return map[routeKey]heard{{table: 100, dst: p, priority: metric}: {deleted: true}}
	}
	require.NoError(t, x.mend(t.Context(), gone(v4, 0)))
	assert.False(t, x.againAt.IsZero(), "nothing is heard when the other goes, so it is tried again")
	require.NoError(t, x.mend(t.Context(), gone(v6, 1024)))
	assert.True(t, x.all)
	require.NoError(t, x.everything(t.Context()))
	assert.Contains(t, ns.IP("route show 20.0.0.0/24 table 100"), "proto static")
	assert.Contains(t, ns.IP("-6 route show 2001:db8:9::/48 table 100"), "proto static")
	assert.NotContains(t, ns.IP("-6 route show 2001:db8:9::/48 table 100"), "proto 99")
}

// A state that is refused gives way to the last one that was accepted, not to one that
// still waited for that.
func TestRefusalGoesBackToWhatWasAccepted(t *testing.T) {
	snapshot := func() *fib.Snapshot { return fib.New(fib.Config{}).Snapshot() }
	accepted, next := snapshot(), []*fib.Snapshot{snapshot(), snapshot()}
	x := &exporting{Exporter: &Exporter{}, want: accepted, log: slog.New(slog.DiscardHandler)}
	x.src.Desired = func() (*fib.Snapshot, error) {
		s := next[0]
		next = next[1:]
		return s, nil
	}
	require.NoError(t, x.reload())
	require.NoError(t, x.reload())
	x.refuse(fmt.Errorf("no good"))
	assert.True(t, x.want == accepted)
	for _, err := range []error{errInterrupted, errLost, fmt.Errorf("read rules: %w", ErrChanging)} {
		x.all = false
		require.NoError(t, x.later(err))
		assert.True(t, x.all, "a look that fails by changes is done again")
	}
}
