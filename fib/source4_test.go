package fib_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/fibula-net/fibula/fib"
)

// TestSourceOfNexthopObjects: where nobody has learned the source that an object
// remembers, it is selected by one scope less than the object's own, whatever the
// route's (C19).
func TestSourceOfNexthopObjects(t *testing.T) {
	for _, c := range []struct {
		name    string
		gateway string
		scope   fib.Scope // of the object
		want    string
	}{
		{"a gateway: addresses of scope link are too narrow", "10.1.0.9", fib.ScopeLink, "10.1.1.1"},
		{"a device alone: they are not", "", fib.ScopeHost, "10.1.0.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := &fib.State{Sysctls: fib.DefaultSysctls(), Mode4: fib.ModeMerged}
			st.Links = []fib.Link{{Index: 1, Name: "lo", Flags: fib.LinkUp | fib.LinkLoopback, MTU: 65536},
				{Index: 2, Name: "d0", Flags: fib.LinkUp | fib.LinkLowerUp, MTU: 1500}}
			st.Addresses = []fib.Address{
				{Link: 2, Local: netip.MustParseAddr("10.1.0.1"), Prefix: netip.MustParsePrefix("10.1.0.1/24"), Scope: fib.ScopeLink},
				{Link: 2, Local: netip.MustParseAddr("10.1.1.1"), Prefix: netip.MustParsePrefix("10.1.1.1/24")},
			}
			leg := fib.Nexthop{Link: 2, Weight: 1}
			if c.gateway != "" {
				leg.Gateway = netip.MustParseAddr(c.gateway)
			}
			st.Nexthops = []fib.NexthopObject{{ID: 5, Family: fib.Inet, Scope: c.scope, Nexthop: leg}}
			// The route's scope would select as the object's does: nothing is open.
			scope := fib.ScopeUniverse
			if c.gateway == "" {
				scope = fib.ScopeLink
			}
			st.Routes = []fib.Route{{Table: fib.TableMain, Dst: netip.MustParsePrefix("10.9.0.0/16"), Type: fib.TypeUnicast, Scope: scope, NexthopID: 5}}
			s := loaded(t, st)
			f := fib.Flow{Dst: netip.MustParseAddr("10.9.0.5")}
			checkFlow(t, s, f)
			d := s.Resolve(f)
			assert.Equal(t, c.want, d.Source.String())
			assert.Zero(t, d.Undetermined)
		})
	}
}
