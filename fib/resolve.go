package fib

import "net/netip"

// Resolve answers a flow as the kernel would (RTM_GETROUTE): the rules choose
// tables, a table the longest prefix that has a usable route, the route a leg, a
// source address and the rest.
//
// A destination without address is ::, as in the kernel; a 4-in-6 address is an
// IPv6 one and is not unmapped; zones are ignored, the oif says it. A source of the
// other family is refused with EINVAL. What nobody outside the kernel can know is
// marked in [Decision.Undetermined] and answered with the likeliest way.
//
// Resolve is safe for concurrent use; it takes no lock, waits for nobody and does
// not allocate. For most flows of a packet path (sent or received, to one host) the answer of the
// route, or of each of its legs, stands ready; what is left is the search among the rules
// ([rules.Screen], [rules.List.Next]), one longest match for each rule that matches, the hash
// where there are several legs, and for a received IPv4 packet the same for its source
// (C31).
//
// For the others (L3 domains, TOS of routes, legs that are dead, whatever is undetermined) it costs
// several times as much: one more match for each prefix whose routes did not fit; then the routes of
// the prefix that did, their legs, and where a source is selected the addresses that may be it (of
// IPv6: a look at all). Where it is open whether rules are in force (J4) there are two walks.
//
// It follows section K of the description of the kernel's lookup;
// docs/kernel-semantics.md, section I, tells where kernels differ.
func (s *Snapshot) Resolve(f Flow) Decision {
	var d Decision
	if !s.quick(&f, &d, nil) {
		s.walk(&f, &d)
	}
	return d
}

// walk answers a flow for which nothing stands ready.
func (s *Snapshot) walk(f *Flow, d *Decision) {
	*d = Decision{}
	w := newWalk(s, *f, nil)
	w.run(d)
}

// burst is for how many flows ResolveBatch looks ahead.
const burst = 64

// ResolveBatch sets out[k] to what [Snapshot.Resolve] answers to flows[k], for every k
// < len(flows). It is faster for those whose answer stands ready, above all where tables are
// large: it looks at table main for many of them before it walks the rules for the first, so that
// they wait for the memory together. The others cost what they cost one by one.
//
// It is safe for concurrent use, takes no lock and does not allocate. Out must be at
// least as long as flows; otherwise ResolveBatch panics before it writes.
func (s *Snapshot) ResolveBatch(flows []Flow, out []Decision) {
	out = out[:len(flows)]
	var ahead [burst]ahead
	for len(flows) > 0 {
		n := min(len(flows), burst)
		s.lookAhead(flows[:n], &ahead)
		for k := range n {
			if !s.quick(&flows[k], &out[k], &ahead[k]) {
				s.walk(&flows[k], &out[k])
			}
		}
		flows, out = flows[n:], out[n:]
	}
}

// lookAhead looks up in table main what it will most likely be asked. Received flows meet rules that lead
// elsewhere more often than not, if there are rules.
func (s *Snapshot) lookAhead(flows []Flow, out *[burst]ahead) {
	for k := range flows {
		f, c, mode, a := &flows[k], &s.cuts.inet6, s.mode6, &out[k&(burst-1)]
		if f.Dst.Is4() {
			c, mode = &s.cuts.inet, s.mode4
		}
		t := c.main
		if a.known = t != nil && t.flat != nil && (f.Iif|f.Oif == 0 || mode == ModeMerged || c.screen.IsOpen()); a.known {
			a.match, a.found = t.flat.Lookup(f.Dst)
		}
	}
}

// LookupTable answers a flow of this host to dst from one table, for those who choose the
// table themselves: as [Snapshot.Resolve] would if one rule without selectors led
// to the table and there were no other. The decision names no rule. ENETUNREACH says
// that the table, if there is one, has no route.
//
// It is safe for concurrent use, takes no lock and does not allocate.
func (s *Snapshot) LookupTable(id TableID, dst netip.Addr) Decision {
	f := Flow{Dst: dst}
	var d Decision
	if !s.quickTable(id, &f, &d) {
		w := newWalk(s, f, nil)
		w.only, w.onlyTable = true, id
		w.run(&d)
	}
	return d
}

