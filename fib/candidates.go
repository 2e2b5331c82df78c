package fib

// Undetermined says why a decision cannot be known from outside the kernel
// (section J); 0: it is certain. [Snapshot.Candidates] has what it may be.
type Undetermined uint16

// The reasons.
const (
	UndeterminedHash          Undetermined = 1 << iota // the hash seed is not readable (J1)
	UndeterminedDefaultRouter                          // depends on earlier lookups (B18, J2)
	UndeterminedMode                                   // whether rules are in force (J4)
	UndeterminedGateway                                // whether the leg's gateway is used (B30, J9)
	UndeterminedSource                                 // the source that a nexthop object remembers (C19, J10)
	UndeterminedShared                                 // which route with this nexthop object the reply describes (D22a, J11)
	UndeterminedSourceNode                             // whether a route with a source prefix is found (D8, J13)
	UndeterminedLocalCheck                             // whether a local route was ever added by hand (C31, J14)
)

// fork leads a walk down one way through the choices that only the kernel knows.
type fork struct {
	taken []branch
	at    int
}

// branch is one such choice: alternative alt of several, 0 being the likeliest.
type branch struct {
	why       Undetermined
	alt, alts int
}

// choose returns which of several alternatives to follow, and notes that there is
// more than one. Without a fork it is the likeliest, number 0.
func (w *walk) choose(why Undetermined, alts int) int {
	if alts < 2 {
		return 0
	}
	w.und |= why
	f := w.fork
	if f == nil {
		return 0
	}
	if f.at == len(f.taken) {
		f.taken = append(f.taken, branch{why: why, alts: alts})
	}
	b := &f.taken[f.at]
	f.at++
	return b.alt
}

// next turns to the next way; it is false after the last one.
func (f *fork) next() bool {
	f.taken = f.taken[:f.at]
	f.at = 0
	for i := len(f.taken) - 1; i >= 0; i-- {
		if b := &f.taken[i]; b.alt+1 < b.alts {
			b.alt++
			f.taken = f.taken[:i+1]
			return true
		}
	}
	return false
}

// maxWays bounds the ways that are tried: a flow may meet many choices in a row.
const maxWays = 4096

// ways yields the answer of each way through the choices that f meets, the
// likeliest first, with the choices that led there, which are valid until the next.
func (s *Snapshot) ways(f Flow, yield func(d Decision, w *walk, taken []branch) bool) {
	fk := &fork{}
	oneMode := s.Resolve(f).Undetermined&UndeterminedMode == 0
	for range maxWays {
		w := newWalk(s, f, nil)
		w.fork = fk
		if oneMode {
			w.modeKnown, _ = s.modeOf(w.fam)
		}
		var d Decision
		w.run(&d)
		if !yield(d, &w, fk.taken[:fk.at]) || !fk.next() {
			return
		}
	}
}

// Candidates returns the answers that a kernel in this state may give to f, the
// likeliest first: that of [Snapshot.Resolve]. There are several only if that is
// undetermined. Legs without a share of the hash space are not among them.
//
// A walk that meets the same unknown twice (two multipath routes under one hash) is
// taken to meet two. Safe for concurrent use; costs a lookup for each way through
// what is unknown, up to 4096 of them, and allocates.
func (s *Snapshot) Candidates(f Flow) []Decision {
	var out []Decision
	seen := map[Decision]bool{}
	s.ways(f, func(d Decision, _ *walk, _ []branch) bool {
		key := d
		key.Undetermined = 0
		if !seen[key] {
			seen[key] = true
			out = append(out, d)
		}
		return true
	})
	return out
}

// MatchCandidates are the same answers with the routes behind them.
func (s *Snapshot) MatchCandidates(f Flow) []Match {
	var out []Match
	seen := map[Decision]bool{}
	s.ways(f, func(d Decision, w *walk, _ []branch) bool {
		m := w.match(d)
		key := d
		key.Undetermined = 0
		if !seen[key] {
			seen[key] = true
			out = append(out, m)
		}
		return true
	})
	return out
}

// Match is a decision with the route behind it, as [Snapshot.FibMatch] has it; Found
// is false for a refused flow and for an answer that needs no route.
type Match struct {
	Decision Decision
	Route    Route
	Found    bool
}

// otherMode answers the flow of w with the rules in force if they are taken not to
// be, and the other way round. It reports whether that answer is another one; the
// table that the kernel names is always (B1), so it does not count.
func (w *walk) otherMode(d *Decision) bool {
	o := newWalk(w.s, w.f, nil)
	o.turned = true
	var e Decision
	o.run(&e)
	e.Table, e.HasRule, e.Rule, e.RuleIndex, e.Undetermined = d.Table, d.HasRule, d.Rule, d.RuleIndex, d.Undetermined
	return e != *d
}
