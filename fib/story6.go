package fib

import "fmt"

// tellRoute6 records alias a of list l.
func (w *walk) tellRoute6(t *table, l *list6, a *alias, st Step) {
	if !w.telling() {
		return
	}
	r := w.s.routeOf(t.id, l.dst, l.src, a)
	st.Kind, st.Table, st.Prefix, st.SrcPrefix, st.Route = StepRoute, t.id, l.dst, l.src, &r
	w.step(st)
}

// tellUnfit6 records why no leg of a is eligible.
func (w *walk) tellUnfit6(t *table, l *list6, a *alias, q *query6, reach bool) {
	for i, n := range w.s.legs6(a) {
		_, why := w.fit6(a, &n, q, reach)
		w.step(Step{
			Kind: StepLeg, Reason: why, Table: t.id, Prefix: l.dst, SrcPrefix: l.src,
			Leg: i, Nexthop: &n, Link: n.Link,
		})
	}
}

// tellSiblings6 records which leg the hash took, and the share of each.
func (w *walk) tellSiblings6(q *query6, p *pick6, total uint64, h *hit) {
	var legs []Leg
	var bounds []int32
	var sum uint64
	own := 0
	for i, a := range p.list {
		if !isSibling6(p.alias, a) {
			continue
		}
		if i == p.at {
			own = len(legs)
		}
		l := Leg{Nexthop: shownLeg(a.legs[0]), Reason: w.unusable6(&a.legs[0])}
		if l.Reason == ReasonNone {
			sum += weightOf(&l.Nexthop)
			bounds = append(bounds, boundAt(sum, total))
			_, l.Reason = w.s.score6(a, &l.Nexthop, q, q.reach)
		}
		legs = append(legs, l)
	}
	shares := sharesOf(len(legs), bounds, func(hash uint32) int {
		_, at := w.siblingAt6(q, p, total, int32(hash), own)
		return at
	})
	w.tellLegs6(h, legs, shares, h.leg)
}

// tellMembers6 does the same for a group.
func (w *walk) tellMembers6(c *choice4, h *hit, chosen int) {
	legs := make([]Leg, len(c.legs))
	for i := range legs {
		legs[i].Nexthop = c.legs[i]
		if !c.obj.Resilient && !w.goodNeigh(&c.legs[i]) {
			legs[i].Reason = ReasonNeighFailed
		}
	}
	w.tellLegs6(h, legs, c.shares(), chosen)
}

func (w *walk) tellLegs6(h *hit, legs []Leg, shares []float64, chosen int) {
	for i := range legs {
		l := &legs[i]
		l.Share, l.Chosen = shares[i], i == chosen
		if l.Share > 0 || l.Chosen {
			l.Reason = ReasonHash
		}
		w.step(Step{
			Kind: StepLeg, Taken: l.Chosen, Reason: l.Reason, Table: h.table, Prefix: h.prefix, SrcPrefix: h.src,
			Leg: i, Nexthop: &l.Nexthop, Link: l.Nexthop.Link,
		})
	}
	w.ex.Legs = legs
}

// tellSource6 goes over the candidates once more, with the outcome known.
func (w *walk) tellSource6(c *candidates6) {
	again := *c
	again.best, again.compared = nil, 0
	seen := map[*Address]bool{}
	again.each = func(a *Address, r rank6, ok bool) {
		if seen[a] {
			return // first as one of the outgoing link, then as one of its domain
		}
		seen[a] = true
		st := Step{Kind: StepSource, Addr: a.Local, Link: a.Link}
		switch {
		case !ok:
			st.Reason = ReasonSourceTentative
		case a == c.best:
			st.Reason, st.Taken = ReasonSourceSelected, true
		default:
			st.Reason, st.Detail = ReasonSourceWorse, c.bestRank.over(r)
		}
		w.step(st)
	}
	again.run()
	if c.best == nil {
		w.step(Step{Kind: StepSource, Link: c.dev, Reason: ReasonSourceNone})
	}
}

// over names the first rule by which r beats o.
func (r rank6) over(o rank6) string {
	shift := 0
	for i := range rules6 {
		shift += rules6[i].bits
	}
	for i := range rules6 {
		rule := &rules6[i]
		shift -= rule.bits
		mask := rank6(1)<<rule.bits - 1
		if r>>shift&mask == o>>shift&mask {
			continue
		}
		if rule.number == 0 {
			return rule.name
		}
		return fmt.Sprintf("RFC 6724 rule %d: %s", rule.number, rule.name)
	}
	return "an equal one came first"
}
