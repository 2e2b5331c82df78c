package iproute

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/rules"
)

// rule reads the words after "rule add".
func (p *wordReader) rule(fam fib.Family) {
	r := rules.Rule{Action: rules.ActLookup, Protocol: uint8(p.d.opt.Protocol)}
	begin := p.peek()
	hasPriority, hasAction := false, false
	selector := func(key string) netip.Prefix {
		s := p.prefix(key, fam)
		if s.IsValid() && fam == 0 {
			fam = addrFamily(s.Addr())
		}
		if s.Bits() == 0 {
			return netip.Prefix{}
		}
		return s
	}
	action := func(a rules.Action) { r.Action, hasAction = a, true }
	for p.err == nil && len(p.words) > 0 {
		w := p.next("")
		switch w.text {
		case "not":
			r.Not = true
		case "from":
			r.From = selector("from")
		case "to":
			r.To = selector("to")
		case "pref", "preference", "priority", "order":
			at := p.peek()
			r.Priority, hasPriority = p.number(w.text, 32), true
			if may := p.d.opt.Priority; p.err == nil && may != nil && !may(r.Priority) {
				p.fail(at, fmt.Errorf("priority %d is not among those that are ours", r.Priority))
			}
		case "tos", "dsfield":
			r.TOS = named(p, "tos", p.d.names.DSField)
		case "dscp":
			r.DSCP, r.DSCPMask = masked8(p, "dscp", 0x3f)
		case "fwmark":
			r.Mark, r.MarkMask = p.masked32("fwmark", 1<<32-1)
		case "flowlabel":
			r.FlowLabel, r.FlowLabelMask = p.masked32("flowlabel", 0xfffff)
		case "iif", "dev":
			r.Iif = p.linkName(w.text)
		case "oif":
			r.Oif = p.linkName(w.text)
		case "l3mdev":
			r.L3MDev = true
			action(rules.ActLookup)
		case "uidrange":
			r.UIDs.Start, r.UIDs.End = p.numbers("uidrange", 32)
			r.HasUIDs = true
		case "ipproto":
			r.IPProto = named(p, "ipproto", p.d.names.IPProto)
		case "sport":
			r.Sport = p.ports("sport")
		case "dport":
			r.Dport = p.ports("dport")
		case "tun_id":
			v := p.value("tun_id")
			n, ok := parseUint(v.text, 0, 63)
			if !ok {
				p.fail(v, badValue("tun_id", v.text, "a number"))
			}
			r.TunID = n
		case "proto", "protocol":
			r.Protocol = uint8(p.protocol())
		case "realms":
			r.Realms = p.realms()
		case "suppress_prefixlength", "sup_pl":
			r.SuppressPrefixLength = rules.Some(p.number(w.text, 31))
		case "suppress_ifgroup", "sup_group":
			r.SuppressIfGroup = rules.Some(named(p, w.text, p.d.names.Group))
		case "lookup", "table":
			r.Table = named(p, w.text, p.d.names.Table)
			action(rules.ActLookup)
		case "goto":
			r.Goto = p.number("goto", 32)
			action(rules.ActGoto)
		case "nop":
			action(rules.ActNop)
		case "blackhole":
			action(rules.ActBlackhole)
		case "unreachable":
			action(rules.ActUnreachable)
		case "prohibit":
			action(rules.ActProhibit)
		case "family":
			v := p.value("family")
			switch v.text {
			case "inet":
				fam = fib.Inet
			case "inet6":
				fam = fib.Inet6
			default:
				p.fail(v, badValue("family", v.text, "inet or inet6"))
			}
		default:
			p.unknown(w, "rule")
		}
	}
	if fam == 0 {
		fam = fib.Inet
	}
	r.Family = fam
	switch {
	case p.err != nil:
	case !hasPriority:
		p.fail(begin, expected(ExitUsage, "", "a rule needs pref: a desired state says where its rules stand"))
	case !hasAction:
		p.fail(begin, expected(ExitUsage, "", "a rule needs an action, such as lookup TABLE"))
	case r.Action == rules.ActLookup && !r.L3MDev && r.Table == 0:
		p.fail(begin, expected(ExitUsage, "", "a rule cannot look up table 0"))
	default:
		list := rules.Load(fam, nil)
		_, stored, err := list.Add(rules.RequestOf(r), rules.AddFlags{})
		if err != nil {
			p.fail(begin, err)
			return
		}
		if p.d.once(p, begin, fmt.Sprintf("%v rule %v", fam, stored)); p.err == nil {
			p.d.st.Rules = append(p.d.st.Rules, stored)
		}
	}
}

func (p *wordReader) linkName(key string) string {
	w := p.value(key)
	if p.err == nil && (w.text == "" || len(w.text) > 15) {
		p.fail(w, badValue(key, w.text, "the name of a link, at most 15 bytes"))
	}
	return w.text
}

// masked32 reads VALUE or VALUE/MASK.
func (p *wordReader) masked32(key string, full uint32) (v, mask uint32) {
	w := p.value(key)
	s, m, cut := strings.Cut(w.text, "/")
	a, ok := parseUint(s, 0, 32)
	b := uint64(full)
	if cut && ok {
		b, ok = parseUint(m, 0, 32)
	}
	if !ok || a > uint64(full) || b > uint64(full) {
		p.fail(w, badValue(key, w.text, fmt.Sprintf("a number up to %#x, with or without /MASK", full)))
	}
	return uint32(a), uint32(b)
}

func masked8(p *wordReader, key string, full uint8) (v, mask uint8) {
	a, b := p.masked32(key, uint32(full))
	return uint8(a), uint8(b)
}

