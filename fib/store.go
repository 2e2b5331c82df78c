package fib

import (
	"encoding/binary"
	"net/netip"
)

// alias is one route as stored under a prefix: all of it but the prefix and the
// table, interned and immutable. A million routes that differ only in prefix
// share one.
type alias struct {
	id       uint32
	fam      Family // what happens to links changes aliases of one family only
	typ      RouteType
	scope    Scope
	protocol Protocol
	tos      uint8
	pref     RouterPref
	guessed  bool // loaded without the scope of its gateways, which is taken to be link (B30)
	flags    RouteFlags
	priority uint32
	// learned: the kernel entered it from a router advertisement, so that it is no
	// leg of a multipath route (D3). A request of protocol ra is not.
	learned bool
	prefSrc netip.Addr
	expires uint32
	nhid    uint32
	table   TableID  // of object routes only: it decides whose metrics they inherit (B7)
	metrics *Metrics // nil: none
	// legs are the route's own nexthops in order; an IPv6 alias has one (a
	// multipath route is several aliases), a reject route none. With nhid the
	// object's legs count instead (B13a).
	legs []Nexthop
	// bounds are the upper ends of the legs' hash ranges (B20), -1: excluded.
	// Only routes with several legs have them.
	bounds []int32
}

// ecmpAble reports whether an IPv6 alias joins others of its metric to a
// multipath route (D3).
func (a *alias) ecmpAble() bool {
	return a.nhid == 0 && len(a.legs) == 1 && a.legs[0].Gateway.IsValid() && !a.learned
}

// leaf is the ordered list of the aliases of one prefix in one table, interned:
// what a table's index names.
type leaf struct {
	plain []*alias
	// bySrc are the IPv6 source-specific lists, longest source prefix first (D8).
	bySrc []srcList
	lost  lostness
	born  uint32 // counts what was stored; an index with the same has been in use all the time
}

type srcList struct {
	src  netip.Prefix
	list []*alias
}

// Leaves live in pages, so that a snapshot holds on to them by one slice and a
// transaction copies only the pages that it changes.
const leafPageSize = 256

type leafPage struct {
	epoch  uint64 // of the transaction that owns it
	leaves [leafPageSize]*leaf
	ready  [leafPageSize]*ready // nil: none, see ready
	cards  [leafPageSize]card   // of ready
}

type leafPages []*leafPage

func (p leafPages) at(i uint32) *leaf { return p[i/leafPageSize].leaves[i%leafPageSize] }

// intern is the writer's side of aliases and leaves: by content to identity, with
// reference counts. Only the holder of the FIB's write lock uses it; the aliases that
// it names are immutable and shared with snapshots.
type intern struct {
	aliases   map[string]*aliasRec
	aliasRecs []*aliasRec // by id
	freeAlias []uint32
	leafIDs   map[string]uint32
	leafRefs  []uint32
	freeLeaf  []uint32
	buf       []byte
	epoch     uint64
	listed    uint64 // the epoch of the transaction that owns the list of pages
	scratch   scratch
	births    uint32   // leaves stored so far
	fresh     []uint32 // leaves set by the running transaction
	realms    int      // leaves in use that hold a leg with a realm
	lost      int      // leaves in use that are, or may be, lost (D8)
	lendable  int      // aliases that others may inherit metrics from
	like      *likenesses
	likely    uint64 // see Txn
}

type aliasRec struct {
	*alias
	key    string
	refs   uint32 // leaves that hold it
	single uint32 // 1 + the leaf with it alone; 0: not known
}

func newIntern() *intern {
	return &intern{aliases: map[string]*aliasRec{}, leafIDs: map[string]uint32{}}
}

func appendAddr(b []byte, a netip.Addr) []byte {
	switch {
	case a.Is4():
		x := a.As4()
		return append(append(b, 4), x[:]...)
	case a.Is6():
		x := a.As16()
		return append(append(b, 6), x[:]...)
	}
	return append(b, 0)
}

func appendString(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(s))), s...)
}

