package ksync

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/fibula-net/fibula/fib"
)

// drift collects what was found to differ until it is certain that no announcement
// explains it: a kernel shows a change a moment before it announces it.
type drift struct {
	prefixes map[fib.TablePrefix]drifted
	objects  map[string]drifted
}

type drifted struct {
	at     time.Time
	tell   func()      // nil: nobody asked
	routes []fib.Route // of a prefix, as both sides have them
}

// hangsOn reports whether a change of a link, of an address, or with nexthop of an object can
// be what a prefix differs by.
func (x *drifted) hangsOn(link int32, addr netip.Addr, nexthop bool) bool {
	for i := range x.routes {
		r := &x.routes[i]
		if r.NexthopID != 0 || len(r.Nexthops) == 0 || !nexthop && addr.IsValid() && r.PrefSrc == addr {
			return true
		}
		if !nexthop && slices.ContainsFunc(r.Nexthops, func(n fib.Nexthop) bool { return n.Link == link }) {
			return true
		}
	}
	return false
}

// explainedWithin is how late an announcement may be. A kernel that is about to send one
// may be interrupted. Tests, on machines that do much else, are more patient.
var explainedWithin = 100 * time.Millisecond

func (d *drift) prefix(p fib.TablePrefix, at time.Time, routes []fib.Route, tell func()) {
	if d.prefixes == nil {
		d.prefixes = map[fib.TablePrefix]drifted{}
	}
	d.prefixes[p] = drifted{at, tell, routes}
}

func (d *drift) object(name string, at time.Time, tell func()) {
	if d.objects == nil {
		d.objects = map[string]drifted{}
	}
	d.objects[name] = drifted{at: at, tell: tell}
}

func (d *drift) none() bool { return len(d.prefixes)+len(d.objects) == 0 }

// explain takes back what e announces.
func (d *drift) explain(e *event) {
	if d.none() {
		return
	}
	switch e.kind {
	case eventRoute:
		delete(d.prefixes, fib.TablePrefix{Table: e.route.Table, Dst: e.route.Dst})
	case eventLink:
		delete(d.objects, linkName(&e.link))
		d.follows(e.link.Index, netip.Addr{}, false)
	case eventAddress:
		delete(d.objects, addressName(&e.address))
		d.follows(e.address.Link, e.address.Local, false)
	case eventNexthop:
		delete(d.objects, nexthopName(&e.nexthop))
		d.follows(0, netip.Addr{}, true)
	case eventRule:
		delete(d.objects, rulesName(e.rule.Family))
	}
}

// follows takes back what follows from an announcement, and was seen before it.
func (d *drift) follows(link int32, addr netip.Addr, nexthop bool) {
	maps.DeleteFunc(d.prefixes, func(_ fib.TablePrefix, x drifted) bool { return x.hangsOn(link, addr, nexthop) })
}

// due reports whether something waits that nothing has explained in time.
func (d *drift) due(now time.Time) bool {
	for _, x := range d.objects {
		if now.Sub(x.at) >= explainedWithin {
			return true
		}
	}
	for _, x := range d.prefixes {
		if now.Sub(x.at) >= explainedWithin {
			return true
		}
	}
	return false
}

// settle returns how much is drift for certain by now, and names one of it.
func (d *drift) settle(now time.Time) (n int, such string) {
	old := func(name any, x drifted) bool {
		if now.Sub(x.at) < explainedWithin {
			return false
		}
		if n++; n == 1 {
			such = fmt.Sprint(name)
		}
		if x.tell != nil {
			x.tell()
		}
		return true
	}
	for k, x := range d.prefixes {
		if old(Open{TablePrefix: k}, x) {
			delete(d.prefixes, k)
		}
	}
	for k, x := range d.objects {
		if old(k, x) {
			delete(d.objects, k)
		}
	}
	return n, such
}

func linkName(l *fib.Link) string             { return fmt.Sprintf("link %d", l.Index) }
func nexthopName(o *fib.NexthopObject) string { return fmt.Sprintf("nexthop %d", o.ID) }
func rulesName(f fib.Family) string           { return fmt.Sprintf("%v rules", f) }

func addressName(a *fib.Address) string {
	return fmt.Sprintf("address %v in %v on link %d", a.Local, a.Prefix, a.Link)
}
