package fib

import (
	"net/netip"
	"slices"
)

// Merge brings the routes of one family to what a dump shows, as the dump comes, and
// leaves those alone that are so already, with all that is known of them beyond what a
// dump shows. See [Txn.Merge].
type Merge struct {
	tx      *Txn
	c       *Comparison
	changed []mergedPrefix
	forgets bool
	n       int // prefixes that differed
}

type mergedPrefix struct {
	at  routeKey
	old uint32 // 1 + the leaf that was there; 0: none
}

// Merge begins to merge a dump of one family. Until Finish, nothing else may change
// routes in the transaction. What the FIB holds at a prefix that differs is replaced as
// by [Txn.LoadRoute]; a prefix costs as much, and one that does not differ a fraction of that.
func (tx *Txn) Merge(f Family) *Merge {
	if tx.ended() {
		return &Merge{tx: tx, c: newComparison(tx.s, f, func(tableKey, netip.Prefix, *leaf, []Route) {})}
	}
	tx.finishLoad()
	m := &Merge{tx: tx}
	m.c = newComparison(tx.s, f, m.put)
	return m
}

// Route takes the next route of the dump. It is not kept. Errors, as *[OpError]: EINVAL
// for a route that no dump can contain; [ErrTxnDone].
func (m *Merge) Route(r *Route) error { return m.RouteOf(0, r) }

// RouteOf is Route for one of a kind, as [Comparison.RouteOf].
func (m *Merge) RouteOf(kind uint64, r *Route) error {
	if m.tx.done {
		return ErrTxnDone
	}
	if err := checkLoaded(r); err != nil {
		return err
	}
	m.c.RouteOf(kind, r)
	return nil
}

// Same is [Comparison.Same].
func (m *Merge) Same(kind uint64, dst netip.Prefix) bool { return !m.tx.done && m.c.Same(kind, dst) }

// Finish ends the dump of one table, or with table 0 of all: routes of ours that did not
// come go.
func (m *Merge) Finish(id TableID) {
	m.c.Finish(id)
	m.tx.settleLists()
}

// Forget says that nobody will ask for Each or Undo, which a prefix that differs costs 48 bytes until the end.
func (m *Merge) Forget() { m.forgets = true }

// Close frees what a merge that was not finished holds; the transaction must fail then.
func (m *Merge) Close() { m.c.Close() }

// Changed is how many prefixes differed.
func (m *Merge) Changed() int { return m.n }

// Each tells of every prefix that differed.
func (m *Merge) Each(fn func(TablePrefix)) {
	for _, x := range m.changed {
		fn(TablePrefix{x.at.k.id, x.at.dst})
	}
}

// Undo puts back what was there at the prefixes that which names, and returns how many
// these were. It comes after Finish.
func (m *Merge) Undo(which func(TablePrefix) bool) (n int) {
	for i := len(m.changed) - 1; i >= 0; i-- { // of a prefix that differed twice the first one counts
		x := &m.changed[i]
		if !which(TablePrefix{x.at.k.id, x.at.dst}) {
			continue
		}
		n++
		if x.old != 0 {
			m.tx.put(x.at.k, x.at.dst, x.old-1)
		} else {
			m.tx.takeAway(x.at.k, x.at.dst)
		}
	}
	return n
}

// takeAway takes the routes of a prefix away without a look at what else that means.
func (tx *Txn) takeAway(k tableKey, p netip.Prefix) {
	if i, ok := tx.edit(k, true).Delete(p); ok {
		tx.release(i)
	}
}

func (m *Merge) put(k tableKey, p netip.Prefix, _ *leaf, theirs []Route) {
	tx := m.tx
	x := mergedPrefix{at: routeKey{k, p}}
	if l := tx.loading[x.at]; l != nil { // it comes a second time
		tx.settleLists()
	}
	ours := &leaf{}
	if t := tx.s.tables[k]; t != nil {
		if i, ok := t.lpm.Get(p); ok {
			x.old, ours = i+1, tx.s.leaves.at(i)
		}
	}
	if m.n++; !m.forgets {
		m.changed = append(m.changed, x)
	}
	tx.res.RoutesRemoved += ours.len()
	if len(theirs) == 0 {
		tx.setLeaf(k, p, &leaf{})
		return
	}
	if x.old != 0 && len(theirs) == 1 {
		m.exchange(k, p, x.old, ours, &theirs[0])
		return
	}
	if x.old != 0 {
		tx.takeAway(k, p)
	}
	for i := range theirs {
		r := &theirs[i]
		tx.remember(r, ours)
		tx.loadRoute(r)
	}
}

// exchange puts r in the place of ours, which is leaf old-1. Most that differ do so as one before: of those only
// the leaf changes.
func (m *Merge) exchange(k tableKey, p netip.Prefix, old uint32, ours *leaf, r *Route) {
	tx := m.tx
	if l, known := tx.like(r, old); known {
		tx.res.RoutesAdded++
		tx.put(k, p, l.leaf)
		return
	}
	asked := *r
	asked.Nexthops = slices.Clone(r.Nexthops)
	tx.takeAway(k, p)
	tx.remember(r, ours)
	tx.loadRoute(r)
	if i, ok := tx.s.tables[k].lpm.Get(p); ok && !tx.recheck[routeKey{k, p}] && tx.loading[routeKey{k, p}] == nil {
		tx.liken(&asked, old, k, i)
	}
}

// remember completes a route of a dump by what is known of one that is shown like it.
func (tx *Txn) remember(r *Route, ours *leaf) {
	for i := range r.Nexthops {
		n := &r.Nexthops[i]
		n.Flags = tx.s.settledMarks(r.Family(), n.Link, n.Flags)
	}
	if r.Src.IsValid() {
		r.Lost = [...]Fact{lostNot: FactNo, lostCertainly: FactYes}[ours.lost]
	}
	list := ours.list(r.Src)
	if len(list) == 0 || r.NexthopID != 0 || r.Rejects() {
		return
	}
	a := tx.told(r, r.Nexthops)
	i := tx.shownIn(list, &a)
	if i < 0 {
		return
	}
	if old := list[i]; r.Family() == Inet && !old.guessed {
		for j := range r.Nexthops {
			r.Nexthops[j].Scope, r.Nexthops[j].ScopeSet = old.legs[j].Scope, old.legs[j].ScopeSet
		}
	} else if r.Protocol == ProtoRA && !old.learned {
		r.Learned = FactNo
	}
}
