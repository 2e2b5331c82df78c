package suite

import (
	"context"

	"github.com/fibula-net/fibula/bench/lockstep"
)

// Sync measures mirrors and exports, beside raw netlink and routing daemons. These take more than
// one core, so nothing is pinned any more.
func (b *Bench) Sync(ctx context.Context) error {
	b.Close()
	b.Run.Settings.Core = -1
	return lockstep.Run(ctx, lockstep.Config{Table: &b.Table, Runs: b.Runs, Seed: b.Seed, Fibula: b.Fibula, Progress: b.Progress}, &b.Run)
}
