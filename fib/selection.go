package fib

import (
	"net/netip"
	"slices"
)

// Selection says which routes one wants, in the terms in which a kernel filters its dumps
// (F14). The zero value wants all.
type Selection struct {
	Families  []Family   // none: both
	Tables    []TableID  // none: all
	Protocols []Protocol // none: all
	// Links are indexes: routes with a leg on one of them, their own or by a nexthop object.
	// Nil: all; empty but not nil: no routes.
	Links []int32
}

// Table reports whether routes of a family and a table can be among those wanted.
func (x *Selection) Table(f Family, t TableID) bool {
	return (len(x.Families) == 0 || slices.Contains(x.Families, f)) && (len(x.Tables) == 0 || slices.Contains(x.Tables, t))
}

// ByRoute reports whether routes of one table can be wanted and not.
func (x *Selection) ByRoute() bool { return len(x.Protocols) > 0 || x.Links != nil }

// Selects reports whether a route, as a dump shows it, is one of those wanted. An IPv6
// multipath route has the protocol of its first leg (D4a).
func (s *Snapshot) Selects(x *Selection, r *Route) bool {
	if !x.Table(r.Family(), r.Table) {
		return false
	}
	return s.selects(x, r.Family(), r.Protocol, r.NexthopID, r.Nexthops)
}

func (s *Snapshot) selects(x *Selection, f Family, p Protocol, nhid uint32, legs []Nexthop) bool {
	if len(x.Protocols) > 0 && !slices.Contains(x.Protocols, p) {
		return false
	}
	return x.Links == nil || slices.ContainsFunc(x.Links, func(dev int32) bool { return s.runsOver(f, nhid, legs, dev) })
}

// Slaves are the links of a VRF, by index.
func (s *Snapshot) Slaves(vrf int32) (out []int32) {
	for _, i := range s.linkOrder {
		if l := s.links[i]; l.Master == vrf && i != vrf {
			out = append(out, i)
		}
	}
	return out
}

// runsOver reports whether a kernel that filters a dump by a link shows a route: in IPv4
// one with a leg on a slave counts for the VRF too, in IPv6 one without legs hangs on lo
// (D16), and so does a blackhole object (F14).
func (s *Snapshot) runsOver(f Family, nhid uint32, legs []Nexthop, dev int32) bool {
	if nhid != 0 {
		o := s.objects[nhid]
		if o == nil {
			return false
		}
		legs = o.members
		if o.blackhole && dev == loopback {
			return true
		}
	} else if len(legs) == 0 {
		return f == Inet6 && dev == loopback
	}
	return slices.ContainsFunc(legs, func(n Nexthop) bool {
		return n.Link == dev || f == Inet && s.masterOf(n.Link) == dev && dev != 0
	})
}

// Keep drops the routes that x does not want, as if they had never been: for one who
// follows a part only, after what was derived in all of it. It costs the number of
// distinct routes if all are wanted, and that of routes otherwise.
func (tx *Txn) Keep(x *Selection) error {
	if tx.ended() {
		return ErrTxnDone
	}
	for _, k := range tx.s.sortedTables() {
		if x.Table(k.fam, k.id) {
			continue
		}
		tx.eachPrefix(k, func(p netip.Prefix, l *leaf) {
			tx.res.RoutesRemoved += l.len()
			tx.takeAway(k, p)
		})
	}
	if !x.ByRoute() {
		return nil
	}
	unwanted := func(a *alias) bool { return !tx.s.selects(x, a.fam, a.protocol, a.nhid, a.legs) }
	for _, f := range [...]Family{Inet, Inet6} {
		hits := map[uint32]bool{}
		for _, r := range tx.in.aliasRecs {
			if r != nil && r.fam == f && r.refs > 0 && unwanted(r.alias) {
				hits[r.id] = true
			}
		}
		if len(hits) > 0 {
			tx.keepLists(f, hits, func(list []*alias) []*alias { return tx.s.keepList(x, list) })
		}
	}
	return nil
}

// keepLists replaces the lists of a family that have an alias among hits by what fn leaves
// of them, without a look at what else it means that routes go.
func (tx *Txn) keepLists(f Family, hits map[uint32]bool, fn func([]*alias) []*alias) {
	results := map[*leaf]*leaf{} // nil: all of it is kept
	for _, k := range tx.s.sortedTables() {
		if k.fam != f || f == Inet && tx.rewriteAtOnce(k, hits, fn) {
			continue
		}
		tx.eachPrefix(k, func(p netip.Prefix, l *leaf) {
			n, known := results[l]
			if !known {
				if n = l.rewrite(hits, fn); n != nil && n.len() == l.len() {
					n = nil
				}
				results[l] = n
			}
			if n == nil {
				return
			}
			tx.res.RoutesRemoved += l.len() - n.len()
			if n.empty() {
				tx.takeAway(k, p)
			} else {
				tx.put(k, p, tx.in.leaf(&tx.s.leaves, n))
			}
		})
	}
}

// keepList is what x wants of a list. The legs of an IPv6 multipath route, and what stands
// between them, are kept or go together.
func (s *Snapshot) keepList(x *Selection, list []*alias) (out []*alias) {
	for i := 0; i < len(list); i++ {
		last := shownUpTo(list, i)
		wanted := s.selects(x, list[i].fam, list[i].protocol, list[i].nhid, list[i].legs)
		for j := i + 1; j <= last && !wanted; j++ {
			wanted = list[j].ecmpAble() && s.selects(x, list[j].fam, list[i].protocol, 0, list[j].legs)
		}
		if wanted {
			out = append(out, list[i:last+1]...)
		}
		i = last
	}
	return out
}
