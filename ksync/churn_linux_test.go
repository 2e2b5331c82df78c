package ksync

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/internal/rtnl"
	"github.com/fibula-net/fibula/internal/throwaway"
	"github.com/fibula-net/fibula/rules"
)

// churn changes a namespace of its own at random, at the speed of netlink: small universes
// of prefixes, gateways and objects, so that most requests meet something.
type churn struct {
	t     testing.TB
	r     *rand.Rand
	ns    *throwaway.NS
	c     *conn
	out   []byte
	sent  int
	story []string
	buf   []byte
	vrf   bool // the kernel has VRFs
	dead  bool
}

const churnLinks = 3 // d1 … and their peers p1 …, of index 10 … and 20 …

func newChurn(t testing.TB, r *rand.Rand) *churn {
	t.Helper()
	netnstest.Require(t)
	ns, err := throwaway.New()
	require.NoError(t, err)
	w := &churn{t: t, r: r, ns: ns, buf: make([]byte, datagram)}
	t.Cleanup(w.die)
	w.c, err = dialIn(w.netns())
	require.NoError(t, err)
	t.Cleanup(w.c.close)
	for _, kv := range [...][2]string{{"ipv6/conf/default/addr_gen_mode", "1"}, {"ipv6/conf/default/accept_dad", "0"},
		{"ipv6/conf/default/router_solicitations", "0"}} {
		w.sysctl(kv[0], kv[1])
	}
	w.link(rtnl.LinkRequest{Index: 1, SetFlags: fib.LinkUp, Flags: fib.LinkUp})
	for i := range int32(churnLinks) {
		w.makeLink(i)
	}
	w.flush()
	return w
}

// die takes the namespace away from under everything.
func (w *churn) die() {
	if !w.dead {
		w.dead = true
		w.ns.Close()
	}
}

// taken is what is queued, for someone else to send.
func (w *churn) taken() []byte {
	b := slices.Clone(w.out)
	w.out = w.out[:0]
	return b
}

func (w *churn) netns() NetNS { return Path(w.ns.Path()) }

func (w *churn) sysctl(key, value string) {
	w.story = append(w.story, key+"="+value)
	_ = w.ns.Do(func() error { return os.WriteFile("/proc/sys/net/"+key, []byte(value), 0) }) // the link may be gone
}

func (w *churn) one(in int) bool { return w.r.IntN(in) == 0 }

// add queues a request.
func (w *churn) add(what string, b []byte, err error) {
	if err != nil {
		w.t.Fatal(what, err)
	}
	w.out = b
	w.sent++
	w.story = append(w.story, what)
	if len(w.out) > 16<<10 {
		w.flush()
	}
}

// flush sends what is queued and waits until the kernel has dealt with it. Refusals are
// part of the game.
func (w *churn) flush() {
	if len(w.out) == 0 {
		return
	}
	seq := w.c.nextSeq()
	end, err := rtnl.AppendRule(w.out, rtnl.Header{Type: rtnl.RTM_DELRULE, Flags: rtnl.NLM_F_REQUEST | rtnl.NLM_F_ACK, Seq: seq},
		&rules.Request{Rule: rules.Rule{Family: rules.Inet, Priority: 1<<32 - 2, Action: rules.ActNop}, Present: rules.AttrPriority})
	require.NoError(w.t, err)
	require.NoError(w.t, w.c.send(end))
	w.out = w.out[:0]
	for {
		b, err := w.c.recv(w.buf)
		require.NoError(w.t, err)
		for len(b) > 0 {
			var m rtnl.Message
			m, b, err = rtnl.Next(b)
			require.NoError(w.t, err)
			if m.Seq == seq && m.Type == rtnl.NLMSG_ERROR {
				return
			}
		}
	}
}

func asking(typ uint16, flags fib.AddFlags) rtnl.Header {
	return rtnl.Header{Type: typ, Flags: rtnl.NLM_F_REQUEST | uint16(flags)}
}

func (w *churn) link(l rtnl.LinkRequest) {
	h := asking(rtnl.RTM_NEWLINK, 0)
	if l.Kind != "" {
		h.Flags |= rtnl.NLM_F_CREATE | rtnl.NLM_F_EXCL
	}
	b, err := rtnl.AppendLink(w.out, h, &l)
	w.add(fmt.Sprintf("link %+v", l), b, err)
}

