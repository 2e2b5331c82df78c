package fib

import (
	"net/netip"
	"slices"
)

// derived4 is a route that the kernel keeps for an IPv4 address (E1): local,
// broadcast or network, on l, with that preferred source.
func (tx *Txn) derived4(l *link, t RouteType, dst netip.Prefix, src netip.Addr, metric uint32) Route {
	table, scope := tx.s.l3Table(l), ScopeLink
	if table == TableUnspec {
		table = TableLocal
		if t == TypeUnicast {
			table = TableMain
		}
	}
	if t == TypeLocal {
		scope = ScopeHost
	}
	return Route{
		Table: table, Dst: dst, Priority: metric, Type: t, Scope: scope, Protocol: ProtoKernel, PrefSrc: src,
		Nexthops: []Nexthop{{Link: l.Index, Weight: 1}},
	}
}

// addDerived4 appends such a route if it is valid as things are and not there yet.
func (tx *Txn) addDerived4(l *link, t RouteType, dst netip.Prefix, src netip.Addr, metric uint32) {
	r := tx.derived4(l, t, dst, src, metric)
	if tx.checkRoute4(&r) == nil {
		_ = tx.addRoute4(&r, OpAppend) // EEXIST: nothing to do
	}
}

func (tx *Txn) deleteDerived4(l *link, t RouteType, dst netip.Prefix, src netip.Addr, metric uint32) {
	r := tx.derived4(l, t, dst, src, metric)
	_ = tx.deleteRoute4(tableKey{id: r.Table, fam: Inet}, &r) // ESRCH: it had gone before
}

func host4(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, 32) }

// subnet4 is what the kernel derives from an address: the network, its last
// address, and whether there is a network route at all.
type subnet4 struct {
	net       netip.Prefix
	broadcast netip.Addr
	connected bool
}

func subnetOf4(a *Address) subnet4 {
	n := a.Prefix.Masked()
	b := n.Addr().As4()
	zero := n.Addr().IsUnspecified()
	for i := n.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return subnet4{n, netip.AddrFrom4(b), !zero && (n.Bits() < 32 || n.Addr() != a.Local)}
}

// networkType is the type of a network route: on lo all of it is local.
func networkType(l *link) RouteType {
	if l.loopback() {
		return TypeLocal
	}
	return TypeUnicast
}

// sameSubnet4: equal masks and networks make one address secondary to the other (C21).
func sameSubnet4(a, b *Address) bool { return a.Prefix.Masked() == b.Prefix.Masked() }

// primaryOf4 is the first address of a subnet in the link's list.
func (l *link) primaryOf4(n netip.Prefix) *Address {
	for i := range l.addrs4 {
		if l.addrs4[i].Prefix.Masked() == n {
			return &l.addrs4[i]
		}
	}
	return nil
}

// addRoutesOf4 enters the routes of an address in l's list (E1, E2).
func (tx *Txn) addRoutesOf4(l *link, a *Address) {
	sub := subnetOf4(a)
	prim := a
	if a.Flags&AddrSecondary != 0 {
		if prim = l.primaryOf4(sub.net); prim == nil {
			return
		}
	}
	tx.addDerived4(l, TypeLocal, host4(a.Local), prim.Local, 0)
	if !l.Up() {
		return
	}
	if a.Broadcast.IsValid() && a.Broadcast != netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		tx.addDerived4(l, TypeBroadcast, host4(a.Broadcast), prim.Local, 0)
	}
	if !sub.connected || a.Flags&AddrSecondary != 0 {
		return
	}
	if a.Flags&AddrNoPrefixRoute == 0 {
		tx.addDerived4(l, networkType(l), sub.net, prim.Local, a.Metric)
	}
	if sub.net.Bits() < 31 {
		tx.addDerived4(l, TypeBroadcast, host4(sub.broadcast), prim.Local, 0)
	}
}

// deleteRoutesOf4 removes the routes that only address a needed. a may still be in
// l's list: with promoted set, its routes go because another address takes the
// place of its primary, which is promoted. dead: the link is being deleted.
func (tx *Txn) deleteRoutesOf4(l *link, a, promoted *Address, dead bool) {
	sub := subnetOf4(a)
	prim := a
	subnet := false
	if a.Flags&AddrSecondary != 0 {
		if prim = l.primaryOf4(sub.net); prim == nil || promoted != nil && promoted != prim {
			return
		}
	} else if sub.connected {
		if a.Flags&AddrNoPrefixRoute == 0 {
			tx.deleteDerived4(l, networkType(l), sub.net, prim.Local, 0)
		}
		subnet = true
	}
	var keep needed4
	if !dead {
		keep = l.neededBesides4(a, prim, promoted, sub)
	}
	if !keep.configured && a.Broadcast.IsValid() {
		tx.deleteDerived4(l, TypeBroadcast, host4(a.Broadcast), prim.Local, 0)
	}
	if subnet && sub.net.Bits() < 31 {
		if !keep.last {
			tx.deleteDerived4(l, TypeBroadcast, host4(sub.broadcast), prim.Local, 0)
		}
		if !keep.first {
			tx.deleteDerived4(l, TypeBroadcast, host4(sub.net.Addr()), prim.Local, 0)
		}
	}
	if keep.local {
		return
	}
	tx.deleteDerived4(l, TypeLocal, host4(a.Local), prim.Local, 0)
	if !keep.listed && tx.s.addressType4(l, a.Local) != TypeLocal {
		tx.dropPrefSrc4(l, a.Local)
	}
}

