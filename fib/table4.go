package fib

import "net/netip"

// table4 looks the flow up in one IPv4 table (K.3).
func (w *walk) table4(id TableID, h *hit) (outcome, Errno) {
	t := w.s.table(Inet, id)
	if t == nil {
		w.tellTable(id, ReasonTableMissing)
		return passOn, 0
	}
	w.tellTable(id, ReasonTableEntered)
	if w.literal {
		return w.table4Literal(id, h, t, nil)
	}
	return w.table4Fast(id, h, t)
}

// tellTable tells of a table as a whole. Steps are large: without a story none is made.
func (w *walk) tellTable(id TableID, why Reason) {
	if w.telling() {
		w.step(Step{Kind: StepTable, Table: id, Reason: why, Taken: why == ReasonTableEntered})
	}
}

// merged4 looks at local and main as one table, which answers as main (B1).
func (w *walk) merged4(h *hit) (outcome, Errno) {
	local, main := w.s.table(Inet, TableLocal), w.s.table(Inet, TableMain)
	if w.telling() {
		w.step(Step{Kind: StepTable, Table: TableMain, Reason: ReasonTableEntered, Taken: true, Detail: "local and main as one"})
	}
	switch {
	case w.literal:
		return w.table4Literal(TableMain, h, local, main)
	case local == nil && main == nil:
		return passOn, 0
	case local == nil:
		return w.table4Fast(TableMain, h, main)
	case main == nil:
		return w.table4Fast(TableMain, h, local)
	}
	return w.merged4Fast(h, local, main)
}

// table4Literal is K.3 as it stands: for every length from 32 down to 0, the
// aliases of exactly that prefix. In merged mode first, the local table, goes
// before second at each length. An absent table has no prefixes.
func (w *walk) table4Literal(id TableID, h *hit, first, second *table) (outcome, Errno) {
	dst := w.key.Dst
	var abandoned netip.Addr
	for bits := 32; bits >= 0; bits-- {
		p, _ := dst.Prefix(bits)
		for _, t := range [...]*table{first, second} {
			l := w.s.leafAt(t, p)
			if l == nil {
				continue
			}
			if p.Addr() == abandoned {
				w.step(Step{Kind: StepPrefix, Table: t.id, Prefix: p, Reason: ReasonAbandoned})
				continue
			}
			w.step(Step{Kind: StepPrefix, Table: t.id, Prefix: p, Reason: ReasonCovers, Taken: true})
			h.table, h.from, h.prefix = t.id, t.id, p // for the story
			if out, e, ends := w.node4(l, h, &abandoned); ends {
				h.table = id
				return out, e
			}
		}
	}
	h.alias = nil
	w.tellTable(id, ReasonTableNoRoute)
	return passOn, 0
}

// table4Fast is table4Literal for one table: from longest match to next shorter.
func (w *walk) table4Fast(id TableID, h *hit, t *table) (outcome, Errno) {
	dst := w.key.Dst
	var abandoned netip.Addr
	m, ok := t.longest(dst)
	for ok {
		h.table, h.from, h.prefix = id, t.id, m.Prefix(dst)
		if out, e, ends := w.node4(w.s.leaves.at(m.Index), h, &abandoned); ends {
			return out, e
		}
		m, ok = t.lpm.Shorter(dst, int(m.Bits))
	}
	h.alias = nil
	return passOn, 0
}

// merged4Fast steps down two tables at once, local first at equal length.
func (w *walk) merged4Fast(h *hit, local, main *table) (outcome, Errno) {
	dst := w.key.Dst
	var abandoned netip.Addr
	ml, inLocal := local.longest(dst)
	mm, inMain := main.longest(dst)
	for inLocal || inMain {
		m := mm
		fromLocal := inLocal && (!inMain || ml.Bits >= mm.Bits)
		if fromLocal {
			m = ml
		}
		h.table, h.from, h.prefix = TableMain, TableMain, m.Prefix(dst)
		if fromLocal {
			h.from = TableLocal
		}
		if out, e, ends := w.node4(w.s.leaves.at(m.Index), h, &abandoned); ends {
			return out, e
		}
		if fromLocal {
			ml, inLocal = local.lpm.Shorter(dst, int(m.Bits))
		} else {
			mm, inMain = main.lpm.Shorter(dst, int(m.Bits))
		}
	}
	h.alias = nil
	return passOn, 0
}

// node4 looks at the routes of prefix h.prefix and reports whether they end the lookup
// in the table. Those with an abandoned network address are passed over, and they may
// abandon theirs (B13).
func (w *walk) node4(l *leaf, h *hit, abandoned *netip.Addr) (out outcome, e Errno, ends bool) {
	if h.prefix.Addr() == *abandoned {
		return passOn, 0, false
	}
	switch v, e := w.leaf4(l, h); v {
	case aliasFits:
		return found, 0, true
	case aliasRejects:
		return rejected, e, true
	case aliasThrows:
		h.alias = nil
		return passOn, 0, true
	case aliasAbandons:
		*abandoned = h.prefix.Addr()
	}
	return passOn, 0, false
}

