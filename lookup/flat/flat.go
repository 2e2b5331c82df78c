package flat

import (
	"iter"
	"net/netip"
	"sync/atomic"
	"unsafe"

	"github.com/fibula-net/fibula/lookup"
)

// Engine makes compiled tables. The zero value is ready to use.
type Engine struct {
	// Direct4 is the number of IPv4 prefixes from which on a table has the direct
	// arrays, 32 MiB or more; 0 means 16,384. A table keeps them until a quarter is left.
	Direct4 int

	// Direct6 is the same of IPv6, where the arrays take 2 MiB or more; 0 means 4,096.
	Direct6 int

	// Ranges is the number of prefixes of a family up to which they are one sorted list that each
	// change makes anew; 0 means 512. Beyond, and without arrays, there is a list for each /8.
	Ranges int

	// Differ is how many prefixes, in percent, may differ between a table and the one that it shares; 0
	// means 12.
	Differ int

	// Plain leaves the vectors out of batches, and AVX2 those that are wider, to see what they are
	// worth.
	Plain, AVX2 bool
}

// isa is the set of instructions that batches use, a wider one being greater.
type isa uint8

const (
	plain isa = iota
	avx2
	avx512
)

const (
	direct4From = 16384
	direct6From = 4096
	rangesTo    = 512
	differTo    = 12
)

var _ lookup.Engine = Engine{}

// Name returns "flat", "flat-plain" or "flat-avx2".
func (e Engine) Name() string {
	switch {
	case e.Plain:
		return "flat-plain"
	case e.AVX2:
		return "flat-avx2"
	}
	return "flat"
}

// New returns an empty table.
func (e Engine) New() lookup.Table {
	if e.Direct4 == 0 {
		e.Direct4 = direct4From
	}
	if e.Direct6 == 0 {
		e.Direct6 = direct6From
	}
	if e.Ranges == 0 {
		e.Ranges = rangesTo
	}
	if e.Differ == 0 {
		e.Differ = differTo
	}
	on := best
	if e.Plain {
		on = plain
	} else if e.AVX2 {
		on = min(on, avx2)
	}
	return &Table{direct4From: e.Direct4, direct6From: e.Direct6, rangesTo: e.Ranges, differTo: e.Differ, vectors: on, none: NoMatch, none6: NoMatch}
}

// Build returns a table with all of routes. Those in ascending order load several times as fast as others.
func (e Engine) Build(routes iter.Seq2[netip.Prefix, lookup.Index]) lookup.Table {
	next := e.New().Edit()
	for p, i := range routes {
		next.Insert(p, i)
	}
	return next.Table()
}

// Table is one version. Versions share the parts of their trees in which they do not
// differ, and the compiled arrays: see direct4.
type Table struct {
	four, six                *node[lookup.Index]        // six: up to /64
	long                     *node[*node[lookup.Index]] // IPv6 beyond /64: by the first 64 bits, then by the rest
	n                        int
	direct4From, direct6From int
	rangesTo, differTo       int
	vectors                  isa // of batches

	small4, small6 *ranges  // nil: no prefixes, or more than a few
	mid4, mid6     *spread  // nil: few prefixes, or many
	direct         *direct4 // nil: few IPv4 prefixes
	version        uint32   // of direct
	direct6        *direct6 // nil: few IPv6 prefixes
	version6       uint32
	// refused4 and refused6 are how many prefixes had indexes that the arrays could not
	// take; 0: they could.
	refused4, refused6 int
	under              *Table  // what a shared table differs from (shared.go); nil: it stands alone
	diff               *Table  // and how; its own trees are empty
	over4, over6       *spread // nil: no difference
	line               uint64  // of versions that were made by single changes from one another

	// default4 is 0.0.0.0/0, which the arrays leave out: it would be all over them.
	default4 lookup.Match
	hasDef4  bool
	none     lookup.Index // default4's index, or NoMatch
	default6 lookup.Match // ::/0 likewise
	hasDef6  bool
	none6    lookup.Index
}

var _ lookup.Table = (*Table)(nil)

// Len returns the number of prefixes.
func (t *Table) Len() int { return t.n }

// Get returns the index stored under exactly p, in at most one step per byte and a
// binary search.
func (t *Table) Get(p netip.Prefix) (lookup.Index, bool) {
	if !p.IsValid() {
		return 0, false
	}
	p = p.Masked()
	if t.under != nil {
		return t.getShared(p)
	}
	hi, lo := words(p.Addr())
	if e := t.at(p.Addr().Is4(), hi, lo, p.Bits()); e != nil {
		return e.value, true
	}
	return 0, false
}

