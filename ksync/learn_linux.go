package ksync

import (
	"fmt"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtnl"
)

// learn asks the kernel for what its dumps leave open (section J of the description
// of the kernel's lookup) and an answer shows, and returns how much it learned.
func (s *scan) learn(f *fib.FIB) (n int, err error) {
	q := &Querier{conn: s.conn, buf: s.buf}
	_, err = f.Update(func(tx *fib.Txn) (err error) {
		n, err = tx.Learn(fib.Oracle{Which: q.which, Match: q.match})
		return err
	})
	if err != nil {
		return n, fmt.Errorf("ask %v for what its dumps do not show: %w", s.opt.NetNS, err)
	}
	return n, nil
}

func (q *Querier) match(flows []fib.Flow, fn func(int, *fib.Route)) error {
	return q.GetBatch(flows, LookupTable|FibMatch, func(i int, r *Reply, errno fib.Errno) {
		if errno == 0 {
			fn(i, &r.Route)
		}
	})
}

// which tells which of some decisions is the kernel's, -1 if none or several are.
func (q *Querier) which(flow fib.Flow, answers []fib.Decision) (int, error) {
	plain, errno, err := q.Get(flow, LookupTable)
	if err != nil {
		return -1, err
	}
	match, matchErrno, err := q.Get(flow, LookupTable|FibMatch)
	if err != nil {
		return -1, err
	}
	found := -1
	for i, d := range answers {
		if !agrees(flow, &d, &plain, errno, &match, matchErrno) {
			continue
		}
		if found >= 0 {
			return -1, nil
		}
		found = i
	}
	return found, nil
}

// agrees compares what a decision says without its route.
func agrees(flow fib.Flow, d *fib.Decision, plain *rtnl.Reply, errno fib.Errno, match *rtnl.Reply, matchErrno fib.Errno) bool {
	if len(Differences(flow, *d, plain.Route.Metrics, plain, errno)) > 0 { // a decision has no metrics
		return false
	}
	if errno != 0 || matchErrno != 0 || !d.HasRoute {
		return true
	}
	return match.Route.Dst == d.Prefix && match.Route.Src == d.SrcPrefix
}
