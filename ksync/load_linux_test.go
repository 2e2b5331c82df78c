package ksync

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/internal/rtnl"
)

// fill adds n IPv4 routes to a table, 500 to a request and one confirmation each.
func fill(t testing.TB, ns *netnstest.NS, link int32, table fib.TableID, n int) {
	t.Helper()
	var c *conn
	require.NoError(t, ns.Do(func() (err error) { c, err = dial(); return err }))
	defer c.close()
	buf := make([]byte, datagram)
	r := fib.Route{Table: table, Type: fib.TypeUnicast, Protocol: fib.ProtoStatic, Nexthops: []fib.Nexthop{{Link: link}}}
	for i := 0; i < n; {
		b := c.out[:0]
		for end := min(i+500, n); i < end; i++ {
			var a [4]byte
			binary.BigEndian.PutUint32(a[:], 20<<24+uint32(i)<<8)
			r.Dst = netip.PrefixFrom(netip.AddrFrom4(a), 24)
			r.Nexthops[0].Gateway = netip.AddrFrom4([4]byte{10, 0, 0, 2 + byte(i%50)})
			h := create(rtnl.RTM_NEWROUTE)
			if i+1 < end {
				h.Flags &^= rtnl.NLM_F_ACK
			}
			var err error
			b, err = rtnl.AppendRoute(b, h, &r)
			require.NoError(t, err)
		}
		c.out = b
		require.NoError(t, c.send(b))
		got, err := c.recv(buf)
		require.NoError(t, err)
		m, _, err := rtnl.Next(got)
		require.NoError(t, err)
		require.NoError(t, refusal(m))
	}
}

func filled(t testing.TB, n int) (*netnstest.NS, int32) {
	ns := netnstest.New(t, netnstest.LoUp, netnstest.Quiet)
	ns.Batch("link add d0 type veth peer p0", "link set d0 up", "link set p0 up", "addr add 10.0.0.1/24 dev d0",
		"addr add 2001:db8::1/64 dev d0 nodad")
	ns.Settle()
	st, _, err := Scan(t.Context(), Options{NetNS: Named(ns.Name())})
	require.NoError(t, err)
	d0 := links(st)["d0"]
	fill(t, ns, d0, 100, n)
	return ns, d0
}

func TestLoadEqualsScan(t *testing.T) {
	t.Parallel()
	ns, d0 := filled(t, 60_000)
	ns.Batch("rule add to 20.0.0.0/8 table 100", "-6 route add 2001:db8:5::/48 via 2001:db8::9")
	var seen []int
	f, err := Load(t.Context(), Options{NetNS: Named(ns.Name()), Progress: func(stage string, n int) {
		if stage == "routes" {
			seen = append(seen, n)
		}
	}})
	require.NoError(t, err)
	st := scanned(t, ns, Options{})
	require.Len(t, seen, 2)
	assert.Equal(t, []int{50_000, len(st.Routes)}, seen)

	d := f.Snapshot().Resolve(fib.Flow{Dst: addr("20.1.2.3")})
	assert.Equal(t, []any{fib.Errno(0), fib.TableID(100), d0, netip.AddrFrom4([4]byte{10, 0, 0, 2 + 258%50}), pfx("20.1.2.0/24")},
		[]any{d.Errno, d.Table, d.Link, d.Gateway, d.Prefix})

	// A FIB made of the plain data holds the same.
	g := fib.New(fib.Config{})
	_, err = g.Update(func(tx *fib.Txn) error { return tx.Load(&st) })
	require.NoError(t, err)
	assert.Equal(t, count(g), count(f))
}

// count is the number of routes a FIB answers with.
func count(f *fib.FIB) int {
	n := 0
	for range f.Snapshot().Routes() {
		n++
	}
	return n
}

// BenchmarkDump takes apart what a load of a million routes waits for: the kernel's
// dump alone, then with decoding. BenchmarkKernelLoad of cmd/fibula has the whole.
func BenchmarkDump(b *testing.B) {
	const n = 1_000_000
	ns, _ := filled(b, n)
	b.Run("step=dump", func(b *testing.B) {
		for b.Loop() {
			var c *conn
			require.NoError(b, ns.Do(func() (err error) { c, err = dial(); return err }))
			err := c.dump(b.Context(), rtnl.Dump{Type: rtnl.RTM_GETROUTE, Family: fib.Inet}, make([]byte, datagram),
				func(rtnl.Message) error { return nil })
			require.NoError(b, err)
			c.close()
		}
		b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "routes/s")
	})
	b.Run("step=decode", func(b *testing.B) {
		for b.Loop() {
			err := retry(b.Context(), Options{NetNS: Named(ns.Name())}, func(s *scan) error {
				return s.routes(b.Context(), func(*fib.Route) error { return nil })
			})
			require.NoError(b, err)
		}
		b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "routes/s")
	})
}
