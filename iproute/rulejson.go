package iproute

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/fibula-net/fibula/rules"
)

// Rules have the keys of "ip -j -d rule show", with "family" before them, which ip does
// not write, and "find_saddr" (FIB_RULE_FIND_SADDR), which it does not know.

const allOnes = 1<<32 - 1

// rule reads one rule. family is that of the dump; 0: the key "family" tells.
func (d *decoder) rule(family rules.Family) rules.Rule {
	const object = "rule"
	r := rules.Rule{Family: family}
	var src, dst selector
	var sport, dport ports
	var mask, dscpMask, labelMask, protocol rules.Opt32
	var action rules.Action
	hasAction, hasTable, hasGoto, isNop, hasMark, hasDSCP, hasLabel := false, false, false, false, false, false, false
	for it := d.object(); it.next(); {
		key := d.key()
		if src.key("src", key, d) || dst.key("dst", key, d) || sport.key("sport", key, d) || dport.key("dport", key, d) {
			continue
		}
		switch string(key) {
		case "family":
			r.Family = d.family()
		case "priority":
			r.Priority = d.u32()
		case "not":
			r.Not = d.flag()
		case "find_saddr":
			r.FindSaddr = d.flag()
		case "tos":
			r.TOS = word(d, "tos", 8, d.names.DSField)
		case "fwmark":
			r.Mark, hasMark = d.u32(), true
		case "fwmask":
			mask = rules.Some(d.u32())
		case "iif":
			r.Iif = string(d.str())
		case "oif":
			r.Oif = string(d.str())
		case "l3mdev":
			r.L3MDev = d.flag()
		case "uid_start":
			r.UIDs.Start, r.HasUIDs = d.u32(), true
		case "uid_end":
			r.UIDs.End, r.HasUIDs = d.u32(), true
		case "ipproto":
			r.IPProto = word(d, "ipproto", 8, d.names.IPProto)
		case "tun_id":
			r.TunID = d.uint(64)
		case "table":
			r.Table, hasTable = word(d, "table", 32, d.names.Table), true
		case "suppress_prefixlen", "suppress_prefixlength":
			r.SuppressPrefixLength = rules.Some(d.u32())
		case "suppress_ifgroup":
			r.SuppressIfGroup = rules.Some(word(d, "suppress_ifgroup", 32, d.names.Group))
		case "flow_from":
			r.Realms |= uint32(word(d, "realm", 16, d.names.Realm)) << 16
		case "flow_to":
			r.Realms |= uint32(word(d, "realm", 16, d.names.Realm))
		case "goto":
			r.Goto, hasGoto = d.gotoTarget(), true
		case "nop":
			isNop = d.flag()
		case "action":
			action, hasAction = d.action(), true
		case "protocol":
			protocol = rules.Some(uint32(word(d, "protocol", 8, d.names.Protocol)))
		case "dscp":
			r.DSCP, hasDSCP = word(d, "dscp", 8, dscpWord), true
		case "dscp_mask":
			dscpMask = rules.Some(uint32(d.u8()))
		case "flowlabel":
			r.FlowLabel, hasLabel = d.u32(), true
		case "flowlabel_mask":
			labelMask = rules.Some(d.u32())
		case "iif_detached", "oif_detached", "unresolved":
			d.skipKnown(object, key) // follow from the links and the other rules
		default:
			d.unknown(object, key)
		}
	}
	r.From, r.To = src.prefix(d, &r, "src"), dst.prefix(d, &r, "dst")
	r.Sport, r.Dport = sport.value(d, "sport"), dport.value(d, "dport")
	r.MarkMask = valueMask(hasMark, mask, allOnes)
	r.DSCPMask = uint8(valueMask(hasDSCP, dscpMask, 0x3f))
	r.FlowLabelMask = valueMask(hasLabel, labelMask, 0xfffff)
	switch {
	case hasAction:
		r.Action = action
	case isNop:
		r.Action = rules.ActNop
	case hasGoto:
		r.Action = rules.ActGoto
	case hasTable || r.L3MDev:
		r.Action = rules.ActLookup
	default:
		d.fail("rule %d: has neither table, l3mdev, goto, nop nor action", r.Priority)
	}
	if r.Family.Bits() == 0 {
		d.fail("rule %d: \"family\" is missing; expected inet or inet6", r.Priority)
	}
	r.Protocol = uint8(protocol.V)
	if !protocol.Set {
		r.Protocol = hiddenProtocol(r)
	}
	return r
}

// hiddenProtocol is the protocol of a rule that ip shows without one, as it does kernel and
// unspec unless asked for details: the initial rules are the kernel's.
func hiddenProtocol(r rules.Rule) uint8 {
	for _, i := range rules.Initial(r.Family).All() {
		protocol := i.Protocol
		if i.Protocol = r.Protocol; i == r {
			return protocol
		}
	}
	return r.Protocol
}

