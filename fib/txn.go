package fib

import (
	"maps"
	"net/netip"

	"github.com/fibula-net/fibula/lookup"
)

// Txn is a transaction: a private next version of the FIB. Its operations see
// each other's effects. It is not safe for concurrent use.
type Txn struct {
	f    *FIB
	in   *intern
	base *Snapshot
	s    *Snapshot // the next version; shares with base what is not yet owned
	done bool
	res  Result

	edits edits
	owned ownedParts
	dirty bool // something other than routes changed

	refs      []refChange // of leaves, to take back if the transaction fails
	zero      []uint32    // leaves whose references went to zero
	swapped   []swappedAlias
	legs      []Nexthop    // scratch, of one route
	metrics   Metrics      // scratch, likewise
	wanted    []byte       // scratch of shownIn
	found     []byte       // the same
	ties      []netip.Addr // loaded addresses whose stamps do not tell the newest
	loading   map[routeKey]*loadingLeaf
	likely    uint64            // numbers the stretch of work, for likenesses
	loaded4   bool              // an IPv4 route was loaded, so that a scope may be in doubt (B30)
	maybeLost []routeKey        // loaded nodes of source-specific routes, to be looked at when all is loaded (D8)
	recheck   map[routeKey]bool // loaded legs whose scope waits for the tables (B30)
	alone     map[tableKey]int  // prefixes that large tables had when they were like no other
}

// ownedParts marks the parts of s that are no longer shared with base.
type ownedParts struct {
	tables, links, neighs, objects, owner4, names bool
}

// refChange is a reference to a leaf that came or went.
type refChange struct {
	leaf  uint32
	delta int32
}

type swappedAlias struct {
	rec   *aliasRec
	old   *alias
	key   string
	known bool // the key led to rec
}

func (f *FIB) begin() *Txn {
	base := f.cur.Load()
	s := *base
	s.cuts.on = false
	tx := &Txn{f: f, in: f.in, base: base, s: &s, res: Result{Generation: base.gen}}
	tx.in.begin(tx)
	return tx
}

// Snapshot shows the transaction's own state so far, for lookups within it and to
// list it. It is valid until the next operation; of a transaction that has ended
// it is what was published, or the snapshot before if nothing was.
func (tx *Txn) Snapshot() *Snapshot {
	if !tx.ended() {
		tx.finishLoad()
		tx.s.legRealms = tx.in.realms > 0
	}
	return tx.s
}

// commit publishes the transaction. Beside the tables that it changed it costs the
// leaves that nothing uses any more, and after a load a look at what it left open.
func (tx *Txn) commit() Result {
	tx.finishLoad()
	if len(tx.edits.list) == 0 && !tx.dirty && len(tx.swapped) == 0 {
		return tx.res
	}
	tx.shareTables()
	for _, e := range tx.edits.list {
		tx.s.tables[e.key].publish(e.ed.Table())
	}
	for _, i := range tx.zero {
		if tx.in.leafRefs[i] == 0 && tx.s.leaves.at(i) != nil {
			tx.in.free(&tx.s.leaves, i)
		}
	}
	tx.s.legRealms = tx.in.realms > 0
	tx.makeReady()
	tx.makeCuts()
	tx.end()
	tx.s.gen = tx.base.gen + 1
	tx.res.Generation, tx.res.Changed = tx.s.gen, true
	tx.f.cur.Store(tx.s)
	return tx.res
}

// abort takes back what the transaction did to the interned aliases and leaves;
// everything else was private.
func (tx *Txn) abort() {
	if tx.done {
		return
	}
	tx.settleLists() // so that their aliases are found and dropped
	for i := len(tx.swapped) - 1; i >= 0; i-- {
		tx.unswap(tx.swapped[i])
	}
	for _, c := range tx.refs {
		tx.in.ref(tx.s.leaves, c.leaf, -c.delta)
	}
	for _, c := range tx.refs {
		if tx.in.leafRefs[c.leaf] == 0 && tx.s.leaves.at(c.leaf) != nil {
			tx.in.free(&tx.s.leaves, c.leaf)
		}
	}
	tx.end()
	tx.s = tx.base // for who asks a transaction that has ended
}

// end gives back what the next transaction may use again.
func (tx *Txn) end() {
	tx.done = true
	tx.in.end(tx)
}

// edit returns the editor of a table, which it makes if create is set; without it
// a missing table is nil.
func (tx *Txn) edit(k tableKey, create bool) lookup.Editor {
	if ed := tx.edits.of(k); ed != nil {
		return ed
	}
	t := tx.s.tables[k]
	if t == nil && !create {
		return nil
	}
	var before lookup.Table
	if t != nil {
		before = t.version()
	} else {
		tx.shareTables() // before what is complete is joined by another
		before = tx.f.engine.New()
	}
	ed := before.Edit()
	tx.register(k, ed)
	return ed
}

