package rules

import "net/netip"

// Profile says how the kernel that is followed matches, where versions differ.
// The zero value compares the indexes of links and knows every attribute.
type Profile struct {
	// L3MDevByDomain: an iif or oif selector that names an L3 master matches
	// every flow of its domain (6.15, L16), instead of comparing indexes.
	L3MDevByDomain bool

	// Unknown are attributes that came after the kernel, which ignores them: the
	// rule is made without the selector and matches more (section I).
	Unknown Attr
}

// Match reports whether rule i matches the flow, and why not. The selectors are
// tested in the kernel's order and the first that does not hold ends the test:
// iif, oif, fwmark, tun_id, l3mdev, uidrange; then for IPv4 from, to, for IPv6
// to, from; then tos or dscp, flowlabel (IPv6), ipproto, sport, dport.
//
// failed is SelNone for a match. For an inverted rule (A14) it is the other way
// round: a match names the selector that did not hold, and a miss is SelNot,
// since every selector held.
//
// deferred is true for a match of an IPv6 rule with FindSaddr and From while
// the flow has no source (A17): after a successful lookup a source must be
// selected, and the walk goes on if it is not in From. This does not depend on
// Not, which the deferred test ignores.
//
// It panics unless 0 ≤ i < Len. It never allocates, and costs a few comparisons.
func (l *List) Match(i int, f *Flow, p Profile) (matched bool, failed Selector, deferred bool) {
	e := l.rules.at(i)
	failed = e.firstMiss(f, p)
	matched = (failed == SelNone) != e.Not
	if !matched && e.Not {
		failed = SelNot
	}
	deferred = matched && e.defersFrom(f)
	return matched, failed, deferred
}

// isOpen reports whether e has no selector, so that every flow matches.
func (e *Entry) isOpen() bool {
	return e.Iif == "" && e.Oif == "" && e.MarkMask == 0 && e.TunID == 0 && !e.L3MDev && !e.HasUIDs && !e.Not &&
		e.From.Bits() <= 0 && e.To.Bits() <= 0 && e.TOS == 0 && e.DSCPMask == 0 && e.FlowLabelMask == 0 &&
		e.IPProto == 0 && !e.Sport.IsSet() && !e.Dport.IsSet()
}

// NotesL3Table reports whether testing r for f, with the given outcome of Match,
// reached an l3mdev selector that held. A kernel remembers the L3 master's table
// at that point for the rest of the walk, and every matching l3mdev rule uses
// the remembered table, main if there is none. The two differ only for inverted
// l3mdev rules (A26).
func (r *Rule) NotesL3Table(f *Flow, failed Selector) bool {
	if !r.L3MDev || f.L3Master == 0 {
		return false
	}
	switch failed {
	case SelIif, SelIifDetached, SelOif, SelOifDetached, SelMark, SelTunID:
		return false
	}
	return true
}

// firstMiss returns the first selector that does not hold.
func (e *Entry) firstMiss(f *Flow, p Profile) Selector {
	if e.Iif != "" {
		switch {
		case e.IifIndex == 0:
			return SelIifDetached
		case e.IifMaster && p.L3MDevByDomain:
			if f.L3FromOif || f.L3Master != e.IifIndex {
				return SelIif
			}
		case f.Iif != e.IifIndex:
			return SelIif
		}
	}
	if e.Oif != "" {
		switch {
		case e.OifIndex == 0:
			return SelOifDetached
		case e.OifMaster && p.L3MDevByDomain:
			if !f.L3FromOif || f.L3Master != e.OifIndex {
				return SelOif
			}
		case f.Oif != e.OifIndex:
			return SelOif
		}
	}
	switch {
	case (e.Mark^f.Mark)&e.MarkMask != 0:
		return SelMark
	case e.TunID != 0 && e.TunID != f.TunID:
		return SelTunID
	case e.L3MDev && f.L3Master == 0:
		return SelL3MDev
	case e.HasUIDs && (f.UID < e.UIDs.Start || f.UID > e.UIDs.End):
		return SelUID
	}
	var miss Selector
	if e.Family == Inet6 {
		miss = e.firstMiss6(f)
	} else {
		miss = e.firstMiss4(f)
	}
	switch {
	case miss != SelNone:
		return miss
	case e.IPProto != 0 && e.IPProto != f.IPProto:
		return SelIPProto
	case !e.Sport.Contains(f.Sport):
		return SelSport
	case !e.Dport.Contains(f.Dport):
		return SelDport
	}
	return SelNone
}

