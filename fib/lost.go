package fib

import "net/netip"

// lostness is whether lookups still come by a node of source-specific routes (D8): the
// kernel tells a node without plain routes by one of the others, and when that goes by
// a route of a longer prefix, outside of which the node is not found. What is left when
// the last longer prefix goes is found again.
type lostness uint8

const (
	lostNever lostness = iota // it cannot be lost
	lostMaybe                 // a dump, or which of its routes is gone, cannot tell
	lostNot                   // asked: it is not
	lostCertainly
)

// isLost reports whether the node of l is lost, or may be.
func (l *leaf) isLost() bool { return l.lost == lostMaybe || l.lost == lostCertainly }

// orphaned is l, which has source-specific routes alone, as it is found after what it
// replaces. Without the last plain route it is lost; that it was known by a
// source-specific route which went is possible.
func (tx *Txn) orphaned(at routeKey, l *leaf) *leaf {
	before := tx.leafOf(at.k, at.dst)
	if l.len() >= before.len() || !tx.canBeLost(at) {
		return l
	}
	c := *l
	switch {
	case len(before.plain) > 0:
		c.lost = lostCertainly
	case before.isLost():
		c.lost = before.lost
	default:
		c.lost = lostMaybe
	}
	return &c
}

// mendAbove finds the lost nodes again below which p was the last longer prefix.
func (tx *Txn) mendAbove(k tableKey, p netip.Prefix) {
	if k.fam == Inet || tx.in.lost == 0 {
		return
	}
	lpm := tx.s.tables[k].lpm
	for m, ok := lpm.Shorter(p.Addr(), p.Bits()); ok; m, ok = lpm.Shorter(p.Addr(), int(m.Bits)) {
		at := routeKey{k, m.Prefix(p.Addr())}
		if l := tx.s.leaves.at(m.Index); l.isLost() && !tx.canBeLost(at) {
			c := *l
			c.lost = lostNever
			tx.setLeaf(k, at.dst, &c)
		}
	}
}

// settleLost tells whether a node that was loaded can be lost at all.
func (tx *Txn) settleLost(at routeKey) {
	l := tx.leafOf(at.k, at.dst)
	if !l.isLost() || len(l.plain) == 0 && tx.canBeLost(at) {
		return
	}
	c := *l
	c.lost = lostNever
	tx.setLeaf(at.k, at.dst, &c)
}

// canBeLost reports whether a node without plain routes can: not the default, and not
// without longer prefixes.
func (tx *Txn) canBeLost(at routeKey) bool {
	if at.dst.Bits() == 0 {
		return false
	}
	for p := range tx.s.tables[at.k].version().Covered(at.dst) {
		if p != at.dst {
			return true
		}
	}
	return false
}
