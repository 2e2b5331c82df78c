package fib

import (
	"net/netip"
	"slices"
)

const (
	metricAddress6 = 256 // of prefix and multicast routes, unless an address says otherwise
	forever        = 1<<32 - 1
)

var allMulticast6 = netip.MustParsePrefix("ff00::/8")

func host6(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, 128) }

// derive6 enters a route that the kernel keeps for a link or an address (E10,
// E11), if it is not there yet.
func (tx *Txn) derive6(l *link, table TableID, t RouteType, dst netip.Prefix, metric, expires uint32) {
	if vrf := tx.s.l3Table(l); vrf != TableUnspec {
		table = vrf
	}
	leg := Nexthop{Link: l.Index, Weight: 1}
	if !l.Carrier() && !l.loopback() && t != TypeLocal && t != TypeAnycast {
		leg.Flags = FlagLinkdown
	}
	r := Route{
		Table: table, Dst: dst.Masked(), Priority: metric, Type: t, Protocol: ProtoKernel, Expires: expires,
		Nexthops: []Nexthop{leg},
	}
	_ = tx.addRoute6(&r, OpPrepend) // EEXIST: nothing to do
}

// firstRoute6 is the first route for dst on l that accepts, nil if there is none.
func (tx *Txn) firstRoute6(l *link, table TableID, dst netip.Prefix, accept func(*alias) bool) *alias {
	if vrf := tx.s.l3Table(l); vrf != TableUnspec {
		table = vrf
	}
	for _, a := range tx.leafOf(tableKey{id: table, fam: Inet6}, dst.Masked()).plain {
		if a.uses(l.Index) && accept(a) {
			return a
		}
	}
	return nil
}

// underive6 removes that route.
func (tx *Txn) underive6(l *link, table TableID, dst netip.Prefix, accept func(*alias) bool) {
	gone := tx.firstRoute6(l, table, dst, accept)
	if gone == nil {
		return
	}
	if vrf := tx.s.l3Table(l); vrf != TableUnspec {
		table = vrf
	}
	k := tableKey{id: table, fam: Inet6}
	old := tx.leafOf(k, dst.Masked())
	at := slices.Index(old.plain, gone)
	tx.setLeaf(k, dst.Masked(), old.with(netip.Prefix{}, slices.Delete(slices.Clone(old.plain), at, at+1)))
	tx.res.RoutesRemoved++
}

// multicastRoute6 is the route that every link with IPv6 has (D34).
func (tx *Txn) multicastRoute6(l *link) {
	if l.Up() && !l.loopback() && !l.IsL3Master() {
		tx.derive6(l, TableLocal, TypeMulticast, allMulticast6, metricAddress6, 0)
	}
}

func own6(a *Address) netip.Prefix { return netip.PrefixFrom(a.Local, a.Prefix.Bits()) }

func metricOf6(a *Address) uint32 {
	if a.Metric != 0 {
		return a.Metric
	}
	return metricAddress6
}

// prefixRoute6 is the connected route of an address; it needs the link to be up.
func (tx *Txn) prefixRoute6(l *link, a *Address, dst netip.Prefix) {
	if !l.Up() {
		return
	}
	var expires uint32
	if a.ValidLft != forever {
		expires = a.ValidLft
	}
	tx.derive6(l, TableMain, TypeUnicast, dst, metricOf6(a), expires)
}

// isPrefixRoute6 accepts what the kernel takes for a connected route.
func isPrefixRoute6(a *alias) bool { return len(a.legs) == 1 && !a.legs[0].Gateway.IsValid() }

// hostRoutes6 enters the routes of an address that is in use: its local entry,
// its anycast entry on a router and the route to its peer.
func (tx *Txn) hostRoutes6(l *link, a *Address) {
	if a.Flags&AddrTentative != 0 && a.Flags&AddrOptimistic == 0 {
		return
	}
	tx.derive6(l, TableLocal, TypeLocal, host6(a.Local), 0, 0)
	if l.Conf6.Forwarding {
		tx.joinAnycast6(l, a)
	}
	if a.hasPeer() && l.Up() {
		tx.derive6(l, TableMain, TypeUnicast, host6(a.Prefix.Addr()), metricOf6(a), 0)
	}
}

func (a *Address) hasPeer() bool { return a.Prefix.Addr() != a.Local }

// anycastOf6 is the subnet router address that a router answers to (D32).
func anycastOf6(a *Address) (netip.Addr, bool) {
	p := own6(a).Masked()
	return p.Addr(), p.Bits() < 127 && !p.Addr().IsUnspecified()
}

// countAnycast6 counts the anycast addresses of a link as loaded.
func (l *link) countAnycast6() {
	for i := range l.addrs6 {
		a := &l.addrs6[i]
		if any, ok := anycastOf6(a); ok && l.Conf6.Forwarding && a.Flags&AddrTentative == 0 {
			if l.anycast6 == nil {
				l.anycast6 = map[netip.Addr]int{}
			}
			l.anycast6[any]++
		}
	}
}

