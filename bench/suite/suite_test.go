package suite

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/bench/results"
	"github.com/fibula-net/fibula/bench/tables"
	"github.com/fibula-net/fibula/fib"
)

func quick(t *testing.T) *Bench {
	t.Helper()
	b, err := New(Config{Table: tables.Synthetic(800, 300, 1), Runs: 2, Each: 2 * time.Millisecond, Queries: 1 << 10, Seed: 1, CPU: -1,
		RuleSets: []string{"none", "miss-10"}})
	require.NoError(t, err)
	t.Cleanup(b.Close)
	return b
}

func TestUpdateMeasuresBothSides(t *testing.T) {
	b := quick(t)
	b.Each = 30 * time.Millisecond
	err := b.Update(t.Context())
	for errors.Is(err, errTooShort) && b.Each < 10*time.Second { // on a busy machine
		b.Each *= 3
		err = b.Update(t.Context())
	}
	require.NoError(t, err)
	assert.Empty(t, b.Run.Wrong)
	for _, load := range loads {
		for _, unit := range updateUnits {
			f, ok := b.Run.Find(results.Figure{Suite: "update", Load: load.name, Unit: unit})
			require.True(t, ok, "%s %s", load.name, unit)
			assert.Len(t, f.Value.Runs, 2)
			assert.Positive(t, f.Value.Median, "%s %s", load.name, unit)
		}
	}
}

// Each load leaves a table from which no route is missing once it has come back.
func TestLoadsChangeRoutesAndLoseNone(t *testing.T) {
	for _, load := range loads {
		b := quick(t)
		all, err := b.loadSets(t.Context())
		require.NoError(t, err)
		f := fib.New(fib.Config{})
		_, err = f.Update(func(tx *fib.Txn) error { return tx.Load(all[0].snap.State()) })
		require.NoError(t, err)
		w := newWriter(f, b.Table.V4, 7)
		step, changes := load.make(w), 0
		before := f.Snapshot().Generation()
		for range 20 {
			n, err := step()
			require.NoError(t, err, load.name)
			changes += n
		}
		assert.GreaterOrEqual(t, changes, 20, load.name)
		assert.EqualValues(t, 20, f.Snapshot().Generation()-before, "%s: transactions that changed nothing", load.name)
	}
}

func TestASuiteStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, run := range map[string]func(*Bench, context.Context) error{"lookup": (*Bench).Lookup, "rules": (*Bench).Rules, "size": (*Bench).Size, "update": (*Bench).Update} {
		require.ErrorIs(t, run(quick(t), ctx), context.Canceled, name)
	}
}

func TestSizeTakesTablesOfTomorrow(t *testing.T) {
	b := quick(t)
	b.Sizes = []int{100, 2000}
	require.NoError(t, b.Size(t.Context()))
	assert.Empty(t, b.Run.Wrong)
	sizes := map[int]bool{}
	for _, f := range b.Run.Figures {
		sizes[f.Routes] = true
	}
	assert.Equal(t, map[int]bool{100: true, 2000: true}, sizes)
}
