package fib

import "net/netip"

// checkRoute checks a request as the kernel does before it enters a route, in its
// order, and settles what the checks find out: link and scope of each leg, and
// whether it is linkdown (B27–B32, D50–D56, E9).
func (tx *Txn) checkRoute(r *Route) error {
	if err := wellFormed(r); err != nil {
		return err
	}
	if r.PrefSrc.IsUnspecified() {
		r.PrefSrc = netip.Addr{}
	}
	if r.Family() == Inet {
		return tx.checkRoute4(r)
	}
	return tx.checkRoute6(r)
}

// leastScope is the widest scope that a route of a type may have.
func leastScope(t RouteType) Scope {
	switch t {
	case TypeLocal:
		return ScopeHost
	case TypeBroadcast, TypeAnycast:
		return ScopeLink
	case TypeNAT, TypeXResolve:
		return ScopeNowhere
	}
	return ScopeUniverse
}

// checkAny4 is what additions and deletions must have right.
func checkAny4(r *Route) error {
	switch {
	case r.TOS&3 != 0:
		return refuse(EINVAL, "tos %#x has ECN bits (0 and 1) set", r.TOS)
	case r.Type > TypeXResolve:
		return refuse(EINVAL, "route type %d is unknown", r.Type)
	case r.Dst != r.Dst.Masked():
		return refuse(EINVAL, "host bits are set: %v would be %v", r.Dst, r.Dst.Masked())
	}
	return nil
}

// stateMarks are flags that tell how a leg is, not how it shall be.
const stateMarks = FlagDead | FlagLinkdown

func (tx *Txn) checkRoute4(r *Route) error {
	if err := checkAny4(r); err != nil {
		return err
	}
	switch {
	case r.NexthopID != 0 && len(r.Nexthops) > 0:
		return refuse(EINVAL, "a nexthop object and nexthops exclude each other")
	case r.Scope < leastScope(r.Type):
		return refuse(EINVAL, "scope %v is too wide for type %v", r.Scope, r.Type)
	}
	marks := NexthopFlags(r.Flags)
	for i := range r.Nexthops {
		n := &r.Nexthops[i]
		marks |= n.Flags
		if n.Gateway == netip.IPv4Unspecified() {
			n.Gateway = netip.Addr{} // as if it were not given
		}
	}
	if marks&stateMarks != 0 {
		return refuse(EINVAL, "dead and linkdown are states, not to be asked for")
	}
	o := tx.s.objects[r.NexthopID]
	if r.NexthopID != 0 && o == nil {
		return refuse(EINVAL, "there is no nexthop object %d", r.NexthopID)
	}
	if err := tx.settleMetrics(&r.Metrics); err != nil {
		return err
	}
	if r.Type.IsReject() {
		if len(r.Nexthops) > 0 {
			return refuse(EINVAL, "a route of type %v has no nexthop", r.Type)
		}
		return nil
	}
	if r.Scope == ScopeNowhere {
		return refuse(EINVAL, "scope nowhere is for reject types")
	}
	var err error
	if o != nil {
		err = o.fitsInet(r.Scope)
	} else {
		err = tx.checkLegs4(r)
	}
	if err != nil {
		return err
	}
	return tx.checkPrefSrc4(r)
}

func (tx *Txn) checkLegs4(r *Route) error {
	if len(r.Nexthops) == 0 {
		return refuse(ENODEV, "neither a link nor a gateway is given")
	}
	if r.Scope == ScopeHost && len(r.Nexthops) > 1 {
		return refuse(EINVAL, "a route of scope host has one nexthop")
	}
	for i := range r.Nexthops {
		if err := tx.checkLeg4(r, &r.Nexthops[i]); err != nil {
			return err
		}
	}
	return nil
}

func (tx *Txn) checkLeg4(r *Route, n *Nexthop) error {
	l := tx.s.link(n.Link)
	n.ScopeSet = true
	switch {
	case r.Scope == ScopeHost: // B28
		if n.Gateway.IsValid() {
			return refuse(EINVAL, "a route of scope host has no gateway")
		}
		if l == nil {
			return refuse(ENODEV, "there is no link with index %d", n.Link)
		}
		n.Scope = ScopeNowhere
		return nil
	case !n.Gateway.IsValid(): // B29
		if n.Flags&(FlagOnlink|FlagPervasive) != 0 {
			return refuse(EINVAL, "onlink needs a gateway")
		}
		if err := upForInet(l, n.Link); err != nil {
			return err
		}
		n.Scope = ScopeHost
	case n.Gateway.Is6():
		if err := tx.checkLeg6(r.Table, netip.Addr{}, n); err != nil {
			return err
		}
		n.Scope = ScopeLink
		return nil // such legs learn of a missing carrier by events only
	case n.Flags&FlagOnlink != 0: // B30
		if r.Scope >= ScopeLink {
			return refuse(EINVAL, "an onlink nexthop needs a scope wider than link")
		}
		if l == nil {
			return refuse(ENODEV, "there is no link with index %d", n.Link)
		}
		if !l.Up() {
			return refuse(ENETDOWN, "link %s is down", l.Name)
		}
		if t := tx.s.addressType4(l, n.Gateway); t != TypeUnicast {
			return refuse(EINVAL, "gateway %v is a %v address", n.Gateway, t)
		}
		n.Scope = ScopeLink
	default:
		if err := tx.resolveGateway4(r, n); err != nil {
			return err
		}
	}
	tx.markLinkdown(n)
	return nil
}