// at is the entry of exactly that prefix in the trees.
func (t *Table) at(is4 bool, hi, lo uint64, length int) *entry[lookup.Index] {
	switch {
	case is4:
		return t.four.get(hi, length)
	case length <= 64:
		return t.six.get(hi, length)
	}
	if s := t.long.get(hi, 64); s != nil {
		return s.value.get(lo, length-64)
	}
	return nil
}

// Lookup returns the longest prefix that contains dst.
func (t *Table) Lookup(dst netip.Addr) (lookup.Match, bool) {
	switch {
	case dst.Is4():
		hi, _ := words(dst)
		return t.lookup4(uint32(hi >> 32))
	case dst.Is6():
		return t.lookup6(words(dst))
	}
	return lookup.Match{}, false
}

func (t *Table) lookup4(addr uint32) (lookup.Match, bool) {
	if t.direct == nil {
		switch {
		case t.small4 != nil:
			if m := t.small4.lookup(uint64(addr) << 32); m.Bits >= 0 {
				return m, true
			}
			return lookup.Match{}, false
		case t.mid4 != nil:
			if m := t.mid4.lookup(uint64(addr) << 32); m.Bits >= 0 {
				return m, true
			}
			return t.default4, t.hasDef4
		case t.over4 != nil:
			return t.shared4(addr)
		}
		return t.walk(true, uint64(addr)<<32, 0, 32)
	}
	if m, found, sure := t.direct.lookup(addr, t.version); sure {
		if found {
			return m, true
		}
		return t.default4, t.hasDef4
	}
	return t.walk(true, uint64(addr)<<32, 0, 32)
}

func (t *Table) lookup6(hi, lo uint64) (lookup.Match, bool) {
	if t.direct6 == nil {
		if t.small6 != nil {
			if m := t.small6.lookup(hi); m.Bits >= 0 {
				return m, true
			} else if m.Bits == bitsNone {
				return lookup.Match{}, false
			}
		} else if t.mid6 != nil {
			if m := t.mid6.lookup(hi); m.Bits >= 0 {
				return m, true
			} else if m.Bits == bitsNone {
				return t.default6, t.hasDef6
			}
		} else if t.over6 != nil {
			return t.shared6(hi, lo)
		}
		return t.walk(false, hi, lo, 128)
	}
	if m, found, sure := t.direct6.lookup(hi, t.version6, t.vectors); sure {
		if found {
			return m, true
		}
		return t.default6, t.hasDef6
	}
	return t.walk(false, hi, lo, 128)
}

// walk returns the longest prefix of an address that is no longer than limit.
func (t *Table) walk(is4 bool, hi, lo uint64, limit int) (lookup.Match, bool) {
	switch {
	case t.under != nil:
		return t.walkShared(is4, hi, lo, limit)
	case is4:
		return matchOf(t.four.longest(hi, limit))
	}
	if limit > 64 && t.long != nil {
		if s := t.long.get(hi, 64); s != nil {
			if e := s.value.longest(lo, limit-64); e != nil {
				return lookup.Match{Index: e.value, Bits: int16(64 + e.length)}, true
			}
		}
	}
	return matchOf(t.six.longest(hi, min(limit, 64)))
}

func matchOf(e *entry[lookup.Index]) (lookup.Match, bool) {
	if e == nil {
		return lookup.Match{}, false
	}
	return lookup.Match{Index: e.value, Bits: int16(e.length)}, true
}

// Shorter returns the longest prefix that contains dst and is shorter than bits. It goes
// down a tree, in at most one step and one binary search per byte.
func (t *Table) Shorter(dst netip.Addr, bits int) (lookup.Match, bool) {
	if bits <= 0 || !dst.IsValid() {
		return lookup.Match{}, false
	}
	limit := min(bits-1, dst.BitLen())
	hi, lo := words(dst)
	return t.walk(dst.Is4(), hi, lo, limit)
}

// Covering yields p, if it is stored, and every stored prefix that contains it, longest
// first.
func (t *Table) Covering(p netip.Prefix) iter.Seq2[netip.Prefix, lookup.Index] {
	return func(yield func(netip.Prefix, lookup.Index) bool) {
		addr := p.Addr()
		m, ok := t.Shorter(addr, p.Bits()+1)
		for ok && yield(m.Prefix(addr), m.Index) {
			m, ok = t.Shorter(addr, int(m.Bits))
		}
	}
}

