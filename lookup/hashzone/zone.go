package hashzone

import (
	"math/bits"
	"math/rand/v2"
	"slices"
)

// A zone is an extendible hash table (Fagin et al., ACM TODS 4(3), 1979): the top bits
// of a key's hash select, through a directory, the only page that can hold the key.
//
//	depth 2   directory 00 01 10 11     page A holds all hashes 0…, page B 10…, page C 11…
//	                     A  A  B  C     a full A splits in two; a full B doubles the directory
//
// Within a page the hash names one of the groups. A key is in this group, or where that
// was full, in the next one with room; so a search ends at the first group that is not
// full. A group of short keys is one cache line: a probe costs that line, and the
// directory entry before it.
//
// The directory has two levels, so that a change need not copy all of it: at half a
// million prefixes it copies 2 KB of each level, and the page.
//
// Tried on the full table, IPv4, addresses inside random prefixes (trie: 160–190 ns):
// 32 to 128 slots with tags apart from the keys, 280 ns, as a hit waits for two lines;
// groups as they are, 17 of them 220–240 ns, 35 170–230 ns, 63 and 127 no better. The
// directory of 35 fits the second-level cache. A zone of one prefix pays for it with
// 2.3 KB: to be looked at again where thousands of tables hold a few routes each.
const (
	groupSize   = 5
	groupFull   = 1<<groupSize - 1
	groups      = 35 // with 64 bytes in front this fills an allocation of 2304 bytes
	pageLoad    = groups * groupSize * 5 / 6
	segmentBits = 8 // log2 of the pages in one lower part of the directory
)

type group[K key, V comparable] struct {
	keys   [groupSize]K
	values [groupSize]V
	used   uint32 // a bit for each slot
}

// page, like zone, is changed in place by the editor whose epoch it carries, and by
// nobody else. It holds no pointers, so that the garbage collector passes over it.
type page[K key, V comparable] struct {
	epoch  uint64
	depth  uint // number of hash bits that all keys here have in common
	n      int
	_      [5]uint64 // puts groups on cache lines
	groups [groups]group[K, V]
}

type zone[K key, V comparable] struct {
	epoch     uint64
	secret    uint64
	depth     uint            // log2 of the length of the directory
	directory [][]*page[K, V] // in segments of 1<<segmentBits pages; a lone one may be shorter
	epochs    []uint64        // of the segments
	n         int
	pages     int
}

// get returns the value of k. The zone may be nil.
func (z *zone[K, V]) get(k K) (value V, ok bool) {
	if z == nil {
		return value, false
	}
	h := k.hash(z.secret)
	p := z.page(h)
	if g, i := p.find(h, k); g != nil {
		return g.values[i], true
	}
	return value, false
}

// page returns the page where keys of hash h are.
func (z *zone[K, V]) page(h uint64) *page[K, V] {
	at := h >> (64 - z.depth)
	return z.directory[at>>segmentBits][at&(1<<segmentBits-1)]
}

// home returns the first group for a hash, by bits that the directory does not use.
func home(h uint64) uint { return uint(h>>24&0xffff) * groups >> 16 }

func next(g uint) uint {
	if g++; g < groups {
		return g
	}
	return 0
}

// find returns the slot of k, whose hash is h, or nil.
func (p *page[K, V]) find(h uint64, k K) (*group[K, V], int) {
	for at := home(h); ; at = next(at) {
		g := &p.groups[at]
		for i := range g.keys {
			if g.keys[i] == k && g.used>>i&1 != 0 {
				return g, i
			}
		}
		if g.used != groupFull { // there is always one, as pages are never full
			return nil, 0
		}
	}
}

// add enters a key that is not there yet into a page that has room.
func (p *page[K, V]) add(h uint64, k K, v V) {
	at := home(h)
	for p.groups[at].used == groupFull {
		at = next(at)
	}
	g := &p.groups[at]
	i := bits.TrailingZeros32(^g.used)
	g.keys[i], g.values[i] = k, v
	g.used |= 1 << i
	p.n++
}

// remove takes out a key that is there.
func (p *page[K, V]) remove(k K, secret uint64) {
	g, i := p.find(k.hash(secret), k)
	full := g.used == groupFull
	g.used &^= 1 << i
	p.n--
	if !full {
		return
	}
	// Keys may have gone past the full group, where a search would now stop short of
	// them. Entering all of the page again is simple, and seldom needed.
	fresh := page[K, V]{epoch: p.epoch, depth: p.depth}
	for k, v := range p.all {
		fresh.add(k.hash(secret), k, v)
	}
	*p = fresh
}

// set changes the value of a key that is there.
func (p *page[K, V]) set(h uint64, k K, v V) {
	g, i := p.find(h, k)
	g.values[i] = v
}

// all yields every key with its value, in no order.
func (p *page[K, V]) all(yield func(K, V) bool) {
	for at := range p.groups {
		g := &p.groups[at]
		for used := g.used; used != 0; used &= used - 1 {
			if i := bits.TrailingZeros32(used); !yield(g.keys[i], g.values[i]) {
				return
			}
		}
	}
}

