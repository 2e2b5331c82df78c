package fib

import (
	"net/netip"

	"github.com/fibula-net/fibula/rules"
)

// received is what counts of the link that received a flow.
type received struct {
	index                          int32 // 0: this host sends the flow
	rp                             uint8
	noInet, forwarding             bool
	acceptLocal, mark, hasAddress4 bool
}

// set sets r to a link, which may be nil.
func (r *received) set(l *link) {
	if l == nil {
		return
	}
	c := &l.Conf4
	r.index, r.rp, r.noInet, r.forwarding = l.Index, c.RPFilter, l.NoInet, c.Forwarding
	r.acceptLocal, r.mark, r.hasAddress4 = c.AcceptLocal, c.SrcValidMark, len(l.addrs4) > 0
}

// reverse is the way back that the source of a received flow is checked by.
type reverse struct {
	out  int32 // the link that the flow leaves by; 0: it is delivered here
	mark bool  // the mark counts
}

// turn makes key that of the way back (C31).
func (b *reverse) turn(key *rules.Flow) {
	key.Src, key.Dst = key.Dst, key.Src
	key.Sport, key.Dport = key.Dport, key.Sport
	if key.Iif = b.out; b.out == 0 {
		key.Iif = loopback
	}
	if !b.mark {
		key.Mark = 0
	}
}

// receive4 makes the checks of a received IPv4 flow that has a route, and reports
// whether it passes them all; the walk knows what becomes of the others (C27 to C31).
func (q *quickly) receive4(p *pick) bool {
	s, in := q.s, &q.in
	d, all := &s.wayOf(p).d, &s.sysctls.All4
	back := reverse{mark: all.SrcValidMark || in.mark}
	switch d.RouteType {
	case TypeUnicast:
		// What leaves where it came in may be redirected (C29).
		if back.out = d.Link; !in.forwarding || back.out == in.index || d.Flags != 0 {
			return false
		}
	case TypeLocal:
	default:
		return false
	}
	rp := max(all.RPFilter, in.rp)
	if rp == 0 {
		switch {
		case all.AcceptLocal || in.acceptLocal:
			return true
		case s.mode4 == ModeMerged && s.userLocal == FactNo:
			return !s.cuts.owns4(number4(q.f.Src))
		case s.mode4 == ModeMerged && s.userLocal == FactUnknown:
			return false
		}
	}
	var to pick
	if !q.find(&to, &back) {
		return false
	}
	if !to.routed {
		return rp == 0
	}
	switch r := s.readyAt(to.m.Index); {
	case r.d.Errno != 0:
		return rp == 0
	case r.d.RouteType != TypeUnicast:
		return false
	default:
		return rp == 0 || rp == 2 && in.hasAddress4 || r.uses(in.index)
	}
}

// uses reports whether a leg is on a link.
func (r *ready) uses(link int32) bool {
	if r.fan == nil {
		return r.d.NexthopLink == link
	}
	for i := range r.fan.legs {
		if r.fan.legs[i].d.NexthopLink == link {
			return true
		}
	}
	return false
}

// fillReceived makes d the answer to a received flow.
func (q *quickly) fillReceived(d *Decision, r *ready) {
	switch {
	case q.fam == Inet6:
		// What the route prefers, if anything.
	case d.RouteType == TypeLocal:
		d.Source, d.Gateway, d.Realms = netip.Addr{}, netip.Addr{}, 0
		d.Flags, d.MTU = DecisionLocal|DecisionNoMetrics, r.mtu
	default:
		d.Source, d.Realms = netip.Addr{}, 0
	}
}
