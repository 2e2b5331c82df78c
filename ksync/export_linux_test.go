package ksync

import (
	"context"

	"github.com/fibula-net/fibula/fib"
)

// Ask is what Verify asks of one flow.
func Ask(s *fib.Snapshot, q *Querier, f fib.Flow) (Answer, error) { return ask(s, q, f) }

// GracePeriod waits as Verify does.
func GracePeriod() { gracePeriod() }

// LeftByEarlierQueries is what Verify makes of such an answer.
func LeftByEarlierQueries(s *fib.Snapshot, a *Answer) bool {
	return newHistory(s, s.State()).explains(a)
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
