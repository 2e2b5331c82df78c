package fib

import (
	"net/netip"
	"slices"
)

// maxAskedLegs bounds the IPv6 legs that one [Txn.Learn] asks for.
const maxAskedLegs = 1 << 14

// siblings6 is an IPv6 multipath route as one message of a dump shows it: the
// attributes are those of its first leg only, and what stands between the legs is
// left out (D4a).
type siblings6 struct {
	at    routeKey
	route Route
	told  map[Nexthop]Route // what is known of a leg, by its gateway and link
	other []Route           // routes between the legs
	shown []Nexthop         // the legs of what the dump shows beside it
}

// learnLegs asks for each leg of the IPv6 multipath routes: with its link as oif and
// without a source the kernel describes that leg. It notes the prefixes of routes that
// turned out to be more than their dump.
func (tx *Txn) learnLegs(o Oracle, got *Learned) error {
	if !slices.ContainsFunc(tx.in.aliasRecs, func(r *aliasRec) bool { return r != nil && r.fam == Inet6 && r.ecmpAble() }) {
		return nil
	}
	var flows []Flow
	var of, all []*siblings6
	askThrough := func(g *siblings6, link int32) {
		for _, f := range tx.flowsTo(g.at, netip.Addr{}, link) {
			if len(flows) < maxAskedLegs {
				flows, of = append(flows, f), append(of, g)
			}
		}
	}
	for _, k := range tx.s.sortedTables() {
		if k.fam != Inet6 || len(flows) >= maxAskedLegs {
			continue
		}
		for p, i := range tx.s.tables[k].version().All() {
			l := tx.s.leaves.at(i)
			if len(l.plain) < 2 || len(flows) >= maxAskedLegs {
				continue
			}
			tx.s.yieldList(tx.s.tables[k], p, netip.Prefix{}, l.plain, asDumped, nil, func(r *Route) bool {
				if r.NexthopID != 0 || len(r.Nexthops) < 2 {
					return true
				}
				g := &siblings6{at: routeKey{k, p}, route: *r, told: map[Nexthop]Route{}}
				for _, a := range l.plain {
					if n := tx.s.legs6(a); a.priority == r.Priority && !a.ecmpAble() && len(n) == 1 {
						g.shown = append(g.shown, legName(&n[0]))
					}
				}
				all = append(all, g)
				for _, link := range linksOf(r.Nexthops) {
					askThrough(g, link)
				}
				return true
			})
		}
	}
	if len(all) == 0 {
		return nil
	}
	for _, g := range all { // a route between the legs may be on any link
		legs := linksOf(g.route.Nexthops)
		for _, link := range tx.s.linkOrder {
			if !slices.Contains(legs, link) {
				askThrough(g, link)
			}
		}
	}
	if err := o.Match(flows, func(i int, r *Route) { of[i].hear(r) }); err != nil {
		return err
	}
	for _, g := range all {
		if g.differs() {
			tx.retell(g)
			got.Prefixes = append(got.Prefixes, TablePrefix{g.at.k.id, g.at.dst})
		}
	}
	return nil
}

func linksOf(legs []Nexthop) []int32 {
	var links []int32
	for i := range legs {
		if !slices.Contains(links, legs[i].Link) {
			links = append(links, legs[i].Link)
		}
	}
	return links
}

// legName is what tells a leg from others.
func legName(n *Nexthop) Nexthop { return Nexthop{Link: n.Link, Gateway: n.Gateway} }

// hear notes what the kernel answered: the leg that was chosen comes first.
func (g *siblings6) hear(r *Route) {
	if r.Dst != g.at.dst || r.Table != g.at.k.id || r.Src.IsValid() || r.NexthopID != 0 || len(r.Nexthops) == 0 ||
		r.Priority != g.route.Priority {
		return
	}
	first := &r.Nexthops[0]
	c := *r
	c.Nexthops = []Nexthop{*first}
	switch {
	case slices.ContainsFunc(g.route.Nexthops, func(n Nexthop) bool { return legName(&n) == legName(first) }):
		if len(r.Nexthops) > 1 {
			g.told[legName(first)] = c
		}
	case len(r.Nexthops) == 1 && !slices.Contains(g.shown, legName(first)):
		g.shown, g.other = append(g.shown, legName(first)), append(g.other, c)
	}
}

// leg is leg i as a route of its own.
func (g *siblings6) leg(i int) Route {
	n := g.route.Nexthops[i]
	r := g.route
	if told, ok := g.told[legName(&n)]; ok {
		r = told
	}
	r.Expires, r.Nexthops = g.route.Expires, []Nexthop{n}
	return r
}

// differs reports whether the answers show more than the dump.
func (g *siblings6) differs() bool {
	if len(g.other) > 0 {
		return true
	}
	for i := range g.route.Nexthops {
		a, b := g.leg(i), g.route
		if a.Protocol != b.Protocol || a.PrefSrc != b.PrefSrc || a.Metrics != b.Metrics || a.Pref != b.Pref || a.Type != b.Type {
			return true
		}
	}
	return false
}

// retell enters the legs of g as they are, what stands between them behind the first.
func (tx *Txn) retell(g *siblings6) {
	l := tx.leafOf(g.at.k, g.at.dst)
	var list []*alias
	enter := func(r *Route) {
		a := tx.newAlias(r, r.Nexthops)
		list = append(list, tx.internAlias(&a))
	}
	done := false
	for _, a := range l.plain {
		if a.priority != g.route.Priority || !a.ecmpAble() {
			list = append(list, a)
			continue
		}
		if done {
			continue
		}
		done = true
		at := len(list)
		for i := range g.route.Nexthops {
			r := g.leg(i)
			enter(&r)
		}
		between := slices.Clone(list[at+1:])
		list = list[:at+1]
		for i := range g.other {
			enter(&g.other[i])
		}
		list = append(list, between...)
	}
	tx.setLeaf(g.at.k, g.at.dst, l.with(netip.Prefix{}, list))
}