// newZone returns an empty zone of one page, with a hash of its own.
func newZone[K key, V comparable](epoch uint64) *zone[K, V] {
	return &zone[K, V]{
		epoch: epoch, secret: rand.Uint64(), pages: 1,
		directory: [][]*page[K, V]{{{epoch: epoch}}}, epochs: []uint64{epoch},
	}
}

// own returns a zone that the editor of this epoch may change: z itself, a copy, or a
// new one for nil. The copy shares segments and pages.
func (z *zone[K, V]) own(epoch uint64) *zone[K, V] {
	switch {
	case z == nil:
		return newZone[K, V](epoch)
	case z.epoch == epoch:
		return z
	}
	owned := *z
	owned.epoch = epoch
	owned.directory, owned.epochs = slices.Clone(z.directory), slices.Clone(z.epochs)
	return &owned
}

// put sets the value of k in a zone that is owned, and returns the one it had.
func (z *zone[K, V]) put(k K, v V) (old V, replaced bool) {
	for {
		h := k.hash(z.secret)
		p := z.page(h)
		if g, i := p.find(h, k); g != nil {
			if old = g.values[i]; old != v {
				z.ownPage(p, h).set(h, k, v)
			}
			return old, true
		}
		if p.n < pageLoad {
			z.ownPage(p, h).add(h, k, v)
			z.n++
			return old, false
		}
		z.split(p, h)
	}
}

// delete removes k from a zone that is owned, and returns the value it had.
func (z *zone[K, V]) delete(k K) (old V, existed bool) {
	h := k.hash(z.secret)
	p := z.page(h)
	g, i := p.find(h, k)
	if g == nil {
		return old, false
	}
	old = g.values[i]
	z.ownPage(p, h).remove(k, z.secret)
	z.n--
	// Pages do not merge. A zone that has become sparse is built anew, which the
	// deletions that made it so have paid for.
	if z.pages > 4 && z.n < z.pages*pageLoad/8 {
		z.rebuild()
	}
	return old, true
}

// set enters p in the directory for all hashes that begin like h, to the depth of p.
func (z *zone[K, V]) set(p *page[K, V], h uint64) {
	length := uint64(1) << (z.depth - p.depth)
	first := h >> (64 - z.depth) &^ (length - 1)
	for at := first; at < first+length; at++ {
		s := at >> segmentBits
		if z.epochs[s] != z.epoch {
			z.directory[s] = slices.Clone(z.directory[s])
			z.epochs[s] = z.epoch
		}
		z.directory[s][at&(1<<segmentBits-1)] = p
	}
}

// ownPage returns p, or a copy that has taken its place, for the editor to change.
func (z *zone[K, V]) ownPage(p *page[K, V], h uint64) *page[K, V] {
	if p.epoch != z.epoch {
		owned := *p
		owned.epoch = z.epoch
		z.set(&owned, h)
		p = &owned
	}
	return p
}

// split distributes a full page, where keys of hash h are, over two.
func (z *zone[K, V]) split(p *page[K, V], h uint64) {
	if p.depth == z.depth {
		// With a hash that spreads well the directory stays below 16 entries per full
		// page. One far beyond met a hash that does not: take another.
		if 1<<z.depth > 256*(z.n/pageLoad+1) {
			z.rebuild()
			return
		}
		z.double()
	}
	var half [2]*page[K, V]
	for side := range half {
		half[side] = &page[K, V]{epoch: z.epoch, depth: p.depth + 1}
	}
	for k, v := range p.all {
		hash := k.hash(z.secret)
		half[hash>>(63-p.depth)&1].add(hash, k, v)
	}
	bit := uint64(1) << (63 - p.depth)
	z.set(half[0], h&^bit)
	z.set(half[1], h|bit)
	z.pages++
}

// double doubles the directory; each page is then entered twice as often.
func (z *zone[K, V]) double() {
	all := make([]*page[K, V], 0, 2<<z.depth)
	for _, segment := range z.directory {
		for _, p := range segment {
			all = append(all, p, p)
		}
	}
	z.depth++
	z.directory = slices.Collect(slices.Chunk(all, 1<<segmentBits))
	for s, segment := range z.directory {
		z.directory[s] = slices.Clone(segment) // else one segment in use would keep all
	}
	z.epochs = slices.Repeat([]uint64{z.epoch}, len(z.directory))
}

// rebuild makes the zone anew, with another hash.
func (z *zone[K, V]) rebuild() {
	fresh := newZone[K, V](z.epoch)
	for k, v := range z.all {
		fresh.put(k, v)
	}
	*z = *fresh
}

// all yields every key with its value, in no order. The zone may be nil.
func (z *zone[K, V]) all(yield func(K, V) bool) {
	if z == nil {
		return
	}
	var last *page[K, V]
	for _, segment := range z.directory {
		for _, p := range segment {
			if p == last {
				continue // entries of one page are neighbours
			}
			last = p
			for k, v := range p.all {
				if !yield(k, v) {
					return
				}
			}
		}
	}
}
