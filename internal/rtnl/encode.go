package rtnl

import (
	"fmt"
	"net/netip"

	"github.com/fibula-net/fibula/fib"
)

// encoder appends one message to b; the first failure stays.
type encoder struct {
	b     []byte
	start int
	err   error
}

func begin(b []byte, h Header) *encoder {
	e := &encoder{b: b, start: len(b)}
	e.num32(0) // the length, by end
	e.num16(h.Type)
	e.num16(h.Flags)
	e.num32(h.Seq)
	e.num32(h.Port)
	return e
}

// end writes the length and returns the buffer, without the message if it failed.
func (e *encoder) end() ([]byte, error) {
	if e.err != nil {
		return e.b[:e.start], e.err
	}
	ne.PutUint32(e.b[e.start:], uint32(len(e.b)-e.start))
	return e.b, nil
}

// attrLen is the length of attribute t whose value has n bytes.
func (e *encoder) attrLen(t uint16, n int) uint16 {
	if n > maxAttr && e.err == nil {
		e.err = fmt.Errorf("attribute %d: %d bytes do not fit, %d would", t&nlaTypeMask, n, maxAttr)
	}
	return uint16(4 + n)
}

const maxAttr = 1<<16 - 1 - 4

func (e *encoder) bytes(v ...byte) { e.b = append(e.b, v...) }
func (e *encoder) num16(v uint16)  { e.b = ne.AppendUint16(e.b, v) }
func (e *encoder) num32(v uint32)  { e.b = ne.AppendUint32(e.b, v) }

func (e *encoder) pad() {
	for (len(e.b)-e.start)%4 != 0 {
		e.b = append(e.b, 0)
	}
}

func (e *encoder) raw(t uint16, v []byte) {
	e.num16(e.attrLen(t, len(v)))
	e.num16(t)
	e.b = append(e.b, v...)
	e.pad()
}

func (e *encoder) u8(t uint16, v uint8) { e.raw(t, []byte{v}) }

func (e *encoder) u16(t uint16, v uint16) {
	e.num16(6)
	e.num16(t)
	e.num16(v)
	e.num16(0)
}

func (e *encoder) u32(t uint16, v uint32) {
	e.num16(8)
	e.num16(t)
	e.num32(v)
}

// str is a text with its closing NUL.
func (e *encoder) str(t uint16, v string) {
	e.num16(e.attrLen(t, len(v)+1))
	e.num16(t)
	e.b = append(append(e.b, v...), 0)
	e.pad()
}

// addr appends nothing for the zero address.
func (e *encoder) addr(t uint16, a netip.Addr) {
	switch {
	case a.Is4():
		x := a.As4()
		e.raw(t, x[:])
	case a.Is6():
		x := a.As16()
		e.raw(t, x[:])
	}
}

// nest opens an attribute that holds others; close ends it.
func (e *encoder) nest(t uint16) (open int) {
	open = len(e.b)
	e.num16(0)
	e.num16(t | nlaNested)
	return open
}

func (e *encoder) close(open int) {
	ne.PutUint16(e.b[open:], e.attrLen(ne.Uint16(e.b[open+2:]), len(e.b)-open-4))
}

// Dump is what a dump request asks for.
type Dump struct {
	Type   uint16      // RTM_GET*
	Family fib.Family  // 0: not by family (links, nexthops)
	Table  fib.TableID // RTM_GETROUTE: only this table; 0: all
	// Protocol asks for routes of this protocol only (RTM_GETROUTE); 0: all.
	Protocol fib.Protocol
	// RouteType asks for routes of this type only (RTM_GETROUTE, IPv4); 0: all.
	RouteType fib.RouteType
	// Link asks for routes with a leg on the link of this index only (RTM_GETROUTE); 0: all.
	Link int32
	// Group is the nexthop group whose buckets are asked for (RTM_GETNEXTHOPBUCKET); 0: all.
	Group uint32
}

// headLens are the lengths of the fixed heads, which strict checking wants in full.
var headLens = map[uint16]int{
	RTM_GETLINK: 16, RTM_GETADDR: 8, RTM_GETROUTE: routeHeadLen, RTM_GETRULE: ruleHeadLen, RTM_GETNEIGH: neighHeadLen,
	RTM_GETADDRLABEL: 12, RTM_GETNETCONF: 4, RTM_GETNEXTHOP: nexthopHeadLen, RTM_GETNEXTHOPBUCKET: nexthopHeadLen,
}

// AppendDump appends the request for a dump, as a socket with strict checking
// (NETLINK_GET_STRICT_CHK) needs it: only then the kernel filters by table and
// leaves cached exceptions out (F8). Statistics of links are not asked for. An
// unknown Type is an error.
func AppendDump(b []byte, seq uint32, d Dump) ([]byte, error) {
	n, ok := headLens[d.Type]
	if !ok {
		return b, fmt.Errorf("%s cannot be dumped", messageName(d.Type))
	}
	e := begin(b, Header{Type: d.Type, Flags: NLM_F_REQUEST | NLM_F_DUMP, Seq: seq})
	e.b = append(e.b, make([]byte, n)...)
	head := e.b[len(e.b)-n:]
	head[0] = byte(d.Family)
	switch d.Type {
	case RTM_GETLINK:
		e.u32(iflaExtMask, extFilterSkipStats)
	case RTM_GETROUTE:
		if d.Table > 0 && d.Table <= maxRouteTableInHeader {
			head[4] = byte(d.Table)
		}
		head[5], head[7] = byte(d.Protocol), byte(d.RouteType)
		if d.Table > 0 {
			e.u32(rtaTable, uint32(d.Table))
		}
		if d.Link > 0 {
			e.u32(rtaOif, uint32(d.Link))
		}
	case RTM_GETNEXTHOPBUCKET:
		if d.Group != 0 {
			e.u32(nhaID, d.Group)
		}
	}
	return e.end()
}

