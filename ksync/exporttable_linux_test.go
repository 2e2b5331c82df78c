package ksync

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/netnstest"
)

// manyRoutes is a desired state of n IPv4 routes in table 100.
func manyRoutes(t testing.TB, n int, legs ...fib.Nexthop) *fib.Snapshot {
	t.Helper()
	f := fib.New(fib.Config{})
	_, err := f.Update(func(tx *fib.Txn) error {
		r := fib.Route{Table: 100, Type: fib.TypeUnicast}
		for i := range n {
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
