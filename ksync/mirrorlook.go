package ksync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"

	"github.com/fibula-net/fibula/fib"
)

// settle looks at what is in doubt.
func (m *Mirrored) settle(ctx context.Context) error {
	if err := m.src.alive(); err != nil {
		return err
	}
	if why := m.doubts.everything; why != "" {
		begin := m.now()
		err := m.resync(ctx, why)
		m.resyncs.spent(begin, m.now(), err == nil && m.doubts.everything == "")
		return m.passing(err)
	}
	if err := m.src.barrier(); err != nil {
		return err
	}
	if err := m.catchUp(); err != nil || m.doubts.everything != "" {
		return err
	}
	begin := m.now()
	if !m.doubts.none() {
		d := m.doubts
		m.doubts = doubts{}
		m.count(func(s *MirrorStats) { s.Looks++ })
		if err := m.passing(m.look(ctx, &d, nil)); err != nil {
			return err
		}
	}
	if m.unsure && m.doubts.none() {
		m.unsure = false
		res, err := m.src.learn(m.f)
		if err != nil {
			m.unsure = true
			return m.passing(err)
		}
		m.committed(res)
	}
	m.looks.spent(begin, m.now(), m.doubts.none())
	m.settled()
	return nil
}

// window is what events of some time were about.
type window struct {
	prefixes     map[fib.TablePrefix]news
	surroundings bool // something from which consequences follow
}

// news are the route events of one prefix.
type news struct {
	fam      fib.Family
	several  bool
	replaced bool // one of them replaced a route
}

// replays reports whether what a dump showed at some moment during the events becomes what
// it would show after them when they are applied once more. One event always does.
// Additions and deletions do, since each says where its route went. What was replaced,
// and where legs of IPv6 went, no event tells.
func (n news) replays() bool { return !n.several || n.fam == fib.Inet && !n.replaced }

// replays: of a part of the routes, no event tells what became of the others.
func (m *Mirrored) replays(n news) bool { return !m.part.ByRoute() && n.replays() }

func touched(b batch) (*window, error) {
	w := &window{prefixes: map[fib.TablePrefix]news{}}
	err := b.each(func(e *event) error {
		switch e.kind {
		case eventRoute:
			p := fib.TablePrefix{Table: e.route.Table, Dst: e.route.Dst}
			n, ok := w.prefixes[p]
			w.prefixes[p] = news{e.route.Family(), ok, n.replaced || e.flags&fib.Replace != 0 && !e.gone}
		case eventNeighbour:
		default:
			w.surroundings = true
		}
		return nil
	})
	return w, err
}

// doubtAll puts everything in doubt that changed while it was looked at.
func (m *Mirrored) doubtAll(w *window) {
	if w.surroundings {
		m.doubts.surroundings, m.doubts.everyTable = true, true
	}
	for p, n := range w.prefixes {
		if m.follows(n.fam, p.Table) && !m.replays(n) {
			m.doubts.prefix(n.fam, p)
		}
	}
}

// look compares what is in doubt with the kernel and repairs it. What changed meanwhile
// stays in doubt. All that was announced before has been applied. tell, if not nil, is told of
// what was repaired.
func (m *Mirrored) look(ctx context.Context, d *doubts, tell func(fib.Difference, ObjectDifference)) (err error) {
	defer func() {
		if err != nil {
			m.doubts.add(d) // another time
		}
	}()
	if err = m.lookByLinks(ctx, d); err != nil {
		return err
	}
	m.lookNow(d)
	l := &lookTxn{m: m, d: d, tell: tell, open: map[fib.TablePrefix]openPrefix{}}
	var st *fib.State
	if d.surroundings {
		if st, err = m.src.surroundings(ctx); err != nil {
			return err
		}
		if err = m.src.complete(ctx, st, modesOpen(m.f.Snapshot())); err != nil {
			return err
		}
		l.objects, l.announced = m.differs(m.f.Snapshot(), st)
		if slices.ContainsFunc(l.objects, l.drifted) {
			late, err := m.hearLate(ctx)
			if err != nil {
				return err
			}
			if late {
				m.doubts.add(d)
				return nil
			}
			m.lookNow(d)
		}
	}
	res, err := m.f.Update(func(tx *fib.Txn) error { return l.do(ctx, tx, st) })
	if errors.Is(err, errGiveUp) {
		m.doubts.add(d)
		return m.applyBatch(l.news)
	}
	if err != nil {
		return err
	}
	m.count(func(s *MirrorStats) { s.Polled += uint64(l.polled) })
	m.committed(res)
	if l.interrupted {
		m.doubts.add(d)
	}
	m.open = l.open
	err = m.applyBatch(l.news)
	for p, o := range m.open {
		if o.about {
			m.doubts.prefix(o.fam, p)
		} else {
			m.doubts.suspect(o.fam, p)
		}
	}
	m.open = nil
	return err
}

