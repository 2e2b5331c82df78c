package fib

import (
	"maps"
	"net/netip"
	"slices"
)

// addrProtoLoopback is the IFA_PROTO of the addresses that lo gets by itself.
const addrProtoLoopback = 1

// AddAddress does what RTM_NEWADDR does for an address that its link does not
// have: it enters the address at its place in the link's list (C21, D40) and the
// routes that come with it (E1, E2, E10; on a router also D32).
//
// A zero Prefix is the address alone (/32, /128); a peer is a Prefix with another
// address than Local. Lifetimes of 0 both mean for ever. The IPv6 scope and the
// flags [AddrSecondary], [AddrPermanent] and [AddrDeprecated] are worked out, as
// is Created where it is 0: later than all others. Duplicate detection is not
// played through: an address is in use unless it comes with [AddrTentative], and
// link-local addresses are not generated.
//
// It costs the number of addresses and of distinct routes. Possible errors, as
// *[OpError]: EINVAL, ENODEV, ENOBUFS (the link has no IPv4), EACCES (IPv6 is
// disabled on the link), EEXIST, EADDRNOTAVAIL; [ErrTxnDone].
func (tx *Txn) AddAddress(a Address) error { return tx.newAddress("address add", a, false) }

// ReplaceAddress does what RTM_NEWADDR with NLM_F_REPLACE does: like
// [Txn.AddAddress], but an address that is there already changes its lifetimes,
// its metric (E6) and, for IPv6, its peer and flags, with the routes that follow
// from them.
func (tx *Txn) ReplaceAddress(a Address) error { return tx.newAddress("address replace", a, true) }

func (tx *Txn) newAddress(op string, a Address, replace bool) error {
	if tx.ended() {
		return ErrTxnDone
	}
	name := addressName(&a)
	if err := tx.checkAddress(&a); err != nil {
		return opError(op, name, err)
	}
	l := tx.s.links[a.Link]
	add, change, list := tx.addAddr4, tx.changeAddr4, l.addrs4
	same := func(b Address) bool { return b.Local == a.Local && sameSubnet4(&a, &b) }
	if a.Local.Is6() {
		add, change, list = tx.addAddr6, tx.changeAddr6, l.addrs6
		same = func(b Address) bool { return b.Local == a.Local }
	}
	at := slices.IndexFunc(list, same)
	switch {
	case at < 0:
		return wrapOp(op, name, add(a))
	case !replace:
		return opError(op, name, refuse(EEXIST, "link %s has this address", l.Name))
	}
	change(l, at, a)
	return nil
}

// DeleteAddress does what RTM_DELADDR does: it removes the address Local of a
// link, of that prefix length, and the routes that only it needed. An IPv4 primary
// takes its secondaries with it or has one promoted (E3); with the last one IPv4
// ends on the link (E5). Routes that prefer the address as their source fall (E4)
// or forget it (D43).
//
// A zero Prefix means any length. Of a, only Link, Local and Prefix matter, so an address may be given as it was added; for IPv4 a Prefix with
// another address must be its peer's network.
//
// Possible errors, as *[OpError]: ENODEV, EADDRNOTAVAIL; [ErrTxnDone].
func (tx *Txn) DeleteAddress(a Address) error {
	const op = "address delete"
	if tx.ended() {
		return ErrTxnDone
	}
	name := addressName(&a)
	l := tx.s.links[a.Link]
	if l == nil {
		return opError(op, name, refuse(ENODEV, "there is no link with index %d", a.Link))
	}
	if a.Local.Is4() {
		at := slices.IndexFunc(l.addrs4, func(b Address) bool {
			return b.Local == a.Local && (!a.Prefix.IsValid() || sameSubnet4(&a, &b))
		})
		if at >= 0 {
			tx.removeAddr4(tx.ownLink(a.Link), at, false)
			return nil
		}
	} else {
		at := slices.IndexFunc(l.addrs6, func(b Address) bool {
			return b.Local == a.Local && (!a.Prefix.IsValid() || a.Prefix.Bits() == b.Prefix.Bits())
		})
		if at >= 0 {
			l = tx.ownLink(a.Link)
			gone := l.addrs6[at]
			l.addrs6 = slices.Delete(l.addrs6, at, at+1)
			l.kept6 = slices.DeleteFunc(slices.Clone(l.kept6), func(b netip.Addr) bool { return b == gone.Local })
			tx.deleteRoutesOf6(l, &gone)
			return nil
		}
	}
	return opError(op, name, refuse(EADDRNOTAVAIL, "link %s does not have this address", l.Name))
}

