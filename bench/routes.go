package bench

import (
	"iter"
	"net/netip"

	"github.com/fibula-net/fibula/fib"
)

// Uplink is where routes of a full table may lead: a link, and the routers beyond it.
type Uplink struct {
	Link     int32
	Routers4 []netip.Addr
	Routers6 []netip.Addr
}

const bgp = 186 // RTPROT_BGP

// Routes yields a route for each prefix, spread evenly over the routers of the
// uplinks. The Route is used again: copy it to keep it. Prefixes for whose family
// no uplink has a router are left out.
func Routes(prefixes []netip.Prefix, table fib.TableID, uplinks []Uplink) iter.Seq[*fib.Route] {
	legs := map[bool][]fib.Nexthop{}
	for _, u := range uplinks {
		for _, a := range u.Routers4 {
			legs[true] = append(legs[true], fib.Nexthop{Link: u.Link, Gateway: a, Weight: 1})
		}
		for _, a := range u.Routers6 {
			legs[false] = append(legs[false], fib.Nexthop{Link: u.Link, Gateway: a, Weight: 1})
		}
	}
	return func(yield func(*fib.Route) bool) {
		r := fib.Route{Table: table, Type: fib.TypeUnicast, Protocol: bgp, Nexthops: make([]fib.Nexthop, 1)}
		for i, p := range prefixes {
			l := legs[p.Addr().Is4()]
			if len(l) == 0 {
				continue
			}
			r.Dst, r.Priority = p, 0
			if p.Addr().Is6() {
				r.Priority = 1024 // the metric of IPv6 where none is given
			}
			// A stride through the routers: neighbouring prefixes rarely share one.
			r.Nexthops[0] = l[i*7919%len(l)]
			if !yield(&r) {
				return
			}
		}
	}
}