// appendKey writes all of a but its id, unambiguously.
func (a *alias) appendKey(b []byte) []byte {
	le := binary.LittleEndian
	b = append(b, byte(a.fam), byte(a.typ), byte(a.scope), byte(a.protocol), a.tos, byte(a.pref))
	if a.learned {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	b = le.AppendUint32(b, uint32(a.flags))
	b = le.AppendUint32(b, a.priority)
	b = le.AppendUint32(b, a.expires)
	b = le.AppendUint32(b, a.nhid)
	b = le.AppendUint32(b, uint32(a.table))
	b = appendAddr(b, a.prefSrc)
	if a.metrics == nil {
		b = append(b, 0)
	} else {
		b = append(b, 1)
		for _, v := range a.metrics.Values {
			b = le.AppendUint32(b, v)
		}
		b = appendString(b, a.metrics.CongCtl)
	}
	if a.guessed {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	b = le.AppendUint32(b, uint32(len(a.legs)))
	for i := range a.legs {
		n := &a.legs[i]
		b = le.AppendUint32(b, uint32(n.Link))
		b = le.AppendUint16(b, n.Weight)
		b = append(b, byte(n.Flags), byte(n.Scope))
		if n.ScopeSet {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
		b = le.AppendUint32(b, n.Realms)
		b = appendAddr(b, n.Gateway)
		b = le.AppendUint16(b, n.Encap.Type)
		b = appendString(b, n.Encap.Data)
	}
	for _, v := range a.bounds {
		b = le.AppendUint32(b, uint32(v))
	}
	return b
}

// alias returns the one stored alias equal to a, which it copies if it is new.
func (in *intern) alias(a *alias) *aliasRec {
	in.buf = a.appendKey(in.buf[:0])
	if r, ok := in.aliases[string(in.buf)]; ok {
		return r
	}
	c := *a
	c.legs = append([]Nexthop(nil), a.legs...)
	c.bounds = append([]int32(nil), a.bounds...)
	if a.metrics != nil {
		m := *a.metrics
		c.metrics = &m
	}
	r := &aliasRec{alias: &c, key: string(in.buf)}
	if n := len(in.freeAlias); n > 0 {
		c.id, in.freeAlias = in.freeAlias[n-1], in.freeAlias[:n-1]
		in.aliasRecs[c.id] = r
	} else {
		c.id = uint32(len(in.aliasRecs))
		in.aliasRecs = append(in.aliasRecs, r)
	}
	in.aliases[r.key] = r
	if c.lendsMetrics() {
		in.lendable++
	}
	return r
}

// lendsMetrics reports whether aliases with the same object may get a's metrics (B7).
func (a *alias) lendsMetrics() bool { return a.nhid != 0 && a.metrics != nil }

// ref changes the references to leaf i, and with them what is in use.
func (in *intern) ref(pages leafPages, i uint32, delta int32) {
	before := in.leafRefs[i]
	after := before + uint32(delta)
	in.leafRefs[i] = after
	if (before == 0) == (after == 0) {
		return
	}
	used := 1
	if after == 0 {
		used = -1
	}
	l := pages.at(i)
	if l.hasRealms() {
		in.realms += used
	}
	if l.isLost() {
		in.lost += used
	}
}

func (l *leaf) hasRealms() bool {
	for _, a := range l.plain { // IPv6 routes have none
		for i := range a.legs {
			if a.legs[i].Realms != 0 {
				return true
			}
		}
	}
	return false
}

func (l *leaf) appendKey(b []byte) []byte {
	le := binary.LittleEndian
	for _, a := range l.plain {
		b = le.AppendUint32(b, a.id)
	}
	if l.lost != lostNever {
		b = le.AppendUint32(b, ^uint32(l.lost))
	}
	for _, s := range l.bySrc {
		b = le.AppendUint32(b, ^uint32(0))
		b = append(appendAddr(b, s.src.Addr()), byte(s.src.Bits()))
		for _, a := range s.list {
			b = le.AppendUint32(b, a.id)
		}
	}
	return b
}

func (l *leaf) empty() bool { return len(l.plain) == 0 && len(l.bySrc) == 0 }

func (l *leaf) each(f func(*alias)) {
	for _, a := range l.plain {
		f(a)
	}
	for _, s := range l.bySrc {
		for _, a := range s.list {
			f(a)
		}
	}
}

// list returns the aliases under source prefix src (zero: the plain ones).
func (l *leaf) list(src netip.Prefix) []*alias {
	if !src.IsValid() {
		return l.plain
	}
	for i := range l.bySrc {
		if l.bySrc[i].src == src {
			return l.bySrc[i].list
		}
	}
	return nil
}

// with returns a leaf that has list under src and is otherwise l. It is not lost:
// an added route mends that (D8).
func (l *leaf) with(src netip.Prefix, list []*alias) *leaf {
	if !src.IsValid() {
		return &leaf{plain: list, bySrc: l.bySrc}
	}
	n := &leaf{plain: l.plain}
	put := len(list) == 0
	for _, s := range l.bySrc {
		if s.src == src {
			continue
		}
		if !put && (s.src.Bits() < src.Bits() || s.src.Bits() == src.Bits() && src.Addr().Less(s.src.Addr())) {
			n.bySrc = append(n.bySrc, srcList{src, list})
			put = true
		}
		n.bySrc = append(n.bySrc, s)
	}
	if !put {
		n.bySrc = append(n.bySrc, srcList{src, list})
	}
	return n
}

// leaf returns the index of the one stored leaf equal to l, storing l if it is
// new. The caller gives l away. References are counted apart: retain, release.
func (in *intern) leaf(pages *leafPages, l *leaf) uint32 {
	if len(l.plain) == 1 && len(l.bySrc) == 0 {
		if r := in.aliasRecs[l.plain[0].id]; r.single != 0 {
			return r.single - 1
		}
	}
	in.buf = l.appendKey(in.buf[:0])
	if i, ok := in.leafIDs[string(in.buf)]; ok {
		return i
	}
	var i uint32
	if n := len(in.freeLeaf); n > 0 {
		i, in.freeLeaf = in.freeLeaf[n-1], in.freeLeaf[:n-1]
	} else {
		i = uint32(len(in.leafRefs))
		in.leafRefs = append(in.leafRefs, 0)
	}
	in.leafIDs[string(in.buf)] = i
	in.births++
	l.born = in.births
	l.each(func(a *alias) { in.aliasRecs[a.id].refs++ })
	if len(l.plain) == 1 && len(l.bySrc) == 0 {
		in.aliasRecs[l.plain[0].id].single = i + 1
	}
	in.setLeaf(pages, i, l)
	return i
}

func (in *intern) setLeaf(pages *leafPages, i uint32, l *leaf) {
	k := int(i / leafPageSize)
	in.ownList(pages)
	for len(*pages) <= k {
		*pages = append(*pages, &leafPage{epoch: in.epoch})
	}
	pg := in.ownPage(pages, k)
	pg.leaves[i%leafPageSize], pg.ready[i%leafPageSize], pg.cards[i%leafPageSize] = l, nil, card{}
	in.fresh = append(in.fresh, i)
}

// ownPage returns page k, copied if the transaction does not own it yet.
func (in *intern) ownPage(pages *leafPages, k int) *leafPage {
	in.ownList(pages)
	pg := (*pages)[k]
	if pg.epoch != in.epoch {
		c := *pg
		c.epoch, pg = in.epoch, &c
		(*pages)[k] = pg
	}
	return pg
}

// ownList makes the list of pages the transaction's own, not the pages.
func (in *intern) ownList(pages *leafPages) {
	if in.listed != in.epoch {
		*pages, in.listed = append(leafPages(nil), *pages...), in.epoch
	}
}

// free drops leaf i, which nobody references.
func (in *intern) free(pages *leafPages, i uint32) {
	l := pages.at(i)
	in.buf = l.appendKey(in.buf[:0])
	delete(in.leafIDs, string(in.buf))
	l.each(func(a *alias) {
		r := in.aliasRecs[a.id]
		if r.single == i+1 {
			r.single = 0
		}
		r.refs--
		in.unused(a)
	})
	in.setLeaf(pages, i, nil)
	in.freeLeaf = append(in.freeLeaf, i)
}

// unused drops an interned alias if no leaf holds it.
func (in *intern) unused(a *alias) {
	r := in.aliasRecs[a.id]
	if r == nil || r.refs != 0 {
		return
	}
	// After a swap two records may have one key; only one of them is found by it.
	if in.aliases[r.key] == r {
		delete(in.aliases, r.key)
	}
	if r.lendsMetrics() {
		in.lendable--
	}
	in.aliasRecs[a.id] = nil
	in.freeAlias = append(in.freeAlias, a.id)
}
