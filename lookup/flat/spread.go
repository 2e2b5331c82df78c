package flat

import (
	"math/bits"

	"github.com/fibula-net/fibula/lookup"
)

// spread are the ranges of a table that has too many for one list and too few for arrays, one list for
// each /8. It is persistent, as the trees are: a change makes those lists anew that it concerns.
// The default route is left out.
type spread [1 << spreadBits]*ranges // nil: no match

const spreadBits = 8

func (s *spread) lookup(key uint64) lookup.Match {
	if r := s[key>>(64-spreadBits)]; r != nil {
		return r.lookup(key)
	}
	return lookup.Match{Bits: bitsNone}
}

// parts are a set of lists.
type parts [1 << spreadBits / 64]uint64

func (set *parts) add(key uint64, length int) {
	const shift = 64 - spreadBits
	first := key >> shift
	for r := first; r <= first|^maskOf(min(length, spreadBits))>>shift; r++ {
		set[r>>6] |= 1 << (r & 63)
	}
}

func allParts() *parts {
	var all parts
	all.add(0, 0)
	return &all
}

// spreadOf compiles trees.
func spreadOf(t trees6) *spread { return (&spread{}).changed(t, allParts()) }

// changed returns s with some parts made anew from trees.
func (s *spread) changed(t trees6, set *parts) *spread {
	return s.remade(set, func(r *ranges, key uint64) bool {
		r.fill(t, key, spreadBits)
		return len(r.starts) > 1 || r.answers[0].Bits != bitsNone
	})
}

// remade returns s with some parts made anew: fill makes that of the addresses from key on, and reports
// whether there is anything.
func (s *spread) remade(set *parts, fill func(r *ranges, key uint64) bool) *spread {
	next := *s
	var scratch ranges
	for w, word := range set {
		for ; word != 0; word &= word - 1 {
			part := w<<6 | bits.TrailingZeros64(word)
			next[part] = nil
			if fill(&scratch, uint64(part)<<(64-spreadBits)) {
				next[part] = scratch.copied(spreadBits)
			}
		}
	}
	return &next
}

// bytes is the memory of s.
func (s *spread) bytes() int {
	n := 8 * len(s)
	for _, r := range s {
		if r != nil {
			n += r.bytes()
		}
	}
	return n
}
