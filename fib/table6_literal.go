package fib

import (
	"fmt"
	"iter"
	"net/netip"
)

// list6 is one list of aliases on the way of a literal lookup, or, with a reason,
// one that is passed over.
type list6 struct {
	dst, src netip.Prefix
	aliases  []*alias
	passed   Reason
}

// search6Literal is search6 step by step: it goes through every list in the order in
// which the kernel comes by it (K.4 steps 10, 11).
func (w *walk) search6Literal(t *table, q *query6) (pick6, bool) {
	w.step(Step{Kind: StepTable, Taken: true, Table: t.id, Reason: ReasonTableEntered})
	modes := []bool{false}
	if q.reach {
		modes = []bool{true, false}
	}
	some := false
	for i, reach := range modes {
		if i > 0 && some {
			w.step(Step{Kind: StepTable, Taken: true, Table: t.id, Reason: ReasonRetryUnreachable})
		}
		for l := range w.lists6(t, q) {
			some = true
			if l.passed != ReasonNone {
				w.step(Step{Kind: StepPrefix, Table: t.id, Prefix: l.dst, SrcPrefix: l.src, Reason: l.passed})
				continue
			}
			w.step(Step{Kind: StepPrefix, Taken: true, Table: t.id, Prefix: l.dst, SrcPrefix: l.src, Reason: ReasonCovers})
			if p, ok := w.choose6Literal(t, &l, q, reach); ok {
				return p, true
			}
			w.step(Step{Kind: StepPrefix, Table: t.id, Prefix: l.dst, SrcPrefix: l.src, Reason: ReasonBacktrack})
		}
	}
	return pick6{}, false
}

// lists6 looks up every length of destination, and at each every length of source.
func (w *walk) lists6(t *table, q *query6) iter.Seq[list6] {
	return func(yield func(list6) bool) {
		started, longer := false, false
		for bits := 128; bits >= 0; bits-- {
			dst, _ := q.dst.Prefix(bits)
			l := w.s.leafAt(t, dst)
			if l == nil {
				continue
			}
			lost := w.loses6(l, q, bits, longer)
			longer = true
			if lost {
				if !yield(list6{dst: dst, src: l.bySrc[0].src, passed: ReasonLost}) {
					return
				}
				continue
			}
			covered := false
			for n := 128; n > 0; n-- {
				src, _ := q.src.Prefix(n)
				if list := l.list(src); len(list) > 0 {
					covered = true
					if !yield(list6{dst: dst, src: src, aliases: list}) {
						return
					}
				}
			}
			if len(l.bySrc) > 0 && !covered {
				for _, s := range l.bySrc {
					if !yield(list6{dst: dst, src: s.src, passed: ReasonNoSourcePrefix}) {
						return
					}
				}
				if !started {
					if len(l.plain) > 0 && !yield(list6{dst: dst, passed: ReasonNotCandidate}) {
						return
					}
					continue
				}
			}
			started = true
			if len(l.plain) > 0 && !yield(list6{dst: dst, aliases: l.plain}) {
				return
			}
		}
		if l := w.s.leafAt(t, defaultPrefix6); !started && l != nil && len(l.plain) > 0 {
			yield(list6{dst: defaultPrefix6, aliases: l.plain})
		}
	}
}

// choose6Literal is choose6 step by step.
func (w *walk) choose6Literal(t *table, l *list6, q *query6, reach bool) (pick6, bool) {
	n := 0
	for n < len(l.aliases) && l.aliases[n].priority == l.aliases[0].priority {
		n++
	}
	p, ok := w.bestOf6(t, l, 0, n, q, reach)
	if ok {
		for _, a := range l.aliases[n:] {
			w.tellRoute6(t, l, a, Step{Reason: ReasonHigherMetric})
		}
		return p, true
	}
	return w.bestOf6(t, l, n, len(l.aliases), q, reach)
}

// bestOf6 takes, of the aliases from first up to end, the one with the highest
// score, the first one of several.
func (w *walk) bestOf6(t *table, l *list6, first, end int, q *query6, reach bool) (pick6, bool) {
	type entry struct {
		a     *alias
		score int
	}
	var es []entry
	best := -1
	for i, a := range l.aliases[first:end] {
		if w.s.isBlackhole(a) {
			es, best = append(es, entry{a, scoreBlackhole6}), i
			break
		}
		floor := -1
		if best >= 0 {
			floor = es[best].score
		}
		// The first leg that beats what was found so far stands for the route (D22).
		e := entry{a, -1}
		for _, n := range w.s.legs6(a) {
			s, _ := w.fit6(a, &n, q, reach)
			e.score = max(e.score, s)
			if s > floor {
				best = i
				break
			}
		}
		es = append(es, e)
	}
	for i, e := range es {
		why, detail := ReasonLowerScore, fmt.Sprintf("score %d", e.score)
		switch {
		case i == best && e.score == scoreBlackhole6:
			why, detail = ReasonBlackholeNexthop, ""
		case i == best && e.a.typ == TypeThrow:
			why = ReasonThrow
		case i == best && e.a.typ.rejects6():
			why = ReasonReject
		case i == best:
			why = ReasonSelected
		case e.score < 0:
			why, detail = ReasonNoUsableLeg, ""
		case best >= 0 && es[best].a.ecmpAble() && isSibling6(es[best].a, e.a):
			why, detail = ReasonSibling, ""
		case e.score == es[best].score:
			detail += ", but later in order"
		}
		w.tellRoute6(t, l, e.a, Step{Reason: why, Detail: detail, Taken: i == best})
		if e.score < 0 {
			w.tellUnfit6(t, l, e.a, q, reach)
		}
	}
	if best < 0 {
		return pick6{}, false
	}
	return pick6{list: l.aliases, at: first + best, alias: es[best].a, bits: l.dst.Bits(), src: l.src}, true
}
