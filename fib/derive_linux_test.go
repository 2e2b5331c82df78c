package fib_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/internal/rtnl"
	"github.com/fibula-net/fibula/ksync"
	"github.com/fibula-net/fibula/rules"
)

const (
	numLinks  = 3
	firstLink = int32(10) // d0, d1, d2: 10, 11, 12; peers, in another namespace, 100 more
)

// twin is a kernel's namespace and a FIB that get the same operations.
type twin struct {
	t     *testing.T
	r     *rand.Rand
	ns    *netnstest.NS
	peers *netnstest.NS
	k, kp *kernel
	f     *fib.FIB
	up    [numLinks]bool
	peer  [numLinks]bool
	links map[int32]fib.Link
	story []string
	said  error // by the FIB's last operation
}

func newTwin(t *testing.T, r *rand.Rand) *twin {
	ns, peers := netnstest.New(t, netnstest.Quiet, netnstest.LoUp), netnstest.New(t, netnstest.Quiet)
	w := &twin{t: t, r: r, ns: ns, peers: peers}
	for i := range int32(numLinks) {
		ns.IP(fmt.Sprintf("link add d%d index %d type veth peer name p%d index %d netns %s", i, firstLink+i, i, firstLink+i+100, peers.Name()))
	}
	w.k, w.kp = newKernel(t, ns), newKernel(t, peers)
	w.load()
	return w
}

func (w *twin) load() {
	f, err := ksync.Load(context.Background(), ksync.Options{NetNS: ksync.Named(w.ns.Name())})
	require.NoError(w.t, err)
	w.f, w.links = f, map[int32]fib.Link{}
	for _, l := range f.Snapshot().State().Links {
		w.links[l.Index] = l
	}
}

func (w *twin) update(op func(*fib.Txn) error) fib.Errno {
	_, err := w.f.Update(op)
	w.said = err
	return errnoOf(err)
}

// same stops the test unless the kernel and the FIB agree; the kernel may still
// have work to do.
func (w *twin) same(what string, kernel, ours fib.Errno) {
	w.t.Helper()
	w.story = append(w.story, fmt.Sprintf("%s: %v", what, kernel))
	tail := w.story[max(0, len(w.story)-400):]
	if kernel != ours {
		w.t.Fatalf("story:\n%s\n%s: kernel %v, fib %v\n%s", lines(tail), what, kernel, w.said, pictureOf(w.f.Snapshot()))
	}
	want := pictureOf(w.f.Snapshot())
	deadline := time.Now().Add(3 * time.Second)
	for {
		diff := difference(w.k.picture(), want)
		if diff == "" {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("story:\n%s\nafter %s:\n%s", lines(tail), what, diff)
		}
		time.Sleep(time.Millisecond)
	}
}

// brief is a route in a line of a story.
func brief(r *fib.Route) string {
	s := fmt.Sprintf("%v %v table %v scope %v proto %d metric %d tos %#x nhid %d", r.Type, r.Dst, r.Table, r.Scope, r.Protocol, r.Priority, r.TOS, r.NexthopID)
	if r.Src.IsValid() {
		s += fmt.Sprintf(" from %v", r.Src)
	}
	if r.PrefSrc.IsValid() {
		s += fmt.Sprintf(" src %v", r.PrefSrc)
	}
	if !r.Metrics.IsZero() {
		s += " mtu"
	}
	for _, n := range r.Nexthops {
		s += fmt.Sprintf(" [via %v dev %d weight %d flags %d]", n.Gateway, n.Link, n.Weight, n.Flags)
	}
	return s
}

func briefAddress(a *fib.Address) string {
	return fmt.Sprintf("%v prefix %v dev %d scope %v flags %#x brd %v metric %d", a.Local, a.Prefix, a.Link, a.Scope, uint32(a.Flags), a.Broadcast, a.Metric)
}

func briefObject(o *fib.NexthopObject) string {
	return fmt.Sprintf("id %d %v blackhole %v via %v dev %d flags %d group %v resilient %v", o.ID, o.Family, o.Blackhole, o.Nexthop.Gateway, o.Nexthop.Link, o.Nexthop.Flags, o.Group, o.Resilient)
}

func lines(s []string) (out string) {
	for _, l := range s {
		out += l + "\n"
	}
	return out
}

