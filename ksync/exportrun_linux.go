package ksync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/ksync/plan"
)

const (
	// Events come in bursts, most of which one comparison settles.
	exportSettle = 10 * time.Millisecond
	// After a comparison the next waits this many times as long as it took, so that a
	// storm of links costs a fifth of a processor at most.
	exportRest = 4
	// Where another's stands in the way, or too much would be deleted, everything is compared again
	// after a while, since nothing is heard of its end: first and last interval.
	exportRetry   = time.Second
	exportRetries = time.Minute
	withdrawTime  = 2 * time.Minute
	// How often it is looked whether the namespace still is what it was.
	exportAlive = time.Second
)

// Export makes the kernel equal to what src desires and keeps it so until ctx is done:
// it mends what others delete or change, as soon as it hears of it, tries again what
// waits for a link, and follows src. Then it withdraws everything, unless told to
// persist. Where the namespace goes ([ErrNamespaceGone]) or src ends ([ErrSourceEnded]) all stays as
// it is.
//
// An error before anything was written is one of [OpenExporter], of src or of
// [Exporter.Plan]; later ones of src leave the last state in force and are events. ctx's
// end is no error.
func Export(ctx context.Context, src Source, opt ExportOptions) error {
	e, err := OpenExporter(opt)
	if err != nil {
		return err
	}
	defer e.Close()
	inner, stop := context.WithCancel(ctx)
	defer stop()
	l, err := listen(inner, e)
	if err != nil {
		return err
	}
	defer l.close()
	defer stop()
	x := newExporting(e)
	x.src, x.l = src, l
	if x.want, err = src.Desired(); err != nil {
		return err
	}
	if opt.Grace > 0 {
		x.pruneAt = time.Now().Add(opt.Grace)
	}
	if err := x.everything(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return x.loop(ctx)
}

// exporting is an export that runs.
type exporting struct {
	*Exporter
	src      Source
	l        *listener
	log      *slog.Logger
	want     *fib.Snapshot
	before   *fib.Snapshot // the last state that was accepted, while want is not yet
	fights   fights
	refusals refusals

	// What the last synchronization left.
	desired *plan.Desired // nil: there was none
	counts  plan.Counts
	missing plan.Missing
	there   int  // routes of ours, while certain
	certain bool // what is there is what desired says, but for what was refused
	alone   bool // no other's route has a key of ours

	all, fresh bool      // a whole comparison is due; want is new
	pruneAt    time.Time // nothing is deleted before; zero: now
	notBefore  time.Time // the next whole comparison
	retryAt    time.Time // a whole comparison, since something is in the way; zero: nothing is
	retryWait  time.Duration
	againAt    time.Time // what was refused; zero: nothing was
	peaceAt    time.Time // the first wait after a fight ends; zero: nobody fights
	aliveAt    time.Time // the namespace is looked for
	toldSince  time.Time // what was told since then, a second ago at most
	told       int
}

func newExporting(e *Exporter) *exporting {
	x := &exporting{Exporter: e, log: e.opt.logger(), fights: newFights(time.Now), refusals: newRefusals(time.Now), retryWait: exportRetry,
		aliveAt: time.Now().Add(exportAlive)}
	e.w.refused = x.refused
	return x
}

func (x *exporting) event(ev ExportEvent) {
	if x.opt.Event != nil {
		x.opt.Event(ev)
	}
}

// loop follows the kernel and the source until ctx is done, then withdraws.
func (x *exporting) loop(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(x.sleep())
		select {
		case <-ctx.Done():
			return x.leave(ctx)
		case _, ok := <-x.src.Changed:
			if !ok {
				x.src.Changed = nil
				continue
			}
			if err := x.reload(); err != nil {
				if ctx.Err() != nil { // both end at once
					return x.leave(ctx)
				}
				return err
			}
		case <-x.l.wake:
		case <-timer.C:
		}
		if err := x.settle(ctx); err != nil {
			if ctx.Err() != nil {
				return x.leave(ctx)
			}
			return err
		}
	}
}

func (x *exporting) leave(ctx context.Context) error {
	if x.opt.Persist {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), withdrawTime)
	defer cancel()
	if err := x.withdrawKnown(ctx); err != nil { // what it leaves is found by what follows
		x.log.Debug("what is known could not be withdrawn", slog.Any("error", err))
	}
	r, err := x.Withdraw(ctx)
	if err == nil && r.Failed > 0 {
		err = fmt.Errorf("%d objects could not be withdrawn, such as: %v", r.Failed, r.Failures[0])
	}
	return err
}

