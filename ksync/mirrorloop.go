package ksync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/fibula-net/fibula/fib"
)

// run follows the kernel until the context ends.
func (m *Mirrored) run(ctx context.Context) {
	defer close(m.done)
	err := m.follow(ctx)
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = fmt.Errorf("mirror of %v: %w", m.opt.NetNS, context.Cause(ctx))
	}
	m.count(func(s *MirrorStats) { m.err = err })
	m.src.close()
	m.stop(nil)
}

func (m *Mirrored) follow(ctx context.Context) error {
	var published time.Time // when events were applied last
	m.polls.next = m.now().Add(m.opt.Poll)
	var audit time.Time
	if m.opt.Audit > 0 {
		audit = m.now().Add(m.opt.Audit)
	}
	for {
		next := m.polls.next
		if at, ok := m.lookAt(); ok && at.Before(next) {
			next = at
		}
		if !audit.IsZero() && audit.Before(next) {
			next = audit
		}
		timer := time.NewTimer(max(next.Sub(m.now()), 0))
		var err error
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case a := <-m.asks:
			m.reply(ctx, a)
		case <-m.src.news():
			// The first news after a rest wait for nobody, those in a stream for each other.
			if wait := published.Add(m.opt.MaxDelay).Sub(m.now()); wait > 0 {
				err = sleep(ctx, wait)
			}
			if err == nil {
				err = m.catchUp()
			}
			published = m.now()
		case <-timer.C:
		}
		timer.Stop()
		if err == nil {
			err = m.timed(ctx, &audit)
		}
		if err != nil && !isPassing(err) || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
	}
}

// lookAt is when a look is due, if one is.
func (m *Mirrored) lookAt() (time.Time, bool) {
	switch {
	case m.doubts.everything != "":
		return m.resyncs.next, true
	case !m.doubts.none() || m.unsure:
		return m.looks.next, true
	}
	return time.Time{}, false
}

// countDrift counts what no announcement explains, once all of them are heard.
func (m *Mirrored) countDrift(ctx context.Context) error {
	if !m.drift.due(m.now()) {
		return nil
	}
	now := m.now()
	if err := m.passing(m.src.finished(ctx)); err != nil {
		return err
	}
	if err := m.src.barrier(); err != nil {
		return err
	}
	if err := m.catchUp(); err != nil {
		return err
	}
	if n, such := m.drift.settle(now); n > 0 {
		m.log.Warn("the mirror was not as the kernel, and is repaired", slog.String("namespace", m.opt.NetNS.String()), slog.Int("objects", n),
			slog.String("such as", such))
		m.count(func(s *MirrorStats) { s.Drift += uint64(n) })
	}
	return nil
}

// timed does what is due.
func (m *Mirrored) timed(ctx context.Context, audit *time.Time) error {
	now := m.now()
	if err := m.countDrift(ctx); err != nil {
		return err
	}
	if at, ok := m.lookAt(); ok && !now.Before(at) {
		if err := m.settle(ctx); err != nil {
			return err
		}
	}
	if now = m.now(); !now.Before(m.polls.next) {
		if err := m.poll(ctx); err != nil {
			return err
		}
	}
	if !audit.IsZero() && !now.Before(*audit) {
		_, err := m.audit(ctx, m.now())
		*audit = m.now().Add(m.opt.Audit)
		if err != nil {
			return err
		}
	}
	return nil
}

// poll looks at what is never announced.
func (m *Mirrored) poll(ctx context.Context) error {
	begin := m.now()
	defer func() { m.polls.spent(begin, m.now(), true) }()
	if err := m.src.alive(); err != nil {
		return err
	}
	if m.doubts.everything != "" {
		return nil // is looked at anyhow
	}
	if err := m.src.barrier(); err != nil {
		return err
	}
	if err := m.catchUp(); err != nil {
		return err
	}
	return m.passing(m.look(ctx, m.seldom(), nil))
}

// passing turns an error that time heals into one more failure.
func (m *Mirrored) passing(err error) error {
	if err == nil || !isPassing(err) && !errors.Is(err, errLook) {
		return err
	}
	m.count(func(s *MirrorStats) { s.Failures++ })
	m.log.Debug("look again", slog.Any("cause", err))
	if errors.Is(err, errLost) || errors.Is(err, errBacklog) {
		m.lose(err)
	}
	return nil
}

