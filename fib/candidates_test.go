package fib_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/flowgen"
	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/rules"
)

// certain is d without its mark, to be compared.
func certain(d fib.Decision) fib.Decision {
	d.Undetermined = 0
	return d
}

func candidates(s *fib.Snapshot, f fib.Flow) []fib.Decision {
	out := s.Candidates(f)
	for i := range out {
		out[i] = certain(out[i])
	}
	return out
}

// TestCandidatesHoldWhatEverySeedGives: with an unknown seed the answer of any seed is
// among the candidates, the first of which is Resolve's, and an answer that is not
// marked is the only one.
func TestCandidatesHoldWhatEverySeedGives(t *testing.T) {
	seed := randtest.Seed(t)
	several := map[fib.Family]int{}
	for i := range randtest.Fewer(150) {
		g := stateGen{rand.New(rand.NewPCG(seed, uint64(i)))}
		st := g.state()
		st.Kernel = fib.KernelVersion{}
		siblings6(g, st)
		sortRoutes(st)
		st.Sysctls.HashSeed = 0
		unknown := loaded(t, st)
		st.Sysctls.HashSeed = 1 + g.Uint32N(1<<31)
		known := loaded(t, st)
		fg := flowgen.New(unknown, seed+uint64(i), flowgen.Options{Input: true})
		for range 60 {
			f := fg.Next()
			c := candidates(unknown, f)
			d := unknown.Resolve(f)
			require.Equal(t, certain(d), c[0], "flow %+v", f)
			if d.Undetermined == 0 {
				require.Len(t, c, 1, "flow %+v", f)
			}
			if k := known.Candidates(f); len(k) == 1 {
				require.Contains(t, c, certain(k[0]), "state %d, flow %+v", i, f)
			}
			if len(c) > 1 && d.Undetermined&fib.UndeterminedHash != 0 {
				several[f.Family()]++
			}
		}
	}
	for _, f := range []fib.Family{fib.Inet, fib.Inet6} {
		assert.Positive(t, several[f], "no %v answer depended on the seed", f)
	}
}

// TestOpenModeIsToldWhenItMatters: a dump of rules that look untouched leaves open
// whether they are in force (A8, J4).
func TestOpenModeIsToldWhenItMatters(t *testing.T) {
	st := host()
	gw := fib.Nexthop{Link: d0, Gateway: netip.MustParseAddr("10.1.0.2")}
	own := netip.MustParsePrefix("10.1.0.1/24")
	st.Addresses = append(st.Addresses, fib.Address{Link: d0, Local: own.Addr(), Prefix: own})
	for r := range initialRules(fib.Inet) {
		st.Rules = append(st.Rules, r)
	}
	route4 := func(dst string, table fib.TableID, typ fib.RouteType, n fib.Nexthop) {
		st.Routes = append(st.Routes, fib.Route{Table: table, Dst: netip.MustParsePrefix(dst), Type: typ, Nexthops: []fib.Nexthop{n}})
	}
	route4("10.1.0.0/24", fib.TableMain, fib.TypeUnicast, on(d0))
	route4("10.7.0.0/16", fib.TableLocal, fib.TypeLocal, on(d0))
	route4("10.7.1.0/24", fib.TableMain, fib.TypeUnicast, gw)
	s := loaded(t, st)

	f := fib.Flow{Dst: netip.MustParseAddr("10.7.1.1")}
	d := s.Resolve(f)
	assert.Equal(t, fib.UndeterminedMode, d.Undetermined)
	assert.Equal(t, gw.Gateway, d.Gateway, "merged: the longer prefix of main wins")
	c := s.Candidates(f)
	require.Len(t, c, 2)
	assert.Equal(t, fib.TypeLocal, c[1].Type, "in force: table local is asked first")
	checkFlow(t, s, f)

	f.Dst = netip.MustParseAddr("10.7.2.1")
	assert.Zero(t, s.Resolve(f).Undetermined, "the same either way")
	assert.Equal(t, fib.ModeUnknown, s.State().Mode4, "and it stays open")
	st.Mode4 = fib.ModeRules
	assert.Zero(t, loaded(t, st).Resolve(f).Undetermined)
}

// TestSourceFromADroppedResultKeepsItsDoubt: a source that a suppressed result gave
// the flow decides about what follows (A15, A17).
func TestSourceFromADroppedResultKeepsItsDoubt(t *testing.T) {
	st := host()
	st.Sysctls.HashSeed = 0
	st.Rules = append([]rules.Rule{
		{Family: fib.Inet6, Priority: 5, Action: rules.ActLookup, Table: 50, From: netip.MustParsePrefix("2001:db8::/32"), FindSaddr: true,
			SuppressPrefixLength: rules.Some(0)},
	}, st.Rules...)
	st.Routes = append(st.Routes, route6("::/0", table(50), legs(gw0, gw1)),
		route6("::/0", from("2001:db8:1::/64"), leg(gw0)), route6("::/0", from("2001:db8:2::/64"), leg(gw1)))
	s := loaded(t, st)
	assert.Equal(t, fib.UndeterminedHash, s.Resolve(nine).Undetermined)
	checkFlow(t, s, nine)
	assert.Len(t, s.Candidates(nine), 2)
}

// TestUnsortedListIsWalkedAlike: no kernel has it, but a state file may (D13).
func TestUnsortedListIsWalkedAlike(t *testing.T) {
	st := host()
	st.Routes = append(st.Routes, route6("::/0", leg(via("2001:db8:3::9", lo)), metric(1)), route6("::/0", leg(gw1), metric(100)),
		route6("::/0", leg(gw0), metric(1), pref(fib.PrefLow)), route6("::/0", leg(gw0), metric(1024)))
	checkFlow(t, loaded(t, st), fib.Flow{Dst: nine.Dst, Oif: d0})
}

// TestSharedNexthopObjectIsTold: a suppressed route with the same nexthop object may be
// what the reply describes (D22a, J11).
func TestSharedNexthopObjectIsTold(t *testing.T) {
	st := host()
	st.Nexthops = []fib.NexthopObject{{ID: 5, Family: fib.Inet6, Nexthop: gw0}}
	st.Rules = append([]rules.Rule{
		{Family: fib.Inet6, Priority: 5, Action: rules.ActLookup, Table: 254, SuppressPrefixLength: rules.Some(32)},
		{Family: fib.Inet6, Priority: 6, Action: rules.ActLookup, Table: 77},
	}, st.Rules...)
	st.Routes = append(st.Routes, route6("2001:db8::/32", nhid(5), metric(11)), route6("2001:db8:9::/48", nhid(5), metric(22), table(77)))
	s := loaded(t, st)
	assert.Equal(t, fib.UndeterminedShared, s.Resolve(nine).Undetermined)
	checkFlow(t, s, nine)
	m := s.MatchCandidates(nine)
	require.Len(t, m, 2)
	assert.Equal(t, []uint32{22, 11}, []uint32{m[0].Route.Priority, m[1].Route.Priority})
	assert.Equal(t, m[0].Decision.Gateway, m[1].Decision.Gateway)
}
