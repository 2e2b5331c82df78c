package flat

import (
	"iter"
	"net/netip"

	"github.com/fibula-net/fibula/lookup"
)

// A shared table differs little from another, as one of many VRFs does that all have the full
// table. It consists of that one, which stays as it is for ever and is used by any number of tables,
// and of the differences: a small table of what is other or gone. Lists of ranges compiled
// from them, one for each /8, say for which addresses the answer is another one.
//
// Changes only add to the differences. A table that has too many stands alone again, and one where so much has to be
// told apart in a /8 that each change there would be slow.

// gone in the table of differences is what the other table alone has.
const gone = NoMatch

var (
	all4 = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	all6 = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
)

func (t *Table) getShared(p netip.Prefix) (lookup.Index, bool) {
	i, ok := t.diff.Get(p)
	switch {
	case !ok:
		return t.under.Get(p)
	case i == gone:
		return 0, false
	}
	return i, true
}

func (t *Table) shared4(addr uint32) (lookup.Match, bool) {
	m := t.over4.at(uint64(addr) << 32)
	if m.Bits == bitsSame {
		m, _ = t.under.lookup4(addr)
	}
	if m.Bits <= 0 { // of the table below even its default route does not count
		return t.default4, t.hasDef4
	}
	return m, true
}

func (t *Table) shared6(hi, lo uint64) (lookup.Match, bool) {
	m := t.over6.at(hi)
	switch m.Bits {
	case bitsDeep:
		return t.walk(false, hi, lo, 128)
	case bitsSame:
		m, _ = t.under.lookup6(hi, lo)
	}
	if m.Bits <= 0 {
		return t.default6, t.hasDef6
	}
	return m, true
}

func (t *Table) walkShared(is4 bool, hi, lo uint64, limit int) (lookup.Match, bool) {
	for {
		below, ok := t.under.walk(is4, hi, lo, limit)
		m, other := t.diff.walk(is4, hi, lo, limit)
		switch {
		case !other || ok && below.Bits > m.Bits:
			return below, ok
		case m.Index != gone:
			return m, true
		case m.Bits == 0:
			return lookup.Match{}, false
		}
		limit = int(m.Bits) - 1
	}
}

// coveredShared merges what is below with the differences.
func (t *Table) coveredShared(p netip.Prefix, yield func(netip.Prefix, lookup.Index) bool) bool {
	next, stop := iter.Pull2(t.diff.Covered(p))
	defer stop()
	at, i, more := next()
	upTo := func(q netip.Prefix) bool { // the differences before q
		for ; more && before(at, q); at, i, more = next() {
			if i != gone && !yield(at, i) {
				return false
			}
		}
		return true
	}
	for q, j := range t.under.Covered(p) {
		if !upTo(q) {
			return false
		}
		if more && at == q {
			continue // in its turn
		}
		if !yield(q, j) {
			return false
		}
	}
	for ; more; at, i, more = next() {
		if i != gone && !yield(at, i) {
			return false
		}
	}
	return true
}

// before is the order of [Table.All].
func before(p, q netip.Prefix) bool {
	if c := p.Addr().Compare(q.Addr()); c != 0 {
		return c < 0
	}
	return p.Bits() < q.Bits()
}

// at is lookup of lists of differences, of which nil is none. Most addresses are in blocks that have none.
func (s *spread) at(key uint64) lookup.Match {
	if r := s[key>>(64-spreadBits)]; r != nil {
		if b := key >> blockShift & 4095; r.differs[b>>6]>>(b&63)&1 != 0 {
			return r.lookup(key)
		}
	}
	return lookup.Match{Bits: bitsSame}
}

// blockShift is that of the blocks of a /8.
const blockShift = 64 - spreadBits - 12

// crowded is from how many ranges on a part of the differences costs a change too much.
const crowded = 4096

func (s *spread) crowded() bool {
	if s == nil {
		return false
	}
	for _, r := range s {
		if r != nil && len(r.answers) > crowded {
			return true
		}
	}
	return false
}

