package ksync

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/internal/rebuild"
	"github.com/fibula-net/fibula/ksync/plan"
	"github.com/fibula-net/fibula/ksync/plan/plantest"
	"github.com/fibula-net/fibula/rules"
)

// plantestNS is the namespace that plantest.Base describes.
func plantestNS(t testing.TB) *netnstest.NS {
	t.Helper()
	ns := netnstest.New(t, netnstest.LoUp, netnstest.Quiet)
	for l := int32(plantest.FirstLink); l < plantest.FirstLink+plantest.Links; l++ {
		name := plantest.LinkName(l)
		ns.Batch(fmt.Sprintf("link add %s index %d type veth peer name p%s index %d", name, l, name, 100+l),
			"link set "+name+" up", "link set p"+name+" up")
		for _, a := range plantest.Addresses(l) {
			ns.IP(fmt.Sprintf("addr add %v dev %s", a, name))
		}
	}
	ns.Settle()
	return ns
}

// enter writes a part into the kernel, as far as that takes it.
func enter(t testing.TB, ns *netnstest.NS, p *plantest.Part) {
	t.Helper()
	c, err := dialIn(Named(ns.Name()))
	require.NoError(t, err)
	defer c.close()
	var r ExportReport
	require.NoError(t, newWriter(c).do(t.Context(), func(yield func(plan.Op) bool) {
		for i := range p.Objects {
			if !yield(plan.Op{Kind: plan.Nexthop, Nexthop: &p.Objects[i]}) {
				return
			}
		}
		for i := range p.Routes {
			if !yield(plan.Op{Kind: plan.Route, Route: &p.Routes[i]}) {
				return
			}
		}
		for i := range p.Rules {
			if !yield(plan.Op{Kind: plan.Rule, Rule: &p.Rules[i]}) {
				return
			}
		}
	}, &r, nil))
}

// halves are what a scan shows of an owner and of everybody else, as text.
func halves(st *fib.State, o *plan.Owner) (ours, others []string) {
	add := func(own bool, format string, args ...any) {
		line := fmt.Sprintf(format, args...)
		if own {
			ours = append(ours, line)
		} else {
			others = append(others, line)
		}
	}
	for i := range st.Routes {
		r := st.Routes[i]
		own := o.OwnsRoute(&r)
		r.Nexthops = slices.Clone(r.Nexthops)
		if own {
			plan.Normalize(&r)
		}
		add(own, "%+v", r)
	}
	for _, r := range st.Rules {
		add(o.OwnsRule(&r), "%v %+v", r.Family, r)
	}
	for _, n := range st.Nexthops {
		own := o.OwnsNexthop(&n)
		if own {
			plan.NormalizeNexthop(&n)
		}
		n.Source = fib.NexthopObject{}.Source
		add(own, "%+v", n)
	}
	return ours, others
}

func TestExportMakesRandomStatesEqualAndTouchesNothingElse(t *testing.T) {
	t.Parallel()
	seed := randtest.Seed(t)
	ns := plantestNS(t)
	o := plantest.Owner
	clean, failures := 0, 0
	for n := range randtest.Fewer(150) {
		g := plantest.Gen{Rand: rand.New(rand.NewPCG(seed, uint64(n)))}
		others, mine := g.Part(1, plantest.Theirs), g.Part(100, plantest.Ours)
		enter(t, ns, &others)
		enter(t, ns, &mine)
		goal := g.Vary(mine)
		want, err := plantest.Base()
		require.NoError(t, err)
		goal.Enter(want)
		mode := plantest.Pick(g, plan.AsGiven, plan.AsGiven, plan.Objects, plan.Inline)
		before := scanned(t, ns, Options{})
		e := openExporter(t, ExportOptions{NetNS: Named(ns.Name()), Owner: o, Nexthops: mode, Force: true})
		r, err := e.Sync(t.Context(), want.Snapshot())
		require.NoError(t, err, "configuration %d", n)
		after := scanned(t, ns, Options{})
		_, foreign := halves(&before, &o)
		ours, left := halves(&after, &o)
		require.Equal(t, foreign, left, "configuration %d", n)

		again, err := e.Sync(t.Context(), want.Snapshot())
		require.NoError(t, err)
		if r.InSync() {
			clean++
			require.Zero(t, again.Counts.Changes(), "configuration %d: a second synchronization changes %+v", n, again.Counts)
			if mode == plan.AsGiven {
				st := want.Snapshot().State()
				asked, _ := halves(st, &o)
				slices.Sort(asked)
				slices.Sort(ours)
				require.Equal(t, slices.Compact(asked), slices.Compact(ours), "configuration %d", n)
			}
		} else {
			failures++
			for _, f := range r.Failures { // only what the model refuses, too
				require.ErrorIs(t, f.Err, ErrPending, "configuration %d: %v", n, f)
			}
		}
		_, err = e.Withdraw(t.Context())
		require.NoError(t, err)
		final := scanned(t, ns, Options{})
		ours, left = halves(&final, &o)
		require.Equal(t, foreign, left)
		if !hasUsers(&before, &o) {
			require.Empty(t, ours, "configuration %d", n)
		}
		e.Close()
		x := openExporter(t, ExportOptions{NetNS: Named(ns.Name()), Force: true,
			Owner: plan.Owner{Protocol: plantest.Theirs, Tables: o.Tables, Rules: plan.Range{First: 1, Last: 1000}, Nexthops: plan.Range{First: 1, Last: 99}}})
		_, err = x.Withdraw(t.Context())
		require.NoError(t, err)
		x.Close()
	}
	t.Logf("%d without any refusal, %d with", clean, failures)
	assert.Positive(t, clean)
}

