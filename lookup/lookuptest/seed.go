package lookuptest

import (
	"flag"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/internal/randtest"
)

// Seed returns the seed of the random tests: TEST_SEED from the environment if it is
// set, else a fresh one. It logs the seed, and hands one that was set to rapid as well.
// Package rapid runs more checks than it does by default, unless a flag says how many.
func Seed(tb testing.TB) uint64 {
	tb.Helper()
	seed := randtest.Seed(tb)
	if os.Getenv("TEST_SEED") != "" {
		require.NoError(tb, flag.Set("rapid.seed", strconv.FormatUint(seed, 10)))
	}
	// A check takes well below a millisecond, so there is time for more than the default.
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		require.NoError(tb, checks.Value.Set(strconv.Itoa(randtest.Fewer(500))))
	}
	return seed
}

// source returns a generator of random numbers that yields the same for the same seed.
func source(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0x6669_6275_6c61)) }
