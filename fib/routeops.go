package fib

import (
	"net/netip"
	"slices"
)

// AddFlags say what a request does when it meets what is already there: the
// NLM_F_* flags of a netlink request, with the same values.
type AddFlags uint16

// The flags, and iproute2's words for their combinations.
const (
	Replace AddFlags = 0x100
	Excl    AddFlags = 0x200
	Create  AddFlags = 0x400
	Append  AddFlags = 0x800

	OpAdd     = Create | Excl
	OpReplace = Create | Replace
	OpChange  = Replace
	OpAppend  = Create | Append
	OpPrepend = Create
)

// AddRoute does what RTM_NEWROUTE with these flags does (B6, B7, D2–D4): it
// enters r, replaces another with it, or refuses.
//
// Table 0 means main; an IPv6 metric 0 means 1024; host bits of an IPv6
// destination are masked, those of an IPv4 destination are an error. The gateway
// must be reachable and everything else valid as B27–B32 and D50–D56 say.
//
// It costs a few lookups, whatever the number of routes; with a nexthop object and
// no metrics the number of distinct routes, if any other such route has metrics. A
// transaction's first change of a route costs the number of tables, and a pointer for
// each 256 distinct lists of routes.
//
// Possible errors, as *[OpError]: EEXIST, ENOENT, EINVAL, ENODEV, ENETDOWN,
// ENETUNREACH, EHOSTUNREACH, EACCES; [ErrTxnDone].
func (tx *Txn) AddRoute(r Route, flags AddFlags) error { return tx.addRoute(&r, flags) }

func (tx *Txn) addRoute(asked *Route, flags AddFlags) error {
	const op = "route add"
	if tx.ended() {
		return ErrTxnDone
	}
	tx.legs = append(tx.legs[:0], asked.Nexthops...)
	r := *asked
	r.Nexthops = tx.legs
	normalize(&r)
	err := tx.checkRoute(&r)
	switch {
	case err != nil:
	case r.Family() == Inet:
		err = tx.addRoute4(&r, flags)
	default:
		err = tx.addRoute6(&r, flags)
	}
	if err != nil {
		return opError(op, r.String(), err)
	}
	if r.Type == TypeLocal && r.Family() == Inet && tx.s.userLocal != FactYes {
		tx.s.userLocal, tx.dirty = FactYes, true
	}
	return nil
}

// DeleteRoute does what RTM_DELROUTE does: it removes the first route that agrees
// with r in prefix and TOS and in every other field that is set (B8; IPv6: the
// first with that metric, link and gateway, or all legs of a multipath route when
// none is given). Of several IPv6 legs all must be there: a kernel removes those that
// are and fails with ESRCH as well. Scope [ScopeNowhere] matches every scope, type 0 every type.
//
// Possible errors, as *[OpError]: ESRCH, EINVAL; [ErrTxnDone].
func (tx *Txn) DeleteRoute(r Route) error {
	const op = "route delete"
	if tx.ended() {
		return ErrTxnDone
	}
	if !r.Dst.IsValid() {
		return opError(op, "", refuse(EINVAL, "the destination is missing"))
	}
	if r.Table == TableUnspec {
		r.Table = TableMain
	}
	if err := tx.checkDelete(&r); err != nil {
		return opError(op, r.String(), err)
	}
	k := tableKey{id: r.Table, fam: r.Family()}
	if tx.s.tables[k] == nil {
		return opError(op, r.String(), refuse(ESRCH, "table %v does not exist", r.Table))
	}
	var err error
	if k.fam == Inet {
		err = tx.deleteRoute4(k, &r)
	} else {
		err = tx.deleteRoute6(k, &r)
	}
	return wrapOp(op, r.String(), err)
}

// checkDelete is what a deletion must have right, as an addition must, before any
// table is looked at. Nexthops beside an object's id are what a dump says of it.
func (tx *Txn) checkDelete(r *Route) error {
	if r.Family() == Inet {
		if err := checkAny4(r); err != nil {
			return err
		}
	} else if r.TOS != 0 {
		return refuse(EINVAL, "IPv6 routes have no TOS")
	}
	if r.NexthopID != 0 && tx.s.objects[r.NexthopID] == nil {
		return refuse(EINVAL, "there is no nexthop object %d", r.NexthopID)
	}
	return nil
}

