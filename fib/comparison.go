package fib

import (
	"bytes"
	"cmp"
	"iter"
	"net/netip"
	"slices"
)

// Comparison compares the routes of one family with those of a dump, as the dump
// comes. It holds neither: routes pass by in the order of the dump, beside those of a
// snapshot in the same order, at a fraction of a microsecond each.
//
// It compares all that a dump shows, the order of aliases and of legs included, but for
// what hardware does and how much of a lifetime is left. It is not safe for concurrent use.
type Comparison struct {
	s      *Snapshot
	fam    Family
	differ func(k tableKey, p netip.Prefix, ours *leaf, theirs []Route)
	tables map[TableID]*comparedTable
	last   *comparedTable
	shown  [][]byte // by leaf, as far as it was needed
	routes int
	kinds  map[uint64]*comparedKind
	kind   *comparedKind // the last one that came; nil: none
}

// comparedKind is a kind of route that was the only one of a prefix, and like what leaf has.
type comparedKind struct {
	kind  uint64
	t     *comparedTable
	leaf  uint32
	route Route
}

// Difference is a prefix of which two sides have different routes.
type Difference struct {
	TablePrefix
	Ours, Theirs []Route // as a dump shows them, none: the side has no route there
}

// Compare begins a comparison of the snapshot's routes of a family with a dump.
// differ is told of each prefix that differs; the routes are its own.
func (s *Snapshot) Compare(f Family, differ func(Difference)) *Comparison {
	return newComparison(s, f, func(k tableKey, p netip.Prefix, ours *leaf, theirs []Route) {
		d := Difference{TablePrefix: TablePrefix{k.id, p}, Ours: s.leafRoutes(k, p, ours)}
		for i := range theirs {
			c := theirs[i]
			c.Nexthops = slices.Clone(c.Nexthops)
			d.Theirs = append(d.Theirs, c)
		}
		differ(d)
	})
}

func newComparison(s *Snapshot, f Family, differ func(tableKey, netip.Prefix, *leaf, []Route)) *Comparison {
	return &Comparison{s: s, fam: f, differ: differ, tables: map[TableID]*comparedTable{}}
}

// leafRoutes are the routes of one prefix.
func (s *Snapshot) leafRoutes(k tableKey, p netip.Prefix, l *leaf) (out []Route) {
	if l == nil {
		return nil
	}
	t := &table{id: k.id, fam: k.fam}
	s.yieldLeaf(t, p, l, asDumped, nil, func(r *Route) bool { out = append(out, *r); return true })
	return out
}

// comparedTable is a table on the way through a dump.
type comparedTable struct {
	c    *Comparison
	k    tableKey
	next func() ([]entry, bool) // some of ours
	stop func()
	rest []entry // of those, what comes after ours
	ours entry
	more bool // ours is valid

	at     netip.Prefix // of the routes that were collected last
	began  bool
	passed *comparedKind // the route under at, which is settled and was not shown; nil: it is not so
	kind   uint64        // of the first route
	routes []Route       // under at
	shown  []byte
	// The routes with a source prefix come apart from the others of their destination.
	bySrc map[netip.Prefix][]Route
	told  map[netip.Prefix][]Route // those of bySrc that were told of, in case the dump goes back
	apart []entry                  // ours that have such, and no plain route to meet
}

// Route takes the next route of the dump. It is not kept.
//
// A dump that was taken while its table changed can go back; such a prefix counts as
// one that differs, once more if it did before.
func (c *Comparison) Route(r *Route) { c.RouteOf(0, r) }

// RouteOf is Route for one of a kind: routes of the same kind, which is not 0, differ in their destination
// only. It lets [Comparison.Same] compare those that follow.
func (c *Comparison) RouteOf(kind uint64, r *Route) {
	t := c.last
	if t == nil || t.k.id != r.Table {
		if t = c.tables[r.Table]; t == nil {
			t = c.begin(r.Table)
		}
		c.last = t
	}
	c.routes++
	if r.Src.IsValid() {
		if t.bySrc == nil {
			t.bySrc = map[netip.Prefix][]Route{}
		}
		own := *r
		own.Nexthops = slices.Clone(r.Nexthops)
		t.bySrc[r.Dst] = append(t.bySrc[r.Dst], own)
		return
	}
	if !t.began || t.at != r.Dst {
		t.settle()
		again := t.passed
		if t.at != r.Dst {
			again = nil
		}
		t.at, t.began, t.passed, t.kind = r.Dst, true, nil, kind
		if again != nil { // another one of a prefix that seemed to have one
			first := again.route
			first.Dst = r.Dst
			t.keep(&first)
			t.shown = c.s.appendRoute(t.shown, &first, withMarks)
		}
	}
	t.keep(r)
	t.shown = c.s.appendRoute(t.shown, r, withMarks)
}

