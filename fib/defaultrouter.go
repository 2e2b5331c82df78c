package fib

import (
	"net/netip"
	"slices"
)

// defaultRouter chooses among equal default routes by the state of their
// gateways (B18). The kernel remembers its last choice, which nobody can read:
// what a first lookup would choose is taken, and where a later one might differ
// the decision says so.
func (w *walk) defaultRouter(h *hit) {
	l := w.s.leafAt(w.s.table(Inet, h.table), h.prefix)
	if l == nil || len(l.plain) < 2 {
		return
	}
	r := w.routers(l.plain, h)
	a := r.likely
	switch {
	case !r.open:
	case w.fork == nil:
		w.und |= UndeterminedDefaultRouter
	default:
		a = r.possible[w.choose(UndeterminedDefaultRouter, len(r.possible))]
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

// routers is what a choice among default routes can come to.
type routers struct {
	likely   *alias   // of a first lookup
	open     bool     // a later one may choose another
	possible []*alias // all of them, likely first; only for a fork
}

// routers goes over the candidates once. With the last choice unknown, the first one
// that may be up is taken, or the next such one if that was the last and not surely
// up. If none may be up, it is the first failed one behind the last choice, and the
// matched route if there is none behind it.
func (w *walk) routers(list []*alias, h *hit) routers {
	n := 0
	var up, next, failed *alias
	var surely, several bool
	r := routers{likely: h.alias}
	priority, tos := h.alias.priority, uint8(0)
	for _, a := range list {
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
		legs := w.s.legs(a)
		if a.scope != h.alias.scope || a.typ != TypeUnicast || len(legs) == 0 || !legs[0].usesGateway() {
			continue
		}
		if n == 0 && a != h.alias {
			break
		}
		n++
		state, ok := w.s.neigh(legs[0].Link, legs[0].Gateway)
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
			if w.fork != nil {
				r.possible = append(r.possible, a)
			}
		}
	}
	switch {
	case n < 2:
	case up != nil:
		r.likely, r.open = up, next != nil && !surely
		if w.fork != nil {
			r.possible = []*alias{up, next}
		}
	case failed != nil:
		r.likely, r.open = failed, several || failed != h.alias
		if w.fork != nil && !slices.Contains(r.possible, h.alias) {
			r.possible = append(r.possible, h.alias)
		}
	}
	return r
}
