package fib_test

import (
	"testing"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/conformance"
	"github.com/fibula-net/fibula/internal/netnstest"
)

// Requests that random ones meet too rarely, each put to a kernel and to a FIB:
// both must say the same and look the same after it.

var twinCases = []struct {
	name string
	do   func(*twin)
}{
	{"B8: a delete's legs need to begin with the route's", func(w *twin) {
		one, two := unicast("10.9.0.0/24", "10.1.0.2"), unicast("10.9.0.0/24", "10.1.0.2", "10.2.0.2")
		w.route(one, fib.OpAdd)
		w.route(two, fib.OpAppend)
		w.unroute(two)
		w.unroute(unicast("10.9.0.0/24", "10.1.0.2", "10.3.0.2"))
		w.unroute(unicast("10.9.0.0/24", "10.2.0.2", "10.1.0.2"))
		w.unroute(two)
		w.unroute(two)
	}},
	{"B8: realms of legs count", func(w *twin) {
		two := unicast("10.9.0.0/24", "10.1.0.2", "10.2.0.2")
		two.Nexthops[1].Realms = 5
		w.route(two, fib.OpAdd)
		other := unicast("10.9.0.0/24", "10.1.0.2", "10.2.0.2")
		other.Nexthops[1].Realms = 6
		w.unroute(other)
		other.Nexthops[1].Realms = 5
		w.unroute(other)
		one := unicast("10.9.0.0/24", "10.1.0.2")
		one.Nexthops[0].Realms = 5
		w.route(one, fib.OpAdd)
		one.Nexthops[0].Realms = 6
		w.unroute(one)
		one.Nexthops[0] = fib.Nexthop{Realms: 6, Weight: 1}
		w.unroute(one)
	}},
	{"E12: an address deleted while its link is down is not kept", func(w *twin) {
		w.setting(0, "net/ipv6/conf/d%d/keep_addr_on_down", "1", func(l *fib.Link) { l.Conf6.KeepAddrOnDown = 1 })
		w.setting(0, "net/ipv6/conf/d%d/forwarding", "1", func(l *fib.Link) { l.Conf6.Forwarding = true })
		p := "2001:db8:1::1/64"
		w.linkUp(0, false)
		w.unaddr(0, p)
		w.addr(0, p)
		w.linkUp(0, true)
		w.unaddr(0, p)
	}},
	{"D43: a source that another link still has stays preferred", func(w *twin) {
		w.addr(1, "2001:db8:1::1/64")
		w.addr(0, "fe80::5/64")
		w.addr(1, "fe80::5/64")
		rt := unicast("2001:db8:9::/48", "2001:db8:2::9")
		rt.PrefSrc = addrOf("2001:db8:1::1")
		w.route(rt, fib.OpAdd)
		rt = device("2001:db8:a::/48", firstLink)
		rt.PrefSrc = addrOf("fe80::5")
		w.route(rt, fib.OpAdd)
		w.unaddr(0, "2001:db8:1::1/64")
		w.unaddr(0, "fe80::5/64")
		w.unaddr(1, "2001:db8:1::1/64")
	}},
}

func TestKernelTakesTheSame(t *testing.T) {
	netnstest.Require(t)
	for _, c := range twinCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			conformance.Covers(t, conformance.NumbersIn(c.name)...)
			w := newTwin(t, nil)
			w.host()
			c.do(w)
		})
	}
}
