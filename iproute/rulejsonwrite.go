package iproute

import (
	"net/netip"
	"strconv"

	"github.com/fibula-net/fibula/rules"
)

// rule writes r with the keys of "ip -j rule show" in its order, after "family".
func (w *jsonWriter) rule(r *rules.Rule) {
	w.open('{')
	w.key("family").str(r.Family.String())
	w.key("priority").uint(uint64(r.Priority))
	w.flag("not", r.Not)
	w.flag("find_saddr", r.FindSaddr)
	w.selector("src", r.From)
	if r.To.IsValid() {
		w.selector("dst", r.To)
	}
	if r.TOS != 0 {
		w.key("tos").hex(uint64(r.TOS))
	}
	w.masked("fwmark", "fwmask", r.Mark, r.MarkMask, allOnes)
	w.name("iif", r.Iif)
	w.name("oif", r.Oif)
	w.flag("l3mdev", r.L3MDev)
	if r.HasUIDs {
		w.key("uid_start").uint(uint64(r.UIDs.Start))
		w.key("uid_end").uint(uint64(r.UIDs.End))
	}
	if r.IPProto != 0 {
		w.key("ipproto").str(stateNames.IPProtoName(r.IPProto))
	}
	w.ports("sport", r.Sport)
	w.ports("dport", r.Dport)
	if r.TunID != 0 {
		w.key("tun_id").uint(r.TunID)
	}
	implied, ok := w.target(r)
	if r.SuppressPrefixLength.Set {
		w.key("suppress_prefixlen").uint(uint64(r.SuppressPrefixLength.V))
	}
	if r.SuppressIfGroup.Set {
		w.key("suppress_ifgroup").str(stateNames.GroupName(r.SuppressIfGroup.V))
	}
	if from := r.Realms >> 16; from != 0 {
		w.key("flow_from").str(strconv.FormatUint(uint64(from), 10))
	}
	if to := r.Realms & 0xffff; to != 0 {
		w.key("flow_to").str(strconv.FormatUint(uint64(to), 10))
	}
	if !ok || r.Action != implied {
		w.key("action").str(r.Action.String())
	}
	w.key("protocol").str(stateNames.ProtocolName(r.Protocol))
	w.masked("dscp", "dscp_mask", uint32(r.DSCP), uint32(r.DSCPMask), 0x3f)
	w.masked("flowlabel", "flowlabel_mask", r.FlowLabel, r.FlowLabelMask, 0xfffff)
	w.close('}')
}

// target writes where the rule leads and returns the action that its keys imply, if any.
func (w *jsonWriter) target(r *rules.Rule) (implied rules.Action, ok bool) {
	if r.Table != 0 || r.Action == rules.ActLookup && !r.L3MDev {
		w.key("table").str(stateNames.TableName(r.Table))
		implied = rules.ActLookup
	}
	if r.L3MDev {
		implied = rules.ActLookup
	}
	if r.Goto != 0 || r.Action == rules.ActGoto {
		w.key("goto").uint(uint64(r.Goto))
		implied = rules.ActGoto
	}
	if r.Action == rules.ActNop {
		w.key("nop").null()
		implied = rules.ActNop
	}
	return implied, implied != rules.ActUnspec
}

// flag writes a key without a value, as iproute2 does.
func (w *jsonWriter) flag(key string, set bool) {
	if set {
		w.key(key).null()
	}
}

func (w *jsonWriter) name(key, name string) {
	if name != "" {
		w.key(key).str(name)
	}
}

func (w *jsonWriter) selector(key string, p netip.Prefix) {
	if !p.IsValid() {
		w.key(key).str("all")
		return
	}
	w.key(key).addr(p.Addr())
	if p.Bits() != p.Addr().BitLen() {
		w.key(key + "len").uint(uint64(p.Bits()))
	}
}

// masked writes a value and, unless it is full, its mask.
func (w *jsonWriter) masked(key, maskKey string, v, mask, full uint32) {
	if v == 0 && mask == 0 {
		return
	}
	w.key(key).hex(uint64(v))
	if mask != full {
		w.key(maskKey).hex(uint64(mask))
	}
}

func (w *jsonWriter) ports(key string, p rules.PortRange) {
	switch {
	case p == rules.PortRange{}:
		return
	case p.Start == p.End:
		w.key(key).uint(uint64(p.Start))
		if p.Mask != 0xffff {
			w.key(key + "_mask").hex(uint64(p.Mask))
		}
	default:
		w.key(key + "_start").uint(uint64(p.Start))
		w.key(key + "_end").uint(uint64(p.End))
		if p.Mask != 0 {
			w.key(key + "_mask").hex(uint64(p.Mask))
		}
	}
}
