package fib

import (
	"net/netip"
	"slices"
)

// Heard is what a notification of a kernel meant to the one who heard it.
type Heard uint8

const (
	// HeardKnown: it was so already, derived or heard before.
	HeardKnown Heard = iota
	// HeardNews: it was taken.
	HeardNews
	// HeardDoubt: it does not fit what was known, or leaves something open. The likeliest
	// was done; a dump of the table must tell.
	HeardDoubt
)

// TellRoute takes what RTM_NEWROUTE notifies of, with the flags of its message (F4, F5).
// Unlike [Txn.AddRoute] it refuses nothing that a kernel accepted, and it may be told
// of what is there already: telling the same again, or late, changes as little as
// possible.
//
// It costs what AddRoute costs. Errors, as *[OpError]: EINVAL for what no
// notification can contain; [ErrTxnDone].
func (tx *Txn) TellRoute(r *Route, flags AddFlags) (Heard, error) {
	if tx.ended() {
		return HeardKnown, ErrTxnDone
	}
	if err := checkLoaded(r); err != nil {
		return HeardKnown, err
	}
	if r.Family() == Inet {
		return tx.tell4(r, flags), nil
	}
	return tx.tell6(r, flags), nil
}

// TellRouteGone takes what RTM_DELROUTE notifies of: the route that is shown like r is
// gone, with IPv6 the legs that r has. See [Txn.TellRoute] for the rest.
func (tx *Txn) TellRouteGone(r *Route) (Heard, error) {
	if tx.ended() {
		return HeardKnown, ErrTxnDone
	}
	if err := checkLoaded(r); err != nil {
		return HeardKnown, err
	}
	k := tableKey{id: r.Table, fam: r.Family()}
	if tx.s.tables[k] == nil {
		return HeardKnown, nil
	}
	if k.fam == Inet {
		return tx.tellGone4(k, r), nil
	}
	return tx.tellGone6(k, r), nil
}

// toldLegs are the legs of a route that a kernel accepted, with what it found out when
// it did: the checks run again, on what was there. Legs that they refuse are taken as
// from a dump.
func (tx *Txn) toldLegs(r *Route) []Nexthop {
	if r.NexthopID != 0 || r.Rejects() {
		return nil
	}
	tx.legs = append(tx.legs[:0], r.Nexthops...)
	c := *r
	c.Nexthops, c.Flags = tx.legs, 0
	normalize(&c)
	for i := range c.Nexthops {
		c.Nexthops[i].Flags &^= stateMarks | hardware
	}
	checked := tx.checkRoute(&c) == nil && len(c.Nexthops) == len(r.Nexthops)
	legs := slices.Clone(r.Nexthops)
	for i := range legs {
		n := &legs[i]
		n.Weight = max(n.Weight, 1)
		n.Flags = tx.s.settledMarks(r.Family(), n.Link, n.Flags)
		switch {
		case r.Family() == Inet6:
		case checked:
			n.Scope, n.ScopeSet = c.Nexthops[i].Scope, c.Nexthops[i].ScopeSet
		default:
			n.Scope, n.ScopeSet = tx.s.loadedScope(r, n)
		}
	}
	return legs
}

// told is r as it is stored, with these legs.
func (tx *Txn) told(r *Route, legs []Nexthop) alias {
	c := *r
	if o := tx.s.objects[r.NexthopID]; r.NexthopID != 0 && o != nil && o.blackhole && r.Type == TypeBlackhole {
		c.Type = TypeUnicast // the type is the object's, see asDumped
	}
	return tx.newAlias(&c, legs)
}

func (tx *Txn) tell4(r *Route, flags AddFlags) Heard {
	k := tableKey{id: r.Table, fam: Inet}
	if r.Type == TypeLocal && (r.Table != TableLocal || r.Protocol != ProtoKernel) && tx.s.userLocal != FactYes {
		tx.s.userLocal, tx.dirty = FactYes, true
	}
	a := tx.told(r, tx.toldLegs(r))
	l := tx.leafOf(k, r.Dst)
	list := slices.Clone(l.plain)
	first := slices.IndexFunc(list, func(x *alias) bool { return !before4(x, &a) })
	if first < 0 {
		first = len(list)
	}
	end := first
	for end < len(list) && sameGroup(list[end], &a) {
		end++
	}
	same := tx.shownIn(list[first:end], &a)
	n, heard := tx.place4(list[first:end], same, &a, flags)
	if n == nil {
		return heard
	}
	tx.res.RoutesAdded++
	tx.res.RoutesRemoved += end - first + 1 - len(n)
	tx.setLeaf(k, r.Dst, l.with(netip.Prefix{}, slices.Concat(list[:first], n, list[end:])))
	return heard
}

// place4 is the group of one TOS and metric after a has come, nil if it stays. same is
// where a stands in it already.
func (tx *Txn) place4(group []*alias, same int, a *alias, flags AddFlags) ([]*alias, Heard) {
	entered := func(rest []*alias, at int) []*alias {
		return slices.Insert(slices.Clone(rest), at, tx.internAlias(a))
	}
	rest := group
	if same >= 0 {
		rest = slices.Concat(group[:same], group[same+1:])
	}
	switch {
	case flags&Replace != 0:
		switch {
		case same == 0, same > 0 && a.nhid != 0: // told again because its object changed
			return nil, HeardKnown
		case same > 0:
			return nil, HeardDoubt
		case len(group) == 0:
			return entered(nil, 0), HeardDoubt
		}
		return entered(group[1:], 0), HeardNews
	case flags&Create == 0: // told again because of the hardware
		if same >= 0 {
			return nil, HeardKnown
		}
		return entered(group, 0), HeardDoubt
	case flags&Excl != 0: // the group was empty
		if same == 0 && len(group) == 1 {
			return nil, HeardKnown
		}
		if len(group) > 0 {
			return entered(nil, 0), HeardDoubt
		}
		return entered(nil, 0), HeardNews
	}
	at := 0
	if flags&Append != 0 {
		at = len(rest)
	}
	switch {
	case same >= 0 && at == same:
		return nil, HeardKnown
	case same >= 0 || len(group) == 0:
		return entered(rest, at), HeardDoubt
	}
	return entered(rest, at), HeardNews
}

func (tx *Txn) tellGone4(k tableKey, r *Route) Heard {
	l := tx.leafOf(k, r.Dst)
	a := tx.told(r, r.Nexthops)
	i := tx.shownIn(l.plain, &a)
	if i < 0 {
		if slices.ContainsFunc(l.plain, func(x *alias) bool { return sameGroup(x, &a) }) {
			return HeardDoubt
		}
		return HeardKnown
	}
	tx.res.RoutesRemoved++
	tx.setLeaf(k, r.Dst, l.with(netip.Prefix{}, slices.Delete(slices.Clone(l.plain), i, i+1)))
	return HeardNews
}
