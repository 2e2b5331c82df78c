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
	a := w.routerAfter(list, h, -1)
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
		a = w.routerAfter(list, h, -1)
	}
	if w.fork == nil {
		for last := range list {
			if w.routerAfter(list, h, last) != a {
				w.und |= UndeterminedDefaultRouter
				break
			}
		}
	} else {
		possible := []*alias{a}
		for last := range list {
			if b := w.routerAfter(list, h, last); !slices.Contains(possible, b) {
				possible = append(possible, b)
			}
		}
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
	var buf [8]*alias
	for flips := 1; flips < 1<<open; flips++ {
		other := w.routers(buf[:0], all, h, flips)
		for last := -1; last < len(other); last++ {
			if !w.mayChoose(list, h, w.routerAfter(other, h, last)) {
				return true
			}
		}
	}
	return false
}

func (w *walk) mayChoose(list []*alias, h *hit, a *alias) bool {
	for last := -1; last < len(list); last++ {
		if w.routerAfter(list, h, last) == a {
			return true
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

// routerAfter is the default route chosen when the last choice was number last.
func (w *walk) routerAfter(list []*alias, h *hit, last int) *alias {
	if len(list) < 2 {
		return h.alias
	}
	chosen, resortAt := h.alias, -1
	for i, a := range list {
		n := &w.s.legs(a)[0]
		state, ok := w.s.neigh(n.Link, n.Gateway)
		if !ok || state == NeighReachable || state.Valid() && i != last {
			return a
		}
		if state.Valid() || resortAt < 0 && i > last && state != NeighIncomplete {
			chosen, resortAt = a, i
		}
	}
	return chosen
}
