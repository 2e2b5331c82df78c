package fib

import (
	"github.com/fibula-net/fibula/internal/errno"
	"github.com/fibula-net/fibula/rules"
)

// rules walks the policy database, or the hard-wired tables while it is not in
// force, and fills h with what answers the flow (K.2). It is both families' only
// way from a flow to a table.
func (w *walk) rules(h *hit) Errno {
	w.droppedTOS, w.realms = 0, 0
	h.rule = nil
	if w.only {
		return w.oneTable(h)
	}
	if w.mode() == ModeMerged {
		if w.telling() {
			w.step(Step{Kind: StepRule, Reason: ReasonRulesNotInForce, Taken: true, RuleIndex: -1})
		}
		return w.hardWired(h)
	}
	w.enterDomain()
	if w.literal {
		return w.rulesLiteral(h)
	}
	return w.rulesFast(h)
}

// mode tells whether the rules are in force; where nobody can know it takes one or
// the other for the whole walk (J4).
func (w *walk) mode() Mode {
	likely, open := w.s.modeOf(w.fam)
	if !open {
		return likely
	}
	if w.modeKnown == ModeUnknown {
		w.modeKnown = likely
		if (w.choose(UndeterminedMode, 2) == 1) != w.turned {
			w.modeKnown = ModeMerged + ModeRules - likely
		}
	}
	return w.modeKnown
}

// hardWired is the lookup of a namespace whose rules were never changed: IPv4
// looks at local and main as one table and then at default (A8, B1), IPv6 at local,
// then main (A9).
func (w *walk) hardWired(h *hit) Errno {
	var out outcome
	var e Errno
	if w.fam == Inet {
		if out, e = w.merged4(h); out == passOn && w.s.table(Inet, TableDefault) != nil {
			out, e = w.table4(TableDefault, h)
		}
	} else if out, e = w.table6(TableLocal, h); out == passOn {
		out, e = w.table6(TableMain, h)
	}
	switch out {
	case found:
		w.nameRule(h)
		return 0
	case rejected:
		w.nameRule(h)
		return e
	}
	w.step(Step{Kind: StepResult, Reason: ReasonEndOfRules, RuleIndex: -1, Errno: ENETUNREACH})
	return ENETUNREACH
}

// oneTable is the walk of one rule, without naming it.
func (w *walk) oneTable(h *hit) Errno {
	w.enterDomain()
	switch out, e := w.lookup(w.onlyTable, h); out {
	case found:
		return 0
	case rejected:
		return e
	}
	h.alias = nil
	return ENETUNREACH
}

// nameRule names the initial rule that leads to the table which answered, although
// none was walked.
func (w *walk) nameRule(h *hit) {
	l := w.s.rulesOf(w.fam)
	for i := range l.Len() {
		if r := l.At(i); r.Action == rules.ActLookup && TableID(r.Table) == h.from {
			h.rule = r
			return
		}
	}
}

// rulesLiteral walks the list one rule after the other, telling each.
func (w *walk) rulesLiteral(h *hit) Errno {
	l := w.s.rulesOf(w.fam)
	for i := 0; i < l.Len(); {
		r := l.At(i)
		matched, failed, deferred := l.Match(i, &w.key, w.s.profile)
		if r.NotesL3Table(&w.key, failed) {
			w.l3Noted = true
		}
		st := Step{Kind: StepRule, Rule: &r.Rule, RuleIndex: i, Selector: failed}
		if !matched {
			st.Reason = ReasonSelector
			w.step(st)
			i++
			continue
		}
		st.Taken = true
		switch r.Action {
		case rules.ActNop:
			st.Reason = ReasonNop
			w.step(st)
			i++
		case rules.ActGoto:
			if j, ok := l.Target(i); ok {
				st.Reason = ReasonGoto
				i = j
			} else {
				st.Reason, st.Taken = ReasonGotoUnresolved, false
				i++
			}
			w.step(st)
		case rules.ActLookup:
			st.Reason, st.Table = ReasonMatched, w.tableOf(&r.Rule)
			w.step(st)
			und := w.und
			out, e := w.lookup(st.Table, h)
			if deferred && isResult6(out, e) && !w.findSource(&r.Rule, out, h) {
				st.Reason, st.Taken = ReasonSourceNotInPrefix, false
				w.step(st)
				out = passOn
			}
			if out == rejected {
				return w.ended(r, h, e)
			}
			if out == found {
				by := w.suppressor(&r.Rule, h)
				if by == rules.SuppressNone {
					if w.describe6(h) {
						return w.ended(r, h, 0)
					}
				} else {
					st.Reason, st.Taken = ReasonSuppressedLength, false
					if by == rules.SuppressIfGroup {
						st.Reason = ReasonSuppressedGroup
					} else if !deferred {
						// What was uncertain about the dropped result does not matter, unless it
						// gave the flow its source.
						w.und = und
					}
					w.step(st)
				}
			}
			i++
		default:
			e := actionErrno(r.Action)
			st.Reason, st.Errno = ReasonAction, e
			w.step(st)
			h.alias = nil
			return w.ended(r, h, e)
		}
	}
	w.step(Step{Kind: StepResult, Reason: ReasonEndOfRules, RuleIndex: -1, Errno: ENETUNREACH})
	h.alias = nil
	return ENETUNREACH
}

