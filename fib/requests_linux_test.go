package fib_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/conformance"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/internal/rtnl"
)

// request is a route that both are asked to add, and the errno that both must give.
type request struct {
	name  string
	route fib.Route
	want  fib.Errno
}

func with(r fib.Route, cs ...func(*fib.Route)) fib.Route {
	for _, c := range cs {
		c(&r)
	}
	return r
}

func scoped(s fib.Scope) func(*fib.Route) { return func(r *fib.Route) { r.Scope = s } }
func onlink(r *fib.Route)                 { r.Nexthops[0].Flags |= fib.FlagOnlink }
func inTable(id fib.TableID) func(*fib.Route) {
	return func(r *fib.Route) { r.Table = id }
}
func from4(a string) func(*fib.Route)        { return func(r *fib.Route) { r.PrefSrc = addrOf(a) } }
func typed(t fib.RouteType) func(*fib.Route) { return func(r *fib.Route) { r.Type = t } }
func through(link int32) func(*fib.Route)    { return func(r *fib.Route) { r.Nexthops[0].Link = link } }
func device(dst string, link int32) fib.Route {
	r := unicast(dst)
	r.Nexthops = []fib.Nexthop{{Link: link, Weight: 1}}
	return r
}

// The requests come in order on one namespace: d0 and d1 are up, d2 is down and has
// 10.3.0.1/24, link 99 does not exist; objects 1 (10.1.0.2), 2 (10.2.0.2), 3 (onlink),
// 4 (fdb), 5 (blackhole) and 9 (group of 1 and 2) do, as do 11 (2001:db8:1::2) and
// route 10.20.0.0/16 by 10.1.0.2.
func TestRequestsAsTheKernel(t *testing.T) {
	netnstest.Require(t)
	d, d1, down, missing := firstLink, firstLink+1, firstLink+2, int32(99)
	w := newTwin(t, nil)
	w.host()
	w.linkUp(2, false)
	w.addr(2, "10.3.5.1/24")
	w.addObject(object(1, "10.1.0.2"), fib.OpAdd)
	w.addObject(object(2, "10.2.0.2"), fib.OpAdd)
	three := object(3, "10.1.77.2")
	three.Nexthop.Flags = fib.FlagOnlink
	w.addObject(three, fib.OpAdd)
	w.addObject(fib.NexthopObject{ID: 5, Family: fib.Inet6, Blackhole: true}, fib.OpAdd)
	w.addObject(fib.NexthopObject{ID: 9, Group: []fib.GroupMember{{ID: 1, Weight: 1}, {ID: 2, Weight: 1}}}, fib.OpAdd)
	w.addObject(object(11, "2001:db8:1::2"), fib.OpAdd)
	w.route(unicast("10.20.0.0/16", "10.1.0.2"), fib.OpAdd)
	nine := func(gateways ...string) fib.Route { return unicast("10.9.0.0/16", gateways...) }
	nine6 := func(gateways ...string) fib.Route { return unicast("2001:db8:9::/48", gateways...) }
	for _, q := range []request{
		{"B28 scope host with a gateway", with(nine("10.1.0.2"), scoped(fib.ScopeHost)), fib.EINVAL},
		{"B28 with two legs", with(nine(), scoped(fib.ScopeHost), legs(on(d), on(d1))), fib.EINVAL},
		{"B28 on a missing link", with(device("10.9.0.0/16", missing), scoped(fib.ScopeHost)), fib.ENODEV},
		{"B28 on a link that is down", with(device("10.40.0.0/16", down), scoped(fib.ScopeHost)), 0},
		{"B29 onlink without a gateway", with(device("10.9.0.0/16", d), onlink), fib.EINVAL},
		{"B29 on a missing link", device("10.9.0.0/16", missing), fib.ENODEV},
		{"B29 on a link that is down", device("10.9.0.0/16", down), fib.ENETDOWN},
		{"B29 without link and gateway", nine(), fib.ENODEV},
		{"B29 of scope universe", device("10.41.0.0/16", d), 0},
		{"B30 onlink of scope link", with(nine("10.1.0.2"), onlink, scoped(fib.ScopeLink)), fib.EINVAL},
		{"B30 onlink without a link", with(nine("10.1.0.2"), onlink, through(0)), fib.ENODEV},
		{"B30 onlink on a link that is down", with(nine("10.3.0.9"), onlink), fib.ENETDOWN},
		{"B30 onlink by a broadcast address", with(nine("10.1.0.255"), onlink), fib.EINVAL},
		{"B30 by a gateway behind a gateway", with(nine("10.20.0.1"), through(0)), fib.ENETUNREACH},
		{"B30 on another link than the gateway's", with(nine("10.1.0.2"), through(d1)), fib.ENETUNREACH},
		{"B30 by a broadcast address", nine("10.1.0.255"), fib.EINVAL},
		{"B30 by one of our own addresses", unicast("10.42.0.0/16", "10.1.0.1"), 0},
		{"B31 source of nobody", with(nine("10.1.0.2"), from4("10.1.0.77")), fib.EINVAL},
		{"B31 source that is ours", with(unicast("10.43.0.0/16", "10.1.0.2"), from4("10.2.0.1")), 0},
		{"B31 local in a table of its own", with(device("10.44.0.1/32", d), typed(fib.TypeLocal), scoped(fib.ScopeHost), inTable(50)), 0},
		{"B31 which counts there", with(unicast("10.45.0.0/16", "10.1.0.2"), from4("10.44.0.1"), inTable(50)), 0},
		{"B31 and not in main", with(nine("10.1.0.2"), from4("10.44.0.1")), fib.EINVAL},
		{"B31 its own destination", with(device("10.46.0.1/32", d), typed(fib.TypeLocal), scoped(fib.ScopeHost), from4("10.46.0.1")), 0},
		{"B32 scope host by an object with a gateway", with(by(nine(), 1), scoped(fib.ScopeHost)), fib.EINVAL},
		{"B32 scope host by a group", with(by(nine(), 9), scoped(fib.ScopeHost)), fib.EINVAL},
		{"B32 scope link by an onlink object", with(by(nine(), 3), scoped(fib.ScopeLink)), fib.EINVAL},
		{"B32 scope universe by it", by(unicast("10.47.0.0/16"), 3), 0},
		{"D5 with a TOS", with(nine6("2001:db8:1::2"), func(r *fib.Route) { r.TOS = 0x10 }), fib.EINVAL},
		{"D50 by an IPv4 object", by(nine6(), 1), fib.EINVAL},
		{"D50 by an object that is not there", by(nine6(), 77), fib.EINVAL},
		{"D50 with a source prefix by an object", with(by(nine6(), 11), from("2001:db8:1::/64")), fib.EINVAL},
		{"D50 with a leg twice", nine6("2001:db8:1::2", "2001:db8:1::2"), fib.EEXIST},
		{"D50 with a leg without a gateway", with(nine6(), legs(on(d), on(d1))), fib.EINVAL},
		{"D51 on a missing link", device("2001:db8:9::/48", missing), fib.ENODEV},
		{"D51 without link and gateway", nine6(), fib.ENODEV},
		{"D51 on a link that is down", device("2001:db8:9::/48", down), fib.ENETDOWN},
		{"D52 a reject route ignores its link", with(device("2001:db8:40::/48", d), typed(fib.TypeProhibit)), 0},
		{"D53 source of nobody", with(nine6("2001:db8:1::2"), from4("2001:db8:1::77")), fib.EINVAL},
		{"D53 source of another link", with(unicast("2001:db8:41::/48", "2001:db8:1::2"), from4("2001:db8:2::1")), 0},
		{"D54 onlink without a link", with(nine6("2001:db8:1::2"), onlink, through(0)), fib.ENODEV},
		{"D54 onlink on a link that is down", with(nine6("2001:db8:3::2"), onlink), fib.ENETDOWN},
		{"D54 onlink by a gateway of another link", with(nine6("2001:db8:1::2"), onlink, through(d1)), fib.EINVAL},
		{"D54 onlink by a gateway of none", with(unicast("2001:db8:42::/48", "2001:db8:77::2"), onlink, through(d)), 0},
		{"D55 by a link-local gateway without a link", with(nine6("fe80::2"), through(0)), fib.EINVAL},
		{"D55 with one", with(unicast("2001:db8:43::/48", "fe80::2"), through(d)), 0},
		{"D56 by one of our own addresses", nine6("2001:db8:1::1"), fib.EINVAL},
		{"D56 by a multicast address", with(nine6("ff02::1"), through(d)), fib.EINVAL},
		{"D56 by a gateway behind a gateway", with(nine6("2001:db8:43::1"), through(0)), fib.EHOSTUNREACH},
		{"D56 by a gateway of nowhere", with(nine6("2001:db8:77::2"), through(d)), fib.EHOSTUNREACH},
		{"D56 without a link, which the gateway's route tells", with(unicast("2001:db8:44::/48", "2001:db8:1::2"), through(0)), 0},
	} {
		ok := t.Run(q.name, func(t *testing.T) {
			conformance.Covers(t, conformance.NumbersIn(q.name)...)
			w.t = t
			assert.Equal(t, q.want.Name(), w.route(q.route, fib.OpAdd).Name())
		})
		if !ok {
			return // the twins may differ now
		}
	}
}

