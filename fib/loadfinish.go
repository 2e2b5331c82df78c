package fib

import (
	"net/netip"
	"slices"
)

// finishLoad settles the scopes that had to wait for the tables: a gateway of our
// own that the route's own table resolves to a wider route on the leg's link is
// used as a gateway. It may come several times, with what is loaded so far.
func (tx *Txn) finishLoad() {
	tx.settleLists()
	for w := range tx.recheck {
		l := tx.leafOf(w.k, w.dst)
		t := tx.s.tables[w.k]
		list := slices.Clone(l.plain)
		changed := false
		for i, a := range list {
			legs := slices.Clone(a.legs)
			hit := false
			for j := range legs {
				n := &legs[j]
				if n.Scope != ScopeHost || !n.Gateway.IsValid() || a.scope >= ScopeLink || !tx.s.wayInTable(t, n) {
					continue
				}
				n.Scope, hit = ScopeLink, true
			}
			if hit {
				c := *a
				c.legs = legs
				list[i], changed = tx.internAlias(&c), true
			}
		}
		if changed {
			tx.setLeaf(w.k, w.dst, l.with(netip.Prefix{}, list))
		}
	}
	if tx.loaded4 {
		tx.doubtHostRoutes()
	}
	for _, a := range tx.ties {
		tx.settleTie(a)
	}
	for _, key := range tx.maybeLost {
		tx.settleLost(key)
	}
}

// settleTie tells which of several links got an IPv4 address last when their
// stamps are equal: local routes are appended, so the last one of a table is its
// (E1). Nothing tells the order across L3 domains: that of the dump stands.
func (tx *Txn) settleTie(a netip.Addr) {
	stamp := func(l *link) (newest uint32) {
		for i := range l.addrs4 {
			if l.addrs4[i].Local == a {
				newest = max(newest, l.addrs4[i].Created)
			}
		}
		return newest
	}
	owner := tx.s.links[tx.s.owner4[a]]
	if owner == nil {
		return // gone since
	}
	newest := stamp(owner)
	for _, r := range tx.leafOf(tableKey{id: tx.s.localTable(owner), fam: Inet}, netip.PrefixFrom(a, 32)).plain {
		if r.typ != TypeLocal || r.protocol != ProtoKernel || len(r.legs) == 0 {
			continue
		}
		if l := tx.s.links[r.legs[0].Link]; l != nil && stamp(l) == newest {
			tx.s.owner4[a] = l.Index
		}
	}
}

// wayInTable reports whether table t resolves n's gateway to a route of a scope
// wider than host on n's link.
func (s *Snapshot) wayInTable(t *table, n *Nexthop) bool {
	m, ok := t.lpm.Lookup(n.Gateway)
	for ; ok; m, ok = t.lpm.Shorter(n.Gateway, int(m.Bits)) {
		for _, a := range s.leaves.at(m.Index).plain {
			for _, x := range s.legs(a) {
				if x.Link == n.Link && !a.typ.IsReject() {
					return a.scope < ScopeHost
				}
			}
		}
	}
	return false
}

// doubtHostRoutes opens the scope of gateways that a route of scope host covers: if
// it was there when their routes were added, they count as our own (B30).
func (tx *Txn) doubtHostRoutes() {
	hostly := func(k tableKey, a *alias) bool {
		return a.fam == Inet && a.scope >= ScopeHost && !a.typ.IsReject() && (k.id != TableLocal || a.protocol != ProtoKernel)
	}
	if !slices.ContainsFunc(tx.in.aliasRecs, func(r *aliasRec) bool {
		return r != nil && hostly(tableKey{}, r.alias) && (r.typ != TypeLocal || r.protocol != ProtoKernel)
	}) {
		return
	}
	var covers []netip.Prefix
	tx.eachRoute4(func(k tableKey, p netip.Prefix, l *leaf) {
		if slices.ContainsFunc(l.plain, func(a *alias) bool { return hostly(k, a) }) {
			covers = append(covers, p)
		}
	})
	tx.eachRoute4(func(k tableKey, p netip.Prefix, l *leaf) {
		list := slices.Clone(l.plain)
		changed := false
		for i, a := range list {
			if !a.guessed {
				continue
			}
			legs := slices.Clone(a.legs)
			hit := false
			for j := range legs {
				n := &legs[j]
				if n.Gateway.Is4() && n.ScopeSet && n.Scope == ScopeLink && n.Flags&FlagOnlink == 0 &&
					slices.ContainsFunc(covers, func(p netip.Prefix) bool { return p.Contains(n.Gateway) }) {
					n.ScopeSet, hit = false, true
				}
			}
			if hit {
				c := *a
				c.legs = legs
				list[i], changed = tx.internAlias(&c), true
			}
		}
		if changed {
			tx.setLeaf(k, p, l.with(netip.Prefix{}, list))
		}
	})
}

// eachRoute4 calls fn for every prefix of every IPv4 table. fn may change the tables.
func (tx *Txn) eachRoute4(fn func(tableKey, netip.Prefix, *leaf)) {
	for _, k := range tx.s.sortedTables() {
		if k.fam == Inet {
			tx.eachPrefix(k, func(p netip.Prefix, l *leaf) { fn(k, p, l) })
		}
	}
}
