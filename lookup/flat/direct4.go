package flat

import (
	"sync"
	"sync/atomic"

	"github.com/fibula-net/fibula/lookup"
)

// direct4 answers IPv4 from arrays indexed by the first 24 bits of an address: one load
// tells the index, one independent of it the length of the match. A block of which
// parts have matches longer than 24 bits is deep, and refers to a cell.
//
// All versions that descend from one another share a direct4, and the newest one is the
// one it describes: publishing a version changes it in place. What makes that
// safe for readers of older versions is order. A writer first notes the new
// version's number, in now and in changed for each region (an IPv4 /12) that it is about
// to touch, and then touches it. A reader takes its answer first and then looks at
// now: its own version's number proves that all it has read is of its version, and so
// does a number in changed that is not above its own. Otherwise it takes the answer from
// the version's own tree, which never changes. No reader waits, and the newest version is never slow.
//
// The arrays are of 32-bit words, since the race detector and weakly ordered machines
// want atomic accesses and there are none for less.
type direct4 struct {
	width   uint8  // log2 of the bytes of a code
	deep    uint32 // the code that marks deep blocks: the greatest of its width
	codes   []uint32
	bytes   *[blocks >> 2]uint32 // codes, where a code is a byte
	lengths *[blocks >> 2]uint32 // a byte each, by block: the length of the match, of deep blocks the longest of 24 or less
	changed [regions]uint32
	cells   atomic.Pointer[cells4]
	book    codebook

	now  atomic.Uint32 // the newest version, which may still be in the making
	mu   sync.Mutex    // of writers
	head uint32        // the version described; 0: none
	seen uint32        // what reads ahead must lead to, or they would be left out
}

// current reports whether what has been read of addr, or of any address, is of the version.
func (d *direct4) current(addr, version uint32) bool {
	return d.now.Load() == version || atomic.LoadUint32(&d.changed[addr>>20]) <= version
}

const (
	blocks  = 1 << 24
	regions = 1 << 12
)

// The widths of codes, and what each needs of memory besides 16 MiB for the lengths.
const (
	width1 = iota // 16 MiB, up to 254 different indexes
	width2        // 32 MiB, up to 65,534
	width4        // 64 MiB
)

func newDirect4(width uint8) *direct4 {
	d := &direct4{width: width, deep: 1<<(8<<width) - 1, head: 1}
	d.codes, d.lengths = hugeWords(blocks>>2<<width), (*[blocks >> 2]uint32)(hugeWords(blocks>>2))
	if width == width1 {
		d.bytes = (*[blocks >> 2]uint32)(d.codes)
	}
	d.book.init(width)
	d.now.Store(d.head)
	d.cells.Store(newCells4(6))
	return d
}

// load returns element i of an array of which each word holds 4>>width.
func load(words []uint32, width uint8, i uint32) uint32 {
	perWord := 2 - width
	w := atomic.LoadUint32(&words[i>>perWord])
	shift := (i & (1<<perWord - 1)) << (3 + width)
	return w >> shift & uint32(1<<(8<<width)-1)
}

// fill sets elements from ≤ i < to to v, while readers may be loading them.
func fill(words []uint32, width uint8, from, to, v uint32) {
	perWord := 2 - width
	for from < to {
		at := from >> perWord
		if from&(1<<perWord-1) == 0 && to-from >= 1<<perWord {
			all := repeated(v, width)
			run := words[at : to>>perWord]
			for i := range run {
				store(&run[i], all)
			}
			from = to >> perWord << perWord
			continue
		}
		store(&words[at], with(words[at], width, from, v))
		from++
	}
}

// fillFresh is fill of an array that has no readers yet: the race detector keeps a clock for each word
// that was stored atomically. Most runs that make up a table are of one element.
func fillFresh(words []uint32, width uint8, from, to, v uint32) {
	perWord := 2 - width
	for ; from < to && (from&(1<<perWord-1) != 0 || to-from < 1<<perWord); from++ {
		words[from>>perWord] = with(words[from>>perWord], width, from, v)
	}
	if from == to {
		return
	}
	all, run := repeated(v, width), words[from>>perWord:to>>perWord]
	for i := range run {
		run[i] = all
	}
	for from = to >> perWord << perWord; from < to; from++ {
		words[from>>perWord] = with(words[from>>perWord], width, from, v)
	}
}

// with is word w with v as its element i.
func with(w uint32, width uint8, i, v uint32) uint32 {
	shift := (i & (1<<(2-width) - 1)) << (3 + width)
	return w&^(uint32(1<<(8<<width)-1)<<shift) | v<<shift
}

// repeated is a word of which each element is v.
func repeated(v uint32, width uint8) uint32 {
	for b := 8 << width; b < 32; b *= 2 {
		v |= v << b
	}
	return v
}

// lookup returns the longest match of addr but the default route. It is not sure if
// the region has changed since the version.
func (d *direct4) lookup(addr, version uint32) (m lookup.Match, found, sure bool) {
	length := byteAt(d.lengths, addr>>8)
	var code uint32
	if d.width == width1 {
		code = byteAt(d.bytes, addr>>8)
	} else {
		code = load(d.codes, d.width, addr>>8)
	}
	if code == d.deep {
		code, length = d.cells.Load().lookup(addr)
	}
	m = lookup.Match{Index: d.book.index(code), Bits: int16(length)}
	return m, code != 0, d.current(addr, version)
}

// cells4 are the deep blocks: an open-addressed hash table from a block to the codes
// and lengths of its 256 addresses. It is replaced when it must grow.
type cells4 struct {
	shift uint8    // 32 minus log2 of the slots
	slots []uint32 // block+1, or 0
	cells []cell4
	used  int
}

// cell4 holds a code and a length for each address of a block.
type cell4 struct {
	codes   [256]uint32
	lengths [64]uint32 // bytes
}

func newCells4(bits uint8) *cells4 {
	return &cells4{shift: 32 - bits, slots: make([]uint32, 1<<bits), cells: make([]cell4, 1<<bits)}
}

func (c *cells4) slot(block uint32) uint32 {
	at := (block + 1) * 0x9e3779b1 >> c.shift
	for {
		if s := atomic.LoadUint32(&c.slots[at]); s == block+1 || s == 0 {
			return at
		}
		at = (at + 1) & uint32(len(c.slots)-1)
	}
}

// lookup returns code 0 for a block that is not deep (any more).
func (c *cells4) lookup(addr uint32) (code, length uint32) {
	cell := &c.cells[c.slot(addr>>8)]
	return atomic.LoadUint32(&cell.codes[addr&255]), load(cell.lengths[:], width1, addr&255)
}

// cell returns the cell of a block, to be written by a writer: a new one if it had none.
func (d *direct4) cell(block uint32) *cell4 {
	c := d.cells.Load()
	at := c.slot(block)
	if c.slots[at] != 0 {
		return &c.cells[at]
	}
	if c.used++; c.used*2 > len(c.slots) {
		bigger := newCells4(32 - c.shift + 1)
		for i, s := range c.slots {
			// A block that is deep no more keeps its slot until the table grows.
			if s != 0 && load(d.codes, d.width, s-1) == d.deep {
				to := bigger.slot(s - 1)
				bigger.slots[to], bigger.cells[to] = s, c.cells[i]
				bigger.used++
			}
		}
		bigger.used++
		d.cells.Store(bigger)
		c, at = bigger, bigger.slot(block)
	}
	atomic.StoreUint32(&c.slots[at], block+1)
	return &c.cells[at]
}
