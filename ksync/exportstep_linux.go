package ksync

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/ksync/plan"
)

// An export is certain of what is there when the last synchronization was complete and all
// that was heard since was mended. Then a new state costs what it changes: see [plan.Step].

// step makes the kernel as want says, by what differs from the last state. False: all that is
// owned has to be looked at.
func (x *exporting) step(ctx context.Context) (bool, error) {
	if !x.certain || x.desired == nil || x.unlike() {
		return false, nil
	}
	begin := time.Now()
	actual, err := x.look(ctx)
	if err != nil {
		return false, x.later(err)
	}
	actual.Complete = x.alone
	p, d, missing, ok, err := plan.Step(x.source(x.want, actual), plan.Known{Desired: x.desired, Wanted: x.counts[plan.Route].Desired, Routes: x.there, Absent: x.absent()})
	if err != nil || !ok {
		return false, nil // which a whole comparison tells better
	}
	r := ExportReport{}
	x.refusals.round++
	x.certain = false // while it is at it
	next, rests := &planned{p, d, missing, actual.Complete}, 0
	if err := x.carryOut(ctx, next, &r, true, x.opt.Force, x.skip(&rests)); err != nil {
		var much *plan.TooMuchError
		if errors.As(err, &much) {
			x.refuse(err)
			x.certain, x.againAt = true, x.refusals.next()
			return true, nil
		}
		return false, x.later(err)
	}
	x.certain = rests == 0 && len(p.Conflicts) == 0
	x.refusals.stepped(p, &d)
	r.Took = time.Since(begin)
	x.synced(&r, next)
	return true, nil
}

// stepped forgets what was tried and taken, and what is wanted no more.
func (f *refusals) stepped(p *plan.Plan, d *plan.Desired) {
	if len(f.objects) == 0 {
		return
	}
	for op := range p.Ops() {
		k := keyOfOp(&op)
		if x := f.objects[k]; x != nil && x.met != f.round {
			delete(f.objects, k)
		}
	}
	for k := range f.objects {
		if k.name == "" && len(d.At(k.route.route())) == 0 {
			delete(f.objects, k)
		}
	}
}

// absent tells which wanted routes are not there, since they were refused.
func (x *exporting) absent() func(*fib.Route) bool {
	if len(x.refusals.objects) == 0 {
		return nil
	}
	return func(r *fib.Route) bool {
		f := x.refusals.objects[objectKey{route: keyOfRoute(r)}]
		return f != nil && f.verb == plan.Add
	}
}

// again tries what was refused once more, where that is all that is missing.
func (x *exporting) again(ctx context.Context) error {
	if !x.certain || x.desired == nil {
		x.all = true
		return nil
	}
	var due []objectKey
	for k, f := range x.refusals.objects {
		if x.refusals.rests(k) == nil {
			if k.name != "" || f.verb != plan.Add || len(x.desired.At(k.route.route())) != 1 {
				x.all = true // what is no lone route is better compared
				return nil
			}
			due = append(due, k)
		}
	}
	if len(due) == 0 {
		return nil
	}
	r := ExportReport{}
	begin := time.Now()
	x.refusals.round++
	if err := x.w.do(ctx, x.adding(due), &r, x.opt.Result); err != nil {
		return x.later(err)
	}
	for _, k := range due {
		if f := x.refusals.objects[k]; f != nil && f.tried != x.refusals.round {
			delete(x.refusals.objects, k)
		}
	}
	x.certain = x.countThere() && x.certain
	r.Counts, r.Missing, r.Took = x.counts, x.missing, time.Since(begin)
	x.refusals.standing(&r)
	x.againAt = x.refusals.next()
	x.event(ExportEvent{Kind: ExportSynced, Report: &r})
	return nil
}

func (x *exporting) adding(keys []objectKey) iter.Seq[plan.Op] {
	return func(yield func(plan.Op) bool) {
		for _, k := range keys {
			for _, w := range x.desired.At(k.route.route()) {
				if !yield(plan.Op{Kind: plan.Route, Route: &w}) {
					return
				}
			}
		}
	}
}

// route is one with this key.
func (k *routeKey) route() *fib.Route {
	return &fib.Route{Table: k.table, Dst: k.dst, Src: k.src, TOS: k.tos, Priority: k.priority}
}
