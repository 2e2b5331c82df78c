package fib

import (
	"maps"
	"net/netip"
	"slices"
)

// linkEvent is what happened to a link, as the kernel's notifiers tell it.
type linkEvent uint8

const (
	linkDown         linkEvent = iota // set down, or treated like it
	linkCarrier                       // carrier lost
	linkUnregistered                  // deleted
)

// ownLink returns a link of the transaction's own, to be changed in place.
func (tx *Txn) ownLink(i int32) *link {
	tx.ownLinks()
	l := tx.s.links[i]
	if l.epoch != tx.in.epoch {
		c := *l
		c.epoch = tx.in.epoch
		c.addrs4, c.addrs6 = slices.Clone(l.addrs4), slices.Clone(l.addrs6)
		c.anycast6 = maps.Clone(l.anycast6)
		l = &c
		tx.s.links[i] = l
	}
	return l
}

// l3Table is the table of the VRF that l is or belongs to, 0 if none (L13).
func (s *Snapshot) l3Table(l *link) TableID {
	if m := s.links[s.masterOf(l.Index)]; m != nil {
		return m.VRFTable
	}
	return TableUnspec
}

// localTable is where the local routes of l's addresses are.
func (s *Snapshot) localTable(l *link) TableID {
	if t := s.l3Table(l); t != TableUnspec {
		return t
	}
	return TableLocal
}

func (l *link) loopback() bool { return l.Flags&LinkLoopback != 0 }

func anyTable(TableID) bool { return true }

// rewrite changes the alias lists of a family that have an alias which hit
// accepts: fn returns what takes the place of such a list. Only tables that the
// filter accepts are looked at.
//
// Where nothing is hit it costs the number of distinct aliases, otherwise the
// number of routes: of IPv4 a look at each, if the engine can.
func (tx *Txn) rewrite(f Family, in func(TableID) bool, hit func(*alias) bool, fn func([]*alias) []*alias) {
	hits := map[uint32]bool{}
	for _, r := range tx.in.aliasRecs {
		if r != nil && r.fam == f && hit(r.alias) {
			hits[r.id] = true
		}
	}
	if len(hits) == 0 {
		return
	}
	results := map[*leaf]*leaf{} // nil: not hit
	for _, k := range tx.s.sortedTables() {
		if k.fam != f || !in(k.id) || f == Inet && tx.rewriteAtOnce(k, hits, fn) {
			continue
		}
		tx.eachPrefix(k, func(p netip.Prefix, l *leaf) {
			n, known := results[l]
			if !known {
				n = l.rewrite(hits, fn)
				results[l] = n
			}
			if n != nil {
				tx.res.RoutesRemoved += l.len() - n.len()
				tx.setLeaf(k, p, n)
			}
		})
	}
}

// hasAny reports whether an alias of l is among hits.
func (l *leaf) hasAny(hits map[uint32]bool) (any bool) {
	l.each(func(a *alias) { any = any || hits[a.id] })
	return any
}

// rewrite applies fn to the lists with an alias among hits; nil if there is none.
func (l *leaf) rewrite(hits map[uint32]bool, fn func([]*alias) []*alias) *leaf {
	affected := func(list []*alias) bool {
		return slices.ContainsFunc(list, func(a *alias) bool { return hits[a.id] })
	}
	out := l
	if affected(l.plain) {
		out = out.with(netip.Prefix{}, fn(l.plain))
	}
	for _, s := range l.bySrc {
		if affected(s.list) {
			out = out.with(s.src, fn(s.list))
		}
	}
	if out == l {
		return nil
	}
	out.lost = l.lost // with takes what is changed for added
	return out
}

func (l *leaf) len() (n int) {
	l.each(func(*alias) { n++ })
	return n
}

// drop removes the aliases of a family that gone accepts.
func (tx *Txn) drop(f Family, in func(TableID) bool, gone func(*alias) bool) {
	tx.rewrite(f, in, gone, func(list []*alias) []*alias {
		return slices.DeleteFunc(slices.Clone(list), gone)
	})
}

// uses reports whether a has a leg of its own on a link. An IPv6 route without
// legs hangs on lo (D16); routes with an object fall with the object.
func (a *alias) uses(dev int32) bool {
	if a.nhid != 0 {
		return false
	}
	if len(a.legs) == 0 {
		return a.fam == Inet6 && dev == loopback
	}
	return slices.ContainsFunc(a.legs, func(n Nexthop) bool { return n.Link == dev })
}
