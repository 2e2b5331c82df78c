//go:build !linux

package lockstep

import (
	"context"

	"github.com/fibula-net/fibula/bench/results"
)

// Run notes that there is nothing to measure.
func Run(_ context.Context, _ Config, out *results.Run) error {
	out.Skip("sync", "only Linux can be mirrored and written to")
	return nil
}
