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
