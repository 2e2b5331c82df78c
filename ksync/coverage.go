package ksync

import (
	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/rules"
)

// Coverage counts what had a say in answers, by name: "errno EACCES", "type
// blackhole", "action goto", "selector fwmark failed", "reason linkdown" and the
// like. Each answer counts once for a name, however often its story has it.
type Coverage map[string]int

// Add counts the story of one answer.
func (c Coverage) Add(e *fib.Explanation) {
	seen := map[string]bool{}
	mark := func(name string) { seen[name] = true }
	d := &e.Decision
	if d.Errno != 0 {
		mark("errno " + d.Errno.Name())
	} else {
		mark("answer " + d.Type.String())
	}
	if e.Route != nil {
		mark("type " + d.RouteType.String())
		if len(e.Legs) > 1 {
			mark("multipath")
		}
	}
	for i := range e.Steps {
		st := &e.Steps[i]
		mark("reason " + st.Reason.String())
		if st.Kind == fib.StepRule && st.Rule != nil {
			markRule(st, mark)
		}
		if st.Kind == fib.StepRoute && st.Route != nil && st.Reason == fib.ReasonThrow {
			mark("type throw")
		}
	}
	for name := range seen {
		c[name]++
	}
}

// Merge adds the counts of o.
func (c Coverage) Merge(o Coverage) {
	for name, n := range o {
		c[name] += n
	}
}

// markRule: a rule that was passed over was decided by the selector that failed,
// one that had its way by all that it has.
func markRule(st *fib.Step, mark func(string)) {
	r := st.Rule
	switch st.Reason {
	case fib.ReasonSelector:
		mark("selector " + st.Selector.String() + " failed")
		return
	case fib.ReasonSuppressedLength:
		mark("suppressor prefixlength")
	case fib.ReasonSuppressedGroup:
		mark("suppressor ifgroup")
	}
	mark("action " + r.Action.String())
	if r.Not {
		mark("selector not matched") // inverted, and one of the others failed
		return
	}
	for _, s := range selectorsOf(r) {
		mark("selector " + s.String() + " matched")
	}
}

// selectorsOf lists the selectors that a rule has.
func selectorsOf(r *rules.Rule) (out []rules.Selector) {
	for _, s := range []struct {
		set bool
		sel rules.Selector
	}{
		{r.From.IsValid(), rules.SelFrom}, {r.To.IsValid(), rules.SelTo}, {r.Iif != "", rules.SelIif}, {r.Oif != "", rules.SelOif},
		{r.MarkMask != 0, rules.SelMark}, {r.TOS != 0, rules.SelTOS}, {r.DSCPMask != 0, rules.SelDSCP},
		{r.FlowLabelMask != 0, rules.SelFlowLabel}, {r.HasUIDs, rules.SelUID}, {r.IPProto != 0, rules.SelIPProto},
		{r.Sport.IsSet(), rules.SelSport}, {r.Dport.IsSet(), rules.SelDport}, {r.TunID != 0, rules.SelTunID}, {r.L3MDev, rules.SelL3MDev},
	} {
		if s.set {
			out = append(out, s.sel)
		}
	}
	return out
}
