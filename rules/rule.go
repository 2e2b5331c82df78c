package rules

import (
	"net/netip"
	"strconv"
)

// Table ids that every kernel has from the start.
const (
	TableDefault uint32 = 253
	TableMain    uint32 = 254
	TableLocal   uint32 = 255
)

// protocolKernel is RTPROT_KERNEL, the protocol of the initial rules.
const protocolKernel = 2

// maxName is the longest name a link can have (IFNAMSIZ without the NUL).
const maxName = 15

// Rule is one line of the routing policy database of one family: selectors, a
// priority and an action. The zero value of each selector means "any".
//
// A Rule is a plain value: comparable with ==, no pointers but its strings.
// Rules in a List have been normalised: prefixes of length 0 are the zero
// Prefix, a single port has mask 0xffff, a suppressor of 0xffffffff is not set.
// Host bits of From and To are kept, as the kernel keeps them; they do not
// matter to a match, but they do to equality (A4).
type Rule struct {
	Family    Family
	Priority  uint32 // iproute2 also says preference
	Action    Action
	Not       bool // inverts the conjunction of all selectors (A14)
	FindSaddr bool // IPv6: check From after source selection (A17)

	From, To netip.Prefix
	Iif, Oif string // by name; whether a link has it, List.Bind tells

	Mark, MarkMask uint32 // MarkMask 0: no selector (A20)
	TOS            uint8  // raw TOS byte; IPv4 compares only 0x1c of a flow (A21)
	DSCP, DSCPMask uint8  // six bits each, right-aligned; DSCPMask 0: no selector

	FlowLabel, FlowLabelMask uint32 // IPv6; 20 bits; mask 0: no selector

	UIDs         UIDRange // valid only if HasUIDs
	HasUIDs      bool
	IPProto      uint8
	Sport, Dport PortRange
	TunID        uint64 // host order
	L3MDev       bool   // the table is that of the flow's L3 master (A26)

	Realms uint32 // IPv4, no selector (A27): source realm << 16 | destination realm
	Table  uint32 // valid only if Action is ActLookup and L3MDev is not set
	Goto   uint32 // priority of the target; valid only if Action is ActGoto

	SuppressPrefixLength Opt32 // see Suppresses
	SuppressIfGroup      Opt32

	Protocol uint8 // who installed the rule (RTPROT_*); no selector
}

// Opt32 is an optional number; the zero value is "not set".
type Opt32 struct {
	V   uint32
	Set bool
}

// Some returns v, set.
func Some(v uint32) Opt32 { return Opt32{V: v, Set: true} }

// normal maps the kernel's own "not set", -1, to the zero value.
func (o Opt32) normal() Opt32 {
	if !o.Set || o.V == 1<<32-1 {
		return Opt32{}
	}
	return o
}

// UIDRange is an inclusive range of user ids.
type UIDRange struct{ Start, End uint32 }

// PortRange selects ports: an inclusive range, or, with Start equal to End, the
// ports that agree with Start under Mask (0xffff: just that one). The zero
// value is no selector (A23).
type PortRange struct{ Start, End, Mask uint16 }

// Port selects one port.
func Port(n uint16) PortRange { return PortRange{Start: n, End: n, Mask: 0xffff} }

// Ports selects the ports from start to end.
func Ports(start, end uint16) PortRange { return PortRange{Start: start, End: end}.normal() }

// IsSet reports whether p selects at all.
func (p PortRange) IsSet() bool { return p.Start != 0 && p.End != 0 }

// Contains reports whether p selects the port.
func (p PortRange) Contains(port uint16) bool {
	if !p.IsSet() {
		return true
	}
	if p.Mask != 0 {
		return (p.Start^port)&p.Mask == 0
	}
	return p.Start <= port && port <= p.End
}

func (p PortRange) normal() PortRange {
	if p.Mask == 0 && p.Start == p.End && p.Start != 0 {
		p.Mask = 0xffff
	}
	return p
}

// String returns "80", "80-90" or "0x50/0xfff0", as iproute2 does; "" for the
// zero value.
func (p PortRange) String() string {
	switch {
	case p == PortRange{}:
		return ""
	case p.Start != p.End:
		return strconv.Itoa(int(p.Start)) + "-" + strconv.Itoa(int(p.End))
	case p.Mask != 0 && p.Mask != 0xffff:
		return "0x" + strconv.FormatUint(uint64(p.Start), 16) + "/0x" + strconv.FormatUint(uint64(p.Mask), 16)
	}
	return strconv.Itoa(int(p.Start))
}

// normal returns r as a kernel stores and dumps it.
func (r Rule) normal() Rule {
	if r.From.Bits() <= 0 {
		r.From = netip.Prefix{}
	}
	if r.To.Bits() <= 0 {
		r.To = netip.Prefix{}
	}
	if r.DSCP != 0 && r.DSCPMask == 0 {
		r.DSCPMask = 0x3f
	}
	if r.Family == Inet6 {
		r.Realms = 0
	} else {
		r.FlowLabel, r.FlowLabelMask = 0, 0
	}
	if !r.HasUIDs {
		r.UIDs = UIDRange{}
	}
	r.Sport, r.Dport = r.Sport.normal(), r.Dport.normal()
	r.SuppressPrefixLength = r.SuppressPrefixLength.normal()
	r.SuppressIfGroup = r.SuppressIfGroup.normal()
	return r
}

// RequiresDissection reports whether r makes IPv4 input lookups carry protocol
// and ports (0.3). Interface index 1 is taken to be the link named "lo".
func (r *Rule) RequiresDissection() bool {
	return r.Iif != "lo" && (r.IPProto != 0 || r.Sport.IsSet() || r.Dport.IsSet())
}
