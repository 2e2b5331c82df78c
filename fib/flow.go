package fib

import "net/netip"

// Flow is what a decision is asked for. The zero value of a field means that the
// query does not give it, as with RTM_GETROUTE (0.2).
//
// With Iif 0 it is an output flow, sent by this host; with Iif set an input
// flow, received on that link. A 4-in-6 destination is an IPv6 flow.
type Flow struct {
	Dst, Src     netip.Addr
	Iif, Oif     int32 // interface indexes
	Mark         uint32
	TOS          uint8 // the whole field; its two ECN bits are ignored
	UID          uint32
	UIDSet       bool // UID was given; matters for IPv6 input flows only, where none is "no user"
	IPProto      uint8
	Sport, Dport uint16
	TunID        uint64
	FlowLabel    uint32
}

// Family is the family of the destination.
func (f *Flow) Family() Family {
	if f.Dst.Is4() {
		return Inet
	}
	return Inet6
}
