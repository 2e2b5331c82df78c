package fib

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/lookup/hashzone"
	"github.com/fibula-net/fibula/rules"
)

// twoLinks is a state with two working links, d0 and d1.
func twoLinks() *State {
	st := &State{Sysctls: DefaultSysctls(), AddrLabels: DefaultAddrLabels(),
		Rules: append(New(Config{}).Snapshot().Rules(Inet), New(Config{}).Snapshot().Rules(Inet6)...)}
	st.Links = append(st.Links, Link{Index: 1, Name: "lo", Flags: LinkUp | LinkLoopback | LinkRunning | LinkLowerUp, MTU: 65536})
	for i := range int32(2) {
		st.Links = append(st.Links, Link{Index: 2 + i, Name: fmt.Sprintf("d%d", i), MTU: 1500,
			Flags: LinkUp | LinkBroadcast | LinkMulticast | LinkRunning | LinkLowerUp})
		for _, p := range []string{fmt.Sprintf("10.%d.0.1/24", i+1), fmt.Sprintf("2001:db8:%d::1/64", i+1)} {
			pfx := netip.MustParsePrefix(p)
			st.Addresses = append(st.Addresses, Address{Link: 2 + i, Local: pfx.Addr(), Prefix: pfx, Flags: AddrPermanent, ValidLft: 1<<32 - 1, PreferredLft: 1<<32 - 1})
			scope := ScopeLink
			metric := uint32(0)
			if pfx.Addr().Is6() {
				scope, metric = ScopeUniverse, 256
			}
			st.Routes = append(st.Routes,
				Route{Table: TableMain, Dst: pfx.Masked(), Type: TypeUnicast, Scope: scope, Protocol: ProtoKernel, Priority: metric, Nexthops: []Nexthop{{Link: 2 + i, Weight: 1}}},
				Route{Table: TableLocal, Dst: netip.PrefixFrom(pfx.Addr(), pfx.Addr().BitLen()), Type: TypeLocal, Protocol: ProtoKernel, Nexthops: []Nexthop{{Link: 2 + i, Weight: 1}}})
		}
	}
	return st
}

func loaded(t testing.TB, c Config, st *State) *FIB {
	f := New(c)
	_, err := f.Update(func(tx *Txn) error { return tx.Load(st) })
	require.NoError(t, err)
	return f
}

func randomRoute(r *rand.Rand) Route {
	if r.IntN(2) == 0 {
		a := netip.AddrFrom4([4]byte{10, byte(8 + r.IntN(2)), byte(r.IntN(4)) << 6, 0})
		p, _ := a.Prefix(8 + r.IntN(17))
		rt := Route{Dst: p, Table: TableID(50 + r.IntN(2)), Priority: uint32(r.IntN(3)), TOS: uint8(r.IntN(2)) * 0x10, Type: TypeUnicast}
		switch r.IntN(4) {
		case 0:
			rt.Type = TypeBlackhole + RouteType(r.IntN(4))
		case 1:
			rt.Nexthops = []Nexthop{{Gateway: netip.MustParseAddr("10.1.0.9"), Weight: 2}, {Gateway: netip.MustParseAddr("10.2.0.9")}}
		default:
			rt.Nexthops = []Nexthop{{Gateway: netip.AddrFrom4([4]byte{10, byte(1 + r.IntN(2)), 0, byte(9 + r.IntN(2))})}}
		}
		return rt
	}
	a := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0x80, byte(r.IntN(4)) << 6})
	p, _ := a.Prefix(33 + r.IntN(16))
	rt := Route{Dst: p, Table: TableID(50 + r.IntN(2)), Priority: uint32(r.IntN(3)) * 100, Type: TypeUnicast}
	if r.IntN(3) == 0 {
		rt.Src = netip.MustParsePrefix([]string{"2001:db8:1::/64", "2001:db8::/32"}[r.IntN(2)])
	}
	rt.Nexthops = []Nexthop{{Gateway: netip.MustParseAddr("2001:db8:1::9"), Link: 2}}
	if r.IntN(3) == 0 {
		rt.Nexthops = append(rt.Nexthops, Nexthop{Gateway: netip.MustParseAddr("2001:db8:2::9"), Link: 3})
	}
	if r.IntN(4) == 0 {
		rt.Type, rt.Nexthops = TypeUnreachable, nil
	}
	return rt
}

