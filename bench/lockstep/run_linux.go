package lockstep

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/fibula-net/fibula/bench/results"
	"github.com/fibula-net/fibula/fib"
)

var errNotThere = errors.New("not as it should be")

// run is one call of Run.
type run struct {
	Config
	*place
	recorder
	all     []netip.Prefix // in random order
	desired *fib.Snapshot
	out     *results.Run
}

// Run measures everything and adds figures to out: rounds of a mirror, an export, repairs and a
// killed export, then the peers. What cannot be measured is skipped, and says why; an error is ctx's.
func Run(ctx context.Context, c Config, out *results.Run) error {
	b := &run{Config: c, out: out, all: c.prefixes(Full)}
	b.n = len(b.all)
	if b.n == 0 {
		return fmt.Errorf("the table %s has no IPv4 prefix", c.Table.Name)
	}
	if b.Progress == nil {
		b.Progress = func(string, int) {}
	}
	var err error
	if b.place, err = newPlace(ctx, b.Progress); err != nil {
		out.Skip("sync", err.Error())
		return ctx.Err()
	}
	defer func() { b.close() }() // of the last one
	defer b.figures(out)
	if b.desired, err = b.wanted(); err != nil {
		return err
	}
	parts := []struct {
		what string
		fn   func(context.Context) error
	}{{"mirror", b.mirrors}, {"export", b.exports}, {"repairs", b.repairs}, {"kill -9", b.kills}, {BIRD, b.bird}, {Zebra, b.zebra}}
	for _, part := range parts {
		if err := part.fn(ctx); ctx.Err() != nil {
			return ctx.Err()
		} else if err != nil {
			out.Skip(part.what, err.Error())
			// Nothing of one part is there in the next.
			b.close()
			if b.place, err = newPlace(ctx, b.Progress); err != nil {
				return err
			}
		}
	}
	return nil
}

// rounds runs something as often as runs are asked for.
func (b *run) rounds(ctx context.Context, fn func(context.Context) error) error {
	for range max(b.Runs, 1) {
		if err := fn(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (b *run) mirrors(ctx context.Context) error {
	if err := b.fill(ctx, b.all); err != nil {
		return err
	}
	if err := b.rounds(ctx, b.mirror); err != nil {
		return err
	}
	return b.empty(ctx, b.all)
}

// wanted is a FIB with all routes.
func (b *run) wanted() (*fib.Snapshot, error) {
	f := fib.New(fib.Config{})
	_, err := f.Update(func(tx *fib.Txn) error {
		for r := range to(via(gateway), b.all) {
			if err := tx.LoadRoute(r); err != nil {
				return err
			}
		}
		return nil
	})
	return f.Snapshot(), err
}
