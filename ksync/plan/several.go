package plan

import (
	"slices"
	"strconv"

	"github.com/fibula-net/fibula/fib"
)

func protocolName(p fib.Protocol) string { return strconv.Itoa(int(p)) }

// pairSeveral makes one list of routes under a key another. What is wanted is appended
// behind what stays, and the rest goes after it; only what is exactly the same must go
// before it comes again, while others of the key are there.
func (p *Plan) pairSeveral(want, have []*fib.Route) {
	c := &p.Counts[Route]
	to := &p.special
	for _, r := range slices.Concat(want, have) {
		if classOf(r, p.blackholes) != delivers || classOf(r, p.wantBlackholes) != delivers {
			to = &p.late
		}
	}
	op := func(v Verb, r *fib.Route) {
		x := exactly(r)
		if v != Delete {
			x = *r
			x.Nexthops = slices.Clone(r.Nexthops)
		}
		*to = append(*to, Op{Verb: v, Kind: Route, Route: &x})
		switch v {
		case Delete:
			c.Deleted++
		case Replace:
			c.Replaced++
		default:
			c.Added++
		}
	}
	if want[0].Family() == fib.Inet6 {
		p.several6(want, have, op)
		return
	}
	kept, doomed := keep(have, want, len(want), SameRoute)
	// A deletion takes the first route that agrees with it, which must be no other one.
	for again := true; again; {
		again = false
		for _, d := range doomed {
			for i, r := range have {
				if r == have[d] {
					break
				}
				if at := slices.Index(kept, i); at >= 0 && agrees(exactly(have[d]), r) {
					kept, doomed = keep(have, want, at, SameRoute)
					again = true
					break
				}
			}
			if again {
				break
			}
		}
	}
	c.Kept += len(kept)
	left := len(have)
	gone := map[int]bool{}
	for _, r := range want[len(kept):] {
		for _, d := range doomed {
			if gone[d] || !SameRoute(have[d], r) {
				continue
			}
			op(Delete, have[d])
			gone[d] = true
			left--
		}
		v := Append
		if left == 0 {
			v = Add
		}
		op(v, r)
		left++
	}
	for _, d := range doomed {
		if !gone[d] {
			op(Delete, have[d])
		}
	}
}

// keep finds what of have can stay: in order the first routes wanted, at most n.
func keep[T any](have, want []T, n int, same func(have, want T) bool) (kept, doomed []int) {
	for i, r := range have {
		if len(kept) < n && same(r, want[len(kept)]) {
			kept = append(kept, i)
		} else {
			doomed = append(doomed, i)
		}
	}
	return kept, doomed
}

// agrees reports whether a deletion asks for r (B8).
func agrees(q fib.Route, r *fib.Route) bool {
	if q.Type != r.Type || q.Scope != r.Scope || q.PrefSrc.IsValid() && q.PrefSrc != r.PrefSrc || q.NexthopID != 0 && q.NexthopID != r.NexthopID {
		return false
	}
	for i, v := range q.Metrics.Values {
		if v != 0 && r.Metrics.Values[i] != v {
			return false
		}
	}
	if q.NexthopID != 0 || len(q.Nexthops) == 0 {
		return true
	}
	if r.NexthopID != 0 || len(q.Nexthops) > 1 && len(r.Nexthops) > len(q.Nexthops) || len(r.Nexthops) == 0 {
		return false
	}
	for i := range q.Nexthops {
		if i < len(r.Nexthops) {
			w, h := &q.Nexthops[i], &r.Nexthops[i]
			if w.Link != 0 && w.Link != h.Link || w.Gateway.IsValid() && w.Gateway != h.Gateway {
				return false
			}
		}
	}
	return true
}

// several6: in IPv6 gateway routes of one key are legs of one route. The first wanted
// takes the place of the first that a kernel replaces by it (D3); the others of ours go,
// and then the others come.
func (p *Plan) several6(want, have []*fib.Route, op func(Verb, *fib.Route)) {
	ecmp := func(r *fib.Route) bool {
		return r.NexthopID == 0 && len(r.Nexthops) > 0 && r.Nexthops[0].Gateway.IsValid()
	}
	replaced := slices.IndexFunc(have, func(r *fib.Route) bool { return ecmp(r) == ecmp(want[0]) })
	if replaced < 0 {
		replaced = 0
	}
	op(Replace, want[0])
	whole := ecmp(have[replaced])
	for i, r := range have {
		if i != replaced && !(whole && ecmp(r)) {
			op(Delete, r)
		}
	}
	for _, r := range want[1:] {
		op(Append, r)
	}
}
