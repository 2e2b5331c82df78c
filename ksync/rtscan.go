package ksync

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/fibula-net/fibula/fib"
)

// rtLoad is Load on FreeBSD.
func rtLoad(ctx context.Context, sys rtKernel, opt Options) (*fib.FIB, error) {
	st, _, err := rtScan(ctx, sys, opt)
	if err != nil {
		return nil, err
	}
	f := fib.New(opt.Config)
	if _, err := f.Update(func(tx *fib.Txn) error { return tx.Load(&st) }); err != nil {
		return nil, fmt.Errorf("%v: %w", opt.NetNS, err)
	}
	return f, nil
}

// rtScan is Scan on FreeBSD. The routing socket tells whether anything changed meanwhile;
// where routes never rest, FIBs of different moments are taken in the end.
func rtScan(ctx context.Context, sys rtKernel, opt Options) (fib.State, Report, error) {
	s, err := openRT(ctx, sys, opt.NetNS, opt.Tables, 0)
	if err != nil {
		return fib.State{}, Report{}, err
	}
	defer s.close()
	log := opt.logger()
	for try := range attempts {
		st, kinds, err := s.whole(ctx, &opt)
		switch {
		case isPassing(err):
			log.Info("scan starts over", slog.Any("cause", err))
			continue
		case err != nil:
			return fib.State{}, Report{}, fmt.Errorf("%v: %w", opt.NetNS, err)
		case kinds == [numEvents]int{} || try == attempts-1 && kinds == [numEvents]int{eventRoute: kinds[eventRoute]}:
			for _, u := range s.rep.Sorted() {
				log.Warn("not modelled", slog.String("message", u.Message), slog.String("kind", string(u.Kind)),
					slog.String("name", u.Name), slog.Uint64("number", uint64(u.Number)), slog.Int("count", s.rep.Count(u)))
			}
			if opt.Report != nil {
				*opt.Report = s.rep
			}
			return *st, s.rep, nil
		}
	}
	return fib.State{}, Report{}, fmt.Errorf("%v: %w: tried %d times", opt.NetNS, ErrChanging, attempts)
}

// whole reads everything once, and tells how many events of each kind came meanwhile.
func (s *rtSource) whole(ctx context.Context, opt *Options) (st *fib.State, kinds [numEvents]int, err error) {
	if ok, err := s.restart(); err != nil || !ok {
		return nil, kinds, orLost(err)
	}
	if st, err = s.surroundings(ctx); err != nil {
		return nil, kinds, err
	}
	st.Kernel = opt.Config.Kernel
	opt.progress("links", len(st.Links))
	if err := s.complete(ctx, st, true); err != nil {
		return nil, kinds, err
	}
	for _, f := range s.fams {
		for _, t := range opt.tables() {
			err := s.routes(ctx, f, t, func(r *fib.Route) error {
				st.Routes = append(st.Routes, *r)
				return nil
			})
			if err != nil {
				return nil, kinds, err
			}
			opt.progress("routes", len(st.Routes))
		}
	}
	for i := range st.Routes { // of nexthops that refuse there are none
		if len(st.Routes[i].Nexthops) == 0 {
			st.Routes[i].Nexthops = nil
		}
	}
	st.Routes = slices.Clip(st.Routes)
	if err := s.barrier(); err != nil {
		return nil, kinds, err
	}
	b, err := s.take()
	if err != nil {
		return nil, kinds, err
	}
	return st, kinds, b.each(func(e *event) error { kinds[e.kind]++; return nil })
}

// orLost is err, or errLost: news came too fast.
func orLost(err error) error {
	if err == nil {
		err = errLost
	}
	return err
}