// joinAnycast6 answers to the anycast address of a; the first address that has it
// brings its entry.
func (tx *Txn) joinAnycast6(l *link, a *Address) {
	any, ok := anycastOf6(a)
	if !ok {
		return
	}
	if l.anycast6 == nil {
		l.anycast6 = map[netip.Addr]int{}
	}
	if l.anycast6[any]++; l.anycast6[any] == 1 {
		tx.derive6(l, TableLocal, TypeAnycast, host6(any), 0, 0)
	}
}

func (tx *Txn) leaveAnycast6(l *link, a *Address) {
	any, ok := anycastOf6(a)
	if !ok || l.anycast6[any] == 0 {
		return
	}
	if l.anycast6[any]--; l.anycast6[any] == 0 {
		delete(l.anycast6, any)
		tx.underive6(l, TableLocal, host6(any), func(x *alias) bool { return x.typ == TypeAnycast && x.unmindful6() })
	}
}

// deleteRoutesOf6 removes the routes that only address a, no longer in l's list,
// needed (E10, D43).
func (tx *Txn) deleteRoutesOf6(l *link, a *Address) {
	if l.Conf6.Forwarding {
		tx.leaveAnycast6(l, a)
	}
	if a.hasPeer() {
		tx.underive6(l, TableMain, host6(a.Prefix.Addr()), func(*alias) bool { return true })
	}
	tx.underive6(l, TableLocal, host6(a.Local), func(x *alias) bool { return isLocalOf6(x, l) })
	if a.Flags&AddrPermanent != 0 && a.Flags&AddrNoPrefixRoute == 0 {
		tx.cleanupPrefix6(l, a)
	}
	tx.forgetPrefSrc6(l, a.Local)
}

// cleanupPrefix6 removes the connected route of a unless a permanent address of
// the same prefix still needs it; temporary ones only let it expire.
func (tx *Txn) cleanupPrefix6(l *link, a *Address) {
	expires := uint32(0)
	for i := range l.addrs6 {
		b := &l.addrs6[i]
		if b.Local == a.Local || own6(b).Masked() != own6(a).Masked() {
			continue
		}
		if b.Flags&(AddrPermanent|AddrNoPrefixRoute) != 0 {
			return
		}
		expires = max(expires, b.ValidLft)
	}
	tx.underive6(l, TableMain, own6(a), isPrefixRoute6)
	if expires != 0 {
		b := *a
		b.ValidLft = expires
		tx.prefixRoute6(l, &b, own6(a))
	}
}

// forgetPrefSrc6 takes a preferred source that l no longer has, and that is not ours as
// seen from the link of the route, from all routes but those with objects; before
// Linux 6.6 from those on l, whoever else has it (D43).
func (tx *Txn) forgetPrefSrc6(l *link, src netip.Addr) {
	everywhere := tx.s.kernel.AtLeast(6, 6)
	hit := func(a *alias) bool {
		switch {
		case a.nhid != 0 || a.prefSrc != src:
			return false
		case !everywhere:
			return a.uses(l.Index)
		}
		return !tx.s.ownsAddress6(src, a.leg6().Link, false, true)
	}
	tx.rewrite(Inet6, anyTable, hit, func(list []*alias) []*alias {
		out := slices.Clone(list)
		for i, a := range out {
			if hit(a) {
				c := *a
				c.prefSrc = netip.Addr{}
				out[i] = tx.internAlias(&c)
			}
		}
		return out
	})
}

// syncDown6 takes the routes of a link out of use (E12–E14). A multipath route
// keeps its dead legs while others live, but loses those of a deleted link.
func (tx *Txn) syncDown6(dev int32, ev linkEvent) {
	uses := func(a *alias) bool { return a.uses(dev) }
	mark := FlagLinkdown
	switch ev {
	case linkUnregistered:
		tx.drop(Inet6, anyTable, uses)
		return
	case linkDown:
		mark |= FlagDead
		tx.rewrite(Inet6, anyTable, uses, func(list []*alias) []*alias {
			return slices.DeleteFunc(slices.Clone(list), func(a *alias) bool { return fallsWith6(list, a, dev) })
		})
	}
	tx.swapAliases(func(a *alias) *alias {
		if a.fam != Inet6 || !a.uses(dev) || len(a.legs) == 0 || a.legs[0].Flags&mark == mark ||
			ev == linkCarrier && a.unmindful6() {
			return nil
		}
		c := *a
		c.legs = slices.Clone(a.legs)
		c.legs[0].Flags |= mark
		return &c
	})
}

// unmindful6 reports a route that no loss of carrier touches (RTF_LOCAL, RTF_ANYCAST).
func (a *alias) unmindful6() bool {
	return a.typ == TypeLocal || a.typ == TypeAnycast && a.protocol == ProtoKernel && a.priority == 0
}

