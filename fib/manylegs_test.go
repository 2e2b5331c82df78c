package fib

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRefOfManyLegs: a route may have more legs than a Ref can number.
func TestRefOfManyLegs(t *testing.T) {
	f := New(Config{})
	_, err := f.Update(func(tx *Txn) error {
		st := twoLinks()
		st.Mode4, st.UserLocalRoutes, st.Sysctls.HashSeed = ModeRules, FactNo, 77
		st.Kernel = KernelVersion{Major: 6, Minor: 12}
		for i := range st.Links {
			st.Links[i].Conf4.Forwarding = true
		}
		r := Route{Table: TableMain, Dst: netip.MustParsePrefix("10.0.0.0/8"), Type: TypeUnicast, Protocol: ProtoStatic, Scope: ScopeLink}
		for range 70000 {
			r.Nexthops = append(r.Nexthops, Nexthop{Link: 2, Weight: 1})
		}
		st.Routes = append(st.Routes, r)
		return tx.Load(st)
	})
	require.NoError(t, err)
	s := f.Snapshot()
	for i := range uint32(1000) {
		k := Key4{Dst: 10<<24 | 99<<16 | i*7, Sport: uint16(i), Iif: 3, Src: 10<<24 | 2<<16 | 9}
		r := s.ResolveRef4(&k)
		require.Equal(t, s.Resolve(k.Flow()), s.Decision4(&k, r))
	}
}
