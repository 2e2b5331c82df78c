package engines

import (
	"iter"
	"net/netip"

	"github.com/fibula-net/fibula/bench/streams"
	"github.com/fibula-net/fibula/lookup"
	"github.com/fibula-net/fibula/lookup/flat"
)

// ours wraps an engine of package lookup. Its scalar form calls through the interface,
// as package fib does. A table that has batches is asked in its fastest form: packed
// addresses before [lookup.BatchTable].
func ours(e lookup.Engine, most int) *Engine {
	return &Engine{Name: e.Name(), Ours: true, Most: most, Engine: e, Fill: func(routes iter.Seq2[netip.Prefix, lookup.Index]) Forms {
		t := e.Build(routes)
		f := Forms{Scalar: scalar(t), Batch: batch(t), Table: t, keep: t}
		if m, ok := t.(interface{ ArrayBytes() uint64 }); ok {
			f.Arrays = m.ArrayBytes()
		}
		return f
	}}
}

// packedScalar are single answers of the compiled engine, of the same kind.
type packedScalar interface {
	Lookup4(addr uint32) uint32
	Lookup6(addr [2]uint64) uint32
}

// packed asks four for IPv4 and six for IPv6. The type is a parameter so that a call is
// no search for its function.
func packed[T packedScalar](four, six T) Form {
	return Form{
		One: func(s *streams.Stream, i int) uint32 {
			if is4(s) {
				return four.Lookup4(s.V4[i])
			}
			return six.Lookup6(s.V6[i])
		},
		Answer: func(s *streams.Stream, from int, out []uint32) {
			if is4(s) {
				for k, a := range s.V4[from : from+len(out)] {
					out[k] = four.Lookup4(a)
				}
				return
			}
			for k, a := range s.V6[from : from+len(out)] {
				out[k] = six.Lookup6(a)
			}
		},
	}
}

func scalar(t lookup.Table) Form {
	if t, ok := t.(*flat.Table); ok {
		return packed(t, t)
	}
	lookup := func(a netip.Addr) uint32 {
		m, ok := t.Lookup(a)
		if !ok {
			return Miss
		}
		return m.Index
	}
	return Form{One: one(lookup), Answer: func(s *streams.Stream, from int, out []uint32) {
		if is4(s) {
			for k, a := range s.V4[from : from+len(out)] {
				m, ok := t.Lookup(streams.Addr4(a))
				if out[k] = m.Index; !ok {
					out[k] = Miss
				}
			}
			return
		}
		for k, a := range s.V6[from : from+len(out)] {
			m, ok := t.Lookup(streams.Addr6(a))
			if out[k] = m.Index; !ok {
				out[k] = Miss
			}
		}
	}}
}

// packedTable is the batch form of the compiled engine: addresses as numbers, answers
// as indexes, Miss where there is none.
type packedTable interface {
	LookupBatch4(dst []uint32, out []uint32)
	LookupBatch6(dst [][2]uint64, out []uint32)
}

// batch is nil for a table without batches.
func batch(t lookup.Table) *Form {
	switch t := t.(type) {
	case packedTable:
		return &Form{Answer: func(s *streams.Stream, from int, out []uint32) {
			if is4(s) {
				t.LookupBatch4(s.V4[from:from+len(out)], out)
			} else {
				t.LookupBatch6(s.V6[from:from+len(out)], out)
			}
		}}
	case lookup.BatchTable:
		dst, got := make([]netip.Addr, Burst), make([]lookup.Match, Burst)
		return &Form{Answer: func(s *streams.Stream, from int, out []uint32) {
			for k := range out {
				dst[k] = s.Addr(from + k)
			}
			t.LookupBatch(dst[:len(out)], got)
			for k := range out {
				if out[k] = got[k].Index; got[k].Bits < 0 {
					out[k] = Miss
				}
			}
		}}
	}
	return nil
}
