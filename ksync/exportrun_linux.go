package ksync

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtnl"
	"github.com/fibula-net/fibula/ksync/plan"
)

const (
	// Events come in bursts, most of which one comparison settles.
	exportSettle = 10 * time.Millisecond
	// After a comparison the next waits this many times as long as it took, so that a
	// storm of links costs a fifth of a processor at most.
	exportRest = 4
	// What waits for a link or gateway, or stands behind another's, is tried again after
	// a while even if nothing is heard: first and last interval.
	exportRetry   = time.Second
	exportRetries = time.Minute
	withdrawTime  = 2 * time.Minute
)

// Export makes the kernel equal to what src desires and keeps it so until ctx is done:
// it mends what others delete or change, as soon as it hears of it, tries again what
// waits for a link, and follows src. Then it withdraws everything, unless told to
// persist.
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
	x := &exporting{Exporter: e, src: src, l: l, log: opt.logger(),
		fights: fights{objects: map[string]*fight{}, now: time.Now}, retryWait: exportRetry}
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
	src       Source
	l         *listener
	log       *slog.Logger
	want      *fib.Snapshot
	before    *fib.Snapshot // the last state that was accepted, while want is not yet
	desired   *plan.Desired // of the last comparison
	fights    fights
	pruneAt   time.Time // nothing is deleted before; zero: now
	notBefore time.Time // the next whole comparison
	retryAt   time.Time // zero: nothing waits
	retryWait time.Duration
	toldSince time.Time // fights told since then, a second ago at most
	told      int
	peaceAt   time.Time // the first wait after a fight ends; zero: nobody fights
	all       bool      // a whole comparison is due
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
			x.reload()
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
	r, err := x.Withdraw(ctx)
	if err == nil && r.Failed > 0 {
		err = fmt.Errorf("%d objects could not be withdrawn, such as: %v", r.Failed, r.Failures[0])
	}
	return err
}

func (x *exporting) reload() {
	s, err := x.src.Desired()
	if err != nil {
		x.refuse(err)
		return
	}
	if x.before == nil { // else want was not accepted yet
		x.before = x.want
	}
	x.want, x.all = s, true
	x.notBefore = time.Time{}
}

// refuse goes back to the last state that was accepted.
func (x *exporting) refuse(err error) {
	if x.before != nil {
		x.want, x.before = x.before, nil
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
	earlier(x.peaceAt)
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
	if n.overflow {
		x.event(ExportEvent{Kind: ExportOverflow})
	}
	if n.more && !n.all {
		if err := x.objects(ctx, n.port); err != nil {
			return err
		}
	}
	x.all = x.all || n.all
	if !x.all && len(n.routes) > 0 {
		if err := x.mend(ctx, n.routes); err != nil {
			return err
		}
	} else if x.all {
		for k, h := range n.routes {
			if h.deleted && len(n.routes) < maxHeard/10 {
				x.note(k.String(), h.port)
			}
		}
	}
	if due(&x.pruneAt) || due(&x.retryAt) {
		x.all, x.notBefore = true, time.Time{}
	}
	if due(&x.peaceAt) {
		x.all, x.peaceAt = true, x.fights.next()
	}
	if x.all && !time.Now().Before(x.notBefore) {
		return x.everything(ctx)
	}
	return nil
}

// note counts a loss, and tells of a fight when it begins.
func (x *exporting) note(name string, port uint32) (mend bool) {
	times, wait, begun := x.fights.lost(name)
	if begun {
		if at := time.Now().Add(wait); x.peaceAt.IsZero() || at.Before(x.peaceAt) {
			x.peaceAt = at
		}
	}
	if begun && x.mayTell() {
		w := writerOf(port)
		x.log.Warn("somebody takes away what is exported again and again; leaving it for a while",
			slog.String("object", name), slog.Int("times", times), slog.Duration("wait", wait), slog.String("writer", w.String()))
		x.event(ExportEvent{Kind: ExportFight, Object: name, Times: times, Wait: wait, Writer: w})
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
	x.all = false
	prune := x.pruneAt.IsZero() || !time.Now().Before(x.pruneAt)
	begin := time.Now()
	r, p, err := x.sync(ctx, x.want, prune, x.opt.Force, x.waits)
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
		x.refuse(err)
		return nil
	case errors.Is(err, ErrChanging), errors.Is(err, errLost):
		x.all = true
		return nil
	case err != nil:
		return err
	}
	x.desired, x.before = &p.desired, nil
	if r.InSync() {
		x.retryWait, x.retryAt = exportRetry, time.Time{}
	} else {
		x.retryAt = time.Now().Add(x.retryWait)
		x.retryWait = min(2*x.retryWait, exportRetries)
	}
	x.log.Debug("compared", slog.Int("done", r.Done), slog.Int("failed", r.Failed), slog.Duration("took", r.Took))
	x.event(ExportEvent{Kind: ExportSynced, Report: &r})
	return nil
}

// waits names operations of a fight that is left alone for now.
func (x *exporting) waits(op *plan.Op) bool {
	if len(x.fights.objects) == 0 || op.Verb == plan.Delete {
		return false
	}
	if op.Kind == plan.Route {
		k := keyOfRoute(op.Route)
		return x.fights.waiting(k.String())
	}
	return x.fights.waiting(op.Name())
}

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
	err = x.w.do(ctx, skipping(p.Ops(), func(op *plan.Op) bool { return op.Verb != plan.Delete && !x.note(op.Name(), port) }), &r, x.opt.Result)
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

// mended tells of repairs. What was refused, or is another's now, is tried again later.
func (x *exporting) mended(r *ExportReport, err error) error {
	if r.Done > 0 {
		x.event(ExportEvent{Kind: ExportRepaired, Times: r.Done})
	}
	if (r.Failed > 0 || len(r.Conflicts) > 0) && x.retryAt.IsZero() {
		x.retryAt = time.Now().Add(x.retryWait)
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
	err := x.w.do(ctx, x.repairs(lost), &r, x.opt.Result)
	return x.mended(&r, err)
}

func (x *exporting) repairs(lost map[routeKey]heard) iter.Seq[plan.Op] {
	return func(yield func(plan.Op) bool) {
		for k, h := range lost {
			wants := x.desired.At(&fib.Route{Table: k.table, Dst: k.dst, Src: k.src, TOS: k.tos, Priority: k.priority})
			op, ok := x.repair(wants, &h)
			switch {
			case !ok:
				if h.deleted && len(wants) > 0 {
					x.note(k.String(), h.port)
				}
				continue
			case op.Verb != plan.Delete && !x.note(k.String(), h.port):
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
	case len(wants) == 1 && plan.SameRoute(&h.route, &wants[0]) && !h.several:
		return op, false
	case h.route.Protocol == x.opt.Owner.Protocol && len(wants) == 1 && alone && !h.several:
		op.Verb, op.Route = plan.Replace, &wants[0]
	default: // several under one key, another's in place of ours, or too many
		x.all = true
		return op, false
	}
	return op, true
}