// rulesFast is rulesLiteral without the story: it visits the rules that act alone.
func (w *walk) rulesFast(h *hit) Errno {
	l := w.s.rulesOf(w.fam)
	var c rules.Cursor
	for {
		r, deferred, noted := l.Next(&c, &w.key, w.s.profile)
		w.l3Noted = w.l3Noted || noted
		switch {
		case r == nil:
			h.alias = nil
			return ENETUNREACH
		case r.Action == rules.ActGoto:
			l.Jump(&c, r)
			continue
		case r.Action != rules.ActLookup:
			h.alias = nil
			return w.ended(r, h, actionErrno(r.Action))
		}
		und := w.und
		out, e := w.lookup(w.tableOf(&r.Rule), h)
		if deferred && isResult6(out, e) && !w.findSource(&r.Rule, out, h) || out == passOn {
			continue
		}
		if out == rejected {
			return w.ended(r, h, e)
		}
		switch w.suppressor(&r.Rule, h) {
		case rules.SuppressNone:
			if w.describe6(h) {
				return w.ended(r, h, 0)
			}
		case rules.SuppressPrefixLength:
			if !deferred {
				w.und = und
			}
		}
	}
}

// ended notes that r ended the walk.
func (w *walk) ended(r *rules.Entry, h *hit, e Errno) Errno {
	h.rule = r
	w.realms = r.Realms
	return e
}

// actionErrno is the error of an action without a table; unknown ones behave as
// blackhole (A6, A11).
func actionErrno(a rules.Action) Errno {
	switch a {
	case rules.ActUnreachable:
		return ENETUNREACH
	case rules.ActProhibit:
		return EACCES
	}
	return EINVAL
}

// tableOf is the table that a matching rule looks at: an l3mdev rule names that of
// the flow's L3 domain, if the walk has noted one, and main otherwise (A26).
func (w *walk) tableOf(r *rules.Rule) TableID {
	if !r.L3MDev {
		return TableID(r.Table)
	}
	if l := w.s.links[w.key.L3Master]; w.l3Noted && l != nil {
		return l.VRFTable
	}
	return TableMain
}

// lookup looks at one table, IPv6 with the source that a rule may have found.
func (w *walk) lookup(id TableID, h *hit) (outcome, Errno) {
	h.alias = nil
	if w.fam == Inet {
		return w.table4(id, h)
	}
	given := w.key.Src
	w.key.Src = w.source()
	out, e := w.table6(id, h)
	w.key.Src = given
	return out, e
}

// isResult6 reports whether a table had a route: a throw route is one, although the
// walk passes on.
func isResult6(out outcome, e Errno) bool { return out != passOn || e == errno.EAGAIN }

// findSource selects a source for a result of a rule that asks for it and reports
// whether the rule's from covers it; it then is the flow's (A17).
func (w *walk) findSource(r *rules.Rule, out outcome, h *hit) bool {
	dev := h.nh.Link
	if out != found {
		dev = loopback // what rejects or throws hangs on lo (D16)
	}
	src := w.source6(w.key.Dst, dev)
	if !src.IsValid() || !r.From.Contains(src) {
		return false
	}
	w.found6 = src
	return true
}

// suppressor tells which suppressor of r drops the hit (A15). IPv4 judges by the
// device of the route's first leg, IPv6 by that of the selected one.
func (w *walk) suppressor(r *rules.Rule, h *hit) rules.Suppressor {
	if !r.SuppressPrefixLength.Set && !r.SuppressIfGroup.Set || w.gateway6 {
		return rules.SuppressNone
	}
	dev := h.nh.Link
	if w.fam == Inet {
		dev = 0
		if legs := w.s.legs(h.alias); len(legs) > 0 {
			dev = legs[0].Link
		}
	}
	var by rules.Suppressor
	if l := w.s.links[dev]; l != nil {
		by = r.SuppressedBy(h.prefix.Bits(), l.Group)
	} else {
		noDevice := rules.Rule{SuppressPrefixLength: r.SuppressPrefixLength}
		by = noDevice.SuppressedBy(h.prefix.Bits(), 0)
	}
	if by != rules.SuppressNone {
		w.droppedTOS = h.tos
		if w.fam == Inet6 && h.obj != nil {
			w.dropped = *h
		}
	}
	return by
}

// describe6 settles which route the reply describes if a suppressor dropped another
// one with the same nexthop object before, or it was a throw route: the kernel may have
// kept that (D22a). It reports whether that ends the walk, which throw does not.
func (w *walk) describe6(h *hit) bool {
	o := &w.dropped
	if h.obj == nil || o.obj == nil || h.obj.ids[h.leg] != o.obj.ids[o.leg] || w.choose(UndeterminedShared, 2) == 0 {
		return true
	}
	if o.alias.typ == TypeThrow {
		h.alias = nil
		return false
	}
	h.alias, h.table, h.prefix, h.src = o.alias, o.table, o.prefix, o.src
	return true
}