// Explain gives the answer of [Snapshot.Resolve] with its story. It takes the
// reference walk, which looks at one prefix length after the other as the
// description has it, and so checks Resolve.
//
// Explain is safe for concurrent use. It allocates freely and is no faster than a
// person reads; where the answer is undetermined it costs what [Snapshot.Candidates]
// does on top. The explanation is the caller's to change.
func (s *Snapshot) Explain(f Flow) Explanation {
	e := Explanation{Flow: f}
	w := newWalk(s, f, &e)
	w.run(&e.Decision)
	if e.Decision.HasRoute {
		r := s.routeOf(w.h.table, w.h.prefix, w.h.src, w.h.alias)
		e.Route = &r
	}
	end := Step{Kind: StepResult, Reason: ReasonSelected, Taken: e.Decision.Errno == 0, Errno: e.Decision.Errno, RuleIndex: -1}
	if e.Decision.HasRule {
		end.RuleIndex = int(e.Decision.RuleIndex)
	}
	if !end.Taken {
		end.Reason = ReasonReject
		if !e.Decision.HasRoute && !e.Decision.HasRule {
			end.Reason = ReasonNone
		}
	} else {
		end.Table, end.Prefix, end.Route = e.Decision.Table, e.Decision.Prefix, e.Route
		end.Link, end.Addr = e.Decision.Link, e.Decision.Gateway
	}
	e.Steps = append(e.Steps, end)
	if e.Decision.Undetermined != 0 {
		e.Candidates = s.MatchCandidates(f)
	}
	return e
}

// FibMatch returns what the kernel answers with RTM_F_FIB_MATCH ("fibmatch"): the
// route behind the decision as stored, of the decision's type (C14). An IPv6
// multipath route starts with the leg that was chosen, the others follow in their
// order round it (D23).
//
// It is false when the flow is refused, and with EHOSTUNREACH when the answer has
// no route behind it. Safe for concurrent use; allocates.
func (s *Snapshot) FibMatch(f Flow) (Decision, Route, bool) {
	var d Decision
	w := newWalk(s, f, nil)
	w.run(&d)
	m := w.match(d)
	if !m.Found && d.Errno == 0 {
		m.Decision.Errno = EHOSTUNREACH
	}
	return m.Decision, m.Route, m.Found
}

// match is d with the route that the walk found.
func (w *walk) match(d Decision) Match {
	h := &w.h
	if d.Errno != 0 || h.alias == nil {
		return Match{Decision: d}
	}
	r := w.s.routeOf(h.table, h.prefix, h.src, h.alias)
	if r.NexthopID != 0 && !w.s.sysctls.NexthopCompatMode {
		r.Nexthops = nil // the id alone is told (F3)
	}
	if w.fam == Inet {
		r.Type, r.TOS = d.Type, h.tos
	} else if h.alias.ecmpAble() {
		r.Nexthops = append(r.Nexthops, w.s.siblingsAfter(h)...)
	}
	if r.NexthopID != 0 && len(r.Nexthops) == 1 {
		r.Nexthops[0].Weight = 1 // as of a route with one leg
	}
	w.s.showIgnored(w.fam, r.Nexthops)
	return Match{Decision: d, Route: r, Found: true}
}

// siblingsAfter are the legs of the IPv6 multipath route of h but its own, in ring
// order.
func (s *Snapshot) siblingsAfter(h *hit) []Nexthop {
	l := s.leafAt(s.table(Inet6, h.table), h.prefix)
	if l == nil {
		return nil
	}
	var before, after []Nexthop
	i := 0 // as h.leg counts
	for _, a := range l.list(h.src) {
		if !isSibling6(h.alias, a) {
			continue
		}
		switch {
		case i < h.leg:
			before = append(before, shownLeg(a.legs[0]))
		case i > h.leg:
			after = append(after, shownLeg(a.legs[0]))
		}
		i++
	}
	return append(after, before...)
}

// run answers the flow of w.
func (w *walk) run(d *Decision) {
	d.RuleIndex = -1
	w.h.rule = nil
	if s := w.f.Src; s.IsValid() && s.Is4() != (w.fam == Inet) {
		w.fail(d, EINVAL, Step{Kind: StepCheck, Reason: ReasonSourceInvalid, Addr: s, Detail: "source and destination are of different families"})
		return
	}
	if w.fam == Inet {
		w.run4(d)
	} else {
		w.key.Dst = orUnspecified6(w.key.Dst)
		w.f.Dst = w.key.Dst
		w.run6(d)
	}
	if d.Undetermined&UndeterminedMode != 0 && w.fork == nil && !w.turned && !w.otherMode(d) {
		d.Undetermined &^= UndeterminedMode
	}
}
