package ksync

import (
	"fmt"
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
	at   time.Time
	tell func() // nil: nobody asked
}

// explainedWithin is how late an announcement may be. A kernel that is about to send one
// may be interrupted. Tests, on machines that do much else, are more patient.
var explainedWithin = 100 * time.Millisecond

func (d *drift) prefix(p fib.TablePrefix, at time.Time, tell func()) {
	if d.prefixes == nil {
		d.prefixes = map[fib.TablePrefix]drifted{}
	}
	d.prefixes[p] = drifted{at, tell}
}

func (d *drift) object(name string, at time.Time, tell func()) {
	if d.objects == nil {
		d.objects = map[string]drifted{}
	}
	d.objects[name] = drifted{at, tell}
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
		clear(d.prefixes) // what follows from it was seen before it
	case eventAddress:
		delete(d.objects, addressName(&e.address))
		clear(d.prefixes)
	case eventNexthop:
		delete(d.objects, nexthopName(&e.nexthop))
		clear(d.prefixes)
	case eventRule:
		delete(d.objects, rulesName(e.rule.Family))
	}
}

// settle returns how much is drift for certain by now.
func (d *drift) settle(now time.Time) (n int) {
	old := func(x drifted) bool {
		if now.Sub(x.at) < explainedWithin {
			return false
		}
		n++
		if x.tell != nil {
			x.tell()
		}
		return true
	}
	for k, x := range d.prefixes {
		if old(x) {
			delete(d.prefixes, k)
		}
	}
	for k, x := range d.objects {
		if old(x) {
			delete(d.objects, k)
		}
	}
	return n
}

func linkName(l *fib.Link) string             { return fmt.Sprintf("link %d", l.Index) }
func nexthopName(o *fib.NexthopObject) string { return fmt.Sprintf("nexthop %d", o.ID) }
func rulesName(f fib.Family) string           { return fmt.Sprintf("%v rules", f) }

func addressName(a *fib.Address) string {
	return fmt.Sprintf("address %v in %v on link %d", a.Local, a.Prefix, a.Link)
}
