package ksync

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/internal/randtest"
)

func uplink(t testing.TB) (*netnstest.NS, map[string]int32) {
	ns := netnstest.New(t, netnstest.LoUp, netnstest.Quiet)
	ns.Batch("link add d0 type veth peer p0", "link set d0 up", "link set p0 up", "addr add 10.0.0.1/24 dev d0",
		"addr add 2001:db8::1/64 dev d0 nodad", "route add default via 10.0.0.9 metric 5", "route add 10.7.0.0/16 via 10.0.0.8 table 77 mtu 1300",
		"route add unreachable 10.8.0.0/16", "route add blackhole 10.8.1.0/24", "rule add fwmark 7 table 77",
		"route add 10.6.0.0/16 nexthop via 10.0.0.8 weight 2 nexthop via 10.0.0.9",
		"-6 route add default via 2001:db8::9 pref high")
	ns.Settle()
	st, _, err := Scan(t.Context(), Options{NetNS: Named(ns.Name())})
	require.NoError(t, err)
	return ns, links(st)
}

func TestQuerierTellsTheKernelsAnswer(t *testing.T) {
	t.Parallel()
	ns, idx := uplink(t)
	q, err := OpenQuerier(Named(ns.Name()))
	require.NoError(t, err)
	defer q.Close()
	get := func(f fib.Flow, flags uint32) Reply {
		r, errno, err := q.Get(f, flags)
		require.NoError(t, err)
		require.Zero(t, errno, "%+v", f)
		return r
	}
	r := get(fib.Flow{Dst: addr("192.0.2.1"), UID: 5, UIDSet: true}, LookupTable)
	assert.Equal(t, []any{fib.TableMain, fib.TypeUnicast, pfx("192.0.2.1/32"), addr("10.0.0.1"), addr("10.0.0.9"), idx["d0"], true, uint32(5)},
		[]any{r.Route.Table, r.Route.Type, r.Route.Dst, r.Route.PrefSrc, r.Gateway, r.Oif, r.HasUID, r.UID})
	r = get(fib.Flow{Dst: addr("192.0.2.1")}, LookupTable|FibMatch)
	assert.Equal(t, []any{pfx("0.0.0.0/0"), uint32(5), fib.ProtoBoot}, []any{r.Route.Dst, r.Route.Priority, r.Route.Protocol})
	r = get(fib.Flow{Dst: addr("10.7.1.1"), Mark: 7}, LookupTable)
	assert.Equal(t, []any{fib.TableID(77), addr("10.0.0.8"), uint32(1300), true, uint32(7)},
		[]any{r.Route.Table, r.Gateway, r.Route.Metrics.Values[fib.MetricMTU], r.HasMark, r.Mark})
	r = get(fib.Flow{Dst: addr("10.6.1.1")}, FibMatch)
	assert.Equal(t, []fib.Nexthop{{Link: idx["d0"], Gateway: addr("10.0.0.8"), Weight: 2}, {Link: idx["d0"], Gateway: addr("10.0.0.9"), Weight: 1}},
		r.Route.Nexthops)
	r = get(fib.Flow{Dst: addr("2001:db8:5::1"), Src: addr("2001:db8::1"), FlowLabel: 5}, LookupTable)
	assert.Equal(t, []any{addr("2001:db8::9"), pfx("2001:db8::1/128"), true, fib.PrefHigh, uint32(1024)},
		[]any{r.Gateway, r.Route.Src, r.HasPref, r.Route.Pref, r.Route.Priority})
	r = get(fib.Flow{Dst: addr("10.0.0.1"), Src: addr("10.0.0.9"), Iif: idx["d0"]}, LookupTable)
	assert.Equal(t, []any{fib.TypeLocal, fib.TableLocal, idx["d0"]}, []any{r.Route.Type, r.Route.Table, r.Iif})
	for dst, want := range map[string]fib.Errno{"10.8.0.1": fib.EHOSTUNREACH, "10.8.1.1": fib.EINVAL} {
		_, errno, err := q.Get(fib.Flow{Dst: addr(dst)}, 0)
		require.NoError(t, err)
		assert.Equal(t, want, errno)
	}
	assert.Empty(t, q.Report().String())

	_, _, err = q.Get(fib.Flow{Dst: addr("10.0.0.1"), Src: addr("::1")}, 0)
	require.ErrorContains(t, err, "two families")
	get(fib.Flow{Dst: addr("192.0.2.1")}, 0) // a query that was not sent does not hurt the next
}

// Answers come in order, whatever the batch, and equal those to single questions.
func TestBatchEqualsSingleQueries(t *testing.T) {
	t.Parallel()
	ns, _ := uplink(t)
	q, err := OpenQuerier(Named(ns.Name()))
	require.NoError(t, err)
	defer q.Close()
	rnd := randtest.Rand(t)
	flows := make([]fib.Flow, 3000)
	for i := range flows {
		flows[i].Dst = netip.AddrFrom4([4]byte{10, byte(rnd.IntN(10)), byte(rnd.IntN(3)), byte(rnd.IntN(3))})
		flows[i].Mark = uint32(rnd.IntN(2) * 7)
	}
	text := func(r *Reply, e fib.Errno) string {
		if r == nil {
			return e.Name()
		}
		return fmt.Sprintf("%+v", *r)
	}
	var got []string
	require.NoError(t, q.GetBatch(flows, LookupTable, func(i int, r *Reply, e fib.Errno) {
		require.Equal(t, len(got), i)
		got = append(got, text(r, e))
	}))
	require.Len(t, got, len(flows))
	for i := 0; i < len(flows); i += 1 + rnd.IntN(20) {
		r, e, err := q.Get(flows[i], LookupTable)
		require.NoError(t, err)
		want := text(&r, e)
		if e != 0 {
			want = e.Name()
		}
		require.Equal(t, want, got[i], "%+v", flows[i])
	}
	assert.Greater(t, len(slices.Compact(slices.Sorted(slices.Values(got)))), 20)
	require.NoError(t, q.GetBatch(nil, 0, nil))
}

func BenchmarkQuerier(b *testing.B) {
	ns, _ := uplink(b)
	q, err := OpenQuerier(Named(ns.Name()))
	require.NoError(b, err)
	defer q.Close()
	flows := make([]fib.Flow, 10000)
	for i := range flows {
		flows[i].Dst = netip.AddrFrom4([4]byte{20, 1, byte(i >> 8), byte(i)})
	}
	for b.Loop() {
		require.NoError(b, q.GetBatch(flows, LookupTable, func(int, *Reply, fib.Errno) {}))
	}
	b.ReportMetric(float64(b.N)*float64(len(flows))/b.Elapsed().Seconds(), "queries/s")
}
