package fib

import "net/netip"

// query6 is what an IPv6 table lookup compares with, of one walk (K.4 step 9).
type query6 struct {
	dst, src netip.Addr
	want     int32 // the link that legs are scored by; 0: any (D11)
	strict   bool  // a leg on another link is not eligible (D10)
	reach    bool  // legs with a failed neighbour are not eligible (D10)
	failed   bool  // a leg was not eligible for its neighbour

	lostAt  uint8 // 1 + length of the last node that may be lost, and
	skipped bool  // whether it was
}

func (w *walk) query6() query6 {
	q := query6{
		dst:   orUnspecified6(w.key.Dst),
		src:   orUnspecified6(w.source()),
		want:  w.key.Oif,
		reach: !w.s.sysctls.All6.Forwarding && !w.gateway6,
	}
	q.strict = needsLink6(q.dst) || !w.input && w.f.Oif != 0 && orUnspecified6(w.f.Src).IsUnspecified()
	if w.input {
		q.want = w.key.Iif
	}
	return q
}

// pick6 is the choice that a table lookup arrives at.
type pick6 struct {
	list  []*alias // the aliases of one node, among them the choice and its siblings
	at    int      // where in it
	alias *alias
	bits  int // of the destination prefix
	src   netip.Prefix
}

// table6 looks the flow up in one IPv6 table (K.4). What it passes on is EAGAIN for
// a throw route and 0 for no route.
func (w *walk) table6(id TableID, h *hit) (outcome, Errno) {
	*h = hit{rule: h.rule}
	if w.telling() {
		w.ex.Legs = nil
	}
	t := w.s.table(Inet6, id)
	if t == nil {
		w.step(Step{Kind: StepTable, Table: id, Reason: ReasonTableMissing})
		return passOn, 0
	}
	q := w.query6()
	var p pick6
	var ok bool
	if w.literal {
		p, ok = w.search6Literal(t, &q)
	} else {
		p, ok = w.search6(t, &q)
	}
	if !ok {
		w.step(Step{Kind: StepTable, Table: id, Reason: ReasonTableNoRoute})
		return passOn, 0
	}
	return w.settle6(t, &q, &p, h)
}

// search6 finds the first node that offers an eligible route, in the reachable
// mode first (D8, D9). To search again is of use only if that mode excluded a leg.
func (w *walk) search6(t *table, q *query6) (pick6, bool) {
	p, ok := w.pass6(t, q, q.reach)
	if !ok && q.failed {
		p, ok = w.pass6(t, q, false)
	}
	return p, ok
}

func (w *walk) pass6(t *table, q *query6, reach bool) (p pick6, ok bool) {
	started, longer := false, false
	m, found := t.longest(q.dst)
	for ; found; m, found = t.lpm.Shorter(q.dst, int(m.Bits)) {
		l := w.s.leaves.at(m.Index)
		if w.loses6(l, q, int(m.Bits), longer) {
			longer = true
			continue
		}
		longer = true
		for i := range l.bySrc {
			s := &l.bySrc[i]
			if !s.src.Contains(q.src) {
				continue
			}
			started = true
			if w.choose6(s.list, q, reach, &p) {
				p.bits, p.src = int(m.Bits), s.src
				return p, true
			}
		}
		if !started && len(l.bySrc) > 0 {
			continue // passed with its plain routes
		}
		started = true
		if w.choose6(l.plain, q, reach, &p) {
			p.bits = int(m.Bits)
			return p, true
		}
	}
	if !started {
		if l := w.s.leafAt(t, defaultPrefix6); l != nil && w.choose6(l.plain, q, reach, &p) {
			return p, true
		}
	}
	return p, false
}

// loses6 reports whether the lookup passes by the node of l, whose destination prefix
// has bits: a lost one is found only for destinations within one of the longer
// prefixes, nobody knows which (D8). longer tells whether one covers the destination.
func (w *walk) loses6(l *leaf, q *query6, bits int, longer bool) bool {
	switch {
	case l.lost == lostNever || l.lost == lostNot:
		return false
	case l.lost == lostCertainly && !longer:
		return true
	case !l.covers6(q.src):
		return false
	case int(q.lostAt) != bits+1:
		alt := w.choose(UndeterminedSourceNode, 2)
		q.lostAt, q.skipped = uint8(bits+1), (alt == 0) == (l.lost == lostCertainly)
	}
	return q.skipped
}

