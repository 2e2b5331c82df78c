package plan

import (
	"slices"

	"github.com/fibula-net/fibula/fib"
)

// pair compares what is wanted and what is there under one prefix.
func (p *Plan) pair(tp *tablePlan, want, have *group) {
	c := &p.Counts[Route]
	if want != nil {
		last := want.numbers[len(want.numbers)-1]
		tp.marks = append(tp.marks, make([]mark, max(last+1-len(tp.marks), 0))...)
	}
	if have != nil {
		for _, own := range have.own {
			if own {
				c.Owned++
			}
		}
	}
	switch {
	case have == nil && len(want.routes) == 1:
		p.enter(tp, want.numbers[0], &want.routes[0], Add, nil)
		return
	case want != nil && have != nil && len(want.routes) == 1 && len(have.routes) == 1 && have.own[0] && keyOf(&want.routes[0]) == keyOf(&have.routes[0]):
		p.change(tp, want.numbers[0], &want.routes[0], &have.routes[0])
		return
	case want == nil && len(have.routes) == 1:
		if have.own[0] {
			p.leave(tp, &have.routes[0], alone)
		}
		return
	}
	p.pairKeys(tp, want, have)
}

// pairKeys is pair where there are several routes, key by key.
func (p *Plan) pairKeys(tp *tablePlan, want, have *group) {
	var keys []key
	note := func(g *group) {
		for i := range g.routes {
			if k := keyOf(&g.routes[i]); !slices.Contains(keys, k) {
				keys = append(keys, k)
			}
		}
	}
	if want == nil {
		want = new(group)
	}
	if have == nil {
		have = new(group)
	}
	note(want)
	note(have)
	for _, k := range keys {
		var wants, numbers []int
		for i := range want.routes {
			if keyOf(&want.routes[i]) == k {
				wants, numbers = append(wants, i), append(numbers, want.numbers[i])
			}
		}
		var ours []*fib.Route
		var foreign *fib.Route
		for i := range have.routes {
			switch {
			case keyOf(&have.routes[i]) != k:
			case have.own[i]:
				ours = append(ours, &have.routes[i])
			case foreign == nil:
				foreign = &have.routes[i]
			}
		}
		routes := make([]*fib.Route, len(wants))
		for j, i := range wants {
			routes[j] = &want.routes[i]
		}
		p.pairKey(tp, numbers, routes, ours, foreign)
	}
}

func (p *Plan) pairKey(tp *tablePlan, numbers []int, want, have []*fib.Route, foreign *fib.Route) {
	same := slices.EqualFunc(have, want, SameRoute)
	switch {
	case same:
		p.Counts[Route].Kept += len(want)
	case foreign != nil && len(want) > 0:
		p.Conflicts = append(p.Conflicts, Conflict{Kind: Route, Object: "route " + want[0].String(), Foreign: foreignName(foreign),
			Reason: "another's route has the same table, prefix, TOS and metric"})
		p.Counts[Route].Kept += min(len(have), len(want))
		if tp.blocked == nil {
			tp.blocked = map[key]bool{}
		}
		tp.blocked[keyOf(want[0])] = true
	case len(have) == 0:
		for i, r := range want {
			v := Append
			if i == 0 {
				v = Add
			}
			p.enter(tp, numbers[i], r, v, nil)
		}
	case len(want) == 0:
		with := keyed
		if len(have) > 1 {
			with = closer
		}
		for _, r := range have {
			p.leave(tp, r, with)
		}
	case len(want) == 1 && len(have) == 1:
		p.change(tp, numbers[0], want[0], have[0])
	default:
		p.pairSeveral(want, have)
	}
}

// foreignName is such as "route 10.0.0.0/8 table 100 of protocol 4".
func foreignName(r *fib.Route) string {
	return "route " + r.String() + " of protocol " + protocolName(r.Protocol)
}

// change replaces one route of ours by another under its key, if they differ.
func (p *Plan) change(tp *tablePlan, number int, want, have *fib.Route) {
	if SameRoute(have, want) {
		p.Counts[Route].Kept++
		return
	}
	if tp.fam == fib.Inet6 && p.lessLegs(want, have) {
		return
	}
	p.enter(tp, number, want, Replace, have)
}

// legs reports whether an IPv6 route is of legs with gateways, which others' may join (D3).
func legs(r *fib.Route) bool {
	return r.NexthopID == 0 && len(r.Nexthops) > 0 && !slices.ContainsFunc(r.Nexthops, func(n fib.Nexthop) bool { return !n.Gateway.Is6() })
}

