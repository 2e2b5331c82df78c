package ksync

import (
	"context"
	"iter"
	"time"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/ksync/plan"
)

// Sync makes the kernel equal to s, once. What was there already needs no write.
//
// A refusal of single operations is in the report and no error. Errors, before
// anything is written: those of [Exporter.Plan], and *[plan.TooMuchError]; after that,
// of the socket or ctx.
func (e *Exporter) Sync(ctx context.Context, s *fib.Snapshot) (ExportReport, error) {
	r, _, err := e.sync(ctx, s, true, e.opt.Force, nil)
	return r, err
}

// sync deletes only if prune is set. skip names operations that are left out.
func (e *Exporter) sync(ctx context.Context, s *fib.Snapshot, prune, force bool, skip func(*plan.Op) bool) (r ExportReport, p *planned, err error) {
	begin := time.Now()
	if p, err = e.plan(ctx, s); err != nil {
		return r, nil, err
	}
	err = e.carryOut(ctx, p, &r, prune, force, skip)
	r.Whole, r.Took = true, time.Since(begin)
	return r, p, err
}

// carryOut does what a plan says.
func (e *Exporter) carryOut(ctx context.Context, p *planned, r *ExportReport, prune, force bool, skip func(*plan.Op) bool) error {
	r.Counts, r.Conflicts, r.Missing, r.Unproven = p.Counts, p.Conflicts, p.missing, p.Unproven
	if prune && !force {
		if err := r.Counts.Guard(e.opt.maxDelete()); err != nil {
			return err
		}
	}
	ops := p.Ops()
	if !prune {
		ops = p.WithoutDeletions()
	}
	if skip != nil {
		ops = skipping(ops, skip)
	}
	return e.w.do(ctx, ops, r, e.opt.Result)
}

func skipping(ops iter.Seq[plan.Op], skip func(*plan.Op) bool) iter.Seq[plan.Op] {
	return func(yield func(plan.Op) bool) {
		for op := range ops {
			if !skip(&op) && !yield(op) {
				return
			}
		}
	}
}

// Withdraw deletes everything that is owned.
func (e *Exporter) Withdraw(ctx context.Context) (ExportReport, error) {
	r, _, err := e.sync(ctx, fib.New(fib.Config{}).Snapshot(), true, true, nil)
	return r, err
}