// normalize fills in what a request leaves to the kernel.
func normalize(r *Route) {
	if r.Table == TableUnspec {
		r.Table = TableMain
	}
	if r.Type == TypeUnspec {
		r.Type = TypeUnicast
	}
	if r.Dst.IsValid() && r.Family() == Inet6 {
		r.Dst = r.Dst.Masked()
		if r.Priority == 0 {
			r.Priority = 1024
		}
		if r.Src.IsValid() {
			if r.Src = r.Src.Masked(); r.Src.Bits() == 0 {
				r.Src = netip.Prefix{}
			}
		}
		r.Scope = ScopeUniverse
	}
	for i := range r.Nexthops {
		r.Nexthops[i].Weight = max(r.Nexthops[i].Weight, 1)
	}
}

// newAlias is r as it is stored under a prefix, with these legs.
func (tx *Txn) newAlias(r *Route, legs []Nexthop) alias {
	a := alias{
		fam: r.Family(), typ: r.Type, scope: r.Scope, protocol: r.Protocol, tos: r.TOS, pref: r.Pref, flags: r.Flags,
		priority: r.Priority, prefSrc: r.PrefSrc, expires: r.Expires, nhid: r.NexthopID, legs: legs,
	}
	if !r.Metrics.IsZero() {
		tx.metrics = r.Metrics
		a.metrics = &tx.metrics
	}
	if a.nhid != 0 {
		a.table, a.legs = r.Table, nil
	}
	if r.Family() == Inet && len(a.legs) > 1 {
		a.bounds = tx.s.bounds4(a.legs)
	}
	return a
}

// bounds4 works out the hash ranges of an IPv4 route's legs (B20).
func (s *Snapshot) bounds4(legs []Nexthop) []int32 {
	return boundsOf(legs, func(n *Nexthop) bool {
		return n.Flags&FlagDead != 0 || n.Flags&FlagLinkdown != 0 && s.ignoreLinkdown4(s.link(n.Link))
	})
}

// internAlias returns the stored alias equal to a. If the operation fails after
// all, give it back with unused.
func (tx *Txn) internAlias(a *alias) *alias { return tx.in.alias(a).alias }

// identical reports whether a request for b would be one for a again (B7): all
// but the state of the legs agrees.
func identical(a, b *alias) bool {
	if a.id == b.id && a.id != 0 {
		return true
	}
	// Most differ in this.
	if a.nhid != b.nhid || len(a.legs) != len(b.legs) || len(a.legs) > 0 && (a.legs[0].Link != b.legs[0].Link || a.legs[0].Gateway != b.legs[0].Gateway) {
		return false
	}
	x, y := *a, *b
	x.flags, y.flags = 0, 0
	x.guessed, y.guessed = false, false
	x.bounds, y.bounds = nil, nil
	x.legs, y.legs = plainLegs(a.legs), plainLegs(b.legs)
	return string(x.appendKey(nil)) == string(y.appendKey(nil))
}

func plainLegs(legs []Nexthop) []Nexthop {
	out := slices.Clone(legs)
	for i := range out {
		out[i].Flags &^= FlagDead | FlagLinkdown | FlagOffload | FlagTrap
	}
	return out
}

// sameGroup: DSCP and priority are the identity of an alias under its prefix (B6).
func sameGroup(a, b *alias) bool { return a.tos == b.tos && a.priority == b.priority }

// before4 is the order of aliases under a prefix: DSCP descending, priority ascending (B5).
func before4(a, b *alias) bool {
	return a.tos > b.tos || a.tos == b.tos && a.priority < b.priority
}

