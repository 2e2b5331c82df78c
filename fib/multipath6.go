package fib

import (
	"slices"

	"github.com/fibula-net/fibula/internal/errno"
)

// settle6 turns the choice of a table lookup into its hit: a leg by hash where there
// are several (D20, D22), or the error of a reject route. The hit is filled in for
// an error as well.
func (w *walk) settle6(t *table, q *query6, p *pick6, h *hit) (outcome, Errno) {
	dst, _ := q.dst.Prefix(p.bits)
	*h = hit{alias: p.alias, table: t.id, from: t.id, prefix: dst, src: p.src, rule: h.rule, pref: p.alias.pref}
	if p.alias.nhid == 0 {
		w.chooseSibling6(q, p, h)
		h.nh = w.s.legs6(h.alias)[0]
	} else {
		h.obj = w.s.objects[p.alias.nhid]
		if h.obj.blackhole {
			return rejected, EINVAL
		}
		if h.obj.IsGroup() {
			if h.leg = w.boundMember6(h.obj, q); h.leg < 0 {
				h.leg = w.chooseMember6(h.obj, h)
			}
		}
		h.nh = h.obj.members[h.leg]
	}
	switch typ := h.alias.typ; {
	case typ == TypeThrow && w.gateway6:
		return rejected, ENETUNREACH
	case typ == TypeThrow:
		if h.obj != nil {
			w.dropped = *h
		}
		h.alias = nil
		return passOn, errno.EAGAIN
	case typ.rejects6():
		return rejected, errnoOf(typ)
	}
	return found, 0
}

// isSibling6 reports whether b is a leg of the multipath route that a is a leg of.
func isSibling6(a, b *alias) bool { return b.priority == a.priority && b.ecmpAble() }

// chooseSibling6 selects by hash among the chosen alias and its siblings (D20).
func (w *walk) chooseSibling6(q *query6, p *pick6, h *hit) {
	if !p.alias.ecmpAble() {
		return
	}
	var total uint64
	legs, alternatives := 0, 0
	for i, a := range p.list {
		if !isSibling6(p.alias, a) {
			continue
		}
		if i == p.at {
			h.leg = legs
		}
		legs++
		if n := &a.legs[0]; w.unusable6(n) == ReasonNone {
			total += weightOf(n)
			if _, why := w.s.score6(a, n, q, q.reach); why == ReasonNone && i != p.at {
				alternatives++
			}
		}
	}
	if legs < 2 {
		return
	}
	if hash, known := w.hash(); known {
		h.alias, h.leg = w.siblingAt6(q, p, total, int32(hash), h.leg)
	} else {
		h.alias, h.leg = w.anySibling6(q, p, h.leg, w.choose(UndeterminedHash, 1+alternatives))
	}
	if w.telling() {
		w.tellSiblings6(q, p, total, h)
	}
}

// anySibling6 returns alternative k to the chosen alias among its eligible siblings;
// 0 is the chosen one, whose place is own.
func (w *walk) anySibling6(q *query6, p *pick6, own, k int) (*alias, int) {
	at := -1
	for i, a := range p.list {
		if !isSibling6(p.alias, a) {
			continue
		}
		at++
		if k == 0 || i == p.at {
			continue
		}
		n := &a.legs[0]
		if _, why := w.s.score6(a, n, q, q.reach); why == ReasonNone && w.unusable6(n) == ReasonNone {
			if k--; k == 0 {
				return a, at
			}
		}
	}
	return p.alias, own
}

// siblingAt6 returns the sibling whose share of the hash space holds hash, and its
// position. One that is not eligible leaves the choice as it was. Neighbours count
// here whenever conf.all.forwarding is off, even if in the end the table was
// searched without regard to them.
func (w *walk) siblingAt6(q *query6, p *pick6, total uint64, hash int32, own int) (*alias, int) {
	var sum uint64
	at := -1
	for _, a := range p.list {
		if !isSibling6(p.alias, a) {
			continue
		}
		at++
		n := &a.legs[0]
		if w.unusable6(n) != ReasonNone {
			continue
		}
		sum += weightOf(n)
		if hash > boundAt(sum, total) {
			continue
		}
		if score, _ := w.s.score6(a, n, q, q.reach); score >= 0 {
			return a, at
		}
		break
	}
	return p.alias, own
}

// boundMember6 is the member that a kernel of the 6.1 series takes without a choice: the
// first usable one on the oif that the flow asks for (I25); -1: none.
func (w *walk) boundMember6(o *object, q *query6) int {
	if !q.strict || w.s.kernel.AtLeast(6, 2) {
		return -1
	}
	return slices.IndexFunc(o.members, func(n Nexthop) bool { return n.Link == q.want && w.unusable6(&n) == ReasonNone })
}

// chooseMember6 selects a member of a group by hash, whatever its link (D22).
func (w *walk) chooseMember6(o *object, h *hit) int {
	hash, known := w.hash()
	c := choice4{w: w, legs: o.members, bounds: o.bounds, obj: o}
	leg := c.at(hash)
	if !known {
		leg = c.anyOf(leg)
	}
	if w.telling() {
		w.tellMembers6(&c, h, leg)
	}
	return leg
}