// lookNow moves to d what was heard since, but for links, whose routes were looked at.
func (m *Mirrored) lookNow(d *doubts) {
	d.add(&m.doubts)
	m.doubts = doubts{everything: m.doubts.everything, links: d.links}
}

// hearLate applies the news of what a kernel has changed, but had not announced yet, and
// reports whether they are of more than routes.
func (m *Mirrored) hearLate(ctx context.Context) (bool, error) {
	if err := m.src.finished(ctx); err != nil {
		return false, err
	}
	if err := m.src.barrier(); err != nil {
		return false, err
	}
	b, err := m.src.take()
	if err != nil {
		return false, err
	}
	w, err := touched(b)
	if err != nil {
		return false, err
	}
	return w.surroundings, m.applyBatch(b)
}

// modesOpen reports whether it is open if rules are walked: asking may tell.
func modesOpen(s *fib.Snapshot) bool {
	st := s.Surroundings()
	return st.Mode4 == fib.ModeUnknown || st.Mode6 == fib.ModeUnknown
}

// openPrefix is a prefix that was in doubt, and differed from what a dump showed, while there
// came news of it. If these lead through what was shown, the dump fell between them.
type openPrefix struct {
	fam   fib.Family
	about bool // its news were unclear before
	shown fib.Digest
}

// closes takes back the doubt if a prefix is now what a dump showed.
func (m *Mirrored) closes(s *fib.Snapshot, p fib.TablePrefix) {
	if o, ok := m.open[p]; ok && s.DigestAt(p.Table, p.Dst) == o.shown {
		delete(m.open, p)
	}
}

// lookTxn is one look at what is in doubt, within a transaction.
type lookTxn struct {
	m    *Mirrored
	d    *doubts
	tell func(fib.Difference, ObjectDifference)

	news        batch // what was announced meanwhile
	interrupted bool  // a dump may be of several moments
	open        map[fib.TablePrefix]openPrefix
	objects     []ObjectDifference
	announced   []string // those of objects that differ by what is announced
	polled      int
}

func (l *lookTxn) do(ctx context.Context, tx *fib.Txn, st *fib.State) error {
	m := l.m
	if st != nil {
		if len(l.objects) > 0 || modesOpen(tx.Snapshot()) && st.Mode4|st.Mode6 != fib.ModeUnknown {
			if err := tx.Reload(st); err != nil {
				return errGiveUpOn(err)
			}
			others, err := m.reselect(tx.Snapshot())
			if err != nil {
				return err
			}
			l.d.elsewhere = l.d.elsewhere || others
		} else if err := sameNeighbours(tx, st.Neighbours); err != nil {
			return err
		}
	}
	type merged struct {
		f fib.Family
		g *fib.Merge
	}
	var all []merged
	for _, f := range m.families() {
		tables := m.opt.Tables
		if !l.d.everyTable && !l.d.elsewhere && !slices.ContainsFunc(l.objects, l.drifted) {
			tables = l.d.tablesOf(f)
			if len(tables) == 0 {
				continue
			}
		}
		g, err := m.merge(ctx, tx, f, tables, false)
		if err = interruption(err, &l.interrupted); err != nil {
			return err
		}
		all = append(all, merged{f, g})
	}
	if err := m.src.barrier(); err != nil {
		return err
	}
	var err error
	if l.news, err = m.src.take(); err != nil {
		return err
	}
	w, err := touched(l.news)
	if err != nil {
		return err
	}
	if w.surroundings && len(l.objects) > 0 {
		return errGiveUp
	}
	for _, x := range all {
		l.judge(tx, x.g, x.f, w)
	}
	if len(l.objects) > 0 && len(l.announced) == 0 {
		l.polled++
	}
	for _, d := range l.objects {
		m.log.Debug("repaired", slog.String("object", d.Object), slog.String("ours", d.Ours), slog.String("theirs", d.Theirs))
		if l.drifted(d) {
			var tell func()
			if l.tell != nil {
				tell = func() { l.tell(fib.Difference{}, d) }
			}
			m.drift.object(d.Object, m.now(), tell)
		}
	}
	if len(all) > 0 || len(l.objects) > 0 {
		return m.keep(tx)
	}
	return nil
}