func addressName(a *Address) string {
	if a.Prefix.IsValid() && a.Prefix.Addr() != a.Local {
		return a.Local.String() + " peer " + a.Prefix.String()
	}
	if a.Prefix.IsValid() {
		return a.Prefix.String()
	}
	return a.Local.String()
}

// wellFormedAddress checks that a is complete and of one family.
func wellFormedAddress(a *Address) error {
	switch {
	case !a.Local.IsValid() || a.Local.Zone() != "":
		return refuse(EINVAL, "the address is missing or has a zone")
	case !a.Prefix.IsValid():
		return refuse(EINVAL, "the prefix is invalid")
	case a.Prefix.Addr().Is4() != a.Local.Is4():
		return refuse(EINVAL, "address %v and prefix %v are of different families", a.Local, a.Prefix)
	case a.Broadcast.IsValid() && (!a.Broadcast.Is4() || a.Local.Is6()):
		return refuse(EINVAL, "broadcast %v: only IPv4 has broadcast addresses", a.Broadcast)
	}
	return nil
}

// checkAddress checks what needs no look at other addresses, and fills in what a
// request leaves to the kernel.
func (tx *Txn) checkAddress(a *Address) error {
	l := tx.s.links[a.Link]
	if a.Prefix == (netip.Prefix{}) && a.Local.IsValid() {
		a.Prefix = netip.PrefixFrom(a.Local, a.Local.BitLen())
	}
	if err := wellFormedAddress(a); err != nil {
		return err
	}
	if a.ValidLft == 0 && a.PreferredLft == 0 {
		a.ValidLft, a.PreferredLft = forever, forever
	}
	switch {
	case a.ValidLft == 0 || a.PreferredLft > a.ValidLft:
		return refuse(EINVAL, "valid lifetime %d is 0 or below the preferred lifetime %d", a.ValidLft, a.PreferredLft)
	case l == nil:
		return refuse(ENODEV, "there is no link with index %d", a.Link)
	case a.Local.Is4() && l.NoInet:
		return refuse(ENOBUFS, "link %s has no IPv4", l.Name)
	case a.Local.Is6() && l.NoInet6:
		return refuse(EINVAL, "link %s has no IPv6", l.Name)
	}
	a.Flags &^= AddrPermanent | AddrDeprecated
	if a.ValidLft == forever {
		a.Flags |= AddrPermanent
	}
	if a.PreferredLft == 0 {
		a.Flags |= AddrDeprecated
	}
	if a.Created == 0 {
		a.Created = tx.s.nextCreated()
	}
	return nil
}

// nextCreated is a stamp that makes an address the newest. There is no clock here;
// only the order of stamps matters (C4).
func (s *Snapshot) nextCreated() uint32 {
	newest := uint32(0)
	for _, l := range s.links {
		for i := range l.addrs4 {
			newest = max(newest, l.addrs4[i].Created)
		}
		for i := range l.addrs6 {
			newest = max(newest, l.addrs6[i].Created)
		}
	}
	if newest == forever {
		return newest
	}
	return newest + 1
}

// ownOwners makes owner4 the transaction's own.
func (tx *Txn) ownOwners() {
	if !tx.owned.owner4 {
		tx.s.owner4, tx.owned.owner4 = maps.Clone(tx.s.owner4), true
	}
	tx.dirty = true
}

// settleOwner works out anew which link owns an IPv4 address (C4).
func (tx *Txn) settleOwner(a netip.Addr) {
	tx.ownOwners()
	for id, o := range tx.s.objects {
		if o.Source.IsValid() {
			tx.rememberSource(id, netip.Addr{})
		}
	}
	delete(tx.s.owner4, a)
	newest := uint32(0)
	for _, i := range tx.s.linkOrder {
		for _, b := range tx.s.links[i].addrs4 {
			if b.Local == a && b.Created >= newest {
				tx.s.owner4[a], newest = i, b.Created
			}
		}
	}
}

