package fib_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/fibula-net/fibula/fib"
)

// A dump marks as dead also a leg that is only left out for want of a carrier. The
// question whether a sender is on its link, which decides about redirects, is asked
// without regard to the carrier (C29, C31) and must find it.
func TestLegWithoutCarrierIsNotDeadToTheReversePath(t *testing.T) {
	up := fib.LinkUp | fib.LinkLowerUp
	st := &fib.State{Sysctls: fib.DefaultSysctls(), Mode4: fib.ModeRules, Mode6: fib.ModeRules}
	st.Links = []fib.Link{
		{Index: 1, Name: "lo", Flags: up | fib.LinkLoopback, MTU: 65536},
		{Index: 2, Name: "d0", Flags: fib.LinkUp, MTU: 1500, Conf4: fib.Conf4{Forwarding: true, RPFilter: 2, SendRedirects: true, IgnoreRoutesWithLinkdown: true}},
		{Index: 3, Name: "d1", Flags: up, MTU: 1500, Conf4: fib.Conf4{Forwarding: true}},
	}
	st.Rules = append(st.Rules, fib.New(fib.Config{}).Snapshot().Rules(fib.Inet)...)
	own := netip.MustParsePrefix("10.4.0.1/24")
	st.Addresses = []fib.Address{{Link: 2, Local: own.Addr(), Prefix: own}}
	onlink := route4("10.4.0.0/24", fib.TableMain, "", 2)
	onlink.Nexthops[0].Flags = fib.FlagDead | fib.FlagLinkdown
	// The gateway of the other family is not marked, so the way out is the way in.
	st.Routes = []fib.Route{onlink, route4("0.0.0.0/0", fib.TableMain, "2001:db8::9", 2), route4("10.0.0.0/8", fib.TableMain, "10.2.0.9", 3)}
	f := fib.Flow{Dst: netip.MustParseAddr("240.0.0.1"), Src: netip.MustParseAddr("10.4.0.4"), Iif: 2}
	redirect := func() bool {
		d := loaded(t, st).Resolve(f)
		assert.Zero(t, d.Errno)
		return d.Flags&fib.DecisionRedirect != 0
	}
	assert.True(t, redirect())
	st.Routes[0].Nexthops[0].Flags = 0
	st.Links[1].Flags |= up
	st.Links[1].Conf4.IgnoreRoutesWithLinkdown = false
	assert.True(t, redirect(), "with a carrier it is the same")
}
