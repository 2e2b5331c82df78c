package rules

// Next returns the position of the first rule at or behind from at which a walk has
// something to do: that matches the flow as Match says and is neither a nop nor a
// goto without a target. It is Len if there is none. A walk goes on with Next(i+1)
// where the rule's table has no answer or a suppressor drops it, and with Next of
// its Target at a goto.
//
// deferred is Match's for that rule. noted reports whether any rule from from up to
// and with it, whether it matched or not, noted the table of the L3 domain, see
// [Rule.NotesL3Table].
//
// A short list is walked. In a long one the search costs O(shapes · log n): rules that
// compare the same selectors under the same masks and prefix lengths have one shape.
// Tried one by one are inverted rules, gotos without a target, and rules of one key
// whose different ranges of uids or ports overlap. Next does not allocate, take locks
// or write shared memory. It panics if from is negative.
func (l *List) Next(from int, f *Flow, p Profile) (i int, deferred, noted bool) {
	if l == nil || l.index == nil {
		return l.scan(from, f, p)
	}
	if from >= l.rules.n {
		return l.rules.n, false, false
	}
	if e := l.rules.at(from); !e.L3MDev && l.acts(e, f, p) { // as the first rule of most lists, local
		return from, e.defersFrom(f), false
	}
	s := search{l: l, f: f, p: p, start: l.rules.orderAt(from), limit: 1<<64 - 1}
	s.words.set(f, l.family, p)
	s.in(l.index.acts)
	i = l.rules.n
	if s.best != nil {
		i, deferred = l.rules.position(s.best.order), s.best.defersFrom(f)
	}
	if f.L3Master != 0 && len(l.index.notes) > 0 {
		if s.best != nil {
			s.best, s.limit = nil, s.limit+1
		}
		s.in(l.index.notes)
		noted = s.best != nil
	}
	return i, deferred, noted
}

// scan is Next, rule by rule.
func (l *List) scan(from int, f *Flow, p Profile) (i int, deferred, noted bool) {
	for i = from; i < l.Len(); i++ {
		e := l.rules.at(i)
		noted = noted || e.L3MDev && e.noted(f, p)
		if l.acts(e, f, p) {
			return i, e.defersFrom(f), noted
		}
	}
	return l.Len(), false, noted
}

// acts reports whether e matches and a walk then has something to do.
func (l *List) acts(e *Entry, f *Flow, p Profile) bool {
	if (e.firstMiss(f, p) == SelNone) == e.Not || e.Action == ActNop {
		return false
	}
	if e.Action == ActGoto {
		_, ok := l.target(e)
		return ok
	}
	return true
}

// noted reports whether the test of e, an l3mdev rule, notes the L3 table.
func (e *Entry) noted(f *Flow, p Profile) bool {
	failed := e.firstMiss(f, p)
	if failed == SelNone && e.Not {
		failed = SelNot
	}
	return e.NotesL3Table(f, failed)
}
