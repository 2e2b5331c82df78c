package fib_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/flowgen"
	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/lookup"
	"github.com/fibula-net/fibula/lookup/flat"
	"github.com/fibula-net/fibula/lookup/trie"
	"github.com/fibula-net/fibula/rules"
)

func loaded(t testing.TB, st *fib.State) *fib.Snapshot {
	t.Helper()
	f := fib.New(fib.Config{Engine: trie.Engine{}})
	_, err := f.Update(func(tx *fib.Txn) error { return tx.Load(st) })
	require.NoError(t, err)
	return f.Snapshot()
}

// checkFlow compares the fast walk with the literal one and checks what every
// decision must keep.
func checkFlow(t testing.TB, s *fib.Snapshot, f fib.Flow) {
	t.Helper()
	d, e := s.Resolve(f), s.Explain(f)
	if d != e.Decision {
		t.Fatalf("flow %+v\nResolve %+v\nExplain %+v", f, d, e.Decision)
	}
	if d.HasRoute != (e.Route != nil) {
		t.Fatalf("flow %+v: HasRoute %v, but Explain's route is %v", f, d.HasRoute, e.Route)
	}
	if d.HasRule != (d.RuleIndex >= 0) {
		t.Fatalf("flow %+v: HasRule %v with index %d", f, d.HasRule, d.RuleIndex)
	}
	if e.Route != nil {
		covered := e.Route.Dst.Contains(f.Dst.WithZone("")) || !f.Dst.IsValid() && e.Route.Dst.Contains(netip.IPv6Unspecified())
		if !covered || e.Route.Dst != d.Prefix || e.Route.Type != d.RouteType {
			t.Fatalf("flow %+v: route %v does not go with %+v", f, e.Route, d)
		}
	}
	var total float64
	for _, l := range e.Legs {
		total += l.Share
	}
	if len(e.Legs) > 0 && (total < 0.999 || total > 1.001) {
		t.Fatalf("flow %+v: the legs' shares add up to %v: %+v", f, total, e.Legs)
	}
	m, r, ok := s.FibMatch(f)
	if ok != (d.Errno == 0 && d.HasRoute) || ok && (r.Dst != d.Prefix || m != d) {
		t.Fatalf("flow %+v: FibMatch %v %v, but the decision is %+v", f, ok, r, d)
	}
}

// hostile flows have members that no query has.
var hostile = []fib.Flow{
	{},
	{Src: netip.MustParseAddr("10.0.0.1")},
	{Dst: netip.MustParseAddr("10.8.0.1"), Src: netip.MustParseAddr("::1")},
	{Dst: netip.MustParseAddr("::1"), Src: netip.MustParseAddr("10.0.0.1")},
	{Dst: netip.MustParseAddr("fe80::1%d0"), Src: netip.MustParseAddr("fe80::2%x")},
	{Dst: netip.MustParseAddr("::ffff:10.8.0.1")},
	{Dst: netip.MustParseAddr("10.8.0.1"), Iif: -1},
	{Dst: netip.MustParseAddr("10.8.0.1"), Oif: 99},
	{Dst: netip.MustParseAddr("2001:db8::1"), Oif: -7, Iif: 3},
}

