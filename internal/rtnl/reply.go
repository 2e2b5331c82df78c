package rtnl

import (
	"fmt"
	"net/netip"

	"github.com/fibula-net/fibula/fib"
)

// Reply is the kernel's answer to a route query, as it stands in the message.
type Reply struct {
	// Route has table, type, scope, protocol, TOS, priority, preferred source,
	// metrics, nexthop id, preference and the legs. Dst is the queried address
	// with full length, or with RTM_F_FIB_MATCH the route's prefix; Src likewise,
	// zero where the answer has none. Route.Expires is the lifetime left.
	Route fib.Route

	Flags       uint32 // rtm_flags: RTM_F_*, RTCF_*, and those of the leg
	Oif         int32  // of the only leg; 0: none, or several
	Gateway     netip.Addr
	Iif         int32 // RTA_IIF; 0: an output flow
	Realms      uint32
	Encap       fib.Encap
	Mark        uint32
	HasMark     bool
	UID         uint32
	HasUID      bool
	HasPref     bool // RTA_PREF was there
	IPProto     uint8
	Sport       uint16
	Dport       uint16
	FlowLabel   uint32
	Error       uint32 // rta_error of the cache information
	ExpiresTick int32  // rta_expires, hundredths of a second
}

// replyAttr reads what only the answer to a query has.
func (d *routeMsg) replyAttr(t uint16, v []byte) bool {
	switch t {
	case rtaIif:
		d.iif = d.link("RTA_IIF", v)
	case rtaMark:
		d.mark, d.hasMark = d.u32("RTA_MARK", v), true
	case rtaUID:
		d.uid, d.hasUID = d.u32("RTA_UID", v), true
	case rtaIPProto:
		d.ipProto = d.u8("RTA_IP_PROTO", v)
	case rtaSport:
		d.sport = d.be16("RTA_SPORT", v)
	case rtaDport:
		d.dport = d.be16("RTA_DPORT", v)
	case rtaFlowLabel:
		d.flowLabel = d.be32("RTA_FLOWLABEL", v)
	default:
		return false
	}
	return true
}

func (f *field) be16(name string, v []byte) uint16 {
	if len(v) < 2 {
		f.fail(name, v)
		return 0
	}
	return uint16(v[0])<<8 | uint16(v[1])
}

func (f *field) be32(name string, v []byte) uint32 {
	if len(v) < 4 {
		f.fail(name, v)
		return 0
	}
	return uint32(v[0])<<24 | uint32(v[1])<<16 | uint32(v[2])<<8 | uint32(v[3])
}

// DecodeReply reads the answer to a query made by [AppendRouteQuery]. All of r is
// overwritten; the storage of its legs is used again. Unlike [DecodeRoute] it
// accepts cached and expired routes: the answer is what it is.
func DecodeReply(m Message, r *Reply, rep *Report) error {
	*r = Reply{Route: fib.Route{Nexthops: r.Route.Nexthops[:0]}}
	if m.Type != RTM_NEWROUTE {
		return fmt.Errorf("answer to a route query is a %s", messageName(m.Type))
	}
	d := routeMsg{msg: m, rep: rep}
	if err := d.head(&r.Route); err != nil {
		return err
	}
	if err := d.attrs(&r.Route, true); err != nil {
		return wrap(&m, err)
	}
	rt := &r.Route
	rt.Dst = d.prefix("RTA_DST", d.fam, d.dst, d.dstLen)
	if d.src.IsValid() || d.srcLen != 0 {
		rt.Src = d.prefix("RTA_SRC", d.fam, d.src, d.srcLen)
	}
	rt.Flags = fib.RouteFlags(d.flags & routeFlags)
	if d.expires > 0 {
		rt.Expires = (uint32(d.expires) + 99) / 100
	}
	if err := d.path(rt); err != nil {
		return wrap(&m, err)
	}
	r.Flags, r.Iif = d.flags, d.iif
	r.Oif, r.Gateway, r.Realms, r.Encap = d.leg.Link, d.leg.Gateway, d.leg.Realms, d.leg.Encap
	r.Mark, r.HasMark, r.UID, r.HasUID = d.mark, d.hasMark, d.uid, d.hasUID
	r.HasPref, r.IPProto, r.Sport, r.Dport, r.FlowLabel = d.prefSet, d.ipProto, d.sport, d.dport, d.flowLabel
	r.Error, r.ExpiresTick = d.cacheError, d.expires
	return wrap(&m, d.err)
}

// AppendRouteQuery appends an RTM_GETROUTE that asks for f. flags are RTM_F_*:
// RTM_F_LOOKUP_TABLE for the real table (0.6), RTM_F_FIB_MATCH for the stored
// route. The ECN bits of f.TOS and f.TunID, which no query can carry, are left
// out. The user is always told for output flows, so that the answer does not
// depend on who asks. Addresses of two families are an error.
func AppendRouteQuery(b []byte, seq uint32, f *fib.Flow, flags uint32) ([]byte, error) {
	fam := f.Family()
	if f.Src.IsValid() && f.Src.Is4() != (fam == fib.Inet) {
		return b, fmt.Errorf("route query: source %v and destination %v are of two families", f.Src, f.Dst)
	}
	e := begin(b, Header{Type: RTM_GETROUTE, Flags: NLM_F_REQUEST, Seq: seq})
	var dstLen, srcLen byte
	if f.Dst.IsValid() {
		dstLen = byte(fam.Bits())
	}
	if f.Src.IsValid() {
		srcLen = byte(fam.Bits())
	}
	e.bytes(byte(fam), dstLen, srcLen, f.TOS&^3, 0, 0, 0, 0)
	if fam == fib.Inet6 {
		flags &^= RTM_F_LOOKUP_TABLE // strict IPv6 queries refuse it, and always tell the table
	}
	e.num32(flags)
	e.addr(rtaDst, f.Dst)
	e.addr(rtaSrc, f.Src)
	if f.Iif != 0 {
		e.u32(rtaIif, uint32(f.Iif))
	}
	if f.Oif != 0 {
		e.u32(rtaOif, uint32(f.Oif))
	}
	if f.Mark != 0 {
		e.u32(rtaMark, f.Mark)
	}
	if f.UIDSet || f.Iif == 0 {
		e.u32(rtaUID, f.UID)
	}
	if f.IPProto != 0 {
		e.u8(rtaIPProto, f.IPProto)
	}
	if f.Sport != 0 {
		e.raw(rtaSport, []byte{byte(f.Sport >> 8), byte(f.Sport)})
	}
	if f.Dport != 0 {
		e.raw(rtaDport, []byte{byte(f.Dport >> 8), byte(f.Dport)})
	}
	if f.FlowLabel != 0 {
		l := f.FlowLabel
		e.raw(rtaFlowLabel, []byte{byte(l >> 24), byte(l >> 16), byte(l >> 8), byte(l)})
	}
	return e.end()
}
