package plan_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/ksync/plan"
	"github.com/fibula-net/fibula/ksync/plan/plantest"
)

// flows are all kinds that the universe of gen tells apart.
func flows() (out []fib.Flow) {
	for _, f := range []fib.Family{fib.Inet, fib.Inet6} {
		for hi := range byte(4) {
			for _, mark := range []uint32{0, 1, 2} {
				for _, tos := range []uint8{0, 0x10} {
					fl := fib.Flow{Mark: mark, TOS: tos, Dst: plantest.Gateway(f, 0, 1)}
					b := fl.Dst.As16()
					if f == fib.Inet {
						x := fl.Dst.As4()
						x[0] = 64 | hi<<4
						fl.Dst = fib4(x)
					} else {
						b[0] = 64 | hi<<4
						fl.Dst = fib6(b)
					}
					out = append(out, fl)
				}
			}
		}
	}
	return out
}

// delivered reports whether a flow gets anywhere, and whether that is certain.
func delivered(s *fib.Snapshot, f fib.Flow) (yes, certain bool) {
	d := s.Resolve(f)
	return d.Errno == 0 && d.Type != fib.TypeBlackhole, d.Undetermined == 0
}

func foreign(f *fib.FIB) (out []string) {
	s := f.Snapshot()
	for r := range s.Routes() {
		if !owner.OwnsRoute(&r) {
			out = append(out, fmt.Sprintf("%+v", r))
		}
	}
	for _, o := range s.Nexthops() {
		if !owner.OwnsNexthop(&o) {
			out = append(out, fmt.Sprintf("%+v", o))
		}
	}
	for _, r := range append(s.Rules(fib.Inet), s.Rules(fib.Inet6)...) {
		if !owner.OwnsRule(&r) {
			out = append(out, fmt.Sprintf("%+v", r))
		}
	}
	return out
}

// desiredOf is what a FIB asks for.
func desiredOf(t testing.TB, f *fib.FIB, mode plan.Mode, actual *plan.Actual) plan.Desired {
	t.Helper()
	d, _, err := plan.From(&plan.Source{Owner: owner, FIB: f.Snapshot(), Mode: mode, Actual: actual})
	require.NoError(t, err)
	return d
}

func TestNoStepLosesAFlowThatBothEndsDeliver(t *testing.T) {
	seed := randtest.Seed(t)
	all := flows()
	steps, watched := 0, 0
	for n := range randtest.Fewer(count(1500)) {
		g := gen(seed, n)
		have, want := base(t), base(t)
		others, mine := g.Part(1, plantest.Theirs), g.Part(100, plantest.Ours)
		others.Enter(have)
		mine.Enter(have)
		goal := g.Vary(mine)
		goal.Enter(want)
		steps2, watched2 := step(t, have, want, plantest.Pick(g, plan.AsGiven, plan.AsGiven, plan.Objects, plan.Inline), all, n)
		steps, watched = steps+steps2, watched+watched2
	}
	t.Logf("%d steps, %d flows watched in them", steps, watched)
	require.Positive(t, watched)
}

// step goes from one state to another by a plan, and watches.
func step(t *testing.T, have, want *fib.FIB, mode plan.Mode, all []fib.Flow, n int) (steps, watched int) {
	t.Helper()
	actual := actualOf(have, true)
	d := desiredOf(t, want, mode, &actual)
	p, err := plan.New(d, actual)
	require.NoError(t, err)
	start, before := have.Snapshot(), foreign(have)
	var story []string
	refused := map[string]bool{}
	var states []*fib.Snapshot
	for op := range p.Ops() {
		story = append(story, fmt.Sprintf("%v %s %+v", op.Verb, op.Name(), op.Route))
		if err := apply(have, op); err != nil {
			refused[op.Name()] = true
			story[len(story)-1] += " REFUSED: " + err.Error()
		}
		states = append(states, have.Snapshot())
	}
	tell := func() string {
		out := fmt.Sprintf("configuration %d\nstart:\n", n)
		for r := range start.Routes() {
			if r.Protocol != fib.ProtoKernel {
				out += fmt.Sprintf("  %v %d %v\n", r, r.Protocol, r.Type)
			}
		}
		for _, r := range append(start.Rules(fib.Inet), start.Rules(fib.Inet6)...) {
			out += fmt.Sprintf("  %v %v\n", r.Family, r)
		}
		for _, o := range start.Nexthops() {
			out += fmt.Sprintf("  %+v\n", o)
		}
		for _, l := range story {
			out += l + "\n"
		}
		for _, c := range p.Conflicts {
			out += c.String() + "\n"
		}
		return out
	}
	require.Equal(t, before, foreign(have), "%s", tell())
	end := have.Snapshot()
	for _, f := range all {
		a, sure := delivered(start, f)
		b, sure2 := delivered(end, f)
		if !a || !b || !sure || !sure2 || len(p.Unproven)+len(refused) > 0 {
			continue
		}
		watched++
		for i, s := range states {
			if ok, sure := delivered(s, f); !ok && sure {
				t.Fatalf("flow %+v is lost after step %d, %s\n%s", f, i, story[i], tell())
			}
		}
	}
	// What is there now needs nothing more.
	actual = actualOf(have, true)
	d = desiredOf(t, want, mode, &actual)
	again, err := plan.New(d, actual)
	require.NoError(t, err)
	for op := range again.Ops() {
		if !refused[op.Name()] && len(p.Conflicts) == 0 && len(refused) == 0 {
			t.Fatalf("a second plan has %v %s\n%s", op.Verb, op.Name(), tell())
		}
	}
	return len(states), watched
}

