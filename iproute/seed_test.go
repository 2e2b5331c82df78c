package iproute

import (
	"flag"
	"os"
)

// TEST_SEED repeats the run whose seed rapid printed.
func init() {
	if seed := os.Getenv("TEST_SEED"); seed != "" {
		if err := flag.Set("rapid.seed", seed); err != nil {
			panic("TEST_SEED must be an unsigned number: " + seed)
		}
	}
}