// register makes ed the next version of a table.
func (tx *Txn) register(k tableKey, ed lookup.Editor) {
	if !tx.owned.tables {
		tx.s.tables, tx.owned.tables = maps.Clone(tx.s.tables), true
	}
	tx.edits.add(k, ed)
	tx.s.tables[k] = &table{id: k.id, fam: k.fam, lpm: ed}
}

// leafOf returns the leaf under p, or an empty one.
func (tx *Txn) leafOf(k tableKey, p netip.Prefix) *leaf {
	if l := tx.s.leafAt(tx.s.tables[k], p); l != nil {
		return l
	}
	return &leaf{}
}

// setLeaf puts l under p, or removes p if l is empty.
func (tx *Txn) setLeaf(k tableKey, p netip.Prefix, l *leaf) {
	ed := tx.edit(k, true)
	if l.empty() {
		if old, ok := ed.Delete(p); ok {
			tx.release(old)
			tx.mendAbove(k, p)
		}
		return
	}
	if len(l.plain) == 0 && !l.isLost() {
		l = tx.orphaned(routeKey{k, p}, l)
	}
	tx.put(k, p, tx.in.leaf(&tx.s.leaves, l))
}

// setAlone puts an alias alone under p, if a leaf that it is alone in is there already.
func (tx *Txn) setAlone(k tableKey, p netip.Prefix, r *aliasRec) bool {
	if r.single == 0 || k.fam == Inet6 {
		return false
	}
	tx.put(k, p, r.single-1)
	return true
}

// put puts leaf i under p.
func (tx *Txn) put(k tableKey, p netip.Prefix, i uint32) {
	tx.retain(i)
	if old, ok := tx.edit(k, true).Insert(p, i); ok {
		tx.release(old)
	}
}

func (tx *Txn) retain(i uint32)  { tx.count(i, 1) }
func (tx *Txn) release(i uint32) { tx.count(i, -1) }

// count changes the number of prefixes with leaf i.
func (tx *Txn) count(i uint32, delta int32) {
	tx.in.ref(tx.s.leaves, i, delta)
	if n := len(tx.refs); n > 0 && tx.refs[n-1].leaf == i {
		tx.refs[n-1].delta += delta
	} else {
		tx.refs = append(tx.refs, refChange{i, delta})
	}
	if tx.in.leafRefs[i] == 0 {
		tx.zero = append(tx.zero, i)
	}
}

// eachPrefix calls fn for every prefix of a table as it stands now. fn may change
// the table.
func (tx *Txn) eachPrefix(k tableKey, fn func(netip.Prefix, *leaf)) {
	t := tx.s.tables[k]
	if t == nil {
		return
	}
	for p, i := range t.version().All() {
		fn(p, tx.s.leaves.at(i))
	}
}

// swapAliases replaces aliases in place, everywhere they stand: fn returns what
// takes the place of an alias, or nil to leave it. It costs the number of
// distinct leaves, not of routes.
func (tx *Txn) swapAliases(fn func(*alias) *alias) {
	changed := map[uint32]*alias{}
	for _, r := range tx.in.aliasRecs {
		if r == nil {
			continue
		}
		n := fn(r.alias)
		if n == nil {
			continue
		}
		n.id = r.id
		w := swappedAlias{rec: r, old: r.alias, key: r.key, known: tx.in.aliases[r.key] == r}
		tx.swapped = append(tx.swapped, w)
		if w.known {
			delete(tx.in.aliases, r.key)
		}
		r.alias, r.key = n, string(n.appendKey(nil))
		if tx.in.aliases[r.key] == nil {
			tx.in.aliases[r.key] = r
		}
		changed[n.id] = n
	}
	if len(changed) == 0 {
		return
	}
	for k := range tx.s.leaves {
		for j, l := range tx.s.leaves[k].leaves {
			if l == nil {
				continue
			}
			if n := l.swap(changed); n != nil {
				tx.in.setLeaf(&tx.s.leaves, uint32(k*leafPageSize+j), n)
			}
		}
	}
}

func (tx *Txn) unswap(w swappedAlias) {
	if tx.in.aliases[w.rec.key] == w.rec {
		delete(tx.in.aliases, w.rec.key)
	}
	w.rec.alias, w.rec.key = w.old, w.key
	if w.known {
		tx.in.aliases[w.key] = w.rec
	}
}

// swap returns l with the changed aliases in place, or nil if it has none.
func (l *leaf) swap(changed map[uint32]*alias) *leaf {
	hit := false
	l.each(func(a *alias) { hit = hit || changed[a.id] != nil })
	if !hit {
		return nil
	}
	list := func(as []*alias) []*alias {
		out := make([]*alias, len(as))
		for i, a := range as {
			if out[i] = changed[a.id]; out[i] == nil {
				out[i] = a
			}
		}
		return out
	}
	n := &leaf{plain: list(l.plain), lost: l.lost, born: l.born}
	for _, s := range l.bySrc {
		n.bySrc = append(n.bySrc, srcList{s.src, list(s.list)})
	}
	return n
}
