package ksync

import (
	"context"
	"fmt"
	"slices"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtsock"
	"github.com/fibula-net/fibula/rules"
)

func (s *rtSource) families() []fib.Family { return s.fams }
func (s *rtSource) report() *Report        { return &s.rep }
func (s *rtSource) listen(*part) error     { return nil }

// note counts what is not modelled, once however often it is looked at.
func (s *rtSource) note(r *Report) {
	for _, u := range r.Sorted() {
		for range r.Count(u) - s.rep.Count(u) {
			s.rep.Met(u)
		}
	}
}

// surroundings are links, addresses and forwarding. The rest is what stands for FreeBSD's way in the
// model: rules that lead to table main, which is FIB 0, and labels that nobody changed.
func (s *rtSource) surroundings(ctx context.Context) (*fib.State, error) {
	st := &fib.State{Sysctls: fib.DefaultSysctls(), AddrLabels: fib.DefaultAddrLabels()}
	for _, f := range [...]fib.Family{fib.Inet, fib.Inet6} {
		for _, r := range rules.Initial(f).All() {
			st.Rules = append(st.Rules, r)
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b, err := s.sys.links()
	if err == nil {
		var rep Report
		err = (&rtsock.Decoder{Report: &rep}).Links(b, st)
		s.note(&rep)
	}
	if err != nil {
		return nil, fmt.Errorf("read links and addresses: %w", err)
	}
	if err := s.sys.sysctls(&st.Sysctls); err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	for i := range st.Links {
		st.Links[i].Conf4, st.Links[i].Conf6 = st.Sysctls.Default4, st.Sysctls.Default6
	}
	return st, nil
}

// complete adds no neighbours: they choose nothing in FreeBSD.
func (s *rtSource) complete(_ context.Context, st *fib.State, modes bool) error {
	if modes {
		st.Mode4, st.Mode6 = fib.ModeMerged, fib.ModeMerged
	}
	return nil
}

func (s *rtSource) routes(ctx context.Context, f fib.Family, table fib.TableID, fn func(*fib.Route) error) error {
	fibs := s.fibs
	if table != fib.TableUnspec {
		n, ok := rtsock.FIB(table)
		if !ok || int(n) >= s.count {
			return nil // no such table
		}
		fibs = []uint16{n}
	}
	for _, n := range fibs {
		if err := s.dump(ctx, f, n, fn); err != nil {
			return fmt.Errorf("read %v routes of FIB %d: %w", f, n, err)
		}
	}
	return nil
}

// dump reads one FIB, which comes in the order of a radix tree, whole.
func (s *rtSource) dump(ctx context.Context, f fib.Family, n uint16, fn func(*fib.Route) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b, err := s.sys.routes(f, n)
	if err != nil {
		return err
	}
	var rep Report
	var all []fib.Route
	d := rtsock.Decoder{FIB: n, Now: s.sys.now(), Report: &rep}
	err = d.Routes(b, func(r *fib.Route) error {
		c := *r
		c.Nexthops = slices.Clone(r.Nexthops)
		all = append(all, c)
		return nil
	})
	s.note(&rep)
	if err != nil {
		return err
	}
	slices.SortStableFunc(all, func(a, b fib.Route) int { return fib.CompareDumped(f, a.Dst, b.Dst) })
	for i := range all {
		if err := fn(&all[i]); err != nil {
			return err
		}
	}
	return nil
}

// routesBy: the kernel filters by nothing.
func (s *rtSource) routesBy(context.Context, fib.Family, int32, func(*fib.Route) error) (bool, error) {
	return false, nil
}

func (s *rtSource) learn(*fib.FIB) (r fib.Result, err error) { return r, nil }
func (s *rtSource) room() (granted, asked int)               { return 0, 0 }

// finished: what has changed was announced.
func (s *rtSource) finished(context.Context) error { return nil }

// alive: a stack lives as long as its processes. FIBs can become more.
func (s *rtSource) alive() error {
	n, err := s.sys.fibs()
	if err == nil && n != s.count {
		err = fmt.Errorf("net.fibs was %d and is %d: begin anew", s.count, n)
	}
	return err
}
