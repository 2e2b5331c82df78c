package rtnl

import (
	"encoding/binary"
	"fmt"

	"github.com/fibula-net/fibula/rules"
)

const ruleHeadLen = 12

// DecodeRule reads an RTM_NEWRULE or RTM_DELRULE of IPv4 or IPv6. The rule of a
// dump is q.Rule; q.Present names the attributes that were there, which matters
// for requests (A4, A5). All of q is overwritten.
//
// A mark without a mask has mask 0xffffffff, suppressors of 0xffffffff are not
// set, a DSCP or port without a mask is compared in full. Whether a named link
// exists and whether a goto finds its target is left out: it follows from the
// rest (A18, A28).
//
// Errors that wrap [ErrSkip]: another family (multicast routing's rules).
func DecodeRule(m Message, q *rules.Request, rep *Report) error {
	*q = rules.Request{}
	b := m.Data
	if len(b) < ruleHeadLen {
		return short(&m, ruleHeadLen)
	}
	fam, err := family(&m, b[0], rep)
	if err != nil {
		return err
	}
	d := ruleMsg{q: q}
	dstLen, srcLen, flags := b[1], b[2], ne.Uint32(b[8:])
	q.Family, q.TOS, q.Table, q.Action = fam, b[3], uint32(b[4]), rules.Action(b[7])
	q.Not, q.FindSaddr = flags&ruleFlagInvert != 0, flags&ruleFlagFindSaddr != 0
	rep.flags(m.Type, "fib_rule_hdr.flags", flags&^(ruleFlagInvert|ruleFlagFindSaddr|ruleFlagsDerived))
	for b = b[ruleHeadLen:]; len(b) > 0; {
		t, v, rest, err := nextAttr(b)
		if err != nil {
			return wrap(&m, err)
		}
		b = rest
		switch t {
		case fraDst:
			q.To = d.prefix("FRA_DST", fam, d.addr("FRA_DST", fam, v), dstLen)
		case fraSrc:
			q.From = d.prefix("FRA_SRC", fam, d.addr("FRA_SRC", fam, v), srcLen)
		default:
			if !d.attr(t, v) {
				rep.attr(m.Type, &fraSpace, t)
			}
		}
	}
	if dstLen != 0 && !q.To.IsValid() || srcLen != 0 && !q.From.IsValid() {
		d.err = fmt.Errorf("prefix lengths %d and %d in the head, but no address for it", dstLen, srcLen)
	}
	d.defaults()
	return wrap(&m, d.err)
}

type ruleMsg struct {
	field
	q *rules.Request
}

