package ksync

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/errno"
	"github.com/fibula-net/fibula/ksync/plan"
)

// What a kernel refuses is tried again after refusedFirst, then after twice as long each time, up to
// refusedLongest. What only a change can mend is given up after so many times.
const (
	refusedFirst   = time.Second
	refusedLongest = time.Minute
	refusedTimes   = 6
	refusedLimit   = 100_000 // objects that are remembered
)

// refusals remembers what a kernel did not take, so that it is neither forgotten nor tried
// at full pace.
type refusals struct {
	objects map[objectKey]*unwilling
	more    bool // than are remembered
	now     func() time.Time
	round   int
}

type unwilling struct {
	op    string
	kind  plan.Kind
	verb  plan.Verb
	err   error
	times int
	until time.Time // not tried before; zero: given up
	tried int       // in which round
	met   int       // in which round, tried or not
	beset bool      // of a route: others are wanted under its key, which may be there
}

func newRefusals(now func() time.Time) refusals {
	return refusals{objects: map[objectKey]*unwilling{}, now: now}
}

// passing are errors that may end by themselves, as others' routes come and go, or memory does.
func passing(err error) bool {
	for _, e := range [...]fib.Errno{fib.ENETDOWN, fib.ENETUNREACH, fib.EHOSTUNREACH, fib.ENODEV, fib.EADDRNOTAVAIL, fib.EEXIST, fib.ENOBUFS, errno.ENOMEM,
		errno.EAGAIN, fib.EBUSY, fib.ENOENT, fib.ESRCH} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// refuse notes a refusal. news: it was not refused before, or for another reason.
func (f *refusals) refuse(op *plan.Op, err error) (x *unwilling, news bool) {
	k := keyOfOp(op)
	x = f.objects[k]
	if x == nil {
		if len(f.objects) >= refusedLimit {
			f.more = true
			return nil, false
		}
		x = &unwilling{}
		f.objects[k] = x
		news = true
	}
	news = news || x.err.Error() != err.Error()
	x.op, x.kind, x.verb, x.err = op.Verb.String()+" "+op.Name(), op.Kind, op.Verb, err
	x.tried, x.met = f.round, f.round
	x.times++
	x.until = f.now().Add(min(refusedFirst<<min(x.times-1, 10), refusedLongest))
	if x.times >= refusedTimes && !passing(err) {
		x.until = time.Time{}
	}
	return x, news
}

func (x *unwilling) givenUp() bool { return x.until.IsZero() }

// failure is what a report says of it.
func (x *unwilling) failure() Failure {
	err := x.err
	if x.givenUp() {
		err = fmt.Errorf("%w, %w", err, ErrGivenUp)
	}
	return Failure{x.op, err}
}

// rests reports whether an object is not to be tried now.
func (f *refusals) rests(k objectKey) *unwilling {
	x := f.objects[k]
	if x == nil || !x.givenUp() && !f.now().Before(x.until) {
		return nil
	}
	return x
}

// next is when the first is to be tried again; zero: none is.
func (f *refusals) next() (at time.Time) {
	for _, x := range f.objects {
		if !x.givenUp() && (at.IsZero() || x.until.Before(at)) {
			at = x.until
		}
	}
	return at
}

// anew lets everything be tried again: what surrounds it has changed.
func (f *refusals) anew() {
	clear(f.objects)
	f.more = false
}

// stirred lets routes be tried again of which something was heard: what was refused may be there now.
func (f *refusals) stirred(news map[routeKey]heard) (any bool) {
	if len(f.objects) == 0 {
		return false
	}
	for r := range news {
		if k := (objectKey{route: r}); f.objects[k] != nil {
			delete(f.objects, k)
			any = true
		}
	}
	return any
}

// revive gives what was given up one more try: something of ours has changed, over which its
// gateway may be reached now.
func (f *refusals) revive() {
	for _, x := range f.objects {
		if x.givenUp() {
			x.times = refusedTimes - 1
			x.until = f.now().Add(refusedLongest)
		}
	}
}

// settle forgets, after all was compared, what was not met: it is there, or is wanted no more.
func (f *refusals) settle() {
	for k, x := range f.objects {
		if x.met != f.round {
			delete(f.objects, k)
		}
	}
}

// absent counts the routes that are not there, if refusals of routes mean that, or that what was to be
// changed is as it was, and no more.
func (f *refusals) absent() (n int, only bool) {
	only = !f.more
	for _, x := range f.objects {
		if x.kind == plan.Route {
			if x.verb == plan.Add {
				n++
			}
			only = only && x.verb != plan.Delete && !x.beset
		}
	}
	return n, only
}

// unlike reports whether a key was changed in vain of whose prefix other routes are wanted now: what
// is there is not known.
func (x *exporting) unlike() bool {
	for k, f := range x.refusals.objects {
		if k.name != "" || f.verb == plan.Add {
			continue
		}
		before, now := x.desired.Routes.RoutesAt(k.route.table, k.route.dst), x.want.RoutesAt(k.route.table, k.route.dst)
		if !slices.EqualFunc(before, now, func(a, b fib.Route) bool { return plan.SameRoute(&a, &b) }) {
			return true
		}
	}
	return false
}

// standing adds to a report what is still refused and was not tried.
func (f *refusals) standing(r *ExportReport) {
	for _, x := range f.objects {
		if x.givenUp() {
			r.GivenUp++
		}
		switch {
		case x.tried == f.round && x.givenUp():
			if errors.Is(x.err, ErrPending) {
				r.Pending--
			}
			if i := slices.IndexFunc(r.Failures, func(y Failure) bool { return y.Op == x.op }); i >= 0 {
				r.Failures[i] = x.failure()
			}
		case x.tried == f.round:
		case x.verb == plan.Add && errors.Is(x.err, fib.EEXIST):
			r.Conflicts = append(slices.Clip(r.Conflicts), plan.Conflict{Kind: x.kind, Object: strings.TrimPrefix(x.op, "add "), Foreign: x.err.Error(), Reason: anothers})
		default:
			r.Failed++
			if errors.Is(x.err, ErrPending) && !x.givenUp() {
				r.Pending++
			}
			if len(r.Failures) < maxFailures {
				r.Failures = append(r.Failures, x.failure())
			}
		}
	}
}

// besets reports whether several routes are wanted under the key of one.
func (x *exporting) besets(op *plan.Op) bool { return x.wantedAt(op) > 1 }

// wantedAt counts the routes that are wanted under the key of one.
func (x *exporting) wantedAt(op *plan.Op) (n int) {
	if op.Kind != plan.Route {
		return 0
	}
	for _, r := range x.want.RoutesAt(op.Route.Table, op.Route.Dst) {
		if plan.Normalize(&r); keyOfRoute(&r) == keyOfRoute(op.Route) {
			n++
		}
	}
	return n
}

// concerns reports whether a refusal is one of op: of a leg that is wanted also that of another to go.
func (x *exporting) concerns(r *unwilling, op *plan.Op) bool {
	if op.Verb == plan.Delete {
		return r.verb == plan.Delete || r.verb == plan.Append && x.wantedAt(op) > 0
	}
	return r.verb != plan.Delete
}

// refused is told by the writer.
func (x *exporting) refused(op *plan.Op, err error) {
	r, news := x.refusals.refuse(op, err)
	if r != nil {
		r.beset = x.besets(op)
	}
	if r == nil || !news && !r.givenUp() || !x.mayTell() {
		return
	}
	x.log.Warn("refused", slog.String("op", r.op), slog.Any("cause", err), slog.Int("times", r.times), slog.Bool("given_up", r.givenUp()))
}
