package lockstep

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/bench/results"
	"github.com/fibula-net/fibula/bench/tables"
)

func TestPrefixesAreThoseOfTheTable(t *testing.T) {
	table := tables.Synthetic(5000, 100, 3)
	table.V4 = append(table.V4, gatewayNet)
	c := Config{Table: &table, Seed: 1}
	all := c.prefixes(4000)
	assert.InDelta(t, 5000, len(all), 2, "all but what covers the gateways")
	assert.Equal(t, all, c.prefixes(4000), "repeatable")
	assert.Len(t, tables.Of("", "", all).V4, len(all), "distinct")
	assert.False(t, slices.IsSortedFunc(all, netip.Prefix.Compare))
	for _, p := range all {
		assert.False(t, p.Overlaps(gatewayNet))
	}
}

// The real table is smaller than what the goals are set for.
func TestRealTableIsFilledUp(t *testing.T) {
	const full = 5000
	table := tables.Synthetic(full-500, 0, 3)
	table.Name = "real"
	c := Config{Table: &table, Seed: 1}
	all := c.prefixes(full)
	require.Len(t, all, full)
	assert.Len(t, tables.Of("", "", all).V4, full, "distinct")
}

// A daemon that takes routes in the order in which it is told of them must not have all samples after a
// thousandth of the way.
func TestSamplesReachFromTheFirstToTheLast(t *testing.T) {
	var all []netip.Prefix
	for i := range 5000 {
		all = append(all, netip.PrefixFrom(netip.AddrFrom4([4]byte{20, byte(i >> 8), byte(i), 0}), 24))
	}
	all = append(all, netip.MustParsePrefix("20.0.7.0/25"), netip.MustParsePrefix("20.0.0.0/16"))
	got := samples(all, 100)
	require.Len(t, got, 100)
	assert.Equal(t, all[1], got[0], "the first, with 20.0.0.0/16, has no address of its own")
	assert.Equal(t, all[4999], got[99])
	assert.Len(t, slices.Compact(slices.Clone(got)), 100, "distinct")
	assert.InDelta(t, 2500, slices.Index(all, got[50]), 50)
	assert.NotContains(t, samples(all, 6000), netip.MustParsePrefix("20.0.7.0/25"))
	assert.Len(t, samples(all[:1], 100), 1)
	assert.Empty(t, samples(nil, 100))
}

func TestRecorderKeepsOrderAndRuns(t *testing.T) {
	r := recorder{n: 7}
	r.add(Fibula, Start, Seconds, 2)
	r.add(BIRD, Start, Seconds, 9)
	r.add(Fibula, Start, Seconds, 1)
	var out results.Run
	r.figures(&out)
	require.Len(t, out.Figures, 2)
	assert.Equal(t, []float64{2, 1}, out.Figures[0].Value.Runs)
	assert.Equal(t, 1.5, out.Figures[0].Value.Median)
	assert.Equal(t, BIRD, out.Figures[1].Engine)
}
