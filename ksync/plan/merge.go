package plan

import (
	"errors"
	"iter"
	"slices"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/rules"
)

// Actual is what a kernel has.
type Actual struct {
	Rules    []rules.Rule        // of both families in list order, everybody's
	Nexthops []fib.NexthopObject // everybody's
	// Routes yields the routes of one table of one family. In the order of a dump they
	// are compared as they come; in any other they are collected and sorted first. The
	// route is the caller's until the next.
	Routes func(fib.Family, fib.TableID) iter.Seq2[*fib.Route, error]
	// Complete: Routes has everybody's, not ours alone.
	Complete bool
	// Users tells who else uses a nexthop object of ours, which therefore must not be
	// deleted; nil: nobody.
	Users func(id uint32) (user string, used bool)
}

// errOrder: routes did not come in the order of a dump.
var errOrder = errors.New("the routes are not in the order of a dump")

// merge compares one table: pair is called for each prefix, in order, with what is
// wanted and what is there; one of the two may be nil.
func (p *Plan) merge(f fib.Family, t fib.TableID, actual iter.Seq2[*fib.Route, error], count *int, pair func(want, have *group) error) error {
	next, stop := iter.Pull(p.want.inDumpOrder(f, t, count))
	defer stop()
	var wants []*group
	want := func() *group {
		if len(wants) == 0 {
			wants, _ = next()
		}
		if len(wants) == 0 {
			return nil
		}
		return wants[0]
	}
	took := func() { wants = wants[1:] }
	have := new(group)
	flush := func() error {
		if !have.dst.IsValid() {
			return nil
		}
		for w := want(); w != nil; w = want() {
			c := compareDump(f, w.dst, have.dst)
			if c > 0 {
				break
			}
			took()
			if c == 0 {
				return pair(w, have)
			}
			if err := pair(w, nil); err != nil {
				return err
			}
		}
		return pair(nil, have)
	}
	for r, err := range actual {
		if err != nil {
			return err
		}
		own := p.want.Owner.OwnsRoute(r)
		Normalize(r)
		if have.dst != r.Dst {
			if have.dst.IsValid() && compareDump(f, have.dst, r.Dst) > 0 {
				return errOrder
			}
			if err := flush(); err != nil {
				return err
			}
			have.reset(r.Dst)
		}
		have.have(r, own)
	}
	if err := flush(); err != nil {
		return err
	}
	for w := want(); w != nil; w = want() {
		took()
		if err := pair(w, nil); err != nil {
			return err
		}
	}
	return nil
}

// sorted collects routes and gives them back in the order of a dump.
func sorted(f fib.Family, in iter.Seq2[*fib.Route, error]) iter.Seq2[*fib.Route, error] {
	return func(yield func(*fib.Route, error) bool) {
		var all []fib.Route
		for r, err := range in {
			if err != nil {
				yield(nil, err)
				return
			}
			c := *r
			c.Nexthops = slices.Clone(r.Nexthops)
			all = append(all, c)
		}
		slices.SortStableFunc(all, func(a, b fib.Route) int { return compareDump(f, a.Dst, b.Dst) })
		for i := range all {
			if !yield(&all[i], nil) {
				return
			}
		}
	}
}
