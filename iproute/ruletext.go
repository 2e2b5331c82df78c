package iproute

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/fibula-net/fibula/rules"
)

// AppendRule appends the rule in the words of "ip rule", without priority and
// line feed. The flags add [detached] behind iif and oif, and [unresolved] behind a
// goto. dscp and flowlabel come last, as newer versions of ip have them.
func (n *Names) AppendRule(b []byte, r *rules.Rule, iifDetached, oifDetached, unresolved bool) []byte {
	n = n.get()
	word := func(key, value string) { b = append(append(append(append(b, ' '), key...), ' '), value...) }
	hex := func(key string, v, mask, full uint32) {
		b = strconv.AppendUint(append(append(append(b, ' '), key...), " 0x"...), uint64(v), 16)
		if mask != full {
			b = strconv.AppendUint(append(b, "/0x"...), uint64(mask), 16)
		}
	}
	mark := func(set bool, text string) {
		if set {
			b = append(b, text...)
		}
	}
	mark(r.Not, "not ")
	b = appendSelector(append(b, "from "...), r.From)
	if r.To.IsValid() {
		b = appendSelector(append(b, " to "...), r.To)
	}
	if r.TOS != 0 {
		word("tos", n.DSFieldName(r.TOS))
	}
	if r.Mark != 0 || r.MarkMask != 0 {
		if r.Mark == 0 {
			b = append(b, " fwmark 0"...) // C's %#x has no 0x for zero
			if r.MarkMask != 1<<32-1 {
				b = strconv.AppendUint(append(b, "/0x"...), uint64(r.MarkMask), 16)
			}
		} else {
			hex("fwmark", r.Mark, r.MarkMask, 1<<32-1)
		}
	}
	if r.Iif != "" {
		word("iif", printable(r.Iif))
		mark(iifDetached, " [detached]")
	}
	if r.Oif != "" {
		word("oif", printable(r.Oif))
		mark(oifDetached, " [detached]")
	}
	mark(r.L3MDev, " lookup [l3mdev-table]")
	if r.HasUIDs {
		word("uidrange", fmt.Sprintf("%d-%d", r.UIDs.Start, r.UIDs.End))
	}
	if r.IPProto != 0 {
		word("ipproto", n.IPProtoName(r.IPProto))
	}
	if r.Sport != (rules.PortRange{}) {
		word("sport", r.Sport.String())
	}
	if r.Dport != (rules.PortRange{}) {
		word("dport", r.Dport.String())
	}
	if r.TunID != 0 {
		word("tun_id", strconv.FormatUint(r.TunID, 10))
	}
	if r.Action == rules.ActLookup && !r.L3MDev {
		word("lookup", n.TableName(r.Table))
	}
	if r.SuppressPrefixLength.Set {
		word("suppress_prefixlength", strconv.Itoa(int(int32(r.SuppressPrefixLength.V))))
	}
	if r.SuppressIfGroup.Set {
		word("suppress_ifgroup", n.GroupName(r.SuppressIfGroup.V))
	}
	if r.Realms != 0 {
		_, value := realmsText(n, r.Realms)
		word("realms", value)
	}
	switch r.Action {
	case rules.ActLookup:
	case rules.ActGoto:
		word("goto", strconv.FormatUint(uint64(r.Goto), 10))
		mark(unresolved, " [unresolved]")
	default:
		b = append(append(b, ' '), r.Action.String()...)
	}
	if r.Protocol != 0 && r.Protocol != protocolKernel {
		word("proto", n.ProtocolName(r.Protocol))
	}
	if r.DSCPMask != 0 {
		hex("dscp", uint32(r.DSCP), uint32(r.DSCPMask), 0x3f)
	}
	if r.FlowLabelMask != 0 {
		hex("flowlabel", r.FlowLabel, r.FlowLabelMask, 0xfffff)
	}
	return b
}

const protocolKernel = 2 // RTPROT_KERNEL

// appendSelector writes "all", an address, or a prefix.
func appendSelector(b []byte, p netip.Prefix) []byte {
	if !p.IsValid() || p.Bits() == 0 {
		return append(b, "all"...)
	}
	return appendPrefix(b, p)
}