func (w *churn) makeLink(i int32) {
	w.link(rtnl.LinkRequest{Index: 10 + i, Name: fmt.Sprintf("d%d", i+1), Kind: "veth", Peer: fmt.Sprintf("p%d", i+1)})
	w.flush()
	w.link(rtnl.LinkRequest{Name: fmt.Sprintf("p%d", i+1), SetFlags: fib.LinkUp, Flags: fib.LinkUp})
	w.link(rtnl.LinkRequest{Index: 10 + i, SetFlags: fib.LinkUp, Flags: fib.LinkUp})
	for _, a := range []string{"10.%d.0.1/24", "2001:db8:%d::1/64"} {
		p := netip.MustParsePrefix(fmt.Sprintf(a, i+1))
		w.address(rtnl.RTM_NEWADDR, fib.Address{Link: 10 + i, Local: p.Addr(), Prefix: p})
	}
}

func (w *churn) address(typ uint16, a fib.Address) {
	h := asking(typ, fib.Create|fib.Replace)
	b, err := rtnl.AppendAddress(w.out, h, &a)
	w.add(fmt.Sprintf("address %d %+v", typ, a), b, err)
}

func (w *churn) dev() int32 { return 10 + int32(w.r.IntN(churnLinks)) }

// step does one thing.
func (w *churn) step() {
	switch n := w.r.IntN(100); {
	case n < 36:
		w.route(w.route4())
	case n < 66:
		w.route(w.route6())
	case n < 72:
		w.rule()
	case n < 82:
		w.nexthop()
	case n < 88:
		w.someAddress()
	case n < 96:
		w.someLink()
	case n < 97:
		w.domain()
	case n < 99:
		w.setting()
	case w.one(2):
		w.flushTable()
	default:
		w.clear()
	}
}

func (w *churn) route(r fib.Route) {
	typ, flags := uint16(rtnl.RTM_NEWROUTE), oneof(w.r, fib.OpAdd, fib.OpAdd, fib.OpReplace, fib.OpReplace, fib.OpAppend, fib.OpPrepend, fib.OpChange)
	if w.one(3) {
		typ, flags = rtnl.RTM_DELROUTE, 0
		if w.one(2) {
			r.Nexthops, r.NexthopID = nil, 0
		}
	}
	b, err := rtnl.AppendRoute(w.out, asking(typ, flags), &r)
	w.add(fmt.Sprintf("route %d %#x %+v", typ, flags, r), b, err)
}

func (w *churn) table() fib.TableID {
	return oneof[fib.TableID](w.r, fib.TableMain, fib.TableMain, 100, 100, 1000, fib.TableLocal)
}

func (w *churn) route4() fib.Route {
	r := fib.Route{Table: w.table(), Type: fib.TypeUnicast, Protocol: oneof[fib.Protocol](w.r, fib.ProtoStatic, fib.ProtoBoot, 99),
		Dst: oneof(w.r, pfx("10.9.0.0/16"), pfx("10.9.0.0/24"), pfx("10.9.1.0/24"), pfx("0.0.0.0/0"), pfx("10.1.0.0/24"), pfx("10.8.0.0/13"))}
	r.Priority = oneof[uint32](w.r, 0, 0, 0, 5, 5, 9)
	if w.one(8) {
		r.TOS = 0x10
	}
	if w.one(10) {
		r.Metrics.Values[fib.MetricMTU] = 1400
	}
	if w.one(10) {
		r.PrefSrc = netip.AddrFrom4([4]byte{10, byte(1 + w.r.IntN(churnLinks)), 0, 1})
	}
	leg := func() fib.Nexthop {
		d := w.dev()
		n := fib.Nexthop{Link: d, Weight: 1, Gateway: netip.AddrFrom4([4]byte{10, byte(d - 9), 0, byte(2 + w.r.IntN(3))})}
		if w.one(8) {
			n.Gateway = netip.Addr{}
		}
		if w.one(20) {
			n.Gateway = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, byte(d - 9), 15: 2})
		}
		return n
	}
	switch w.r.IntN(8) {
	case 0:
		r.Type = oneof(w.r, fib.TypeBlackhole, fib.TypeUnreachable, fib.TypeThrow)
	case 1, 2:
		for range 2 + w.r.IntN(2) {
			n := leg()
			n.Weight = uint16(1 + w.r.IntN(3))
			r.Nexthops = append(r.Nexthops, n)
		}
	case 3, 4:
		r.NexthopID = uint32(1 + w.r.IntN(6))
	default:
		r.Nexthops = []fib.Nexthop{leg()}
		if !r.Nexthops[0].Gateway.IsValid() {
			r.Scope = fib.ScopeLink
		}
	}
	return r
}

