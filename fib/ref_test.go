package fib_test

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/flowgen"
	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/lookup"
	"github.com/fibula-net/fibula/lookup/flat"
	"github.com/fibula-net/fibula/lookup/trie"
)

func key4(f *fib.Flow) fib.Key4 {
	k := fib.Key4{Iif: f.Iif, Oif: f.Oif, Mark: f.Mark, UID: f.UID, Sport: f.Sport, Dport: f.Dport, TOS: f.TOS, IPProto: f.IPProto}
	d := f.Dst.As4()
	k.Dst = binary.BigEndian.Uint32(d[:])
	if f.Src.Is4() {
		a := f.Src.As4()
		k.Src = binary.BigEndian.Uint32(a[:])
	}
	return k
}

func halves(a netip.Addr) [2]uint64 {
	b := a.As16()
	return [2]uint64{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func key6(f *fib.Flow) fib.Key6 {
	k := fib.Key6{Dst: halves(f.Dst), Iif: f.Iif, Oif: f.Oif, Mark: f.Mark, UID: f.UID, UIDSet: f.UIDSet, FlowLabel: f.FlowLabel,
		Sport: f.Sport, Dport: f.Dport, TOS: f.TOS, IPProto: f.IPProto}
	if f.Src.Is6() {
		k.Src = halves(f.Src)
	}
	return k
}

// wayKey is what answers have in common whose decisions differ in what the flow decides alone.
type wayKey struct {
	route, leg int
	family     fib.Family
	received   bool
}

func shared(d fib.Decision) fib.Decision {
	d.HasRule, d.Rule, d.RuleIndex, d.Table, d.Prefix, d.Source, d.Realms = false, 0, 0, 0, netip.Prefix{}, netip.Addr{}, 0
	return d
}

// checkRefs compares the short answers to flows with Resolve's. It counts what kinds there were.
func checkRefs(t testing.TB, s *fib.Snapshot, flows []fib.Flow, ways map[string]int) {
	t.Helper()
	var k4 []fib.Key4
	var k6 []fib.Key6
	for _, f := range flows {
		if f.Dst.Is4() {
			k4 = append(k4, key4(&f))
		} else {
			k6 = append(k6, key6(&f))
		}
	}
	r4, r6 := make([]fib.Ref, len(k4)), make([]fib.Ref, len(k6))
	s.ResolveRefs4(k4, r4)
	s.ResolveRefs6(k6, r6)
	same := map[wayKey]fib.Decision{}
	check := func(f fib.Flow, one, r fib.Ref, got fib.Decision) {
		t.Helper()
		want := s.Resolve(f)
		if got != want || one != r || r.Errno() != want.Errno || r.Link != want.Link || r.RuleIndex() != int(want.RuleIndex) {
			t.Fatalf("flow %+v\nref %+v, alone %+v\ngot  %+v\nwant %+v", f, r, one, got, want)
		}
		route, leg, ok := r.Way()
		if ok {
			k := wayKey{route: int(route), leg: leg, family: f.Family(), received: f.Iif != 0}
			if d, known := same[k]; known && want.Errno == d.Errno && d != shared(want) {
				t.Fatalf("flow %+v has way %+v, but %+v is not %+v", f, k, want, d)
			}
			same[k] = shared(want)
		}
		ways[s.RefKind(r)]++
	}
	for i := range k4 {
		if s.InLane4(&k4[i]) {
			ways["lane4"]++
		}
		check(k4[i].Flow(), s.ResolveRef4(&k4[i]), r4[i], s.Decision4(&k4[i], r4[i]))
	}
	for i := range k6 {
		if s.InLane6(&k6[i]) {
			ways["lane6"]++
		}
		check(k6[i].Flow(), s.ResolveRef6(&k6[i]), r6[i], s.Decision6(&k6[i], r6[i]))
	}
}

func TestRefsAreResolve(t *testing.T) {
	seed := randtest.Seed(t)
	states := randtest.Fewer(160)
	ways := map[string]int{}
	for i := range states {
		g := stateGen{rand.New(rand.NewPCG(seed, uint64(i)))}
		size := usualSize
		if i%4 == 0 {
			size.rules = 80
		}
		st := g.stateUpTo(size)
		if i%2 == 0 {
			g.calm(st)
		}
		switch i % 6 {
		case 0, 1:
			st.Mode4, st.Mode6 = fib.ModeMerged, fib.ModeMerged
		case 2:
			st.Mode4, st.Mode6 = fib.ModeRules, fib.ModeRules
			g.onlySelective(st)
		}
		f := fib.New(fib.Config{Engine: []lookup.Engine{flat.Engine{}, flat.Engine{Direct4: 1, Direct6: 1}, trie.Engine{}}[i%7%3]})
		_, err := f.Update(func(tx *fib.Txn) error { return tx.Load(st) })
		require.NoError(t, err)
		s := f.Snapshot()
		fg := flowgen.New(s, seed+uint64(i), flowgen.Options{Input: true})
		flows := append([]fib.Flow(nil), hostile...)
		for range 300 {
			flows = append(flows, g.busy(st, fg.Next()))
		}
		for range 300 { // mostly alike, as packets are
			f := fib.Flow{Dst: fg.Next().Dst}
			if g.one(4) {
				f.Mark, f.Src = 1, flows[g.IntN(len(flows))].Src
			}
			flows = append(flows, f)
		}
		checkRefs(t, s, flows, ways)
	}
	if states == 160 {
		for _, kind := range []string{"walked", "refused", "rule", "merged", "local", "main", "leg", "lane4", "lane6"} {
			assert.Greater(t, ways[kind], 50, "%v", ways)
		}
	}
}

// A Ref of other flows or snapshots is nonsense, but harmless.
func TestForeignRefsAreHarmless(t *testing.T) {
	seed := randtest.Seed(t)
	var refs []fib.Ref
	for i := range randtest.Fewer(30) {
		g := stateGen{rand.New(rand.NewPCG(seed, uint64(i)))}
		st := g.state()
		g.calm(st)
		s := loaded(t, st)
		fg := flowgen.New(s, seed, flowgen.Options{Input: true})
		for range 100 {
			f := fg.Next()
			for range min(len(refs), 4) {
				r := refs[g.IntN(len(refs))]
				if f.Dst.Is4() {
					k := key4(&f)
					s.Decision4(&k, r)
				} else {
					k := key6(&f)
					s.Decision6(&k, r)
				}
			}
			if f.Dst.Is4() {
				k := key4(&f)
				refs = append(refs, s.ResolveRef4(&k))
			} else {
				k := key6(&f)
				refs = append(refs, s.ResolveRef6(&k))
			}
		}
	}
}

func TestRefsDoNotAllocate(t *testing.T) {
	seed := randtest.Seed(t)
	for i := range 6 {
		g := stateGen{rand.New(rand.NewPCG(seed, uint64(i)))}
		st := g.state()
		if i%2 == 0 {
			g.calm(st)
		}
		s := loaded(t, st)
		fg := flowgen.New(s, seed, flowgen.Options{Input: true})
		k4, k6, out := make([]fib.Key4, 100), make([]fib.Key6, 100), make([]fib.Ref, 100)
		for a, b := 0, 0; a < 100 || b < 100; {
			if f := fg.Next(); f.Dst.Is4() {
				k4[a%100] = key4(&f)
				a++
			} else {
				k6[b%100] = key6(&f)
				b++
			}
		}
		assert.Zero(t, testing.AllocsPerRun(3, func() {
			s.ResolveRefs4(k4, out)
			for i := range out {
				s.Decision4(&k4[i], out[i])
				s.ResolveRef4(&k4[i])
			}
			s.ResolveRefs6(k6, out)
			for i := range out {
				s.Decision6(&k6[i], out[i])
				s.ResolveRef6(&k6[i])
			}
		}))
		assert.Panics(t, func() { s.ResolveRefs4(k4, out[1:]) })
		assert.Panics(t, func() { s.ResolveRefs6(k6, out[1:]) })
	}
}

func TestRefsAreSmall(t *testing.T) {
	assert.Equal(t, uintptr(32), unsafe.Sizeof(fib.Key4{}))
	assert.Equal(t, uintptr(64), unsafe.Sizeof(fib.Key6{}))
	assert.Equal(t, uintptr(16), unsafe.Sizeof(fib.Ref{}))
}

func FuzzRefs(f *testing.F) {
	for n := range 8 {
		f.Add(make([]byte, n*16))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		g := fuzzGen(data)
		st := g.state()
		if g.one(2) {
			g.calm(st)
		}
		s := loaded(t, st)
		fg := flowgen.New(s, g.Uint64(), flowgen.Options{Input: true})
		var flows []fib.Flow
		for range 40 {
			flows = append(flows, g.busy(st, fg.Next()))
		}
		checkRefs(t, s, flows, map[string]int{})
	})
}
