package plan

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/fibula-net/fibula/fib"
)

// objectPlan is what happens to nexthop objects.
type objectPlan struct {
	adds, replaces, lateReplaces, deletes []fib.NexthopObject
}

// in yields what comes before routes: members before groups.
func (p *objectPlan) in(yield func(Op) bool) bool {
	for _, groups := range []bool{false, true} {
		for v, list := range [...][]fib.NexthopObject{p.adds, p.replaces} {
			for i := range list {
				if list[i].IsGroup() == groups && !yield(Op{Verb: [...]Verb{Add, Replace}[v], Kind: Nexthop, Nexthop: &list[i]}) {
					return false
				}
			}
		}
	}
	return true
}

// out yields what comes after routes: groups go before members.
func (p *objectPlan) out(yield func(Op) bool) bool {
	for i := range p.lateReplaces {
		if !yield(Op{Verb: Replace, Kind: Nexthop, Nexthop: &p.lateReplaces[i]}) {
			return false
		}
	}
	for _, groups := range []bool{true, false} {
		for i := range p.deletes {
			if p.deletes[i].IsGroup() == groups && !yield(Op{Verb: Delete, Kind: Nexthop, Nexthop: &p.deletes[i]}) {
				return false
			}
		}
	}
	return true
}

func (p *Plan) planNexthops(actual *Actual) {
	c := &p.Counts[Nexthop]
	p.blackholes, p.wantBlackholes = map[uint32]bool{}, map[uint32]bool{}
	have := map[uint32]*fib.NexthopObject{}
	foreignMember := map[uint32]uint32{} // of which foreign group
	for i := range actual.Nexthops {
		o := actual.Nexthops[i]
		o.Group = slices.Clone(o.Group)
		NormalizeNexthop(&o)
		have[o.ID] = &o
		own := p.want.Owner.OwnsNexthop(&o)
		if own {
			c.Owned++
		}
		for _, m := range o.Group {
			if !own {
				foreignMember[m.ID] = o.ID
			}
		}
	}
	blackholes(p.blackholes, actual.Nexthops)
	blackholes(p.wantBlackholes, actual.Nexthops)
	for i := range p.want.Nexthops {
		delete(p.wantBlackholes, p.want.Nexthops[i].ID)
	}
	blackholes(p.wantBlackholes, p.want.Nexthops)
	wanted := map[uint32]bool{}
	byID := func(a, b fib.NexthopObject) int { return cmp.Compare(a.ID, b.ID) }
	for _, w := range slices.SortedFunc(slices.Values(p.want.Nexthops), byID) {
		wanted[w.ID] = true
		c.Desired++
		h := have[w.ID]
		conflict := func(reason, foreign string) {
			p.Conflicts = append(p.Conflicts, Conflict{Kind: Nexthop, Object: fmt.Sprintf("nexthop id %d", w.ID), Reason: reason, Foreign: foreign})
		}
		switch {
		case h == nil:
			p.objects.adds = append(p.objects.adds, w)
			c.Added++
		case !p.want.Owner.OwnsNexthop(h):
			conflict("the id is another's", "protocol "+protocolName(h.Protocol))
		case SameNexthop(h, &w):
			c.Kept++
		case kindOf(h) != kindOf(&w) && !(h.Resilient && w.Resilient && len(w.Buckets) == 0):
			conflict("a kernel cannot change what kind of nexthop it is; give the new one another id", fmt.Sprintf("it is a %s now", kindOf(h)))
		default:
			c.Replaced++
			if w.Blackhole && !h.Blackhole {
				p.objects.lateReplaces = append(p.objects.lateReplaces, w)
			} else {
				p.objects.replaces = append(p.objects.replaces, w)
			}
		}
	}
	for _, o := range actual.Nexthops {
		if !p.want.Owner.OwnsNexthop(&o) || wanted[o.ID] || !p.familyOf(have, have[o.ID]) {
			continue
		}
		by, used := "", false
		if g := foreignMember[o.ID]; g != 0 {
			by, used = fmt.Sprintf("nexthop id %d", g), true
		} else if actual.Users != nil {
			by, used = actual.Users(o.ID)
		}
		if used {
			p.Conflicts = append(p.Conflicts, Conflict{Kind: Nexthop, Object: fmt.Sprintf("nexthop id %d", o.ID), Foreign: by,
				Reason: "it is left, because what is not ours would go with it"})
			continue
		}
		p.objects.deletes = append(p.objects.deletes, o)
		c.Deleted++
	}
}

// familyOf reports whether an object is of a family of concern.
func (p *Plan) familyOf(have map[uint32]*fib.NexthopObject, o *fib.NexthopObject) bool {
	if o.IsGroup() {
		m := have[o.Group[0].ID]
		return m == nil || m.IsGroup() || p.want.Owner.HasFamily(m.Family)
	}
	return p.want.Owner.HasFamily(o.Family)
}

// kindOf is what a replacement cannot change.
func kindOf(o *fib.NexthopObject) string {
	switch {
	case o.Resilient:
		return fmt.Sprintf("resilient group of %d buckets", len(o.Buckets))
	case o.IsGroup():
		return "group"
	case o.FDB:
		return "nexthop of layer 2"
	}
	return fmt.Sprintf("%v nexthop", o.Family)
}

// blackholes notes the objects through which nothing is delivered.
func blackholes(to map[uint32]bool, all []fib.NexthopObject) {
	for i := range all {
		if all[i].Blackhole {
			to[all[i].ID] = true
		}
	}
	for i := range all {
		if g := all[i].Group; len(g) == 1 && to[g[0].ID] {
			to[all[i].ID] = true
		}
	}
}
