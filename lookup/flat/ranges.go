package flat

import (
	"slices"
	"sort"

	"github.com/fibula-net/fibula/lookup"
)

// ranges are the answers of a small table in the order of addresses: one binary search
// finds them. They are made anew for each version, which is cheap up to rangesTo prefixes.
type ranges struct {
	starts  []uint64 // of the first 64 bits; the first is 0
	answers []lookup.Match
}

const rangesTo = 512

// Bits of an answer that is none, and of a /64 with longer prefixes inside.
const (
	bitsNone = -1
	bitsDeep = -2
)

// rangesOf compiles a tree, and of IPv6 the one beyond it.
func rangesOf(t *node[lookup.Index], long *node[*node[lookup.Index]]) *ranges {
	type open struct {
		last uint64
		m    lookup.Match
	}
	r := &ranges{starts: make([]uint64, 0, 2*t.size()+2), answers: make([]lookup.Match, 0, 2*t.size()+2)}
	emit := func(at uint64, m lookup.Match) {
		if n := len(r.starts); n > 0 && r.starts[n-1] == at {
			r.answers[n-1] = m
		} else {
			r.starts, r.answers = append(r.starts, at), append(r.answers, m)
		}
	}
	var stack [66]open
	stack[0] = open{1<<64 - 1, lookup.Match{Bits: bitsNone}}
	depth := 1
	emit(0, stack[0].m)
	closeBefore := func(at uint64) {
		for ; depth > 1 && stack[depth-1].last < at; depth-- {
			emit(stack[depth-1].last+1, stack[depth-2].m)
		}
	}
	t.walk(0, 0, func(e *entry[lookup.Index]) bool {
		closeBefore(e.key)
		stack[depth] = open{e.key | ^maskOf(int(e.length)), lookup.Match{Index: e.value, Bits: int16(e.length)}}
		emit(e.key, stack[depth].m)
		depth++
		return true
	})
	closeBefore(1<<64 - 1)
	long.walk(0, 0, func(e *entry[*node[lookup.Index]]) bool {
		r.deepen(e.key)
		return true
	})
	return r
}

// deepen gives a /64 a range of its own.
func (r *ranges) deepen(key uint64) {
	i := sort.Search(len(r.starts), func(i int) bool { return r.starts[i] > key }) - 1
	if key < 1<<64-1 && (i+1 == len(r.starts) || r.starts[i+1] > key+1) {
		r.starts, r.answers = slices.Insert(r.starts, i+1, key+1), slices.Insert(r.answers, i+1, r.answers[i])
	}
	deep := lookup.Match{Bits: bitsDeep}
	if r.starts[i] == key {
		r.answers[i] = deep
	} else {
		r.starts, r.answers = slices.Insert(r.starts, i+1, key), slices.Insert(r.answers, i+1, deep)
	}
}

func (r *ranges) lookup(key uint64) lookup.Match {
	starts, at := r.starts, 0
	for n := len(starts); n > 1; {
		step := n / 2
		if next := at + step; starts[next] <= key {
			at = next
		}
		n -= step
	}
	return r.answers[at]
}
