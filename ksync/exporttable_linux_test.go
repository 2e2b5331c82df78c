package ksync

import (
	"encoding/binary"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/internal/rtnl"
	"github.com/fibula-net/fibula/ksync/plan"
)

// manyRoutes is a desired state of n IPv4 routes in table 100.
func manyRoutes(t testing.TB, n int, legs ...fib.Nexthop) *fib.Snapshot {
	t.Helper()
	return manyRoutesFrom(t, 0, n, legs...)
}

// manyRoutesFrom is manyRoutes without the first of them.
func manyRoutesFrom(t testing.TB, first, n int, legs ...fib.Nexthop) *fib.Snapshot {
	t.Helper()
	f := fib.New(fib.Config{})
	_, err := f.Update(func(tx *fib.Txn) error {
		r := fib.Route{Table: 100, Type: fib.TypeUnicast}
		for i := first; i < first+n; i++ {
			var a [4]byte
			binary.BigEndian.PutUint32(a[:], 20<<24+uint32(i)<<8)
			r.Dst, r.Nexthops = netip.PrefixFrom(netip.AddrFrom4(a), 24), legs[i%len(legs):i%len(legs)+1]
			if err := tx.LoadRoute(&r); err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(t, err)
	return f.Snapshot()
}

// exportNS is a namespace with a link d0 that has a carrier.
func exportNS(t testing.TB) (ns *netnstest.NS, d0 int32) {
	t.Helper()
	ns = netnstest.New(t, netnstest.LoUp, netnstest.Quiet)
	ns.Batch("link add d0 type veth peer p0", "link set d0 up", "link set p0 up", "addr add 10.0.0.1/24 dev d0",
		"addr add 2001:db8::1/64 dev d0 nodad")
	ns.Settle()
	st, _, err := Scan(t.Context(), Options{NetNS: Named(ns.Name()), Tables: []fib.TableID{1}})
	require.NoError(t, err)
	return ns, links(st)["d0"]
}

func openExporter(t testing.TB, opt ExportOptions) *Exporter {
	t.Helper()
	e, err := OpenExporter(opt)
	require.NoError(t, err)
	t.Cleanup(e.Close)
	return e
}

// rawWrites sends requests for the routes as fast as it goes: 1,000 at a time, one
// confirmation each.
func rawWrites(t testing.TB, ns *netnstest.NS, s *fib.Snapshot, h rtnl.Header, edit func(*fib.Route)) time.Duration {
	t.Helper()
	c, err := dialIn(Named(ns.Name()))
	require.NoError(t, err)
	defer c.close()
	w := newWriter(c)
	begin := time.Now()
	flush := func() {
		if len(w.starts) > 0 {
			rtnl.AddFlags(w.out[w.starts[len(w.starts)-1]:], rtnl.NLM_F_ACK)
			require.NoError(t, w.send(w.out))
			require.NoError(t, w.confirm(len(w.starts)))
			require.False(t, w.replied, "%v", w.errs[0])
			w.out, w.starts = w.out[:0], w.starts[:0]
		}
	}
	s.EachRoute(fib.Inet, 100, func(r *fib.Route) bool {
		edit(r)
		h.Seq = w.nextSeq()
		if len(w.starts) == 0 {
			w.first = h.Seq
		}
		w.starts = append(w.starts, len(w.out))
		w.out, err = rtnl.AppendRoute(w.out, h, r)
		require.NoError(t, err)
		if len(w.starts) == writeBatch {
			flush()
		}
		return true
	})
	flush()
	return time.Since(begin)
}

// processor is the time that this process has had of processors, the kernel's work for it
// included: what other load on the machine changes least.
func processor(t testing.TB) time.Duration {
	var u unix.Rusage
	require.NoError(t, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkExport compares an export of a million routes with raw batched netlink:
// ratios are our time by its, on the clock and of processors, for routes with their own
// nexthop, by nexthop id, and for a withdrawal.
func BenchmarkExport(b *testing.B) {
	n := 1_000_000
	if v, err := strconv.Atoi(os.Getenv("EXPORT_ROUTES")); err == nil {
		n = v
	}
	ns, d0 := exportNS(b)
	ns.IP("nexthop add id 1 via 10.0.0.9 dev d0 proto 4")
	owner := plan.Owner{Protocol: 99, Tables: []fib.TableID{100}, Nexthops: plan.Range{First: 1000, Last: 2000}}
	s := manyRoutes(b, n, fib.Nexthop{Link: d0, Gateway: addr("10.0.0.9"), Weight: 1})
	own := func(r *fib.Route) { r.Protocol = 99 }
	byID := func(r *fib.Route) { r.Protocol, r.NexthopID = 99, 1 }
	key := func(r *fib.Route) {
		*r = fib.Route{Table: r.Table, Dst: r.Dst, TOS: r.TOS, Priority: r.Priority, Scope: fib.ScopeNowhere, Protocol: 99}
	}
	add := rtnl.Header{Type: rtnl.RTM_NEWROUTE, Flags: rtnl.NLM_F_REQUEST | rtnl.NLM_F_CREATE | rtnl.NLM_F_EXCL}
	del := rtnl.Header{Type: rtnl.RTM_DELROUTE, Flags: rtnl.NLM_F_REQUEST}
	for _, c := range []struct {
		name string
		mode plan.Mode
		edit func(*fib.Route)
	}{{"inline", plan.Inline, own}, {"objects", plan.Objects, byID}} {
		b.Run("nexthops="+c.name, func(b *testing.B) {
			e := openExporter(b, ExportOptions{NetNS: Named(ns.Name()), Owner: owner, Nexthops: c.mode, Force: true})
			var raw, rawDel, us, usDel, idle, rawCPU, rawDelCPU, usCPU, usDelCPU time.Duration
			for b.Loop() {
				at := processor(b)
				lap := func() time.Duration {
					d := processor(b) - at
					at += d
					return d
				}
				raw += rawWrites(b, ns, s, add, c.edit)
				rawCPU += lap()
				rawDel += rawWrites(b, ns, s, del, key)
				rawDelCPU += lap()
				r, err := e.Sync(b.Context(), s)
				require.NoError(b, err)
				require.Zero(b, r.Failed, "%v", r.Failures)
				us += r.Took
				usCPU += lap()
				r, err = e.Sync(b.Context(), s)
				require.NoError(b, err)
				require.Zero(b, r.Done)
				idle += r.Took
				begin := time.Now()
				lap()
				_, err = e.Withdraw(b.Context())
				require.NoError(b, err)
				usDel += time.Since(begin)
				usDelCPU += lap()
			}
			b.ReportMetric(usCPU.Seconds()/rawCPU.Seconds(), "add-cpu-ratio")
			b.ReportMetric(usDelCPU.Seconds()/rawDelCPU.Seconds(), "del-cpu-ratio")
			b.ReportMetric(raw.Seconds()/float64(b.N), "raw-add-s")
			b.ReportMetric(us.Seconds()/float64(b.N), "add-s")
			b.ReportMetric(us.Seconds()/raw.Seconds(), "add-ratio")
			b.ReportMetric(rawDel.Seconds()/float64(b.N), "raw-del-s")
			b.ReportMetric(usDel.Seconds()/rawDel.Seconds(), "del-ratio")
			b.ReportMetric(idle.Seconds()/float64(b.N), "idle-s")
		})
	}
}

// BenchmarkExportRepair measures how long after somebody deleted routes of a large table
// they are all back: "last-to-whole" from the deletion of the last. "raw-add" is what adding as
// many takes by itself.
func BenchmarkExportRepair(b *testing.B) {
	n := 200_000
	if v, err := strconv.Atoi(os.Getenv("EXPORT_ROUTES")); err == nil {
		n = v
	}
	ns, d0 := exportNS(b)
	leg := fib.Nexthop{Link: d0, Gateway: addr("10.0.0.9"), Weight: 1}
	x := export(b, ns, Fixed(manyRoutes(b, n, leg)), ExportOptions{})
	x.await(ExportSynced, inSync)
	key := func(r *fib.Route) {
		*r = fib.Route{Table: r.Table, Dst: r.Dst, Scope: fib.ScopeNowhere, Protocol: 99}
	}
	first := 0
	for _, m := range []int{1, 1000, 100_000} {
		lost := manyRoutesFrom(b, first, m, leg) // others each time, lest it be a fight
		first += m
		b.Run("routes="+strconv.Itoa(m), func(b *testing.B) {
			var took, raw time.Duration
			others := manyRoutesFrom(b, 4_000_000+first, m, leg)
			for b.Loop() { // fewer than fightTimes times
				rawWrites(b, ns, lost, rtnl.Header{Type: rtnl.RTM_DELROUTE, Flags: rtnl.NLM_F_REQUEST}, key)
				begin := time.Now()
				for done := 0; done < m; {
					e := <-x.events
					switch e.Kind {
					case ExportRepaired:
						done += e.Times
					case ExportSynced:
						done += e.Report.Done
					}
				}
				took += time.Since(begin)
				raw += rawWrites(b, ns, others, rtnl.Header{Type: rtnl.RTM_NEWROUTE, Flags: rtnl.NLM_F_REQUEST | rtnl.NLM_F_CREATE | rtnl.NLM_F_EXCL},
					func(r *fib.Route) { r.Protocol = 4 })
				rawWrites(b, ns, others, rtnl.Header{Type: rtnl.RTM_DELROUTE, Flags: rtnl.NLM_F_REQUEST}, func(r *fib.Route) { key(r); r.Protocol = 4 })
			}
			b.ReportMetric(raw.Seconds()*1000/float64(b.N), "raw-add-ms")
			b.ReportMetric(took.Seconds()*1000/float64(b.N), "last-to-whole-ms")
		})
	}
	x.end()
}