// valueMask is the mask of a selector: all of it where a value came without one.
func valueMask(hasValue bool, mask rules.Opt32, full uint32) uint32 {
	if hasValue && !mask.Set {
		return full
	}
	return mask.V
}

func (d *decoder) family() (f rules.Family) {
	s := d.str()
	if d.err == nil {
		if err := f.UnmarshalText(s); err != nil {
			d.fail("%w", err)
		}
	}
	return f
}

func (d *decoder) gotoTarget() uint32 {
	if d.peek() != '"' {
		return d.u32()
	}
	if s := d.str(); string(s) != "none" && d.err == nil {
		d.fail("goto %q: expected a priority or \"none\"", s)
	}
	return 0
}

// action reads an action that has no key of its own. iproute2 writes the route type of
// the same number, also for numbers that no kernel knows.
func (d *decoder) action() rules.Action {
	return rules.Action(word(d, "action", 8, func(s string) (uint8, error) {
		var a rules.Action
		if err := a.UnmarshalText([]byte(s)); err == nil {
			return uint8(a), nil
		}
		return typeWord(s)
	}))
}

// selector is a prefix of a rule as iproute2 writes it: "all", or an address and a length
// that is left out when full.
type selector struct {
	addr netip.Addr
	len  rules.Opt32
}

func (s *selector) key(name string, key []byte, d *decoder) bool {
	rest, ok := strings.CutPrefix(string(key), name)
	switch {
	case ok && rest == "":
		if text := d.str(); string(text) != "all" && d.err == nil {
			a, err := netip.ParseAddr(string(text))
			if err != nil || a.Zone() != "" {
				d.fail("%s %q: expected an IP address or \"all\"", name, text)
				return true
			}
			s.addr = a
		}
	case ok && rest == "len":
		s.len = rules.Some(uint32(d.u8()))
	default:
		return false
	}
	return true
}

func (s *selector) prefix(d *decoder, r *rules.Rule, name string) netip.Prefix {
	if d.err != nil || !s.addr.IsValid() {
		return netip.Prefix{}
	}
	bits := s.addr.BitLen()
	if s.len.Set {
		bits = int(s.len.V)
	}
	p := netip.PrefixFrom(s.addr, bits)
	switch {
	case rules.FamilyOf(s.addr) != r.Family && r.Family != 0:
		d.fail("rule %d: %s %s is not of family %s", r.Priority, name, s.addr, r.Family)
	case !p.IsValid():
		d.fail("rule %d: %slen %d is longer than an address", r.Priority, name, bits)
	case bits == 0 && d.capture:
		return netip.Prefix{} // no selector
	}
	return p
}

// ports is a port selector as iproute2 writes it: one port, a range, or a port and a mask.
type ports struct {
	start, end uint16
	set        bool
	mask       rules.Opt32
}

func (p *ports) key(name string, key []byte, d *decoder) bool {
	rest, ok := strings.CutPrefix(string(key), name)
	if !ok {
		return false
	}
	switch rest {
	case "":
		p.start, p.set = d.u16(), true
		p.end = p.start
	case "_start":
		p.start, p.set = d.u16(), true
	case "_end":
		p.end, p.set = d.u16(), true
	case "_mask":
		p.mask = rules.Some(uint32(d.u16()))
	default:
		return false
	}
	return true
}

func (p *ports) value(d *decoder, name string) rules.PortRange {
	r := rules.PortRange{Start: p.start, End: p.end, Mask: uint16(p.mask.V)}
	if p.set && !p.mask.Set && p.start == p.end {
		r.Mask = 0xffff
	}
	if p.mask.Set && !p.set {
		d.fail("%s_mask without %s", name, name)
	}
	return r
}

// dscpWord reads the names of RFC 2474, RFC 2597 and RFC 3246, which iproute2's rt_dsfield has.
func dscpWord(s string) (uint8, error) {
	switch word := strings.ToUpper(s); {
	case word == "EF":
		return 46, nil
	case word == "DEFAULT":
		return 0, nil
	case len(word) == 3 && word[:2] == "CS" && '0' <= word[2] && word[2] <= '7':
		return (word[2] - '0') << 3, nil
	case len(word) == 4 && word[:2] == "AF" && '1' <= word[2] && word[2] <= '4' && '1' <= word[3] && word[3] <= '3':
		return (word[2]-'0')<<3 | (word[3]-'0')<<1, nil
	}
	return 0, fmt.Errorf("%.40q is unknown; expected a number up to 63 or a name such as EF, CS5, AF41", s)
}