func randomOps(tx *Txn, r *rand.Rand, n int) {
	for range n {
		rt := randomRoute(r)
		if r.IntN(3) == 0 {
			rt.Nexthops, rt.Type, rt.Scope = nil, 0, ScopeNowhere
			_ = tx.DeleteRoute(rt)
			continue
		}
		_ = tx.AddRoute(rt, []AddFlags{OpAdd, OpReplace, OpAppend, OpPrepend, OpChange}[r.IntN(5)])
	}
}

// internState is what the writer remembers, for comparison.
func (in *intern) internState() string {
	refs := 0
	for _, n := range in.leafRefs {
		refs += int(n)
	}
	return fmt.Sprintf("%d aliases, %d leaves, %d references", len(in.aliases), len(in.leafIDs), refs)
}

func TestFailedTransactionLeavesNoTrace(t *testing.T) {
	r := rand.New(rand.NewPCG(randtest.Seed(t), 1))
	f := loaded(t, Config{}, twoLinks())
	for range 100 {
		before, in := f.Snapshot(), f.in.internState()
		state := before.State()
		_, err := f.Update(func(tx *Txn) error {
			randomOps(tx, r, r.IntN(50))
			tx.swapAliases(func(a *alias) *alias {
				if r.IntN(3) != 0 {
					return nil
				}
				c := *a
				c.flags |= 1
				return &c
			})
			randomOps(tx, r, r.IntN(10))
			return errors.New("no")
		})
		require.EqualError(t, err, "no")
		require.Same(t, before, f.Snapshot())
		require.Equal(t, state, f.Snapshot().State())
		require.Equal(t, in, f.in.internState())
		_, err = f.Update(func(tx *Txn) error { randomOps(tx, r, r.IntN(20)); return nil })
		require.NoError(t, err)
	}
}

func TestOldSnapshotsStay(t *testing.T) {
	r := rand.New(rand.NewPCG(randtest.Seed(t), 2))
	for _, c := range []Config{{}, {Engine: hashzone.Engine{}}} {
		f := loaded(t, c, twoLinks())
		type kept struct {
			s  *Snapshot
			st *State
		}
		var old []kept
		for range 60 {
			_, err := f.Update(func(tx *Txn) error { randomOps(tx, r, 1+r.IntN(30)); return nil })
			require.NoError(t, err)
			old = append(old, kept{f.Snapshot(), f.Snapshot().State()})
		}
		for _, k := range old {
			require.Equal(t, k.st, k.s.State())
		}
	}
}

func TestStateLoadsBack(t *testing.T) {
	r := rand.New(rand.NewPCG(randtest.Seed(t), 3))
	f := loaded(t, Config{}, twoLinks())
	for range 40 {
		_, err := f.Update(func(tx *Txn) error { randomOps(tx, r, 30); return nil })
		require.NoError(t, err)
		st := f.Snapshot().State()
		require.Equal(t, st, loaded(t, Config{Engine: hashzone.Engine{}}, st).Snapshot().State())
		_, err = f.Update(func(tx *Txn) error { return tx.Load(st) })
		require.NoError(t, err)
		require.Equal(t, st, f.Snapshot().State())
	}
}

func TestEmptyTransactionPublishesNothing(t *testing.T) {
	f := New(Config{})
	s := f.Snapshot()
	res, err := f.Update(func(*Txn) error { return nil })
	require.NoError(t, err)
	require.Equal(t, Result{}, res)
	require.Same(t, s, f.Snapshot())
}

