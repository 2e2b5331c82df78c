package procnet

import (
	"cmp"
	"container/heap"
	"slices"

	"github.com/fibula-net/fibula/fib"
)

// CreationOrder sorts links into the order in which the kernel created them, which
// no dump shows (C22). Each hint is a list of indexes in that order, of some links;
// an index that is no link's, and the second of two equal ones, tell nothing. Where
// the hints leave a choice, lo comes first, then the smaller index; hints that
// contradict each other, which only a change between them can cause, are followed as
// far as they go. O(n log n) in links and hints.
func CreationOrder(links []fib.Link, hints ...[]int32) {
	slices.SortStableFunc(links, func(a, b fib.Link) int {
		if lo := a.Flags & fib.LinkLoopback; lo != b.Flags&fib.LinkLoopback {
			if lo != 0 {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Index, b.Index)
	})
	at := map[int32]int{} // position by index; smaller positions are preferred
	for i := range links {
		at[links[i].Index] = i
	}
	after, waits := make([][]int, len(links)), make([]int, len(links))
	for _, hint := range hints {
		before, seen := -1, map[int32]bool{}
		for _, index := range hint {
			i, ok := at[index]
			if !ok || seen[index] {
				continue
			}
			seen[index] = true
			if before >= 0 {
				after[before] = append(after[before], i)
				waits[i]++
			}
			before = i
		}
	}
	var ready positions
	for i := range links {
		if waits[i] == 0 {
			heap.Push(&ready, i)
		}
	}
	out := make([]fib.Link, 0, len(links))
	placed := make([]bool, len(links))
	for next := 0; len(out) < len(links); {
		if len(ready) == 0 { // a contradiction
			for placed[next] {
				next++
			}
			waits[next] = 0
			heap.Push(&ready, next)
		}
		i := heap.Pop(&ready).(int)
		if placed[i] {
			continue
		}
		placed[i] = true
		out = append(out, links[i])
		for _, j := range after[i] {
			if waits[j]--; waits[j] == 0 {
				heap.Push(&ready, j)
			}
		}
	}
	copy(links, out)
}

// positions is a heap of numbers, the smallest first.
type positions []int

func (p positions) Len() int           { return len(p) }
func (p positions) Less(i, j int) bool { return p[i] < p[j] }
func (p positions) Swap(i, j int)      { p[i], p[j] = p[j], p[i] }
func (p *positions) Push(x any)        { *p = append(*p, x.(int)) }
func (p *positions) Pop() any {
	last := (*p)[len(*p)-1]
	*p = (*p)[:len(*p)-1]
	return last
}
