package fib_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/conformance"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/internal/rtnl"
)

// event is something that happens to both, with what the kernel tells of it. What
// it does silently shows in its tables afterwards, which the twin compares.
type event struct {
	name   string
	sysctl []string // "key=value"
	before func(w *twin)
	do     func(w *twin)
	kinds  []string // of message, as listener.heard takes them
	want   []string
}

// host brings the twin's links up, with addresses 10.N.0.1/24 and 2001:db8:N::1/64.
func (w *twin) host() {
	for i := range numLinks {
		w.carrier(i, true)
		w.linkUp(i, true)
		w.addr(i, fmt.Sprintf("10.%d.0.1/24", i+1))
		w.addr(i, fmt.Sprintf("2001:db8:%d::1/64", i+1))
	}
}

func addressOn(i int, own string) fib.Address {
	p := prefixOf(own)
	return fib.Address{Link: firstLink + int32(i), Local: p.Addr(), Prefix: p}
}

func (w *twin) addr(i int, own string) {
	a := addressOn(i, own)
	w.same("address add "+own, w.k.address(rtnl.RTM_NEWADDR, a, fib.OpAdd), w.update(func(tx *fib.Txn) error { return tx.AddAddress(a) }))
}

func (w *twin) unaddr(i int, own string) {
	a := addressOn(i, own)
	w.same("address delete "+own, w.k.address(rtnl.RTM_DELADDR, a, 0), w.update(func(tx *fib.Txn) error { return tx.DeleteAddress(a) }))
}

// route is a request that both must answer alike.
func (w *twin) route(r fib.Route, flags fib.AddFlags) fib.Errno {
	e := w.k.route(rtnl.RTM_NEWROUTE, r, flags)
	w.same("route add "+brief(&r), e, w.update(func(tx *fib.Txn) error { return tx.AddRoute(r, flags) }))
	return e
}

func (w *twin) unroute(r fib.Route) fib.Errno {
	e := w.k.route(rtnl.RTM_DELROUTE, r, 0)
	w.same("route delete "+brief(&r), e, w.update(func(tx *fib.Txn) error { return tx.DeleteRoute(r) }))
	return e
}

func (w *twin) addObject(o fib.NexthopObject, flags fib.AddFlags) {
	e := w.k.nexthop(rtnl.RTM_NEWNEXTHOP, o, flags)
	w.same(fmt.Sprintf("nexthop add %d", o.ID), e, w.update(func(tx *fib.Txn) error { _, err := tx.AddNexthop(o, flags); return err }))
}

func (w *twin) dropObject(id uint32) {
	e := w.k.nexthop(rtnl.RTM_DELNEXTHOP, fib.NexthopObject{ID: id}, 0)
	w.same(fmt.Sprintf("nexthop delete %d", id), e, w.update(func(tx *fib.Txn) error { return tx.DeleteNexthop(id) }))
}

// setting changes a setting of link i in both.
func (w *twin) setting(i int, key, value string, set func(*fib.Link)) {
	w.ns.Sysctl(fmt.Sprintf(key, i), value)
	l := w.links[firstLink+int32(i)]
	set(&l)
	w.links[l.Index] = l
	w.same(key, 0, w.setLink(i))
}

// unicast is a route of main with one leg for each gateway, through the link that
// the gateway's second group or byte names.
func unicast(dst string, gateways ...string) fib.Route {
	r := fib.Route{Dst: prefixOf(dst), Table: fib.TableMain, Type: fib.TypeUnicast, Protocol: fib.ProtoBoot}
	for _, g := range gateways {
		a := addrOf(g)
		n := a.As16()[5]
		if a.Is4() {
			n = a.As4()[1]
		}
		r.Nexthops = append(r.Nexthops, fib.Nexthop{Gateway: a, Link: firstLink + int32(n) - 1, Weight: 1})
	}
	return r
}

func object(id uint32, gateway string) fib.NexthopObject {
	r := unicast("10.0.0.0/8", gateway)
	o := fib.NexthopObject{ID: id, Family: fib.Inet, Protocol: fib.ProtoStatic, Nexthop: r.Nexthops[0]}
	if r.Nexthops[0].Gateway.Is6() {
		o.Family = fib.Inet6
	}
	return o
}

func by(r fib.Route, id uint32) fib.Route {
	r.NexthopID, r.Nexthops = id, nil
	return r
}

