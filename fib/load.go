package fib

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/fibula-net/fibula/rules"
)

// Load takes a whole state as dumped, in place of what the FIB holds. Nothing is
// checked against the rest and nothing is derived, since a dump already contains
// what a kernel derived. The state is not kept.
//
// A state that names no kernel is taken to be of the one in [Config]. It costs
// O(size of the state). Routes that do not fit into memory at once can follow one by
// one with [Txn.LoadRoute].
//
// Errors, as *[OpError], before anything is taken: EINVAL for what no dump can
// contain (two links of one name or index, two objects of one id, an address
// without prefix …), ENODEV for an address of no link.
func (tx *Txn) Load(st *State) error {
	if tx.ended() {
		return ErrTxnDone
	}
	if err := checkState(st); err != nil {
		return err
	}
	tx.empty()
	s := tx.s
	if st.Kernel != (KernelVersion{}) {
		s.setKernel(st.Kernel)
	}
	s.userLocal = st.UserLocalRoutes
	tx.take(st)
	tx.bindRules()
	for i := range st.Routes {
		tx.loadRoute(&st.Routes[i])
	}
	return nil
}

// take enters all of a state but its routes into what is empty of them.
func (tx *Txn) take(st *State) {
	s := tx.s
	s.sysctls = st.Sysctls
	for _, l := range st.Links {
		l.Groups4 = slices.Clone(l.Groups4)
		s.links[l.Index] = &link{Link: l, ready6: l.Up() && l.Carrier(), epoch: tx.in.epoch}
		s.vrfRule = s.vrfRule || l.IsL3Master()
		s.linkOrder = append(s.linkOrder, l.Index)
	}
	newest := map[netip.Addr]uint32{}
	for _, a := range st.Addresses {
		l := s.links[a.Link]
		if a.Local.Is4() {
			l.addrs4 = append(l.addrs4, a)
			old, taken := newest[a.Local]
			if taken && a.Created == old {
				tx.ties = append(tx.ties, a.Local)
			}
			if !taken || a.Created >= old {
				newest[a.Local], s.owner4[a.Local] = a.Created, a.Link
			}
		} else {
			l.addrs6 = append(l.addrs6, a)
		}
	}
	for _, l := range s.links {
		l.countAnycast6()
	}
	for _, n := range st.Neighbours {
		s.neighs[neighKey{n.Link, n.Addr}] = n
	}
	s.labels = slices.Clone(st.AddrLabels)
	sortLabels(s.labels)
	for _, o := range st.Nexthops {
		o.Group, o.Buckets = slices.Clone(o.Group), slices.Clone(o.Buckets)
		s.objects[o.ID] = &object{NexthopObject: o}
	}
	s.resolveObjects()
	s.rules4, s.rules6 = rules.Load(Inet, st.Rules), rules.Load(Inet6, st.Rules)
	vrfs := slices.ContainsFunc(st.Links, func(l Link) bool { return l.IsL3Master() })
	s.mode4, s.open4 = loadedMode(st.Mode4, s.rules4, vrfs)
	s.mode6, s.open6 = loadedMode(st.Mode6, s.rules6, vrfs)
	s.hidden6 = st.Mode6 == ModeUnknown && s.mode6 == ModeMerged
}

// loadedMode is the mode a state names, or the likeliest that its rules tell, which may
// leave it open (A10): in IPv4 the initial rules may have been changed and restored,
// in IPv6 a lack of one means nothing unless a rule was ever added. The first VRF
// adds one to each, which may have been deleted since (L2, L3).
func loadedMode(m Mode, l *rules.List, vrfs bool) (likely Mode, open bool) {
	switch {
	case m != ModeUnknown:
		return m, false
	case vrfs:
		return ModeRules, false
	case l.IsInitial():
		return ModeMerged, l.Family() == Inet
	}
	return ModeRules, l.Family() == Inet6 && l.IsPartOfInitial()
}

// empty makes the transaction's state that of a new FIB.
func (tx *Txn) empty() {
	tx.settleLists()
	for _, t := range tx.s.tables {
		for _, i := range t.version().All() {
			tx.release(i)
		}
	}
	fresh := newSnapshot(tx.f.kernel)
	fresh.leaves, fresh.gen = tx.s.leaves, tx.s.gen
	*tx.s = *fresh
	tx.edits, tx.ties, tx.maybeLost = edits{}, nil, nil
	clear(tx.recheck)
	tx.owned = ownedParts{tables: true, links: true, neighs: true, objects: true, owner4: true, names: true}
	tx.dirty = true
}

// LoadRoute enters one route of a dump: behind those already there under its
// prefix, so that dump order becomes alias order. Nothing is checked against the
// rest. r is not kept; it may be used for the next route.
//
// Errors, as *[OpError]: EINVAL for a route that no dump can contain.
func (tx *Txn) LoadRoute(r *Route) error {
	if tx.done {
		return ErrTxnDone
	}
	if tx.loadLike(r) {
		return nil
	}
	if err := checkLoaded(r); err != nil {
		return err
	}
	tx.loadNew(r)
	return nil
}

