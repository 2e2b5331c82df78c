package fib

import (
	"bytes"
	"iter"
	"net/netip"
	"reflect"
	"slices"

	"github.com/fibula-net/fibula/lookup"
	"github.com/fibula-net/fibula/rules"
)

// RouteChange is a prefix whose routes two snapshots have not alike.
type RouteChange struct {
	TablePrefix
	Before, After []Route // as a dump shows them; none: there was, or is, no route
}

// ChangedRoutes yields the prefixes whose routes are not those of an older snapshot of the same
// FIB: by family and table, in no order within. Routes count as different where a dump shows
// another thing, and where the nexthop object behind them has other legs.
//
// It costs what has changed between them, and of engines that cannot tell that a walk
// over their tables; so does a change that many prefixes share, such as of a link's state.
func (s *Snapshot) ChangedRoutes(since *Snapshot) iter.Seq[RouteChange] {
	return func(yield func(RouteChange) bool) {
		d := newRouteDiff(since, s)
		keys := s.sortedTables()
		for _, k := range since.sortedTables() {
			if s.tables[k] == nil {
				keys = append(keys, k)
			}
		}
		for _, k := range keys {
			if !d.table(k, yield) {
				return
			}
		}
	}
}

// routeDiff compares the routes of two snapshots.
type routeDiff struct {
	old, new *Snapshot
	// touched are the leaves that are not what they were although no table has changed for
	// it: a change of aliases in place, or of the objects behind them.
	touched map[uint32]bool
	objects map[uint32]bool    // nexthop objects with other legs
	alike   map[[2]uint32]bool // pairs of leaves that were compared
	a, b    []byte
}

func newRouteDiff(old, new *Snapshot) *routeDiff {
	d := &routeDiff{old: old, new: new, touched: map[uint32]bool{}, objects: changedObjects(old, new), alike: map[[2]uint32]bool{}}
	for k := range min(len(old.leaves), len(new.leaves)) {
		p, q := old.leaves[k], new.leaves[k]
		if p == q && len(d.objects) == 0 {
			continue
		}
		for j := range p.leaves {
			x, y := p.leaves[j], q.leaves[j]
			if x == nil || y == nil || x.born != y.born {
				continue // who has it now was put there, which tables tell
			}
			if i := uint32(k*leafPageSize + j); (x != y || d.uses(x)) && !d.shownAlike(i, i) {
				d.touched[i] = true
			}
		}
	}
	return d
}

// changedObjects are the ids of nexthop objects, groups with them included, whose legs
// are not what they were.
func changedObjects(old, new *Snapshot) map[uint32]bool {
	ids := map[uint32]bool{}
	for id, o := range new.objects {
		if was := old.objects[id]; was != nil && was != o && (was.blackhole != o.blackhole || !reflect.DeepEqual(was.members, o.members)) {
			ids[id] = true
		}
	}
	return ids
}

// uses reports whether a leaf has routes by an object that has changed.
func (d *routeDiff) uses(l *leaf) (uses bool) {
	if len(d.objects) > 0 {
		l.each(func(a *alias) { uses = uses || d.objects[a.nhid] })
	}
	return uses
}

// shownAlike reports whether a dump shows the same of two leaves.
func (d *routeDiff) shownAlike(i, j uint32) bool {
	same, known := d.alike[[2]uint32{i, j}]
	if !known {
		d.a, d.b = d.old.appendLeaf(d.a[:0], d.old.leaves.at(i)), d.new.appendLeaf(d.b[:0], d.new.leaves.at(j))
		same = bytes.Equal(d.a, d.b) && !d.uses(d.new.leaves.at(j))
		d.alike[[2]uint32{i, j}] = same
	}
	return same
}

func (d *routeDiff) same(i uint32) bool {
	return !d.touched[i] && (d.old.leaves.at(i) == d.new.leaves.at(i) || d.shownAlike(i, i))
}

// table yields what differs in one table, and reports whether to go on.
func (d *routeDiff) table(k tableKey, yield func(RouteChange) bool) bool {
	version := func(s *Snapshot) lookup.Table {
		if t := s.tables[k]; t != nil {
			return t.version()
		}
		return nil
	}
	a, b := version(d.old), version(d.new)
	if a == nil {
		a = emptyTable{b}
	}
	if b == nil {
		b = emptyTable{a}
	}
	compare := lookup.Diff
	if len(d.touched) > 0 {
		compare = lookup.DiffAll
	}
	for c := range compare(a, b, d.same) {
		x := RouteChange{TablePrefix: TablePrefix{k.id, c.Prefix}}
		if c.Had && c.Has && c.Old != c.New && d.shownAlike(c.Old, c.New) {
			continue
		}
		if c.Had {
			x.Before = d.old.leafRoutes(k, c.Prefix, d.old.leaves.at(c.Old))
		}
		if c.Has {
			x.After = d.new.leafRoutes(k, c.Prefix, d.new.leaves.at(c.New))
		}
		if !yield(x) {
			return false
		}
	}
	return true
}

