package plan

import (
	"iter"
	"maps"
	"net/netip"
	"slices"

	"github.com/fibula-net/fibula/fib"
)

// Known is what a kernel is known to have: what was desired before, but for what it
// refused.
type Known struct {
	Desired *Desired
	Wanted  int                   // routes that it has
	Routes  int                   // routes of ours that are there
	Absent  func(*fib.Route) bool // whether a wanted one is not; nil: all are
}

// tableOf names the routes of one family in one table.
type tableOf struct {
	fam fib.Family
	id  fib.TableID
}

// scope is some prefixes, in the order of a snapshot.
type scope map[tableOf][]netip.Prefix

// Step is [From] and [New] for a state that differs little from the one before, which
// made the kernel what it is known to be: it costs the number of routes that differ, and of
// all rules and objects, which are compared as ever with what src.Actual has. Complete there says that no other's route has a key of ours.
//
// False: it takes a comparison with all that is there. So it does when a link has another index,
// a shared nexthop another object, or throw routes come or go.
func Step(src *Source, known Known) (p *Plan, d Desired, missing Missing, ok bool, err error) {
	old := known.Desired
	if old.from == nil || !old.from.sameLinks(src) {
		return nil, d, missing, false, nil
	}
	actual := *src.Actual
	from := *src
	from.Actual = &actual
	defer func() { from.Actual = nil }() // whose routes are those of old: d would keep it, and so all before it
	d, f := begin(&from)
	f.borrowed = maps.Clone(old.from.borrowed)
	was, scoped := *old, d
	scoped.only = d.changedSince(old)
	was.only = scoped.only
	actual.Routes = was.asActual(known.Absent)
	if src.Mode == Objects {
		f.share = newShare(&from, d.Nexthops)
		f.share.following(old, &scoped)
		more, err := f.share.settle(&d)
		if err != nil {
			return nil, d, missing, false, err
		}
		d.Nexthops = append(d.Nexthops, more...)
		scoped.Nexthops = d.Nexthops
	}
	if !maps.Equal(d.from.gone, old.from.gone) || !d.from.share.continues(old.from.share) {
		return nil, d, missing, false, nil
	}
	f.missing.Routes = old.from.missing.Routes - was.missing() + scoped.missing()
	f.missing.example(old.from.missing.Example)
	missing = f.missing
	p, err = New(scoped, actual)
	if err != nil || p.NeedsComplete || slices.ContainsFunc(p.tables, func(t tablePlan) bool { return len(t.throws) > 0 }) {
		return nil, d, missing, false, err
	}
	c := &p.Counts[Route]
	unchanged := known.Routes - c.Owned
	c.Owned, c.Kept, c.Desired = c.Owned+unchanged, c.Kept+unchanged, c.Desired+known.Wanted-was.Count()
	return p, d, missing, true, nil
}

// Withdraw is the plan to delete the rules and routes of what a kernel is known to have, of
// which only rules and objects were looked at. The objects stay: others' routes may use them by now. False: it takes
// a comparison with all that is there.
func Withdraw(known Known, rest Actual) (p *Plan, ok bool, err error) {
	d := Desired{Owner: known.Desired.Owner}
	for i := range rest.Nexthops {
		if d.Owner.OwnsNexthop(&rest.Nexthops[i]) {
			d.Nexthops = append(d.Nexthops, rest.Nexthops[i])
		}
	}
	rest.Routes = known.Desired.asActual(known.Absent)
	p, err = New(d, rest)
	return p, err == nil && !p.NeedsComplete && p.Counts[Nexthop].Changes() == 0, err
}

// asActual are the wanted routes as a kernel would have them.
func (d *Desired) asActual(absent func(*fib.Route) bool) func(fib.Family, fib.TableID) iter.Seq2[*fib.Route, error] {
	return func(f fib.Family, t fib.TableID) iter.Seq2[*fib.Route, error] {
		return func(yield func(*fib.Route, error) bool) {
			count := 0
			for groups := range d.inDumpOrder(f, t, &count) {
				for _, g := range groups {
					for i := range g.routes {
						if r := &g.routes[i]; (absent == nil || !absent(r)) && !yield(r, nil) {
							return
						}
					}
				}
			}
		}
	}
}

// changedSince are the prefixes of owned tables whose routes differ.
func (d *Desired) changedSince(old *Desired) scope {
	s := scope{}
	for c := range d.Routes.ChangedRoutes(old.Routes) {
		if k := (tableOf{familyOf(c.Dst), c.Table}); d.Owner.OwnsTable(k.id) && d.Owner.HasFamily(k.fam) {
			s[k] = append(s[k], c.Dst)
		}
	}
	for _, list := range s {
		slices.SortFunc(list, netip.Prefix.Compare)
	}
	return s
}

func familyOf(p netip.Prefix) fib.Family {
	if p.Addr().Is4() {
		return fib.Inet
	}
	return fib.Inet6
}

// missing counts the routes in scope that cannot be asked for.
func (d *Desired) missing() (n int) {
	for k, list := range d.only {
		for _, p := range list {
			for _, r := range d.Routes.RoutesAt(k.id, p) {
				if _, m := d.from.wants(&r); m {
					n++
				}
			}
		}
	}
	return n
}

// sameLinks reports whether links are to be called as they were.
func (f *from) sameLinks(now *Source) bool {
	if f.Link == nil || now.Link == nil {
		return f.Link == nil && now.Link == nil
	}
	same := func(s *fib.Snapshot) bool {
		for l := range s.Links() {
			i, there := f.Link(l.Index)
			if j, still := now.Link(l.Index); i != j || there != still {
				return false
			}
		}
		return true
	}
	return same(f.FIB) && same(now.FIB)
}

// continues reports whether nexthops that were shared before still are by the same
// objects.
func (s *share) continues(old *share) bool {
	if s == nil || old == nil {
		return s == old
	}
	for l, id := range old.ids {
		if now, ok := s.ids[l]; ok && now != id {
			return false
		}
	}
	for name, id := range old.sets {
		if now, ok := s.sets[name]; ok && now != id {
			return false
		}
	}
	return true
}
