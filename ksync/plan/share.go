package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/fibula-net/fibula/fib"
)

// share finds one nexthop object for all routes that have equal nexthops.
type share struct {
	src   *Source
	given []fib.NexthopObject
	ids   map[leg]uint32
	sets  map[string]uint32 // of several legs, by name
	legs  map[string][]fib.Nexthop
	// How many routes have each.
	uses    map[leg]int
	setUses map[string]int
	run     int // of the last question, not counted yet
	// The last question: most routes ask what the one before asked.
	last    []fib.Nexthop
	lastFam fib.Family
	lastID  uint32
	name    []byte
}

// leg is the content of an object that is no group.
type leg struct {
	fam fib.Family
	fib.Nexthop
}

func newShare(src *Source, given []fib.NexthopObject) *share {
	return &share{src: src, given: given, ids: map[leg]uint32{}, sets: map[string]uint32{}, legs: map[string][]fib.Nexthop{},
		uses: map[leg]int{}, setUses: map[string]int{}}
}

// legOf is the object's content for one leg of a route of a family.
func legOf(f fib.Family, n *fib.Nexthop) leg {
	l := leg{f, *n}
	l.Weight = 1
	if n.Gateway.Is6() {
		l.fam = fib.Inet6
	}
	return l
}

// able reports whether a route can use an object instead of its nexthops.
func able(r *fib.Route) bool {
	if r.NexthopID != 0 || r.Type != fib.TypeUnicast || len(r.Nexthops) == 0 || r.Src.IsValid() || r.Scope == fib.ScopeHost {
		return false
	}
	for i := range r.Nexthops {
		n := &r.Nexthops[i]
		if n.Link == 0 || n.Realms != 0 || n.Flags&^fib.FlagOnlink != 0 {
			return false
		}
		for j := range i {
			if legOf(fib.Inet, &r.Nexthops[j]) == legOf(fib.Inet, n) {
				return false
			}
		}
	}
	return true
}

// note counts a route that is wanted.
func (s *share) note(r *fib.Route) {
	if !able(r) {
		return
	}
	if r.Family() != s.lastFam || !slices.Equal(s.last, r.Nexthops) {
		s.flush()
		s.last, s.lastFam = append(s.last[:0], r.Nexthops...), r.Family()
	}
	s.run++
}

// flush counts the routes of the last question.
func (s *share) flush() {
	s.count(s.lastFam, s.last, s.run)
	s.last, s.lastFam, s.run = s.last[:0], 0, 0
}

func (s *share) count(f fib.Family, legs []fib.Nexthop, n int) {
	if n == 0 {
		return
	}
	for i := range legs {
		l := legOf(f, &legs[i])
		if s.uses[l] += n; s.uses[l] <= 0 {
			delete(s.uses, l)
			delete(s.ids, l)
		} else {
			s.ids[l] = 0
		}
	}
	if len(legs) < 2 {
		return
	}
	name := string(s.setName(f, legs))
	if s.setUses[name] += n; s.setUses[name] <= 0 {
		delete(s.setUses, name)
		delete(s.sets, name)
		delete(s.legs, name)
	} else if _, known := s.sets[name]; !known {
		s.sets[name] = 0
		s.legs[name] = slices.Clone(legs)
	}
}

// following is a share for a state that differs from the one of old in a scope: settle is
// still to be called.
func (s *share) following(old, now *Desired) {
	was := old.from.share
	maps.Copy(s.uses, was.uses)
	maps.Copy(s.setUses, was.setUses)
	maps.Copy(s.legs, was.legs)
	for l := range s.uses {
		s.ids[l] = 0
	}
	for name := range s.setUses {
		s.sets[name] = 0
	}
	for _, side := range [...]struct {
		d *Desired
		n int
	}{{now, 1}, {old, -1}} { // first what comes, lest something is dropped for a moment
		for k, list := range now.only {
			for _, p := range list {
				for _, r := range side.d.Routes.RoutesAt(k.id, p) {
					if wanted, _ := side.d.from.wants(&r); !wanted {
						continue
					}
					if Normalize(&r); able(&r) {
						s.count(r.Family(), r.Nexthops, side.n)
					}
				}
			}
		}
	}
}

