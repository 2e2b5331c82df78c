package ksync

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"maps"
	"slices"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtnl"
	"github.com/fibula-net/fibula/ksync/plan"
)

// objects compares rules and nexthop objects, which are few, and mends them.
func (x *exporting) objects(ctx context.Context, port uint32) error {
	if x.desired == nil {
		return nil
	}
	d := *x.desired
	d.Owner.Tables = nil
	if d.Owner.Rules.IsZero() && d.Owner.Nexthops.IsZero() {
		return nil
	}
	actual, err := x.look(ctx)
	if err != nil {
		return x.later(err)
	}
	p, err := plan.New(d, *actual)
	if err != nil {
		return err
	}
	if p.Counts[plan.Nexthop].Changes() > 0 { // routes may have gone with them
		x.all = true
		return nil
	}
	var r ExportReport
	x.refusals.round++
	skip := func(op *plan.Op) bool {
		if op.Verb == plan.Delete {
			return !x.prunes()
		}
		k := keyOfOp(op)
		if x.refusals.objects[k] != nil { // nobody took it away; it is tried again in its time
			return true
		}
		return !x.note(k, port)
	}
	err = x.w.do(ctx, skipping(p.Ops(), skip), &r, x.opt.Result)
	return x.mended(&r, err)
}

// later leaves what a change in the middle of a look prevented to a whole comparison.
func (x *exporting) later(err error) error {
	if errors.Is(err, errInterrupted) || errors.Is(err, errLost) || errors.Is(err, ErrChanging) {
		x.all = true
		return nil
	}
	return err
}

// mended tells of repairs. What was refused is tried again later. What stands where something was
// taken away may be another's, or ours, when the news came late.
func (x *exporting) mended(r *ExportReport, err error) error {
	if r.Done > 0 {
		x.event(ExportEvent{Kind: ExportRepaired, Times: r.Done})
	}
	if r.Failed+len(r.Conflicts) > 0 {
		x.certain = x.countThere() && x.certain
		x.againAt = x.refusals.next()
	}
	x.all = x.all || len(r.Conflicts) > 0
	if err != nil {
		x.certain = false
	}
	return x.later(err)
}

// mend restores routes from what was heard of them, without a look at the table.
func (x *exporting) mend(ctx context.Context, lost map[routeKey]heard) error {
	if x.desired == nil {
		x.all = true
		return nil
	}
	var r ExportReport
	x.refusals.round++
	err := x.w.do(ctx, x.repairs(lost), &r, x.opt.Result)
	return x.mended(&r, err)
}

// compareKeys orders routes so that their places in a table, ours and the kernel's, are near each other.
func compareKeys(a, b routeKey) int {
	return cmp.Or(cmp.Compare(a.table, b.table), a.dst.Addr().Compare(b.dst.Addr()), cmp.Compare(a.dst.Bits(), b.dst.Bits()), a.src.Compare(b.src),
		cmp.Compare(a.tos, b.tos), cmp.Compare(a.priority, b.priority))
}

func (x *exporting) repairs(lost map[routeKey]heard) iter.Seq[plan.Op] {
	return func(yield func(plan.Op) bool) {
		for _, k := range slices.SortedFunc(maps.Keys(lost), compareKeys) {
			h := lost[k]
			wants := x.desired.At(k.route())
			op, ok := x.repair(wants, &h)
			switch {
			case !ok:
				if h.deleted && len(wants) > 0 {
					x.note(objectKey{route: k}, h.port)
				}
				continue
			case op.Verb != plan.Delete && !x.note(objectKey{route: k}, h.port):
				continue
			}
			if !yield(op) {
				return
			}
		}
	}
}

// repair is what mends one key, if a request alone can.
func (x *exporting) repair(wants []fib.Route, h *heard) (op plan.Op, ok bool) {
	op = plan.Op{Kind: plan.Route}
	alone := h.flags&(rtnl.NLM_F_REPLACE|rtnl.NLM_F_EXCL) != 0 // the first, or only one, under its key
	switch {
	case h.deleted && len(wants) == 0:
		return op, false
	case h.deleted && len(wants) == 1:
		if wants[0].Family() == fib.Inet6 && len(wants[0].Nexthops) > 1 {
			// Perhaps one leg of them (F5). To replace what is left could hit another's route.
			x.all = true
			return op, false
		}
		op.Verb, op.Route = plan.Add, &wants[0]
	case len(wants) == 1 && plan.SameRoute(h.route, &wants[0]) && !h.several:
		return op, false
	case len(wants) == 1 && h.route.Protocol == x.opt.Owner.Protocol && alone && !h.several:
		op.Verb, op.Route = plan.Replace, &wants[0]
	default: // several under one key, another's in place of ours, or too many
		x.all = true
		return op, false
	}
	return op, true
}