func TestPlanTakesAnyOrderOfRoutes(t *testing.T) {
	seed := randtest.Seed(t)
	for n := range randtest.Fewer(200) {
		g := gen(seed, n)
		have, want := base(t), base(t)
		mine := g.Part(100, plantest.Ours)
		mine.Enter(have)
		goal := g.Vary(mine)
		goal.Enter(want)
		actual := actualOf(have, true)
		d := desiredOf(t, want, plan.AsGiven, nil)
		p, err := plan.New(d, actual)
		require.NoError(t, err)
		s := have.Snapshot()
		actual.Routes = func(f fib.Family, id fib.TableID) routeSeq {
			return func(yield func(*fib.Route, error) bool) {
				all := slices.Collect(s.RoutesOf(f, id))
				// Groups under one prefix keep their order.
				slices.SortStableFunc(all, func(a, b fib.Route) int { return b.Dst.Compare(a.Dst) })
				for i := range all {
					if !yield(&all[i], nil) {
						return
					}
				}
			}
		}
		q, err := plan.New(d, actual)
		require.NoError(t, err)
		require.Equal(t, p.Counts, q.Counts)
		require.Equal(t, p.Conflicts, q.Conflicts)
	}
}

// FuzzPlan lets a fuzzer choose the states of TestNoStepLosesAFlowThatBothEndsDeliver.
func FuzzPlan(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("any bytes make two states"))
	all := flows()
	f.Fuzz(func(t *testing.T, data []byte) {
		g := plantest.Gen{Rand: rand.New(&byteSource{data, rand.NewPCG(uint64(len(data)), 1)})}
		have, want := base(t), base(t)
		others, mine := g.Part(1, plantest.Theirs), g.Part(100, plantest.Ours)
		others.Enter(have)
		mine.Enter(have)
		goal := g.Vary(mine)
		goal.Enter(want)
		step(t, have, want, plantest.Pick(g, plan.AsGiven, plan.Objects, plan.Inline), all, 0)
	})
}

// Ops says the same each time: what it yields is in room that it uses again, but not in the plan's.
func TestOpsAreTheSameEachTime(t *testing.T) {
	have := base(t)
	src := netip.MustParsePrefix("2001:db8:55::/48")
	_, err := have.Update(func(tx *fib.Txn) error {
		for i, s := range []netip.Prefix{src, {}} {
			r := fib.Route{Table: 10, Dst: netip.MustParsePrefix(fmt.Sprintf("2001:db8:9%d::/48", i)), Src: s, Type: fib.TypeUnicast, Protocol: plantest.Ours,
				Priority: 1024, Nexthops: []fib.Nexthop{{Link: plantest.FirstLink, Gateway: plantest.Gateway(fib.Inet6, plantest.FirstLink, byte(10+i)), Weight: 1}}}
			if err := tx.AddRoute(r, fib.OpAdd); err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(t, err)
	p, err := plan.New(plan.Desired{Owner: owner}, actualOf(have, true))
	require.NoError(t, err)
	first := listed(p)
	require.Len(t, first, 2)
	require.Equal(t, first, listed(p))
}