func TestResolveIsExplain(t *testing.T) {
	seed := randtest.Seed(t)
	states, flows := 250, randtest.Fewer(150)
	seen, quick := map[string]int{}, map[quickKind]int{}
	for i := range states {
		size := usualSize
		if i%4 == 0 {
			size.rules = 80 // both families have an index
		}
		st := stateGen{rand.New(rand.NewPCG(seed, uint64(i)))}.stateUpTo(size)
		if i%5 == 0 {
			st.Mode4, st.Mode6 = fib.ModeMerged, fib.ModeMerged
		}
		s := loaded(t, st)
		for _, f := range hostile {
			checkFlow(t, s, f)
		}
		g := flowgen.New(s, seed+uint64(i), flowgen.Options{Input: true})
		for range flows {
			f := g.Next()
			checkFlow(t, s, f)
			d := s.Resolve(f)
			if s.IsQuick(f) {
				quick[quickKind{f.Family(), i%5 == 0, f.Src.IsValid(), d.Errno, d.RouteType, wayOfAsking(f), s.HasLegs(d)}]++
			}
			seen[fmt.Sprintf("%v %v %v", f.Family(), f.Iif != 0, d.Errno)]++
			if d.Undetermined != 0 {
				seen[fmt.Sprintf("undetermined %d", d.Undetermined)]++
			}
		}
	}
	// The generator must still make what the test is for.
	assert.Positive(t, seen["undetermined 1"], "no multipath choice with an unknown seed")
	assert.Positive(t, seen["undetermined 2"], "no choice among default routers")
	assert.Greater(t, len(seen), 12, "kinds of answers: %v", seen)
	if flows < 150 {
		return // too few for each kind
	}
	for _, family := range []fib.Family{fib.Inet, fib.Inet6} {
		for _, kind := range []quickKind{
			{Type: fib.TypeUnicast}, {Type: fib.TypeLocal}, {Type: fib.TypeUnicast, Given: true}, {Errno: fib.EHOSTUNREACH, Type: fib.TypeUnreachable},
			{Errno: fib.ENETUNREACH}, {Type: fib.TypeUnicast, Merged: true},
		} {
			kind.Family = family
			assert.Greater(t, quick[kind], 3, "%+v is rare among the answers that stood ready: %v", kind, quick)
		}
	}
}

// TestReadyIsExplain: in states that leave little to chance, answers stand ready for
// received flows, those with an oif and those with several legs.
func TestReadyIsExplain(t *testing.T) {
	seed := randtest.Seed(t)
	states := randtest.Fewer(160)
	quick := map[quickKind]int{}
	for i := range states {
		g := stateGen{rand.New(rand.NewPCG(seed, uint64(i)))}
		st := g.state()
		g.calm(st)
		if i%3 == 0 {
			st.Mode4, st.Mode6 = fib.ModeMerged, fib.ModeMerged
		}
		s := loaded(t, st)
		flows := flowgen.New(s, seed+uint64(i), flowgen.Options{Input: true})
		for range 250 {
			f := g.busy(st, flows.Next())
			checkFlow(t, s, f)
			if s.IsQuick(f) {
				d := s.Resolve(f)
				quick[quickKind{f.Family(), i%3 == 0, false, d.Errno, d.RouteType, wayOfAsking(f), s.HasLegs(d)}]++
			}
		}
	}
	if states < 160 {
		return
	}
	for _, family := range []fib.Family{fib.Inet, fib.Inet6} {
		for _, merged := range []bool{false, true} {
			for _, kind := range []quickKind{
				{Type: fib.TypeUnicast, Asked: byIif}, {Type: fib.TypeLocal, Asked: byIif},
				{Errno: fib.EHOSTUNREACH, Type: fib.TypeUnreachable, Asked: byIif}, {Type: fib.TypeUnicast, Asked: byOif},
				{Type: fib.TypeUnicast, Legs: true}, {Type: fib.TypeUnicast, Legs: true, Asked: byIif},
			} {
				kind.Family, kind.Merged = family, merged
				assert.Greater(t, quick[kind], 5, "%+v is rare among the answers that stood ready", kind)
			}
		}
	}
}

// quickKind is a kind of answers that stand ready.
type quickKind struct {
	Family        fib.Family
	Merged, Given bool
	Errno         fib.Errno
	Type          fib.RouteType
	Asked         asked
	Legs          bool // several
}

type asked uint8

const (
	byIif asked = iota + 1
	byOif
)

func wayOfAsking(f fib.Flow) asked {
	switch {
	case f.Iif != 0:
		return byIif
	case f.Oif != 0:
		return byOif
	}
	return 0
}

