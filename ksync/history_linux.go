package ksync

import (
	"fmt"
	"slices"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/rules"
)

// history knows which routes share a resolved entry in the kernel. A reply is made
// from that entry, which describes the route that was looked up first (C15, D22a,
// A27): what differs for this reason depends on earlier queries, which nobody can
// see, and must not be cleared in a namespace that is not ours.
type history struct {
	s      *fib.Snapshot
	st     *fib.State
	groups map[uint32][]uint32
	users  map[user]int
}

// user counts the routes of a family that use a nexthop object.
type user struct {
	f  fib.Family
	id uint32
}

func newHistory(s *fib.Snapshot, st *fib.State) *history {
	h := &history{s: s, st: st, groups: map[uint32][]uint32{}, users: map[user]int{}}
	for i := range st.Nexthops {
		o := &st.Nexthops[i]
		for _, m := range o.Group {
			h.groups[o.ID] = append(h.groups[o.ID], m.ID)
		}
	}
	for i := range st.Routes {
		if r := &st.Routes[i]; r.NexthopID != 0 {
			for _, id := range h.objects(r.NexthopID) {
				h.users[user{r.Family(), id}]++
			}
		}
	}
	return h
}

// objects are the nexthop objects behind an id, which may be a group's.
func (h *history) objects(id uint32) []uint32 {
	if members := h.groups[id]; len(members) > 0 {
		return members
	}
	return []uint32{id}
}

func (h *history) shared(r *fib.Route) bool {
	return r.NexthopID != 0 && slices.ContainsFunc(h.objects(r.NexthopID), func(id uint32) bool { return h.users[user{r.Family(), id}] > 1 })
}

// explains reports whether earlier queries can be the reason for all that differs.
func (h *history) explains(a *Answer) bool {
	e := h.s.Explain(a.Flow)
	object := slices.ContainsFunc(e.Steps, func(st fib.Step) bool { return st.Route != nil && h.shared(st.Route) })
	if a.Flow.Family() == fib.Inet6 {
		return !slices.ContainsFunc(a.Differences, func(d Difference) bool {
			switch d.Field {
			case "pref":
				return !object && !h.mixesPreferences(e.Route)
			case "oif", "gateway": // an object's own, but a copy may lead elsewhere
				return !object || !h.detours()
			case "errno", "fibmatch errno": // a copy of a deleted route leads nowhere
				return !object || !h.detours() && d.Kernel != fib.ENETUNREACH.Name()
			}
			return !object
		})
	}
	return !slices.ContainsFunc(a.Differences, func(d Difference) bool {
		switch d.Field {
		case "metrics":
			return !object
		case "type", "stored type", "mc", "brd", "local":
			return !object && !h.mixesMulticast(e.Route)
		case "flow":
			return !h.ruleRealms()
		}
		return true
	})
}

// detours reports whether a copy decides on more than it describes in IPv6: suppressors
// judge by it, and that of a reject route rejects.
func (h *history) detours() bool {
	return slices.ContainsFunc(h.st.Rules, func(r rules.Rule) bool {
		return r.Family == fib.Inet6 && (r.SuppressPrefixLength.Set || r.SuppressIfGroup.Set)
	}) || slices.ContainsFunc(h.st.Routes, func(r fib.Route) bool {
		return r.Family() == fib.Inet6 && r.Rejects() && h.shared(&r)
	})
}

// ruleRealms: the realm of a rule stays with the nexthop that it led to.
func (h *history) ruleRealms() bool {
	for i := range h.st.Rules {
		if h.st.Rules[i].Realms != 0 {
			return true
		}
	}
	return false
}

// mixesMulticast reports whether r shares its entry with a route of which one is
// for multicast destinations: all their attributes but prefix, TOS and table are
// the same.
func (h *history) mixesMulticast(r *fib.Route) bool {
	if r == nil || r.Family() != fib.Inet {
		return false
	}
	mine, multicast := infoOf(r), r.Dst.Addr().IsMulticast()
	for i := range h.st.Routes {
		o := &h.st.Routes[i]
		if o.Family() == fib.Inet && o.Dst.Addr().IsMulticast() != multicast && len(o.Nexthops) == len(r.Nexthops) && infoOf(o) == mine {
			return true
		}
	}
	return false
}

// mixesPreferences reports whether the legs of an IPv6 route have several: the
// reply through a leg names the preference of the leg that won on score when that
// leg was first used (D4a).
func (h *history) mixesPreferences(r *fib.Route) bool {
	return r != nil && slices.ContainsFunc(h.st.Routes, func(o fib.Route) bool {
		return o.Dst == r.Dst && o.Src == r.Src && o.Table == r.Table && o.Priority == r.Priority && o.Pref != r.Pref
	})
}

func infoOf(r *fib.Route) string {
	x := *r
	x.Dst, x.TOS, x.Table = r.Src, 0, 0
	return fmt.Sprintf("%+v", x)
}
