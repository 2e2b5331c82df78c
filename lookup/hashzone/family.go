package hashzone

import (
	"math/bits"

	"github.com/fibula-net/fibula/lookup"
)

// bands divide the lengths of a family. The prefixes of one band that lie in the same
// block of head bits share a bitmap of their lengths, with bit length-first for each.
//
//	IPv4   band 0: /0–/7, one bitmap   band 1: /8–/15 by /8   band 2: /16–/32 by /16
//	IPv6   band 0: /0–/15   1: /16–/31 by /16   2: /32–/64 by /32   3: /65–/128 by /64
type band struct {
	head, first, last int
}

// maxBands is the number of bands of IPv6.
const maxBands = 4

var (
	bands4 = []band{{0, 0, 7}, {8, 8, 15}, {16, 16, 32}}
	bands6 = []band{{0, 0, 15}, {16, 16, 31}, {32, 32, 64}, {64, 65, 128}}
)

// deeper is the bit in a bitmap that says that there are heads of the next band in this
// block. Only the last band of IPv6 has a length there, and there is no deeper one.
const deeper = 63

// family is the prefixes of one address family, immutable to all but the editor whose
// epoch it carries. Its zones are nil while they are empty.
type family struct {
	epoch  uint64
	bands  []band
	n      int
	top    uint64                         // the bitmap of band 0
	heads4 *heads4                        // the other bitmaps of IPv4
	heads6 [maxBands]*zone[short, uint64] // and those of IPv6, by band
	short  [65]*zone[short, lookup.Index] // by length
	long   [64]*zone[long, lookup.Index]  // by length-65, IPv6 only
	counts *zone[long, uint32]            // how many prefixes, or heads, stand behind each bit
}

// bandOf returns the band of a length.
func (f *family) bandOf(length int) int {
	b := 0
	for f.bands[b].last < length {
		b++
	}
	return b
}

// bitmap returns the lengths in band b, from 1, that occur in the block of hi.
func (f *family) bitmap(b int, hi uint64) uint64 {
	if len(f.bands) == len(bands4) {
		return f.heads4.get(b, hi)
	}
	m, _ := f.heads6[b].get(mask(hi, f.bands[b].head))
	return m
}

// get returns the index of exactly addr/length; addr may have host bits set.
func (f *family) get(addr long, length int) (lookup.Index, bool) {
	if length <= 64 {
		return f.short[length].get(mask(addr.hi, length))
	}
	return f.long[length-65].get(maskLong(addr, length))
}

// shorter returns the longest prefix of addr that is shorter than limit.
func (f *family) shorter(addr long, limit int) (lookup.Match, bool) {
	// Down the heads, as long as there are any and they can hold a length below limit.
	var maps [maxBands]uint64
	maps[0] = f.top
	b := 0
	for b+1 < len(f.bands) && f.bands[b+1].first < limit && maps[b]>>deeper != 0 {
		b++
		maps[b] = f.bitmap(b, addr.hi)
	}
	// Up through the zones.
	for ; b >= 0; b-- {
		m, first := maps[b], f.bands[b].first
		if b < maxBands-1 {
			m &^= 1 << deeper
		}
		if limit-first < 64 {
			m &= 1<<max(limit-first, 0) - 1
		}
		for m != 0 {
			bit := 63 - bits.LeadingZeros64(m)
			m ^= 1 << bit
			if i, ok := f.get(addr, first+bit); ok {
				return lookup.Match{Index: i, Bits: int16(first + bit)}, true
			}
		}
	}
	return lookup.Match{}, false
}

// insert stores i under addr/length in a family that is owned.
func (f *family) insert(addr long, length int, i lookup.Index) (old lookup.Index, replaced bool) {
	if length <= 64 {
		z := &f.short[length]
		*z = (*z).own(f.epoch)
		old, replaced = (*z).put(mask(addr.hi, length), i)
	} else {
		z := &f.long[length-65]
		*z = (*z).own(f.epoch)
		old, replaced = (*z).put(maskLong(addr, length), i)
	}
	if !replaced {
		f.n++
		f.count(addr, length, +1)
	}
	return old, replaced
}

// delete removes addr/length, which is there, from a family that is owned.
func (f *family) delete(addr long, length int) {
	if length <= 64 {
		remove(&f.short[length], mask(addr.hi, length), f.epoch)
	} else {
		remove(&f.long[length-65], maskLong(addr, length), f.epoch)
	}
	f.n--
	f.count(addr, length, -1)
}

// remove deletes k from a zone, and the zone with its last key.
func remove[K key, V comparable](z **zone[K, V], k K, epoch uint64) {
	*z = (*z).own(epoch)
	if (*z).delete(k); (*z).n == 0 {
		*z = nil
	}
}

// count notes that a prefix has come or gone.
func (f *family) count(addr long, length, delta int) {
	b := f.bandOf(length)
	f.note(addr, b, length-f.bands[b].first, uint64(length), delta)
}

// note adjusts how many things stand behind a bit in the bitmap that covers addr in band
// b, and the bit with the first and the last of them. What tells the bits of different
// bands with the same head apart in counts is id.
func (f *family) note(addr long, b, bit int, id uint64, delta int) {
	head := mask(addr.hi, f.bands[b].head)
	counter := long{uint64(head), id}
	before, _ := f.counts.get(counter)
	if after := int(before) + delta; after > 0 {
		f.counts = f.counts.own(f.epoch)
		f.counts.put(counter, uint32(after))
		if before > 0 {
			return
		}
	} else {
		remove(&f.counts, counter, f.epoch)
	}
	if b == 0 {
		f.top ^= 1 << bit
		return
	}
	m := f.bitmap(b, addr.hi)
	next := m ^ 1<<bit
	switch {
	case len(f.bands) == len(bands4):
		f.heads4 = f.heads4.own(f.epoch)
		f.heads4.set(b, addr.hi, next)
	case next == 0:
		remove(&f.heads6[b], head, f.epoch)
	default:
		f.heads6[b] = f.heads6[b].own(f.epoch)
		f.heads6[b].put(head, next)
	}
	if m == 0 || next == 0 {
		f.note(addr, b-1, deeper, 256+uint64(b), delta)
	}
}

// each calls yield for all prefixes of lengths from shortest on, in no order.
func (f *family) each(shortest int, yield func(addr long, length int, i lookup.Index)) {
	for length := shortest; length <= 64; length++ {
		for k, i := range f.short[length].all {
			yield(long{hi: uint64(k)}, length, i)
		}
	}
	for length := max(shortest, 65); length <= 128; length++ {
		for k, i := range f.long[length-65].all {
			yield(k, length, i)
		}
	}
}