func runEvents(t *testing.T, events []event) {
	netnstest.Require(t)
	for _, e := range events {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			numbers := conformance.NumbersIn(e.name)
			require.NotEmpty(t, numbers, "an event names its statements")
			conformance.Covers(t, numbers...)
			w := newTwin(t, nil)
			for _, kv := range e.sysctl {
				k, v, _ := strings.Cut(kv, "=")
				w.ns.Sysctl(k, v)
			}
			if len(e.sysctl) > 0 {
				w.load()
			}
			w.host()
			if e.before != nil {
				e.before(w)
			}
			w.ns.Settle()
			l := listen(t, w.ns, w.k)
			e.do(w)
			w.ns.Settle()
			assert.Equal(t, e.want, l.heard(e.kinds...))
		})
	}
}

// Section E, and what D says about messages.
func TestEventsAsTheKernel(t *testing.T) {
	table := []string{"+route", "-route", "+addr", "-addr"}
	nine, nine6 := unicast("10.9.0.0/16", "10.1.0.2"), unicast("2001:db8:9::/48", "2001:db8:1::2")
	runEvents(t, []event{
		{name: "E2 a secondary has a local route alone", do: func(w *twin) { w.addr(0, "10.1.0.9/24") }, kinds: table, want: []string{
			"+addr 10.1.0.9 d0",
			"+route local 10.1.0.9/32 local dev d0 src 10.1.0.1 0x600",
		}},
		{name: "E3 E7 a primary takes its secondaries along", before: func(w *twin) { w.addr(0, "10.1.0.9/24"); w.addr(0, "10.7.0.1/24") },
			do: func(w *twin) { w.unaddr(0, "10.1.0.1/24") }, kinds: table, want: []string{
				"-addr 10.1.0.9 d0",
				"-route local 10.1.0.9/32 local dev d0 src 10.1.0.1",
				"-addr 10.1.0.1 d0",
				"-route main 10.1.0.0/24 dev d0 src 10.1.0.1",
				"-route local 10.1.0.255/32 broadcast dev d0 src 10.1.0.1",
				"-route local 10.1.0.1/32 local dev d0 src 10.1.0.1",
			}},
		{name: "E6 another metric: add the new route, delete the old", do: func(w *twin) {
			a := addressOn(0, "10.1.0.1/24")
			a.Metric = 5
			w.same("address change", w.k.address(rtnl.RTM_NEWADDR, a, fib.OpReplace), w.update(func(tx *fib.Txn) error { return tx.ReplaceAddress(a) }))
		}, kinds: table, want: []string{
			"+route main 10.1.0.0/24 dev d0 src 10.1.0.1 metric 5 0x600",
			"-route main 10.1.0.0/24 dev d0 src 10.1.0.1",
			"+addr 10.1.0.1 d0",
		}},
		{name: "E9 a route added without carrier is linkdown", before: func(w *twin) { w.carrier(0, false) },
			do: func(w *twin) { w.route(nine, fib.OpAdd); w.addr(0, "10.7.0.1/24") }, kinds: table, want: []string{
				"+route main 10.9.0.0/16 via 10.1.0.2 dev d0 linkdown 0x600",
				"+addr 10.7.0.1 d0",
				"+route local 10.7.0.1/32 local dev d0 src 10.7.0.1 0x600",
				"+route main 10.7.0.0/24 dev d0 linkdown src 10.7.0.1 0x600",
				"+route local 10.7.0.255/32 broadcast dev d0 linkdown src 10.7.0.1 0x600",
			}},
		{name: "E11 a ready link has multicast", before: func(w *twin) { w.linkUp(0, false) }, do: func(w *twin) { w.linkUp(0, true) }, kinds: table, want: []string{
			"+route main 10.1.0.0/24 dev d0 src 10.1.0.1 0x600",
			"+route local 10.1.0.255/32 broadcast dev d0 src 10.1.0.1 0x600",
			"+route local ff00::/8 multicast dev d0 0x400",
		}},
		{name: "E11 and link-local with its address", do: func(w *twin) { w.addr(0, "fe80::1/64") }, kinds: table, want: []string{
			"+route main fe80::/64 dev d0 0x600",
			"+addr fe80::1 d0",
			"+addr fe80::1 d0",
			"+route local fe80::1/128 local dev d0 0x600",
		}},
		{name: "E13 carrier comes and goes silently", before: func(w *twin) { w.route(nine, fib.OpAdd); w.route(nine6, fib.OpAdd) },
			do: func(w *twin) { w.carrier(0, false); w.carrier(0, true) }, kinds: table},
		{name: "E16 disable_ipv6 is as a link that goes down", before: func(w *twin) { w.route(nine6, fib.OpAdd) },
			do: func(w *twin) {
				w.setting(0, "net.ipv6.conf.d%d.disable_ipv6", "1", func(l *fib.Link) { l.Conf6.DisableIPv6 = true })
			}, kinds: table, want: []string{
				"-route main 2001:db8:1::/64 dev d0",
				"-route main 2001:db8:9::/48 via 2001:db8:1::2 dev d0",
				"-route local 2001:db8:1::1/128 local dev d0",
				"-route local ff00::/8 multicast dev d0",
				"-addr 2001:db8:1::1 d0",
			}},
		{name: "E12 a link that goes down tells of IPv6 routes, not of IPv4", before: func(w *twin) { w.route(nine, fib.OpAdd); w.route(nine6, fib.OpAdd) },
			do: func(w *twin) { w.linkUp(0, false) }, kinds: table, want: []string{
				"-route main 2001:db8:1::/64 dev d0",
				"-route main 2001:db8:9::/48 via 2001:db8:1::2 dev d0",
				"-route local 2001:db8:1::1/128 local dev d0",
				"-route local ff00::/8 multicast dev d0",
				"-addr 2001:db8:1::1 d0",
			}},
		{name: "E12 F2 and with skip_notify_on_dev_down of none", sysctl: []string{"net.ipv6.route.skip_notify_on_dev_down=1"},
			before: func(w *twin) { w.route(nine, fib.OpAdd); w.route(nine6, fib.OpAdd) }, do: func(w *twin) { w.linkUp(0, false) }, kinds: table, want: []string{
				"-addr 2001:db8:1::1 d0",
			}},
		{name: "E15 F2 objects go silently with the carrier, their IPv6 routes do not", before: func(w *twin) {
			w.addObject(object(1, "10.1.0.2"), fib.OpAdd)
			w.addObject(object(2, "2001:db8:1::2"), fib.OpAdd)
			w.route(by(nine, 1), fib.OpAdd)
			w.route(by(nine6, 2), fib.OpAdd)
		}, do: func(w *twin) { w.carrier(0, false) }, kinds: append(table, "+nexthop", "-nexthop"), want: []string{
			"-route main 2001:db8:9::/48 nhid 2 via 2001:db8:1::2 dev d0",
		}},
		{name: "D4 how IPv6 additions are told", do: func(w *twin) {
			w.route(nine6, fib.OpAdd)
			w.route(unicast("2001:db8:9::/48", "2001:db8:2::2"), fib.OpPrepend)
			w.route(unicast("2001:db8:9::/48", "2001:db8:3::2"), fib.OpAppend)
			w.route(unicast("2001:db8:8::/48", "2001:db8:1::2", "2001:db8:2::2"), fib.OpAdd)
			w.route(unicast("2001:db8:8::/48", "2001:db8:3::2"), fib.OpReplace)
		}, kinds: table, want: []string{
			"+route main 2001:db8:9::/48 via 2001:db8:1::2 dev d0 0x600",
			"+route main 2001:db8:9::/48 via 2001:db8:2::2 dev d1 via 2001:db8:1::2 dev d0 0x400",
			"+route main 2001:db8:9::/48 via 2001:db8:3::2 dev d2 via 2001:db8:1::2 dev d0 via 2001:db8:2::2 dev d1 0xc00",
			"+route main 2001:db8:8::/48 via 2001:db8:1::2 dev d0 via 2001:db8:2::2 dev d1 0x400",
			"+route main 2001:db8:8::/48 via 2001:db8:3::2 dev d2 0x100",
		}},
		{name: "E4 I13 a preferred source takes the routes of main along", before: func(w *twin) {
			r := unicast("10.9.0.0/16", "10.2.0.2")
			r.PrefSrc = addrOf("10.1.7.1")
			w.addr(0, "10.1.7.1/24")
			w.route(r, fib.OpAdd)
			r.Table = 50
			w.route(r, fib.OpAdd)
		}, do: func(w *twin) { w.unaddr(0, "10.1.7.1/24") }, kinds: []string{"+route", "-route main 10.9", "-route 50"}, want: []string{
			"-route main 10.9.0.0/16 via 10.2.0.2 dev d1 src 10.1.7.1",
		}},
		{name: "D43 F2 a preferred source goes from IPv6 routes silently", before: func(w *twin) {
			r := unicast("2001:db8:9::/48", "2001:db8:2::2")
			r.PrefSrc = addrOf("2001:db8:1::1")
			w.route(r, fib.OpAdd)
			r.Table = 50
			w.route(r, fib.OpAdd)
		}, do: func(w *twin) { w.unaddr(0, "2001:db8:1::1/64") }, kinds: table, want: []string{
			"-addr 2001:db8:1::1 d0",
			"-route local 2001:db8:1::1/128 local dev d0",
			"-route main 2001:db8:1::/64 dev d0",
		}},
	})
}
