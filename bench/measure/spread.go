package measure

import (
	"math"
	"slices"
)

// Spread is what several runs of the same thing measured.
type Spread struct {
	Median float64   `json:"median"`
	Low    float64   `json:"low"`
	High   float64   `json:"high"`
	Runs   []float64 `json:"runs"` // in the order in which they were made
}

// Of summarises runs. It keeps the slice.
func Of(runs []float64) Spread {
	if len(runs) == 0 {
		return Spread{}
	}
	s := slices.Sorted(slices.Values(runs))
	return Spread{Median: middle(s), Low: s[0], High: s[len(s)-1], Runs: runs}
}

func middle(sorted []float64) float64 {
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// Ratio is a / b, run by run: what changed between two runs (the clock, the
// neighbours) touches both sides of each quotient alike. Runs without a partner are
// left out.
func Ratio(a, b Spread) Spread {
	var runs []float64
	for i := range min(len(a.Runs), len(b.Runs)) {
		if b.Runs[i] != 0 {
			runs = append(runs, a.Runs[i]/b.Runs[i])
		}
	}
	return Of(runs)
}

// Inverse turns a time for each into a rate, or back.
func (s Spread) Inverse(scale float64) Spread {
	runs := make([]float64, len(s.Runs))
	for i, x := range s.Runs {
		runs[i] = scale / x
	}
	return Of(runs)
}

// Scaled multiplies every run.
func (s Spread) Scaled(by float64) Spread {
	runs := make([]float64, len(s.Runs))
	for i, x := range s.Runs {
		runs[i] = x * by
	}
	return Of(runs)
}

// Percent is half the distance between the extremes, in percent of the median.
func (s Spread) Percent() float64 {
	if s.Median == 0 {
		return 0
	}
	return math.Abs(s.High-s.Low) / 2 / s.Median * 100
}
