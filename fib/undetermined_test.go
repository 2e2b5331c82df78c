package fib_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/conformance"
	"github.com/fibula-net/fibula/internal/flowgen"
	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/rules"
)

// TestUnknownSeedIsToldWhenItMatters: without a readable seed an IPv6 decision that
// is not marked is the one that every seed gives, and of one that is marked the
// story's shares name every leg that some seed leads to.
func TestUnknownSeedIsToldWhenItMatters(t *testing.T) {
	conformance.CoversEngine(t, "J1")
	seed := randtest.Seed(t)
	marked, plain := 0, 0
	for i := range 120 {
		g := stateGen{rand.New(rand.NewPCG(seed, uint64(i)))}
		st := g.state()
		st.Kernel = fib.KernelVersion{}
		if i%2 == 0 {
			siblings6(g, st)
		}
		sortRoutes(st)
		st.Sysctls.HashSeed = 0
		unknown := loaded(t, st)
		var known []*fib.Snapshot
		for range 6 {
			st.Sysctls.HashSeed = 1 + g.Uint32N(1<<31)
			known = append(known, loaded(t, st))
		}
		fg := flowgen.New(unknown, seed+uint64(i), flowgen.Options{Input: true})
		for range 60 {
			f := fg.Next()
			if f.Family() != fib.Inet6 {
				continue
			}
			e := unknown.Explain(f)
			if e.Decision.Undetermined == 0 {
				for _, s := range known {
					require.Equal(t, e.Decision, s.Resolve(f), "state %d, flow %+v", i, f)
				}
				if len(e.Legs) > 1 {
					plain++
				}
				continue
			}
			marked++
			for _, s := range known {
				d := s.Resolve(f)
				if d.Prefix == e.Decision.Prefix && d.Table == e.Decision.Table && d.Errno == 0 && len(e.Legs) > 0 {
					require.Positive(t, e.Legs[d.Leg].Share, "state %d, flow %+v: leg %d of %+v", i, f, d.Leg, e.Legs)
				}
			}
		}
	}
	assert.Positive(t, marked, "no choice depended on the seed")
	assert.Positive(t, plain, "no choice was the same for every seed")
}

// siblings6 adds multipath routes whose legs may be dead, on other links or have
// failed neighbours.
func siblings6(g stateGen, st *fib.State) {
	for _, p := range []string{"2001:db8::/32", "::/0"} {
		r := route6(p)
		for range 2 + g.IntN(3) {
			l := int32(2 + g.IntN(3))
			n := fib.Nexthop{Link: l, Gateway: gw6(l, byte(9+g.IntN(2))), Weight: uint16(1 + g.IntN(3)), Flags: pick(g, 0, 0, 0, fib.FlagDead)}
			r.Nexthops = append(r.Nexthops, n)
			if g.one(2) {
				st.Neighbours = append(st.Neighbours, failed(n))
			}
		}
		st.Routes = append(st.Routes, r)
	}
}

// With an unknown seed it is open too whether a rule suppresses the link of a leg.
func TestSuppressorOfALegThatNobodyKnows(t *testing.T) {
	conformance.CoversEngine(t, "J15", "A15")
	answer := func(seed uint32) fib.Decision {
		st := host()
		st.Sysctls.HashSeed = seed
		st.Links[d1-1].Group = 7
		routes(route6("2001:db8:9::/48", legs(gw0, gw1), table(50)), route6("::/0", leg(gw0)))(st)
		st.Rules = append([]rules.Rule{{Family: fib.Inet6, Action: rules.ActLookup, Table: 50, SuppressIfGroup: rules.Some(7)}}, st.Rules...)
		s := loaded(t, st)
		checkFlow(t, s, nine)
		return s.Resolve(nine)
	}
	seen := map[fib.TableID]bool{}
	for seed := range uint32(20) {
		d := answer(seed + 1)
		assert.Zero(t, d.Undetermined)
		seen[d.Table] = true
	}
	assert.Len(t, seen, 2, "some seeds lead to the suppressed leg")
	assert.Equal(t, fib.UndeterminedHash, answer(0).Undetermined)
}
