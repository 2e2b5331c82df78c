package ksync

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rebuild"
)

// maxTries bounds the scratch namespaces made for one reproduction.
const maxTries = 1000

// shrinker looks for the least part of a state for which one flow is still
// answered otherwise than by the kernel.
type shrinker struct {
	config   fib.Config
	alter    func(*fib.State)
	fresh    *fib.Sysctls
	fields   map[string]bool // in which the answers differ; one of them must stay
	tried    int
	progress func(stage string, n int)
}

var errNoRepro = errors.New("rebuilt in a scratch namespace, the same state and flow are answered alike: " +
	"the kernel's answer depends on something that no dump shows")

// shrink rebuilds st in scratch namespaces, never in the one it comes from, and
// leaves out what the disagreement a does not need. It needs root. alter may be nil.
func (v *VerifyOptions) shrink(ctx context.Context, st *fib.State, a *Answer) (*Repro, error) {
	fresh, err := freshSysctls(ctx)
	if err != nil {
		return nil, err
	}
	s := &shrinker{config: v.Config, alter: v.Alter, fresh: fresh, fields: map[string]bool{}, progress: v.Progress}
	for _, d := range a.Differences {
		s.fields[d.Field] = true
	}
	small, flow := st, a.Flow
	if _, differs, err := s.try(ctx, small, flow); err != nil || !differs {
		return nil, errors.Join(err, noReproIf(err == nil))
	}
	// What is simpler lets more be left out, and the other way round.
	for before, simpler := -1, true; ; {
		p := newParts(small, fresh)
		kept, err := s.least(ctx, p, flow, a)
		if err != nil {
			return nil, err
		}
		small = p.state(kept)
		if len(kept) == before && !simpler {
			break
		}
		before = len(kept)
		if simpler, err = s.simplify(ctx, small, &flow); err != nil {
			return nil, err
		}
	}
	r, differs, err := s.try(ctx, small, flow)
	if err != nil || !differs {
		return nil, errors.Join(err, noReproIf(err == nil))
	}
	r.Tried = s.tried
	return r, nil
}

// least are the pieces of p that are needed for f to differ. Of a large state those
// near the answer a are tried first.
func (s *shrinker) least(ctx context.Context, p *parts, f fib.Flow, a *Answer) ([]int, error) {
	holds := func(kept []int) (bool, error) {
		_, differs, err := s.try(ctx, p.state(kept), f)
		return differs, err
	}
	kept := p.all()
	if near := p.near(a); len(near) < len(kept) {
		if ok, err := holds(near); err != nil {
			return nil, err
		} else if ok {
			kept = near
		}
	}
	return leastPart(kept, holds)
}

func noReproIf(yes bool) error {
	if yes {
		return errNoRepro
	}
	return nil
}

// try rebuilds st, asks both sides and reports whether they differ in one of the
// fields in which they did.
func (s *shrinker) try(ctx context.Context, st *fib.State, f fib.Flow) (*Repro, bool, error) {
	if s.tried++; s.tried > maxTries {
		return nil, false, nil
	}
	if s.progress != nil {
		s.progress("scratch namespaces", s.tried)
	}
	ns, err := newScratch(ctx, st, s.fresh)
	if err != nil {
		return nil, false, err
	}
	defer ns.close()
	snap, err := loadAltered(ctx, Options{NetNS: ns.netns(), Config: s.config}, s.alter)
	if err != nil {
		return nil, false, err
	}
	q, err := OpenQuerier(ns.netns())
	if err != nil {
		return nil, false, err
	}
	defer q.Close()
	a, err := ask(snap, q, f)
	if err != nil {
		return nil, false, err
	}
	differs := slices.ContainsFunc(a.Differences, func(d Difference) bool { return s.fields[d.Field] })
	if !differs {
		return nil, false, nil
	}
	r := &Repro{Answer: a, Commands: append(ns.commands, rebuild.QueryText(st, f, a.OnlyStored()))}
	if now := snap.State(); now != nil {
		r.State = *now
	}
	return r, true, nil
}

