package lockstep

import (
	"context"
	"fmt"
	"time"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/ksync"
	"github.com/fibula-net/fibula/ksync/plan"
)

var owner = plan.Owner{Protocol: foreign, Tables: []fib.TableID{fib.TableMain}, Nexthops: plan.Range{First: 1000, Last: 2000}}

// exporting is an export that runs.
type exporting struct {
	events chan ksync.ExportEvent
	stop   context.CancelFunc
	done   chan struct{}
	err    error // after done
}

// export starts one of all routes.
func (b *run) export(ctx context.Context, mode plan.Mode) *exporting {
	ctx, stop := context.WithCancel(ctx)
	x := &exporting{events: make(chan ksync.ExportEvent, 1<<16), stop: stop, done: make(chan struct{})}
	go func() {
		defer close(x.done)
		x.err = ksync.Export(ctx, ksync.Fixed(b.desired), ksync.ExportOptions{NetNS: b.netns(), Owner: owner, Nexthops: mode, Force: true,
			Event: func(e ksync.ExportEvent) { x.events <- e }})
	}()
	return x
}

// next is the next event.
func (x *exporting) next(ctx context.Context) (ksync.ExportEvent, error) {
	select {
	case e := <-x.events:
		return e, nil
	case <-x.done:
		return ksync.ExportEvent{}, fmt.Errorf("the export ended: %w", x.err)
	case <-ctx.Done():
		return ksync.ExportEvent{}, ctx.Err()
	}
}

// synced waits for the first comparison, which writes everything.
func (x *exporting) synced(ctx context.Context) error {
	for {
		e, err := x.next(ctx)
		if err != nil {
			return err
		}
		if e.Kind == ksync.ExportSynced {
			if !e.Report.InSync() {
				return fmt.Errorf("%w: %d operations failed, such as %v", errNotThere, e.Report.Failed, e.Report.Failures)
			}
			return nil
		}
	}
}

// end withdraws everything.
func (x *exporting) end() error {
	x.stop()
	<-x.done
	return x.err
}

// overflows are the events of that kind so far.
func (x *exporting) overflows() (n int) {
	for {
		select {
		case e := <-x.events:
			if e.Kind == ksync.ExportOverflow {
				n++
			}
		default:
			return n
		}
	}
}

func (b *run) exports(ctx context.Context) error {
	return b.rounds(ctx, func(ctx context.Context) error {
		if err := b.compare(ctx, plan.Inline, via(gateway), Export, ExportCPU); err != nil {
			return err
		}
		if err := b.compare(ctx, plan.Objects, byID(), ByID, ByIDCPU); err != nil {
			return err
		}
		return b.besideMirror(ctx)
	})
}

// compare measures raw writes and deletions of a kind of route, then an export and its end.
func (b *run) compare(ctx context.Context, mode plan.Mode, like fib.Route, load, loadCPU string) error {
	add := func(engine string, c clock, load, loadCPU string) {
		wall, cpu := c.took()
		b.add(engine, load, Seconds, wall)
		b.add(engine, loadCPU, Seconds, cpu)
	}
	c := begin()
	if err := b.raw(ctx, "raw netlink", adding, like, b.all); err != nil {
		return err
	}
	add(Raw, c, load, loadCPU)
	c = begin()
	if err := b.empty(ctx, b.all); err != nil {
		return err
	}
	if mode == plan.Inline {
		add(Raw, c, Withdraw, WithdrawCPU)
	}
	b.said(load, 0)
	c = begin()
	x := b.export(ctx, mode)
	defer x.end()
	if err := x.synced(ctx); err != nil {
		return err
	}
	add(Fibula, c, load, loadCPU)
	if err := b.idle(ctx, mode); err != nil {
		return err
	}
	b.add(Fibula, Overflows, Count, float64(x.overflows()))
	b.said("withdraw", 0)
	c = begin()
	if err := x.end(); err != nil {
		return err
	}
	if mode == plan.Inline {
		add(Fibula, c, Withdraw, WithdrawCPU)
	}
	if n, err := b.count(ctx, foreign); err != nil {
		return err
	} else if n != 0 {
		b.out.Disagree("%d routes are left after an export", n)
	}
	return nil
}

// idle compares when everything is as it should be.
func (b *run) idle(ctx context.Context, mode plan.Mode) error {
	e, err := ksync.OpenExporter(ksync.ExportOptions{NetNS: b.netns(), Owner: owner, Nexthops: mode})
	if err != nil {
		return err
	}
	defer e.Close()
	c := begin()
	r, err := e.Sync(ctx, b.desired)
	if err != nil {
		return err
	}
	_, cpu := c.took()
	if r.Done != 0 {
		b.out.Disagree("an export left %d operations to a second one", r.Done)
	}
	if mode == plan.Inline {
		b.add(Fibula, Idle, Seconds, cpu)
	}
	return nil
}

// besideMirror exports while a mirror of the same namespace follows.
func (b *run) besideMirror(ctx context.Context) error {
	m, err := ksync.Mirror(ctx, fib.New(fib.Config{}), ksync.MirrorOptions{NetNS: b.netns()})
	if err != nil {
		return err
	}
	defer m.Close()
	b.said("export beside a mirror", 0)
	x := b.export(ctx, plan.Inline)
	defer x.end()
	if err := x.synced(ctx); err != nil {
		return err
	}
	if err := m.Sync(ctx); err != nil {
		return err
	}
	resyncs := 0
	for why, n := range m.Stats().Resyncs {
		if why != "start" {
			resyncs += int(n)
		}
	}
	b.add(Fibula, Resyncs, Count, float64(resyncs))
	return b.certify(ctx, m, "an export beside it", len(b.all))
}

// lastBatch is how many deletions go to the kernel in one call at the end.
const lastBatch = 1000

// repairs deletes routes of an export, others each time, and measures from the call that asks
// for the last deletions until all are back.
func (b *run) repairs(ctx context.Context) error {
	x := b.export(ctx, plan.Inline)
	defer x.end()
	if err := x.synced(ctx); err != nil {
		return err
	}
	if err := sleep(ctx, time.Second); err != nil { // for the first comparison's rest
		return err
	}
	first := 0
	return b.rounds(ctx, func(ctx context.Context) error {
		for _, n := range []int{1, 1000, 100_000} {
			if n > len(b.all)/2 {
				continue // small tables are for tests
			}
			if first+n > len(b.all) {
				first = 0
			}
			lost := b.all[first : first+n]
			first += n
			last := max(n-lastBatch, 0)
			if err := b.empty(ctx, lost[:last]); err != nil {
				return err
			}
			at := time.Now()
			if err := b.empty(ctx, lost[last:]); err != nil {
				return err
			}
			for done := 0; done < n; {
				e, err := x.next(ctx)
				if err != nil {
					return err
				}
				switch e.Kind {
				case ksync.ExportRepaired:
					done += e.Times
				case ksync.ExportSynced:
					done += e.Report.Done
				}
			}
			b.add(Fibula, repairOf(n), Millis, float64(time.Since(at).Microseconds())/1000)
			if now, err := b.count(ctx, foreign); err != nil {
				return err
			} else if now != len(b.all) {
				b.out.Disagree("after the repair of %d routes there are %d, not %d", n, now, len(b.all))
			}
		}
		return nil
	})
}
