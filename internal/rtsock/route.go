package rtsock

import (
	"math"
	"net/netip"

	"github.com/fibula-net/fibula/fib"
)

// Route is what one message says of a route: one leg.
type Route struct {
	fib.Route
	// Zone is the link of a link-local destination, which FreeBSD has in the prefix:
	// routes of several zones are several, never legs of one.
	Zone int32
}

// Route reads an RTM_ADD, RTM_DELETE, RTM_CHANGE, or an RTM_GET as dumps have it. All of
// r is overwritten; the storage of its Nexthops is used again.
//
// Errors that wrap [ErrSkip]: a neighbour, a route of another family or with a mask that
// has holes, a refused request. Every other error means a malformed message.
func (d *Decoder) Route(m Message, r *Route) error {
	*r = Route{Route: fib.Route{Table: Table(d.FIB), Nexthops: r.Nexthops[:0]}}
	if err := m.need(routeLen); err != nil {
		return err
	}
	flags := le.Uint32(m.data[8:])
	if errno := le.Uint32(m.data[24:]); errno != 0 {
		return m.skip("refused with error %d", errno)
	}
	if flags&rtfLLData != 0 {
		return m.skip("a neighbour")
	}
	s, err := d.sockaddrs(m, routeLen, le.Uint32(m.data[12:]))
	if err != nil {
		return err
	}
	if err := d.dst(m, &s, r); err != nil {
		return err
	}
	if err := d.leg(m, flags, &s, r); err != nil {
		return err
	}
	d.protocol(m, flags, r)
	d.metrics(m, flags, r)
	d.flags(m, "rtm_flags", flags&^rtfKnown)
	d.unknown(m, &s, rtaxGenmask, rtaxAuthor)
	return nil
}

func (d *Decoder) dst(m Message, s *sockaddrs, r *Route) (err error) {
	if s[rtaxDst] == nil {
		return m.errorf("there is no RTA_DST")
	}
	fam := family(s[rtaxDst])
	if fam != afInet && fam != afInet6 {
		d.value(m, "family", uint32(fam))
		return m.skip("family %d", fam)
	}
	var a netip.Addr
	if a, r.Zone, err = m.inet(rtaxDst, s[rtaxDst]); err != nil {
		return err
	}
	bits := a.BitLen() // a route without a mask is a host's, RTF_HOST or not
	if s[rtaxNetmask] != nil {
		var ok bool
		if bits, ok = mask(familyOf(a), s[rtaxNetmask]); !ok {
			d.value(m, "netmask with holes", 0)
			return m.skip("the netmask of %v has holes", a)
		}
	}
	r.Dst = netip.PrefixFrom(a, bits).Masked()
	return nil
}

// leg reads type, scope, nexthop and preferred source.
func (d *Decoder) leg(m Message, flags uint32, s *sockaddrs, r *Route) error {
	switch {
	case flags&rtfBlackhole != 0:
		r.Type = fib.TypeBlackhole
	case flags&rtfReject != 0:
		r.Type = fib.TypeUnreachable
	case flags&rtfLocal != 0:
		r.Type = fib.TypeLocal
	case flags&rtfBroadcast != 0:
		r.Type = fib.TypeBroadcast
	case flags&rtfMulticast != 0:
		r.Type = fib.TypeMulticast
	default:
		r.Type = fib.TypeUnicast
	}
	leg := fib.Nexthop{Link: m.Link()}
	via := s[rtaxGateway]
	switch fam := family(via); {
	case fam == afLink:
		link, _, err := m.sdl(rtaxGateway, via)
		if err != nil {
			return err
		}
		// What is delivered here goes to lo, and the address's own link is in the gateway.
		if link != 0 && (r.Type == fib.TypeLocal || leg.Link == 0) {
			leg.Link = link
		}
	case fam == afInet || fam == afInet6:
		gw, _, err := m.inet(rtaxGateway, via)
		if err != nil {
			return err
		}
		if flags&rtfGateway != 0 {
			leg.Gateway = gw
			if r.Family() == fib.Inet { // FreeBSD uses a gateway whatever it is
				leg.Scope, leg.ScopeSet = fib.ScopeLink, true
			}
		}
	case flags&rtfGateway != 0:
		return m.errorf("RTF_GATEWAY is set, and RTA_GATEWAY is of family %d", fam)
	case len(via) > 0:
		d.value(m, "family of the gateway", uint32(fam))
	}
	if r.Type.IsReject() {
		return nil // its leg is lo, only so that it has one
	}
	if fam := family(s[rtaxIfa]); r.Family() == fib.Inet && fam == afInet {
		src, _, err := m.inet(rtaxIfa, s[rtaxIfa])
		if err != nil {
			return err
		}
		if !src.IsUnspecified() {
			r.PrefSrc = src
		}
	}
	if r.Family() == fib.Inet {
		switch {
		case r.Type == fib.TypeLocal:
			r.Scope = fib.ScopeHost
		case !leg.Gateway.IsValid():
			r.Scope = fib.ScopeLink
		}
	}
	w := le.Uint64(m.data[120:]) // rmx_weight; announcements have none
	if w > math.MaxUint16 {
		d.value(m, "rmx_weight", uint32(min(w, math.MaxUint32)))
		w = math.MaxUint16
	}
	leg.Weight = uint16(max(w, 1))
	r.Nexthops = append(r.Nexthops, leg)
	return nil
}

