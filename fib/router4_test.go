package fib

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/internal/conformance"
	"github.com/fibula-net/fibula/internal/randtest"
)

// What a choice among default routers can come to is what the kernel's loop comes to,
// taken word by word, for one or another last choice.
func TestDefaultRoutersForEveryLastChoice(t *testing.T) {
	conformance.CoversEngine(t, "B18")
	g := rand.New(rand.NewPCG(randtest.Seed(t), 1))
	states := []NeighState{0, NeighReachable, NeighStale, NeighFailed, NeighFailed, NeighIncomplete}
	opened := 0
	for range randtest.Fewer(3000) {
		s := loaded(t, Config{}, routersState(1+g.IntN(5), func(int) NeighState { return states[g.IntN(len(states))] }, func(r *Route) {
			switch g.IntN(12) {
			case 0:
				r.TOS = 0x10
			case 1:
				r.Scope = ScopeLink
			case 2:
				r.Type, r.Nexthops = TypeLocal, []Nexthop{{Link: 2, Weight: 1}}
			case 3:
				r.Priority = 5
			case 4:
				r.Flags = RouteFlags(FlagDead)
			}
		})).Snapshot()
		list := s.leafAt(s.table(Inet, TableMain), netip.PrefixFrom(netip.IPv4Unspecified(), 0)).plain
		for _, a := range list {
			w := newWalk(s, Flow{Dst: netip.MustParseAddr("9.9.9.9"), TOS: 0x10 * uint8(g.IntN(2))}, nil)
			w.fork = &fork{}
			h := &hit{alias: a}
			chosen, n := w.routerAfter(list, h, -1)
			want := []*alias{or(chosen, a)}
			for last := range n {
				chosen, _ := w.routerAfter(list, h, last)
				if b := or(chosen, a); !slices.Contains(want, b) {
					want = append(want, b)
				}
			}
			likely, open, possible := w.outcomes(w.routers(nil, list, h, 0), h, nil)
			require.Equal(t, want[0], likely)
			require.Equal(t, len(want) > 1, open)
			if open {
				require.Equal(t, want, possible)
				opened++
			}
		}
	}
	require.Positive(t, opened)
}

func or(a, b *alias) *alias {
	if a == nil {
		return b
	}
	return a
}

// routersState has n equal default routes.
func routersState(n int, neigh func(int) NeighState, change func(*Route)) *State {
	st := twoLinks()
	for i := range n {
		gw := netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)})
		r := Route{Table: TableMain, Dst: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Type: TypeUnicast,
			Nexthops: []Nexthop{{Link: 2, Gateway: gw, Weight: 1, Scope: ScopeLink, ScopeSet: true}}}
		change(&r)
		st.Routes = append(st.Routes, r)
		if state := neigh(i); state != 0 {
			st.Neighbours = append(st.Neighbours, Neighbour{Link: 2, Addr: gw, State: state})
		}
	}
	return st
}

// The cost grows with the number of default routes, not with its square.
func BenchmarkDefaultRouters(b *testing.B) {
	s := loaded(b, Config{}, routersState(10_000, func(int) NeighState { return 0 }, func(*Route) {})).Snapshot()
	f := Flow{Dst: netip.MustParseAddr("9.9.9.9")}
	for b.Loop() {
		s.Resolve(f)
	}
}

// routerAfter is the default route chosen when the last choice was number last,
// nil if the one found stands, and the number of candidates.
func (w *walk) routerAfter(list []*alias, h *hit, last int) (chosen *alias, candidates int) {
	var candidate, resort *alias
	order, resortAt := -1, -1
	priority, tos := h.alias.priority, uint8(0)
	for _, a := range list {
		if a.tos != 0 && a.tos != w.key.TOS&0x1c {
			continue
		}
		if a.priority > priority && a.tos == tos {
			if tos != 0 {
				continue
			}
			break
		}
		if a.flags&RouteFlags(FlagDead) != 0 {
			continue
		}
		tos, priority = a.tos, a.priority
		legs := w.s.legs(a)
		if a.scope != h.alias.scope || a.typ != TypeUnicast || len(legs) == 0 || !legs[0].usesGateway() {
			continue
		}
		if candidate == nil && a != h.alias {
			break
		}
		if candidate != nil && chosen == nil && w.routerAlive(candidate, order, last, &resort, &resortAt) {
			chosen = candidate
		}
		candidate = a
		order++
	}
	switch {
	case order <= 0:
		return nil, 0
	case chosen != nil:
	case w.routerAlive(candidate, order, last, &resort, &resortAt):
		chosen = candidate
	default:
		chosen = resort
	}
	return chosen, order + 1
}

// routerAlive reports whether candidate number order is taken at once; if not, it
// may become the last resort.
func (w *walk) routerAlive(a *alias, order, last int, resort **alias, resortAt *int) bool {
	n := &w.s.legs(a)[0]
	state, ok := w.s.neigh(n.Link, n.Gateway)
	if !ok || state == NeighReachable || state.Valid() && order != last {
		return true
	}
	if state.Valid() || *resortAt < 0 && order > last && state != NeighIncomplete {
		*resort, *resortAt = a, order
	}
	return false
}