// emptyTable is a table of the kind of another, without routes.
type emptyTable struct{ lookup.Table }

// All yields nothing.
func (emptyTable) All() iter.Seq2[netip.Prefix, lookup.Index] {
	return func(func(netip.Prefix, lookup.Index) bool) {}
}

// Changed is something of which an older and a newer snapshot have different things; nil:
// none.
type Changed[T any] struct{ Before, After *T }

// Changes is what differs between two snapshots beside routes and neighbours.
type Changes struct {
	Links     []Changed[Link]
	Addresses []Changed[Address]
	Rules     []Changed[rules.Rule] // before or after is nil: a rule has no name to change under
	Nexthops  []Changed[NexthopObject]
	Settings  bool // of the namespace
}

// Changes is what differs from an older snapshot of the same FIB. It costs the number of
// links and nexthop objects, and where rules have changed that of rules.
func (s *Snapshot) Changes(since *Snapshot) (c Changes) {
	for _, i := range since.linkOrder {
		if s.links[i] == nil {
			diffLink(&c, since.links[i], nil)
		}
	}
	for _, i := range s.linkOrder {
		if was, is := since.links[i], s.links[i]; was != is {
			diffLink(&c, was, is)
		}
	}
	for _, f := range [...]Family{Inet, Inet6} {
		if since.rulesOf(f) != s.rulesOf(f) {
			c.Rules = append(c.Rules, diffRules(since.Rules(f), s.Rules(f))...)
		}
	}
	for _, id := range sortedIDs(since, s) {
		x := Changed[NexthopObject]{objectOf(since, id), objectOf(s, id)}
		if !reflect.DeepEqual(x.Before, x.After) {
			c.Nexthops = append(c.Nexthops, x)
		}
	}
	c.Settings = since.sysctls != s.sysctls
	return c
}

// sortedIDs are the nexthop objects that two snapshots do not share.
func sortedIDs(a, b *Snapshot) (ids []uint32) {
	for id, o := range b.objects {
		if a.objects[id] != o {
			ids = append(ids, id)
		}
	}
	for id := range a.objects {
		if b.objects[id] == nil {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// objectOf is a nexthop object without what lookups remember for it.
func objectOf(s *Snapshot, id uint32) *NexthopObject {
	o := s.objects[id]
	if o == nil {
		return nil
	}
	c := o.NexthopObject
	c.Source = netip.Addr{}
	return &c
}

func diffLink(c *Changes, was, is *link) {
	side := func(l *link) (*Link, []Address) {
		if l == nil {
			return nil, nil
		}
		x := l.copied()
		return &x, slices.Concat(l.addrs4, l.addrs6)
	}
	a, before := side(was)
	b, after := side(is)
	if !reflect.DeepEqual(a, b) {
		c.Links = append(c.Links, Changed[Link]{a, b})
	}
	same := func(x Address) func(Address) bool {
		return func(y Address) bool { return x.Local == y.Local && x.Prefix == y.Prefix }
	}
	for i := range before {
		if !slices.ContainsFunc(after, same(before[i])) {
			c.Addresses = append(c.Addresses, Changed[Address]{Before: &before[i]})
		}
	}
	for i := range after {
		j := slices.IndexFunc(before, same(after[i]))
		switch {
		case j < 0:
			c.Addresses = append(c.Addresses, Changed[Address]{After: &after[i]})
		case before[j] != after[i]:
			c.Addresses = append(c.Addresses, Changed[Address]{&before[j], &after[i]})
		}
	}
}

// diffRules: what is left where rules that both have are taken away, one for one.
func diffRules(before, after []rules.Rule) (out []Changed[rules.Rule]) {
	left := map[rules.Rule]int{}
	for i := range after {
		left[after[i]]++
	}
	for i := range before {
		if left[before[i]] > 0 {
			left[before[i]]--
			continue
		}
		out = append(out, Changed[rules.Rule]{Before: &before[i]})
	}
	for i := len(after) - 1; i >= 0; i-- { // of equal ones, the last is the new one
		if left[after[i]] > 0 {
			left[after[i]]--
			out = append(out, Changed[rules.Rule]{After: &after[i]})
		}
	}
	return out
}
