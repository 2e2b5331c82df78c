package flat

import (
	"sync/atomic"

	"github.com/fibula-net/fibula/lookup"
)

// pairbook numbers what IPv6 addresses may match: pairs of an index and a length. Code 0 is no
// match and deep6 marks deep blocks. As in a codebook, a code without prefixes is
// given away.
type pairbook struct {
	indexes [1 << 16]uint32
	lengths [1 << 14]uint32 // bytes
	users   [1 << 16]int32
	codes   map[pair]uint32
	hint    uint32
}

type pair struct {
	index  lookup.Index
	length uint8
}

const deep6 = 1<<16 - 1

// match is what a code stands for; of code 0 and deep6, nothing.
func (b *pairbook) match(code uint32) lookup.Match {
	return lookup.Match{Index: atomic.LoadUint32(&b.indexes[code]), Bits: int16(load(b.lengths[:], width1, code))}
}

// take returns the code of p for one more prefix, 0 if there is none left.
func (b *pairbook) take(p pair) uint32 {
	if code := b.codes[p]; code != 0 {
		b.users[code]++
		return code
	}
	if len(b.codes) == deep6-1 {
		return 0
	}
	for b.users[b.hint] != 0 || b.hint == 0 || b.hint == deep6 {
		b.hint = (b.hint + 1) & deep6
	}
	b.codes[p], b.users[b.hint] = b.hint, 1
	store(&b.indexes[b.hint], p.index)
	fill(b.lengths[:], width1, b.hint, b.hint+1, uint32(p.length))
	return b.hint
}

// drop takes note that a prefix with p is gone.
func (b *pairbook) drop(p pair) {
	code := b.codes[p]
	if b.users[code]--; b.users[code] == 0 {
		delete(b.codes, p)
	}
}

func (b *pairbook) of(e *entry[lookup.Index]) uint32 {
	if e == nil || e.length == 0 {
		return 0
	}
	return b.codes[pair{e.value, e.length}]
}
