package conformance_test

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/conformance"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/ksync"
)

// pair is a host's namespace whose d0 leads to another one, where p0 has 10.1.0.2/24
// and fe80::2/64.
func pair(t *testing.T) (ns, peer *netnstest.NS) {
	ns, peer = netnstest.New(t, netnstest.Quiet, netnstest.LoUp), netnstest.New(t, netnstest.Quiet, netnstest.LoUp)
	ns.Batch("link add d0 type veth peer name p0 netns "+peer.Name(), "link set d0 up", "addr add 10.1.0.1/24 dev d0", "addr add fe80::1/64 dev d0")
	peer.Batch("link set p0 up", "addr add 10.1.0.2/24 dev p0", "addr add fe80::2/64 dev p0")
	ns.Settle()
	peer.Settle()
	return ns, peer
}

// advertise sends a router advertisement from the peer: a default router of high
// preference for so many seconds.
func advertise(t *testing.T, peer *netnstest.NS, seconds uint16) {
	t.Helper()
	message := []byte{134, 0, 0, 0, 64, 1 << 3} // RFC 4861 section 4.2, RFC 4191 section 2.2
	message = binary.BigEndian.AppendUint16(message, seconds)
	message = append(message, make([]byte, 8)...)
	require.NoError(t, peer.Do(func() error {
		s, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
		if err != nil {
			return err
		}
		defer unix.Close(s)
		if err := unix.SetsockoptInt(s, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255); err != nil {
			return err
		}
		if err := unix.SetsockoptString(s, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, "p0"); err != nil {
			return err
		}
		return unix.Sendto(s, message, 0, &unix.SockaddrInet6{Addr: netip.MustParseAddr("ff02::1").As16()})
	}))
}

func TestRoutesOfRouterAdvertisements(t *testing.T) {
	ns, peer := pair(t)
	ns.Sysctl("net.ipv6.conf.d0.accept_ra", "2")
	here := func() (r fib.Route, found bool) {
		st := scan(t, ns)
		for _, r := range st.Routes {
			if r.Dst == netip.MustParsePrefix("::/0") && r.Protocol == fib.ProtoRA {
				return r, true
			}
		}
		return r, false
	}
	conformance.Covers(t, "F12", "J7")
	advertise(t, peer, 1800)
	ns.WaitFor("the advertised route", func() string {
		if _, ok := here(); !ok {
			return "not there"
		}
		return ""
	})
	r, _ := here()
	assert.Equal(t, uint32(1024), r.Priority)
	assert.Equal(t, fib.PrefHigh, r.Pref)
	assert.Positive(t, r.Expires)
	load(t, ns).agree("2001:db8::1", "unicast main ::/0 via fe80::2 dev d0 src fe80::1")
	ns.IP("-6 route append default via fe80::9 dev d0 metric 1024")
	st := scan(t, ns)
	for _, r := range st.Routes {
		assert.LessOrEqual(t, len(r.Nexthops), 1, "it is no leg of a multipath route: %v", r.Dst)
	}
	load(t, ns).agree("2001:db8::1", "unicast main ::/0 via fe80::2 dev d0 src fe80::1")
	ns.IP("-6 route del default via fe80::9 dev d0")

	advertise(t, peer, 1)
	c := load(t, ns)
	ns.WaitFor("its end", func() string {
		_, errno, err := c.q.Get(c.flow("2001:db8::1"), 0)
		require.NoError(t, err)
		if errno != fib.ENETUNREACH {
			return "the route still answers"
		}
		return ""
	})
	// The kernel may collect the route later. Until then a dump shows it, and in the
	// first hundredth of a second as one that does not end (J7).
	ns.WaitFor("a scan without it", func() string {
		if _, ok := here(); ok {
			return "the route is dumped as if it were valid"
		}
		return ""
	})
	load(t, ns).agree("2001:db8::1", "ENETUNREACH")
}

// fragmentationNeeded sends, from the peer, what a router says of an echo reply
// from 10.1.0.1 to 10.9.0.1 that is too big for its next link.
func fragmentationNeeded(t *testing.T, peer *netnstest.NS, mtu uint16) {
	t.Helper()
	inner := []byte{0x45, 0, 0, 84, 0, 0, 0x40, 0, 64, unix.IPPROTO_ICMP, 0, 0, 10, 1, 0, 1, 10, 9, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1}
	message := append(binary.BigEndian.AppendUint16([]byte{3, 4, 0, 0, 0, 0}, mtu), inner...) // RFC 1191 section 4
	sum := uint32(0)
	for i := 0; i < len(message); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(message[i:]))
	}
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(message[2:], ^uint16(sum+sum>>16))
	require.NoError(t, peer.Do(func() error {
		s, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP)
		if err != nil {
			return err
		}
		defer unix.Close(s)
		return unix.Sendto(s, message, 0, &unix.SockaddrInet4{Addr: [4]byte{10, 1, 0, 1}})
	}))
}

// What a kernel has learned from packets is in its answers, but in no dump.
func TestLearnedMTU(t *testing.T) {
	conformance.Covers(t, "J5")
	ns, peer := pair(t)
	ns.IP("route add 10.9.0.0/16 via 10.1.0.2")
	before := visible(scan(t, ns))
	c := load(t, ns)
	c.agree("10.9.0.1", "unicast main 10.9.0.0/16 via 10.1.0.2 dev d0 src 10.1.0.1")
	fragmentationNeeded(t, peer, 1000)
	var reply ksync.Reply
	ns.WaitFor("the learned MTU", func() string {
		var err error
		reply, _, err = c.q.Get(c.flow("10.9.0.1"), ksync.LookupTable)
		require.NoError(t, err)
		if reply.Route.Metrics.Values[fib.MetricMTU] == 0 {
			return "the kernel has not learned it"
		}
		return ""
	})
	assert.Equal(t, uint32(1000), reply.Route.Metrics.Values[fib.MetricMTU])
	assert.Positive(t, reply.ExpiresTick)
	after := visible(scan(t, ns))
	assert.Equal(t, before.Routes, after.Routes)
	assert.Equal(t, uint32(1500), c.s.Resolve(c.flow("10.9.0.1")).MTU, "fibula tells the route's")
}
