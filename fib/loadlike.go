package fib

import "net/netip"

// Most routes of a dump are like one that came before, but for their destination: what those come to is found
// again in place of being worked out.

// likeness is a route that was loaded, and the leaf in which it stands alone.
type likeness struct {
	epoch uint64   // of the stretch of work in which that holds
	route Route    // but for destination and legs
	leg   *Nexthop // nil: none. Routes with several are not kept
	fam   Family
	old   uint32 // 1 + the leaf whose place it took in a merge; 0: none
	key   tableKey
	leaf  uint32
}

// likenesses are found by what tells most routes apart.
type likenesses [likeSlots]likeness

const likeSlots = 256

// like returns where the likeness of r is, or would be, and whether it is there.
func (tx *Txn) like(r *Route, old uint32) (l *likeness, known bool) {
	if tx.in.like == nil {
		tx.in.like = new(likenesses)
	}
	h := uint64(r.Table)<<32 ^ uint64(r.Priority)<<16 ^ uint64(r.NexthopID)<<8 ^ uint64(r.Protocol) ^ uint64(old)<<40
	var leg *Nexthop
	if len(r.Nexthops) > 0 {
		leg = &r.Nexthops[0]
		h ^= uint64(leg.Link) << 24
		if leg.Gateway.Is4() {
			b := leg.Gateway.As4()
			h ^= uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3])
		} else if leg.Gateway.IsValid() {
			b := leg.Gateway.As16()
			h ^= uint64(b[12])<<24 | uint64(b[13])<<16 | uint64(b[14])<<8 | uint64(b[15])
		}
	}
	l = &tx.in.like[h*0x9e3779b97f4a7c15>>56]
	return l, l.epoch == tx.likely && l.old == old && l.fam == r.Family() && len(r.Nexthops) <= 1 &&
		(leg == nil) == (l.leg == nil) && (leg == nil || *leg == *l.leg) && sameButDst(&l.route, r)
}

// sameButDst compares all but destination and legs.
func sameButDst(a, b *Route) bool {
	return a.Table == b.Table && a.Src == b.Src && a.TOS == b.TOS && a.Priority == b.Priority && a.Type == b.Type && a.Scope == b.Scope &&
		a.Protocol == b.Protocol && a.Flags == b.Flags && a.PrefSrc == b.PrefSrc && a.Pref == b.Pref && a.Expires == b.Expires && a.Lost == b.Lost &&
		a.Learned == b.Learned && a.NexthopID == b.NexthopID && a.Metrics == b.Metrics
}

// loadLike is loadRoute for a route like one before. It is false, and has done nothing, for another one.
func (tx *Txn) loadLike(r *Route) bool {
	if !r.Dst.IsValid() {
		return false
	}
	l, known := tx.like(r, 0)
	if !known || r.Dst != r.Dst.Masked() {
		return false
	}
	tx.enter(l.key, r, l.leaf)
	return true
}

// enter loads r, which alone under its prefix is leaf i.
func (tx *Txn) enter(k tableKey, r *Route, i uint32) {
	tx.res.RoutesAdded++
	tx.retain(i)
	if len(tx.loading) > 0 {
		if l := tx.loading[routeKey{k, r.Dst}]; l != nil {
			l.addRoute(r, tx.s.leaves.at(i).plain[0])
			tx.release(i)
			return
		}
	}
	if old, had := tx.edit(k, true).Insert(r.Dst, i); had {
		tx.startList(routeKey{k, r.Dst}, tx.s.leaves.at(old)).addRoute(r, tx.s.leaves.at(i).plain[0])
		tx.release(old)
	}
}

// liken keeps that r, of table k, comes to leaf i.
func (tx *Txn) liken(r *Route, old uint32, k tableKey, i uint32) {
	if len(r.Nexthops) > 1 || r.Src != (netip.Prefix{}) {
		return
	}
	l, _ := tx.like(r, old)
	*l = likeness{epoch: tx.likely, route: *r, fam: r.Family(), old: old, key: k, leaf: i}
	if len(r.Nexthops) > 0 {
		leg := r.Nexthops[0]
		l.leg = &leg
	}
	l.route.Nexthops = nil
}

// unlike forgets all likenesses, since what they were worked out from is about to change.
func (tx *Txn) unlike() {
	tx.in.likely++
	tx.likely = tx.in.likely
}
