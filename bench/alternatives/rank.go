package alternatives

import (
	"iter"
	"net/netip"

	"github.com/fibula-net/fibula/lookup"
)

// Rank is a table by the first 24 bits in which equal neighbours are kept once: for each
// 64 blocks a bitmap tells where the answer changes, and counting its bits where the
// answer lies. What is longer than 24 bits is left to Ranges.
type Rank struct {
	groups  [1 << 18]group
	answers []uint32
	rest    *Ranges
}

type group struct {
	changes uint64 // bit 0 is always set
	before  uint32 // answers before the first of this group
}

// NewRank builds a table of the prefixes of one family.
func NewRank(routes iter.Seq2[netip.Prefix, lookup.Index]) *Rank {
	t := &Rank{rest: NewRanges(routes)}
	for g := range t.groups {
		x := &t.groups[g]
		x.before = uint32(len(t.answers))
		last := uint32(0)
		for b := range uint64(64) {
			k := uint64(g)<<46 | b<<40
			answer, even := t.rest.even(k, k|(1<<40-1))
			if !even {
				answer = deep
			}
			if b == 0 || answer != last {
				x.changes |= 1 << b
				t.answers = append(t.answers, answer)
			}
			last = answer
		}
	}
	return t
}

func (t *Rank) at(k uint64) uint32 {
	g := &t.groups[k>>46]
	return t.answers[g.before+rank(g.changes, k>>40&63)-1]
}

// Lookup4 returns the index of the longest match of an IPv4 address.
func (t *Rank) Lookup4(addr uint32) uint32 {
	if i := t.at(uint64(addr) << 32); i != deep {
		return i
	}
	return t.rest.Lookup4(addr)
}

// Lookup6 returns the index of the longest match of an IPv6 address.
func (t *Rank) Lookup6(addr [2]uint64) uint32 {
	if i := t.at(addr[0]); i != deep {
		return i
	}
	return t.rest.Lookup6(addr)
}
