package fib_test

import (
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
