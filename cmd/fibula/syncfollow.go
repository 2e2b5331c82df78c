package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/daemon"
	"github.com/fibula-net/fibula/ksync"
)

// follow goes on until it is told to end: as a daemon, or printing what happens.
func (s *syncer) follow(ctx context.Context) error {
	s.opt.Logger = s.service.logger()
	src, reload, end, err := s.wanted(ctx)
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	defer end()
	if s.service.wanted() {
		return s.serve(ctx, src, reload)
	}
	s.opt.Logger = nil // what happens is printed
	stop := onReload(ctx, func(ctx context.Context) { _ = reload.again(ctx) })
	defer stop()
	var failed error
	s.opt.Event = func(ev ksync.ExportEvent) {
		reload.note(&ev)
		if err := s.event(&ev); err != nil && failed == nil {
			failed = err
		}
	}
	begin := time.Now()
	if err := ksync.Export(ctx, src, s.opt); err != nil {
		return s.ended(err)
	}
	if failed != nil {
		return failed
	}
	if s.a.json {
		return nil
	}
	what := "withdrawn"
	if s.opt.Persist {
		what = "left in the kernel"
	}
	return s.a.write(fmt.Appendf(nil, "ended after %v; everything is %s\n", time.Since(begin).Round(time.Second), what))
}

// ended says what an export left where it did not end as it should.
func (s *syncer) ended(err error) error {
	if errors.Is(err, ksync.ErrSourceEnded) || errors.Is(err, ksync.ErrNamespaceGone) {
		return fmt.Errorf("sync: %w; what was written to %v stays", err, s.opt.NetNS)
	}
	return fmt.Errorf("sync: %w", s.a.liveError(err))
}

// serve is a daemon around the export.
func (s *syncer) serve(ctx context.Context, src ksync.Source, reload *reloading) error {
	account := daemon.NewExported(s.service.maxAge)
	w := &work{reload: reload.again, health: account.Health, metrics: []daemon.Collector{account}}
	s.opt.Count = account.Count
	w.run = func(ctx context.Context, ready func()) error {
		opt := s.opt
		opt.Event = func(ev ksync.ExportEvent) {
			account.Note(ev)
			reload.note(&ev)
			if ev.Kind == ksync.ExportSynced {
				ready()
			}
		}
		if err := ksync.Export(ctx, src, opt); err != nil {
			return s.ended(err)
		}
		return nil
	}
	return s.service.run(ctx, &mirroring{a: s.a, opt: ksync.MirrorOptions{NetNS: s.opt.NetNS}}, w)
}

// wanted is where the desired state comes from, as it changes. end frees what it needs.
func (s *syncer) wanted(ctx context.Context) (src ksync.Source, r *reloading, end func(), err error) {
	if s.fromNetns != "" {
		opt := ksync.MirrorOptions{NetNS: s.source(), Tables: s.sourceTables(), Logger: s.opt.Logger}
		longer, stop := context.WithCancel(context.WithoutCancel(ctx)) // than the export: its end is no reason to leave all as it is
		began := context.AfterFunc(ctx, stop)
		src, m, err := ksync.Follow(longer, fib.New(s.a.fibConfig()), opt)
		if err != nil {
			return src, nil, nil, s.a.liveError(err)
		}
		began()
		return src, &reloading{read: m.Sync}, m.Close, nil // there is nothing to read anew but what is not announced
	}
	first, err := s.desired(ctx)
	if err != nil {
		return src, nil, nil, err
	}
	r = &reloading{changed: make(chan struct{}, 1)}
	src = ksync.Source{Changed: r.changed, Desired: func() (*fib.Snapshot, error) {
		r.reading()
		if first != nil {
			want := first
			first = nil
			return want, nil
		}
		return s.desired(ctx)
	}}
	return src, r, func() {}, nil
}

// reloading has an export read its desired state again, and knows what came of it.
type reloading struct {
	changed chan struct{}
	read    func(context.Context) error // instead, where there is nothing to tell an export

	mu    sync.Mutex // guards what follows
	asked []chan error
	begun []chan error
}

// again reads the state again and waits until it is in force, or was not accepted.
func (r *reloading) again(ctx context.Context) error {
	if r.read != nil {
		return r.read(ctx)
	}
	answer := make(chan error, 1)
	r.mu.Lock()
	r.asked = append(r.asked, answer)
	r.mu.Unlock()
	select {
	case r.changed <- struct{}{}:
	default: // it will be read anyhow
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reading notes that who asked by now gets what is read now.
func (r *reloading) reading() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begun, r.asked = append(r.begun, r.asked...), nil
}

// note answers them: the export tells what came of the state that it read last.
func (r *reloading) note(ev *ksync.ExportEvent) {
	if ev.Kind != ksync.ExportSynced && ev.Kind != ksync.ExportRefused && ev.Kind != ksync.ExportGuarded {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, answer := range r.begun {
		answer <- ev.Err
	}
	r.begun = nil
}

// onReload calls fn when the process is asked to read its configuration anew, until stop, which
// ends fn's context.
func onReload(ctx context.Context, fn func(context.Context)) (stop func()) {
	if len(reloadSignals) == 0 { // none would mean all
		return func() {}
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, reloadSignals...)
	ctx, cancel := context.WithCancel(ctx)
	var run sync.WaitGroup
	run.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-hup:
				fn(ctx)
			}
		}
	})
	return func() {
		signal.Stop(hup)
		cancel()
		run.Wait()
	}
}
