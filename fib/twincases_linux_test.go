package fib_test

import (
	"net/netip"
	"testing"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/conformance"
	"github.com/fibula-net/fibula/internal/netnstest"
)

// Requests that random ones meet too rarely, each put to a kernel and to a FIB:
// both must say the same and look the same after it.

func metricsOf(number int, value uint32) (m fib.Metrics) {
	m.Values[number] = value
	return m
}

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
	{"B8: a route that needs no leg has one without a link", func(w *twin) {
		reject := fib.Route{Dst: netip.MustParsePrefix("10.9.0.0/24"), Table: fib.TableMain, Type: fib.TypeUnreachable, Protocol: fib.ProtoBoot}
		w.route(reject, fib.OpAdd)
		w.unroute(with(unicast("10.9.0.0/24", "10.1.0.2", "10.2.0.2"), typed(0)))
		w.unroute(with(unicast("10.9.0.0/24", "10.1.0.2"), typed(0)))
		bare := with(unicast("10.9.0.0/24", "10.1.0.2", "10.2.0.2"), typed(0))
		bare.Nexthops[0] = fib.Nexthop{Weight: 1}
		w.unroute(bare)
	}},
	{"E17: the MTU of IPv6 routes follows the link's", func(w *twin) {
		o := object(5, "2001:db8:1::2")
		w.addObject(o, fib.Create)
		two := unicast("2001:db8:1:3::/64", "2001:db8:1::2", "2001:db8:2::2")
		for i, r := range []fib.Route{unicast("2001:db8:8::/64", "2001:db8:1::2"), unicast("2001:db8:9::/64", "2001:db8:2::2"), two,
			by(unicast("2001:db8:a::/64"), 5), with(unicast("2001:db8:b::/64"), typed(fib.TypeBlackhole)), unicast("10.9.0.0/16", "10.1.0.2")} {
			for j, mtu := range []uint32{1300, 1400, 1500, 9000, 0} {
				r.Priority, r.TOS = uint32(100*i+j+1), 0
				r.Metrics = metricsOf(fib.MetricMTU, mtu)
				w.route(r, fib.OpAdd)
				r.Priority += 50
				r.Metrics.Values[fib.MetricLock] = 1 << fib.MetricMTU
				w.route(r, fib.OpAdd)
			}
		}
		for _, mtu := range []uint32{1400, 1450, 1280, 9000, 1200, 1500} {
			w.linkMTU(0, mtu)
		}
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
	{"D43, I24: a source that another link still has stays preferred", func(w *twin) {
		w.addr(1, "2001:db8:1::1/64")
		w.addr(0, "fe80::5/64")
		w.addr(1, "fe80::5/64")
		rt := unicast("2001:db8:9::/48", "2001:db8:2::9")
		rt.PrefSrc = addrOf("2001:db8:1::1")
		w.route(rt, fib.OpAdd)
		w.route(with(unicast("2001:db8:b::/48", "2001:db8:1::9"), func(r *fib.Route) { r.PrefSrc = rt.PrefSrc }), fib.OpAdd)
		rt = device("2001:db8:a::/48", firstLink)
		rt.PrefSrc = addrOf("fe80::5")
		w.route(rt, fib.OpAdd)
		w.unaddr(0, "2001:db8:1::1/64")
		w.unaddr(0, "fe80::5/64")
		w.unaddr(1, "2001:db8:1::1/64")
	}},
	{"B8: a deletion is checked like an addition", func(w *twin) {
		w.route(unicast("10.9.0.0/24", "10.1.0.2"), fib.OpAdd)
		w.unroute(with(unicast("10.9.0.0/24", "10.1.0.2"), func(r *fib.Route) { r.TOS = 1 }))
		w.unroute(with(unicast("10.9.0.0/24", "10.1.0.2"), typed(12)))
		w.unroute(with(by(unicast("10.9.0.0/24"), 77), inTable(77)))
		w.unroute(with(unicast("10.9.0.0/24", "10.1.0.2"), inTable(77), func(r *fib.Route) { r.TOS = 1 }))
		w.unroute(with(unicast("10.9.0.1/24", "10.1.0.2"), inTable(77)))
		w.unroute(with(unicast("10.9.0.0/24", "10.1.0.2"), from4("0.0.0.0")))
	}},
	{"D50: a deletion is checked like an addition", func(w *twin) {
		w.route(unicast("2001:db8:9::/48", "2001:db8:1::2"), fib.OpAdd)
		w.unroute(with(unicast("2001:db8:9::/48", "2001:db8:1::2"), func(r *fib.Route) { r.TOS = 4 }))
		w.unroute(with(by(unicast("2001:db8:9::/48"), 77), inTable(77)))
		w.unroute(unicast("2001:db8:9::/48", "2001:db8:1::2"))
	}},
	{"D8: a deletion with a source meets the plain route where there are no others", func(w *twin) {
		plain := unicast("2001:db8:9::/48", "2001:db8:1::2")
		special := with(plain, from("2001:db8:1::/64"))
		w.route(plain, fib.OpAdd)
		w.route(special, fib.OpAdd)
		w.unroute(with(plain, from("2001:db8:2::/64")))
		w.unroute(special)
		w.unroute(special)
		w.unroute(special)
	}},
	{"B29: the unspecified gateway is none", func(w *twin) {
		w.route(with(unicast("10.9.0.0/24", "0.0.0.0"), through(firstLink)), fib.OpAdd)
		w.unroute(with(unicast("10.9.0.0/24", "0.0.0.0"), through(firstLink)))
		w.route(with(unicast("10.9.1.0/24", "0.0.0.0", "10.2.0.2"), through(firstLink)), fib.OpAdd)
		w.unroute(with(unicast("10.9.1.0/24", "0.0.0.0", "10.2.0.2"), through(firstLink)))
		w.route(with(unicast("10.9.2.0/24", "::"), through(firstLink)), fib.OpAdd)
		for id, gateway := range []string{"0.0.0.0", "::"} {
			o := object(uint32(id+1), gateway)
			o.Nexthop.Link = firstLink
			w.addObject(o, fib.OpAdd)
			o.Nexthop.Flags = fib.FlagOnlink
			w.addObject(o, fib.OpReplace)
		}
	}},
	{"D56: the unspecified gateway is refused", func(w *twin) {
		w.route(with(unicast("2001:db8:9::/48", "::"), through(firstLink)), fib.OpAdd)
		w.route(with(unicast("2001:db8:9::/48", "::", "2001:db8:1::2"), through(firstLink)), fib.OpAdd)
		w.route(device("2001:db8:9::/48", firstLink), fib.OpAdd)
		w.unroute(with(unicast("2001:db8:9::/48", "::"), through(firstLink)))
	}},
	{"B31: multicast and broadcast addresses are nobody's", func(w *twin) {
		for _, a := range []string{"224.0.0.5", "255.255.255.255", "0.0.0.5"} {
			local := with(device(a+"/32", firstLink), typed(fib.TypeLocal), scoped(fib.ScopeHost), inTable(fib.TableLocal))
			w.route(local, fib.OpAdd)
			w.route(with(unicast("10.9.0.0/24", "10.1.0.2"), from4(a)), fib.OpAdd)
			w.route(with(unicast("10.9.0.0/24", "10.1.0.2"), from4(a), inTable(77)), fib.OpAdd)
		}
	}},
	{"E1: multicast and broadcast addresses, and those that begin with 0", func(w *twin) {
		for _, a := range []string{"224.0.0.1/24", "255.255.255.255/25", "0.0.0.5/8", "0.1.2.3/24", "255.255.255.254/24"} {
			w.addr(0, a)
		}
		w.unaddr(0, "224.0.0.1/24")
		w.unaddr(0, "255.255.255.255/25")
		w.linkUp(0, false)
		w.linkUp(0, true)
	}},
	{"D52, I23: what a reject route names must be there all the same", func(w *twin) {
		w.linkUp(2, false)
		reject := func(r fib.Route, cs ...func(*fib.Route)) fib.Route {
			return with(with(r, typed(fib.TypeProhibit)), cs...)
		}
		w.route(reject(device("2001:db8:9::/48", 99)), fib.OpAdd)
		w.route(reject(device("2001:db8:9::/48", firstLink+2)), fib.OpAdd)
		w.route(reject(unicast("2001:db8:a::/48", "2001:db8:3::2")), fib.OpAdd)
		w.route(reject(unicast("2001:db8:b::/48", "2001:db8:3::2"), onlink), fib.OpAdd)
		w.route(reject(unicast("2001:db8:c::/48", "2001:db8:77::2")), fib.OpAdd)
		w.route(reject(unicast("2001:db8:d::/48", "2001:db8:1::2", "2001:db8:2::2")), fib.OpAdd)
		w.route(reject(unicast("2001:db8:e::/48"), legs(on(firstLink), on(firstLink+1))), fib.OpAdd)
		w.route(reject(unicast("2001:db8:f::/48", "2001:db8:1::2"), onlink), fib.OpAdd)
		w.route(reject(unicast("2001:db8:f1::/48", "2001:db8:1::2"), onlink, through(0)), fib.OpAdd)
		w.route(reject(unicast("2001:db8:f2::/48", "fe80::2"), through(0)), fib.OpAdd)
	}},
	{"D50, I23: what is wrong with several legs is told in order", func(w *twin) {
		w.linkUp(2, false)
		second := func(n fib.Nexthop) func(*fib.Route) { return func(r *fib.Route) { r.Nexthops[1] = n } }
		two := unicast("2001:db8:9::/48", "2001:db8:1::2", "2001:db8:2::2")
		for _, typ := range []fib.RouteType{fib.TypeUnicast, fib.TypeProhibit, fib.TypeLocal} {
			for _, first := range []fib.Nexthop{two.Nexthops[0], on(firstLink), on(firstLink + 2), on(99), {Link: 99, Gateway: addrOf("2001:db8:1::2")},
				{Link: firstLink, Gateway: addrOf("2001:db8:3::2")}, {Link: 1, Gateway: addrOf("2001:db8:1::2")}, {Link: 1}, {}} {
				r := with(two, typed(typ))
				r.Nexthops = []fib.Nexthop{first, two.Nexthops[1]}
				r.Nexthops[0].Weight = 1
				w.route(r, fib.OpAdd)
				w.route(with(r, from4("2001:db8:77::1")), fib.OpAdd)
				w.route(with(r, second(on(firstLink))), fib.OpAdd)
				w.route(with(r, second(on(firstLink+2))), fib.OpAdd)
				w.route(with(r, second(r.Nexthops[0])), fib.OpAdd)
				w.unroute(with(r, func(r *fib.Route) { r.Nexthops = nil }))
			}
		}
	}},
	{"D50: nat and xresolve are types of IPv6", func(w *twin) {
		for i, t := range []fib.RouteType{fib.TypeNAT, fib.TypeXResolve, 12} {
			p := []string{"2001:db8:9::/48", "2001:db8:a::/48", "2001:db8:b::/48"}[i]
			w.route(with(unicast(p, "2001:db8:1::2"), typed(t)), fib.OpAdd)
			w.route(with(unicast(p), typed(t)), fib.OpAdd)
		}
	}},
	{"B27: metrics have bounds", func(w *twin) {
		for i, m := range []fib.Metrics{metricsOf(2, 70000), metricsOf(8, 65500), metricsOf(10, 300), metricsOf(12, 1<<9), metricsOf(12, 1<<4), metricsOf(12, 1<<5), metricsOf(3, 1<<31)} {
			set := func(r *fib.Route) { r.Metrics, r.Priority = m, uint32(i+10) }
			w.route(with(unicast("10.9.0.0/24", "10.1.0.2"), set), fib.OpAdd)
			w.route(with(unicast("2001:db8:9::/48", "2001:db8:1::2"), set), fib.OpAdd)
			w.route(with(unicast("10.9.1.0/24"), typed(fib.TypeProhibit), set), fib.OpAdd)
			w.unroute(with(unicast("10.9.0.0/24", "10.1.0.2"), set))
			w.unroute(with(unicast("2001:db8:9::/48", "2001:db8:1::2"), set))
		}
	}},
	{"B27: a reject route's source", func(w *twin) {
		w.route(with(unicast("10.9.0.0/24"), typed(fib.TypeProhibit), from4("0.0.0.0")), fib.OpAdd)
		w.route(with(unicast("10.9.1.0/24"), typed(fib.TypeProhibit), from4("10.99.0.1")), fib.OpAdd)
		w.route(with(unicast("2001:db8:9::/48"), typed(fib.TypeProhibit), from4("::")), fib.OpAdd)
	}},
	{"D50: IPv6 forgets the pervasive flag", func(w *twin) {
		pervasive := func(r *fib.Route) { r.Nexthops[0].Flags |= fib.FlagPervasive }
		w.route(with(device("10.9.0.0/24", firstLink), pervasive), fib.OpAdd)
		w.route(with(unicast("2001:db8:9::/48", "2001:db8:1::2"), pervasive), fib.OpAdd)
		w.route(unicast("2001:db8:9::/48", "2001:db8:1::2"), fib.OpAppend)
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
