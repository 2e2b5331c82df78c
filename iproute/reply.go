package iproute

import (
	"net/netip"

	"github.com/fibula-net/fibula/fib"
)

// Reply is what ip decodes from an RTM_NEWROUTE: all that it prints of one
// answer or of one route. Zero fields are attributes that are not there.
type Reply struct {
	Family fib.Family
	// Stored: a route as it is stored, such as fibmatch shows; else the outcome
	// of a lookup (RTM_F_CLONED, IPv4).
	Stored bool

	Type      fib.RouteType
	Dst, From netip.Prefix // a zero Dst prints as "default"
	NexthopID uint32
	Encap     fib.Encap
	TOS       uint8
	Gateway   netip.Addr // of the other family: "via inet6"
	Dev, Iif  int32
	Table     fib.TableID
	Protocol  fib.Protocol
	Scope     fib.Scope
	PrefSrc   netip.Addr
	Metric    uint32
	HasMetric bool
	Flags     uint32 // rtm_flags, with the RTCF_ bits of a lookup
	Mark      uint32
	Realms    uint32 // source realm << 16 | destination realm
	UID       uint32 // valid only if HasUID
	HasUID    bool
	Expires   uint32 // seconds
	Metrics   *fib.Metrics
	Pref      fib.RouterPref // IPv6 only
	Nexthops  []fib.Nexthop  // only if there are several

	// Decision tells more than ip does; nil for what a kernel answered. It is not
	// changed.
	Decision *fib.Decision
}

// Flags of rtnetlink and of IPv4's cached routes that replies carry.
const (
	rtnhDead       = uint32(fib.FlagDead)
	rtnhLinkdown   = uint32(fib.FlagLinkdown)
	rtmNotify      = 0x100
	rtmCloned      = 0x200
	rtcfNotify     = 0x00010000
	rtcfDoRedirect = 0x01000000
	rtcfBroadcast  = 0x10000000
	rtcfMulticast  = 0x20000000
	rtcfLocal      = 0x80000000

	invalidUID = 1<<32 - 1
)

// Reply is the answer that a kernel gives to the query: d is the decision for f,
// which q.Flow made, and route the route behind it, as Explanation.Route or
// Snapshot.FibMatch have it; nil when there is none. Only its metrics,
// encapsulation and expiry matter. d.Errno must be 0. The reply keeps d and parts of route.
// No allocation.
//
// With q.FibMatch the reply shows route; without a route a kernel answers
// EHOSTUNREACH (C14), which the caller has to say.
func (q *Query) Reply(f *fib.Flow, d *fib.Decision, route *fib.Route) Reply {
	if q.FibMatch && route != nil {
		r := StoredReply(route)
		r.Decision = d
		if r.Family == fib.Inet6 {
			r.Iif = f.Iif // IPv6 echoes it here, too
		}
		return r
	}
	r := Reply{
		Family: f.Family(), Type: d.Type, Dst: hostPrefix(f.Dst), Gateway: d.Gateway, Dev: d.Link, Iif: f.Iif,
		Table: d.Table, PrefSrc: d.Source, Realms: d.Realms, Decision: d,
	}
	if route != nil {
		if d.Flags&fib.DecisionNoMetrics == 0 && !route.Metrics.IsZero() {
			r.Metrics = &route.Metrics
		}
		r.Encap = encapOf(route, d)
	}
	if r.Family == fib.Inet {
		r.inet(q, f, d)
	} else {
		r.inet6(f, d)
	}
	return r
}

// inet adds what only IPv4 replies carry (C13).
func (r *Reply) inet(q *Query, f *fib.Flow, d *fib.Decision) {
	r.TOS = d.TOS
	r.Mark = f.Mark
	if f.Src.IsValid() && !f.Src.IsUnspecified() {
		r.From = hostPrefix(f.Src)
		if d.Source == f.Src {
			r.PrefSrc = netip.Addr{}
		}
	}
	r.Flags = rtmCloned
	for _, c := range [...]struct {
		is  fib.DecisionFlags
		bit uint32
	}{
		{fib.DecisionLocal, rtcfLocal}, {fib.DecisionBroadcast, rtcfBroadcast}, {fib.DecisionMulticast, rtcfMulticast},
		{fib.DecisionRedirect, rtcfDoRedirect},
	} {
		if d.Flags&c.is != 0 {
			r.Flags |= c.bit
		}
	}
	if q.Notify {
		r.Flags |= rtmNotify | rtcfNotify
	}
	// An input flow has no user of its own; only what was asked is echoed.
	if (f.Iif == 0 || f.UIDSet) && f.UID != invalidUID {
		r.UID, r.HasUID = f.UID, true
	}
}

// inet6 adds what only IPv6 replies carry (D36).
func (r *Reply) inet6(f *fib.Flow, d *fib.Decision) {
	r.From = hostPrefix(f.Src)
	if d.Flags&fib.DecisionSourceInFlow != 0 {
		r.From = hostPrefix(d.Source)
	}
	if !r.From.IsValid() {
		r.From = hostPrefix(netip.IPv6Unspecified())
	}
	r.Protocol, r.Metric, r.HasMetric, r.Pref = d.Protocol, d.Priority, true, d.Pref
}

// encapOf is the encapsulation of the leg that was chosen.
func encapOf(route *fib.Route, d *fib.Decision) fib.Encap {
	legs := route.Nexthops
	if i := int(d.Leg); i >= 0 && i < len(legs) && legs[i].Link == d.NexthopLink && legs[i].Gateway == d.Gateway {
		return legs[i].Encap
	}
	// fibmatch puts the chosen leg first (D23), so positions may differ.
	for i := range legs {
		if legs[i].Link == d.NexthopLink && legs[i].Gateway == d.Gateway {
			return legs[i].Encap
		}
	}
	return fib.Encap{}
}

// StoredReply shows a route as fibmatch and "ip route show" do. The reply shares
// memory with route.
func StoredReply(route *fib.Route) Reply {
	r := Reply{
		Family: route.Family(), Stored: true, Type: route.Type, Dst: route.Dst, From: route.Src, NexthopID: route.NexthopID,
		TOS: route.TOS, Table: route.Table, Protocol: route.Protocol, Scope: route.Scope, PrefSrc: route.PrefSrc,
		Metric: route.Priority, HasMetric: route.Priority != 0, Flags: uint32(route.Flags), Expires: route.Expires,
		Pref: route.Pref,
	}
	if r.Family == fib.Inet6 {
		r.HasMetric = true
	}
	if !route.Metrics.IsZero() {
		r.Metrics = &route.Metrics
	}
	switch len(route.Nexthops) {
	case 0:
	case 1:
		n := &route.Nexthops[0]
		r.Gateway, r.Dev, r.Realms, r.Encap = n.Gateway, n.Link, n.Realms, n.Encap
		r.Flags |= uint32(n.Flags)
	default:
		r.Nexthops = route.Nexthops
		if r.Family == fib.Inet && allDown(route.Nexthops) {
			r.Flags |= rtnhLinkdown // the route itself is marked when all its legs are
		}
	}
	return r
}

func allDown(legs []fib.Nexthop) bool {
	for i := range legs {
		if legs[i].Flags&fib.FlagLinkdown == 0 {
			return false
		}
	}
	return true
}
