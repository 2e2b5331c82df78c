package ksync

import (
	"context"
	"slices"

	"github.com/fibula-net/fibula/fib"
)

// loadAltered loads a namespace, with the answers of what alter makes of it.
func loadAltered(ctx context.Context, opt Options, alter func(*fib.State)) (*fib.Snapshot, error) {
	if alter == nil {
		f, err := Load(ctx, opt)
		if err != nil {
			return nil, err
		}
		return f.Snapshot(), nil
	}
	st, _, err := Scan(ctx, opt)
	if err != nil {
		return nil, err
	}
	alter(&st)
	f := fib.New(opt.Config)
	if _, err := f.Update(func(tx *fib.Txn) error { return tx.Load(&st) }); err != nil {
		return nil, err
	}
	return f.Snapshot(), nil
}

// ours is what we say of one flow.
type ours struct {
	d     fib.Decision
	route fib.Route
	found bool
}

func resolve(s *fib.Snapshot, f fib.Flow) (o ours) {
	o.d = s.Resolve(f)
	if o.d.HasRoute && o.d.Errno == 0 {
		_, o.route, o.found = s.FibMatch(f)
	}
	return o
}

// ask asks both sides about one flow.
func ask(s *fib.Snapshot, q *Querier, f fib.Flow) (Answer, error) {
	o := resolve(s, f)
	a := Answer{Flow: f, Ours: o.d, Route: o.route}
	var err error
	if a.Kernel, a.KernelErrno, err = q.Get(f, LookupTable); err != nil {
		return a, err
	}
	if a.Stored, a.StoredErrno, err = q.Get(f, LookupTable|FibMatch); err != nil {
		return a, err
	}
	if o.d.Undetermined == 0 {
		a.Differences = append(Differences(f, o.d, o.route.Metrics, &a.Kernel, a.KernelErrno),
			MatchDifferences(f, o.d, o.route, o.found, &a.Stored, a.StoredErrno)...)
	}
	return a, nil
}

// verdict is what came of comparing one flow.
type verdict struct {
	outcome string
	kind    verdictKind
}

type verdictKind uint8

const (
	same verdictKind = iota
	different
	unknown
	historic
	unanswered
)

// comparer compares many flows with its own connection. It is not safe for
// concurrent use.
type comparer struct {
	q    *Querier
	said []ours
	out  []verdict
}

// compare asks both sides about flows. Each is asked plainly first and then with
// fibmatch.
func (c *comparer) compare(s *fib.Snapshot, flows []fib.Flow) ([]verdict, error) {
	c.said = slices.Grow(c.said[:0], len(flows))[:len(flows)]
	c.out = slices.Grow(c.out[:0], len(flows))[:len(flows)]
	err := c.q.GetBatch(flows, LookupTable, func(i int, reply *Reply, errno fib.Errno) {
		o := &c.said[i]
		*o = resolve(s, flows[i])
		v := verdict{outcome: Outcome(&o.d)}
		switch {
		case o.d.Undetermined != 0:
			v.kind = unknown
		case Unanswerable(flows[i], errno):
			v.kind = unanswered
		case len(Differences(flows[i], o.d, o.route.Metrics, reply, errno)) > 0:
			v.kind = different
		}
		c.out[i] = v
	})
	if err != nil {
		return nil, err
	}
	err = c.q.GetBatch(flows, LookupTable|FibMatch, func(i int, reply *Reply, errno fib.Errno) {
		o := &c.said[i]
		if c.out[i].kind == same && len(MatchDifferences(flows[i], o.d, o.route, o.found, reply, errno)) > 0 {
			c.out[i].kind = different
		}
	})
	return c.out, err
}