func (d *ruleMsg) attr(t uint16, v []byte) bool {
	q := d.q
	switch t {
	case fraIifName:
		q.Iif = d.str(v)
	case fraOifName:
		q.Oif = d.str(v)
	case fraGoto:
		q.Goto = d.have(rules.AttrGoto, "FRA_GOTO", v)
	case fraPriority:
		q.Priority = d.have(rules.AttrPriority, "FRA_PRIORITY", v)
	case fraFwMark:
		q.Mark = d.u32("FRA_FWMARK", v)
	case fraFwMask:
		q.MarkMask = d.have(rules.AttrMarkMask, "FRA_FWMASK", v)
	case fraFlow:
		q.Realms = d.have(rules.AttrRealms, "FRA_FLOW", v)
	case fraTunID:
		if len(v) < 8 {
			d.fail("FRA_TUN_ID", v)
			break
		}
		q.TunID = binary.BigEndian.Uint64(v)
	case fraSuppressIfGroup:
		q.SuppressIfGroup = suppressor(d.u32("FRA_SUPPRESS_IFGROUP", v))
	case fraSuppressPrefixLen:
		q.SuppressPrefixLength = suppressor(d.u32("FRA_SUPPRESS_PREFIXLEN", v))
	case fraTable:
		q.Table = d.u32("FRA_TABLE", v)
	case fraL3MDev:
		q.L3MDev = d.u8("FRA_L3MDEV", v) == 1 // no other value is a rule's (L4)
		q.Present |= rules.AttrL3MDev
	case fraUIDRange:
		if len(v) < 8 {
			d.fail("FRA_UID_RANGE", v)
			break
		}
		q.UIDs, q.HasUIDs = rules.UIDRange{Start: ne.Uint32(v), End: ne.Uint32(v[4:])}, true
		q.Present |= rules.AttrUIDRange
	case fraProtocol:
		q.Protocol = d.u8("FRA_PROTOCOL", v)
	case fraIPProto:
		q.IPProto = d.u8("FRA_IP_PROTO", v)
	case fraSportRange:
		d.ports(&q.Sport, rules.AttrSport, "FRA_SPORT_RANGE", v)
	case fraDportRange:
		d.ports(&q.Dport, rules.AttrDport, "FRA_DPORT_RANGE", v)
	case fraSportMask:
		q.Sport.Mask = d.u16("FRA_SPORT_MASK", v)
		q.Present |= rules.AttrSportMask
	case fraDportMask:
		q.Dport.Mask = d.u16("FRA_DPORT_MASK", v)
		q.Present |= rules.AttrDportMask
	case fraDSCP:
		q.DSCP = d.u8("FRA_DSCP", v)
		q.Present |= rules.AttrDSCP
	case fraDSCPMask:
		q.DSCPMask = d.u8("FRA_DSCP_MASK", v)
		q.Present |= rules.AttrDSCPMask
	case fraFlowLabel:
		q.FlowLabel = d.be32("FRA_FLOWLABEL", v)
		q.Present |= rules.AttrFlowLabel
	case fraFlowLabelMask:
		q.FlowLabelMask = d.be32("FRA_FLOWLABEL_MASK", v)
		q.Present |= rules.AttrFlowLabelMask
	case fraPad: // no meaning
	default:
		return false
	}
	return true
}

// have is a number of which "absent" and "zero" differ.
func (d *ruleMsg) have(a rules.Attr, name string, v []byte) uint32 {
	d.q.Present |= a
	return d.u32(name, v)
}

func (d *ruleMsg) ports(p *rules.PortRange, a rules.Attr, name string, v []byte) {
	if len(v) < 4 {
		d.fail(name, v)
		return
	}
	p.Start, p.End = ne.Uint16(v), ne.Uint16(v[2:])
	d.q.Present |= a
}

func suppressor(v uint32) rules.Opt32 {
	if v == ruleSuppressNone {
		return rules.Opt32{}
	}
	return rules.Some(v)
}

// defaults fills in what an absent attribute means.
func (d *ruleMsg) defaults() {
	q := d.q
	if q.Present&rules.AttrMarkMask == 0 && q.Mark != 0 {
		q.MarkMask = markMaskAll
	}
	if q.Present&rules.AttrDSCPMask == 0 && q.Present&rules.AttrDSCP != 0 {
		q.DSCPMask = 0x3f
	}
	for _, p := range [...]*rules.PortRange{&q.Sport, &q.Dport} {
		if p.Mask == 0 && p.Start == p.End && p.Start != 0 {
			p.Mask = 0xffff
		}
	}
}

