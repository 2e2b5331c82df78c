package iproute

import (
	"net/netip"
	"reflect"
	"slices"

	"github.com/fibula-net/fibula/fib"
)

// Answer is what a query gets: a reply, or an errno.
type Answer struct {
	Dst      netip.Addr // that was asked for
	Errno    fib.Errno
	Decision fib.Decision
	Reply    Reply // valid only if Errno is 0
	// Candidates are all answers that are possible, this one first, where it is
	// undetermined and they were asked for.
	Candidates []Answer
}

// Answer is what the snapshot answers to q, of which f is the flow. With candidates
// it has all that are possible.
func (q *Query) Answer(s *fib.Snapshot, f *fib.Flow, candidates bool) Answer {
	d, route, found := s.FibMatch(*f)
	if !found {
		d = s.Resolve(*f)
	}
	a := q.answer(f, fib.Match{Decision: d, Route: route, Found: found})
	if d.Undetermined != 0 && (candidates || q.FibMatch) {
		a.Candidates = q.answers(f, s.MatchCandidates(*f))
		a.settle(q)
	}
	return a
}

// settle takes the mark from a stored route that is the same whatever is open: which
// leg of it the hash takes it does not show.
func (a *Answer) settle(q *Query) {
	if !q.FibMatch {
		return
	}
	same := func(c Answer) bool {
		x, y := a.Reply, c.Reply
		x.Decision, y.Decision = nil, nil
		return a.Errno == c.Errno && reflect.DeepEqual(x, y)
	}
	if slices.ContainsFunc(a.Candidates, func(c Answer) bool { return !same(c) }) {
		return
	}
	a.Candidates, a.Decision.Undetermined = nil, 0
	if d := a.Reply.Decision; d != nil {
		certain := *d
		certain.Undetermined = 0
		a.Reply.Decision = &certain
	}
}

func (q *Query) answers(f *fib.Flow, ms []fib.Match) []Answer {
	out := make([]Answer, len(ms))
	for i := range ms {
		ms[i].Decision.Undetermined = 0
		out[i] = q.answer(f, ms[i])
	}
	return out
}

// answer fills in a's reply or errno: a query for the stored route fails where no
// route is behind the answer (C14), another one does not mind.
func (q *Query) answer(f *fib.Flow, m fib.Match) Answer {
	a := Answer{Dst: f.Dst, Decision: m.Decision, Errno: queryErrno(f, &m.Decision)}
	if a.Errno == 0 && !m.Found && q.FibMatch {
		a.Errno = fib.EHOSTUNREACH
	}
	if a.Errno != 0 {
		return a
	}
	var route *fib.Route
	if m.Found {
		route = &m.Route
	}
	d := m.Decision
	a.Reply = q.Reply(f, &d, route)
	return a
}

// AppendAnswer appends the JSON object of an answer: the reply's, or of a failure.
func (p *Printer) AppendAnswer(b []byte, a *Answer) []byte {
	w := ipJSON{b: b}
	p.answer(&w, a)
	return append(w.b, '\n')
}

func (p *Printer) answer(w *ipJSON, a *Answer) {
	if a.Errno != 0 {
		p.failure(w, a.Errno, a.Dst, &a.Decision, a.Candidates)
	} else {
		p.object(w, &a.Reply, a.Candidates)
	}
}

// candidates is the key of that name, if there are any.
func (p *Printer) candidates(w *ipJSON, list []Answer) {
	if len(list) == 0 {
		return
	}
	w.key("candidates")
	w.openArray()
	for i := range list {
		p.answer(w, &list[i])
	}
	w.closeArray()
}