// aliasVerdict is how the look at an alias, or at all aliases of a prefix, ended.
type aliasVerdict uint8

const (
	aliasSkipped  aliasVerdict = iota // the next one
	aliasFits                         // h is filled
	aliasRejects                      // the lookup ends with an error; h names the route
	aliasThrows                       // this table has no answer
	aliasAbandons                     // shorter prefixes with this network address are hidden (B13)
)

// leaf4 looks at the aliases of one prefix in order (K.3 steps 7 and 8).
func (w *walk) leaf4(l *leaf, h *hit) (aliasVerdict, Errno) {
	for _, a := range l.plain {
		v, e, why := w.alias4(a, h)
		if w.telling() {
			r := w.s.routeOf(h.table, h.prefix, netip.Prefix{}, a)
			w.step(Step{Kind: StepRoute, Table: h.table, Prefix: h.prefix, Route: &r, Reason: why, Taken: v == aliasFits, Errno: e})
			w.tellLegs4(a, h, v, why)
		}
		if v != aliasSkipped {
			return v, e
		}
	}
	return aliasSkipped, 0
}

// alias4 judges one alias (B11) and on success takes its first usable leg.
func (w *walk) alias4(a *alias, h *hit) (aliasVerdict, Errno, Reason) {
	// Of the flow's DSCP the upper three bits are not looked at (B11.2).
	if a.tos != 0 && a.tos != w.key.TOS&0x1c {
		return aliasSkipped, 0, ReasonTOS
	}
	if a.scope < w.scope {
		return aliasSkipped, 0, ReasonScope
	}
	h.alias, h.tos, h.obj, h.leg, h.nh = a, a.tos, nil, 0, Nexthop{}
	if a.typ == TypeThrow {
		return aliasThrows, 0, ReasonThrow
	}
	if a.typ.IsReject() {
		return aliasRejects, errnoOf(a.typ), ReasonReject
	}
	if a.flags&RouteFlags(FlagDead) != 0 {
		return aliasSkipped, 0, ReasonDead
	}
	if a.nhid != 0 {
		h.obj = w.s.objects[a.nhid]
		if h.obj != nil && h.obj.blackhole {
			return aliasRejects, EINVAL, ReasonBlackholeNexthop
		}
	}
	legs := w.s.legs(a)
	for i := range legs {
		if w.usable4(&legs[i]) == ReasonNone {
			h.leg, h.nh = i, legs[i]
			return aliasFits, 0, ReasonSelected
		}
	}
	if a.nhid != 0 {
		return aliasAbandons, 0, ReasonNoUsableLeg
	}
	return aliasSkipped, 0, ReasonNoUsableLeg
}

// usable4 tells why a leg cannot be used, ReasonNone if it can (B12).
func (w *walk) usable4(n *Nexthop) Reason {
	switch {
	case w.dead(n):
		return ReasonDead
	case n.Flags&FlagLinkdown != 0 && !w.anyLinkstate && w.s.ignoreLinkdown4(w.s.link(n.Link)):
		return ReasonLinkdown
	case w.key.Oif != 0 && w.key.Oif != n.Link:
		return ReasonOif
	}
	return ReasonNone
}

// dead reports whether n is dead. A dump says so also of a leg that is only left out
// for want of a carrier (F11), which does not count where that is not looked at.
func (w *walk) dead(n *Nexthop) bool {
	if n.Flags&FlagDead == 0 || n.Flags&FlagLinkdown == 0 || !w.anyLinkstate {
		return n.Flags&FlagDead != 0
	}
	l := w.s.link(n.Link)
	return l == nil || !l.Up()
}

// tellLegs4 tells how the legs of a were judged, where they were.
func (w *walk) tellLegs4(a *alias, h *hit, v aliasVerdict, why Reason) {
	if v != aliasFits && why != ReasonNoUsableLeg {
		return
	}
	legs := w.s.legs(a)
	if v == aliasFits && len(legs) > 1 && w.key.Oif == 0 && a.typ == TypeUnicast {
		return // told with the choice among them
	}
	for i := range legs {
		n := &legs[i]
		st := Step{Kind: StepLeg, Table: h.table, Prefix: h.prefix, Leg: i, Nexthop: n, Link: n.Link, Reason: w.usable4(n)}
		if v == aliasFits && i == h.leg {
			st.Reason, st.Taken = ReasonFirst, true
			w.step(st)
			return
		}
		w.step(st)
	}
}
