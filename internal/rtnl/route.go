package rtnl

import (
	"fmt"
	"net/netip"

	"github.com/fibula-net/fibula/fib"
)

const routeHeadLen = 12

// routeMsg is what RTM_NEWROUTE can hold, collected before it becomes a route or
// a reply.
type routeMsg struct {
	field
	msg Message
	rep *Report
	fam fib.Family

	flags           uint32
	dst, src        netip.Addr
	iif             int32
	leg             fib.Nexthop // the only one, where there is no multipath
	multipath       []byte
	expires         int32 // hundredths of a second (rta_expires); 0: none
	mark, uid       uint32
	hasMark, hasUID bool
	ipProto         uint8
	sport, dport    uint16
	flowLabel       uint32
	prefSet         bool
	dstLen, srcLen  uint8
	expiresSecs     uint32 // RTA_EXPIRES
	cacheError      uint32
}

// head reads struct rtmsg into r.
func (d *routeMsg) head(r *fib.Route) error {
	b := d.msg.Data
	if len(b) < routeHeadLen {
		return short(&d.msg, routeHeadLen)
	}
	var err error
	if d.fam, err = family(&d.msg, b[0], d.rep); err != nil {
		return err
	}
	d.dstLen, d.srcLen, r.TOS = b[1], b[2], b[3]
	r.Table, r.Protocol, r.Scope, r.Type = fib.TableID(b[4]), fib.Protocol(b[5]), fib.Scope(b[6]), fib.RouteType(b[7])
	d.flags = ne.Uint32(b[8:])
	d.leg.Weight = 1
	return nil
}

// attrs reads all attributes into d and r. What only a reply has is unknown in
// a route.
func (d *routeMsg) attrs(r *fib.Route, reply bool) error {
	for b := d.msg.Data[routeHeadLen:]; len(b) > 0; {
		t, v, rest, err := nextAttr(b)
		if err != nil {
			return err
		}
		b = rest
		switch t {
		case rtaDst:
			d.dst = d.addr("RTA_DST", d.fam, v)
		case rtaSrc:
			d.src = d.addr("RTA_SRC", d.fam, v)
		case rtaOif:
			d.leg.Link = d.link("RTA_OIF", v)
		case rtaGateway:
			d.leg.Gateway = d.addr("RTA_GATEWAY", d.fam, v)
		case rtaVia:
			d.leg.Gateway = d.via(v)
		case rtaPriority:
			r.Priority = d.u32("RTA_PRIORITY", v)
		case rtaPrefSrc:
			r.PrefSrc = d.addr("RTA_PREFSRC", d.fam, v)
		case rtaMetrics:
			err = d.metrics(&r.Metrics, v)
		case rtaMultipath:
			d.multipath = v
		case rtaFlow:
			d.leg.Realms = d.u32("RTA_FLOW", v)
		case rtaTable:
			r.Table = fib.TableID(d.u32("RTA_TABLE", v))
		case rtaPref:
			r.Pref, d.prefSet = fib.RouterPref(d.u8("RTA_PREF", v)), true
		case rtaEncapType:
			d.leg.Encap.Type = d.u16("RTA_ENCAP_TYPE", v)
		case rtaEncap:
			d.leg.Encap.Data = string(v)
		case rtaExpires:
			d.expiresSecs = d.u32("RTA_EXPIRES", v)
		case rtaNHID:
			r.NexthopID = d.u32("RTA_NH_ID", v)
		case rtaCacheInfo:
			// Use counts are of no interest; the lifetime is.
			if len(v) < 16 {
				d.fail("RTA_CACHEINFO", v)
				break
			}
			d.expires, d.cacheError = int32(ne.Uint32(v[8:])), ne.Uint32(v[12:])
		case rtaPad, rtaMFCStats: // no meaning for routing
		default:
			if !reply || !d.replyAttr(t, v) {
				d.rep.attr(d.msg.Type, &rtaSpace, t)
			}
		}
		if err != nil {
			return err
		}
	}
	return d.err
}

func (d *routeMsg) metrics(m *fib.Metrics, b []byte) error {
	for len(b) > 0 {
		t, v, rest, err := nextAttr(b)
		if err != nil {
			return fmt.Errorf("RTA_METRICS: %w", err)
		}
		b = rest
		switch {
		case t == rtaxCCAlgo:
			m.CongCtl = d.str(v)
		case t > 0 && int(t) < len(m.Values):
			if len(v) < 4 {
				d.fail(rtaxSpace.name(t), v)
				break
			}
			m.Values[t] = ne.Uint32(v)
		default:
			d.rep.attr(d.msg.Type, &rtaxSpace, t)
		}
	}
	return nil
}

