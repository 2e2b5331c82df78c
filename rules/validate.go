package rules

import (
	"net/netip"
	"strings"

	"github.com/fibula-net/fibula/internal/errno"
)

// checkRequest applies what a kernel checks in every request, before it looks
// at the list; deleting is checked like adding (A6).
func checkRequest(q *Request, attrs Attr) *Error {
	for _, name := range [...]struct{ selector, name string }{{"iif", q.Iif}, {"oif", q.Oif}} {
		if len(name.name) > maxName {
			return refuse(errno.ERANGE, "%s %q: longer than %d bytes", name.selector, name.name, maxName)
		}
		if strings.IndexByte(name.name, 0) >= 0 {
			return refuse(errno.EINVAL, "%s %q: a name ends before a NUL byte", name.selector, name.name)
		}
	}
	if q.DSCP > 0x3f {
		return refuse(errno.ERANGE, "dscp %d: above 63", q.DSCP)
	}
	if q.DSCPMask > 0x3f {
		return refuse(errno.EINVAL, "dscp mask %#x: above 0x3f", q.DSCPMask)
	}
	if err := checkPrefix("from", q.From, q.Family); err != nil {
		return err
	}
	if err := checkPrefix("to", q.To, q.Family); err != nil {
		return err
	}
	switch {
	case attrs&AttrL3MDev != 0 && !q.L3MDev:
		return refuse(errno.EINVAL, "l3mdev 0: only 1 is possible; leave it out instead")
	case attrs&AttrGoto != 0 && q.Action != ActGoto:
		return refuse(errno.EINVAL, "goto %d: the action is %s", q.Goto, q.Action)
	case attrs&AttrGoto == 0 && q.Action == ActGoto:
		return refuse(errno.EINVAL, "goto: no target priority")
	case q.L3MDev && q.Table != 0:
		return refuse(errno.EINVAL, "table %d: an l3mdev rule takes the table of the L3 master", q.Table)
	}
	if u := q.UIDs; attrs&AttrUIDRange != 0 {
		const invalid = 1<<32 - 1
		if u.Start == invalid || u.End == invalid {
			return refuse(errno.EINVAL, "uidrange %d-%d: 4294967295 is no user id", u.Start, u.End)
		}
		if u.Start > u.End {
			return refuse(errno.EINVAL, "uidrange %d-%d: start above end", u.Start, u.End)
		}
	}
	if err := checkPorts("sport", q.Sport, attrs&AttrSport != 0, attrs&AttrSportMask != 0); err != nil {
		return err
	}
	return checkPorts("dport", q.Dport, attrs&AttrDport != 0, attrs&AttrDportMask != 0)
}

func checkPrefix(selector string, p netip.Prefix, f Family) *Error {
	if p == (netip.Prefix{}) {
		return nil
	}
	if !p.IsValid() {
		return refuse(errno.EINVAL, "%s %v: invalid prefix", selector, p)
	}
	if FamilyOf(p.Addr()) != f {
		return refuse(errno.EINVAL, "%s %v: not an %s prefix", selector, p, f)
	}
	return nil
}

func checkPorts(selector string, p PortRange, hasRange, hasMask bool) *Error {
	if hasRange {
		switch {
		case p.Start == 0:
			return refuse(errno.EINVAL, "%s %d-%d: start is 0", selector, p.Start, p.End)
		case p.End == 0xffff:
			return refuse(errno.EINVAL, "%s %d-%d: end is 65535", selector, p.Start, p.End)
		case p.Start > p.End:
			return refuse(errno.EINVAL, "%s %d-%d: start above end", selector, p.Start, p.End)
		}
	}
	if !hasMask {
		return nil
	}
	switch {
	case !hasRange:
		return refuse(errno.EINVAL, "%s mask %#x: no port", selector, p.Mask)
	case p.Start != p.End:
		return refuse(errno.EINVAL, "%s mask %#x: %d-%d is a range", selector, p.Mask, p.Start, p.End)
	case p.Start&^p.Mask != 0:
		return refuse(errno.EINVAL, "%s %#x/%#x: port has bits outside the mask", selector, p.Start, p.Mask)
	}
	return nil
}

// checkGoto refuses a jump that is not forward. r has its final priority.
func checkGoto(r *Rule) *Error {
	if r.Action == ActGoto && r.Goto <= r.Priority {
		return refuse(errno.EINVAL, "goto %d: not above the rule's own priority %d", r.Goto, r.Priority)
	}
	return nil
}

// checkSelectors applies what a kernel checks only when it adds a rule, after
// the search for a duplicate (A6).
func checkSelectors(q *Request, attrs Attr) *Error {
	if q.Family == Inet && attrs&(AttrFlowLabel|AttrFlowLabelMask) != 0 {
		return refuse(errno.EINVAL, "flowlabel %#x: IPv4 has no flow label", q.FlowLabel)
	}
	switch {
	case q.TOS&3 != 0:
		return refuse(errno.EINVAL, "tos %#x: bits 0 and 1 are not part of the TOS", q.TOS)
	case q.Family == Inet && q.TOS&^tosMask != 0:
		return refuse(errno.EINVAL, "tos %#x: bits outside 0x1c; IPv4 needs dscp for them", q.TOS)
	case attrs&AttrDSCP != 0 && q.TOS != 0:
		return refuse(errno.EINVAL, "dscp %d: not together with tos %#x", q.DSCP, q.TOS)
	case attrs&AttrDSCPMask != 0 && attrs&AttrDSCP == 0:
		return refuse(errno.EINVAL, "dscp mask %#x: no dscp", q.DSCPMask)
	case attrs&AttrDSCPMask != 0 && q.DSCP&^q.DSCPMask != 0:
		return refuse(errno.EINVAL, "dscp %#x/%#x: value has bits outside the mask", q.DSCP, q.DSCPMask)
	}
	if q.Family != Inet6 {
		return nil
	}
	switch both := AttrFlowLabel | AttrFlowLabelMask; {
	case attrs&both == AttrFlowLabel:
		return refuse(errno.EINVAL, "flowlabel %#x: no mask", q.FlowLabel)
	case attrs&both == AttrFlowLabelMask:
		return refuse(errno.EINVAL, "flowlabel mask %#x: no flow label", q.FlowLabelMask)
	case q.FlowLabelMask > 0xfffff:
		return refuse(errno.EINVAL, "flowlabel mask %#x: more than 20 bits", q.FlowLabelMask)
	case q.FlowLabel&^q.FlowLabelMask != 0:
		return refuse(errno.EINVAL, "flowlabel %#x/%#x: value has bits outside the mask", q.FlowLabel, q.FlowLabelMask)
	}
	if q.Action == ActLookup && !q.L3MDev && q.Table == 0 {
		return refuse(errno.EINVAL, "table 0: an IPv6 rule needs a table")
	}
	return nil
}
