package ksync

import (
	"context"
	"fmt"
	"time"

	"github.com/fibula-net/fibula/fib"
)

func init() { explainedWithin = 2 * time.Second }

// Ask is what Verify asks of one flow.
func Ask(s *fib.Snapshot, q *Querier, f fib.Flow) (Answer, error) { return ask(s, q, f) }

// GracePeriod waits as Verify does.
func GracePeriod() { gracePeriod() }

// LeftByThisQuery reports whether what differs can come from a route that the same
// walk met before: several of them share nexthop objects (D22a).
func LeftByThisQuery(s *fib.Snapshot, a *Answer) bool {
	h, met := newHistory(s, s.State()), map[string]bool{}
	for _, st := range s.Explain(a.Flow).Steps {
		if st.Route != nil && h.shared(st.Route) {
			met[fmt.Sprint(st.Table, st.Prefix, st.Route.Src, st.Route.Priority)] = true
		}
	}
	return len(met) > 1 && h.explains(a)
}

// Shrink is how Verify shrinks.
func Shrink(ctx context.Context, st *fib.State, a *Answer) (*Repro, error) {
	return new(VerifyOptions).shrink(ctx, st, a)
}

// SameAnswers is how Verify tells whether a namespace changed.
func SameAnswers(a, b *fib.State) bool { return sameAnswers(a, b) }

// Rebuild makes a scratch namespace of a state, as Shrink does.
func Rebuild(ctx context.Context, st *fib.State) (NetNS, func(), error) {
	fresh, err := freshSysctls(ctx)
	if err != nil {
		return NetNS{}, nil, err
	}
	s, err := newScratch(ctx, st, fresh)
	if err != nil {
		return NetNS{}, nil, err
	}
	return s.netns(), s.close, nil
}
