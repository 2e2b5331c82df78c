package flat

import (
	"math/bits"
	"slices"
	"sort"
	"unsafe"

	"github.com/fibula-net/fibula/lookup"
)

// ranges are answers in the order of addresses: one binary search finds them. Those of a
// small table are made anew for each version, which is cheap; of a larger one they are
// spread.
type ranges struct {
	starts  []uint64 // of the first 64 bits, from where the part of the addresses begins; and pad more
	answers []lookup.Match
	index   *blockIndex // nil: a short list
	differs *blockSet   // of a list of differences: the blocks with any
}

// blockSet has a bit for each of the 4096 blocks of a part.
type blockSet [64]uint64

// blockIndex narrows the search to the ranges that begin in one block, of which there are 4096.
// Those in which any begins have a bit, and by its rank a span.
type blockIndex struct {
	shift  uint8
	set    blockSet
	before [64]uint16 // blocks of the words before
	spans  []span
}

// span is the last range that begins no later than a block, and the last one that begins in it.
type span struct{ first, last uint16 }

// pad are the ranges that are looked at together.
const pad = 3

// Bits of an answer that is none, of a /64 with longer prefixes inside, and of what a shared table has
// from the table below.
const (
	bitsNone = -1
	bitsDeep = -2
	bitsSame = -3
)

// From and up to how many ranges there is an index.
const (
	indexedFrom = 4
	indexedTo   = 1 << 16
)

// copied is r, the answers of a part of that prefix length, without room for more.
func (r *ranges) copied(length int) *ranges {
	c := &ranges{starts: make([]uint64, len(r.starts)+pad), answers: slices.Clone(r.answers)}
	for i := copy(c.starts, r.starts); i < len(c.starts); i++ {
		c.starts[i] = 1<<64 - 1
	}
	if n := len(c.answers); n < indexedFrom || n > indexedTo {
		return c
	}
	x := &blockIndex{shift: uint8(52 - length)}
	for i, s := range r.starts {
		b := s >> x.shift & 4095
		if x.set[b>>6]>>(b&63)&1 != 0 {
			x.spans[len(x.spans)-1].last = uint16(i)
			continue
		}
		x.set[b>>6] |= 1 << (b & 63)
		first := i
		if s<<(64-x.shift) != 0 {
			first-- // it begins inside
		}
		x.spans = append(x.spans, span{uint16(first), uint16(i)})
	}
	x.spans = slices.Clip(x.spans)
	for w := range 63 {
		x.before[w+1] = x.before[w] + uint16(bits.OnesCount64(x.set[w]))
	}
	c.index = x
	return c
}

// rangesOf compiles trees.
func rangesOf(t trees6) *ranges {
	var r ranges
	r.fill(t, 0, 0)
	return r.copied(0)
}

// sweep fills ranges with nested prefixes in order.
type sweep struct {
	r     *ranges
	depth int
	stack [66]struct {
		last uint64
		m    lookup.Match
	}
}

// sweep begins at key, with what addresses have that are in no prefix.
func (r *ranges) sweep(key uint64, outer lookup.Match) *sweep {
	r.starts, r.answers = r.starts[:0], r.answers[:0]
	s := &sweep{r: r, depth: 1}
	s.stack[0].last, s.stack[0].m = 1<<64-1, outer
	s.emit(key, outer)
	return s
}

func (s *sweep) emit(at uint64, m lookup.Match) {
	r, n := s.r, len(s.r.starts)
	if n > 0 && r.starts[n-1] == at {
		n--
	}
	if n == 0 || r.answers[n-1] != m {
		r.starts, r.answers = append(r.starts[:n], at), append(r.answers[:n], m)
		return
	}
	r.starts, r.answers = r.starts[:n], r.answers[:n]
}

func (s *sweep) closeBefore(at uint64) {
	for ; s.depth > 1 && s.stack[s.depth-1].last < at; s.depth-- {
		s.emit(s.stack[s.depth-1].last+1, s.stack[s.depth-2].m)
	}
}

func (s *sweep) open(key uint64, length int, m lookup.Match) {
	s.closeBefore(key)
	s.stack[s.depth].last, s.stack[s.depth].m = key|^maskOf(length), m
	s.depth++
	s.emit(key, m)
}

// fill makes r the answers to the addresses in key/length. Of prefixes that are shorter, the
// default route is left out if length is not 0.
func (r *ranges) fill(t trees6, key uint64, length int) {
	last := key | ^maskOf(length)
	outer := lookup.Match{Bits: bitsNone}
	if length > 0 {
		if e := t.short.longest(key, length-1); e != nil && e.length > 0 {
			outer = lookup.Match{Index: e.value, Bits: int16(e.length)}
		}
	}
	s := r.sweep(key, outer)
	t.short.walk(key, length, func(e *entry[lookup.Index]) bool {
		s.open(e.key, int(e.length), lookup.Match{Index: e.value, Bits: int16(e.length)})
		return true
	})
	s.closeBefore(last)
	t.long.walk(key, length, func(e *entry[*node[lookup.Index]]) bool {
		r.deepen(e.key, last)
		return true
	})
}

// deepen gives a /64 a range of its own.
func (r *ranges) deepen(key, last uint64) {
	i := sort.Search(len(r.starts), func(i int) bool { return r.starts[i] > key }) - 1
	if key < last && (i+1 == len(r.starts) || r.starts[i+1] > key+1) {
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
	starts, at, n := r.starts, 0, len(r.answers)
	if x := r.index; x != nil {
		b := key >> (x.shift & 63) & 4095
		w := x.set[b>>6]
		// The first block has a span, as the first range begins there.
		p := x.spans[int(x.before[b>>6])+bits.OnesCount64(w<<(63-b&63))-1]
		at = int(p.last)
		if w>>(b&63)&1 != 0 {
			at = int(p.first)
		}
		n = int(p.last) - at + 1
	}
	for n > 1+pad {
		step := n / 2
		_, below := bits.Sub64(key, starts[at+step], 0)
		at += step &^ -int(below) // a branch would be mispredicted every other time
		n -= step
	}
	// What is beyond the n is greater, so that nothing depends on how many they are.
	next := (*[pad]uint64)(starts[at+1:])
	_, a := bits.Sub64(key, next[0], 0)
	_, b := bits.Sub64(key, next[1], 0)
	_, c := bits.Sub64(key, next[2], 0)
	at += pad - int(a+b+c)
	return r.answers[min(at, len(r.answers)-1)]
}

// bytes is the memory of r.
func (r *ranges) bytes() int {
	n := int(unsafe.Sizeof(*r)) + 16*len(r.starts) + r.index.bytes()
	if r.differs != nil {
		n += int(unsafe.Sizeof(*r.differs))
	}
	return n
}

func (x *blockIndex) bytes() int {
	if x == nil {
		return 0
	}
	return int(unsafe.Sizeof(*x)) + 4*len(x.spans)
}
