package randtest

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// Seed returns the seed of a random test: TEST_SEED if that is set, else a new one.
// It logs the seed, which a failed test then shows. A TEST_SEED that is no number
// (decimal, 0x…) ends the test.
func Seed(tb testing.TB) uint64 {
	tb.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("TEST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 0, 64); err != nil {
			tb.Fatalf("TEST_SEED must be an unsigned number of 64 bits: %v", err)
		}
	}
	tb.Logf("TEST_SEED=%d", seed)
	return seed
}

// Rand returns a generator with [Seed].
func Rand(tb testing.TB) *rand.Rand {
	tb.Helper()
	return rand.New(rand.NewPCG(Seed(tb), 0))
}

// Fewer is how often to do what a plain run does n times: under the race detector,
// which makes everything about ten times slower and looks at how goroutines meet
// rather than at answers, a tenth; otherwise n.
func Fewer(n int) int {
	if race {
		return max(n/10, 1)
	}
	return n
}
