package ksync_test

import (
	"slices"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtnl"
	"github.com/fibula-net/fibula/ksync"
)

// possible reports whether the kernel's answer to a flow is, in every field, one of
// those that the snapshot leaves open.
func possible(s *fib.Snapshot, f fib.Flow, reply *rtnl.Reply, errno fib.Errno) bool {
	return slices.ContainsFunc(s.MatchCandidates(f), func(m fib.Match) bool {
		return len(ksync.Differences(f, m.Decision, m.Route.Metrics, reply, errno)) == 0
	})
}
