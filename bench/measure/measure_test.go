package measure

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSpread(t *testing.T) {
	s := Of([]float64{4, 1, 2})
	assert.Equal(t, Spread{Median: 2, Low: 1, High: 4, Runs: []float64{4, 1, 2}}, s)
	assert.Equal(t, 2.5, Of([]float64{4, 1, 2, 3}).Median)
	assert.Equal(t, Spread{}, Of(nil))
	assert.Equal(t, 75.0, s.Percent())
	assert.Equal(t, []float64{2, 1, 1}, Ratio(s, Of([]float64{2, 1, 2, 7})).Runs)
	assert.Equal(t, []float64{250, 1000, 500}, s.Inverse(1000).Runs)
	assert.Equal(t, 20.0, s.Scaled(10).Median)
}

// Each element of a task is passed equally often, whatever its speed.
func TestAlternateTakesTurns(t *testing.T) {
	var order []string
	visits := make([]int, 1000)
	fast := &Task{Name: "fast", Len: 1000, Pass: func(from, n int) {
		for i := from; i < from+n; i++ {
			visits[i]++
		}
	}}
	slow := &Task{Name: "slow", Len: 4, Step: 1, Pass: func(from, n int) {
		for begin := time.Now(); time.Since(begin) < time.Millisecond; {
		}
	}}
	got, err := Alternate(t.Context(), Options{Runs: 2, Each: 5 * time.Millisecond}, []*Task{fast, slow},
		func(task *Task, run int) { order = append(order, task.Name) })
	require.NoError(t, err)
	assert.Equal(t, []string{"fast", "slow", "fast", "slow", "fast", "slow"}, order)
	assert.Len(t, got[0].Runs, 2)
	assert.Less(t, got[0].Median, got[1].Median)
	for _, n := range visits {
		assert.InDelta(t, visits[0], n, 1)
	}
}

func TestMostBoundsARun(t *testing.T) {
	n := 0
	task := &Task{Len: 512, Pass: func(_, k int) { n += k }}
	_, err := Alternate(t.Context(), Options{Runs: 1, Each: time.Hour, Most: 512}, []*Task{task}, nil)
	require.NoError(t, err)
	assert.Equal(t, 2*512, n, "warm-up and run")
}

func TestAlternateStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Alternate(ctx, Options{}, []*Task{{Len: 1, Pass: func(int, int) {}}}, nil)
	require.ErrorIs(t, err, context.Canceled)
}

func TestPin(t *testing.T) {
	_, undo, err := Pin(-1)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("this system cannot pin threads")
	}
	require.NoError(t, err)
	defer undo()
	before := CPU()
	for CPU()-before < time.Millisecond { // ends only if the clock goes on
	}
}
