package plan

import (
	"cmp"
	"iter"
	"net/netip"

	"github.com/fibula-net/fibula/fib"
)

// group holds the routes under one prefix. Its memory is used again.
type group struct {
	dst     netip.Prefix
	routes  []fib.Route
	numbers []int  // of a wanted group: those of the routes
	own     []bool // of an actual group: which are ours
}

func (g *group) reset(dst netip.Prefix) {
	g.dst, g.routes, g.numbers, g.own = dst, g.routes[:0], g.numbers[:0], g.own[:0]
}

func (g *group) add(r *fib.Route) {
	if len(g.routes) < cap(g.routes) {
		g.routes = g.routes[:len(g.routes)+1]
	} else {
		g.routes = append(g.routes, fib.Route{})
	}
	to := &g.routes[len(g.routes)-1]
	legs := to.Nexthops[:0]
	*to = *r
	to.Nexthops = append(legs, r.Nexthops...)
}

func (g *group) want(r *fib.Route, number int) {
	g.add(r)
	g.numbers = append(g.numbers, number)
}

func (g *group) have(r *fib.Route, own bool) {
	g.add(r)
	g.own = append(g.own, own)
}

// compareDump is the order of prefixes in a kernel's dump of one table (B9). IPv4: by
// address, and of one address the longer first. IPv6: what lies within a prefix
// before it.
func compareDump(f fib.Family, a, b netip.Prefix) int {
	if f == fib.Inet {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(b.Bits(), a.Bits()))
	}
	switch {
	case a == b:
		return 0
	case a.Bits() < b.Bits() && a.Contains(b.Addr()):
		return 1
	case b.Bits() < a.Bits() && b.Contains(a.Addr()):
		return -1
	}
	return a.Addr().Compare(b.Addr())
}

// ring keeps groups with their memory for the next time.
type ring struct{ free []*group }

func (k *ring) get() *group {
	if n := len(k.free); n > 0 {
		g := k.free[n-1]
		k.free = k.free[:n-1]
		return g
	}
	return new(group)
}

// batch is how many groups change hands at a time: a switch between the two sides of
// a merge costs as much as a few groups.
const batch = 64

// inDumpOrder yields the groups of a table of the desired state, some at a time, in
// the order of dumps. A snapshot has a prefix before what lies within it; a stack
// turns that round. Groups are valid until the next are asked for.
func (d *Desired) inDumpOrder(f fib.Family, t fib.TableID, count *int) iter.Seq[[]*group] {
	return func(yield func([]*group) bool) {
		var (
			k     ring
			stack []*group
			ready []*group
			on    = true
		)
		give := func(all bool) bool {
			if on && len(ready) > 0 && (all || len(ready) >= batch) {
				on = yield(ready)
				k.free = append(k.free, ready...)
				ready = ready[:0]
			}
			return on
		}
		after := func(top, next netip.Prefix) bool { // next comes before top, or behind it in the stack
			if f == fib.Inet {
				return top.Addr() == next.Addr()
			}
			return top.Overlaps(next)
		}
		*count = 0
		d.each(f, t, func(i int, r *fib.Route) bool {
			*count++
			if n := len(stack); n > 0 && stack[n-1].dst == r.Dst {
				stack[n-1].want(r, i)
				return true
			}
			for n := len(stack); n > 0 && !after(stack[n-1].dst, r.Dst); n-- {
				ready = append(ready, stack[n-1])
				stack = stack[:n-1]
			}
			if !give(false) {
				return false
			}
			g := k.get()
			g.reset(r.Dst)
			g.want(r, i)
			stack = append(stack, g)
			return true
		})
		for n := len(stack); n > 0; n-- {
			ready = append(ready, stack[n-1])
		}
		give(true)
	}
}