func (w *churn) route6() fib.Route {
	r := fib.Route{Table: w.table(), Type: fib.TypeUnicast, Protocol: oneof[fib.Protocol](w.r, fib.ProtoStatic, fib.ProtoBoot, 99),
		Dst: oneof(w.r, pfx("2001:db8:9::/48"), pfx("2001:db8:9::/64"), pfx("2001:db8:8::/48"), pfx("::/0"), pfx("2001:db8:1::/64"))}
	r.Priority = oneof[uint32](w.r, 1024, 1024, 1024, 256, 100)
	if w.one(12) {
		r.Src = oneof(w.r, pfx("2001:db8:1::/64"), pfx("2001:db8::/32"))
	}
	if w.one(10) {
		r.Metrics.Values[fib.MetricMTU] = 1400
	}
	if w.one(12) {
		r.Pref = oneof(w.r, fib.PrefHigh, fib.PrefLow)
	}
	leg := func() fib.Nexthop {
		d := w.dev()
		n := fib.Nexthop{Link: d, Weight: 1, Gateway: netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, byte(d - 9), 15: byte(2 + w.r.IntN(3))})}
		if w.one(8) {
			n.Gateway = netip.Addr{}
		}
		return n
	}
	switch w.r.IntN(8) {
	case 0:
		r.Type = oneof(w.r, fib.TypeBlackhole, fib.TypeUnreachable, fib.TypeThrow)
	case 1, 2, 3:
		for range 2 + w.r.IntN(2) {
			r.Nexthops = append(r.Nexthops, leg())
		}
	case 4:
		r.NexthopID = uint32(7 + w.r.IntN(4))
	default:
		r.Nexthops = []fib.Nexthop{leg()}
	}
	return r
}

func (w *churn) rule() {
	r := rules.Rule{Family: oneof(w.r, rules.Inet, rules.Inet6), Priority: uint32(100 + w.r.IntN(4)), Action: rules.ActLookup, Table: oneof[uint32](w.r, 100, 1000, 254)}
	if w.one(3) {
		r.Iif = fmt.Sprintf("d%d", 1+w.r.IntN(churnLinks))
	}
	if w.one(3) {
		r.Mark, r.MarkMask = uint32(w.r.IntN(2)), 0xff
	}
	if w.one(20) {
		r = rules.Rule{Family: r.Family, Priority: 32766, Action: rules.ActLookup, Table: 254}
	}
	typ, flags := uint16(rtnl.RTM_NEWRULE), fib.Create
	if w.one(2) {
		typ, flags = rtnl.RTM_DELRULE, 0
	}
	q := rules.RequestOf(r)
	b, err := rtnl.AppendRule(w.out, asking(typ, flags), &q)
	w.add(fmt.Sprintf("rule %d %v", typ, r), b, err)
}

func (w *churn) nexthop() {
	o := fib.NexthopObject{ID: uint32(1 + w.r.IntN(10)), Protocol: fib.ProtoStatic}
	d := w.dev()
	switch {
	case o.ID == 5 || o.ID == 6 || o.ID == 10:
		from := uint32(1)
		if o.ID == 10 {
			from = 7
		}
		for i := range uint32(1 + w.r.IntN(3)) {
			o.Group = append(o.Group, fib.GroupMember{ID: from + i, Weight: uint16(1 + w.r.IntN(3))})
		}
	case o.ID < 5:
		o.Family, o.Nexthop = fib.Inet, fib.Nexthop{Link: d, Gateway: netip.AddrFrom4([4]byte{10, byte(d - 9), 0, byte(2 + w.r.IntN(3))})}
	default:
		o.Family, o.Nexthop = fib.Inet6, fib.Nexthop{Link: d, Gateway: netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, byte(d - 9), 15: byte(2 + w.r.IntN(3))})}
	}
	if o.ID == 6 && w.one(2) {
		o.Resilient, o.Buckets = true, make([]uint32, 8)
	}
	if !o.IsGroup() && w.one(8) {
		o.Blackhole, o.Nexthop = true, fib.Nexthop{}
	}
	typ, flags := uint16(rtnl.RTM_NEWNEXTHOP), oneof(w.r, fib.OpAdd, fib.OpReplace)
	if w.one(3) {
		typ, flags = rtnl.RTM_DELNEXTHOP, 0
	}
	b, err := rtnl.AppendNexthop(w.out, asking(typ, flags), &o)
	w.add(fmt.Sprintf("nexthop %d %#x %+v", typ, flags, o), b, err)
}

func (w *churn) someAddress() {
	i := w.r.IntN(churnLinks)
	a := fib.Address{Link: 10 + int32(i)}
	if w.one(2) {
		a.Local = netip.AddrFrom4([4]byte{10, byte(i + 1), 0, byte(oneof(w.r, 1, 1, 1, 9, 10))})
		a.Prefix = netip.PrefixFrom(a.Local, oneof(w.r, 24, 24, 24, 25))
	} else {
		a.Local = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, byte(i + 1), 15: byte(oneof(w.r, 1, 1, 9))})
		a.Prefix = netip.PrefixFrom(a.Local, 64)
	}
	if w.one(6) {
		a.Metric = 77
	}
	typ := oneof[uint16](w.r, rtnl.RTM_NEWADDR, rtnl.RTM_NEWADDR, rtnl.RTM_DELADDR)
	w.address(typ, a)
}

