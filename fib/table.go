package fib

import (
	"cmp"
	"iter"
	"maps"
	"net/netip"
	"slices"

	"github.com/fibula-net/fibula/rules"
)

// routeOf is the route that alias a under dst (and src) in table t stands for.
// The legs of an object route are those of the object.
func (s *Snapshot) routeOf(t TableID, dst, src netip.Prefix, a *alias) Route {
	var r Route
	s.fillRoute(&r, t, dst, src, a)
	return r
}

// fillRoute is routeOf into r, whose room for legs is used again.
func (s *Snapshot) fillRoute(r *Route, t TableID, dst, src netip.Prefix, a *alias) {
	*r = Route{
		Table: t, Dst: dst, Src: src, TOS: a.tos, Priority: a.priority, Type: a.typ, Scope: a.scope,
		Protocol: a.protocol, Flags: a.flags, PrefSrc: a.prefSrc, Pref: a.pref, Expires: a.expires,
		NexthopID: a.nhid, Nexthops: append(r.Nexthops[:0], s.legs(a)...),
	}
	if a.metrics != nil {
		r.Metrics = *a.metrics
	}
	for i := range r.Nexthops {
		r.Nexthops[i] = shownLeg(r.Nexthops[i])
	}
}

// shownLeg is n without a scope that is no more than a guess.
func shownLeg(n Nexthop) Nexthop {
	if !n.ScopeSet {
		n.Scope = 0
	}
	return n
}

// Tables yields the ids of the tables of a family in ascending order.
func (s *Snapshot) Tables(f Family) iter.Seq[TableID] {
	return func(yield func(TableID) bool) {
		for _, k := range s.sortedTables() {
			if k.fam == f && !yield(k.id) {
				return
			}
		}
	}
}

func (s *Snapshot) sortedTables() []tableKey {
	return slices.SortedFunc(maps.Keys(s.tables), func(a, b tableKey) int {
		return cmp.Or(cmp.Compare(a.fam, b.fam), cmp.Compare(a.id, b.id))
	})
}

// Routes yields every route, IPv4 first, by table, then by prefix as
// [netip.Prefix.Compare] orders them, and under one prefix in alias order. Legs of
// an IPv6 multipath route that agree in everything else come as one route.
//
// The iterator runs over this snapshot and may be used several times. Routes are
// copies.
func (s *Snapshot) Routes() iter.Seq[Route] { return s.routes(asDumped) }

func (s *Snapshot) routes(as form) iter.Seq[Route] {
	return func(yield func(Route) bool) {
		for _, k := range s.sortedTables() {
			for r := range s.routesOf(k.fam, k.id, as) {
				if !yield(r) {
					return
				}
			}
		}
	}
}

// form is how routes are shown.
type form uint8

const (
	asDumped form = iota // as a kernel's dump has them
	asStored             // with what only the FIB knows, where loading takes a dump otherwise
)

// RoutesOf yields the routes of one table, in the order of [Snapshot.Routes].
func (s *Snapshot) RoutesOf(f Family, id TableID) iter.Seq[Route] {
	return s.routesOf(f, id, asDumped)
}

func (s *Snapshot) routesOf(f Family, id TableID, as form) iter.Seq[Route] {
	return func(yield func(Route) bool) {
		s.eachRoute(f, id, as, nil, func(r *Route) bool { return yield(*r) })
	}
}

// EachRoute calls fn for every route of one table, in the order of
// [Snapshot.Routes], until fn returns false. The route is valid, and may be
// changed, only during the call: nothing is allocated per route.
func (s *Snapshot) EachRoute(f Family, id TableID, fn func(*Route) bool) {
	var scratch Route
	s.eachRoute(f, id, asDumped, &scratch, fn)
}

// RoutesAt returns the routes of one table under exactly dst, in the order of
// [Snapshot.Routes]. It costs one exact search of the table.
func (s *Snapshot) RoutesAt(id TableID, dst netip.Prefix) []Route {
	if !dst.IsValid() {
		return nil
	}
	f := Inet6
	if dst.Addr().Is4() {
		f = Inet
	}
	k := tableKey{id: id, fam: f}
	return s.leafRoutes(k, dst, s.leafAt(s.tables[k], dst))
}

// eachRoute uses scratch for every route, or with nil makes each anew.
func (s *Snapshot) eachRoute(f Family, id TableID, as form, scratch *Route, yield func(*Route) bool) {
	t := s.table(f, id)
	if t == nil {
		return
	}
	for p, i := range t.version().All() {
		if !s.yieldLeaf(t, p, s.leaves.at(i), as, scratch, yield) {
			return
		}
	}
}

func (s *Snapshot) yieldLeaf(t *table, dst netip.Prefix, l *leaf, as form, scratch *Route, yield func(*Route) bool) bool {
	if !s.yieldList(t, dst, netip.Prefix{}, l.plain, as, scratch, yield) {
		return false
	}
	for _, src := range l.bySrc {
		ok := s.yieldList(t, dst, src.src, src.list, as, scratch, func(r *Route) bool {
			r.Lost = [...]Fact{lostNot: FactNo, lostCertainly: FactYes}[l.lost]
			if as == asStored && l.lost == lostNever && len(l.plain) == 0 {
				r.Lost = FactNo
			}
			return yield(r)
		})
		if !ok {
			return false
		}
	}
	return true
}