// needed4 tells which routes of an address others in the list need as well.
type needed4 struct {
	listed                         bool // the address itself is still in the list
	local, configured, last, first bool // its local route; the configured broadcast; the subnet's last and first address
}

// neededBesides4 is the scan of fib_del_ifaddr: only addresses whose routes have
// the same preferred source as a's count.
func (l *link) neededBesides4(a, prim, promoted *Address, sub subnet4) (keep needed4) {
	sameSource := false // another primary has prim's address
	var prim1 *Address
	for i := range l.addrs4 {
		b := &l.addrs4[i]
		if b == a {
			keep.listed = true
			continue
		}
		if promoted != nil && sameSubnet4(b, promoted) {
			continue
		}
		if b.Flags&AddrSecondary != 0 {
			if sameSubnet4(b, prim) {
				prim1 = prim
			} else {
				if !sameSource {
					continue
				}
				if prim1 == nil || !sameSubnet4(b, prim1) {
					prim1 = l.primaryOf4(b.Prefix.Masked())
				}
				if prim1 == nil || prim1.Local != prim.Local {
					continue
				}
			}
		} else {
			if prim.Local != b.Local {
				continue
			}
			prim1 = b
			sameSource = sameSource || prim != prim1
		}
		keep.note(a, b, prim1 == b, sub)
	}
	return keep
}

func (keep *needed4) note(a, b *Address, primary bool, sub subnet4) {
	keep.local = keep.local || a.Local == b.Local
	keep.configured = keep.configured || a.Broadcast == b.Broadcast
	keep.last = keep.last || sub.broadcast == b.Broadcast
	keep.first = keep.first || sub.net.Addr() == b.Broadcast
	other := subnetOf4(b)
	if !primary || other.net.Bits() >= 31 || other.net.Addr().IsUnspecified() {
		return
	}
	edge := func(x netip.Addr) bool { return x == other.broadcast || x == other.net.Addr() }
	keep.configured = keep.configured || edge(a.Broadcast)
	keep.last = keep.last || edge(sub.broadcast)
	keep.first = keep.first || edge(sub.net.Addr())
}

// dropPrefSrc4 removes the routes that prefer a source which is no longer ours,
// of table main or the VRF's only (E4).
func (tx *Txn) dropPrefSrc4(l *link, src netip.Addr) {
	if src.IsUnspecified() {
		return
	}
	table := tx.s.l3Table(l)
	if table == TableUnspec {
		table = TableMain
	}
	tx.drop(Inet, func(t TableID) bool { return t == table }, func(a *alias) bool { return a.prefSrc == src })
}

// disable4 is what IPv4 does when nothing can be sent through a link any more:
// routes whose legs are all dead go, others keep their dead legs. With force also
// routes of scope host (E5, E7).
func (tx *Txn) disable4(l *link, ev linkEvent, force bool) {
	tx.syncDown4(l.Index, ev, force)
	tx.dropNeighbours(l.Index, Inet, false)
}

func (tx *Txn) syncDown4(dev int32, ev linkEvent, force bool) {
	tx.drop(Inet, anyTable, func(a *alias) bool {
		_, gone := tx.down4(a, dev, ev, force)
		return gone && ev != linkCarrier
	})
	tx.swapAliases(func(a *alias) *alias {
		n, gone := tx.down4(a, dev, ev, force)
		if n == nil || gone && ev != linkCarrier {
			return nil
		}
		return n
	})
}

// down4 is a after the event, nil if it has no leg on the link; all: every leg is
// out of use.
func (tx *Txn) down4(a *alias, dev int32, ev linkEvent, force bool) (n *alias, all bool) {
	if a.fam != Inet || !a.uses(dev) {
		return nil, false
	}
	c := *a
	c.legs = slices.Clone(a.legs)
	out := 0
	for i := range c.legs {
		leg := &c.legs[i]
		switch {
		case leg.Flags&FlagDead != 0:
			out++
		case leg.Link == dev && (force || leg.Scope != ScopeNowhere):
			leg.Flags |= FlagLinkdown
			if ev != linkCarrier {
				leg.Flags |= FlagDead
			}
			out++
		}
		if ev == linkUnregistered && leg.Link == dev {
			return &c, true // one leg suffices
		}
	}
	tx.settle4(&c)
	return &c, out == len(c.legs)
}

// settle4 works out the hash ranges anew; an event is the time for it (B20).
func (tx *Txn) settle4(a *alias) {
	if len(a.legs) > 1 {
		a.bounds = tx.s.bounds4(a.legs)
	}
}

// syncUp4 takes flags from the legs on a link that is up (E7): dead ones revive,
// and are no longer linkdown if there is a carrier.
func (tx *Txn) syncUp4(l *link, flags NexthopFlags) {
	if !l.Up() {
		return
	}
	if flags&FlagDead != 0 && l.Carrier() {
		flags |= FlagLinkdown
	}
	tx.swapAliases(func(a *alias) *alias {
		if a.fam != Inet || !a.uses(l.Index) {
			return nil
		}
		c := *a
		c.legs = slices.Clone(a.legs)
		for i := range c.legs {
			if leg := &c.legs[i]; leg.Link == l.Index && !l.NoInet {
				leg.Flags &^= flags
			}
		}
		tx.settle4(&c)
		if slices.Equal(c.legs, a.legs) && slices.Equal(c.bounds, a.bounds) {
			return nil
		}
		return &c
	})
}