// withdrawKnown deletes what is known to be there without a look at the tables, which leaves
// little of them to [Exporter.Withdraw].
func (x *exporting) withdrawKnown(ctx context.Context) error {
	if !x.certain || x.desired == nil {
		return nil
	}
	actual, err := x.look(ctx)
	if err != nil {
		return x.later(err)
	}
	actual.Complete = x.alone
	p, ok, err := plan.Withdraw(plan.Known{Desired: x.desired, Absent: x.absent()}, *actual)
	if err != nil || !ok {
		return nil // which a whole comparison tells better
	}
	return x.w.do(ctx, p.Ops(), new(ExportReport), x.opt.Result)
}

func (x *exporting) reload() error {
	s, err := x.src.Desired()
	if errors.Is(err, ErrSourceEnded) {
		return err
	}
	if err != nil {
		x.refuse(err)
		return nil
	}
	if x.before == nil { // else want was not accepted yet
		x.before = x.want
	}
	x.want, x.fresh = s, true
	return nil
}

// refuse goes back to the last state that was accepted.
func (x *exporting) refuse(err error) {
	if x.before != nil { // else nothing could be read
		x.want, x.before, x.fresh = x.before, nil, false
	}
	x.log.Error("the desired state was not accepted; the last one stays in force", slog.Any("error", err))
	x.event(ExportEvent{Kind: ExportRefused, Err: err})
}

// sleep is how long nothing needs to be done unless something is heard.
func (x *exporting) sleep() time.Duration {
	at := time.Now().Add(time.Hour)
	earlier := func(t time.Time) {
		if !t.IsZero() && t.Before(at) {
			at = t
		}
	}
	if x.all {
		at = x.notBefore
	}
	earlier(x.pruneAt)
	earlier(x.retryAt)
	earlier(x.againAt)
	earlier(x.peaceAt)
	if x.pin != nil {
		earlier(x.aliveAt)
	}
	return max(time.Until(at), time.Millisecond)
}

// due reports whether t has come, and forgets it.
func due(t *time.Time) bool {
	if t.IsZero() || time.Now().Before(*t) {
		return false
	}
	*t = time.Time{}
	return true
}

// settle does what the news ask for.
func (x *exporting) settle(ctx context.Context) error {
	n := x.l.take()
	if n.err != nil {
		return n.err
	}
	if now := time.Now(); !now.Before(x.aliveAt) {
		if err := x.alive(); err != nil {
			return err
		}
		x.aliveAt = now.Add(exportAlive)
	}
	if n.overflow {
		x.event(ExportEvent{Kind: ExportOverflow})
	}
	if n.more && !n.all {
		if err := x.objects(ctx, n.port); err != nil {
			return err
		}
	}
	for id := range n.lent {
		n.all = n.all || x.desired != nil && x.desired.Borrows(id)
	}
	if n.all { // links, addresses or nexthops, by which the kernel may take now what it refused
		x.all = true
		x.refusals.anew()
	}
	if n.shared {
		x.certain, x.alone = false, false
	}
	x.all = x.refusals.stirred(n.routes) || x.all
	if !x.all && len(n.routes) > 0 {
		if err := x.mend(ctx, n.routes); err != nil {
			return err
		}
	} else if x.all {
		for k, h := range n.routes {
			if h.deleted && len(n.routes) < maxHeard/10 {
				x.note(objectKey{route: k}, h.port)
			}
		}
	}
	if due(&x.pruneAt) || due(&x.retryAt) {
		x.all, x.notBefore = true, time.Time{}
	}
	if due(&x.peaceAt) {
		x.all, x.peaceAt = true, x.fights.next()
	}
	if due(&x.againAt) && !x.all && !x.fresh { // a new state is told of first
		if err := x.again(ctx); err != nil {
			return err
		}
	}
	if x.fresh && !x.all {
		ok, err := x.step(ctx)
		if err != nil {
			return err
		}
		x.all = x.all || !ok
	}
	if x.all && !time.Now().Before(x.notBefore) {
		return x.everything(ctx)
	}
	return nil
}

// note counts a loss, and tells of a fight when it begins.
func (x *exporting) note(k objectKey, port uint32) (mend bool) {
	times, wait, begun := x.fights.lost(k)
	if wait > 0 {
		x.certain = false
	}
	if begun {
		if at := time.Now().Add(wait); x.peaceAt.IsZero() || at.Before(x.peaceAt) {
			x.peaceAt = at
		}
	}
	if begun && x.mayTell() {
		w := writerOf(port)
		x.log.Warn("somebody takes away what is exported again and again; leaving it for a while",
			slog.String("object", k.String()), slog.Int("times", times), slog.Duration("wait", wait), slog.String("writer", w.String()))
		x.event(ExportEvent{Kind: ExportFight, Object: k.String(), Times: times, Wait: wait, Writer: w})
	}
	return wait == 0
}

