package ksync

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
)

// A dump ends early when news are lost, whether or not its routes need a look.
func TestADumpEndsWhenNewsAreLost(t *testing.T) {
	t.Parallel()
	const many = 4 * heardEach
	ns, _ := filled(t, many)
	k, err := openSource(t.Context(), &MirrorOptions{NetNS: Named(ns.Name())})
	require.NoError(t, err)
	defer k.close()
	seen := 0
	count := func(*fib.Route) error { seen++; return nil }
	require.NoError(t, k.routes(t.Context(), fib.Inet, 100, count))
	require.Equal(t, many, seen)
	k.mu.Lock()
	k.lost = errLost
	k.mu.Unlock()
	for _, same := range []func(uint64, netip.Prefix) bool{nil, func(uint64, netip.Prefix) bool { seen++; return true }} {
		seen = 0
		k.liken(same)
		require.ErrorIs(t, k.routes(t.Context(), fib.Inet, 100, count), errLost)
		assert.Less(t, seen, many)
	}
}
