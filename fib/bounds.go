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
