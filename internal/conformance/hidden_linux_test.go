package conformance_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/conformance"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/ksync"
)

// hidden is state that no dump shows: two histories with one and the same outcome, as
// far as dumps tell, after which the kernel answers a query differently.
type hidden struct {
	name            string
	setup           []string // of both
	one, other      []string // what follows in each
	before          string   // a query that only the first has answered; empty: none
	query           string
	want, otherwise string // the kernel's answers
	asked           bool   // a load finds out by asking; otherwise nothing gives reason to
}

// Section J: what an observer cannot know, or not without asking.
func TestHiddenState(t *testing.T) {
	netnstest.Require(t)
	for _, h := range []hidden{
		{name: "J9 B30 the scope that a gateway had",
			one:   []string{"addr add 10.1.0.9/24 dev d0", "route add 10.9.0.0/16 via 10.1.0.9", "addr del 10.1.0.9/24 dev d0"},
			other: []string{"route add 10.9.0.0/16 via 10.1.0.9"},
			query: "10.9.0.1", want: "unicast main 10.9.0.0/16 dev d0 src 10.1.0.1", otherwise: "unicast main 10.9.0.0/16 via 10.1.0.9 dev d0 src 10.1.0.1"},
		{asked: true, name: "J10 C19 the source that an object keeps",
			setup: []string{"addr add 10.5.0.1/24 dev d1 scope link", "nexthop add id 5 dev d1", "route add 10.7.0.0/16 nhid 5 scope global",
				"route add 10.6.0.0/16 nhid 5 scope link", "addr add 10.8.8.8/32 dev lo"},
			before: "10.6.0.1", query: "10.7.0.1", want: "unicast main 10.7.0.0/16 dev d1 src 10.5.0.1", otherwise: "unicast main 10.7.0.0/16 dev d1 src 10.2.0.1"},
		{asked: true, name: "J13 D8 an orphaned source-specific route",
			setup: []string{"-6 route add 2001:db8:a::/48 from 2001:db8:5::/64 via 2001:db8:1::5", "-6 route add 2001:db8:a:b::/64 via 2001:db8:1::6", "-6 route add default via 2001:db8:2::9"},
			one:   []string{"-6 route add 2001:db8:a::/48 via 2001:db8:1::7", "-6 route del 2001:db8:a::/48 via 2001:db8:1::7"},
			query: "2001:db8:a::1 from 2001:db8:5::1", want: "unicast main ::/0 via 2001:db8:2::9 dev d1 src 2001:db8:2::1",
			otherwise: "unicast main 2001:db8:a::/48 from 2001:db8:5::/64 via 2001:db8:1::5 dev d0 src 2001:db8:1::1"},
		{name: "J16 B13 the type of a route with a blackhole object",
			setup: []string{"nexthop add id 5 blackhole", "rule add pref 40000 table 50", "route add 10.9.0.0/16 via 10.2.0.2 table 50"},
			one:   []string{"route add throw 10.9.0.0/16 nhid 5"}, other: []string{"route add 10.9.0.0/16 nhid 5"},
			query: "10.9.0.1", want: "unicast 50 10.9.0.0/16 via 10.2.0.2 dev d1 src 10.2.0.1", otherwise: "EINVAL"},
		{asked: true, name: "J14 C31 a local route that once was added by hand",
			one:   []string{"route add local 10.7.0.0/16 dev lo table 50", "route del local 10.7.0.0/16 dev lo table 50"},
			query: "10.1.0.1 from 10.1.0.255 iif d0", want: "EINVAL", otherwise: "local main 10.1.0.1/32 dev lo"},
	} {
		t.Run(h.name, func(t *testing.T) {
			t.Parallel()
			conformance.Covers(t, conformance.NumbersIn(h.name)...)
			one, other := newHost(t, nil, append(h.setup, h.one...)...), newHost(t, nil, append(h.setup, h.other...)...)
			if h.before != "" {
				one.IP("route get " + h.before)
			}
			if !h.asked {
				assert.Equal(t, visible(scan(t, other)), visible(scan(t, one)), "a scan tells them apart")
			}
			for want, ns := range map[string]*netnstest.NS{h.want: one, h.otherwise: other} {
				c := load(t, ns)
				if h.asked {
					c.agree(h.query, want)
				} else {
					assert.Equal(t, want, c.kernel(h.query))
				}
			}
		})
	}
}

// visible is a state without what tells when it came about: stamps, which of the
// links was ready first, and multicast neighbours, to which a link that is ready
// sends its reports sooner or later.
func visible(st fib.State) fib.State {
	for i := range st.Addresses {
		st.Addresses[i].Created = 0
	}
	st.Neighbours = slices.DeleteFunc(st.Neighbours, func(n fib.Neighbour) bool { return n.Addr.IsMulticast() })
	if len(st.Neighbours) == 0 {
		st.Neighbours = nil
	}
	st.Routes = slices.DeleteFunc(st.Routes, func(r fib.Route) bool { return r.Type == fib.TypeMulticast })
	return st
}

// Buckets of a resilient group decide, and are dumped.
func TestBucketsAreRead(t *testing.T) {
	conformance.Covers(t, "J6", "B24")
	ns := newHost(t, []string{seeded}, "nexthop add id 1 via 10.1.0.2 dev d0", "nexthop add id 2 via 10.2.0.2 dev d1", "nexthop add id 10 group 1,1/2,3 type resilient buckets 8",
		"route add 10.9.0.0/16 nhid 10")
	st := scan(t, ns)
	c := load(t, ns)
	for _, o := range st.Nexthops {
		if o.ID == 10 {
			require.Equal(t, []uint32{2, 2, 2, 2, 2, 2, 1, 1}, o.Buckets)
		}
	}
	seen := map[int32]bool{}
	for i := range 32 {
		f := c.flow("10.9.0.1")
		a := f.Dst.As4()
		a[3] = byte(i)
		f.Dst = netip.AddrFrom4(a)
		reply, errno, err := c.q.Get(f, ksync.LookupTable)
		require.NoError(t, err)
		require.Zero(t, errno)
		assert.Equal(t, reply.Oif, c.s.Resolve(f).Link, "%v", f.Dst)
		seen[reply.Oif] = true
	}
	assert.Len(t, seen, 2)
}
