package alternatives

import (
	"cmp"
	"encoding/binary"
	"iter"
	"math/bits"
	"net/netip"
	"slices"

	"github.com/fibula-net/fibula/lookup"
	"github.com/fibula-net/fibula/lookup/trie"
)

// None is the answer where no prefix contains the address.
const None = ^uint32(0)

// deep marks /64s with longer prefixes inside, for which a trie answers. No index of a benchmark is that.
const deep = None - 1

// Ranges has the addresses' first 64 bits (IPv4 left-aligned) cut where the answer
// changes, and searches among the cuts that the first 16 bits leave.
type Ranges struct {
	starts  []uint64 // the first is 0
	answers []uint32
	first   [1<<16 + 1]uint32 // by 16 bits: the last cut that is not above
	long    lookup.Table
}

// NewRanges builds a table of the prefixes of one family.
func NewRanges(routes iter.Seq2[netip.Prefix, lookup.Index]) *Ranges {
	type open struct {
		last   uint64
		answer uint32
	}
	type cut struct {
		key    uint64
		length int
		index  uint32
	}
	var cuts []cut
	for p, i := range routes {
		hi, length, index := key(p.Addr()), p.Bits(), i
		if length > 64 {
			length, index = 64, deep
		}
		cuts = append(cuts, cut{hi, length, index})
	}
	// A deep /64 hides what has the same 64 bits.
	slices.SortStableFunc(cuts, func(a, b cut) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.length, b.length), cmp.Compare(a.index, b.index))
	})
	t := &Ranges{long: trie.Engine{}.Build(routes)}
	emit := func(at uint64, answer uint32) {
		if n := len(t.starts); n > 0 && t.starts[n-1] == at {
			t.answers[n-1] = answer
			return
		}
		t.starts, t.answers = append(t.starts, at), append(t.answers, answer)
	}
	stack := []open{{^uint64(0), None}}
	emit(0, None)
	closeUpTo := func(at uint64, all bool) {
		for len(stack) > 1 && (all || stack[len(stack)-1].last < at) {
			last := stack[len(stack)-1].last
			stack = stack[:len(stack)-1]
			if last != ^uint64(0) {
				emit(last+1, stack[len(stack)-1].answer)
			}
		}
	}
	for _, c := range cuts {
		closeUpTo(c.key, false)
		emit(c.key, c.index)
		stack = append(stack, open{c.key | (^uint64(0) >> c.length), c.index})
	}
	closeUpTo(0, true)
	i := 0
	for top := range t.first {
		for i+1 < len(t.starts) && top < 1<<16 && t.starts[i+1] <= uint64(top)<<48 {
			i++
		}
		t.first[top] = uint32(i)
	}
	t.first[1<<16] = uint32(len(t.starts) - 1)
	return t
}

func key(a netip.Addr) uint64 {
	if a.Is4() {
		b := a.As4()
		return uint64(binary.BigEndian.Uint32(b[:])) << 32
	}
	b := a.As16()
	return binary.BigEndian.Uint64(b[:8])
}

// Lookup4 returns the index of the longest match of an IPv4 address.
func (t *Ranges) Lookup4(addr uint32) uint32 { return t.at(uint64(addr) << 32) }

// Lookup6 returns the index of the longest match of an IPv6 address.
func (t *Ranges) Lookup6(addr [2]uint64) uint32 {
	if i := t.at(addr[0]); i != deep {
		return i
	}
	return t.deep6(addr)
}

func (t *Ranges) deep6(addr [2]uint64) uint32 {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], addr[0])
	binary.BigEndian.PutUint64(b[8:], addr[1])
	if m, ok := t.long.Lookup(netip.AddrFrom16(b)); ok {
		return m.Index
	}
	return None
}

// place is the range that holds k.
func (t *Ranges) place(k uint64) int {
	lo, hi := int(t.first[k>>48]), int(t.first[k>>48+1])
	for n := hi - lo; n > 0; {
		half := (n + 1) / 2
		if t.starts[lo+half] <= k {
			lo += half
			n -= half
		} else {
			n = half - 1
		}
	}
	return lo
}

func (t *Ranges) at(k uint64) uint32 { return t.answers[t.place(k)] }

// even reports whether all of the keys from first to last have one answer, and which.
func (t *Ranges) even(first, last uint64) (answer uint32, ok bool) {
	i := t.place(first)
	return t.answers[i], i == len(t.starts)-1 || t.starts[i+1] > last
}

// rank counts the bits of v up to and with bit i.
func rank(v uint64, i uint64) uint32 { return uint32(bits.OnesCount64(v << (63 - i))) }
