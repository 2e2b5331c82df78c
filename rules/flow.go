package rules

import "net/netip"

// Flow is the key of one lookup: what the selectors of rules are compared with,
// after the defaults of the query have been filled in (0.2). It is a plain
// value; matching neither changes nor keeps it.
type Flow struct {
	Family Family

	// Src and Dst must be of Family. The zero Addr is the unset address,
	// 0.0.0.0 or ::. Zones are ignored.
	Src, Dst netip.Addr

	Iif int32 // index; 1 (lo) for locally generated traffic (A18)
	Oif int32 // index; 0: none requested

	Mark      uint32
	TOS       uint8  // the whole TOS or traffic class byte; its ECN bits are ignored
	FlowLabel uint32 // 20 bits, host order
	UID       uint32
	IPProto   uint8

	Sport, Dport uint16
	TunID        uint64

	// L3Master is the index of the L3 master (VRF) to which the flow belongs,
	// 0 for none; L3FromOif says that it was derived from Oif rather than Iif.
	// An Oif that is itself an L3 master has been cleared (L5).
	L3Master  int32
	L3FromOif bool
}

// hasSource reports whether the flow has a source address, as IPv6 sees it: the
// unspecified address is none.
func (f *Flow) hasSource() bool { return f.Src.IsValid() && !f.Src.IsUnspecified() }