// addAddr4 enters an address at the place that its scope and subnet give it (C21).
func (tx *Txn) addAddr4(a Address) error {
	if a.Local.IsUnspecified() {
		return nil // accepted and forgotten
	}
	l := tx.s.links[a.Link]
	a.Flags &^= AddrSecondary | AddrTemporary | AddrTentative | AddrOptimistic | AddrDADFailed | AddrHome | AddrManageTemp | AddrNoDAD
	at := 0
	for i := range l.addrs4 {
		b := &l.addrs4[i]
		if b.Flags&AddrSecondary == 0 && a.Scope <= b.Scope {
			at = i + 1
		}
		if sameSubnet4(&a, b) {
			if b.Scope != a.Scope {
				return refuse(EINVAL, "scope %v differs from that of %v in the same subnet", a.Scope, b.Local)
			}
			a.Flags |= AddrSecondary
		}
	}
	l = tx.ownLink(a.Link)
	if a.Flags&AddrSecondary != 0 {
		at = len(l.addrs4)
	}
	l.addrs4 = slices.Insert(l.addrs4, at, a)
	tx.settleOwner(a.Local)
	tx.announceAddr4(l, at)
	return nil
}

// announceAddr4 is what follows from an address that has come into l's list.
func (tx *Txn) announceAddr4(l *link, at int) {
	tx.addRoutesOf4(l, &l.addrs4[at])
	tx.syncUp4(l, FlagDead)
}

// changeAddr4 changes what NLM_F_REPLACE may: lifetimes, protocol and metric.
func (tx *Txn) changeAddr4(l *link, at int, a Address) {
	const lifetime = AddrPermanent | AddrDeprecated
	n := l.addrs4[at]
	n.Metric, n.Protocol, n.ValidLft, n.PreferredLft = a.Metric, a.Protocol, a.ValidLft, a.PreferredLft
	n.Flags = n.Flags&^lifetime | a.Flags&lifetime
	if n == l.addrs4[at] {
		return
	}
	l = tx.ownLink(l.Index)
	old := &l.addrs4[at]
	sub := subnetOf4(old)
	if old.Metric != a.Metric && l.Up() && sub.connected && old.Flags&(AddrSecondary|AddrNoPrefixRoute) == 0 {
		tx.addDerived4(l, networkType(l), sub.net, old.Local, a.Metric)
		tx.deleteDerived4(l, networkType(l), sub.net, old.Local, old.Metric)
	}
	*old = n
}

// removeAddr4 takes an address out of l's list (E3–E5). dead: the link itself is
// being deleted.
func (tx *Txn) removeAddr4(l *link, at int, dead bool) {
	promote := -1
	lastPrimary := at
	if a := &l.addrs4[at]; a.Flags&AddrSecondary == 0 && !dead {
		promotes := tx.s.sysctls.All4.PromoteSecondaries || l.Conf4.PromoteSecondaries
		for i := at + 1; i < len(l.addrs4) && promote < 0; {
			b := l.addrs4[i]
			switch {
			case b.Flags&AddrSecondary == 0:
				if a.Scope <= b.Scope {
					lastPrimary = i
				}
				i++
			case !sameSubnet4(a, &b):
				i++
			case promotes:
				promote = i
			default:
				l.addrs4 = slices.Delete(l.addrs4, i, i+1)
				tx.settleOwner(b.Local)
				tx.deleteRoutesOf4(l, &b, nil, false)
			}
		}
		if promote >= 0 {
			for i := promote; i < len(l.addrs4); i++ {
				if sameSubnet4(a, &l.addrs4[i]) {
					tx.deleteRoutesOf4(l, &l.addrs4[i], a, false)
				}
			}
		}
	}
	gone := l.addrs4[at]
	l.addrs4 = slices.Delete(l.addrs4, at, at+1)
	tx.settleOwner(gone.Local)
	tx.deleteRoutesOf4(l, &gone, nil, dead)
	if len(l.addrs4) == 0 {
		tx.disable4(l, linkDown, true)
	}
	if promote >= 0 {
		tx.promote4(l, at, promote-1, lastPrimary, &gone)
	}
}

// promote4 makes the address at position from, behind the one gone from position
// at, a primary: it moves there, or behind the last primary behind that which may
// precede it, and its routes and those of its own secondaries return. Positions
// but lastPrimary are without the one that is gone.
func (tx *Txn) promote4(l *link, at, from, lastPrimary int, gone *Address) {
	p := l.addrs4[from]
	p.Flags &^= AddrSecondary
	to := from
	if from > at { // others are in between
		to = lastPrimary
	}
	l.addrs4 = slices.Insert(slices.Delete(l.addrs4, from, from+1), to, p)
	tx.dirty = true
	tx.announceAddr4(l, to)
	for i := from + 1; i < len(l.addrs4); i++ {
		if sameSubnet4(gone, &l.addrs4[i]) {
			tx.addRoutesOf4(l, &l.addrs4[i])
		}
	}
}
