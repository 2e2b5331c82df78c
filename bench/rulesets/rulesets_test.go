package rulesets

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/bench/tables"
	"github.com/fibula-net/fibula/fib"
)

func TestEveryNameHasASet(t *testing.T) {
	for _, name := range Names {
		s, err := Named(name)
		require.NoError(t, err)
		assert.Equal(t, name, s.Name)
		assert.NotEmpty(t, s.About)
		for _, f := range families {
			n := len(s.Flows[f])
			assert.Positive(t, n)
			assert.Zero(t, n&(n-1), "%s: not a power of two", name)
		}
		assert.Equal(t, s.Count(fib.Inet), s.Count(fib.Inet6))
	}
	for _, bad := range []string{"", "miss", "miss-", "miss-0", "cni-x", "cni--5", "cni-2000000", "wg"} {
		_, err := Named(bad)
		assert.Error(t, err, bad)
	}
	s, err := Named("cni-1000")
	require.NoError(t, err)
	assert.Equal(t, 2001, s.Count(fib.Inet))
}

func TestGatewaysStandForNextHops(t *testing.T) {
	for _, f := range families {
		for i := range uint32(tables.NextHops) {
			assert.Equal(t, i, NextHop(&fib.Decision{Link: Uplink, Gateway: Gateway(f, i)}))
		}
	}
	assert.Equal(t, ^uint32(0), NextHop(&fib.Decision{Errno: fib.ENETUNREACH}))
	assert.Equal(t, ^uint32(0), NextHop(&fib.Decision{Link: Uplink}))
	assert.Equal(t, uint32(1<<16|7), NextHop(&fib.Decision{Link: 7}))
}