// setLink brings the FIB's link i to the state that up and peer describe.
func (w *twin) setLink(i int) fib.Errno {
	l := w.links[firstLink+int32(i)]
	l.Flags &^= fib.LinkUp | fib.LinkRunning | fib.LinkLowerUp
	if w.up[i] {
		l.Flags |= fib.LinkUp
		if w.peer[i] {
			l.Flags |= fib.LinkRunning | fib.LinkLowerUp
		}
	}
	l.Groups4 = nil
	w.links[l.Index] = l
	return w.update(func(tx *fib.Txn) error { return tx.SetLink(l) })
}

func (w *twin) linkUp(i int, up bool) {
	w.up[i] = up
	w.same(fmt.Sprintf("link d%d up %v", i, up), w.k.up(firstLink+int32(i), up), w.setLink(i))
}

func (w *twin) carrier(i int, up bool) {
	w.peer[i] = up
	w.same(fmt.Sprintf("carrier d%d %v", i, up), w.kp.up(firstLink+int32(i)+100, up), w.setLink(i))
}

func oneOf[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func chance(r *rand.Rand, percent int) bool { return r.IntN(100) < percent }

func (w *twin) addAddress(a fib.Address) {
	flags := fib.OpAdd
	op := (*fib.Txn).AddAddress
	if chance(w.r, 15) {
		flags, op = fib.OpReplace, (*fib.Txn).ReplaceAddress
	}
	e := w.k.address(rtnl.RTM_NEWADDR, a, flags)
	w.same(fmt.Sprintf("address add %s %#x", briefAddress(&a), flags), e, w.update(func(tx *fib.Txn) error { return op(tx, a) }))
}

func (w *twin) deleteAddress() {
	all := w.f.Snapshot().State().Addresses
	a := all[w.r.IntN(len(all))]
	if a.Link < firstLink {
		return
	}
	if chance(w.r, 10) {
		a.Prefix = netip.PrefixFrom(a.Prefix.Addr(), 24)
	}
	a.Broadcast, a.Metric = netip.Addr{}, 0
	w.same(fmt.Sprintf("address delete %s", briefAddress(&a)), w.k.address(rtnl.RTM_DELADDR, a, 0),
		w.update(func(tx *fib.Txn) error { return tx.DeleteAddress(a) }))
}

func (w *twin) addRoute(rt fib.Route) {
	flags := oneOf(w.r, fib.OpAdd, fib.OpAdd, fib.OpReplace, fib.OpAppend, fib.OpPrepend, fib.OpChange, fib.AddFlags(0))
	e := w.k.route(rtnl.RTM_NEWROUTE, rt, flags)
	w.same(fmt.Sprintf("route add %s %#x", brief(&rt), flags), e, w.update(func(tx *fib.Txn) error { return tx.AddRoute(rt, flags) }))
}

func (w *twin) deleteRoute() {
	var all []fib.Route
	for rt := range w.f.Snapshot().Routes() {
		all = append(all, rt)
	}
	rt := oneOf(w.r, all...)
	for range 5 {
		if rt.Protocol == fib.ProtoKernel {
			rt = oneOf(w.r, all...)
		}
	}
	if rt.NexthopID != 0 {
		rt.Nexthops = nil
	}
	for i := range rt.Nexthops {
		rt.Nexthops[i].Flags = 0
	}
	rt.Flags = 0
	for range w.r.IntN(5) {
		switch w.r.IntN(12) {
		case 0:
			rt.Type = 0
		case 1:
			rt.Scope = fib.ScopeNowhere
		case 2:
			rt.Priority = 0
		case 3:
			rt.Nexthops = nil
		case 4:
			rt.Protocol = 0
		case 5:
			rt.PrefSrc = netip.Addr{}
		case 6:
			rt.NexthopID = 0
		case 7:
			if rt.Family() == fib.Inet && len(rt.Nexthops) > 0 {
				rt.Nexthops = append(rt.Nexthops, fib.Nexthop{Gateway: w.gateway4(0), Weight: 1})
			}
		case 8:
			if rt.Family() == fib.Inet && len(rt.Nexthops) > 0 {
				rt.Nexthops[w.r.IntN(len(rt.Nexthops))].Realms = uint32(w.r.IntN(2))
			}
		case 9:
			rt.TOS = oneOf[uint8](w.r, 1, 4, 0x10)
		case 10:
			rt.NexthopID = w.object()
			rt.Nexthops = nil
		case 11:
			if rt.Family() == fib.Inet6 && rt.NexthopID == 0 {
				rt.Src = prefixOf("2001:db8:1::/64")
			}
		}
	}
	e := w.k.route(rtnl.RTM_DELROUTE, rt, 0)
	w.same(fmt.Sprintf("route delete %s", brief(&rt)), e, w.update(func(tx *fib.Txn) error { return tx.DeleteRoute(rt) }))
}

func (w *twin) nexthop() {
	r := w.r
	o := fib.NexthopObject{ID: uint32(1 + r.IntN(8)), Protocol: fib.ProtoStatic}
	if chance(r, 20) {
		e := w.k.nexthop(rtnl.RTM_DELNEXTHOP, o, 0)
		w.same(fmt.Sprintf("nexthop delete %d", o.ID), e, w.update(func(tx *fib.Txn) error { return tx.DeleteNexthop(o.ID) }))
		return
	}
	switch r.IntN(8) {
	case 0, 1, 2:
		o.Family = fib.Inet
		o.Nexthop = fib.Nexthop{Link: w.dev(), Weight: 1}
		if chance(r, 80) {
			o.Nexthop.Gateway = w.gateway4(o.Nexthop.Link)
		}
	case 3, 4:
		o.Family = fib.Inet6
		o.Nexthop = fib.Nexthop{Link: w.dev(), Weight: 1}
		if chance(r, 80) {
			o.Nexthop.Gateway = w.gateway6(o.Nexthop.Link)
		}
	case 5:
		o.Family, o.Blackhole = oneOf(r, fib.Inet, fib.Inet6), true
	default:
		o.Resilient = chance(r, 40)
		for range 1 + r.IntN(3) {
			o.Group = append(o.Group, fib.GroupMember{ID: w.object(), Weight: uint16(1 + r.IntN(3))})
		}
		if o.Resilient {
			o.Buckets = make([]uint32, 8)
		}
	}
	if !o.IsGroup() && !o.Blackhole && chance(r, 20) {
		o.Nexthop.Flags = fib.FlagOnlink
	}
	flags := oneOf(r, fib.OpAdd, fib.OpAdd, fib.OpReplace, fib.OpChange)
	e := w.k.nexthop(rtnl.RTM_NEWNEXTHOP, o, flags)
	w.same(fmt.Sprintf("nexthop add %s %#x", briefObject(&o), flags), e, w.update(func(tx *fib.Txn) error {
		_, err := tx.AddNexthop(o, flags)
		return err
	}))
}

func (w *twin) rule() {
	r := w.r
	q := rules.RequestOf(rules.Rule{Family: oneOf(r, fib.Inet, fib.Inet6), Priority: uint32(r.IntN(3)) * 100, Action: rules.ActLookup, Table: 100})
	if chance(r, 30) {
		q.Mark, q.MarkMask = 5, 0xff
	}
	if chance(r, 30) {
		q.Iif = "d0"
	}
	if chance(r, 40) {
		e := w.k.rule(rtnl.RTM_DELRULE, q, 0)
		w.same(fmt.Sprintf("rule delete %v", q.Rule), e, w.update(func(tx *fib.Txn) error { _, err := tx.DeleteRule(q); return err }))
		return
	}
	w.addRule(q)
}

func (w *twin) addRule(q rules.Request) {
	e := w.k.rule(rtnl.RTM_NEWRULE, q, fib.OpAdd)
	w.same(fmt.Sprintf("rule add %v", q.Rule), e, w.update(func(tx *fib.Txn) error { _, err := tx.AddRule(q, fib.OpAdd); return err }))
}

// conf changes a setting of a link that has consequences at once or later.
func (w *twin) conf() {
	i := w.r.IntN(numLinks)
	l := w.links[firstLink+int32(i)]
	on := chance(w.r, 50)
	value := map[bool]string{false: "0", true: "1"}[on]
	var key string
	switch w.r.IntN(4) {
	case 0:
		key, l.Conf6.Forwarding = "ipv6/conf/d%d/forwarding", on
	case 1:
		key, l.Conf6.KeepAddrOnDown = "ipv6/conf/d%d/keep_addr_on_down", int32(value[0]-'0')
	case 2:
		key, l.Conf6.DisableIPv6 = "ipv6/conf/d%d/disable_ipv6", on
	case 3:
		key, l.Conf4.PromoteSecondaries = "ipv4/conf/d%d/promote_secondaries", on
	}
	if l.NoInet6 && key[:4] == "ipv6" {
		return // the keys are gone
	}
	key = fmt.Sprintf("net/"+key, i)
	w.ns.Sysctl(key, value)
	w.links[l.Index] = l
	w.same(key+"="+value, 0, w.setLink(i))
}

// loopback sets lo down or up.
func (w *twin) loopback() {
	l, _ := w.f.Snapshot().Link(1)
	l.Flags ^= fib.LinkUp | fib.LinkRunning | fib.LinkLowerUp
	e := w.k.up(1, l.Up())
	w.same(fmt.Sprintf("lo up %v", l.Up()), e, w.update(func(tx *fib.Txn) error { return tx.SetLink(l) }))
}

// mtu takes IPv6 from a link, or gives it back.
func (w *twin) mtu() { w.linkMTU(w.r.IntN(numLinks), oneOf[uint32](w.r, 1200, 1400, 1400, 1500, 9000)) }

func (w *twin) linkMTU(i int, mtu uint32) {
	l := w.links[firstLink+int32(i)]
	l.MTU = mtu
	w.ns.IP(fmt.Sprintf("link set d%d mtu %d", i, l.MTU))
	if had := l.NoInet6; had != (l.MTU < 1280) {
		if l.NoInet6 = !had; had {
			l.Conf6 = w.f.Snapshot().State().Sysctls.Default6 // made anew
		}
	}
	w.links[l.Index] = l
	w.same(fmt.Sprintf("mtu d%d %d", i, l.MTU), 0, w.setLink(i))
}

// recreate deletes a link and makes it again.
func (w *twin) recreate() {
	i := w.r.IntN(numLinks)
	index := firstLink + int32(i)
	w.ns.IP(fmt.Sprintf("link delete d%d", i))
	w.same(fmt.Sprintf("link delete d%d", i), 0, w.update(func(tx *fib.Txn) error { return tx.DeleteLink(index) }))
	w.ns.IP(fmt.Sprintf("link add d%d index %d type veth peer name p%d index %d netns %s", i, index, i, index+100, w.peers.Name()))
	w.up[i], w.peer[i] = false, false
	for _, l := range w.k.links() {
		if l.Index == index {
			w.links[index] = l
		}
	}
	w.same(fmt.Sprintf("link add d%d", i), 0, w.setLink(i))
	w.carrier(i, true)
	w.linkUp(i, true)
}

// step applies one random operation to both.
func (w *twin) step() {
	switch n := w.r.IntN(100); {
	case n < 4:
		w.linkUp(w.r.IntN(numLinks), chance(w.r, 50))
	case n < 7:
		w.carrier(w.r.IntN(numLinks), chance(w.r, 60))
	case n < 20:
		w.addAddress(w.address4())
	case n < 31:
		w.addAddress(w.address6())
	case n < 36:
		w.deleteAddress()
	case n < 55:
		w.addRoute(w.route4())
	case n < 72:
		w.addRoute(w.route6())
	case n < 80:
		w.deleteRoute()
	case n < 92:
		w.nexthop()
	case n < 95:
		w.rule()
	case n < 96 && chance(w.r, 30):
		w.loopback()
	case n < 96 && chance(w.r, 40):
		w.recreate()
	case n < 96:
		w.mtu()
	default:
		w.conf()
	}
}

func TestKernelDerivesTheSame(t *testing.T) {
	seed := randtest.Seed(t)
	steps := 0
	for round := range uint64(randtest.Fewer(12)) {
		w := newTwin(t, rand.New(rand.NewPCG(seed, round)))
		w.same("start", 0, 0)
		for i := range numLinks {
			w.carrier(i, true)
			w.linkUp(i, true)
			for _, p := range []string{"10.%d.0.1/24", "2001:db8:%d::1/64"} {
				own := prefixOf(fmt.Sprintf(p, i+1))
				w.addAddress(fib.Address{Link: firstLink + int32(i), Local: own.Addr(), Prefix: own})
			}
		}
		for range 150 {
			w.step()
			steps++
		}
	}
	t.Logf("%d steps", steps)
}