func (d *Decoder) protocol(m Message, flags uint32, r *Route) {
	protos := flags & rtfProtos
	switch {
	case flags&(rtfPinned|rtfLocal) != 0: // STATIC, too, where an address is delivered
		r.Protocol = fib.ProtoKernel
	case protos&rtfProto1 != 0:
		r.Protocol, protos = ProtoFlag1, protos&^rtfProto1
	case protos&rtfProto2 != 0:
		r.Protocol, protos = ProtoFlag2, protos&^rtfProto2
	case protos != 0:
		r.Protocol, protos = ProtoFlag3, 0
	case flags&(rtfDynamic|rtfModified) != 0:
		r.Protocol = fib.ProtoRedirect
	case flags&rtfStatic != 0:
		r.Protocol = fib.ProtoStatic
	}
	d.flags(m, "rtm_flags beside another RTF_PROTO", protos)
}

func (d *Decoder) metrics(m Message, flags uint32, r *Route) {
	number := func(name string, at int) uint32 {
		v := le.Uint64(m.data[at:])
		if v > math.MaxUint32 {
			d.value(m, name, math.MaxUint32)
			return math.MaxUint32
		}
		return uint32(v)
	}
	if mtu := number("rmx_mtu", 48); flags&rtfFixedMTU != 0 { // else the link's
		r.Metrics.Values[fib.MetricMTU] = mtu
		if le.Uint64(m.data[40:])&1 != 0 { // rmx_locks, RTV_MTU
			r.Metrics.Values[fib.MetricLock] |= 1 << fib.MetricMTU
		}
	}
	r.Priority = number("rmx_metric", 136)
	if at := int64(le.Uint64(m.data[64:])); at != 0 {
		left := at - d.Now
		if r.Family() == fib.Inet || left > math.MaxUint32 {
			d.value(m, "rmx_expire", uint32(min(max(left, 0), math.MaxUint32)))
		} else {
			r.Expires = uint32(max(left, 1))
		}
	}
}

// Routes reads an answer to NET_RT_DUMP, and calls fn with each route, which is valid
// during the call only. A dump has a message for each leg of a route, one behind the
// other.
func (d *Decoder) Routes(b []byte, fn func(*fib.Route) error) error {
	var whole, next Route
	for len(b) > 0 {
		m, rest, err := Next(b)
		if err != nil {
			return err
		}
		b = rest
		if m.Type != RTM_GET {
			d.value(m, "type in a dump of routes", uint32(m.Type))
			continue
		}
		if err := d.Route(m, &next); isSkip(err) {
			continue
		} else if err != nil {
			return err
		}
		if d.join(m, &whole, &next) {
			continue
		}
		if whole.Dst.IsValid() {
			if err := fn(&whole.Route); err != nil {
				return err
			}
		}
		whole, next = next, whole
	}
	if whole.Dst.IsValid() {
		return fn(&whole.Route)
	}
	return nil
}

// join adds next to the route that whole is, if it is a leg of it.
func (d *Decoder) join(m Message, whole, next *Route) bool {
	if whole.Dst != next.Dst || whole.Zone != next.Zone || whole.Priority != next.Priority ||
		whole.Type != fib.TypeUnicast || next.Type != fib.TypeUnicast {
		return false
	}
	whole.Nexthops = append(whole.Nexthops, next.Nexthops...)
	if whole.PrefSrc != next.PrefSrc {
		whole.PrefSrc = netip.Addr{} // then it is that of the leg's link
	}
	whole.Scope = min(whole.Scope, next.Scope)
	if whole.Protocol != next.Protocol {
		d.value(m, "protocol of a further leg", uint32(next.Protocol))
	}
	if whole.Metrics != next.Metrics {
		d.value(m, "rmx_mtu of a further leg", next.Metrics.Values[fib.MetricMTU])
	}
	return true
}
