package fib

import (
	"net/netip"
	"slices"
)

// gate is what a fork took a leg with an open scope to be (J9).
type gate struct {
	alias uint32 // its id
	leg   int
	uses  bool
}

// open reports whether nobody knows if packets go to the gateway (J9).
func (n *Nexthop) open() bool { return n.Gateway.IsValid() && !n.ScopeSet }

// usesGateway reports whether packets go to the gateway of a leg. Where that is open, a
// fork settles it once.
func (w *walk) usesGateway(a *alias, leg int) bool {
	uses, settled := w.gate(a, leg)
	if settled {
		return uses
	}
	uses = uses != (w.choose(UndeterminedGateway, 2) == 1)
	if w.fork != nil {
		w.gates = append(w.gates, gate{a.id, leg, uses})
	}
	return uses
}

// gate is what usesGateway said or, where that is not settled, what is likely.
func (w *walk) gate(a *alias, leg int) (uses, settled bool) {
	n := &w.s.legs(a)[leg]
	if n.open() {
		for _, g := range w.gates {
			if g.alias == a.id && g.leg == leg {
				return g.uses, true
			}
		}
	}
	return n.usesGateway(), !n.open()
}

// maxOpen bounds the open legs whose consequences for the choice of a default router are
// tried; those behind them are what they are taken to be.
const maxOpen = 6

// defaultRouter chooses among equal default routes by the state of their
// gateways (B18). The kernel remembers its last choice, which nobody can read:
// what a first lookup would choose is taken, and where a later one might differ
// the decision says so.
func (w *walk) defaultRouter(h *hit) {
	l := w.s.leafAt(w.s.table(Inet, h.table), h.prefix)
	if l == nil || len(l.plain) < 2 {
		return
	}
	var buf [8]*alias
	list := w.routers(buf[:0], l.plain, h, 0)
	if open := w.openRouters(l.plain); open > 0 && w.openMatters(list, l.plain, h, open) {
		flips := 0
		w.und |= UndeterminedGateway
		for i, at := 0, 0; w.fork != nil && at < open; i++ {
			if n := w.s.legs(l.plain[i]); len(n) > 0 && n[0].open() {
				if w.usesGateway(l.plain[i], 0) != n[0].usesGateway() {
					flips |= 1 << at
				}
				at++
			}
		}
		list = w.routers(buf[:0], l.plain, h, flips)
	}
	var all [8]*alias
	a, several, possible := w.outcomes(list, h, all[:0])
	switch {
	case !several:
	case w.fork == nil:
		w.und |= UndeterminedDefaultRouter
	default:
		a = possible[w.choose(UndeterminedDefaultRouter, len(possible))]
	}
	if a == h.alias {
		return
	}
	h.alias, h.leg, h.obj, h.nh = a, 0, nil, Nexthop{}
	if a.nhid != 0 {
		h.obj = w.s.objects[a.nhid]
	}
	if legs := w.s.legs(a); len(legs) > 0 {
		h.nh = legs[0]
	}
	if w.telling() {
		r := w.s.routeOf(h.table, h.prefix, netip.Prefix{}, a)
		w.step(Step{Kind: StepRoute, Table: h.table, Prefix: h.prefix, Route: &r, Reason: ReasonDefaultRouter, Taken: true})
	}
}

// openRouters counts the routes of list of which it is open whether they have a gateway.
func (w *walk) openRouters(list []*alias) (n int) {
	for _, a := range list {
		if legs := w.s.legs(a); n < maxOpen && len(legs) > 0 && legs[0].open() {
			n++
		}
	}
	return n
}

// openMatters reports whether a router may be chosen that is none of those chosen from
// list, if the open gateways among all are used otherwise than they are taken to be.
func (w *walk) openMatters(list, all []*alias, h *hit, open int) bool {
	var buf, ours, theirs [8]*alias
	_, _, known := w.outcomes(list, h, ours[:0])
	for flips := 1; flips < 1<<open; flips++ {
		_, _, possible := w.outcomes(w.routers(buf[:0], all, h, flips), h, theirs[:0])
		for _, a := range possible {
			if !slices.Contains(known, a) {
				return true
			}
		}
	}
	return false
}

// routers appends to list the default routers that there are to choose from. The bits of
// flips say which of the open gateways are used otherwise than they are taken to be.
func (w *walk) routers(list, all []*alias, h *hit, flips int) []*alias {
	priority, tos := h.alias.priority, uint8(0)
	for _, a := range all {
		legs := w.s.legs(a)
		uses := len(legs) > 0 && legs[0].usesGateway()
		if len(legs) > 0 && legs[0].open() {
			uses = uses != (flips&1 != 0)
			flips >>= 1
		}
		if a.tos != 0 && a.tos != w.key.TOS&0x1c {
			continue
		}
		if a.priority > priority && a.tos == tos {
			if tos != 0 {
				continue
			}
			break
		}
		if a.flags&RouteFlags(FlagDead) != 0 {
			continue
		}
		tos, priority = a.tos, a.priority
		if a.scope != h.alias.scope || a.typ != TypeUnicast || !uses {
			continue
		}
		if len(list) == 0 && a != h.alias {
			break
		}
		list = append(list, a)
	}
	return list
}

// outcomes is what a choice among the candidates can come to: the likely one of a first
// lookup, whether a later one may choose another, and (appended to possible) all of them,
// the likely one first. With the last choice unknown, the first one
// that may be up is taken, or the next such one if that was the last and not surely
// up. If none may be up, it is the first failed one behind the last choice, and the
// matched route if there is none behind it.
func (w *walk) outcomes(list []*alias, h *hit, possible []*alias) (likely *alias, open bool, all []*alias) {
	var up, next, failed *alias
	var surely, several bool
	for _, a := range list {
		n := &w.s.legs(a)[0]
		state, ok := w.s.neigh(n.Link, n.Gateway)
		switch certain := !ok || state == NeighReachable; {
		case certain || state.Valid():
			if up == nil {
				up, surely = a, certain
			} else if next == nil {
				next = a
			}
		case state != NeighIncomplete:
			if failed == nil {
				failed = a
			} else {
				several = true
			}
			possible = append(possible, a)
		}
	}
	switch {
	case len(list) >= 2 && up != nil:
		if next == nil || surely {
			return up, false, append(possible[:0], up)
		}
		return up, true, append(possible[:0], up, next)
	case len(list) >= 2 && failed != nil:
		if !slices.Contains(possible, h.alias) {
			possible = append(possible, h.alias)
		}
		return failed, several || failed != h.alias, possible
	}
	return h.alias, false, append(possible[:0], h.alias)
}