func (tx *Txn) addRoute4(r *Route, flags AddFlags) error {
	k := tableKey{id: r.Table, fam: Inet}
	a := tx.newAlias(r, r.Nexthops)
	if a.nhid != 0 && a.metrics == nil {
		a.metrics = tx.inheritedMetrics(&a)
	}
	l := tx.leafOf(k, r.Dst)
	list := l.plain
	first := slices.IndexFunc(list, func(x *alias) bool { return !before4(x, &a) })
	if first < 0 {
		first = len(list)
	}
	end := first
	for end < len(list) && sameGroup(list[end], &a) {
		end++
	}
	at := first
	if end > first {
		same := slices.IndexFunc(list[first:end], func(x *alias) bool { return identical(x, &a) })
		switch {
		case flags&Excl != 0:
			return refuse(EEXIST, "a route with this prefix, TOS and metric exists")
		case flags&Replace != 0 && same == 0:
			return nil
		case same >= 0:
			return refuse(EEXIST, "exactly this route exists")
		case flags&Replace != 0:
			rec := tx.in.alias(&a)
			if len(list) > 1 || !tx.setAlone(k, r.Dst, rec) {
				n := slices.Clone(list)
				n[first] = rec.alias
				tx.setLeaf(k, r.Dst, l.with(netip.Prefix{}, n))
			}
			tx.res.RoutesAdded++
			tx.res.RoutesRemoved++
			return nil
		case flags&Append != 0:
			at = end
		}
	}
	if flags&Create == 0 {
		return refuse(ENOENT, "no route with this prefix, TOS and metric exists, and the request does not create one")
	}
	rec := tx.in.alias(&a)
	if len(list) > 0 || !tx.setAlone(k, r.Dst, rec) {
		tx.setLeaf(k, r.Dst, l.with(netip.Prefix{}, slices.Insert(slices.Clone(list), at, rec.alias)))
	}
	tx.res.RoutesAdded++
	return nil
}

// inheritedMetrics finds the metrics that a route with a nexthop object gets from
// another like it (B7).
func (tx *Txn) inheritedMetrics(a *alias) *Metrics {
	if tx.in.lendable == 0 {
		return nil // most of the time, and the search is long
	}
	for _, x := range tx.in.aliasRecs {
		if x != nil && x.nhid == a.nhid && x.table == a.table && x.metrics != nil && x.protocol == a.protocol &&
			x.scope == a.scope && x.prefSrc == a.prefSrc && x.priority == a.priority && x.typ == a.typ {
			return x.metrics
		}
	}
	return nil
}

func (tx *Txn) deleteRoute4(k tableKey, r *Route) error {
	l := tx.leafOf(k, r.Dst)
	for i, a := range l.plain {
		if a.tos != r.TOS || !tx.matchesDelete4(a, r) {
			continue
		}
		tx.setLeaf(k, r.Dst, l.with(netip.Prefix{}, slices.Delete(slices.Clone(l.plain), i, i+1)))
		tx.res.RoutesRemoved++
		return nil
	}
	return refuse(ESRCH, "no such route")
}

func (tx *Txn) matchesDelete4(a *alias, r *Route) bool {
	if r.Type != 0 && a.typ != r.Type ||
		r.Scope != ScopeNowhere && a.scope != r.Scope ||
		r.PrefSrc.IsValid() && !r.PrefSrc.IsUnspecified() && a.prefSrc != r.PrefSrc ||
		r.Protocol != 0 && a.protocol != r.Protocol ||
		r.Priority != 0 && a.priority != r.Priority ||
		r.NexthopID != 0 && a.nhid != r.NexthopID {
		return false
	}
	if a.metrics == nil {
		if !r.Metrics.IsZero() {
			return false
		}
	} else {
		for i, v := range r.Metrics.Values {
			if v != 0 && a.metrics.Values[i] != v {
				return false
			}
		}
		if c := r.Metrics.CongCtl; c != "" && a.metrics.CongCtl != c {
			return false
		}
	}
	if r.NexthopID != 0 || len(r.Nexthops) == 0 {
		return true
	}
	// A request that names a link or gateway does not match an object route.
	if a.nhid != 0 {
		return false
	}
	if len(r.Nexthops) == 1 {
		want := r.Nexthops[0]
		if want.Gateway == netip.IPv4Unspecified() {
			want.Gateway = netip.Addr{} // as if it were not given
		}
		if want.Link == 0 && !want.Gateway.IsValid() {
			return true // realms alone are not looked at
		}
		return len(a.legs) > 0 && matchesLeg4(&a.legs[0], &want)
	}
	// The kernel walks the legs of the route, not those of the request. A route
	// that needs no leg has one there, without a link.
	legs := a.legs
	if len(legs) == 0 {
		legs = []Nexthop{{}}
	}
	if len(legs) > len(r.Nexthops) {
		return false
	}
	for i := range legs {
		if !matchesLeg4(&legs[i], &r.Nexthops[i]) {
			return false
		}
	}
	return true
}

func matchesLeg4(have, want *Nexthop) bool {
	return matchesLeg(have, want) && (want.Realms == 0 || have.Realms == want.Realms)
}

func matchesLeg(have, want *Nexthop) bool {
	return (want.Link == 0 || have.Link == want.Link) && (!want.Gateway.IsValid() || have.Gateway == want.Gateway)
}
