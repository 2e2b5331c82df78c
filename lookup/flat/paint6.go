package flat

import (
	"slices"
	"sort"
	"sync/atomic"

	"github.com/fibula-net/fibula/lookup"
)

// trees6 are the two trees of IPv6.
type trees6 struct {
	short *node[lookup.Index]
	long  *node[*node[lookup.Index]]
}

// change6 is one change of an IPv6 prefix up to /64, or (length 65) of any longer one
// in that /64, of which the arrays only need to know that it is there.
type change6 struct {
	hi         uint64
	length     uint8
	was, is    bool
	old, index lookup.Index
}

// build6 makes the arrays for the trees; nil if they have too many different answers.
func build6(t trees6) *direct6 {
	d := &direct6{head: 1, free: map[int][]uint32{}, used: leafUnits, grows: true}
	d.book.codes, d.book.hint = map[pair]uint32{}, 1
	d.arena = make([]uint32, fanUnits*unitWords)
	if !t.short.walk(0, 0, func(e *entry[lookup.Index]) bool {
		return e.length == 0 || d.book.take(pair{e.value, e.length}) != 0
	}) {
		return nil
	}
	d.paintRoots(t, 0, 1<<16)
	arena := hugeWords((d.used + d.used/8 + 2*fanUnits) * unitWords)
	copy(arena, d.arena[:d.used*unitWords])
	d.arena, d.grows = arena, false
	d.now.Store(d.head)
	return d
}

// publish is direct4.publish; it can also lack room.
func (d *direct6) publish(base uint32, t trees6, changes []change6) (version uint32, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.head != base || base == 1<<32-1 {
		return 0, false
	}
	d.head++
	d.now.Store(d.head)
	for i := range changes {
		c := &changes[i]
		if c.length == 0 || c.length > 64 {
			continue
		}
		if c.is && d.book.take(pair{c.index, c.length}) == 0 {
			d.head = 0 // nobody's any more
			return 0, false
		}
		if c.was {
			d.book.drop(pair{c.old, c.length})
		}
	}
	for i := range changes {
		if c := &changes[i]; c.length > 0 && !d.repaint(t, c.hi, int(c.length)) {
			d.head = 0
			return 0, false
		}
	}
	return d.head, true
}

// repaint makes all anew that prefix hi/length may decide. It is false if there is no
// room.
func (d *direct6) repaint(t trees6, hi uint64, length int) bool {
	first := uint32(hi >> 32)
	last := first
	if length < 32 {
		last |= 1<<(32-length) - 1
	}
	for r := range min(last-first+1, regions) {
		atomic.StoreUint32(&d.changed[(first+r)&(regions-1)], d.head)
	}
	if length <= 16 {
		return d.paintRoots(t, first>>16, last>>16+1)
	}
	root := &d.root[first>>16]
	if *root>>30 != isFan {
		return d.paintRoots(t, first>>16, first>>16+1)
	}
	if length <= 32 {
		return d.paintFan(t, *root, first, last)
	}
	e := d.at(*root, uint64(first&0xffff))
	if *e>>30 == isBelow && length > 40 {
		below, ok := d.slot(d.bounds(t, hi&maskOf(40), 40))
		if ok {
			d.put(d.at(*e, hi>>24&255), below, true)
		}
		return ok
	}
	return d.paintFan(t, *root, first, first)
}

// paintRoots makes the roots from ≤ r < to anew.
func (d *direct6) paintRoots(t trees6, from, to uint32) bool {
	for r := from; r < to; r++ {
		hi, old := uint64(r)<<48, d.root[r]
		if !t.hasInside(hi, 16) {
			d.store(&d.root[r], d.book.of(t.short.longest(hi, 16)))
			d.release(old, false)
			continue
		}
		e := old
		if old>>30 != isFan {
			at, ok := d.alloc(fanUnits)
			if !ok {
				return false
			}
			e = entryOf(isFan, at)
			for i := range uint64(1 << 16) {
				d.store(d.at(e, i), 0)
			}
		}
		if !d.paintFan(t, e, r<<16, r<<16|0xffff) {
			return false
		}
		d.store(&d.root[r], e)
	}
	return true
}

// hasInside reports whether there is a prefix longer than length in hi/length.
func (t trees6) hasInside(hi uint64, length int) bool {
	none := t.short.walk(hi, length, func(e *entry[lookup.Index]) bool { return int(e.length) <= length })
	return !none || !t.long.walk(hi, length, func(*entry[*node[lookup.Index]]) bool { return false })
}

// put replaces an entry.
func (d *direct6) put(p *uint32, e uint32, inMid bool) {
	old := *p
	d.store(p, e)
	d.release(old, inMid)
}

