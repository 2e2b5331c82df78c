package fib_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/flowgen"
	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/lookup/trie"
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
	seen := map[string]int{}
	for i := range states {
		size := usualSize
		if i%4 == 0 {
			size.rules = 80 // both families have an index
		}
		s := loaded(t, stateGen{rand.New(rand.NewPCG(seed, uint64(i)))}.stateUpTo(size))
		for _, f := range hostile {
			checkFlow(t, s, f)
		}
		g := flowgen.New(s, seed+uint64(i), flowgen.Options{Input: true})
		for range flows {
			f := g.Next()
			checkFlow(t, s, f)
			d := s.Resolve(f)
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