// TestBatchIsResolve: many flows at once, of both families, are answered as one by one.
func TestBatchIsResolve(t *testing.T) {
	seed := randtest.Seed(t)
	for i := range randtest.Fewer(40) {
		st := stateGen{rand.New(rand.NewPCG(seed, uint64(i)))}.state()
		for _, engine := range []lookup.Engine{nil, trie.Engine{}, flat.Engine{Direct4: 1, Direct6: 1}} {
			f := fib.New(fib.Config{Engine: engine})
			_, err := f.Update(func(tx *fib.Txn) error { return tx.Load(st) })
			require.NoError(t, err)
			s := f.Snapshot()
			flows := slices.Clone(hostile)
			g := flowgen.New(s, seed+uint64(i), flowgen.Options{Input: true})
			for range 150 {
				flows = append(flows, g.Next())
			}
			out := make([]fib.Decision, len(flows))
			s.ResolveBatch(flows, out)
			for k, d := range out {
				require.Equal(t, s.Resolve(flows[k]), d, "%+v", flows[k])
			}
			assert.Panics(t, func() { s.ResolveBatch(flows, out[1:]) })
			assert.Zero(t, testing.AllocsPerRun(3, func() { s.ResolveBatch(flows, out) }))
		}
	}
}

// TestLookupTableIsOneRule: a table asked directly answers as behind a rule that leads
// everything to it.
func TestLookupTableIsOneRule(t *testing.T) {
	seed := randtest.Seed(t)
	routed, states := 0, randtest.Fewer(100)
	for i := range states {
		st := stateGen{rand.New(rand.NewPCG(seed, uint64(i)))}.state()
		st.Mode4, st.Mode6 = fib.ModeRules, fib.ModeRules
		tables := []fib.TableID{fib.TableMain, fib.TableLocal, 4711}
		for _, r := range st.Routes {
			tables = append(tables, r.Table)
		}
		slices.Sort(tables)
		for _, id := range slices.Compact(tables) {
			st.Rules = nil
			for _, family := range []fib.Family{fib.Inet, fib.Inet6} {
				st.Rules = append(st.Rules, rules.Rule{Family: family, Action: rules.ActLookup, Table: uint32(id)})
			}
			s := loaded(t, st)
			g := flowgen.New(s, seed+uint64(i), flowgen.Options{})
			for range 60 {
				dst := g.Next().Dst
				want, got := s.Resolve(fib.Flow{Dst: dst}), s.LookupTable(id, dst)
				if got.HasRoute {
					routed++
				}
				want.HasRule, want.Rule, want.RuleIndex = false, 0, -1
				require.Equal(t, want, got, "%v in table %v", dst, id)
				assert.Zero(t, testing.AllocsPerRun(2, func() { s.LookupTable(id, dst) }))
			}
		}
	}
	assert.Greater(t, routed, 20*states, "few of the answers had a route")
}

func FuzzResolveExplain(f *testing.F) {
	for n := range 8 {
		f.Add(make([]byte, n*16))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		g := fuzzGen(data)
		s := loaded(t, g.state())
		fg := flowgen.New(s, g.Uint64(), flowgen.Options{Input: true})
		for range 40 {
			checkFlow(t, s, fg.Next())
		}
	})
}

func TestResolveDoesNotAllocate(t *testing.T) {
	seed := randtest.Seed(t)
	for i := range 10 {
		size := usualSize
		if i%2 == 0 {
			size.rules = 80
		}
		s := loaded(t, stateGen{rand.New(rand.NewPCG(seed, uint64(i)))}.stateUpTo(size))
		g := flowgen.New(s, seed, flowgen.Options{Input: true})
		for range 100 {
			f := g.Next()
			if n := testing.AllocsPerRun(5, func() { s.Resolve(f) }); n != 0 {
				t.Fatalf("flow %+v: %v allocations", f, n)
			}
		}
	}
}
