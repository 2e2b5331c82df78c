package ksync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtnl"
)

// progressStep is how many routes pass between two reports of progress.
const progressStep = 50_000

// Load reads a namespace into a new FIB.
//
// What dumps leave open is asked for as far as an answer of the kernel tells, see
// [fib.Txn.Learn].
//
// It takes about as long as the kernel's dump, plus a fraction of a microsecond
// for each route, and keeps no second copy of the routes. Two goroutines work:
// one reads, one decodes.
//
// Errors name the namespace and what was being read. They wrap fs.ErrNotExist for
// a namespace that does not exist, fs.ErrPermission where entering it is not
// allowed, [ErrChanging] where no moment of rest was found, and ctx's error.
func Load(ctx context.Context, opt Options) (*fib.FIB, error) {
	var f *fib.FIB
	err := retry(ctx, opt, func(s *scan) error {
		f = fib.New(opt.Config)
		if _, err := f.Update(func(tx *fib.Txn) error { return s.pass(ctx, tx.Load, tx.LoadRoute) }); err != nil {
			return err
		}
		_, _, err := s.learn(f)
		return err
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Scan reads a namespace as plain data, routes included, and tells what of it is
// not modelled. It is for a state file: every route is a value of its own, which
// costs some 300 bytes, and a FIB is made of them to find out what the dumps leave
// open. See [Load] for the errors.
func Scan(ctx context.Context, opt Options) (fib.State, Report, error) {
	var st fib.State
	var rep Report
	if opt.Report == nil {
		opt.Report = &rep
	}
	err := retry(ctx, opt, func(s *scan) error {
		var routes []fib.Route
		err := s.pass(ctx, func(small *fib.State) error { st = *small; return nil }, func(r *fib.Route) error {
			c := *r
			c.Nexthops = slices.Clone(r.Nexthops)
			if len(c.Nexthops) == 0 {
				c.Nexthops = nil
			}
			routes = append(routes, c)
			return nil
		})
		st.Routes = routes
		if err != nil {
			return err
		}
		f := fib.New(fib.Config{})
		if _, err := f.Update(func(tx *fib.Txn) error { return tx.Load(&st) }); err != nil {
			return err
		}
		got, _, err := s.learn(f)
		if err == nil && !got.IsZero() {
			keep(&st, f.Snapshot(), &got)
		}
		return err
	})
	if err != nil {
		return fib.State{}, Report{}, err
	}
	return st, *opt.Report, nil
}

// scan is one look at a namespace.
type scan struct {
	opt      *Options
	kernel   fib.KernelVersion
	families []fib.Family
	conn     *conn
	buf      []byte
	report   Report
	decoder  rtnl.RouteDecoder
	partly   bool                                     // not all routes of the tables are looked at
	handmade bool                                     // an IPv4 local route was seen that the kernel did not make (C31)
	same     func(kind uint64, dst netip.Prefix) bool // see likening; nil: none
	kind     uint64                                   // of the route that is passed on; 0: not known
	missing  func() error                             // tells that a dump of routes is worth nothing any more; nil: nothing does
}

// allInet reports whether every IPv4 route is looked at.
func (s *scan) allInet() bool {
	return !s.partly && s.opt.tables()[0] == fib.TableUnspec && slices.Contains(s.families, fib.Inet)
}

// retry calls fn with a fresh scan until it finds a moment of rest.
func retry(ctx context.Context, opt Options, fn func(*scan) error) error {
	log := opt.logger()
	var last error
	for range attempts {
		s, err := newScan(&opt)
		if err != nil {
			return err
		}
		err = fn(s)
		s.conn.close()
		if err == nil {
			s.finish(log)
			return nil
		}
		if !errors.Is(err, errMoved) && !errors.Is(err, errInterrupted) && !errors.Is(err, errLost) || ctx.Err() != nil {
			return err
		}
		last = err
		log.Info("scan starts over", slog.String("namespace", opt.NetNS.String()), slog.Any("cause", err))
	}
	return fmt.Errorf("%v: %w: tried %d times, the last time: %w", opt.NetNS, ErrChanging, attempts, last)
}

func newScan(opt *Options) (*scan, error) {
	s := &scan{opt: opt, buf: make([]byte, datagram), families: []fib.Family{fib.Inet}}
	var err error
	if s.kernel, err = kernelVersion(); err != nil {
		return nil, err
	}
	if opt.Config.Kernel != (fib.KernelVersion{}) {
		s.kernel = opt.Config.Kernel
	}
	err = inside(opt.NetNS, func() (err error) {
		if hasIPv6() {
			s.families = append(s.families, fib.Inet6)
		}
		s.conn, err = dial()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%v: %w", opt.NetNS, err)
	}
	return s, nil
}

// finish tells what is not modelled.
func (s *scan) finish(log *slog.Logger) {
	for _, u := range s.report.Sorted() {
		log.Warn("not modelled", slog.String("message", u.Message), slog.String("kind", string(u.Kind)),
			slog.String("name", u.Name), slog.Uint64("number", uint64(u.Number)), slog.Int("count", s.report.Count(u)))
	}
	if s.opt.Report != nil {
		*s.opt.Report = s.report
	}
}

// pass reads everything once: start gets the state without its routes, then route
// gets each route, in dump order, valid only during the call.
func (s *scan) pass(ctx context.Context, start func(*fib.State) error, route func(*fib.Route) error) error {
	before, err := s.moment(ctx)
	if err != nil {
		return err
	}
	if err := s.neighbours(ctx, before); err != nil {
		return err
	}
	s.opt.progress("neighbours", len(before.Neighbours))
	if err := s.modes(ctx, before); err != nil {
		return err
	}
	if err := start(before); err != nil {
		return err
	}
	if err := s.routes(ctx, route); err != nil {
		return err
	}
	after, err := s.moment(ctx)
	if err != nil {
		return err
	}
	if !sameMoment(before, after) {
		return errMoved
	}
	return nil
}

func (s *scan) moment(ctx context.Context) (st *fib.State, err error) {
	counted := s.report // the second look must not count everything again
	s.report = Report{}
	err = inside(s.opt.NetNS, func() (err error) {
		st, err = s.small(ctx)
		return err
	})
	if counted.Len() > 0 || err != nil {
		s.report = counted
	}
	if err == nil {
		s.opt.progress("links", len(st.Links))
		s.opt.progress("rules", len(st.Rules))
	}
	return st, err
}

// routes dumps the tables asked for, filtered by the kernel.
func (s *scan) routes(ctx context.Context, fn func(*fib.Route) error) error {
	n := 0
	for _, fam := range s.families {
		for _, table := range s.opt.tables() {
			err := s.filtered(ctx, rtnl.Dump{Family: fam, Table: table}, func(r *fib.Route) error {
				if n++; n%progressStep == 0 {
					s.opt.progress("routes", n)
				}
				return fn(r)
			})
			if err != nil {
				return err
			}
		}
	}
	s.opt.progress("routes", n)
	return nil
}

// filtered passes on the routes that d asks for, each valid during the call only.
func (s *scan) filtered(ctx context.Context, d rtnl.Dump, fn func(*fib.Route) error) error {
	var r fib.Route
	defer func() { s.kind = 0 }()
	return s.dumpRoutes(ctx, d, func(m rtnl.Message) error {
		if s.same != nil {
			var dst netip.Prefix
			if s.kind, dst = s.decoder.Kind(m); s.kind != 0 && s.same(s.kind, dst) {
				return nil
			}
		}
		if err := s.decoder.Decode(m, &r, &s.report); err != nil {
			return err
		}
		s.handmade = s.handmade || isHandmade(&r)
		return fn(&r)
	})
}

// heardEach is after how many routes of a dump it is seen that news were lost meanwhile, so that it is
// worth nothing and another one need not wait for its end.
const heardEach = 4096

// dumpRoutes dumps the routes that d asks for. Of a table or a link that is missing there
// are none.
func (s *scan) dumpRoutes(ctx context.Context, d rtnl.Dump, fn func(rtnl.Message) error) error {
	d.Type = rtnl.RTM_GETROUTE
	n := 0
	err := s.conn.stream(ctx, d, func(m rtnl.Message) error {
		if n++; s.missing != nil && n%heardEach == 0 {
			if err := s.missing(); err != nil {
				return err
			}
		}
		return fn(m)
	})
	var k *kernelError
	if errors.As(err, &k) && (k.errno == fib.ENOENT && d.Table != 0 || k.errno == fib.ENODEV && d.Link != 0) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %v routes of table %v of %v: %w", d.Family, tableName(d.Table), s.opt.NetNS, err)
	}
	return nil
}

func tableName(t fib.TableID) string {
	if t == 0 {
		return "all"
	}
	return t.String()
}