// tosMask is what IPv4 compares of a flow's TOS byte where the rule has a tos
// selector: the upper three DSCP bits of the flow are ignored (A21).
const tosMask = 0x1c

func (e *Entry) firstMiss4(f *Flow) Selector {
	switch {
	case !covers(e.From, f.Src, Inet):
		return SelFrom
	case !covers(e.To, f.Dst, Inet):
		return SelTo
	case e.TOS != 0 && e.TOS != f.TOS&tosMask:
		return SelTOS
	case (e.DSCP^f.TOS>>2)&e.DSCPMask != 0:
		return SelDSCP
	}
	return SelNone
}

func (e *Entry) firstMiss6(f *Flow) Selector {
	if !covers(e.To, f.Dst, Inet6) {
		return SelTo
	}
	if e.From.Bits() > 0 {
		if f.hasSource() {
			if !covers(e.From, f.Src, Inet6) {
				return SelFrom
			}
		} else if !e.FindSaddr {
			return SelFrom
		}
	}
	switch {
	case e.TOS != 0 && e.TOS>>2 != f.TOS>>2:
		return SelTOS
	case (e.DSCP^f.TOS>>2)&e.DSCPMask != 0:
		return SelDSCP
	case (e.FlowLabel^f.FlowLabel)&e.FlowLabelMask != 0:
		return SelFlowLabel
	}
	return SelNone
}

// defersFrom reports whether the rule's From must be compared with the source
// that is selected after the lookup.
func (e *Entry) defersFrom(f *Flow) bool {
	return e.FindSaddr && e.Family == Inet6 && e.From.Bits() > 0 && !f.hasSource()
}

// covers reports whether a lies in p, where a length of 0 (or no prefix) covers
// everything and the zero Addr is the unset address of the family.
func covers(p netip.Prefix, a netip.Addr, f Family) bool {
	if p.Bits() <= 0 {
		return true
	}
	if !a.IsValid() {
		a = netip.IPv6Unspecified()
		if f == Inet {
			a = netip.IPv4Unspecified()
		}
	}
	return p.Contains(a.WithZone(""))
}

// Suppressor names the reason for which a rule drops a successful lookup.
type Suppressor uint8

// The suppressors of a rule (A15).
const (
	SuppressNone Suppressor = iota
	SuppressPrefixLength
	SuppressIfGroup
)

// String returns iproute2's word, or "none".
func (s Suppressor) String() string {
	switch s {
	case SuppressPrefixLength:
		return "suppress_prefixlength"
	case SuppressIfGroup:
		return "suppress_ifgroup"
	}
	return "none"
}

// MarshalText writes what String returns.
func (s Suppressor) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Suppresses reports whether r drops a successful lookup whose route has the
// prefix length bits and whose device is in the given group, so that the walk
// goes on with the next rule (A15). It is not for failed lookups. Which leg's
// device counts is the caller's business: IPv4 takes the first leg. The group
// 1<<32-1 says that there is no device; no rule names it.
func (r *Rule) Suppresses(bits int, group uint32) bool {
	return r.SuppressedBy(bits, group) != SuppressNone
}

// SuppressedBy is Suppresses with the reason; the prefix length is tested first.
func (r *Rule) SuppressedBy(bits int, group uint32) Suppressor {
	// The kernel compares signed numbers, so that a huge length suppresses nothing.
	if r.SuppressPrefixLength.Set && bits <= int(int32(r.SuppressPrefixLength.V)) {
		return SuppressPrefixLength
	}
	if r.SuppressIfGroup.Set && group == r.SuppressIfGroup.V {
		return SuppressIfGroup
	}
	return SuppressNone
}
