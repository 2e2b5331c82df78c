package plan

import (
	"net/netip"

	"github.com/fibula-net/fibula/fib"
)

// throw is a throw route that comes or goes, of which it matters what it hides.
type throw struct {
	key
	number int  // of the wanted route; of the deletion, if it leaves
	leaves bool // else it comes

	below map[uint8]seen // by TOS, what of that TOS it hides first
}

// seen is a route below a throw.
type seen struct {
	key
	class
}

// settleThrows decides when throw routes come and go. Where a delivering route lies
// below, the throw comes last and goes first; where one that refuses does, the other
// way round. It costs another look at the table, and happens only with such routes.
func (p *Plan) settleThrows(tp *tablePlan, actual *Actual) error {
	if len(tp.throws) == 0 {
		return nil
	}
	over := map[netip.Prefix][]*throw{}
	for i := range tp.throws {
		t := &tp.throws[i]
		for bits := range t.dst.Bits() + 1 {
			q := netip.PrefixFrom(t.dst.Addr(), bits).Masked()
			over[q] = append(over[q], t)
		}
	}
	changes := map[key]bool{}
	for i := range tp.throws {
		changes[tp.throws[i].key] = true
	}
	// Nothing that is delivered needs a route that refuses and goes: it goes before, if
	// a throw over it does.
	leaving, throwsLeave := map[key]bool{}, false
	for i := range tp.throws {
		throwsLeave = throwsLeave || tp.throws[i].leaves
	}
	for i := range tp.gone {
		if g := &tp.gone[i]; g.phase == goneEarly || g.phase == goneMid {
			leaving[tp.keyOf(g)] = true
			if throwsLeave {
				g.phase = goneEarly
			}
		}
	}
	look := func(r *fib.Route, c class) {
		for _, t := range over[r.Dst] {
			t.look(r, c)
		}
	}
	if actual.Routes != nil {
		for r, err := range actual.Routes(tp.fam, tp.id) {
			if err != nil {
				return err
			}
			own := p.want.Owner.OwnsRoute(r)
			Normalize(r)
			c := classOf(r, p.blackholes)
			if own && (c == passes && changes[keyOf(r)] || c == refuses && leaving[keyOf(r)]) {
				continue
			}
			look(r, c)
		}
	}
	p.want.each(tp.fam, tp.id, func(_ int, r *fib.Route) bool {
		if classOf(r, p.wantBlackholes) == delivers && !tp.blocked[keyOf(r)] {
			look(r, delivers)
		}
		return true
	})
	for i := range tp.throws {
		t := &tp.throws[i]
		d, r := t.hides(delivers), t.hides(refuses)
		if d && r {
			p.unproven("%v: it hides what delivers flows of one TOS and refuses those of another", fib.Route{Type: fib.TypeThrow, Table: tp.id, Dst: t.dst, Src: t.src, TOS: t.tos, Priority: t.priority})
			continue
		}
		switch {
		case t.leaves && d:
			tp.gone[t.number].phase = gonePass
		case !t.leaves && r:
			tp.marks[t.number] = markOf(tp.marks[t.number].verb(), hidden)
		}
	}
	return nil
}

// look notes r if it is nearer below t than what was seen before (B5).
func (t *throw) look(r *fib.Route, c class) {
	k := keyOf(r)
	if r.Src != t.src && r.Src.IsValid() || k.tos != t.tos && k.tos != 0 && t.tos != 0 || !before(t.key, k) {
		return
	}
	have, any := t.below[k.tos]
	if any && (before(have.key, k) || have.key == k && have.class == delivers) { // what it will be, or another in line
		return
	}
	if t.below == nil {
		t.below = map[uint8]seen{}
	}
	t.below[k.tos] = seen{k, c}
}

// hides reports whether flows of some TOS would meet a route of a class without t.
func (t *throw) hides(c class) bool {
	zero, any := t.below[0]
	for tos, s := range t.below {
		if tos != 0 && any && before(zero.key, s.key) {
			s = zero
		}
		if s.class == c {
			return true
		}
	}
	return t.tos == 0 && any && zero.class == c
}

// before reports whether a lookup of one table asks a before b.
func before(a, b key) bool {
	switch {
	case a.dst.Bits() != b.dst.Bits():
		return a.dst.Bits() > b.dst.Bits()
	case a.src.Bits() != b.src.Bits():
		return a.src.Bits() > b.src.Bits()
	case a.tos != b.tos:
		return a.tos > b.tos
	}
	return a.priority < b.priority
}