// paintFan makes the entries of a fan for the /32s first to last anew, last being the end of a
// prefix that begins with first: shorter prefixes fill runs, longer ones need a part.
func (d *direct6) paintFan(t trees6, fan, first, last uint32) bool {
	hi, length := uint64(first)<<32, 32
	for n := last - first; n > 0; n /= 2 {
		length--
	}
	fill := func(from, to, e uint32) {
		for at := from; at <= to; at++ {
			d.put(d.at(fan, uint64(at&0xffff)), e, false)
			if at == 1<<32-1 {
				break
			}
		}
	}
	fill(first, last, d.book.of(t.short.longest(hi, length)))
	made := int64(-1) // the /32 whose part was made last
	part := func(at uint32) bool {
		if int64(at) == made {
			return true
		}
		made = int64(at)
		e, ok := d.part(d.bounds(t, uint64(at)<<32, 32))
		fill(at, at, e)
		return ok
	}
	return t.short.walk(hi, length, func(e *entry[lookup.Index]) bool {
		at := uint32(e.key >> 32)
		if e.length > 32 {
			return part(at)
		}
		fill(at, at|(1<<(32-e.length)-1), d.book.of(e))
		return true
	}) && t.long.walk(hi, length, func(e *entry[*node[lookup.Index]]) bool {
		return *d.at(fan, e.key>>32&0xffff)>>30 != isCode || part(uint32(e.key>>32))
	})
}

// bound says that from bits 32–47 of an address on, a code is the answer.
type bound struct{ at, code uint32 }

// bounds lists the answers inside hi/length, of 32 or 40 bits. The slice is good until
// the next call.
func (d *direct6) bounds(t trees6, hi uint64, length int) []bound {
	type open struct{ last, code uint32 }
	out := d.scratch[:0]
	emit := func(at, code uint32) {
		if n := len(out); n > 0 && out[n-1].at == at {
			out[n-1].code = code
		} else if n == 0 || out[n-1].code != code {
			out = append(out, bound{at, code})
		}
	}
	q := func(key uint64) uint32 { return uint32(key >> 16 & 0xffff) }
	var stack [34]open
	depth := 1
	stack[0] = open{q(hi | ^maskOf(length)), d.book.of(t.short.longest(hi, length))}
	emit(q(hi), stack[0].code)
	t.short.walk(hi, length, func(e *entry[lookup.Index]) bool {
		if int(e.length) <= length {
			return true
		}
		first, last, code := q(e.key), q(e.key|^maskOf(int(e.length))), uint32(deep6)
		if e.length <= 48 {
			code = d.book.of(e)
		}
		for ; stack[depth-1].last < first; depth-- {
			emit(stack[depth-1].last+1, stack[depth-2].code)
		}
		emit(first, code)
		if stack[depth-1].code == deep6 {
			return true // in the same /48
		}
		stack[depth] = open{last, code}
		depth++
		return true
	})
	for ; depth > 1; depth-- {
		if stack[depth-1].last < stack[0].last {
			emit(stack[depth-1].last+1, stack[depth-2].code)
		}
	}
	t.long.walk(hi, length, func(e *entry[*node[lookup.Index]]) bool {
		at := q(e.key)
		i := sort.Search(len(out), func(i int) bool { return out[i].at > at }) - 1
		was := out[i]
		if was.code == deep6 {
			return true
		}
		if at < stack[0].last && (i+1 == len(out) || out[i+1].at > at+1) {
			out = slices.Insert(out, i+1, bound{at + 1, was.code})
		}
		if was.at == at {
			out[i].code = deep6
		} else {
			out = slices.Insert(out, i+1, bound{at, deep6})
		}
		return true
	})
	d.scratch = out
	return out
}

// part makes what is below a fan's entry.
func (d *direct6) part(bs []bound) (e uint32, ok bool) {
	if len(bs) <= 16 {
		return d.slot(bs)
	}
	mid, ok := d.alloc(midUnits)
	if !ok {
		return 0, false
	}
	e = entryOf(isBelow, mid)
	var own [256]bound
	for b := range uint32(256) {
		n := 0
		for n+1 < len(bs) && bs[n+1].at <= b<<8 {
			n++
		}
		bs = bs[n:]
		n = 1
		for n < len(bs) && bs[n].at < (b+1)<<8 {
			n++
		}
		copy(own[:n], bs)
		own[0].at = b << 8
		below, fits := d.slot(own[:n])
		ok = ok && fits
		d.store(d.at(e, uint64(b)), below)
	}
	return e, ok
}

// slot makes a code, a leaf, or for more bounds than fit into one, which lie in one
// /40, a row.
func (d *direct6) slot(bs []bound) (e uint32, ok bool) {
	switch n := len(bs); {
	case n == 1:
		return bs[0].code, true
	case n <= 16:
		at, ok := d.alloc(leafUnits)
		if !ok {
			return 0, false
		}
		e = entryOf(isLeaf, at)
		var unit [unitWords]uint32
		for i := range uint32(16) {
			b := bs[min(int(i), n-1)]
			if int(i) >= n {
				b.at = 0xffff
			}
			if i == 0 {
				b.at = 0
			}
			unit[i/2] |= b.at << (16 * (i & 1))
			unit[8+i/2] |= b.code << (16 * (i & 1))
		}
		for i, w := range unit {
			d.store(d.at(e, uint64(i)), w)
		}
		return e, true
	}
	at, ok := d.alloc(rowUnits)
	if !ok {
		return 0, false
	}
	e = entryOf(isBelow, at)
	for i, b := range bs {
		to := uint32(256)
		if i+1 < len(bs) {
			to = bs[i+1].at & 255
		}
		fill(d.arena[at*unitWords:(at+rowUnits)*unitWords], width2, b.at&255, to, b.code)
	}
	return e, true
}
