package rtnl

import (
	"bytes"
	"net/netip"

	"github.com/fibula-net/fibula/fib"
)

// RouteDecoder decodes the routes of a dump, most of which differ in their destinations only.
// The zero value is ready for use. It is not safe for concurrent use.
type RouteDecoder struct {
	known [1 << knownBits]knownRoute
	kinds uint64
}

// knownBits is the logarithm of how many are remembered: a table has few gateways.
const knownBits = 8

// knownRoute is a message of an IPv4 route with what it says, but for the destination.
type knownRoute struct {
	data  []byte // none: nothing is known
	route fib.Route
	leg   fib.Nexthop
	legs  int // 0 or 1
	worth int // how many other messages in its place it outlives
	kind  uint64
}

// outlives bounds what is spent on messages that do not come again.
const outlives = 8

// Where a kernel puts the destination of an IPv4 route: behind the head and RTA_TABLE.
const (
	dstAttr = routeHeadLen + 8
	dstAt   = dstAttr + 4
	dstEnd  = dstAt + 4
	tailLen = 16 // gateway and interface, which tell most routes apart
)

// Kind names what a message says but for its destination, and tells that: routes of one kind differ in
// nothing else. It is 0 for what was not decoded before.
func (d *RouteDecoder) Kind(m Message) (kind uint64, dst netip.Prefix) {
	k := d.at(&m)
	if k == nil || !k.says(m.Data) {
		return 0, netip.Prefix{}
	}
	k.worth = outlives
	return k.kind, destination(m.Data)
}

// Decode is [DecodeRoute]: it leaves the same in r. It costs a fraction where a route like this one, but for
// its destination, was decoded before.
func (d *RouteDecoder) Decode(m Message, r *fib.Route, rep *Report) error {
	k := d.at(&m)
	if k == nil {
		return DecodeRoute(m, r, rep)
	}
	if k.says(m.Data) {
		k.worth = outlives
		legs := append(r.Nexthops[:0], k.leg)
		*r = k.route
		r.Nexthops, r.Dst = legs[:k.legs], destination(m.Data)
		return nil
	}
	err := DecodeRoute(m, r, rep)
	if k.worth--; k.worth < 0 && err == nil && len(r.Nexthops) <= 1 {
		d.kinds++
		k.kind = d.kinds
		k.learn(m, r)
	}
	return err
}

// at is where what a message says is kept, if it may be.
func (d *RouteDecoder) at(m *Message) *knownRoute {
	b := m.Data
	if m.Type != RTM_NEWROUTE || len(b) < dstEnd+tailLen || fib.Family(b[0]) != fib.Inet || b[1] > 32 ||
		ne.Uint16(b[dstAttr:]) != 8 || ne.Uint16(b[dstAttr+2:]) != rtaDst {
		return nil
	}
	tail := b[len(b)-tailLen:]
	hash := (ne.Uint64(tail) ^ 3*ne.Uint64(tail[8:])) * 0x9e3779b97f4a7c15
	return &d.known[hash>>(64-knownBits)]
}

// says reports whether a message says what is known, but for the destination.
func (k *knownRoute) says(b []byte) bool {
	return len(k.data) == len(b) && bytes.Equal(k.data[dstEnd:], b[dstEnd:]) && bytes.Equal(k.data[2:dstAt], b[2:dstAt])
}

func destination(b []byte) netip.Prefix {
	p, _ := netip.AddrFrom4([4]byte(b[dstAt:])).Prefix(int(b[1]))
	return p
}

// learn keeps a message, unless there is in it what is not modelled and has to be counted each time, or
// what makes the destination another.
func (k *knownRoute) learn(m Message, r *fib.Route) {
	k.worth = outlives
	k.data = append(k.data[:0], m.Data...)
	dst := k.data[dstAt:dstEnd]
	for i := range dst {
		dst[i] ^= 0xff
	}
	k.data[1] = 32
	var rep Report
	m.Data = k.data
	if DecodeRoute(m, &k.route, &rep) != nil || rep.Len() > 0 || k.route.Dst.Addr() != netip.AddrFrom4([4]byte(dst)) {
		k.data = k.data[:0]
		return
	}
	if k.legs = len(r.Nexthops); k.legs > 0 {
		k.leg = r.Nexthops[0]
	}
	k.route.Nexthops = nil
}
