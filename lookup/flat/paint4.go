package flat

import (
	"sync/atomic"

	"github.com/fibula-net/fibula/lookup"
)

// change4 is one change of an IPv4 prefix: what was stored there, and what is now.
type change4 struct {
	addr       uint32
	length     uint8
	was, is    bool
	old, index lookup.Index
}

// build4 makes the arrays for a tree, with the narrowest codes that can name its
// indexes; nil if there are none, because of an index beyond 1<<32-3.
func build4(t *node[lookup.Index]) *direct4 {
	width, ok := widthOf(t)
	if !ok {
		return nil
	}
	d := newDirect4(width)
	// In order, so that longer prefixes come over those that cover them.
	t.lists(func(list []entry[lookup.Index]) bool {
		for i := range list {
			e := &list[i]
			if e.length == 0 {
				continue // see Table.default4
			}
			code := d.book.take(e.value)
			addr, length := uint32(e.key>>32), uint32(e.length)
			if length > 24 {
				first := addr & 255
				d.deepen(addr>>8).fill(first, first+1<<(32-length), code, length)
				continue
			}
			from, to := addr>>8, addr>>8+1<<(24-length)
			fillFresh(d.codes, d.width, from, to, code)
			fillFresh(d.lengths[:], width1, from, to, length)
		}
		return true
	})
	return d
}

// widthOf is the narrowest width of codes that can name the indexes of a tree. It is false if none can.
func widthOf(t *node[lookup.Index]) (width uint8, ok bool) {
	var small [1 << 16 / 64]uint64 // the set of indexes seen
	large := map[lookup.Index]bool{}
	n := 0
	ok = t.lists(func(list []entry[lookup.Index]) bool {
		for i := range list {
			switch v := list[i].value; {
			case v>>16 == 0:
				if bit := uint64(1) << (v & 63); small[v>>6]&bit == 0 {
					small[v>>6] |= bit
					n++
				}
			case v >= 1<<32-2:
				return false
			case width < width4 && !large[v]:
				large[v] = true
				n++
			}
		}
		for width < width4 && n > 1<<(8<<width)-2 {
			width++
		}
		return true
	})
	return width, ok
}

func (c *cell4) fill(from, to, code, length uint32) {
	for i := from; i < to; i++ {
		store(&c.codes[i], code)
	}
	fill(c.lengths[:], width1, from, to, length)
}

// deepen returns the cell of a block; one that was not deep starts as what the block was.
func (d *direct4) deepen(block uint32) *cell4 {
	code := load(d.codes, d.width, block)
	c := d.cell(block)
	if code != d.deep {
		c.fill(0, 256, code, load(d.lengths[:], width1, block))
		fill(d.codes, d.width, block, block+1, d.deep)
	}
	return c
}

// publish makes d describe a tree that differs from the version base by changes, and
// returns the number of the new version. It is false if it can't: d describes another
// version than base by now, or has no codes or numbers left.
func (d *direct4) publish(base uint32, t *node[lookup.Index], changes []change4) (version uint32, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.head != base || base == 1<<32-1 {
		return 0, false
	}
	d.head++
	d.now.Store(d.head)
	for i := range changes {
		c := &changes[i]
		if c.is && c.length > 0 && d.book.take(c.index) == 0 {
			d.head = 0 // nobody's any more
			return 0, false
		}
		if c.was && c.length > 0 {
			d.book.drop(c.old)
		}
	}
	for len(changes) > 0 {
		n := min(len(changes), together)
		for i := range changes[:n] { // so that they wait for the memory together
			b := changes[i].addr >> 8
			d.seen += load(d.lengths[:], width1, b) + load(d.codes, d.width, b)
		}
		for i := range changes[:n] {
			d.repaint(t, &changes[i])
		}
		changes = changes[n:]
	}
	return d.head, true
}

// repaint brings what prefix addr/length may decide in line with the tree. It sets what
// has no longer match to the prefix, if it is there; otherwise it looks for
// another match for what had the prefix. Prefixes may be repainted in any order.
//
// What a later change takes back does not matter: that one repaints it.
func (d *direct4) repaint(t *node[lookup.Index], change *change4) {
	addr, length := change.addr, uint32(change.length)
	if length == 0 {
		return
	}
	last := addr | uint32(1<<(32-length)-1)
	for r := addr >> 20; r <= last>>20; r++ {
		atomic.StoreUint32(&d.changed[r], d.head)
	}
	key := uint64(addr) << 32
	var code, to uint32
	if change.is { // which spares a search in the tree
		code, to = d.book.of(change.index), length
	}
	if code == 0 {
		e := t.get(key, int(length))
		if e == nil {
			e = t.longest(key, int(length)-1)
		}
		if e != nil && e.length > 0 {
			code, to = d.book.of(e.value), uint32(e.length)
		}
	}
	decides := func(had uint32) bool { return had == length || had < length && to == length }
	if length > 24 {
		d.repaintCell(t, addr>>8)
		return
	}
	// Blocks are painted in runs.
	var from, until uint32
	paint := func() {
		fill(d.codes, d.width, from, until, code)
		fill(d.lengths[:], width1, from, until, to)
	}
	for b := addr >> 8; b <= last>>8; b++ {
		if !decides(load(d.lengths[:], width1, b)) {
			continue
		}
		if load(d.codes, d.width, b) == d.deep {
			c := d.cell(b)
			for i := range uint32(256) {
				if decides(load(c.lengths[:], width1, i)) {
					c.fill(i, i+1, code, to)
				}
			}
			fill(d.lengths[:], width1, b, b+1, to)
			continue
		}
		if b != until {
			paint()
			from = b
		}
		until = b + 1
	}
	paint()
}

// repaintCell makes a block anew.
func (d *direct4) repaintCell(t *node[lookup.Index], block uint32) {
	key := uint64(block) << 40
	var code, length uint32
	if e := t.longest(key, 24); e != nil && e.length > 0 {
		code, length = d.book.of(e.value), uint32(e.length)
	}
	var c *cell4
	t.walk(key, 24, func(e *entry[lookup.Index]) bool {
		if e.length == 24 {
			return true
		}
		if c == nil {
			c = d.cell(block)
			c.fill(0, 256, code, length)
		}
		first := uint32(e.key>>32) & 255
		c.fill(first, first+1<<(32-e.length), d.book.of(e.value), uint32(e.length))
		return true
	})
	if c != nil {
		code = d.deep
	}
	fill(d.lengths[:], width1, block, block+1, length)
	fill(d.codes, d.width, block, block+1, code)
}