// Same takes the next route of the dump if no more than its kind and destination need be looked at: one of
// that kind was like what the snapshot has at another prefix, and has the same here. Otherwise it is false,
// and RouteOf has to come. It costs a few nanoseconds.
func (c *Comparison) Same(kind uint64, dst netip.Prefix) bool {
	k := c.kind
	if k == nil || k.kind != kind {
		if k = c.kinds[kind]; k == nil {
			return false
		}
		c.kind = k
	}
	t := k.t
	if t.began {
		if t.at == dst {
			return false
		}
		t.settle()
	}
	if !t.more || t.ours.i != k.leaf || t.ours.p != dst {
		return false
	}
	c.routes++
	t.at, t.passed = dst, k
	t.advance()
	return true
}

// keep copies r into storage that is used again.
func (t *comparedTable) keep(r *Route) {
	n := len(t.routes)
	if n < cap(t.routes) {
		t.routes = t.routes[:n+1]
	} else {
		t.routes = append(t.routes, Route{})
	}
	legs := t.routes[n].Nexthops[:0]
	t.routes[n] = *r
	t.routes[n].Nexthops = append(legs, r.Nexthops...)
}

func (c *Comparison) begin(id TableID) *comparedTable {
	t := &comparedTable{c: c, k: tableKey{id: id, fam: c.fam}}
	c.tables[id] = t
	if own := c.s.tables[t.k]; own != nil {
		t.next, t.stop = iter.Pull(bunches(dumpOrder(c.fam, own.version().All())))
		t.advance()
	}
	return t
}

func (t *comparedTable) advance() {
	if len(t.rest) == 0 && t.next != nil {
		var more bool
		if t.rest, more = t.next(); !more {
			t.stop()
			t.next = nil
		}
	}
	if t.more = len(t.rest) > 0; t.more {
		t.ours, t.rest = t.rest[0], t.rest[1:]
	}
}

// bunch is how many entries pass from an iterator at a time: each time costs as much as a
// comparison.
const bunch = 256

// bunches yields what seq does, in slices that are used again.
func bunches(seq iter.Seq2[netip.Prefix, uint32]) iter.Seq[[]entry] {
	return func(yield func([]entry) bool) {
		some := make([]entry, 0, bunch)
		for p, i := range seq {
			if some = append(some, entry{p, i}); len(some) == bunch {
				if !yield(some) {
					return
				}
				some = some[:0]
			}
		}
		if len(some) > 0 {
			yield(some)
		}
	}
}

// shownLeaf is leaf i as a dump shows it.
func (c *Comparison) shownLeaf(i uint32) []byte {
	for int(i) >= len(c.shown) {
		c.shown = append(c.shown, nil)
	}
	if c.shown[i] == nil {
		c.shown[i] = c.s.appendLeaf([]byte{}, c.s.leaves.at(i))
	}
	return c.shown[i]
}

// settle compares the prefix whose routes were collected, after those of ours before it.
func (t *comparedTable) settle() {
	if !t.began {
		return
	}
	defer func() { t.routes, t.shown, t.kind, t.began = t.routes[:0], t.shown[:0], 0, false }()
	for t.more && CompareDumped(t.k.fam, t.ours.p, t.at) < 0 {
		t.missed()
		t.advance()
	}
	theirs := t.withSources()
	if t.more && t.ours.p == t.at {
		t.meet(t.ours.i, theirs)
		t.advance()
		return
	}
	if l := t.c.s.leafAt(t.c.s.tables[t.k], t.at); l != nil { // the dump went back
		t.apart = slices.DeleteFunc(t.apart, func(e entry) bool { return e.p == t.at })
		t.differ(t.at, l, theirs) // which may be to take back that it is missing
		return
	}
	t.differ(t.at, nil, theirs)
}

