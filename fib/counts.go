package fib

import (
	"cmp"
	"maps"
	"slices"
)

// RouteCount is how many routes of one kind a table holds.
type RouteCount struct {
	Family   Family
	Table    TableID
	Protocol Protocol
	Type     RouteType
	Routes   int
}

// CountRoutes counts the routes as [Snapshot.Routes] yields them, by table, then protocol and
// type. It goes over all prefixes, at some tens of nanoseconds each.
func (s *Snapshot) CountRoutes() (out []RouteCount) {
	type kind struct {
		p Protocol
		t RouteType
	}
	for _, k := range s.sortedTables() {
		counts := map[kind]int{}
		var last *leaf
		var run []kind // of last
		for _, i := range s.tables[k].version().All() {
			if l := s.leaves.at(i); l != last {
				last, run = l, run[:0]
				s.eachShown(l, func(a *alias) {
					t := a.typ
					if s.isBlackhole(a) {
						t = TypeBlackhole
					}
					run = append(run, kind{a.protocol, t})
				})
			}
			for _, c := range run {
				counts[c]++
			}
		}
		kinds := slices.SortedFunc(maps.Keys(counts), func(a, b kind) int {
			return cmp.Or(cmp.Compare(a.p, b.p), cmp.Compare(a.t, b.t))
		})
		for _, c := range kinds {
			out = append(out, RouteCount{k.fam, k.id, c.p, c.t, counts[c]})
		}
	}
	return out
}

// eachShown calls fn for each alias with which a route of a dump begins.
func (s *Snapshot) eachShown(l *leaf, fn func(*alias)) {
	list := func(as []*alias) {
		for i := 0; i < len(as); i = shownUpTo(as, i) + 1 {
			fn(as[i])
		}
	}
	list(l.plain)
	for _, src := range l.bySrc {
		list(src.list)
	}
}

// Size is how much there is beside routes.
type Size struct{ Rules4, Rules6, Nexthops, Links, Neighbours int }

// Size counts at no cost.
func (s *Snapshot) Size() Size {
	return Size{s.rules4.Len(), s.rules6.Len(), len(s.objects), len(s.links), len(s.neighs)}
}