func (s *share) setName(f fib.Family, legs []fib.Nexthop) []byte {
	b := append(s.name[:0], byte(f))
	for i := range legs {
		b = fmt.Appendf(b, " %v %v %d %d %d %q", legs[i].Link, legs[i].Gateway, legs[i].Weight, legs[i].Flags, legs[i].Encap.Type, legs[i].Encap.Data)
	}
	s.name = b
	return b
}

// idOf is the id of the object for a route; 0: it keeps its nexthops.
func (s *share) idOf(r *fib.Route) uint32 {
	if r.Family() == s.lastFam && slices.Equal(s.last, r.Nexthops) && r.Type == fib.TypeUnicast && !r.Src.IsValid() && r.Scope != fib.ScopeHost {
		return s.lastID
	}
	if !able(r) {
		return 0
	}
	var id uint32
	if len(r.Nexthops) == 1 {
		id = s.ids[legOf(r.Family(), &r.Nexthops[0])]
	} else {
		id = s.sets[string(s.setName(r.Family(), r.Nexthops))]
	}
	s.last, s.lastFam, s.lastID = append(s.last[:0], r.Nexthops...), r.Family(), id
	return id
}

// settle gives ids: those of objects of ours that are equal already, then those of
// objects whose routes want something else now, so that one message moves them all,
// then free ones.
func (s *share) settle(d *Desired) ([]fib.NexthopObject, error) {
	s.flush()
	own := map[uint32]fib.NexthopObject{} // there, and not given
	taken := map[uint32]bool{}
	for i := range s.given {
		taken[s.given[i].ID] = true
	}
	var actual []fib.NexthopObject
	if s.src.Actual != nil {
		actual = s.src.Actual.Nexthops
	}
	for _, o := range actual {
		o.Group = slices.Clone(o.Group)
		NormalizeNexthop(&o)
		if s.src.Owner.OwnsNexthop(&o) && !taken[o.ID] {
			own[o.ID] = o
		}
		taken[o.ID] = true
	}
	var singles []leg
	for l := range s.ids {
		singles = append(singles, l)
	}
	slices.SortFunc(singles, compareLegs)
	names := slices.Sorted(maps.Keys(s.sets))
	byID := slices.Sorted(maps.Keys(own))
	for _, id := range byID { // equal ones
		o := own[id]
		if o.IsGroup() || o.Blackhole || o.FDB {
			continue
		}
		l := leg{o.Family, o.Nexthop}
		if have, wanted := s.ids[l]; wanted && have == 0 {
			s.ids[l] = id
			delete(own, id)
		}
	}
	moved, err := s.votes(own)
	if err != nil {
		return nil, err
	}
	next := s.src.Owner.Nexthops.First
	free := func() (uint32, error) {
		for ; s.src.Owner.Nexthops.Contains(next); next++ {
			if !taken[next] {
				taken[next] = true
				return next, nil
			}
		}
		return 0, mistake("nexthops", "the %d ids that are ours, %v, are not enough for %d different nexthops",
			s.src.Owner.Nexthops.Last-s.src.Owner.Nexthops.First+1, s.src.Owner.Nexthops, len(s.ids)+len(s.sets))
	}
	var out []fib.NexthopObject
	for _, l := range singles {
		if s.ids[l] == 0 {
			if s.ids[l] = moved.single[l]; s.ids[l] == 0 {
				if s.ids[l], err = free(); err != nil {
					return nil, err
				}
			}
		}
		out = append(out, fib.NexthopObject{ID: s.ids[l], Family: l.fam, Protocol: s.src.Owner.Protocol, Nexthop: l.Nexthop})
	}
	for _, name := range names {
		o := fib.NexthopObject{Protocol: s.src.Owner.Protocol, Group: s.members(name)}
		for _, id := range byID {
			if h, ok := own[id]; ok && h.IsGroup() && sameContent(&h, &o) {
				o.ID = id
				delete(own, id)
				break
			}
		}
		if o.ID == 0 {
			if _, still := own[moved.set[name]]; still {
				o.ID = moved.set[name]
				delete(own, o.ID)
			} else if o.ID, err = free(); err != nil {
				return nil, err
			}
		}
		s.sets[name] = o.ID
		out = append(out, o)
	}
	return out, nil
}