func upForInet(l *link, index int32) error {
	switch {
	case l == nil:
		return refuse(ENODEV, "there is no link with index %d", index)
	case l.NoInet:
		return refuse(ENODEV, "link %s has no IPv4", l.Name)
	case !l.Up():
		return refuse(ENETDOWN, "link %s is down", l.Name)
	}
	return nil
}

// markLinkdown: a leg whose link has no carrier is linkdown from the start (E9).
func (tx *Txn) markLinkdown(n *Nexthop) {
	if l := tx.s.link(n.Link); l != nil && !l.Carrier() {
		n.Flags |= FlagLinkdown
	}
}

// resolveGateway4 looks a gateway up as the kernel does when a route is added:
// with a scope narrower than the route's, in the route's own table first, then by
// the rules (B30).
func (tx *Txn) resolveGateway4(r *Route, n *Nexthop) error {
	w := newWalk(tx.s, Flow{Dst: n.Gateway, Oif: n.Link}, nil)
	w.key.IPProto = 0
	w.scope, w.anyLinkstate = max(r.Scope+1, ScopeLink), true
	var h hit
	out := passOn
	if r.Table != TableMain {
		out, _ = w.table4(r.Table, &h)
	}
	if out != found {
		if e := w.rules(&h); e != 0 {
			return refuse(e, "gateway %v is not reachable", n.Gateway)
		}
	}
	if h.alias.typ != TypeUnicast && h.alias.typ != TypeLocal {
		return refuse(EINVAL, "gateway %v is a %v address", n.Gateway, h.alias.typ)
	}
	l := tx.s.link(h.nh.Link)
	if l == nil {
		return refuse(ENETUNREACH, "gateway %v is not reachable", n.Gateway)
	}
	if !l.Up() {
		return refuse(ENETDOWN, "link %s to gateway %v is down", l.Name, n.Gateway)
	}
	n.Link, n.Scope = h.nh.Link, h.alias.scope
	return nil
}

// checkPrefSrc4: a preferred source is a local address, in table local or in the
// route's own (B31).
func (tx *Txn) checkPrefSrc4(r *Route) error {
	if !r.PrefSrc.IsValid() || r.Type == TypeLocal && r.Dst.Addr() == r.PrefSrc {
		return nil
	}
	if special4(r.PrefSrc) != TypeUnicast {
		return refuse(EINVAL, "preferred source %v is a %v address", r.PrefSrc, special4(r.PrefSrc))
	}
	if r.Table != TableMain && tx.s.typeIn4(r.Table, r.PrefSrc) == TypeLocal || tx.s.typeIn4(TableLocal, r.PrefSrc) == TypeLocal {
		return nil
	}
	return refuse(EINVAL, "preferred source %v is not an address of this host", r.PrefSrc)
}

// addressType4 is what an address is to this host, seen from a link: local,
// broadcast, multicast or unicast.
func (s *Snapshot) addressType4(l *link, a netip.Addr) RouteType {
	if t := special4(a); t != TypeUnicast {
		return t
	}
	return s.typeIn4(s.localTable(l), a)
}

// special4 is the type of the addresses that have one whatever the tables say:
// 0.0.0.0 and 255.255.255.255 are broadcast, 224/4 multicast. It is unicast for others.
func special4(a netip.Addr) RouteType {
	switch {
	case a.IsUnspecified() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return TypeBroadcast
	case a.IsMulticast():
		return TypeMulticast
	}
	return TypeUnicast
}

// settleMetrics brings metrics into the bounds that the kernel has for them (B27).
func (tx *Txn) settleMetrics(m *Metrics) error {
	known := uint32(0x0f) // ecn, sack, timestamp, allfrag
	if tx.s.kernel.AtLeast(6, 7) {
		known |= 0x10 // tcp_usec_ts
	}
	v := &m.Values
	if f := v[MetricFeatures]; f&^known != 0 {
		return refuse(EINVAL, "features %#x: there are no others than %#x", f, known)
	}
	v[MetricMTU] = min(v[MetricMTU], 65535-15)
	v[MetricAdvMSS] = min(v[MetricAdvMSS], 65535-40)
	v[MetricHopLimit] = min(v[MetricHopLimit], 255)
	return nil
}

// typeIn4 is the type of the route that table id has for an address, unicast if
// it has none. In merged mode local and main are one table.
func (s *Snapshot) typeIn4(id TableID, a netip.Addr) RouteType {
	w := newWalk(s, Flow{Dst: a}, nil)
	w.key.Iif, w.key.IPProto = 0, 0
	var h hit
	out := passOn
	if s.mode4 == ModeMerged && (id == TableLocal || id == TableMain) {
		out, _ = w.merged4(&h)
	} else {
		out, _ = w.table4(id, &h)
	}
	if out == found {
		return h.alias.typ
	}
	return TypeUnicast
}