// LoadRouteMarked is [Txn.LoadRoute] of a dump that calls legs dead for want of a carrier
// only, where links without one are ignored (F11): that is the setting, not the leg. r's legs
// are changed.
func (tx *Txn) LoadRouteMarked(r *Route) error {
	for i := range r.Nexthops {
		n := &r.Nexthops[i]
		n.Flags = tx.s.settledMarks(r.Family(), n.Link, n.Flags)
	}
	return tx.LoadRoute(r)
}

func (tx *Txn) loadRoute(r *Route) {
	if !tx.loadLike(r) {
		tx.loadNew(r)
	}
}

func (tx *Txn) loadNew(r *Route) {
	asked := r
	if r.Table == TableUnspec || r.Src.Bits() == 0 {
		own := *r
		if own.Table == TableUnspec {
			own.Table = TableMain
		}
		if own.Src.Bits() == 0 {
			own.Src = netip.Prefix{}
		}
		r = &own
	}
	k := tableKey{id: r.Table, fam: r.Family()}
	if o := tx.s.objects[r.NexthopID]; r.NexthopID != 0 && o != nil && o.blackhole && r.Type == TypeBlackhole {
		own := *r
		own.Type = TypeUnicast // the type is the object's, see asDumped
		r = &own
	}
	var i uint32
	var alike bool
	if k.fam == Inet {
		i, alike = tx.loadRoute4(k, r)
	} else {
		i, alike = tx.loadRoute6(k, r)
	}
	if alike {
		tx.liken(asked, 0, k, i)
	}
}

// loadRoute4 and loadRoute6 return the leaf of r alone, if that is alike for every destination.
func (tx *Txn) loadRoute4(k tableKey, r *Route) (i uint32, alike bool) {
	tx.loaded4 = true
	guessed, waits := false, false
	legs := r.Nexthops
	if r.NexthopID == 0 {
		legs = append(tx.legs[:0], r.Nexthops...)
		tx.legs = legs
		for i := range legs {
			n := &legs[i]
			n.Weight = max(n.Weight, 1)
			if n.ScopeSet || n.Scope != 0 { // a guess is kept as one
				continue
			}
			n.Scope, n.ScopeSet = tx.s.loadedScope(r, n)
			guessed = guessed || n.Scope == ScopeLink && n.Gateway.Is4()
			if n.Scope == ScopeHost && n.Gateway.IsValid() && r.Scope < ScopeLink && k.id != TableMain {
				if tx.recheck == nil {
					tx.recheck = map[routeKey]bool{}
				}
				tx.recheck[routeKey{k, r.Dst}], waits = true, true
			}
		}
	}
	a := tx.newAlias(r, legs)
	a.guessed = guessed
	i, alike = tx.loadAlias(k, r, &a)
	return i, alike && !waits
}

// loadRoute6 makes an alias of each leg (D3). A dump does not say whether a route of
// protocol ra came from an advertisement or from a request; one that stands alone is
// taken for the former, which matters only beside others of its metric. A state may say so.
func (tx *Txn) loadRoute6(k tableKey, r *Route) (i uint32, alike bool) {
	legs := r.Nexthops
	if r.NexthopID != 0 || r.Type.rejects6() {
		legs = nil
	}
	for j := range max(1, len(legs)) {
		own := tx.legs[:0]
		if j < len(legs) {
			own = append(own, legs[j])
			own[0].Weight = max(own[0].Weight, 1)
			tx.legs = own
		}
		a := tx.newAlias(r, own)
		a.learned = r.Protocol == ProtoRA && len(legs) == 1 && r.Learned != FactNo
		i, alike = tx.loadAlias(k, r, &a)
	}
	return i, alike && len(legs) <= 1
}

// loadedScope is the best guess at a scope that no dump shows (B30, K16), and
// whether it is more than a guess: a gateway that is our own address now may not
// have been when the route was added.
func (s *Snapshot) loadedScope(r *Route, n *Nexthop) (scope Scope, sure bool) {
	switch {
	case r.Scope == ScopeHost:
		return ScopeNowhere, true
	case !n.Gateway.IsValid():
		return ScopeHost, true
	case n.Flags&FlagOnlink != 0 || n.Gateway.Is6():
		return ScopeLink, true
	case r.Scope >= ScopeLink:
		return ScopeHost, true
	}
	if _, own := s.owner4[n.Gateway]; own || n.Link == loopback {
		return ScopeHost, false
	}
	return ScopeLink, true
}

func (tx *Txn) ownLinks() {
	if !tx.owned.links {
		tx.s.links, tx.s.linkOrder, tx.owned.links = maps.Clone(tx.s.links), slices.Clone(tx.s.linkOrder), true
	}
	tx.dirty = true
}
