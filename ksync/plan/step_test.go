package plan_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"weak"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/ksync/plan"
	"github.com/fibula-net/fibula/ksync/plan/plantest"
)

// mutate changes some of what a FIB has of ours.
func mutate(t *testing.T, g plantest.Gen, f *fib.FIB) {
	t.Helper()
	_, err := f.Update(func(tx *fib.Txn) error {
		for r := range tx.Snapshot().Routes() {
			if r.Protocol == plantest.Ours && g.One(4) {
				_ = tx.DeleteRoute(fib.Route{Table: r.Table, Dst: r.Dst, Src: r.Src, TOS: r.TOS, Priority: r.Priority, Protocol: r.Protocol, Scope: fib.ScopeNowhere})
			}
		}
		return nil
	})
	require.NoError(t, err)
	more := g.Part(100, plantest.Ours)
	if g.One(2) {
		more.Objects = nil
	}
	if g.One(2) {
		more.Rules = nil
	}
	more.Enter(f)
}

// A step from a known state does what a comparison with the whole of it would.
func TestStepIsAWholeComparison(t *testing.T) {
	seed := randtest.Seed(t)
	steps, ops := 0, 0
	for n := range randtest.Fewer(count(600)) {
		g := gen(seed, n)
		have, want := base(t), base(t)
		mine := g.Part(100, plantest.Ours)
		mine.Enter(want)
		mode := plantest.Pick(g, plan.AsGiven, plan.Inline, plan.Objects)
		source := func(a *plan.Actual) *plan.Source {
			return &plan.Source{Owner: owner, FIB: want.Snapshot(), Mode: mode, Actual: a, Link: func(i int32) (int32, bool) { return i, i != plantest.FirstLink || !g1(n) }}
		}
		whole := func() (*plan.Plan, plan.Desired, plan.Missing) {
			actual := actualOf(have, true)
			d, missing, err := plan.From(source(&actual))
			require.NoError(t, err)
			p, err := plan.New(d, actual)
			require.NoError(t, err)
			return p, d, missing
		}
		p, known, _ := whole()
		for round := range 4 {
			absent := map[string]bool{}
			for op := range p.Ops() {
				if apply(have, op) != nil {
					absent[op.Name()] = true
				}
			}
			if len(absent)+len(p.Conflicts) > 0 {
				break // what a kernel refuses, or another has: nothing is known then
			}
			old := known
			mutate(t, g, want)
			actual := actualOf(have, true)
			actual.Routes = nil
			got, _, missing, ok, err := plan.Step(source(&actual), plan.Known{Desired: &old, Wanted: old.Count(), Routes: old.Count()})
			require.NoError(t, err)
			var wantMissing plan.Missing
			p, known, wantMissing = whole()
			if !ok {
				continue
			}
			steps++
			// A kernel may have metrics that were not asked for (B7), and a step does not know that.
			needless := func(op string) bool {
				return strings.HasPrefix(op, "replace route ") && strings.Contains(op, " nhid ") && !slices.Contains(listed(p), op)
			}
			if ops := listed(got); slices.ContainsFunc(ops, needless) {
				require.Equal(t, listed(p), slices.DeleteFunc(ops, needless), "configuration %d, round %d, mode %d", n, round, mode)
				continue
			}
			require.Equal(t, listed(p), listed(got), "configuration %d, round %d, mode %d", n, round, mode)
			require.Equal(t, p.Counts, got.Counts, "configuration %d, round %d", n, round)
			require.Equal(t, wantMissing.Routes, missing.Routes, "configuration %d, round %d", n, round)
			ops += len(listed(p))
		}
	}
	t.Logf("%d steps with %d operations", steps, ops)
	assert.Positive(t, steps)
	assert.Positive(t, ops)
}

// States that steps left behind are kept by nothing.
func TestStepsForgetWhatWasBefore(t *testing.T) {
	for _, mode := range []plan.Mode{plan.AsGiven, plan.Objects} {
		have, want := base(t), base(t)
		actual := actualOf(have, true)
		known, _, err := plan.From(&plan.Source{Owner: owner, FIB: want.Snapshot(), Mode: mode, Actual: &actual})
		require.NoError(t, err)
		var left []weak.Pointer[fib.Snapshot]
		for i := range 4 {
			_, err := want.Update(func(tx *fib.Txn) error {
				return tx.AddRoute(fib.Route{Table: 10, Dst: netip.PrefixFrom(netip.AddrFrom4([4]byte{50, byte(i)}), 16), Type: fib.TypeUnreachable}, fib.OpAdd)
			})
			require.NoError(t, err)
			s := want.Snapshot()
			left = append(left, weak.Make(s))
			actual := actualOf(have, true)
			_, d, _, ok, err := plan.Step(&plan.Source{Owner: owner, FIB: s, Mode: mode, Actual: &actual}, plan.Known{Desired: &known})
			require.NoError(t, err)
			require.True(t, ok)
			known = d
		}
		runtime.GC()
		for i := range 3 {
			require.True(t, left[i].Value() == nil, "mode %d, state %d", mode, i)
		}
		runtime.KeepAlive(&known)
	}
}

// g1 leaves out a link in every other configuration.
func g1(n int) bool { return n%2 == 1 }

func listed(p *plan.Plan) (out []string) {
	for op := range p.Ops() {
		out = append(out, fmt.Sprintf("%v %s", op.Verb, op.Name()))
	}
	return out
}