// covers6 reports whether some source prefix of l covers src.
func (l *leaf) covers6(src netip.Addr) bool {
	for i := range l.bySrc {
		if l.bySrc[i].src.Contains(src) {
			return true
		}
	}
	return false
}

// choose6 is the choice within one node (D13): the routes of the first metric by
// score, and if none is eligible all others together, their metric ignored.
func (w *walk) choose6(list []*alias, q *query6, reach bool, p *pick6) bool {
	best, first := -1, true
	for i, a := range list {
		if first && a.priority != list[0].priority {
			if best >= 0 {
				break
			}
			first = false
		}
		score, end := w.match6(a, q, reach, best)
		if score <= best {
			continue
		}
		best = score
		p.list, p.at, p.alias = list, i, a
		if end {
			break
		}
	}
	return best >= 0
}

// match6 is the score of the first leg of a that scores more than best, or -1. A
// route with a blackhole object needs no leg and ends the choice (D13).
func (w *walk) match6(a *alias, q *query6, reach bool, best int) (score int, end bool) {
	if w.s.isBlackhole(a) {
		return scoreBlackhole6, true
	}
	legs := w.s.legs6(a)
	for i := range legs {
		if score, _ := w.fit6(a, &legs[i], q, reach); score > best {
			return score, false
		}
	}
	return -1, false
}

// The scores of D12: for the wanted link, and for each step of preference.
const (
	scoreLink6 = 2
	scorePref6 = 4

	scoreBlackhole6 = 1 << 8 // above all of them
)

// fit6 is the score of one leg of a (D12); below 0 it is not eligible, for the
// reason given.
func (w *walk) fit6(a *alias, n *Nexthop, q *query6, reach bool) (score int, why Reason) {
	if why := w.unusable6(n); why != ReasonNone {
		return -1, why
	}
	return w.s.score6(a, n, q, reach)
}

// unusable6 tells why nothing can be sent through n, if so.
func (w *walk) unusable6(n *Nexthop) Reason {
	switch {
	case w.dead(n):
		return ReasonDead
	case n.Flags&FlagLinkdown != 0 && !w.anyLinkstate && w.s.ignoreLinkdown6(w.s.link(n.Link)):
		return ReasonLinkdown
	}
	return ReasonNone
}

// score6 is fit6 without regard to the state of the link.
func (s *Snapshot) score6(a *alias, n *Nexthop, q *query6, reach bool) (score int, why Reason) {
	if q.want == 0 || n.Link == q.want {
		score = scoreLink6
	} else if q.strict {
		return -1, ReasonOif
	}
	if reach && n.Gateway.IsValid() {
		if st, ok := s.neigh(n.Link, n.Gateway); ok && st&NeighFailed != 0 && !st.Valid() {
			q.failed = true
			return -1, ReasonNeighFailed
		}
	}
	switch a.pref {
	case PrefHigh:
		score += 3 * scorePref6
	case PrefLow:
		score += scorePref6
	default:
		score += 2 * scorePref6
	}
	return score, ReasonNone
}

// isBlackhole reports whether a's nexthop object is a blackhole.
func (s *Snapshot) isBlackhole(a *alias) bool {
	if a.nhid == 0 {
		return false
	}
	o := s.objects[a.nhid]
	return o != nil && o.blackhole
}

// legs6 returns the legs of an IPv6 alias; a reject route has none of its own and
// hangs on lo (D16).
func (s *Snapshot) legs6(a *alias) []Nexthop {
	switch {
	case a.nhid != 0:
		return s.legs(a)
	case len(a.legs) == 0 || a.typ.rejects6():
		return onLoopback[:]
	}
	return a.legs
}

var (
	defaultPrefix6 = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	onLoopback     = [1]Nexthop{{Link: loopback, Weight: 1}} // never changed
)
