package procnet

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/randtest"
)

func withIndexes(indexes ...int32) []fib.Link {
	ls := make([]fib.Link, len(indexes))
	for i, x := range indexes {
		ls[i].Index = x
		if x == 1 {
			ls[i].Flags = fib.LinkLoopback
		}
	}
	return ls
}

func indexesOf(ls []fib.Link) (out []int32) {
	for _, l := range ls {
		out = append(out, l.Index)
	}
	return out
}

func TestCreationOrder(t *testing.T) {
	for _, c := range []struct {
		links, want []int32
		hints       [][]int32
	}{
		{[]int32{1, 2, 3}, []int32{1, 2, 3}, nil},
		{[]int32{3, 2, 1}, []int32{1, 2, 3}, nil},
		{[]int32{1, 20, 50}, []int32{1, 50, 20}, [][]int32{{1, 50, 20}}},
		{[]int32{1, 20, 30, 50}, []int32{1, 30, 50, 20}, [][]int32{{1, 50, 20}, {30, 50}}},
		{[]int32{1, 2, 3}, []int32{1, 3, 2}, [][]int32{{1, 1, 3, 3, 2, 3}, {99, 98}}},
		{[]int32{1, 2, 3}, []int32{1, 2, 3}, [][]int32{{2, 3}, {3, 2}}}, // a contradiction
		{[]int32{1, 2, 3, 4, 5}, []int32{2, 1, 3, 4, 5}, [][]int32{{1, 3, 4, 5}, {4, 3}, {5, 1}}},
		{nil, nil, [][]int32{{1}}},
	} {
		ls := withIndexes(c.links...)
		CreationOrder(ls, c.hints...)
		assert.Equal(t, c.want, indexesOf(ls), "%v", c.hints)
	}
}

// Whatever the hints leave out, what they tell is kept, and complete hints give
// the order itself.
func TestCreationOrderKeepsHints(t *testing.T) {
	rnd := randtest.Rand(t)
	for range 2000 {
		n := rnd.IntN(12) + 1
		truth := make([]int32, n)
		for i, p := range rnd.Perm(n - 1) {
			truth[i+1] = int32(p) + 2
		}
		truth[0] = 1
		var hints [][]int32
		for range 3 {
			var h []int32
			for _, x := range truth {
				if rnd.IntN(3) > 0 {
					h = append(h, x)
				}
			}
			hints = append(hints, h)
		}
		ls := withIndexes(slices.Sorted(slices.Values(truth))...)
		CreationOrder(ls, hints...)
		got := indexesOf(ls)
		assert.Equal(t, int32(1), got[0])
		assert.ElementsMatch(t, truth, got)
		for _, h := range hints {
			sub := slices.DeleteFunc(slices.Clone(got), func(x int32) bool { return !slices.Contains(h, x) })
			require.True(t, slices.Equal(h, sub), "hint %v, order %v", h, got)
		}
		CreationOrder(ls, truth)
		require.Equal(t, truth, indexesOf(ls))
	}
}