// members are a set's legs as members of a group.
func (s *share) members(name string) (out []fib.GroupMember) {
	for i := range s.legs[name] {
		n := &s.legs[name][i]
		out = append(out, fib.GroupMember{ID: s.ids[legOf(fib.Family(name[0]), n)], Weight: n.Weight})
	}
	return out
}

func compareLegs(a, b leg) int {
	return cmp.Or(cmp.Compare(a.fam, b.fam), cmp.Compare(a.Link, b.Link), a.Gateway.Compare(b.Gateway),
		cmp.Compare(a.Flags, b.Flags), cmp.Compare(a.Encap.Type, b.Encap.Type), cmp.Compare(a.Encap.Data, b.Encap.Data))
}

// moved are ids of objects that nobody wants as they are, by what most of their routes
// want now.
type moved struct {
	single map[leg]uint32
	set    map[string]uint32
}

// enoughVotes is how many routes are asked where the routes of unwanted objects want
// to go. Most move together or not at all.
const enoughVotes = 20_000

// votes looks at the routes that use objects of ours that nobody wants as they are.
func (s *share) votes(unwanted map[uint32]fib.NexthopObject) (moved, error) {
	m := moved{map[leg]uint32{}, map[string]uint32{}}
	fresh := len(s.sets) > 0
	for _, id := range s.ids {
		fresh = fresh || id == 0
	}
	if len(unwanted) == 0 || !fresh || s.src.Actual.Routes == nil {
		return m, nil
	}
	type vote struct {
		id   uint32
		l    leg
		name string
	}
	count, n := map[vote]int{}, 0
	f := &from{Source: s.src}
	for _, fam := range s.src.Owner.families() {
		for _, t := range s.src.Owner.tables() {
			for r, err := range s.src.Actual.Routes(fam, t) {
				if err != nil {
					return m, err
				}
				if _, ok := unwanted[r.NexthopID]; !ok || !s.src.Owner.OwnsRoute(r) {
					continue
				}
				Normalize(r)
				for _, w := range s.src.FIB.RoutesAt(t, r.Dst) {
					if wanted, _ := f.wants(&w); !wanted {
						continue
					}
					if Normalize(&w); !able(&w) || w.TOS != r.TOS || w.Priority != r.Priority {
						continue
					}
					v := vote{id: r.NexthopID}
					if len(w.Nexthops) == 1 {
						v.l = legOf(fam, &w.Nexthops[0])
						if s.ids[v.l] != 0 {
							continue
						}
					} else {
						v.name = string(s.setName(fam, w.Nexthops))
					}
					count[v]++
					n++
				}
				if n >= enoughVotes {
					break
				}
			}
		}
	}
	votes := slices.SortedFunc(maps.Keys(count), func(a, b vote) int {
		return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a.id, b.id), compareLegs(a.l, b.l), cmp.Compare(a.name, b.name))
	})
	used := map[uint32]bool{}
	for _, v := range votes {
		o := unwanted[v.id]
		if used[v.id] || o.IsGroup() != (v.name != "") || o.Resilient || o.Blackhole || o.FDB || !o.IsGroup() && o.Family != v.l.fam {
			continue
		}
		if v.name != "" && m.set[v.name] == 0 {
			m.set[v.name], used[v.id] = v.id, true
		} else if v.name == "" && m.single[v.l] == 0 {
			m.single[v.l], used[v.id] = v.id, true
			delete(unwanted, v.id)
		}
	}
	return m, nil
}
