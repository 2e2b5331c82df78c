package ksync

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
)

// Another's leg that joined a route of ours stays, whatever becomes of ours: a dump does not
// tell whose it is (D4a), but a deletion that names the gateway asks for the protocol of that leg.
func TestAnothersLegStays(t *testing.T) {
	t.Parallel()
	ns, d0 := exportNS(t)
	leg := func(a string) fib.Nexthop { return fib.Nexthop{Link: d0, Gateway: addr(a), Weight: 1} }
	f := fib.New(fib.Config{})
	want := func(legs ...fib.Nexthop) *fib.Snapshot {
		_, err := f.Update(func(tx *fib.Txn) error {
			return tx.Load(&fib.State{Routes: []fib.Route{{Table: 100, Dst: pfx("2001:db8:9::/48"), Type: fib.TypeUnicast, Priority: 1024, Nexthops: legs}}})
		})
		require.NoError(t, err)
		return f.Snapshot()
	}
	e := openExporter(t, ExportOptions{NetNS: Named(ns.Name()), Owner: table100})
	sync := func(s *fib.Snapshot) {
		t.Helper()
		r, err := e.Sync(t.Context(), s)
		require.NoError(t, err)
		require.Zero(t, r.Failed, "%v", r.Failures)
	}
	has := func(gateways ...string) {
		t.Helper()
		s := ns.IP("-6 route show table 100")
		for _, g := range []string{"::71", "::72", "::73", "::77"} {
			in := false
			for _, x := range gateways {
				in = in || x == g
			}
			if in {
				assert.Contains(t, s, "via 2001:db8"+g+" ")
			} else {
				assert.NotContains(t, s, "via 2001:db8"+g+" ")
			}
		}
	}
	sync(want(leg("2001:db8::71")))
	ns.IP("-6 route append 2001:db8:9::/48 via 2001:db8::77 dev d0 table 100 proto static")
	has("::71", "::77")
	sync(want(leg("2001:db8::71")))
	has("::71", "::77")
	sync(want(leg("2001:db8::71"), leg("2001:db8::72")))
	has("::71", "::72", "::77")
	sync(want(leg("2001:db8::71"), leg("2001:db8::73")))
	has("::71", "::73", "::77")
	_, err := e.Withdraw(t.Context())
	require.NoError(t, err)
	has("::77")
	assert.Contains(t, ns.IP("-6 route show table 100"), "proto static")

	// What cannot be said of single legs replaces all of them: the kernel knows no other way that loses
	// no packet (D3).
	ns.IP("-6 route flush table 100")
	sync(want(leg("2001:db8::71")))
	ns.IP("-6 route append 2001:db8:9::/48 via 2001:db8::77 dev d0 table 100 proto static")
	s := want(leg("2001:db8::71"))
	_, err = f.Update(func(tx *fib.Txn) error {
		r := s.RoutesAt(100, pfx("2001:db8:9::/48"))[0]
		r.Metrics.Values[fib.MetricMTU] = 1400
		return tx.Load(&fib.State{Routes: []fib.Route{r}})
	})
	require.NoError(t, err)
	sync(f.Snapshot())
	has("::71")
}

// A leg goes when the one in its place is there: not before, and not instead.
func TestALegStaysUntilTheOtherIsThere(t *testing.T) {
	t.Parallel()
	ns, d0 := exportNS(t)
	via := func(a string) fib.Route {
		return fib.Route{Table: 100, Dst: pfx("2001:db8:9::/48"), Type: fib.TypeUnicast, Priority: 1024, Nexthops: []fib.Nexthop{{Link: d0, Gateway: addr(a), Weight: 1}}}
	}
	f := fib.New(fib.Config{})
	_, err := f.Update(func(tx *fib.Txn) error { return tx.Load(&fib.State{Routes: []fib.Route{via("2001:db8::71")}}) })
	require.NoError(t, err)
	x := exportStepwise(t, ns, f)
	require.True(t, x.last.InSync())
	shown := func() string { return ns.IP("-6 route show table 100") }
	want := func(a string) {
		_, err := f.Update(func(tx *fib.Txn) error { return tx.Load(&fib.State{Routes: []fib.Route{via(a)}}) })
		require.NoError(t, err)
		x.want, x.fresh = f.Snapshot(), true
		x.hears(foreignNews{})
	}
	want("2001:db8:ffff::1") // no link leads there
	require.Equal(t, 1, x.last.Failed)
	assert.Contains(t, shown(), "via 2001:db8::71 ")
	x.all = true
	x.hears(foreignNews{})
	assert.Contains(t, shown(), "via 2001:db8::71 ", "nor while the other rests")
	want("2001:db8::72")
	assert.True(t, x.last.InSync(), "%+v", x.last)
	assert.Contains(t, shown(), "via 2001:db8::72 ")

	// Nor is it taken from one who fights for it.
	k := keyAt("2001:db8:9::/48")
	k.priority = 1024
	for range fightTimes {
		x.fights.lost(objectKey{route: k})
	}
	ns.IP("-6 route replace 2001:db8:9::/48 via 2001:db8::71 dev d0 table 100 metric 1024 proto 99")
	x.all = true
	x.hears(foreignNews{})
	assert.Contains(t, shown(), "via 2001:db8::71 ")
}