// legs appends the legs of a multipath attribute.
func (d *routeMsg) legs(to []fib.Nexthop, b []byte) ([]fib.Nexthop, error) {
	for len(b) > 0 {
		if len(b) < 8 {
			return to, fmt.Errorf("RTA_MULTIPATH cut short: %d bytes, a nexthop has 8", len(b))
		}
		n := int(ne.Uint16(b))
		if n < 8 || n > len(b) {
			return to, fmt.Errorf("RTA_MULTIPATH: nexthop says it has %d bytes, %d are there", n, len(b))
		}
		leg := fib.Nexthop{Flags: fib.NexthopFlags(b[2] & legFlags), Weight: uint16(b[3]) + 1, Link: int32(ne.Uint32(b[4:]))}
		d.rep.flags(d.msg.Type, "rtnh_flags", uint32(b[2]&^legFlags))
		for a := b[8:n]; len(a) > 0; {
			t, v, rest, err := nextAttr(a)
			if err != nil {
				return to, fmt.Errorf("RTA_MULTIPATH: %w", err)
			}
			a = rest
			switch t {
			case rtaGateway:
				leg.Gateway = d.addr("RTA_GATEWAY", d.fam, v)
			case rtaVia:
				leg.Gateway = d.via(v)
			case rtaFlow:
				leg.Realms = d.u32("RTA_FLOW", v)
			case rtaEncapType:
				leg.Encap.Type = d.u16("RTA_ENCAP_TYPE", v)
			case rtaEncap:
				leg.Encap.Data = string(v)
			case rtaPad:
			default:
				d.rep.attr(d.msg.Type, &rtaSpace, t)
			}
		}
		to = append(to, leg)
		b = b[min(len(b), align(n)):]
	}
	return to, d.err
}

// DecodeRoute reads an RTM_NEWROUTE or RTM_DELROUTE of IPv4 or IPv6 into r.
//
// All of r is overwritten; the storage of its Nexthops is used again, so a plain
// route costs no allocation. The destination is masked. A route with one leg has
// it in Nexthops, with the flags that the message keeps in rtm_flags; a reject
// route has none, although IPv6 shows lo (D16, D52). A route through a nexthop
// object has the legs that the message expands, which may be none (B13a).
// Expires is rounded up to a second.
//
// Errors that wrap [ErrSkip]: a cached exception (F6), an expired route (F12),
// another family. Every other error means a malformed message.
func DecodeRoute(m Message, r *fib.Route, rep *Report) error {
	*r = fib.Route{Nexthops: r.Nexthops[:0]}
	d := routeMsg{msg: m, rep: rep}
	if err := d.head(r); err != nil {
		return err
	}
	if d.flags&RTM_F_CLONED != 0 {
		return fmt.Errorf("%s of a cached exception: %w", messageName(m.Type), ErrSkip)
	}
	if err := d.attrs(r, false); err != nil {
		return wrap(&m, err)
	}
	r.Dst = d.prefix("RTA_DST", d.fam, d.dst, d.dstLen).Masked()
	if d.srcLen != 0 {
		r.Src = d.prefix("RTA_SRC", d.fam, d.src, d.srcLen).Masked()
	}
	r.Flags = fib.RouteFlags(d.flags & routeFlags)
	rep.flags(m.Type, "rtm_flags", d.flags&^(legFlags|routeFlags|RTM_F_NOTIFY))
	if r.Type > fib.TypeXResolve {
		rep.value(m.Type, "rtm_type", uint32(r.Type))
	}
	if err := d.path(r); err != nil {
		return wrap(&m, err)
	}
	switch {
	case d.expires < 0:
		return fmt.Errorf("%s of an expired route: %w", messageName(m.Type), ErrSkip)
	case d.expires > 0:
		r.Expires = max(uint32(d.expires)/100, 1) // ip cuts it, too; 0 would be for ever
	default:
		r.Expires = d.expiresSecs
	}
	return wrap(&m, d.err)
}

// path puts the legs together.
func (d *routeMsg) path(r *fib.Route) (err error) {
	switch {
	case r.Rejects():
	case d.multipath != nil:
		r.Nexthops, err = d.legs(r.Nexthops, d.multipath)
	case d.leg.Link != 0 || d.leg.Gateway.IsValid() || d.leg.Encap.Type != 0:
		d.leg.Flags = fib.NexthopFlags(d.flags & legFlags)
		r.Nexthops = append(r.Nexthops, d.leg)
	}
	return err
}
