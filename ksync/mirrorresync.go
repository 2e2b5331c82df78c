package ksync

import (
	"context"
	"errors"
	"maps"

	"github.com/fibula-net/fibula/fib"
)

// resync looks at everything anew and publishes it in one transaction.
func (m *Mirrored) resync(ctx context.Context, why string) error {
	if err := m.calm(ctx, why); err != nil {
		return err
	}
	m.doubts = doubts{}
	m.doubts.all(why) // until it is done
	st, err := m.src.surroundings(ctx)
	if err != nil {
		return err
	}
	if err := m.src.complete(ctx, st, true); err != nil {
		return err
	}
	interrupted := false
	res, err := m.f.Update(func(tx *fib.Txn) error {
		if why == "start" {
			return m.load(ctx, tx, st, &interrupted)
		}
		if err := tx.Reload(st); err != nil {
			return errGiveUpOn(err)
		}
		if _, err := m.reselect(tx.Snapshot()); err != nil {
			return err
		}
		for _, f := range m.families() {
			g, err := m.merge(ctx, tx, f, m.opt.Tables, true)
			if err = interruption(err, &interrupted); err != nil {
				return err
			}
			m.unsure = m.unsure || g.Changed() > 0
		}
		return m.keep(tx)
	})
	if err != nil {
		return err
	}
	m.unsure = m.unsure || why == "start"
	m.count(func(s *MirrorStats) { s.Resyncs[why]++ })
	m.doubts = doubts{everyTable: interrupted, surroundings: interrupted}
	m.committed(res)
	if err := m.src.barrier(); err != nil {
		return err
	}
	b, err := m.src.take()
	if err != nil {
		m.lose(err)
		return err
	}
	w, err := touched(b)
	if err != nil {
		return err
	}
	if err := m.applyBatch(b); err != nil {
		return err
	}
	for _, t := range m.doubts.tables {
		maps.DeleteFunc(t.prefixes, func(p fib.TablePrefix, _ struct{}) bool { return m.replays(w.prefixes[p]) })
	}
	maps.DeleteFunc(m.doubts.tables, func(_ tableOf, t *tableDoubt) bool { return !t.all && len(t.prefixes) == 0 })
	m.doubtAll(w)
	m.settled()
	return nil
}

// interruption notes that a dump may be of several moments.
func interruption(err error, interrupted *bool) error {
	if errors.Is(err, errInterrupted) {
		*interrupted = true
		return nil
	}
	return err
}

// load fills the FIB for the first time.
func (m *Mirrored) load(ctx context.Context, tx *fib.Txn, st *fib.State, interrupted *bool) error {
	if err := tx.Load(st); err != nil {
		return errGiveUpOn(err)
	}
	if _, err := m.reselect(tx.Snapshot()); err != nil {
		return err
	}
	s := tx.Snapshot()
	for _, f := range m.families() {
		for _, t := range m.tables() {
			err := m.src.routes(ctx, f, t, m.selected(s, tx.LoadRouteMarked))
			if err = interruption(err, interrupted); err != nil {
				return err
			}
		}
	}
	return nil
}

// tables are what to dump, 0 for all.
func (m *Mirrored) tables() []fib.TableID {
	if len(m.opt.Tables) == 0 {
		return []fib.TableID{fib.TableUnspec}
	}
	return m.opt.Tables
}

// selected passes on to fn what is followed of a dump.
func (m *Mirrored) selected(s *fib.Snapshot, fn func(*fib.Route) error) func(*fib.Route) error {
	if !m.part.ByRoute() {
		return fn
	}
	return func(r *fib.Route) error {
		if !s.Selects(&m.part.Selection, r) {
			return nil
		}
		return fn(r)
	}
}

// merge brings tables of a family to what the kernel has; none: all. What differed can be asked for unless it
// forgets.
func (m *Mirrored) merge(ctx context.Context, tx *fib.Txn, f fib.Family, tables []fib.TableID, forgets bool) (*fib.Merge, error) {
	if len(tables) == 0 {
		tables = []fib.TableID{fib.TableUnspec}
	}
	g := tx.Merge(f)
	defer g.Close()
	if forgets {
		g.Forget()
	}
	var interrupted error
	route := g.Route
	if l, ok := m.src.(likening); ok {
		l.liken(g.Same)
		defer l.liken(nil)
		route = func(r *fib.Route) error { return g.RouteOf(l.kind(), r) }
	}
	take := m.selected(tx.Snapshot(), route)
	for _, t := range tables {
		err := m.src.routes(ctx, f, t, take)
		if errors.Is(err, errInterrupted) {
			interrupted, err = err, nil
		}
		if err != nil {
			return g, err
		}
		g.Finish(t)
	}
	return g, interrupted
}
