package engines

import (
	"github.com/fibula-net/fibula/bench/rulesets"
	"github.com/fibula-net/fibula/bench/streams"
	"github.com/fibula-net/fibula/fib"
)

// Resolve is the form of a whole FIB: rules, table, route, leg, source address. Query
// i travels as the set's template i.
func Resolve(name string, s *fib.Snapshot, set *rulesets.Set) Form {
	return Form{Name: name, Answer: func(q *streams.Stream, from int, out []uint32) {
		flows := set.Flows[q.Family]
		mask := len(flows) - 1
		for k := range out {
			f := flows[(from+k)&mask]
			f.Dst = q.Addr(from + k)
			d := s.Resolve(f)
			out[k] = rulesets.NextHop(&d)
		}
	}, One: func(q *streams.Stream, i int) uint32 {
		flows := set.Flows[q.Family]
		f := flows[i&(len(flows)-1)]
		f.Dst = q.Addr(i)
		d := s.Resolve(f)
		return rulesets.NextHop(&d)
	}}
}

// batchResolver is a snapshot that decides many flows in one call.
type batchResolver interface {
	ResolveBatch(flows []fib.Flow, out []fib.Decision)
}

// ResolveBatch is the form of a FIB that takes bursts; nil if it has none.
func ResolveBatch(name string, s *fib.Snapshot, set *rulesets.Set) *Form {
	b, ok := any(s).(batchResolver)
	if !ok {
		return nil
	}
	burst, got := make([]fib.Flow, Burst), make([]fib.Decision, Burst)
	return &Form{Name: name + "-batch", Answer: func(q *streams.Stream, from int, out []uint32) {
		flows := set.Flows[q.Family]
		mask := len(flows) - 1
		for k := range out {
			burst[k] = flows[(from+k)&mask]
			burst[k].Dst = q.Addr(from + k)
		}
		b.ResolveBatch(burst[:len(out)], got)
		for k := range out {
			out[k] = rulesets.NextHop(&got[k])
		}
	}}
}
