package iproute

import (
	"bytes"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/ksync"
)

// In an untouched namespace the modes and the flag of local routes are probed.
func TestCaptureOfInitialRules(t *testing.T) {
	ns := netnstest.New(t, netnstest.Quiet, netnstest.LoUp)
	captured := func() *fib.State {
		st, _, err := Open(runCapture(t, ns))
		require.NoError(t, err)
		return st
	}
	st := captured()
	assert.Equal(t, fib.ModeMerged, st.Mode4)
	assert.Equal(t, fib.FactUnknown, st.UserLocalRoutes)
	ns.IP("route add local 10.5.0.0/16 dev lo table 77")
	assert.Equal(t, fib.FactYes, captured().UserLocalRoutes)
	ns.Batch("rule add pref 5 table 9", "rule del pref 5")
	assert.Equal(t, fib.ModeRules, captured().Mode4, "sticky, although the rules are the initial ones again")
}

// The two ways to a namespace give the same state, but for what a capture documents not to
// show: creation stamps, locks, and clocks.
func TestCaptureEqualsScan(t *testing.T) {
	ns := capturedNamespace(t)
	want, _, err := ksync.Scan(t.Context(), ksync.Options{NetNS: ksync.Named(ns.Name())})
	require.NoError(t, err)
	file := encode(t, &want, StateOptions{Gzip: true})
	again, warnings, err := ReadState(bytes.NewReader(file))
	require.NoError(t, err)
	assert.Empty(t, warnings)
	require.Equal(t, &want, again, "a state file keeps a scan whole")

	got, _, err := Open(runCapture(t, ns))
	require.NoError(t, err)
	for _, st := range []*fib.State{&want, got} {
		for i := range st.Addresses {
			st.Addresses[i].Created, st.Addresses[i].ValidLft = 0, 0
			st.Addresses[i].Protocol = 0 // shown since iproute2 6.2
		}
		slices.SortStableFunc(st.Addresses, func(a, b fib.Address) int { return int(a.Link - b.Link) })
		for i := range st.Routes {
			st.Routes[i].Expires = 0
			st.Routes[i].Metrics.Values[fib.MetricLock] = 0
		}
		// The kernel announces its groups when it likes, which makes neighbours of them.
		st.Neighbours = slices.DeleteFunc(st.Neighbours, func(n fib.Neighbour) bool { return n.Addr.IsMulticast() })
	}
	assert.Equal(t, want.Kernel, got.Kernel)
	assert.Equal(t, want.Sysctls, got.Sysctls)
	assert.Equal(t, want.Links, got.Links)
	assert.Equal(t, want.Addresses, got.Addresses, "in the kernel's order on each link")
	assert.Equal(t, want.Rules, got.Rules)
	assert.Equal(t, want.Nexthops, got.Nexthops)
	assert.ElementsMatch(t, want.Neighbours, got.Neighbours)
	assert.Equal(t, want.AddrLabels, got.AddrLabels)
	assert.Equal(t, want.Routes, got.Routes)
	assert.Equal(t, want.Mode4, got.Mode4)
	assert.Equal(t, want.Mode6, got.Mode6)
	assert.Equal(t, want.UserLocalRoutes, got.UserLocalRoutes)
}