// withSources adds the source-specific routes of the same destination.
func (t *comparedTable) withSources() []Route {
	more := t.sources(t.at)
	if len(more) == 0 {
		return t.routes
	}
	t.shown = t.c.appendSources(t.shown, more)
	return slices.Concat(t.routes, more)
}

// sources are the source-specific routes of a destination.
func (t *comparedTable) sources(p netip.Prefix) []Route {
	routes, ok := t.bySrc[p]
	if !ok {
		return t.told[p]
	}
	delete(t.bySrc, p)
	if t.told == nil {
		t.told = map[netip.Prefix][]Route{}
	}
	t.told[p] = routes
	return routes
}

// appendSources writes routes as appendLeaf does, which orders them by their sources.
func (c *Comparison) appendSources(b []byte, routes []Route) []byte {
	slices.SortStableFunc(routes, func(a, b Route) int { return compareSources(a.Src, b.Src) })
	for i := range routes {
		if i == 0 || routes[i].Src != routes[i-1].Src {
			b = appendShownSrc(b, routes[i].Src)
		}
		b = c.s.appendRoute(b, &routes[i], withMarks)
	}
	return b
}

func compareSources(a, b netip.Prefix) int {
	return cmp.Or(cmp.Compare(b.Bits(), a.Bits()), a.Addr().Compare(b.Addr()))
}

func (t *comparedTable) meet(i uint32, theirs []Route) {
	if !bytes.Equal(t.c.shownLeaf(i), t.shown) {
		t.differ(t.at, t.c.s.leaves.at(i), theirs)
		return
	}
	if t.kind != 0 && len(theirs) == 1 {
		t.learn(i, &theirs[0])
	}
}

// comparedKinds bounds how many are remembered.
const comparedKinds = 1 << 10

// learn notes that a route of this kind is what leaf i has.
func (t *comparedTable) learn(i uint32, r *Route) {
	c := t.c
	if c.kinds == nil || len(c.kinds) >= comparedKinds {
		c.kinds = map[uint64]*comparedKind{}
	}
	k := &comparedKind{kind: t.kind, t: t, leaf: i, route: *r}
	k.route.Nexthops = slices.Clone(r.Nexthops)
	c.kinds[t.kind], c.kind = k, k
}

// missed is for a prefix of ours that the dump passed by.
func (t *comparedTable) missed() {
	l := t.c.s.leaves.at(t.ours.i)
	if len(l.plain) == 0 {
		t.apart = append(t.apart, t.ours)
		return
	}
	t.differ(t.ours.p, l, t.sources(t.ours.p))
}

func (t *comparedTable) differ(p netip.Prefix, ours *leaf, theirs []Route) {
	t.c.differ(t.k, p, ours, theirs)
}

// finish compares what is left of a table.
func (t *comparedTable) finish() {
	t.settle()
	for t.more {
		t.missed()
		t.advance()
	}
	for _, e := range t.apart {
		theirs := t.sources(e.p)
		t.at, t.shown = e.p, t.c.appendSources(t.shown[:0], theirs)
		t.meet(e.i, theirs)
	}
	for p, theirs := range t.bySrc {
		t.differ(p, nil, theirs)
	}
	t.bySrc = nil
}

// Finish ends the dump of one table, or with table 0 of all: what of ours did not come
// is missing on the other side.
func (c *Comparison) Finish(id TableID) {
	c.last = nil
	if id != TableUnspec {
		t := c.tables[id]
		if t == nil {
			t = c.begin(id)
		}
		t.finish()
		return
	}
	for _, k := range c.s.sortedTables() {
		if k.fam == c.fam && c.tables[k.id] == nil {
			c.begin(k.id)
		}
	}
	for _, t := range c.tables {
		t.finish()
	}
}

// Close frees what a comparison that was not finished holds.
func (c *Comparison) Close() {
	for _, t := range c.tables {
		if t.next != nil {
			t.stop()
			t.next, t.rest, t.more = nil, nil, false
		}
	}
}

// Routes is how many routes passed by.
func (c *Comparison) Routes() int { return c.routes }