// hasUsers reports whether others use our nexthop objects, which then stay.
func hasUsers(st *fib.State, o *plan.Owner) bool {
	return slices.ContainsFunc(st.Routes, func(r fib.Route) bool {
		return r.NexthopID != 0 && o.Nexthops.Contains(r.NexthopID) && !o.OwnsRoute(&r)
	})
}

func TestDryRunGivesTheSameStateToIPBatch(t *testing.T) {
	t.Parallel()
	seed := randtest.Seed(t)
	a, b := plantestNS(t), plantestNS(t)
	o := plantest.Owner
	compared := 0
	for n := 0; n < randtest.Fewer(40) || compared == 0 && n < 100; n++ {
		g := plantest.Gen{Rand: rand.New(rand.NewPCG(seed, uint64(n)))}
		mine := g.Part(100, plantest.Ours)
		goal := g.Vary(mine)
		want, err := plantest.Base()
		require.NoError(t, err)
		goal.Enter(want)
		ea := openExporter(t, ExportOptions{NetNS: Named(a.Name()), Owner: o, Force: true})
		eb := openExporter(t, ExportOptions{NetNS: Named(b.Name()), Owner: o, Force: true})
		enter(t, a, &mine)
		enter(t, b, &mine)
		p, err := eb.Plan(t.Context(), want.Snapshot())
		require.NoError(t, err)
		r, err := ea.Sync(t.Context(), want.Snapshot())
		require.NoError(t, err)
		if r.Failed+r.Retried+len(r.Conflicts) == 0 { // ip gives up where something is refused
			lines, batch := []string{}, rebuild.Batch{Links: eb.Links()}
			refused := false // ip adds no rule that it takes for equal to another (A4)
			twin := fib.New(fib.Config{})
			st := scanned(t, b, Options{Tables: []fib.TableID{1}})
			_, err := twin.Update(func(tx *fib.Txn) error { return tx.Load(&st) })
			require.NoError(t, err)
			for op := range p.Ops() {
				if op.Kind == plan.Rule {
					_, _ = twin.Update(func(tx *fib.Txn) error {
						if op.Verb == plan.Delete {
							_, err := tx.DeleteRule(rules.RequestOf(*op.Rule))
							return err
						}
						_, err := tx.AddRule(rules.RequestOf(*op.Rule), fib.OpAdd)
						refused = refused || err != nil
						return err
					})
				}
				verb := strings.Replace(op.Verb.String(), "delete", "del", 1)
				line, ok := "", false
				switch op.Kind {
				case plan.Nexthop:
					line, ok = batch.Nexthop(verb, op.Nexthop)
				case plan.Route:
					line, ok = batch.Route(verb, op.Route)
				default:
					line, ok = batch.Rule(verb, op.Rule)
				}
				require.True(t, ok, line)
				lines = append(lines, line)
			}
			if refused {
				_, err := eb.Sync(t.Context(), want.Snapshot())
				require.NoError(t, err)
			} else {
				compared++
				b.Batch(lines...)
			}
			sa, sb := scanned(t, a, Options{}), scanned(t, b, Options{})
			oa, _ := halves(&sa, &o)
			ob, _ := halves(&sb, &o)
			require.Equal(t, oa, ob, "configuration %d: %s", n, strings.Join(lines, "\n"))
		}
		for _, e := range []*Exporter{ea, eb} {
			_, err := e.Withdraw(t.Context())
			require.NoError(t, err)
			e.Close()
		}
	}
	assert.Positive(t, compared)
}
