package engines

import (
	"encoding/binary"

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

// RefsSuffix is what the name of a FIB that answers in short has behind it.
const RefsSuffix = "-refs"

// ResolveRefs are the forms of a FIB that is asked for whole decisions in short: from packed
// flows to references, of which the caller looks up only its own data by the number of
// the way, as a packet path does.
func ResolveRefs(name string, s *fib.Snapshot, set *rulesets.Set) []*Form {
	r := refs{s: s, set: set}
	r.keys4, r.keys6 = make([]fib.Key4, Burst), make([]fib.Key6, Burst)
	r.out = make([]fib.Ref, Burst)
	for i := range set.Flows[fib.Inet] {
		r.flows4 = append(r.flows4, packed4(&set.Flows[fib.Inet][i]))
	}
	for i := range set.Flows[fib.Inet6] {
		r.flows6 = append(r.flows6, packed6(&set.Flows[fib.Inet6][i]))
	}
	name += RefsSuffix
	return []*Form{
		{Name: name, One: r.one, Answer: func(q *streams.Stream, from int, out []uint32) {
			for k := range out {
				out[k] = r.one(q, from+k)
			}
		}},
		{Name: name + "-batch", Answer: r.batch},
	}
}

type refs struct {
	s             *fib.Snapshot
	set           *rulesets.Set
	flows4, keys4 []fib.Key4
	flows6, keys6 []fib.Key6
	out           []fib.Ref
	hops          []hop // of ways without a leg, by route
}

// hop is the next hop of a way; 0: it was not asked for yet.
type hop struct {
	next  uint32
	known bool
}

func (r *refs) one(q *streams.Stream, i int) uint32 {
	if is4(q) {
		k := r.flows4[i&(len(r.flows4)-1)]
		k.Dst = q.V4[i]
		ref := r.s.ResolveRef4(&k)
		if h, ok := r.hop(ref); ok {
			return h
		}
		return r.ask(ref, r.s.Decision4(&k, ref))
	}
	k := r.flows6[i&(len(r.flows6)-1)]
	k.Dst = q.V6[i]
	ref := r.s.ResolveRef6(&k)
	if h, ok := r.hop(ref); ok {
		return h
	}
	return r.ask(ref, r.s.Decision6(&k, ref))
}

func (r *refs) batch(q *streams.Stream, from int, out []uint32) {
	refs := r.out[:len(out)]
	if is4(q) {
		keys, mask := r.keys4[:len(out)], len(r.flows4)-1
		for k := range keys {
			keys[k] = r.flows4[(from+k)&mask]
		}
		for k, dst := range q.V4[from : from+len(keys)] {
			keys[k].Dst = dst
		}
		r.s.ResolveRefs4(keys, refs)
		for k := range out {
			h, ok := r.hop(refs[k])
			if out[k] = h; !ok {
				out[k] = r.ask(refs[k], r.s.Decision4(&keys[k], refs[k]))
			}
		}
		return
	}
	keys, mask := r.keys6[:len(out)], len(r.flows6)-1
	for k := range keys {
		keys[k] = r.flows6[(from+k)&mask]
		keys[k].Dst = q.V6[from+k]
	}
	r.s.ResolveRefs6(keys, refs)
	for k := range out {
		h, ok := r.hop(refs[k])
		if out[k] = h; !ok {
			out[k] = r.ask(refs[k], r.s.Decision6(&keys[k], refs[k]))
		}
	}
}

// hop is the next hop of a way that was asked for before.
func (r *refs) hop(ref fib.Ref) (uint32, bool) {
	route, leg, ok := ref.Way()
	if !ok || leg != 0 || ref.Errno() != 0 || int(route) >= len(r.hops) {
		return 0, false
	}
	h := r.hops[route]
	return h.next, h.known
}

// ask takes the next hop from the whole decision, and keeps it.
func (r *refs) ask(ref fib.Ref, d fib.Decision) uint32 {
	next := rulesets.NextHop(&d)
	if route, leg, ok := ref.Way(); ok && leg == 0 && ref.Errno() == 0 {
		for int(route) >= len(r.hops) {
			r.hops = append(r.hops, hop{})
		}
		r.hops[route] = hop{next, true}
	}
	return next
}

func packed4(f *fib.Flow) fib.Key4 {
	k := fib.Key4{Iif: f.Iif, Oif: f.Oif, Mark: f.Mark, UID: f.UID, Sport: f.Sport, Dport: f.Dport, TOS: f.TOS, IPProto: f.IPProto}
	if f.Src.IsValid() {
		b := f.Src.As4()
		k.Src = binary.BigEndian.Uint32(b[:])
	}
	return k
}

func packed6(f *fib.Flow) fib.Key6 {
	k := fib.Key6{Iif: f.Iif, Oif: f.Oif, Mark: f.Mark, UID: f.UID, UIDSet: f.UIDSet, FlowLabel: f.FlowLabel, Sport: f.Sport, Dport: f.Dport,
		TOS: f.TOS, IPProto: f.IPProto}
	if f.Src.IsValid() {
		b := f.Src.As16()
		k.Src = [2]uint64{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
	}
	return k
}
