package ksync

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"

	"golang.org/x/sys/unix"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtnl"
	"github.com/fibula-net/fibula/ksync/plan"
)

// Exporter makes the part of a kernel that an owner owns equal to desired states. It
// is not safe for concurrent use.
type Exporter struct {
	opt   ExportOptions
	ns    NetNS    // to enter it, whatever becomes of its name
	pin   *os.File // nil: the process's own
	id    unix.Stat_t
	scan  *scan
	w     *writer
	links []fib.Link // as last read

	spoiled bool // a dump ended in its middle
	closed  bool
}

// OpenExporter opens an exporter in a namespace, and asks nothing yet. Errors: what
// the owner's Check says; fs.ErrNotExist and fs.ErrPermission for the namespace.
func OpenExporter(opt ExportOptions) (*Exporter, error) {
	if err := opt.Owner.Check(); err != nil {
		return nil, err
	}
	if p := opt.MaxDelete; p < -1 || p > 100 {
		return nil, fmt.Errorf("at most %d%% may be deleted: give a percentage from 0 to 100", p)
	}
	e := &Exporter{opt: opt}
	if err := e.open(); err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

func (e *Exporter) open() (err error) {
	if e.scan, err = newScan(&Options{NetNS: e.opt.NetNS}); err != nil {
		return err
	}
	if len(e.opt.Owner.Families) == 0 {
		e.opt.Owner.Families = e.scan.families // a kernel may have no IPv6
	}
	var c *conn
	if e.ns, e.pin, err = e.opt.NetNS.pinned(); err == nil {
		c, err = dialIn(e.ns)
	}
	if err == nil && e.pin != nil {
		err = unix.Fstat(int(e.pin.Fd()), &e.id)
	}
	if err != nil {
		return fmt.Errorf("%v: %w", e.opt.NetNS, err)
	}
	e.w = newWriter(c)
	e.w.count = e.opt.Count
	return nil
}

// Close closes its sockets and leaves the kernel as it is. A second call does nothing.
func (e *Exporter) Close() {
	if e.closed {
		return
	}
	e.closed = true
	if e.scan != nil {
		e.scan.conn.close()
	}
	if e.w != nil {
		e.w.close()
	}
	if e.pin != nil {
		e.pin.Close()
	}
}

// alive compares the namespace that has the name now with the one that is written to.
func (e *Exporter) alive() error {
	if e.pin == nil {
		return nil
	}
	return e.opt.NetNS.still(&e.id)
}

// Links returns the links of the namespace as it was last looked at.
func (e *Exporter) Links() []fib.Link { return e.links }

// look reads what a plan needs but routes.
func (e *Exporter) look(ctx context.Context) (*plan.Actual, error) {
	var st fib.State
	s := e.scan
	s.report = Report{}
	if e.spoiled {
		if err := s.redial(e.ns); err != nil {
			return nil, fmt.Errorf("%v: %w", e.opt.NetNS, err)
		}
		e.spoiled = false
	}
	for _, part := range [...]struct {
		what string
		read func() error
	}{
		{"links", func() error {
			return collect(ctx, s, &st.Links, rtnl.Dump{Type: rtnl.RTM_GETLINK}, rtnl.DecodeLink)
		}},
		{"rules", func() error { return s.rules(ctx, &st) }},
		{"nexthops", func() error { return s.nexthops(ctx, &st) }},
	} {
		if err := part.read(); err != nil {
			e.spoiled = spoils(err)
			return nil, fmt.Errorf("read %s of %v: %w", part.what, e.opt.NetNS, err)
		}
	}
	e.links = st.Links
	a := &plan.Actual{Rules: st.Rules, Nexthops: st.Nexthops}
	a.Routes = func(f fib.Family, t fib.TableID) iter.Seq2[*fib.Route, error] {
		proto := e.opt.Owner.Protocol
		if a.Complete {
			proto = 0
		}
		return e.routes(ctx, rtnl.Dump{Type: rtnl.RTM_GETROUTE, Family: f, Table: t, Protocol: proto})
	}
	a.Users = e.users(ctx)
	return a, nil
}

// routes are those of a dump, which is read to its end even when nobody listens any
// more: a socket has one dump at a time.
func (e *Exporter) routes(ctx context.Context, d rtnl.Dump) iter.Seq2[*fib.Route, error] {
	return func(yield func(*fib.Route, error) bool) {
		var r fib.Route
		on := true
		err := e.scan.conn.stream(ctx, d, func(m rtnl.Message) error {
			if !on {
				return nil
			}
			if err := e.scan.decoder.Decode(m, &r, &e.scan.report); err != nil {
				return err
			}
			if d.Protocol != 0 && r.Protocol != d.Protocol {
				return nil // an old kernel does not filter
			}
			on = yield(&r, nil)
			return nil
		})
		e.spoiled = e.spoiled || spoils(err)
		var k *kernelError
		if errors.As(err, &k) && k.errno == fib.ENOENT {
			err = nil // no such table
		}
		if err != nil && on {
			yield(nil, fmt.Errorf("read %v routes of table %v of %v: %w", d.Family, tableName(d.Table), e.opt.NetNS, err))
		}
	}
}

// users finds, when first asked, which nexthop objects are used by routes that are not
// ours. The kernel deletes those with the object.
func (e *Exporter) users(ctx context.Context) func(uint32) (string, bool) {
	var used map[uint32]string
	return func(id uint32) (string, bool) {
		if used == nil {
			used = map[uint32]string{}
			for _, f := range e.scan.families {
				for r, err := range e.routes(ctx, rtnl.Dump{Type: rtnl.RTM_GETROUTE, Family: f}) {
					if err != nil {
						return fmt.Sprintf("perhaps: %v", err), true
					}
					if r.NexthopID != 0 && used[r.NexthopID] == "" && !e.opt.Owner.OwnsRoute(r) {
						used[r.NexthopID] = fmt.Sprintf("route %v of protocol %d", *r, r.Protocol)
					}
				}
			}
		}
		name, ok := used[id]
		return name, ok
	}
}

// linkNames translates a desired state's links into the kernel's.
func (e *Exporter) linkNames(s *fib.Snapshot) func(int32) (int32, bool) {
	byName, up := map[string]int32{}, map[int32]bool{}
	for i := range e.links {
		byName[e.links[i].Name] = e.links[i].Index
		up[e.links[i].Index] = e.links[i].Up()
	}
	known := map[int32]int32{}
	for l := range s.Links() {
		known[l.Index] = byName[l.Name]
	}
	return func(i int32) (int32, bool) {
		k, named := known[i]
		if !named {
			k = i
		}
		_, there := up[k]
		return k, there
	}
}

// desired is what of s is wanted here.
func (e *Exporter) desired(s *fib.Snapshot, actual *plan.Actual) (plan.Desired, plan.Missing, error) {
	return plan.From(e.source(s, actual))
}

func (e *Exporter) source(s *fib.Snapshot, actual *plan.Actual) *plan.Source {
	return &plan.Source{Owner: e.opt.Owner, FIB: s, Mode: e.opt.Nexthops, Link: e.linkNames(s), Actual: actual}
}

// planned is a plan with what it was made for.
type planned struct {
	*plan.Plan
	desired plan.Desired
	missing plan.Missing
	all     bool // everybody's routes were looked at
}

// Plan compares s with the kernel and changes nothing. The tables that are owned are
// dumped, filtered by the kernel; once more, with everybody's routes, if any of ours
// are to be replaced. Errors wrap [ErrChanging] where the kernel's state did not keep
// still, or say, as *[plan.Mistake], what of s cannot be.
func (e *Exporter) Plan(ctx context.Context, s *fib.Snapshot) (*plan.Plan, error) {
	p, err := e.plan(ctx, s)
	if err != nil {
		return nil, err
	}
	return p.Plan, nil
}

func (e *Exporter) plan(ctx context.Context, s *fib.Snapshot) (p *planned, err error) {
	for range attempts {
		if p, err = e.planOnce(ctx, s); !errors.Is(err, errInterrupted) && !errors.Is(err, errLost) || ctx.Err() != nil {
			return p, err
		}
	}
	return nil, fmt.Errorf("%v: %w: tried %d times, the last time: %w", e.opt.NetNS, ErrChanging, attempts, err)
}

func (e *Exporter) planOnce(ctx context.Context, s *fib.Snapshot) (*planned, error) {
	actual, err := e.look(ctx)
	if err != nil {
		return nil, err
	}
	d, missing, err := e.desired(s, actual)
	if err != nil {
		return nil, err
	}
	p, err := plan.New(d, *actual)
	if err == nil && p.NeedsComplete {
		actual.Complete = true
		p, err = plan.New(d, *actual)
	}
	if err != nil {
		return nil, err
	}
	return &planned{p, d, missing, actual.Complete}, nil
}
