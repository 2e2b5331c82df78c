package fib_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/rules"
)

func TestAStateWithoutKernelIsOfTheConfiguredOne(t *testing.T) {
	old, other := fib.KernelVersion{Major: 6, Minor: 1}, fib.KernelVersion{Major: 6, Minor: 12}
	f := fib.New(fib.Config{Kernel: old})
	for _, c := range []struct{ names, want fib.KernelVersion }{{fib.KernelVersion{}, old}, {other, other}, {fib.KernelVersion{}, old}} {
		_, err := f.Update(func(tx *fib.Txn) error { return tx.Load(&fib.State{Kernel: c.names}) })
		require.NoError(t, err)
		assert.Equal(t, c.want, f.Snapshot().State().Kernel)
	}
}

// Section I: what a kernel does not know in a rule it ignores.
func TestOldKernelsIgnoreNewSelectors(t *testing.T) {
	rule := func(f fib.Family) rules.Rule {
		return rules.Rule{Family: f, Priority: 5, Action: rules.ActLookup, Table: 100}
	}
	dscp, masked, port, label := rule(fib.Inet), rule(fib.Inet), rule(fib.Inet), rule(fib.Inet6)
	dscp.DSCP, dscp.DSCPMask = 8, 0x3f
	masked.DSCP, masked.DSCPMask = 8, 0x38
	port.Dport = rules.PortRange{Start: 80, End: 80, Mask: 0xfff0}
	label.FlowLabel, label.FlowLabelMask = 5, 0xff
	exact := rule(fib.Inet)
	exact.Dport = rules.PortRange{Start: 80, End: 80, Mask: 0xffff}
	for _, c := range []struct {
		minor       int
		asked, made rules.Rule
	}{
		{1, dscp, rule(fib.Inet)}, {1, masked, rule(fib.Inet)}, {1, port, exact}, {1, label, rule(fib.Inet6)},
		{12, dscp, dscp}, {12, masked, dscp}, {12, port, exact}, {12, label, rule(fib.Inet6)},
		{14, label, label}, {15, masked, masked}, {15, port, port},
	} {
		f := fib.New(fib.Config{Kernel: fib.KernelVersion{Major: 6, Minor: c.minor}})
		_, err := f.Update(func(tx *fib.Txn) error {
			got, err := tx.AddRule(rules.RequestOf(c.asked), fib.OpAdd)
			assert.Equal(t, c.made, got, "6.%d", c.minor)
			return err
		})
		require.NoError(t, err)
	}
}

func TestAnExplanationIsItsReadersOwn(t *testing.T) {
	f := fib.New(fib.Config{})
	_, err := f.Update(func(tx *fib.Txn) error {
		if err := tx.SetLink(fib.Link{Index: 2, Name: "d0", Flags: fib.LinkUp | fib.LinkRunning | fib.LinkLowerUp}); err != nil {
			return err
		}
		for _, p := range []string{"10.0.0.0/8", "2001:db8::/32"} {
			if err := tx.AddRoute(fib.Route{Dst: prefixOf(p), Nexthops: []fib.Nexthop{{Link: 2}}}, fib.OpAdd); err != nil {
				return err
			}
		}
		_, err := tx.AddRule(rules.RequestOf(rules.Rule{Family: fib.Inet, Priority: 5, Action: rules.ActLookup, Table: 254}), fib.OpAdd)
		return err
	})
	require.NoError(t, err)
	s := f.Snapshot()
	before := s.State()
	for _, dst := range []string{"10.0.0.1", "2001:db8::1"} {
		flow := fib.Flow{Dst: addrOf(dst)}
		want := s.Explain(flow)
		e := s.Explain(flow)
		scribble := func(r *fib.Route) {
			for i := range r.Nexthops {
				r.Nexthops[i].Link = 99
			}
			r.Type = fib.TypeBlackhole
		}
		scribble(e.Route)
		for _, st := range e.Steps {
			if st.Rule != nil {
				st.Rule.Table = 99
			}
			if st.Nexthop != nil {
				st.Nexthop.Link = 99
			}
			if st.Route != nil {
				scribble(st.Route)
			}
		}
		assert.Equal(t, want, s.Explain(flow))
	}
	assert.Equal(t, before, s.State())
}

func TestTheSameAgainPublishesNothing(t *testing.T) {
	f := fib.New(fib.Config{})
	own4, own6 := prefixOf("10.0.0.1/24"), prefixOf("2001:db8::1/64")
	again := func(tx *fib.Txn) error {
		for _, p := range []netip.Prefix{own4, own6} {
			if err := tx.ReplaceAddress(fib.Address{Link: 2, Local: p.Addr(), Prefix: p}); err != nil {
				return err
			}
		}
		o := fib.NexthopObject{ID: 1, Family: fib.Inet, Nexthop: fib.Nexthop{Link: 2, Gateway: addrOf("10.0.0.2")}}
		if _, err := tx.AddNexthop(o, fib.OpReplace); err != nil {
			return err
		}
		_, err := tx.AddNexthop(fib.NexthopObject{ID: 2, Group: []fib.GroupMember{{ID: 1}}}, fib.OpReplace)
		return err
	}
	_, err := f.Update(func(tx *fib.Txn) error {
		if err := tx.SetLink(fib.Link{Index: 2, Name: "d0", Flags: fib.LinkUp | fib.LinkRunning | fib.LinkLowerUp}); err != nil {
			return err
		}
		return again(tx)
	})
	require.NoError(t, err)
	res, err := f.Update(again)
	require.NoError(t, err)
	assert.False(t, res.Changed)
}