// drifted reports whether an object differs that is announced, and of which the news were
// clear, so that nobody knows which routes it concerns.
func (l *lookTxn) drifted(d ObjectDifference) bool {
	_, unclear := l.d.objects[d.Object]
	return !unclear && slices.Contains(l.announced, d.Object)
}

// errGiveUpOn is the error for a state that is none: its parts were read one after the
// other, and changed meanwhile.
func errGiveUpOn(err error) error { return fmt.Errorf("%w: %w", errMoved, err) }

var errGiveUp = errors.New("too much changed meanwhile")

// judge keeps what was repaired, but for prefixes of which there is news: those are as
// before, and if they were in doubt, they stay so.
func (l *lookTxn) judge(tx *fib.Txn, g *fib.Merge, f fib.Family, w *window) {
	isNew := func(p fib.TablePrefix) bool { _, ok := w.prefixes[p]; return ok || w.surroundings }
	about := func(p fib.TablePrefix) bool { return l.d.elsewhere || l.d.tables[tableOf{f, p.Table}].about(p) }
	g.Each(func(p fib.TablePrefix) {
		switch {
		case isNew(p):
			_, suspect := l.d.suspects[p]
			if l.d.everyTable || suspect || about(p) || w.surroundings {
				l.open[p] = openPrefix{f, about(p), tx.Snapshot().DigestAt(p.Table, p.Dst)}
			}
			return
		case about(p): // its news were unclear
		default:
			var tell func()
			d := fib.Difference{TablePrefix: p, Ours: l.m.f.Snapshot().RoutesAt(p.Table, p.Dst), Theirs: tx.Snapshot().RoutesAt(p.Table, p.Dst)}
			if l.tell != nil {
				tell = func() { l.tell(d, ObjectDifference{}) }
			}
			l.m.drift.prefix(p, l.m.now(), slices.Concat(d.Ours, d.Theirs), tell)
		}
		l.m.unsure = true
		l.m.log.Debug("repaired", slog.String("table", p.Table.String()), slog.String("prefix", p.Dst.String()))
	})
	g.Undo(isNew)
}

// tablesOf are the tables of a family that are in doubt.
func (d *doubts) tablesOf(f fib.Family) (out []fib.TableID) {
	for t := range d.tables {
		if t.fam == f {
			out = append(out, t.id)
		}
	}
	for p, fam := range d.suspects {
		if fam == f {
			out = append(out, p.Table)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// differs compares everything but routes and neighbours. announced are the objects that differ
// by what should have been heard or derived; of the rest nobody is told.
func (m *Mirrored) differs(s *fib.Snapshot, st *fib.State) (all []ObjectDifference, announced []string) {
	ours, theirs := plain(s.Surroundings()), plain(st)
	m.part.ofFamilies(&ours)
	m.pendingCarrier(&ours, &theirs)
	if reflect.DeepEqual(ours, theirs) {
		return nil, nil
	}
	all = objectDifferences(&ours, &theirs)
	for _, x := range [...]*fib.State{&ours, &theirs} {
		x.Sysctls, x.AddrLabels = fib.Sysctls{}, nil
		for i := range x.Links {
			l := &x.Links[i]
			l.Conf4, l.Conf6, l.Groups4, l.MTU6, l.Group = fib.Conf4{}, fib.Conf6{}, nil, 0, 0
		}
		for i := range x.Nexthops {
			x.Nexthops[i].Buckets = nil
		}
	}
	for _, d := range objectDifferences(&ours, &theirs) {
		announced = append(announced, d.Object)
	}
	return all, announced
}