func TestAliasOrderAndFlags(t *testing.T) {
	f := loaded(t, Config{}, twoLinks())
	dst := netip.MustParsePrefix("10.8.0.0/16")
	via := func(last byte) []Nexthop { return []Nexthop{{Gateway: netip.AddrFrom4([4]byte{10, 1, 0, last})}} }
	do := func(flags AddFlags, r Route) error {
		_, err := f.Update(func(tx *Txn) error { r.Dst = dst; return tx.AddRoute(r, flags) })
		return err
	}
	require.NoError(t, do(OpAdd, Route{Nexthops: via(9)}))
	require.ErrorIs(t, do(OpAdd, Route{Nexthops: via(10)}), EEXIST)
	require.ErrorIs(t, do(OpAppend, Route{Nexthops: via(9)}), EEXIST)
	require.NoError(t, do(OpAppend, Route{Nexthops: via(10)}))
	require.NoError(t, do(OpPrepend, Route{Nexthops: via(11)}))
	require.NoError(t, do(OpReplace, Route{Nexthops: via(12)}), "replaces the first of the group")
	require.NoError(t, do(OpReplace, Route{Nexthops: via(12)}), "by an identical one: nothing")
	require.ErrorIs(t, do(OpReplace, Route{Nexthops: via(10)}), EEXIST)
	require.ErrorIs(t, do(OpChange, Route{Nexthops: via(9), Priority: 7}), ENOENT)
	require.NoError(t, do(OpAdd, Route{Nexthops: via(9), TOS: 0x10, Priority: 99}))
	require.NoError(t, do(OpAdd, Route{Nexthops: via(9), Priority: 5}))
	var got []string
	for r := range f.Snapshot().RoutesOf(Inet, TableMain) {
		if r.Dst == dst {
			got = append(got, fmt.Sprintf("%v/%d/%d", r.Nexthops[0].Gateway, r.TOS, r.Priority))
		}
	}
	require.Equal(t, []string{"10.1.0.9/16/99", "10.1.0.12/0/0", "10.1.0.9/0/0", "10.1.0.10/0/0", "10.1.0.9/0/5"}, got)
}

func TestFirstRuleEndsMergedMode(t *testing.T) {
	f := New(Config{})
	require.Equal(t, ModeMerged, f.Snapshot().mode4)
	add := rules.RequestOf(rules.Rule{Family: Inet, Priority: 100, Action: rules.ActLookup, Table: 50})
	_, err := f.Update(func(tx *Txn) error {
		if _, err := tx.AddRule(add, OpAdd); err != nil {
			return err
		}
		_, err := tx.AddRule(add, OpAdd)
		require.ErrorIs(t, err, EEXIST)
		_, err = tx.DeleteRule(add)
		return err
	})
	require.NoError(t, err)
	require.Equal(t, ModeRules, f.Snapshot().mode4)
	require.Equal(t, ModeMerged, f.Snapshot().mode6)
	require.True(t, slices.Equal(New(Config{}).Snapshot().Rules(Inet), f.Snapshot().Rules(Inet)))
}

// Realms are in use as long as a route has them, not until the commit.
func TestRealmsGoWithTheirRoute(t *testing.T) {
	f := loaded(t, Config{}, twoLinks())
	r := Route{Dst: netip.MustParsePrefix("10.8.0.0/16"), Type: TypeUnicast,
		Nexthops: []Nexthop{{Gateway: netip.MustParseAddr("10.1.0.9"), Realms: 7}}}
	for _, keep := range []bool{true, false} {
		_, err := f.Update(func(tx *Txn) error {
			require.NoError(t, tx.AddRoute(r, OpAdd))
			require.True(t, tx.Snapshot().legRealms)
			if !keep {
				return errors.New("no")
			}
			return nil
		})
		require.Equal(t, keep, err == nil)
		require.Equal(t, keep, f.Snapshot().legRealms)
		if keep {
			_, err = f.Update(func(tx *Txn) error {
				require.NoError(t, tx.DeleteRoute(Route{Dst: r.Dst, Scope: ScopeNowhere}))
				require.False(t, tx.Snapshot().legRealms)
				return nil
			})
			require.NoError(t, err)
			require.False(t, f.Snapshot().legRealms)
		}
	}
}
