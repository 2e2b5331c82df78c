package flat

import (
	"sync/atomic"

	"github.com/fibula-net/fibula/lookup"
)

// codebook gives the indexes of a table small numbers. Code 0 is no match, and the
// greatest of the width is not given. An index gets the code one above itself where
// that is free, so that a table of small indexes, the usual one, needs no decoding.
//
// A code that no prefix uses any more is given to another index: whoever still reads
// its old meaning finds that out in direct4.changed. Only writers use the maps.
type codebook struct {
	limit     uint32       // codes are below; those of four bytes are all one above their index
	indexes   []uint32     // by code
	meaning   [256]uint32  // indexes, where a code is a byte
	displaced atomic.Int32 // codes that are not one above their index
	codes     map[uint32]uint32
	users     []int32 // prefixes with that code
	hint      uint32  // where to look for a free code
}

func (b *codebook) init(width uint8) {
	b.limit = 1<<(8<<width) - 1
	if width < width4 {
		b.indexes, b.users = b.meaning[:], make([]int32, b.limit)
		if width > width1 {
			b.indexes = make([]uint32, b.limit)
		}
		b.codes, b.hint = map[uint32]uint32{}, b.limit-1
	}
}

// index is what a code stands for; of code 0 and of the greatest, nothing.
func (b *codebook) index(code uint32) lookup.Index {
	if b.displaced.Load() == 0 || code >= b.limit {
		return code - 1
	}
	return atomic.LoadUint32(&b.indexes[code])
}

// take returns the code of i for one more prefix, 0 if there is none left.
func (b *codebook) take(i lookup.Index) uint32 {
	if b.codes == nil {
		if i >= b.limit-1 {
			return 0
		}
		return i + 1
	}
	if code := b.of(i); code != 0 {
		b.users[code]++
		return code
	}
	if len(b.codes) == int(b.limit)-1 {
		return 0
	}
	code := i + 1
	if i >= b.limit-1 || b.users[code] != 0 {
		for b.users[b.hint] != 0 {
			if b.hint--; b.hint == 0 {
				b.hint = b.limit - 1
			}
		}
		code = b.hint
	}
	b.codes[i], b.users[code] = code, 1
	atomic.StoreUint32(&b.indexes[code], i)
	if code != i+1 {
		b.displaced.Add(1)
	}
	return code
}

// of returns the code that i has.
func (b *codebook) of(i lookup.Index) uint32 {
	if b.codes == nil || b.direct(i) {
		return i + 1
	}
	return b.codes[i]
}

// direct reports whether i has the code one above itself.
func (b *codebook) direct(i lookup.Index) bool {
	return i < b.limit-1 && b.users[i+1] != 0 && b.indexes[i+1] == i
}

// drop takes note that a prefix with index i is gone.
func (b *codebook) drop(i lookup.Index) {
	if b.codes == nil {
		return
	}
	code := b.of(i)
	if b.users[code]--; b.users[code] == 0 {
		delete(b.codes, i)
		if code != i+1 {
			b.displaced.Add(-1)
		}
	}
}