// AppendRule appends q as a request, h.Type RTM_NEWRULE or RTM_DELRULE. Every
// field that is not zero is sent, and what q.Present names. Masks that mean no
// more than their absence (a full DSCP mask, 0xffff for one port) are left out
// unless q.Present has them, because older kernels refuse what they do not know.
func AppendRule(b []byte, h Header, q *rules.Request) ([]byte, error) {
	for _, name := range [...]string{q.Iif, q.Oif} {
		if len(name) > 15 {
			return b, fmt.Errorf("rule: interface name %q has more than 15 bytes", name)
		}
	}
	e := begin(b, h)
	var flags uint32
	if q.Not {
		flags |= ruleFlagInvert
	}
	if q.FindSaddr {
		flags |= ruleFlagFindSaddr
	}
	var table byte
	if q.Table <= maxRuleTableInHeader {
		table = byte(q.Table)
	}
	e.bytes(byte(q.Family), byte(max(0, q.To.Bits())), byte(max(0, q.From.Bits())), q.TOS, table, 0, 0, byte(q.Action))
	e.num32(flags)
	if q.To.IsValid() {
		e.addr(fraDst, q.To.Addr())
	}
	if q.From.IsValid() {
		e.addr(fraSrc, q.From.Addr())
	}
	if q.Iif != "" {
		e.str(fraIifName, q.Iif)
	}
	if q.Oif != "" {
		e.str(fraOifName, q.Oif)
	}
	has := func(a rules.Attr) bool { return q.Present&a != 0 }
	e.opt32(fraGoto, q.Goto, has(rules.AttrGoto))
	e.opt32(fraPriority, q.Priority, has(rules.AttrPriority))
	e.opt32(fraFwMark, q.Mark, false)
	e.opt32(fraFwMask, q.MarkMask, has(rules.AttrMarkMask))
	e.opt32(fraFlow, q.Realms, has(rules.AttrRealms))
	e.opt32(fraTable, q.Table, false)
	if q.TunID != 0 {
		e.raw(fraTunID, binary.BigEndian.AppendUint64(nil, q.TunID))
	}
	e.opt32(fraSuppressIfGroup, q.SuppressIfGroup.V, q.SuppressIfGroup.Set)
	e.opt32(fraSuppressPrefixLen, q.SuppressPrefixLength.V, q.SuppressPrefixLength.Set)
	if q.L3MDev || has(rules.AttrL3MDev) {
		var on uint8
		if q.L3MDev {
			on = 1
		}
		e.u8(fraL3MDev, on)
	}
	if q.HasUIDs || has(rules.AttrUIDRange) {
		e.raw(fraUIDRange, ne.AppendUint32(ne.AppendUint32(nil, q.UIDs.Start), q.UIDs.End))
	}
	e.opt8(fraProtocol, q.Protocol, false)
	e.opt8(fraIPProto, q.IPProto, false)
	e.ports(fraSportRange, fraSportMask, q.Sport, has(rules.AttrSport), has(rules.AttrSportMask))
	e.ports(fraDportRange, fraDportMask, q.Dport, has(rules.AttrDport), has(rules.AttrDportMask))
	e.opt8(fraDSCP, q.DSCP, q.DSCPMask != 0 || has(rules.AttrDSCP))
	if q.DSCPMask != 0 && q.DSCPMask != 0x3f || has(rules.AttrDSCPMask) {
		e.u8(fraDSCPMask, q.DSCPMask)
	}
	if q.FlowLabel|q.FlowLabelMask != 0 || has(rules.AttrFlowLabel) {
		e.raw(fraFlowLabel, binary.BigEndian.AppendUint32(nil, q.FlowLabel))
	}
	if q.FlowLabelMask != 0 || has(rules.AttrFlowLabelMask) {
		e.raw(fraFlowLabelMask, binary.BigEndian.AppendUint32(nil, q.FlowLabelMask))
	}
	return e.end()
}

func (e *encoder) opt32(t uint16, v uint32, always bool) {
	if v != 0 || always {
		e.u32(t, v)
	}
}

func (e *encoder) opt8(t uint16, v uint8, always bool) {
	if v != 0 || always {
		e.u8(t, v)
	}
}

func (e *encoder) ports(tRange, tMask uint16, p rules.PortRange, always, mask bool) {
	if p.Start|p.End != 0 || always {
		e.raw(tRange, ne.AppendUint16(ne.AppendUint16(nil, p.Start), p.End))
	}
	if p.Mask != 0 && !(p.Mask == 0xffff && p.Start == p.End) || mask {
		e.u16(tMask, p.Mask)
	}
}