// numbers reads FIRST-LAST.
func (p *wordReader) numbers(key string, bits int) (first, last uint32) {
	w := p.value(key)
	s, e, cut := strings.Cut(w.text, "-")
	a, ok := parseUint(s, 0, bits)
	b, ok2 := parseUint(e, 0, bits)
	if !cut || !ok || !ok2 {
		p.fail(w, badValue(key, w.text, "FIRST-LAST"))
	}
	return uint32(a), uint32(b)
}

func (p *wordReader) ports(key string) rules.PortRange {
	w := p.value(key)
	if p.err != nil {
		return rules.PortRange{}
	}
	if s, m, cut := strings.Cut(w.text, "/"); cut {
		a, ok := parseUint(s, 0, 16)
		b, ok2 := parseUint(m, 0, 16)
		if ok && ok2 {
			return rules.PortRange{Start: uint16(a), End: uint16(a), Mask: uint16(b)}
		}
	} else {
		s, e, cut := strings.Cut(w.text, "-")
		if !cut {
			e = s
		}
		a, ok := parseUint(s, 0, 16)
		b, ok2 := parseUint(e, 0, 16)
		if ok && ok2 {
			return rules.Ports(uint16(a), uint16(b))
		}
	}
	p.fail(w, badValue(key, w.text, "a port, FIRST-LAST, or PORT/MASK"))
	return rules.PortRange{}
}

// nexthop reads the words after "nexthop add".
func (p *wordReader) nexthop(fam fib.Family) {
	o := fib.NexthopObject{Protocol: p.d.opt.Protocol}
	o.Nexthop.Weight = 1
	begin := p.peek()
	buckets := uint32(0)
	for p.err == nil && len(p.words) > 0 {
		w := p.next("")
		switch w.text {
		case "id":
			at := p.peek()
			o.ID = p.number("id", 32)
			if may := p.d.opt.Nexthop; p.err == nil && may != nil && !may(o.ID) {
				p.fail(at, fmt.Errorf("nexthop id %d is not among those that are ours", o.ID))
			}
		case "via":
			via := fam
			if p.is("inet") || p.is("inet6") {
				via = fib.Inet
				if p.next("").text == "inet6" {
					via = fib.Inet6
				}
			}
			if o.Nexthop.Gateway = p.addr("via", via); o.Nexthop.Gateway.IsValid() {
				fam = addrFamily(o.Nexthop.Gateway)
			}
			if o.Nexthop.Gateway.IsUnspecified() {
				o.Nexthop.Gateway = netip.Addr{}
			}
		case "dev":
			o.Nexthop.Link = p.dev()
		case "onlink":
			o.Nexthop.Flags |= fib.FlagOnlink
		case "blackhole":
			o.Blackhole = true
		case "fdb":
			o.FDB = true
		case "group":
			o.Group = p.members()
		case "type":
			v := p.value("type")
			switch v.text {
			case "mpath", "multipath":
			case "resilient":
				o.Resilient = true
			default:
				p.fail(v, badValue("type", v.text, "mpath or resilient"))
			}
		case "buckets":
			buckets = p.number("buckets", 16)
		case "idle_timer":
			o.IdleTimer = p.number("idle_timer", 25) * 100
		case "unbalanced_timer":
			o.UnbalancedTimer = p.number("unbalanced_timer", 25) * 100
		case "proto", "protocol":
			o.Protocol = p.protocol()
		case "family":
			v := p.value("family")
			if fam = map[string]fib.Family{"inet": fib.Inet, "inet6": fib.Inet6}[v.text]; fam == 0 {
				p.fail(v, badValue("family", v.text, "inet or inet6"))
			}
		case "encap":
			p.fail(w, fmt.Errorf("%q cannot be given in a file yet", w.text))
		default:
			p.unknown(w, "nexthop")
		}
	}
	if o.Family = fam; o.IsGroup() {
		o.Family = 0
		o.Nexthop = fib.Nexthop{}
	} else if fam == 0 {
		o.Family = fib.Inet
	}
	if o.Resilient {
		o.Buckets = make([]uint32, buckets)
	}
	switch {
	case p.err != nil:
		return
	case o.ID == 0:
		p.fail(begin, expected(ExitUsage, "", "a nexthop needs an id"))
	case o.Resilient && (!o.IsGroup() || buckets == 0):
		p.fail(begin, expected(ExitUsage, "", "type resilient needs group and buckets"))
	case o.IsGroup() && (o.Blackhole || o.Nexthop.Link != 0):
		p.fail(begin, expected(ExitUsage, "", "a group has members and nothing else"))
	case !o.IsGroup() && !o.Blackhole && !o.FDB && o.Nexthop.Link == 0:
		p.fail(begin, expected(ExitUsage, "", "a nexthop needs dev, group or blackhole"))
	}
	if p.err == nil {
		p.d.once(p, begin, fmt.Sprintf("nexthop id %d", o.ID))
	}
	if p.err == nil {
		p.d.st.Nexthops = append(p.d.st.Nexthops, o)
	}
}

// members reads ID[,WEIGHT]/ID…
func (p *wordReader) members() (out []fib.GroupMember) {
	w := p.value("group")
	if p.err != nil {
		return nil
	}
	for part := range strings.SplitSeq(w.text, "/") {
		id, weight, cut := strings.Cut(part, ",")
		v, ok := parseUint(id, 0, 32)
		n := uint64(1)
		if cut && ok {
			n, ok = parseUint(weight, 0, 16)
		}
		if !ok || v == 0 || n == 0 {
			p.fail(w, badValue("group", w.text, "ID[,WEIGHT]/ID[,WEIGHT]…"))
			return nil
		}
		out = append(out, fib.GroupMember{ID: uint32(v), Weight: uint16(n)})
	}
	return out
}
