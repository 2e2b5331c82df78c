package alternatives

import (
	"iter"
	"net/netip"

	"github.com/fibula-net/fibula/lookup"
)

// Poptrie is a trie of six bits a step below 16 direct ones, whose nodes find children
// and answers by counting bits, and keep equal neighbouring answers once (Asai and Ohara,
// SIGCOMM 2015).
type Poptrie struct {
	root    [1 << 16]uint32 // a node, or an answer's position with isAnswer
	nodes   []popnode
	answers []uint32
	rest    *Ranges
}

type popnode struct {
	inner   uint64 // which children are nodes
	changes uint64 // where among the others the answer changes
	nodes   uint32 // position of the first child that is a node
	answers uint32
}

const isAnswer = 1 << 31

// NewPoptrie builds a table of the prefixes of one family.
func NewPoptrie(routes iter.Seq2[netip.Prefix, lookup.Index]) *Poptrie {
	t := &Poptrie{rest: NewRanges(routes)}
	for top := range uint64(1 << 16) {
		k := top << 48
		if answer, even := t.rest.even(k, k|(1<<48-1)); even {
			t.root[top] = isAnswer | uint32(len(t.answers))
			t.answers = append(t.answers, answer)
			continue
		}
		t.root[top] = uint32(len(t.nodes))
		t.nodes = append(t.nodes, popnode{})
		t.fill(t.root[top], k, 42)
	}
	return t
}

// fill makes node n, whose children begin at k and are 1<<shift apart.
func (t *Poptrie) fill(n uint32, k uint64, shift int) {
	x := popnode{answers: uint32(len(t.answers))}
	last, any := uint32(0), false
	for c := range uint64(64) {
		from := k | c<<shift
		answer, even := t.rest.even(from, from|(1<<shift-1))
		if !even {
			x.inner |= 1 << c
			continue
		}
		if !any || answer != last {
			x.changes |= 1 << c
			t.answers = append(t.answers, answer)
		}
		last, any = answer, true
	}
	x.nodes = uint32(len(t.nodes))
	t.nodes = append(t.nodes, make([]popnode, rank(x.inner, 63))...)
	t.nodes[n] = x
	for c, next := uint64(0), x.nodes; c < 64; c++ {
		if x.inner>>c&1 != 0 {
			t.fill(next, k|c<<shift, shift-6)
			next++
		}
	}
}

func (t *Poptrie) at(k uint64) uint32 {
	e := t.root[k>>48]
	if e >= isAnswer {
		return t.answers[e-isAnswer]
	}
	for shift := 42; ; shift -= 6 {
		n, c := &t.nodes[e], k>>shift&63
		if n.inner>>c&1 == 0 {
			return t.answers[n.answers+rank(n.changes, c)-1]
		}
		e = n.nodes + rank(n.inner, c) - 1
	}
}

// Lookup4 returns the index of the longest match of an IPv4 address.
func (t *Poptrie) Lookup4(addr uint32) uint32 { return t.at(uint64(addr) << 32) }

// Lookup6 returns the index of the longest match of an IPv6 address.
func (t *Poptrie) Lookup6(addr [2]uint64) uint32 {
	if i := t.at(addr[0]); i != deep {
		return i
	}
	return t.rest.deep6(addr)
}