// Covered yields p, if it is stored, and every stored prefix inside it, in order. Beyond
// what it yields it costs a step per byte.
func (t *Table) Covered(p netip.Prefix) iter.Seq2[netip.Prefix, lookup.Index] {
	return func(yield func(netip.Prefix, lookup.Index) bool) {
		if !p.IsValid() {
			return
		}
		p := p.Masked()
		if t.under != nil {
			t.coveredShared(p, yield)
			return
		}
		hi, lo := words(p.Addr())
		if p.Addr().Is4() {
			t.four.walk(hi, p.Bits(), func(e *entry[lookup.Index]) bool {
				return yield(prefixOf(true, e.key, 0, int(e.length)), e.value)
			})
			return
		}
		t.covered6(hi, lo, p.Bits(), yield)
	}
}

// covered6 merges the two trees: what is longer than 64 bits comes after the prefixes
// that begin where it does, and before those that begin later.
func (t *Table) covered6(hi, lo uint64, length int, yield func(netip.Prefix, lookup.Index) bool) bool {
	if length > 64 {
		s := t.long.get(hi, 64)
		return s == nil || s.value.walk(lo, length-64, func(e *entry[lookup.Index]) bool {
			return yield(prefixOf(false, hi, e.key, 64+int(e.length)), e.value)
		})
	}
	short := func(e *entry[lookup.Index]) bool {
		return yield(prefixOf(false, e.key, 0, int(e.length)), e.value)
	}
	at, from, done := hi, length, false // where the short ones go on
	upTo := func(key uint64) bool {
		if done {
			return true
		}
		ok := t.six.between(at, from, key, short)
		at, from, done = key+1, 0, key == 1<<64-1
		return ok
	}
	return t.long.walk(hi, length, func(s *entry[*node[lookup.Index]]) bool {
		return upTo(s.key) && s.value.walk(0, 0, func(e *entry[lookup.Index]) bool {
			return yield(prefixOf(false, s.key, e.key, 64+int(e.length)), e.value)
		})
	}) && upTo(hi|^maskOf(length))
}

// All yields every prefix in order.
func (t *Table) All() iter.Seq2[netip.Prefix, lookup.Index] {
	return func(yield func(netip.Prefix, lookup.Index) bool) {
		if t.under != nil {
			_ = t.coveredShared(all4, yield) && t.coveredShared(all6, yield)
			return
		}
		_ = t.four.walk(0, 0, func(e *entry[lookup.Index]) bool {
			return yield(prefixOf(true, e.key, 0, int(e.length)), e.value)
		}) && t.covered6(0, 0, 0, yield)
	}
}

// Edit starts a next version at no cost; the first change pays.
func (t *Table) Edit() lookup.Editor {
	e := t.edit()
	e.runs = t.under == nil
	return e
}

func (t *Table) edit() *Editor {
	e := &Editor{next: *t, epoch: epochs.Add(1)}
	if t.under != nil {
		e.diff = t.diff.edit()
		e.next.diff = &e.diff.next
	}
	return e
}

// epochs numbers the stretches of work between an editor's start or publication and the
// next one. A node that carries the number of the running stretch was made in it, and is
// seen by nobody else.
var epochs atomic.Uint64

// ArrayBytes is the memory of what was compiled from the trees: all that Lookup and the
// batches read of a table of many prefixes. The trees hold the routes themselves. Of a shared
// table it is what it has for itself.
func (t *Table) ArrayBytes() uint64 {
	n := 0
	if d := t.direct; d != nil && t.under == nil {
		c := d.cells.Load()
		n += int(unsafe.Sizeof(*d)) + 4*len(d.codes) + int(unsafe.Sizeof(*d.lengths)) + len(c.slots)*4 + len(c.cells)*int(unsafe.Sizeof(cell4{}))
		if d.width > width1 {
			n += 4 * len(d.book.indexes)
		}
		n += 4 * len(d.book.users)
	}
	if d := t.direct6; d != nil && t.under == nil {
		n += int(unsafe.Sizeof(*d)) + 4*len(d.arena)
	}
	for _, r := range [...]*ranges{t.small4, t.small6} {
		if r != nil && t.under == nil {
			n += r.bytes()
		}
	}
	for _, s := range [...]*spread{t.mid4, t.mid6, t.over4, t.over6} {
		if s != nil {
			n += s.bytes()
		}
	}
	return uint64(n)
}
