package fib

import "net/netip"

// checkLeg6 checks a leg with an IPv6 gateway or none, also of an IPv4 route
// (D51, D54–D56), and finds its link where only the gateway is given. Source
// routes to the gateway are chosen by the route's preferred source, if it has one.
func (tx *Txn) checkLeg6(table TableID, src netip.Addr, n *Nexthop) error {
	if err := tx.checkLink6(n); err != nil {
		return err
	}
	if n.Gateway.IsValid() {
		if err := tx.checkGateway6(table, src, n); err != nil {
			return err
		}
	}
	switch l := tx.s.link(n.Link); {
	case l == nil:
		return refuse(ENODEV, "neither a link nor a gateway is given")
	case l.Conf6.DisableIPv6:
		return refuse(EACCES, "IPv6 is disabled on link %s", l.Name)
	case !l.Up():
		return refuse(ENETDOWN, "link %s is down", l.Name)
	}
	return nil
}

// checkLink6 checks the link that a leg names.
func (tx *Txn) checkLink6(n *Nexthop) error {
	l := tx.s.link(n.Link)
	switch {
	case n.Link != 0 && l == nil:
		return refuse(ENODEV, "there is no link with index %d", n.Link)
	case n.Link != 0 && l.NoInet6:
		return refuse(ENODEV, "link %s has no IPv6", l.Name)
	case n.Flags&FlagOnlink != 0 && l == nil:
		return refuse(ENODEV, "an onlink gateway needs a link")
	case n.Flags&FlagOnlink != 0 && !l.Up():
		return refuse(ENETDOWN, "link %s is down", l.Name)
	}
	return nil
}

// checkGateway6 is ip6_validate_gw: where a link is given the gateway must not be
// our own from there, otherwise from the link that it is found on.
func (tx *Txn) checkGateway6(table TableID, src netip.Addr, n *Nexthop) error {
	gw := n.Gateway
	given := n.Link != 0
	onLinkOnly := isLinkLocal6(gw)
	ours := func() error {
		if tx.s.ownsAddress6(gw, n.Link, !onLinkOnly, false) {
			return refuse(EINVAL, "gateway %v is an address of this host", gw)
		}
		return nil
	}
	if given {
		if err := ours(); err != nil {
			return err
		}
	}
	if !onLinkOnly {
		if isMulticast6(gw) || gw.IsUnspecified() {
			return refuse(EINVAL, "gateway %v is not a unicast address", gw)
		}
		find := tx.findGateway6
		if n.Flags&FlagOnlink != 0 {
			find = tx.checkOnlink6
		}
		if err := find(table, src, n); err != nil {
			return err
		}
	}
	l := tx.s.link(n.Link)
	switch {
	case l == nil:
		return refuse(EINVAL, "a link-local gateway needs a link")
	case l.loopback():
		return refuse(EINVAL, "gateway %v is on the loopback link", gw)
	case !given:
		return ours()
	}
	return nil
}

// findGateway6 resolves a gateway in the route's table, then by the rules: to a
// route without a gateway, on the link given if one is (D56).
func (tx *Txn) findGateway6(table TableID, src netip.Addr, n *Nexthop) error {
	var h hit
	usable := func() bool {
		return h.alias != nil && !h.alias.typ.rejects6() && !h.nh.Gateway.IsValid() && !tx.s.rejects6(&h)
	}
	if !tx.tableLookup6(table, src, n, true, &h) || !usable() || n.Link != 0 && h.nh.Link != n.Link {
		h = hit{}
		w := newWalk(tx.s, Flow{Dst: n.Gateway, Oif: n.Link}, nil)
		w.gateway6 = true
		if e := w.rules(&h); e != 0 || !usable() || n.Link != 0 && h.nh.Link != n.Link {
			return refuse(EHOSTUNREACH, "gateway %v is not on a link of this host", n.Gateway)
		}
	}
	n.Link = h.nh.Link
	return nil
}

// rejects6 reports a route through lo that is a reject in disguise (D17).
func (s *Snapshot) rejects6(h *hit) bool {
	l := s.link(h.nh.Link)
	return l != nil && l.loopback() && !h.alias.unmindful6() && !h.prefix.Addr().IsLoopback()
}

// checkOnlink6: the gateway must not be known to be elsewhere (D54).
func (tx *Txn) checkOnlink6(_ TableID, src netip.Addr, n *Nexthop) error {
	table := tx.s.l3Table(tx.s.link(n.Link))
	if table == TableUnspec {
		table = TableMain
	}
	var h hit
	if tx.tableLookup6(table, src, n, false, &h) && !h.prefix.Addr().IsUnspecified() && !tx.s.rejects6(&h) &&
		(h.nh.Link != n.Link || h.alias.typ != TypeUnicast) {
		return refuse(EINVAL, "gateway %v is known on another link", n.Gateway)
	}
	return nil
}

// tableLookup6 looks a gateway up in one table, whatever the state of links and
// neighbours.
func (tx *Txn) tableLookup6(table TableID, src netip.Addr, n *Nexthop, strict bool, h *hit) bool {
	t := tx.s.table(Inet6, table)
	if t == nil {
		return false
	}
	w := newWalk(tx.s, Flow{Dst: n.Gateway, Src: src, Oif: n.Link}, nil)
	w.anyLinkstate = true
	q := w.query6()
	q.strict, q.reach = strict, false
	p, ok := w.search6(t, &q)
	if !ok {
		return false
	}
	out, e := w.settle6(t, &q, &p, h)
	return out == found && e == 0
}

// ownsAddress6 reports whether an address is ours, seen from a link: of the same
// L3 domain, and unless anyLink is set a link-local one only on that link itself.
// A settled address is not tentative, unless it is optimistic.
func (s *Snapshot) ownsAddress6(a netip.Addr, dev int32, anyLink, settled bool) bool {
	domain := s.masterOf(dev)
	for i, l := range s.links {
		if s.masterOf(i) != domain {
			continue
		}
		for j := range l.addrs6 {
			b := &l.addrs6[j]
			if b.Local == a && !(settled && b.Flags&(AddrTentative|AddrOptimistic) == AddrTentative) &&
				(anyLink || i == dev || b.Scope != ScopeLink && b.Scope != ScopeHost) {
				return true
			}
		}
	}
	return false
}
