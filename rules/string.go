package rules

import (
	"fmt"
	"net/netip"
	"strings"
)

// String returns the rule in one line as "ip rule" lists it, with numbers
// instead of names except for the tables local, main and default. Whether names
// are bound and a goto resolves is a matter of the list, and not shown.
func (r Rule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d:\t", r.Priority)
	if r.Not {
		b.WriteString("not ")
	}
	b.WriteString("from " + prefixString(r.From))
	word := func(name string, value any) { fmt.Fprintf(&b, " %s %v", name, value) }
	masked := func(name string, value, mask, full uint32) {
		b.WriteString(" " + name + " " + hex(value))
		if mask != full {
			b.WriteString("/" + hex(mask))
		}
	}
	if r.To.IsValid() {
		word("to", prefixString(r.To))
	}
	if r.TOS != 0 {
		fmt.Fprintf(&b, " tos %#x", r.TOS)
	}
	if r.DSCPMask != 0 {
		masked("dscp", uint32(r.DSCP), uint32(r.DSCPMask), 0x3f)
	}
	if r.Mark != 0 || r.MarkMask != 0 {
		masked("fwmark", r.Mark, r.MarkMask, 1<<32-1)
	}
	if r.FlowLabelMask != 0 {
		masked("flowlabel", r.FlowLabel, r.FlowLabelMask, 0xfffff)
	}
	if r.Iif != "" {
		word("iif", r.Iif)
	}
	if r.Oif != "" {
		word("oif", r.Oif)
	}
	if r.HasUIDs {
		fmt.Fprintf(&b, " uidrange %d-%d", r.UIDs.Start, r.UIDs.End)
	}
	if r.IPProto != 0 {
		word("ipproto", r.IPProto)
	}
	if r.Sport != (PortRange{}) {
		word("sport", r.Sport)
	}
	if r.Dport != (PortRange{}) {
		word("dport", r.Dport)
	}
	if r.TunID != 0 {
		word("tun_id", r.TunID)
	}
	switch {
	case r.L3MDev:
		b.WriteString(" lookup [l3mdev-table]")
	case r.Action == ActLookup:
		word("lookup", tableString(r.Table))
	}
	if r.SuppressPrefixLength.Set {
		word("suppress_prefixlength", int32(r.SuppressPrefixLength.V))
	}
	if r.SuppressIfGroup.Set {
		word("suppress_ifgroup", r.SuppressIfGroup.V)
	}
	if r.Realms != 0 {
		if from := r.Realms >> 16; from != 0 {
			word("realms", fmt.Sprintf("%d/%d", from, r.Realms&0xffff))
		} else {
			word("realms", r.Realms)
		}
	}
	switch r.Action {
	case ActLookup:
	case ActGoto:
		word("goto", r.Goto)
	default:
		b.WriteString(" " + r.Action.String())
	}
	if r.Protocol != 0 && r.Protocol != protocolKernel {
		word("proto", r.Protocol)
	}
	return b.String()
}

// prefixString writes "all", an address, or a prefix, as iproute2 does.
func prefixString(p netip.Prefix) string {
	switch {
	case p.Bits() <= 0:
		return "all"
	case p.IsSingleIP():
		return p.Addr().String()
	}
	return p.String()
}

func tableString(id uint32) string {
	switch id {
	case TableLocal:
		return "local"
	case TableMain:
		return "main"
	case TableDefault:
		return "default"
	}
	return fmt.Sprint(id)
}

// hex writes a number as iproute2 does, without a prefix for 0.
func hex(v uint32) string {
	if v == 0 {
		return "0"
	}
	return fmt.Sprintf("%#x", v)
}