// markDifferences makes the set of the blocks in which anything is not the same.
func (r *ranges) markDifferences() {
	r.differs = new(blockSet)
	for i, m := range r.answers {
		if m.Bits == bitsSame {
			continue
		}
		last := uint64(4095)
		if i+1 < len(r.answers) {
			last = (r.starts[i+1] - 1) >> blockShift & 4095
		}
		for b := r.starts[i] >> blockShift & 4095; b <= last; b++ {
			r.differs[b>>6] |= 1 << (b & 63)
		}
	}
}

// over returns the lists of the differences of a family, of which set has changed since s; nil is
// no lists yet.
func (t *Table) over(is4 bool, s *spread, set *parts) *spread {
	if d := t.diff.trees(is4); d.short == nil && d.long == nil {
		return nil
	}
	if s == nil {
		s, set = &spread{}, allParts()
	}
	s = s.remade(set, func(r *ranges, key uint64) bool {
		r.fillOver(t, is4, key)
		return len(r.starts) > 1 || r.answers[0].Bits != bitsSame
	})
	for _, r := range s {
		if r != nil && r.differs == nil {
			r.markDifferences()
		}
	}
	return s
}

func (t *Table) trees(is4 bool) trees6 {
	if is4 {
		return trees6{short: t.four}
	}
	return t.trees6()
}

// fillOver makes r the differences of a shared table in a part: the answer where the longest match,
// here or below, is a prefix that differs.
func (r *ranges) fillOver(t *Table, is4 bool, key uint64) {
	under, diff := t.under.trees(is4), t.diff.trees(is4)
	last := key | ^maskOf(spreadBits)
	answer := func(key uint64, length int) lookup.Match {
		if m, ok := t.walk(is4, key, 0, length); ok && m.Bits > 0 {
			return m
		}
		return lookup.Match{Bits: bitsNone}
	}
	same := lookup.Match{Bits: bitsSame}
	outer := same
	if m, ok := t.diff.walk(is4, key, 0, spreadBits-1); ok && m.Bits > 0 {
		if below, ok := t.under.walk(is4, key, 0, spreadBits-1); !ok || below.Bits <= m.Bits {
			outer = answer(key, spreadBits-1)
		}
	}
	var differing []entry[lookup.Index]
	diff.short.walk(key, spreadBits, func(e *entry[lookup.Index]) bool {
		differing = append(differing, *e)
		return true
	})
	var deep []uint64
	diff.long.walk(key, spreadBits, func(e *entry[*node[lookup.Index]]) bool {
		deep = append(deep, e.key)
		return true
	})
	s := r.sweep(key, outer)
	next := func() { // opens the first that differs
		e := differing[0]
		differing = differing[1:]
		m := lookup.Match{Index: e.value, Bits: int16(e.length)}
		if e.value == gone {
			m = answer(e.key, int(e.length))
		}
		s.open(e.key, int(e.length), m)
	}
	// Inside of what differs, what does not is a hole.
	inside := func(key uint64, length int) {
		under.short.walk(key, length, func(e *entry[lookup.Index]) bool {
			for len(differing) > 0 && differing[0].before(e) {
				next()
			}
			if len(differing) > 0 && !e.before(&differing[0]) {
				next() // the same prefix
			} else {
				s.open(e.key, int(e.length), same)
			}
			return true
		})
		for end := key | ^maskOf(length); len(differing) > 0 && differing[0].key <= end; {
			next()
		}
		under.long.walk(key, length, func(e *entry[*node[lookup.Index]]) bool {
			deep = append(deep, e.key)
			return true
		})
	}
	if outer != same {
		inside(key, spreadBits)
	}
	for len(differing) > 0 {
		inside(differing[0].key, int(differing[0].length))
	}
	s.closeBefore(last)
	for _, key := range deep {
		r.deepen(key, last)
	}
}

func (e *entry[V]) before(o *entry[V]) bool {
	return e.key < o.key || e.key == o.key && e.length < o.length
}