func (s *Snapshot) yieldList(t *table, dst, src netip.Prefix, list []*alias, as form, scratch *Route, yield func(*Route) bool) bool {
	for i := 0; i < len(list); i++ {
		r := scratch
		if r == nil {
			r = new(Route)
		}
		s.fillRoute(r, t.id, dst, src, list[i])
		if as == asStored && t.fam == Inet && r.NexthopID == 0 {
			copy(r.Nexthops, list[i].legs) // with the scopes that are guesses
		}
		if s.isBlackhole(list[i]) && (as == asDumped || r.Type == TypeUnicast) {
			r.Type = TypeBlackhole
		}
		for t.fam == Inet6 && i+1 < len(list) && list[i].ecmpAble() && siblingsAgree(list[i], list[i+1]) {
			i++
			r.Nexthops = append(r.Nexthops, shownLeg(list[i].legs[0]))
		}
		if as == asStored && r.Protocol == ProtoRA && t.fam == Inet6 && len(r.Nexthops) == 1 && list[i].ecmpAble() {
			r.Learned = FactNo
		}
		if !yield(r) {
			return false
		}
	}
	return true
}

// siblingsAgree reports whether two IPv6 aliases are legs of one multipath route
// and differ in nothing else.
func siblingsAgree(a, b *alias) bool {
	if !b.ecmpAble() {
		return false
	}
	x, y := *a, *b
	x.legs, y.legs = nil, nil
	return string(x.appendKey(nil)) == string(y.appendKey(nil))
}

// Neighbours yields the entries of the ARP and ND tables, in no order.
func (s *Snapshot) Neighbours() iter.Seq[Neighbour] { return maps.Values(s.neighs) }

// Nexthops returns the nexthop objects in ascending order of their ids.
func (s *Snapshot) Nexthops() []NexthopObject {
	out := make([]NexthopObject, 0, len(s.objects))
	for _, id := range slices.Sorted(maps.Keys(s.objects)) {
		o := s.objects[id].NexthopObject
		o.Group, o.Buckets = slices.Clone(o.Group), slices.Clone(o.Buckets)
		out = append(out, o)
	}
	return out
}

// Rules returns the rules of a family in list order.
func (s *Snapshot) Rules(f Family) []rules.Rule {
	l := s.rulesOf(f)
	out := make([]rules.Rule, 0, l.Len())
	for _, r := range l.All() {
		out = append(out, r)
	}
	return out
}

// State returns everything the snapshot holds as plain data, routes included.
// Loading it into another FIB gives a FIB with the same answers.
func (s *Snapshot) State() *State {
	st := s.Surroundings()
	st.Routes = slices.Collect(s.routes(asStored))
	return st
}

// Surroundings is [Snapshot.State] without the routes.
func (s *Snapshot) Surroundings() *State {
	st := &State{
		Kernel: s.kernel, Sysctls: s.sysctls, Mode4: s.mode4, Mode6: s.mode6, UserLocalRoutes: s.userLocal,
		AddrLabels: slices.Clone(s.labels),
	}
	if s.open4 {
		st.Mode4 = ModeUnknown
	}
	if s.open6 {
		st.Mode6 = ModeUnknown
	}
	for _, i := range s.linkOrder {
		l := s.links[i]
		st.Links = append(st.Links, l.copied())
		st.Addresses = append(append(st.Addresses, l.addrs4...), l.addrs6...)
	}
	st.Rules = append(s.Rules(Inet), s.Rules(Inet6)...)
	st.Nexthops = append(st.Nexthops, s.Nexthops()...)
	for _, n := range s.neighs {
		st.Neighbours = append(st.Neighbours, n)
	}
	slices.SortFunc(st.Neighbours, func(a, b Neighbour) int {
		return cmp.Or(cmp.Compare(a.Link, b.Link), a.Addr.Compare(b.Addr))
	})
	return st
}

// Links yields every link, in order of creation (C22), with its addresses in the
// kernel's order, IPv4 first (C21).
func (s *Snapshot) Links() iter.Seq2[Link, []Address] {
	return func(yield func(Link, []Address) bool) {
		for _, i := range s.linkOrder {
			l := s.links[i]
			if !yield(l.copied(), slices.Concat(l.addrs4, l.addrs6)) {
				return
			}
		}
	}
}

// Dumped is the state as a scan of a kernel has it: what no dump shows is left out, and
// addresses come by family. Loading it gives a FIB that may be less sure of its answers.
func (s *Snapshot) Dumped() *State {
	st := s.Surroundings()
	slices.SortStableFunc(st.Addresses, func(a, b Address) int { return cmp.Compare(a.Local.BitLen(), b.Local.BitLen()) })
	for i := range st.Nexthops {
		st.Nexthops[i].Source = netip.Addr{}
	}
	if s.rules6.IsInitial() {
		st.Mode6 = ModeUnknown // with exactly the initial rules both answer alike
	}
	for r := range s.Routes() {
		r.Lost = 0
		for i := range r.Nexthops {
			r.Nexthops[i].Scope, r.Nexthops[i].ScopeSet = 0, false
		}
		st.Routes = append(st.Routes, r)
	}
	return st
}
