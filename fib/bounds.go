package fib

// hashSpace is the number of values a multipath hash can have: 31 bits.
const hashSpace = 1 << 31

// boundsOf shares the hash space among legs by weight (B20): the i-th bound is
// the highest hash that leg i takes, above the bound of the leg before it; -1
// marks a leg that is excluded and takes none.
func boundsOf(legs []Nexthop, excluded func(*Nexthop) bool) []int32 {
	var total uint64
	for i := range legs {
		if !excluded(&legs[i]) {
			total += weightOf(&legs[i])
		}
	}
	bounds := make([]int32, len(legs))
	var sum uint64
	for i := range legs {
		if excluded(&legs[i]) {
			bounds[i] = -1
			continue
		}
		sum += weightOf(&legs[i])
		bounds[i] = boundAt(sum, total)
	}
	return bounds
}

// boundAt is the bound of a leg up to which the weights add up to sum out of total.
func boundAt(sum, total uint64) int32 { return int32((2*sum*hashSpace+total)/(2*total) - 1) }

func weightOf(n *Nexthop) uint64 { return uint64(max(n.Weight, 1)) }

// bucketsOf is the initial layout of a resilient group of n buckets: the last
// member is served first (B24). The result holds positions of members.
func bucketsOf(members []Nexthop, n int) []int {
	var total, sum uint64
	for i := range members {
		total += weightOf(&members[i])
	}
	wanted := make([]int, len(members))
	upTo := 0
	for i := range members {
		sum += weightOf(&members[i])
		next := int((2*sum*uint64(n) + total) / (2 * total))
		wanted[i], upTo = next-upTo, next
	}
	out := make([]int, 0, n)
	for i := len(members) - 1; i >= 0; i-- {
		for range wanted[i] {
			out = append(out, i)
		}
	}
	return out
}