// leastPart returns a part of kept from which nothing can be left out (delta
// debugging: halves first, then ever smaller pieces).
func leastPart(kept []int, holds func([]int) (bool, error)) ([]int, error) {
	for pieces := 2; len(kept) > 0; {
		size := (len(kept) + pieces - 1) / pieces
		shrunk := false
		for from := 0; from < len(kept); {
			to := min(from+size, len(kept))
			rest := slices.Concat(kept[:from], kept[to:])
			ok, err := holds(rest)
			if err != nil {
				return nil, err
			}
			if ok {
				kept, shrunk = rest, true
			} else {
				from = to
			}
		}
		switch {
		case shrunk:
			pieces = max(pieces-1, 2)
		case size <= 1:
			return kept, nil
		}
		pieces = min(pieces*2, max(len(kept), 1))
	}
	return kept, nil
}

// simplify leaves out what rules, routes and the flow have beside, and reports
// whether it could.
func (s *shrinker) simplify(ctx context.Context, st *fib.State, f *fib.Flow) (simpler bool, err error) {
	for _, change := range simplifications(st, f) {
		undo := change()
		if undo == nil {
			continue
		}
		_, differs, err := s.try(ctx, st, *f)
		if err != nil {
			return simpler, err
		}
		if simpler = simpler || differs; !differs {
			undo()
		}
	}
	return simpler, nil
}

// simplifications are changes, each of which returns how to take it back, or nil
// if it changed nothing.
func simplifications(st *fib.State, f *fib.Flow) (out []func() func()) {
	for i := range st.Rules {
		r := &st.Rules[i]
		if isInitial(r) {
			continue
		}
		out = append(out, without(&r.Not), without(&r.From), without(&r.To), without(&r.Iif), without(&r.Oif), withoutBoth(&r.Mark, &r.MarkMask),
			without(&r.TOS), withoutBoth(&r.DSCP, &r.DSCPMask), withoutBoth(&r.FlowLabel, &r.FlowLabelMask), withoutBoth(&r.HasUIDs, &r.UIDs),
			without(&r.IPProto), without(&r.Sport), without(&r.Dport), without(&r.TunID), without(&r.Realms), without(&r.SuppressPrefixLength),
			without(&r.SuppressIfGroup), without(&r.Protocol))
	}
	for i := range st.Routes {
		r := &st.Routes[i]
		if r.Protocol == fib.ProtoKernel {
			continue
		}
		out = append(out, without(&r.Metrics), without(&r.PrefSrc), without(&r.TOS), without(&r.Pref), without(&r.Src))
		for n := len(r.Nexthops) - 1; n >= 0 && len(r.Nexthops) > 1 && r.NexthopID == 0; n-- {
			out = append(out, func() func() {
				if n >= len(r.Nexthops) || len(r.Nexthops) < 2 {
					return nil
				}
				old := r.Nexthops
				r.Nexthops = slices.Delete(slices.Clone(old), n, n+1)
				return func() { r.Nexthops = old }
			})
		}
	}
	return append(out, without(&f.Mark), without(&f.TOS), without(&f.FlowLabel), without(&f.Sport), without(&f.Dport), without(&f.IPProto),
		without(&f.UID), without(&f.UIDSet), without(&f.Oif), without(&f.Src), without(&f.Iif))
}

// without sets a value to zero.
func without[T comparable](v *T) func() func() {
	return func() func() {
		var zero T
		old := *v
		if old == zero {
			return nil
		}
		*v = zero
		return func() { *v = old }
	}
}

func withoutBoth[A, B comparable](a *A, b *B) func() func() {
	return func() func() {
		undoA, undoB := without(a)(), without(b)()
		if undoA == nil && undoB == nil {
			return nil
		}
		return func() {
			for _, undo := range []func(){undoA, undoB} {
				if undo != nil {
					undo()
				}
			}
		}
	}
}

// noRepro says why there is no reproduction.
func noRepro(err error) string {
	if errors.Is(err, errNoRepro) {
		return errNoRepro.Error()
	}
	return fmt.Sprintf("no reproduction: %v", err)
}