// lose notes that events are missing.
func (m *Mirrored) lose(err error) {
	why := "overrun"
	if errors.Is(err, errBacklog) {
		why = "backlog"
	}
	if m.doubts.everything == "" {
		m.log.Info("announcements are missing, so everything is looked at anew", slog.String("namespace", m.opt.NetNS.String()), slog.Any("cause", err))
	}
	if why == "overrun" {
		m.count(func(s *MirrorStats) { s.Overruns++ })
	}
	m.drift = drift{} // what would explain it may be among them
	m.doubts.all(why)
}

// catchUp applies what was announced.
func (m *Mirrored) catchUp() error {
	if m.doubts.everything != "" {
		return nil // nothing is heard until everything was looked at
	}
	b, err := m.src.take()
	if err != nil {
		if !isPassing(err) {
			return err
		}
		m.lose(err)
		return nil
	}
	return m.applyBatch(b)
}

func (m *Mirrored) applyBatch(b batch) error {
	if b.len() == 0 {
		m.settled()
		return nil
	}
	begin := m.now()
	a := &applier{m: m, d: &m.doubts}
	res, err := m.f.Update(func(tx *fib.Txn) error {
		a.tx = tx
		if err := b.each(a.apply); err != nil {
			return err
		}
		if a.derives {
			others, err := m.reselect(tx.Snapshot())
			if err != nil {
				return err
			}
			m.doubts.elsewhere = m.doubts.elsewhere || others
		}
		if a.derives || a.trim {
			return m.keep(tx)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("apply events: %w", err)
	}
	m.doubts.surroundings = m.doubts.surroundings || a.derives
	m.doubts.everyTable = m.doubts.everyTable || a.everywhere
	end := m.now()
	m.looks.next = later(m.looks.next, end.Add(m.looks.least))
	m.count(func(s *MirrorStats) {
		for k, n := range a.seen {
			if n > 0 {
				s.Events[eventKind(k).String()] += n
			}
		}
		s.Lag = end.Sub(begin)
	})
	m.committed(res)
	m.settled()
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// committed notes a transaction.
func (m *Mirrored) committed(r fib.Result) {
	m.count(func(s *MirrorStats) {
		s.Generation = r.Generation
		if r.Changed {
			s.Commits++
		}
		s.Doubts = m.doubts.count()
	})
	if r.Changed && m.opt.Changed != nil {
		m.opt.Changed(r)
	}
}

// settled notes the moment if nothing is in doubt.
func (m *Mirrored) settled() {
	m.count(func(s *MirrorStats) {
		if s.Doubts = m.doubts.count(); s.Doubts == 0 && len(m.part.faint) == 0 {
			s.Equal = m.now()
		}
	})
}

// reply answers a caller: when nothing is in doubt, and after an audit if it asked for one,
// which looks once at least, if in vain, when its time is over.
func (m *Mirrored) reply(ctx context.Context, a ask1) {
	var r answer1
	begin := m.now()
	for first := true; ; first = false {
		if r.err = errors.Join(a.ctx.Err(), ctx.Err()); r.err != nil {
			break
		}
		if r.err = m.src.barrier(); r.err != nil {
			break
		}
		if r.err = m.catchUp(); r.err != nil {
			break
		}
		if first { // once the news have told what is seldom told
			m.doubts.add(m.seldom())
		}
		late := a.audit && m.now().Sub(begin) > m.opt.AuditWithin
		if late || m.doubts.none() && !m.unsure {
			break
		}
		if r.err = m.settle(ctx); r.err != nil {
			break
		}
		if !m.doubts.none() {
			if r.err = sleep(a.ctx, time.Millisecond); r.err != nil {
				break
			}
		}
	}
	if r.err == nil && a.audit {
		r.cert, r.err = m.audit(a.ctx, begin)
	}
	a.answer <- r
}

const (
	quiet     = 10 * time.Millisecond
	fewEvents = 1000 // of so long a time that they are no storm
	stormWait = 2 * time.Second
)

// calm begins to hear anew. While news come so fast that they would be lost again, what is
// read would be worth nothing: then it waits, though not for ever.
func (m *Mirrored) calm(ctx context.Context, why string) error {
	for end := m.now().Add(stormWait); ; {
		ok, err := m.src.restart()
		if err != nil || ok && why == "start" {
			return err
		}
		if err := sleep(ctx, quiet); err != nil {
			return err
		}
		if err := m.src.barrier(); err != nil {
			return err
		}
		b, err := m.src.take()
		switch {
		case err != nil && !isPassing(err):
			return err
		case err == nil && ok && b.len() < fewEvents || m.now().After(end):
			if ok, err = m.src.restart(); err == nil && !ok {
				err = errLost
			}
			return err
		}
	}
}
