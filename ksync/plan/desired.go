package plan

import (
	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/rules"
)

// Desired is what should be there. [From] makes one.
type Desired struct {
	Owner    Owner
	Routes   *fib.Snapshot       // whose routes of the owned tables are wanted; nil: none
	Rules    []rules.Rule        // in list order
	Nexthops []fib.NexthopObject // normalized
	// Edit changes a route of the snapshot to what is wanted, or says false to leave it
	// out. It must do the same each time. nil: only the protocol is set.
	Edit func(*fib.Route) bool

	from *from // that made it; nil: none did
	only scope // if not nil, nothing but these prefixes is gone through
}

// each calls fn for each wanted route of a table, normalized, with its number among all of the
// snapshot.
func (d *Desired) each(f fib.Family, t fib.TableID, fn func(int, *fib.Route) bool) {
	if d.Routes == nil || !d.Owner.HasFamily(f) {
		return
	}
	i := 0
	one := func(r *fib.Route) bool {
		i++
		return !d.edit(r) || fn(i-1, r)
	}
	if d.only == nil {
		d.Routes.EachRoute(f, t, one)
		return
	}
	for _, p := range d.only[tableOf{f, t}] {
		for _, r := range d.Routes.RoutesAt(t, p) {
			if !one(&r) {
				return
			}
		}
	}
}

// spread is how far apart in a table two routes are that come, or go, one after the other: one address
// after the other, a kernel would resize the nodes of its trie again and again. What takes it the least work
// was measured with the internet's table: half of that for additions, a third for deletions.
const (
	spreadIn  = 8
	spreadOut = 16
)

// eachSpread is each for the routes of which some says so by number, not in order if they are many.
func (d *Desired) eachSpread(f fib.Family, t fib.TableID, many bool, some func(int) bool, fn func(int, *fib.Route) bool) {
	one := func(n int, r *fib.Route) bool { return !some(n) || !d.edit(r) || fn(n, r) }
	if many && d.only == nil && f == fib.Inet {
		d.Routes.EachRouteSpread(t, spreadIn, some, one)
		return
	}
	d.each(f, t, func(n int, r *fib.Route) bool { return !some(n) || fn(n, r) })
}

// edit makes r what is wanted, unless it is not.
func (d *Desired) edit(r *fib.Route) bool {
	if d.Edit != nil && !d.Edit(r) {
		return false
	}
	r.Protocol = d.Owner.Protocol
	Normalize(r)
	return true
}

// At returns the wanted routes of a table under exactly dst of r's key, in order.
func (d *Desired) At(r *fib.Route) (out []fib.Route) {
	if d.Routes == nil || !d.Owner.OwnsTable(r.Table) || !d.Owner.HasFamily(r.Family()) {
		return nil
	}
	for _, x := range d.Routes.RoutesAt(r.Table, r.Dst) {
		if d.edit(&x) && keyOf(&x) == keyOf(r) {
			out = append(out, x)
		}
	}
	return out
}

// Borrows reports whether a wanted route may use a nexthop object that is not ours, and with
// which it goes.
func (d *Desired) Borrows(id uint32) bool { return d.from != nil && d.from.borrowed[id] }

// Count is the number of wanted routes.
func (d *Desired) Count() (n int) {
	for _, f := range d.Owner.families() {
		for _, t := range d.Owner.tables() {
			d.each(f, t, func(int, *fib.Route) bool { n++; return true })
		}
	}
	return n
}