func TestDeletionsAsTheKernel(t *testing.T) {
	conformance.Covers(t, "B8")
	w := newTwin(t, nil)
	w.host()
	for i, r := range []fib.Route{
		with(unicast("10.9.0.0/16", "10.1.0.2"), metric(20)), with(unicast("10.9.0.0/16", "10.2.0.2"), metric(10)),
		with(unicast("10.9.0.0/16", "10.3.0.2"), metric(10), func(r *fib.Route) { r.Protocol = fib.ProtoStatic }),
		with(unicast("10.9.0.0/16", "10.1.0.3"), func(r *fib.Route) { r.TOS = 0x10 }),
	} {
		require.Zero(t, w.route(r, fib.OpAppend|fib.Create), i)
	}
	bare := fib.Route{Table: fib.TableMain, Dst: prefixOf("10.9.0.0/16"), Scope: fib.ScopeNowhere}
	for _, q := range []struct {
		why  string
		what fib.Route
		want fib.Errno
	}{
		{"no such metric", with(bare, metric(30)), fib.ESRCH},
		{"no such protocol", with(bare, func(r *fib.Route) { r.Protocol = fib.ProtoRA }), fib.ESRCH},
		{"another gateway than the leg's", with(bare, legs(fib.Nexthop{Gateway: addrOf("10.1.0.77")})), fib.ESRCH},
		{"no such TOS", with(bare, func(r *fib.Route) { r.TOS = 0x08 }), fib.ESRCH},
		{"no such table", with(bare, inTable(77)), fib.ESRCH},
		{"the static one, although it is the second", with(bare, func(r *fib.Route) { r.Protocol = fib.ProtoStatic }), 0},
		{"by its gateway the last", with(bare, legs(fib.Nexthop{Gateway: addrOf("10.1.0.2")})), 0},
		{"the first that is left without TOS", bare, 0},
		{"TOS must be told", bare, fib.ESRCH},
		{"and now is", with(bare, func(r *fib.Route) { r.TOS = 0x10 }), 0},
	} {
		assert.Equal(t, q.want.Name(), w.unroute(q.what).Name(), q.why)
	}
	assert.Equal(t, fib.ESRCH, w.k.route(rtnl.RTM_DELROUTE, bare, 0))
}
