package ksync

import (
	"fmt"
	"net/netip"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtnl"
)

// learn asks the kernel for what its dumps leave open (section J of the description
// of the kernel's lookup) and an answer shows, and returns what it learned.
func (s *scan) learn(f *fib.FIB) (got fib.Learned, res fib.Result, err error) {
	q := &Querier{conn: s.conn, buf: s.buf}
	res, err = f.Update(func(tx *fib.Txn) (err error) {
		got, err = tx.Learn(fib.Oracle{Which: q.which, Match: q.match, LocalRoutes: s.handmade})
		return err
	})
	if err != nil {
		return got, res, fmt.Errorf("ask %v for what its dumps do not show: %w", s.opt.NetNS, err)
	}
	return got, res, nil
}

// keep enters into st what a FIB made of it has learned since.
func keep(st *fib.State, s *fib.Snapshot, got *fib.Learned) {
	now := s.State()
	st.UserLocalRoutes = now.UserLocalRoutes
	sources := map[uint32]netip.Addr{}
	for i := range now.Nexthops {
		sources[now.Nexthops[i].ID] = now.Nexthops[i].Source
	}
	for i := range st.Nexthops {
		st.Nexthops[i].Source = sources[st.Nexthops[i].ID]
	}
	if len(got.Prefixes) == 0 {
		return
	}
	changed := map[fib.TablePrefix][]fib.Route{}
	for _, p := range got.Prefixes {
		changed[p] = nil
	}
	at := func(r *fib.Route) fib.TablePrefix { return fib.TablePrefix{Table: r.Table, Dst: r.Dst} }
	for i := range now.Routes {
		if list, ok := changed[at(&now.Routes[i])]; ok {
			changed[at(&now.Routes[i])] = append(list, now.Routes[i])
		}
	}
	var routes []fib.Route
	for i := range st.Routes {
		p := at(&st.Routes[i])
		list, ok := changed[p]
		switch {
		case !ok:
			routes = append(routes, st.Routes[i])
		case list != nil:
			routes = append(routes, list...)
			changed[p] = nil // the others of the prefix are among them
		}
	}
	st.Routes = routes
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