// lessLegs makes have want by appending the legs that it lacks and deleting, one by one, those
// that it has too many, if that is all that differs. A replacement would take those
// legs along that are another's.
func (p *Plan) lessLegs(want, have *fib.Route) bool {
	if !legs(want) || !legs(have) {
		return false
	}
	same := *have
	same.Nexthops = want.Nexthops
	if !SameRoute(&same, want) {
		return false
	}
	in := func(list []fib.Nexthop, n *fib.Nexthop) bool {
		return slices.ContainsFunc(list, func(x fib.Nexthop) bool { return sameLeg(&x, n) })
	}
	kept, surplus := *have, *have
	kept.Nexthops, surplus.Nexthops = nil, nil
	for i := range have.Nexthops {
		n := have.Nexthops[i]
		switch {
		case in(want.Nexthops, &n):
			kept.Nexthops = append(kept.Nexthops, n)
		case slices.ContainsFunc(want.Nexthops, func(x fib.Nexthop) bool { return x.Gateway == n.Gateway && x.Link == n.Link }):
			return false // changes in place
		default:
			surplus.Nexthops = append(surplus.Nexthops, n)
		}
	}
	n := len(kept.Nexthops)
	if len(surplus.Nexthops) == 0 || n > len(want.Nexthops) || !slices.Equal(kept.Nexthops, want.Nexthops[:n]) {
		return false // or the legs would be in another order
	}
	if n < len(want.Nexthops) {
		more := *want
		more.Nexthops = slices.Clone(want.Nexthops[n:])
		p.special = append(p.special, Op{Verb: Append, Kind: Route, Route: &more})
	}
	less := exactly(&surplus)
	p.less = append(p.less, Op{Verb: Delete, Kind: Route, Route: &less})
	p.Counts[Route].Replaced++
	return true
}

// enter decides when a wanted route comes.
func (p *Plan) enter(tp *tablePlan, number int, r *fib.Route, v Verb, old *fib.Route) {
	if v == Replace {
		p.Counts[Route].Replaced++
	} else {
		p.Counts[Route].Added++
	}
	now, before := classOf(r, p.wantBlackholes), delivers
	if old != nil {
		before = classOf(old, p.blackholes)
	}
	var ph phase
	switch {
	case now == delivers && direct(r):
		ph = directly
	case now == delivers:
		ph = early
	case old != nil && (before == now || before == refuses):
		ph = hidden // nothing that is delivered meets it
	case !p.led.to(tp.fam, tp.id):
		ph = hidden
	case now == passes:
		ph = latePass
		if old == nil {
			tp.throws = append(tp.throws, throw{key: keyOf(r), number: number})
		}
	default:
		ph = lateRefuse
	}
	tp.marks[number] = markOf(v, ph)
}

// company says which other routes of ours there are that a request to delete one might hit.
type company int

const (
	alone  company = iota // under the prefix none, and none will come
	keyed                 // none of the same key
	closer                // some of the same key
)

// leave decides when a route of ours goes.
func (p *Plan) leave(tp *tablePlan, r *fib.Route, with company) {
	p.Counts[Route].Deleted++
	ph := goneLate
	switch classOf(r, p.blackholes) {
	case refuses:
		ph = goneMid
		if p.leads.to(tp.fam, tp.id) {
			ph = goneEarly
		}
	case passes:
		ph = goneThrow
		tp.throws = append(tp.throws, throw{key: keyOf(r), number: len(tp.gone), leaves: true})
	}
	g := gone{priority: r.Priority, bits: uint8(r.Dst.Bits()), tos: r.TOS, phase: ph}
	if tp.fam == fib.Inet {
		a := r.Dst.Addr().As4()
		copy(g.addr[:], a[:])
	} else {
		g.addr = r.Dst.Addr().As16()
		if legs(r) {
			g.leg, g.legs = uint32(len(tp.legs)), uint16(len(r.Nexthops))
			for i := range r.Nexthops {
				tp.legs = append(tp.legs, goneLeg{r.Nexthops[i].Gateway.As16(), r.Nexthops[i].Link})
			}
		}
	}
	// Priority 0 in a request for IPv4 is any, and a source prefix has no room.
	if with == closer || r.Src.IsValid() || tp.fam == fib.Inet && r.Priority == 0 && with != alone {
		tp.exact = append(tp.exact, exactly(r))
		g.exact = uint32(len(tp.exact))
	}
	tp.gone = append(tp.gone, g)
}

// exactly is a request that deletes r rather than others under its key. A link or
// gateway in it does not agree with a route through an object.
func exactly(r *fib.Route) fib.Route {
	c := *r
	c.Nexthops = slices.Clone(r.Nexthops)
	c.Metrics.CongCtl = "" // compared by a name that the kernel may not have loaded yet
	if c.Family() == fib.Inet6 {
		c.Metrics, c.Pref = fib.Metrics{}, 0
	}
	if c.NexthopID != 0 {
		c.Nexthops = nil
	}
	for i := range c.Nexthops {
		c.Nexthops[i].Flags = 0
	}
	return c
}