func (w *churn) someLink() {
	i := int32(w.r.IntN(churnLinks))
	up := fib.LinkFlags(0)
	if !w.one(3) {
		up = fib.LinkUp
	}
	switch w.r.IntN(12) {
	case 0, 1, 2, 3:
		w.link(rtnl.LinkRequest{Index: 10 + i, SetFlags: fib.LinkUp, Flags: up})
	case 4, 5, 6, 7:
		w.link(rtnl.LinkRequest{Name: fmt.Sprintf("p%d", i+1), SetFlags: fib.LinkUp, Flags: up})
	case 8:
		w.link(rtnl.LinkRequest{Index: 10 + i, MTU: oneof[uint32](w.r, 1500, 1400)})
	case 9:
		w.link(rtnl.LinkRequest{Index: 10 + i, Name: fmt.Sprintf("%s%d", oneof(w.r, "d", "d", "x"), i+1)})
	case 10:
		b, err := rtnl.AppendLink(w.out, asking(rtnl.RTM_DELLINK, 0), &rtnl.LinkRequest{Index: 10 + i})
		w.add(fmt.Sprintf("link del %d", 10+i), b, err)
		if w.one(2) {
			w.flush()
		}
		w.makeLink(i)
	default:
		w.makeLink(i) // refused if it is there; its addresses return
	}
}

func (w *churn) setting() {
	w.flush()
	dev := oneof(w.r, "all", "d1", "d2")
	switch w.r.IntN(6) {
	case 0:
		w.sysctl("ipv4/conf/"+dev+"/forwarding", oneof(w.r, "0", "1"))
	case 1:
		w.sysctl("ipv6/conf/"+dev+"/forwarding", oneof(w.r, "0", "1"))
	case 2:
		w.sysctl("ipv4/conf/"+dev+"/ignore_routes_with_linkdown", oneof(w.r, "0", "1"))
	case 3:
		w.sysctl("ipv6/conf/"+dev+"/ignore_routes_with_linkdown", oneof(w.r, "0", "1"))
	case 4:
		w.sysctl("ipv4/conf/"+dev+"/promote_secondaries", oneof(w.r, "0", "1"))
	case 5:
		w.sysctl("ipv4/nexthop_compat_mode", oneof(w.r, "0", "1"))
	}
}

// domain makes a VRF, or moves a link into one or out of it.
func (w *churn) domain() {
	const index = 30
	switch {
	case !w.vrf:
		w.flushTable()
	case w.one(4):
		w.link(rtnl.LinkRequest{Index: index, Name: "v1", Kind: "vrf", VRFTable: 1000})
		w.link(rtnl.LinkRequest{Index: index, SetFlags: fib.LinkUp, Flags: fib.LinkUp})
	case w.one(6):
		b, err := rtnl.AppendLink(w.out, asking(rtnl.RTM_DELLINK, 0), &rtnl.LinkRequest{Index: index})
		w.add("link del v1", b, err)
	default:
		w.link(rtnl.LinkRequest{Index: w.dev(), Master: index})
	}
}

// flushTable deletes what is in a table, as ip route flush does.
func (w *churn) flushTable() {
	w.flush()
	var routes []fib.Route
	for _, f := range [...]fib.Family{fib.Inet, fib.Inet6} {
		d := rtnl.Dump{Type: rtnl.RTM_GETROUTE, Family: f, Table: oneof[fib.TableID](w.r, 100, 1000)}
		_ = w.c.dump(w.t.Context(), d, w.buf, func(m rtnl.Message) error { // ENOENT: there is none; interrupted: some are left
			var r fib.Route
			if err := rtnl.DecodeRoute(m, &r, nil); err != nil {
				return err
			}
			routes = append(routes, r)
			return nil
		})
	}
	for i := range routes {
		b, err := rtnl.AppendRoute(w.out, asking(rtnl.RTM_DELROUTE, 0), &routes[i])
		w.add(fmt.Sprintf("flush %v", routes[i]), b, err)
	}
}

// clear deletes all routes of a table that the random ones can be in.
func (w *churn) clear() {
	for range 60 {
		r := oneof(w.r, w.route4, w.route6)()
		r.Table, r.Nexthops, r.NexthopID, r.Protocol, r.Metrics, r.Src = 100, nil, 0, 0, fib.Metrics{}, netip.Prefix{}
		r.Type, r.PrefSrc, r.Scope, r.Pref = fib.TypeUnspec, netip.Addr{}, fib.ScopeNowhere, 0
		b, err := rtnl.AppendRoute(w.out, asking(rtnl.RTM_DELROUTE, 0), &r)
		w.add("clear", b, err)
	}
}