// toldPerSecond bounds how many fights are told: a manager that takes away everything
// fights for each object.
const toldPerSecond = 20

func (x *exporting) mayTell() bool {
	if now := time.Now(); now.Sub(x.toldSince) > time.Second {
		x.toldSince, x.told = now, 0
	}
	x.told++
	return x.told <= toldPerSecond
}

// everything compares all that is owned and makes it equal.
func (x *exporting) everything(ctx context.Context) error {
	x.all, x.certain = false, false
	prune := x.prunes()
	begin, rests := time.Now(), 0
	x.refusals.round++
	r, p, err := x.sync(ctx, x.want, prune, x.opt.Force, x.skip(&rests))
	x.notBefore = time.Now().Add(max(exportRest*time.Since(begin), exportSettle))
	var (
		much    *plan.TooMuchError
		mistake *plan.Mistake
	)
	switch {
	case errors.As(err, &much) || errors.As(err, &mistake):
		if x.desired == nil {
			return err
		}
		if x.before == nil {
			x.tryLater()
			x.log.Error("what is not desired is left, and nothing is mended", slog.Any("error", err))
			x.event(ExportEvent{Kind: ExportGuarded, Err: err})
			return nil
		}
		x.all = true // the state before is compared instead
		x.refuse(err)
		return nil
	case errors.Is(err, ErrChanging), errors.Is(err, errLost):
		x.all = true
		return nil
	case err != nil:
		return err
	}
	x.refusals.settle()
	x.alone = x.alone || p.all || r.Counts[plan.Route].Kept == 0
	x.certain = prune && rests == 0 && len(p.Conflicts) == 0
	x.synced(&r, p)
	return nil
}

// synced notes what a synchronization left, and tells of it.
func (x *exporting) synced(r *ExportReport, p *planned) {
	x.desired, x.before, x.fresh = &p.desired, nil, false
	x.counts, x.missing = r.Counts, p.missing
	x.certain = x.countThere() && x.certain
	x.refusals.standing(r)
	if r.Done > 0 {
		x.refusals.revive()
	}
	if len(p.Conflicts) > 0 || x.refusals.more {
		x.tryLater()
	} else {
		x.retryWait, x.retryAt = exportRetry, time.Time{}
	}
	x.againAt = x.refusals.next()
	x.log.Debug("compared", slog.Bool("whole", r.Whole), slog.Int("done", r.Done), slog.Int("failed", r.Failed), slog.Duration("took", r.Took))
	x.event(ExportEvent{Kind: ExportSynced, Report: r})
}

// tryLater has everything compared again after a while.
func (x *exporting) tryLater() {
	x.retryAt = time.Now().Add(x.retryWait)
	x.retryWait = min(2*x.retryWait, exportRetries)
}

// countThere counts the routes of ours that are there, if the refusals tell.
func (x *exporting) countThere() bool {
	absent, only := x.refusals.absent()
	x.there = x.counts[plan.Route].Desired - absent
	return only
}

// prunes reports whether what is not desired is deleted by now.
func (x *exporting) prunes() bool { return x.pruneAt.IsZero() || !time.Now().Before(x.pruneAt) }

// skip names operations that rest for now: those of a fight, of which it counts how many, and
// those that were refused, unless what is wanted has changed since.
func (x *exporting) skip(fought *int) func(*plan.Op) bool {
	return func(op *plan.Op) bool {
		if len(x.fights.objects)+len(x.refusals.objects) == 0 {
			return false
		}
		k := keyOfOp(op)
		if x.fights.waiting(k) && (op.Verb != plan.Delete || x.wantedAt(op) > 0) {
			*fought++
			return true
		}
		r := x.refusals.rests(k)
		if r == nil || !x.concerns(r, op) || x.desired == nil {
			return false
		}
		if !x.wantedBefore(op) {
			if r.tried != x.refusals.round { // that was of what was wanted before
				delete(x.refusals.objects, k)
			}
			return false
		}
		r.met, r.beset = x.refusals.round, x.besets(op)
		return true
	}
}

// wantedBefore reports whether what is to be entered was wanted the last time.
func (x *exporting) wantedBefore(op *plan.Op) bool {
	switch {
	case op.Verb == plan.Delete:
		return true
	case op.Kind == plan.Route:
		return slices.ContainsFunc(x.desired.At(op.Route), func(r fib.Route) bool { return plan.SameRoute(&r, op.Route) })
	case op.Kind == plan.Nexthop:
		return slices.ContainsFunc(x.desired.Nexthops, func(o fib.NexthopObject) bool {
			return o.ID == op.Nexthop.ID && plan.SameNexthop(&o, op.Nexthop)
		})
	}
	return true // its name says all of it
}
