package fib

import (
	"net/netip"
	"slices"
)

// addrScope6 is the scope under which rtnetlink shows an IPv6 address.
func addrScope6(a *Address) Scope {
	switch {
	case a.Local == loopback6:
		return ScopeHost
	case scopeOf6(a.Local) == scopeLinkLocal6:
		return ScopeLink
	case scopeOf6(a.Local) == scopeSiteLocal6:
		return ScopeSite
	}
	return ScopeUniverse
}

// addAddr6 enters an IPv6 address and its routes (E10).
func (tx *Txn) addAddr6(a Address) error {
	l := tx.s.links[a.Link]
	switch {
	case a.Flags&AddrNoDAD != 0 && a.Flags&AddrOptimistic != 0:
		return refuse(EINVAL, "nodad and optimistic exclude each other")
	case a.Flags&AddrManageTemp != 0 && a.Prefix.Bits() != 64:
		return refuse(EINVAL, "temporary addresses need a prefix length of 64")
	case l.Conf6.DisableIPv6:
		return refuse(EACCES, "IPv6 is disabled on link %s", l.Name)
	case a.Local.IsUnspecified() || isMulticast6(a.Local):
		return refuse(EADDRNOTAVAIL, "%v is not a unicast address", a.Local)
	case a.Local == loopback6 && !l.loopback() && !l.IsL3Master():
		return refuse(EADDRNOTAVAIL, "%v belongs on lo", a.Local)
	}
	a.Scope, a.Label = addrScope6(&a), ""
	l = tx.ownLink(a.Link)
	tx.insertAddr6(l, a)
	tx.multicastRoute6(l)
	if a.Flags&AddrNoPrefixRoute == 0 {
		tx.prefixRoute6(l, &a, own6(&a))
	}
	tx.hostRoutes6(l, &a)
	return nil
}

// insertAddr6 puts an address into l's list: by scope, the newest first (D40).
func (tx *Txn) insertAddr6(l *link, a Address) {
	if a.Created == 0 {
		a.Created = tx.s.nextCreated()
	}
	at := slices.IndexFunc(l.addrs6, func(b Address) bool { return scopeOf6(a.Local) >= scopeOf6(b.Local) })
	if at < 0 {
		at = len(l.addrs6)
	}
	l.addrs6 = slices.Insert(l.addrs6, at, a)
	tx.dirty = true
}

// ConfirmAddress ends the duplicate detection of an IPv6 address that was added
// with [AddrTentative]: it comes into use, with its local entry (E10). It changes
// nothing if the address is in use already.
//
// Possible errors, as *[OpError]: ENODEV, EADDRNOTAVAIL; [ErrTxnDone].
func (tx *Txn) ConfirmAddress(link int32, local netip.Addr) error {
	const op = "address confirm"
	if tx.ended() {
		return ErrTxnDone
	}
	l := tx.s.links[link]
	if l == nil {
		return opError(op, local.String(), refuse(ENODEV, "there is no link with index %d", link))
	}
	at := slices.IndexFunc(l.addrs6, func(a Address) bool { return a.Local == local })
	if at < 0 {
		return opError(op, local.String(), refuse(EADDRNOTAVAIL, "link %s does not have this address", l.Name))
	}
	if l.addrs6[at].Flags&AddrTentative == 0 {
		return nil
	}
	l = tx.ownLink(link)
	l.addrs6[at].Flags &^= AddrTentative | AddrOptimistic | AddrDADFailed
	tx.hostRoutes6(l, &l.addrs6[at])
	return nil
}

// changeAddr6 changes what NLM_F_REPLACE may: lifetimes, flags, metric and peer.
// The length of the prefix and the state of duplicate detection stay.
func (tx *Txn) changeAddr6(l *link, at int, a Address) {
	old := l.addrs6[at]
	had := old.Flags&AddrPermanent != 0 && old.Flags&AddrNoPrefixRoute == 0
	n := old
	const state = AddrTentative | AddrOptimistic | AddrDADFailed | AddrTemporary
	n.Flags = old.Flags&state | a.Flags&^state
	n.ValidLft, n.PreferredLft, n.Protocol = a.ValidLft, a.PreferredLft, a.Protocol
	if a.Metric != 0 {
		n.Metric = a.Metric
	}
	if a.hasPeer() {
		n.Prefix = netip.PrefixFrom(a.Prefix.Addr(), old.Prefix.Bits())
	}
	if n.Prefix.Addr() != old.Prefix.Addr() && old.hasPeer() {
		tx.underive6(l, TableMain, old.Prefix, isPrefixRoute6)
	}
	if n != old {
		l = tx.ownLink(l.Index)
		l.addrs6[at] = n
	}
	switch {
	case n.Flags&AddrNoPrefixRoute == 0:
		tx.changePrefix6(l, &n, own6(&n), had)
		if n.hasPeer() {
			tx.changePrefix6(l, &n, n.Prefix, had)
		}
	case had:
		tx.cleanupPrefix6(l, &n)
	}
}

// changePrefix6 gives the first connected route for dst the metric of an address
// that had one, or enters one.
func (tx *Txn) changePrefix6(l *link, a *Address, dst netip.Prefix, had bool) {
	if old := tx.firstRoute6(l, TableMain, dst, isPrefixRoute6); had && old != nil {
		if old.priority == metricOf6(a) {
			return
		}
		tx.underive6(l, TableMain, dst, isPrefixRoute6)
	}
	tx.prefixRoute6(l, a, dst)
}
