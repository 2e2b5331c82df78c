package flat

import (
	"sync"
	"sync/atomic"

	"github.com/fibula-net/fibula/lookup"
)

// direct6 answers IPv6 by the first 48 bits of an address, in up to four steps:
//
//	root   by bits 0–15     a code, or a fan
//	fan    by bits 16–31    a code, a leaf or a mid
//	mid    by bits 32–39    a code, a leaf or a row
//	leaf   bits 32–47 among up to 16 sorted bounds, in one cache line; or
//	row    by bits 40–47
//
// A code stands for an index and the length of the match. A /48 that has longer
// prefixes inside is deep: the version's tree answers for it.
//
// Versions share a direct6 as they share a direct4, and what is said there about order
// holds here too. A region is all /32 with the same last 12 bits. All parts live in
// one arena, in units of a cache line; a part that is replaced may be
// overwritten at once, since who still reads it finds its region changed.
type direct6 struct {
	root    [1 << 16]uint32
	changed [regions]uint32
	arena   []uint32
	book    pairbook

	now     atomic.Uint32
	mu      sync.Mutex // of writers
	head    uint32
	used    int              // units
	grows   bool             // nobody reads it yet
	free    map[int][]uint32 // parts by size
	scratch []bound
}

// store writes a word, and lets readers be.
func (d *direct6) store(p *uint32, v uint32) {
	if d.grows {
		*p = v // the race detector keeps a clock for each word that was stored atomically
	} else {
		store(p, v)
	}
}

// What an entry of a root, fan or mid is: the upper two bits. The rest is a code, or
// a unit of the arena.
const (
	isCode = iota
	isLeaf
	isBelow // a mid, or in a mid a row
	isFan
)

const (
	unitWords = 16
	leafUnits = 1
	midUnits  = 16
	rowUnits  = 8
	fanUnits  = 1 << 12
)

func (d *direct6) current(hi uint64, version uint32) bool {
	return d.now.Load() == version || atomic.LoadUint32(&d.changed[hi>>32&(regions-1)]) <= version
}

func entryOf(kind, v uint32) uint32 { return kind<<30 | v }

// lookup returns the longest match of the address whose first half is hi, but for
// the default route. It is not sure if the address is in a deep block, or its region has changed.
func (d *direct6) lookup(hi uint64, version uint32, on isa) (m lookup.Match, found, sure bool) {
	code := d.find(hi, on)
	m = d.book.match(code)
	return m, code != 0, code != deep6 && d.current(hi, version)
}

func (d *direct6) code(hi uint64) uint32 {
	e := atomic.LoadUint32(&d.root[hi>>48])
	if e>>30 == isFan {
		e = atomic.LoadUint32(d.at(e, hi>>32&0xffff))
	}
	if e>>30 == isBelow {
		e = atomic.LoadUint32(d.at(e, hi>>24&255))
		if e>>30 == isBelow {
			return half(d.at(e, hi>>17&127), uint32(hi>>16&1))
		}
	}
	if e>>30 == isLeaf {
		return d.leafCode(e, uint32(hi>>16&0xffff))
	}
	return e
}

// at is a word of the part that e names.
func (d *direct6) at(e uint32, word uint64) *uint32 {
	return &d.arena[uint64(e&(1<<30-1))*unitWords+word]
}

func half(word *uint32, upper uint32) uint32 { return atomic.LoadUint32(word) >> (16 * upper) & 0xffff }

// leafCode finds the last bound that is not above q: of 16, the first is 0. What is above is
// counted by signs, since a branch would be mispredicted every other time; of two bounds in a word
// the upper one decides how it compares.
func (d *direct6) leafCode(e, q uint32) uint32 {
	unit := (*[unitWords]uint32)(d.arena[(e&(1<<30-1))*unitWords:])
	word := func(i int64) int64 { return int64(atomic.LoadUint32(&unit[i&15])) }
	upper := int64(q)<<16 | 0xffff
	w := 4 + 4*((upper-word(3))>>63)
	w += 3 + (upper-word(w))>>63 + (upper-word(w+1))>>63 + (upper-word(w+2))>>63
	i := uint32(2*w + 1 + (upper-word(w))>>63 + (int64(q)-word(w)&0xffff)>>63)
	return half(&unit[8+i/2&7], i&1)
}

// alloc returns the first of some units, all zero or of a part that was freed.
func (d *direct6) alloc(units int) (at uint32, ok bool) {
	if free := d.free[units]; len(free) > 0 {
		d.free[units] = free[:len(free)-1]
		return free[len(free)-1], true
	}
	// A word stays free, since vectors read words where codes are halves.
	if need := (d.used+units)*unitWords + 1; need > len(d.arena) {
		if !d.grows {
			return 0, false
		}
		d.arena = append(make([]uint32, 0, 2*need), d.arena...)[:2*need]
	}
	d.used += units
	return uint32(d.used - units), true
}

// release takes back all parts below an entry; in a mid, of which a part called isBelow is a row.
func (d *direct6) release(e uint32, inMid bool) {
	at, units := e&(1<<30-1), 0
	switch kind := e >> 30; {
	case kind == isCode:
		return
	case kind == isLeaf:
		units = leafUnits
	case kind == isBelow && inMid:
		units = rowUnits
	case kind == isBelow:
		units = midUnits
		for i := range uint64(256) {
			d.release(*d.at(e, i), true)
		}
	default:
		units = fanUnits
		for i := range uint64(1 << 16) {
			d.release(*d.at(e, i), false)
		}
	}
	d.free[units] = append(d.free[units], at)
}