// AppendRoute appends r as a request: h.Type RTM_NEWROUTE or RTM_DELROUTE, with
// the caller's flags. Marks that are states, not settings (dead, linkdown,
// offload), are not sent. Through a nexthop object r.Nexthops is not sent. A
// weight above 256, a gateway of the other family in IPv6, an invalid destination and
// one with bits beyond its length that the message would not carry are errors.
func AppendRoute(b []byte, h Header, r *fib.Route) ([]byte, error) {
	switch {
	case !r.Dst.IsValid():
		return b, fmt.Errorf("route to %v: the destination is missing", r.Dst)
	case r.Dst.Bits() == 0 && !r.Dst.Addr().IsUnspecified():
		return b, fmt.Errorf("route to %v: host bits are set, which a request of length 0 does not carry", r.Dst)
	}
	fam := r.Family()
	e := begin(b, h)
	e.bytes(byte(fam), byte(max(0, r.Dst.Bits())), byte(max(0, r.Src.Bits())), r.TOS,
		tableInHeader(r.Table), byte(r.Protocol), byte(r.Scope), byte(r.Type))
	legs := r.Nexthops
	if r.NexthopID != 0 {
		legs = nil
	}
	flags := uint32(r.Flags) & RTM_F_PREFIX
	if len(legs) == 1 {
		flags |= uint32(legs[0].Flags) & settable
	}
	e.num32(flags)
	if r.Dst.Bits() > 0 {
		e.addr(rtaDst, r.Dst.Addr())
	}
	if r.Src.Bits() > 0 {
		e.addr(rtaSrc, r.Src.Addr())
	}
	e.u32(rtaTable, uint32(r.Table))
	if r.Priority != 0 {
		e.u32(rtaPriority, r.Priority)
	}
	e.addr(rtaPrefSrc, r.PrefSrc)
	e.metrics(&r.Metrics)
	if r.Pref != fib.PrefMedium {
		e.u8(rtaPref, uint8(r.Pref))
	}
	if r.Expires != 0 {
		e.u32(rtaExpires, r.Expires)
	}
	if r.NexthopID != 0 {
		e.u32(rtaNHID, r.NexthopID)
	}
	var err error
	switch {
	case len(legs) == 1:
		if legs[0].Link != 0 {
			e.u32(rtaOif, uint32(legs[0].Link))
		}
		err = e.leg(fam, &legs[0])
	case len(legs) > 1:
		err = e.multipath(fam, legs)
	}
	if err == nil {
		b, err = e.end()
	}
	if err != nil {
		return b, fmt.Errorf("route %v table %v: %w", r.Dst, r.Table, err)
	}
	return b, nil
}

const settable = uint32(fib.FlagOnlink | fib.FlagPervasive)

func tableInHeader(t fib.TableID) byte {
	if t > maxRouteTableInHeader {
		return 0
	}
	return byte(t)
}

func (e *encoder) metrics(m *fib.Metrics) {
	if m.IsZero() {
		return
	}
	open := e.nest(rtaMetrics)
	for i, v := range m.Values {
		if v != 0 && i != rtaxCCAlgo {
			e.u32(uint16(i), v)
		}
	}
	if m.CongCtl != "" {
		e.str(rtaxCCAlgo, m.CongCtl)
	}
	e.close(open)
}

func (e *encoder) multipath(fam fib.Family, legs []fib.Nexthop) error {
	open := e.nest(rtaMultipath)
	for i := range legs {
		l := &legs[i]
		if l.Weight > 256 {
			return fmt.Errorf("nexthop %d has weight %d, a route's nexthop can have 256", i+1, l.Weight)
		}
		start := len(e.b)
		e.num16(0)
		e.bytes(byte(uint32(l.Flags)&settable), byte(max(l.Weight, 1)-1))
		e.num32(uint32(l.Link))
		if err := e.leg(fam, l); err != nil {
			return fmt.Errorf("nexthop %d: %w", i+1, err)
		}
		if len(e.b)-start > 1<<16-1 {
			return fmt.Errorf("nexthop %d: %d bytes do not fit", i+1, len(e.b)-start)
		}
		ne.PutUint16(e.b[start:], uint16(len(e.b)-start))
	}
	e.close(open)
	return nil
}

// leg appends the attributes of one leg but its link.
func (e *encoder) leg(fam fib.Family, l *fib.Nexthop) error {
	switch {
	case !l.Gateway.IsValid():
	case l.Gateway.Is4() == (fam == fib.Inet):
		e.addr(rtaGateway, l.Gateway)
	case fam == fib.Inet:
		x := l.Gateway.As16()
		e.raw(rtaVia, append(ne.AppendUint16(nil, uint16(fib.Inet6)), x[:]...))
	default:
		return fmt.Errorf("gateway %v: an IPv6 route cannot have an IPv4 gateway", l.Gateway)
	}
	if l.Realms != 0 {
		e.u32(rtaFlow, l.Realms)
	}
	if l.Encap.Type != 0 {
		e.u16(rtaEncapType, l.Encap.Type)
		e.raw(rtaEncap|nlaNested, []byte(l.Encap.Data))
	}
	return nil
}