// fallsWith6 reports whether alias a of a list goes when a link goes down: on its
// own if it uses the link, as a leg of a multipath route when all legs are dead then.
func fallsWith6(list []*alias, a *alias, dev int32) bool {
	if !a.ecmpAble() {
		return a.uses(dev)
	}
	used := false
	for _, x := range list {
		if !x.ecmpAble() || x.priority != a.priority {
			continue
		}
		switch {
		case x.uses(dev):
			used = true
		case x.legs[0].Flags&FlagDead == 0:
			return false
		}
	}
	return used
}

// syncUp6 takes flags from the legs on a link.
func (tx *Txn) syncUp6(l *link, flags NexthopFlags) {
	if flags&FlagDead != 0 && l.Carrier() {
		flags |= FlagLinkdown
	}
	tx.swapAliases(func(a *alias) *alias {
		if a.fam != Inet6 || !a.uses(l.Index) || len(a.legs) == 0 || a.legs[0].Flags&flags == 0 {
			return nil
		}
		c := *a
		c.legs = slices.Clone(a.legs)
		c.legs[0].Flags &^= flags
		return &c
	})
}

// changeMTU6 follows a link whose MTU was old and now is mtu: a route through it that
// has an MTU of its own loses what exceeds the link's, and grows with it where both
// were the same, unless its MTU is locked (E17).
func (tx *Txn) changeMTU6(dev int32, old, mtu uint32) {
	tx.swapAliases(func(a *alias) *alias {
		if a.fam != Inet6 || a.metrics == nil || a.metrics.Values[MetricLock]&(1<<MetricMTU) != 0 ||
			!slices.ContainsFunc(tx.s.legs6(a), func(n Nexthop) bool { return n.Link == dev }) {
			return nil
		}
		have := a.metrics.Values[MetricMTU]
		if have == mtu || have < mtu && (have != old || have == 0) {
			return nil
		}
		c, m := *a, *a.metrics
		m.Values[MetricMTU] = mtu
		c.metrics = &m
		return &c
	})
}

// disable6 is what IPv6 does when a link goes down or away (E12, E14, E16): its
// routes go, and its addresses unless keep_addr_on_down keeps them.
func (tx *Txn) disable6(l *link, ev linkEvent) {
	tx.syncDown6(l.Index, ev)
	tx.dropNeighbours(l.Index, Inet6, false)
	keep := tx.s.sysctls.All6.KeepAddrOnDown
	if keep == 0 {
		keep = l.Conf6.KeepAddrOnDown
	}
	keeps := ev != linkUnregistered && keep > 0 && !l.Conf6.DisableIPv6
	l.addrs6 = slices.DeleteFunc(l.addrs6, func(a Address) bool {
		return !keeps || a.Flags&AddrPermanent == 0 || a.Local == loopback6 || isLinkLocal6(a.Local)
	})
	l.kept6, l.anycast6 = nil, nil
	for i := range l.addrs6 {
		l.kept6 = append(l.kept6, l.addrs6[i].Local)
		if l.addrs6[i].Flags&AddrNoDAD == 0 {
			l.addrs6[i].Flags |= AddrTentative
		}
	}
	l.ready6 = false
}

// isLocalOf6 accepts the kernel's local entry for an address of l.
func isLocalOf6(x *alias, l *link) bool {
	return x.typ == TypeLocal && x.protocol == ProtoKernel && x.uses(l.Index)
}

// enable6 is what IPv6 does when a link comes up: the routes of kept addresses
// return (E12), and with a carrier the link is ready.
func (tx *Txn) enable6(l *link) {
	if l.NoInet6 || l.Conf6.DisableIPv6 {
		return
	}
	for i := range l.addrs6 {
		a := &l.addrs6[i]
		if a.Flags&AddrPermanent == 0 {
			continue
		}
		if a.Flags&AddrNoPrefixRoute == 0 {
			tx.prefixRoute6(l, a, own6(a))
		}
		if a.Flags&AddrTentative != 0 || slices.Contains(l.kept6, a.Local) {
			a.Flags &^= AddrTentative
			tx.hostRoutes6(l, a)
		}
	}
	l.kept6 = nil
	if l.Carrier() {
		tx.becomeReady6(l)
	}
}

// becomeReady6 is the first moment with a carrier after the link came up (E11).
// There is no address generation here: link-local addresses are the caller's.
func (tx *Txn) becomeReady6(l *link) {
	if l.NoInet6 || l.Conf6.DisableIPv6 {
		return
	}
	l.ready6 = true
	if l.loopback() {
		if !slices.ContainsFunc(l.addrs6, func(a Address) bool { return a.Local == loopback6 }) {
			a := Address{Link: l.Index, Local: loopback6, Prefix: host6(loopback6), Scope: ScopeHost,
				Flags: AddrPermanent, ValidLft: forever, PreferredLft: forever, Protocol: addrProtoLoopback}
			tx.insertAddr6(l, a)
			tx.hostRoutes6(l, &a)
		}
	}
	tx.multicastRoute6(l)
	tx.syncUp6(l, FlagDead)
}
