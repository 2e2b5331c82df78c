package fib

import "net/netip"

// routeSource4 is the source address of an output flow that has none (C18, L18).
func (w *walk) routeSource4(h *hit) (netip.Addr, Reason) {
	// A way out of the flow's L3 domain takes the domain's own address (L18).
	if m := w.key.L3Master; m != 0 && w.s.links[m] != nil && w.s.masterOf(h.nh.Link) != m {
		return w.s.selectSource4(m, netip.Addr{}, ScopeLink)
	}
	if h.alias.prefSrc.IsValid() {
		return h.alias.prefSrc, ReasonSourcePreferred
	}
	src, why := w.s.legSelect4(h.alias, h.obj, &h.nh)
	if h.obj == nil || h.obj.fam == Inet6 || h.nh.Gateway.Is6() {
		return src, why
	}
	if known := h.obj.sources[h.leg]; known.IsValid() {
		return known, why
	}
	// After a change of addresses the scope of the route looked up first counts (C19).
	if other, because := w.s.selectSource4(h.nh.Link, h.nh.Gateway, h.alias.scope); other != src && w.choose(UndeterminedSource, 2) == 1 {
		return other, because
	}
	return src, why
}

// legSource4 is the source that the kernel remembers for a leg (B22, C19), as far
// as it can be told from the addresses of now.
func (w *walk) legSource4(a *alias, o *object, n *Nexthop) netip.Addr {
	src, _ := w.s.legSelect4(a, o, n)
	return src
}

func (s *Snapshot) legSelect4(a *alias, o *object, n *Nexthop) (netip.Addr, Reason) {
	hint, scope := n.Gateway, a.scope
	if !hint.Is4() {
		hint = netip.Addr{}
	}
	// The leg of an object is shared by routes of any scope (C19).
	if o != nil && o.fam != Inet6 && !n.Gateway.Is6() {
		scope = n.Scope - 1
	}
	return s.selectSource4(n.Link, hint, scope)
}

// selectSource4 chooses an address for packets that leave by dev towards hint, of
// a scope not narrower than scope (C20).
func (s *Snapshot) selectSource4(dev int32, hint netip.Addr, scope Scope) (netip.Addr, Reason) {
	l := s.links[dev]
	if l != nil && !l.NoInet {
		narrowest := ScopeHost
		if s.routeLocalnet(l) {
			narrowest = ScopeLink
		}
		var first netip.Addr
		for i := range l.addrs4 {
			a := &l.addrs4[i]
			if a.Flags&AddrSecondary != 0 || min(a.Scope, narrowest) > scope {
				continue
			}
			if hint.IsValid() && a.Prefix.Contains(hint) {
				return a.Local, ReasonSourceSubnet
			}
			if !hint.IsValid() {
				return a.Local, ReasonSourceFirst
			}
			if !first.IsValid() {
				first = a.Local
			}
		}
		if first.IsValid() {
			return first, ReasonSourceFirst
		}
	}
	// Borrow one from another link of the same L3 domain, the VRF itself first (L17).
	master := s.masterOf(dev)
	if m := s.links[master]; m != nil {
		if a := m.lend4(scope); a.IsValid() {
			return a, ReasonSourceBorrowed
		}
	}
	for _, i := range s.linkOrder {
		o := s.links[i]
		if s.masterOf(i) != master {
			continue
		}
		if a := o.lend4(scope); a.IsValid() {
			return a, ReasonSourceBorrowed
		}
	}
	return netip.Addr{}, ReasonSourceNone
}

// lend4 is the address that l lends to links without one.
func (l *link) lend4(scope Scope) netip.Addr {
	if l.NoInet {
		return netip.Addr{}
	}
	for i := range l.addrs4 {
		if a := &l.addrs4[i]; a.Flags&AddrSecondary == 0 && a.Scope != ScopeLink && a.Scope <= scope {
			return a.Local
		}
	}
	return netip.Addr{}
}

func (s *Snapshot) routeLocalnet(l *link) bool {
	return s.sysctls.All4.RouteLocalnet || l.Conf4.RouteLocalnet
}

// ownerOf is the link that has the IPv4 address a, 0 if it is not ours (C4): some
// link has exactly a, or table local has a local route for it.
func (w *walk) ownerOf(a netip.Addr) int32 {
	if l, ok := w.s.owner4[a]; ok {
		return l
	}
	c := *w
	c.reverse = true
	c.key.Src, c.key.Dst = netip.Addr{}, a
	c.key.Iif, c.key.Oif, c.key.TOS = 0, 0, 0
	var h hit
	var out outcome
	if w.mode() == ModeMerged {
		out, _ = c.merged4(&h) // there is only one tree
	} else {
		out, _ = c.table4(TableLocal, &h)
	}
	if out == found && h.alias.typ == TypeLocal {
		return h.nh.Link
	}
	return 0
}
