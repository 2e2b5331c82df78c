package fib

import "net/netip"

// NexthopObject is a nexthop object (RTM_NEWNEXTHOP): a single leg, a blackhole
// or a group of other objects.
type NexthopObject struct {
	ID        uint32
	Family    Family // of the gateway or device; 0 for a group
	Protocol  Protocol
	Blackhole bool
	FDB       bool // layer-2 object: refused in routes (B32)
	Nexthop   Nexthop
	Scope     Scope // nh_scope as dumped
	// Source is the source address that the kernel remembers for the object's leg in
	// IPv4 (C19), if it is known. Any change of an IPv4 address makes it unknown.
	Source netip.Addr

	Group                      []GroupMember // empty: not a group
	Resilient                  bool
	Buckets                    []uint32 // resilient: the member id each bucket holds now (B24)
	IdleTimer, UnbalancedTimer uint32   // hundredths of a second
}

// GroupMember is one entry of a nexthop group.
type GroupMember struct {
	ID     uint32
	Weight uint16 // 1 …
}

// IsGroup reports whether o is a group.
func (o *NexthopObject) IsGroup() bool { return len(o.Group) > 0 }
