package ksync_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/ksync"
)

// TestHiddenStateIsAskedFor: what no dump shows (section J) a load asks for, and a scan
// keeps for who answers elsewhere.
func TestHiddenStateIsAskedFor(t *testing.T) {
	for _, c := range []struct {
		name  string
		setup []string
		tries []string // refused by the kernel
		flow  fib.Flow
		file  fib.Undetermined // what a dump alone leaves open
	}{
		{"D8 plain route deleted", []string{
			"-6 route add 2001:db8:a::/48 from 2001:db8:5::/64 via 2001:db8:1::5", "-6 route add 2001:db8:a:b::/64 via 2001:db8:1::6",
			"-6 route add default via 2001:db8:2::9", "-6 route add 2001:db8:a::/48 via 2001:db8:1::7", "-6 route del 2001:db8:a::/48 via 2001:db8:1::7"},
			nil, fib.Flow{Dst: addr("2001:db8:a::1"), Src: addr("2001:db8:5::1")}, fib.UndeterminedSourceNode},
		{"D8 request refused", []string{
			"-6 route add 2001:db8:a::/48 from 2001:db8:5::/64 via 2001:db8:1::5", "-6 route add 2001:db8:a:b::/64 via 2001:db8:1::6",
			"-6 route add default via 2001:db8:2::9"}, []string{"-6 route add 2001:db8:a::/48 from 2001:db8:5::/64 dev d0"},
			fib.Flow{Dst: addr("2001:db8:a::1"), Src: addr("2001:db8:5::1")}, fib.UndeterminedSourceNode},
		{"D8 not lost", []string{
			"-6 route add 2001:db8:a::/48 from 2001:db8:5::/64 via 2001:db8:1::5", "-6 route add 2001:db8:a:b::/64 via 2001:db8:1::6",
			"-6 route add default via 2001:db8:2::9"}, nil,
			fib.Flow{Dst: addr("2001:db8:a::1"), Src: addr("2001:db8:5::1")}, fib.UndeterminedSourceNode},
		{"B30 own address since", []string{"route add 10.7.0.0/16 via 10.1.0.2", "addr add 10.1.0.2/32 dev d1"}, nil,
			fib.Flow{Dst: addr("10.7.0.1")}, fib.UndeterminedGateway},
		{"B30 own address before", []string{"route add 10.7.0.0/16 via 10.1.0.1"}, nil, fib.Flow{Dst: addr("10.7.0.1")}, fib.UndeterminedGateway},
		{"B30 by a route of scope host, in a table of its own", []string{"route add 10.8.0.0/24 dev d0 scope host",
			"route add 10.7.0.0/16 via 10.8.0.2 dev d0 table 50", "rule add pref 50 fwmark 7 table 50"}, nil,
			fib.Flow{Dst: addr("10.7.0.1"), Mark: 7}, fib.UndeterminedGateway},
		{"B30 by a local route of a user", []string{"route add local 10.8.0.0/24 dev d0", "route add 10.7.0.0/16 via 10.8.0.2 dev d0"}, nil,
			fib.Flow{Dst: addr("10.7.0.1")}, fib.UndeterminedGateway},
		{"C19 after an address event", []string{"addr add 10.3.0.1/24 dev d0 scope link", "nexthop add id 5 dev d0", "addr del 10.1.0.1/24 dev d0",
			"addr add 10.1.0.1/24 dev d0", "route add 10.7.0.0/16 nhid 5", "addr add 10.9.9.9/32 dev lo"}, nil,
			fib.Flow{Dst: addr("10.7.0.1")}, fib.UndeterminedSource},
		{"C31 local route added once", []string{"route add local 10.7.0.0/16 dev lo table 50", "route del local 10.7.0.0/16 dev lo table 50"}, nil,
			fib.Flow{Dst: addr("10.1.0.1"), Src: addr("10.1.0.255"), Iif: -1}, fib.UndeterminedLocalCheck},
		{"C31 never", nil, nil, fib.Flow{Dst: addr("10.1.0.1"), Src: addr("10.1.0.255"), Iif: -1}, fib.UndeterminedLocalCheck},
		{"D4a legs of their own", []string{"-6 route add 2001:db8:7::/48 via 2001:db8:1::2 proto 44 src 2001:db8:1::1",
			"-6 route append 2001:db8:7::/48 via 2001:db8:2::2 proto 55 src 2001:db8:2::1 mtu 1400"}, nil,
			fib.Flow{Dst: addr("2001:db8:7::1"), Oif: -2}, 0},
		{"D4a a route between the legs", []string{"-6 route add 2001:db8:7::/48 via 2001:db8:1::2 metric 10",
			"-6 route append 2001:db8:7::/48 dev d1 metric 10", "-6 route append 2001:db8:7::/48 via 2001:db8:1::3 metric 10"}, nil,
			fib.Flow{Dst: addr("2001:db8:7::1"), Oif: -2}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ns := netnstest.New(t, netnstest.Quiet, netnstest.LoUp)
			ns.Batch("link add d0 type veth peer p0", "link add d1 type veth peer p1", "link set d0 up", "link set p0 up", "link set d1 up",
				"link set p1 up", "addr add 10.1.0.1/24 dev d0", "addr add 10.2.0.1/24 dev d1",
				"-6 addr add 2001:db8:1::1/64 dev d0 nodad", "-6 addr add 2001:db8:2::1/64 dev d1 nodad")
			for _, line := range c.setup {
				ns.IP(line)
			}
			for _, line := range c.tries {
				_, _, code := ns.TryIP(line)
				require.NotZero(t, code)
			}
			ns.Settle()

			opt := ksync.Options{NetNS: ksync.Named(ns.Name())}
			f, err := ksync.Load(t.Context(), opt)
			require.NoError(t, err)
			s := f.Snapshot()
			flow := c.flow
			for _, p := range []*int32{&flow.Iif, &flow.Oif} {
				switch *p {
				case -1:
					*p = linkIndex(t, s, "d0")
				case -2:
					*p = linkIndex(t, s, "d1")
				}
			}
			kept, _, err := ksync.Scan(t.Context(), opt)
			require.NoError(t, err)

			q, err := ksync.OpenQuerier(opt.NetNS)
			require.NoError(t, err)
			defer q.Close()
			plain, errno, err := q.Get(flow, ksync.LookupTable)
			require.NoError(t, err)
			match, matchErrno, err := q.Get(flow, ksync.LookupTable|ksync.FibMatch)
			require.NoError(t, err)
			for what, s := range map[string]*fib.Snapshot{"loaded": s, "kept": loaded(t, &kept)} {
				d, route, found := s.FibMatch(flow)
				assert.Zero(t, d.Undetermined, what)
				assert.Empty(t, ksync.MatchDifferences(flow, d, route, found, &match, matchErrno), what)
				d = s.Resolve(flow)
				assert.Empty(t, ksync.Differences(flow, d, route.Metrics, &plain, errno), what)
			}

			forget(&kept)
			assert.Equal(t, c.file, loaded(t, &kept).Resolve(flow).Undetermined, "a dump alone")
		})
	}
}

func linkIndex(t *testing.T, s *fib.Snapshot, name string) int32 {
	l, ok := s.LinkByName(name)
	require.True(t, ok, name)
	return l.Index
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func loaded(t *testing.T, st *fib.State) *fib.Snapshot {
	f := fib.New(fib.Config{})
	_, err := f.Update(func(tx *fib.Txn) error { return tx.Load(st) })
	require.NoError(t, err)
	return f.Snapshot()
}

// forget takes out of st what no dump shows.
func forget(st *fib.State) {
	st.UserLocalRoutes = fib.FactUnknown
	for i := range st.Nexthops {
		st.Nexthops[i].Source = netip.Addr{}
	}
	for i := range st.Routes {
		st.Routes[i].Lost = fib.FactUnknown
		for j := range st.Routes[i].Nexthops {
			st.Routes[i].Nexthops[j].ScopeSet = false
		}
	}
}
