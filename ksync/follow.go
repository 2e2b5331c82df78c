package ksync

import (
	"context"
	"fmt"

	"github.com/fibula-net/fibula/fib"
)

// Follow makes a source of another namespace: a mirror in f, whose every transaction is a new
// desired state. Of those that come while an export is at work it takes the last. The caller
// closes the mirror, which ends with ctx, too; either is to be after the export. When the
// mirror ends, so does the source, with an error that wraps [ErrSourceEnded] and that of the
// mirror, such as [ErrNamespaceGone].
//
// Errors are those of [Mirror].
func Follow(ctx context.Context, f *fib.FIB, opt MirrorOptions) (Source, *Mirrored, error) {
	changed := make(chan struct{}, 1)
	say := func() {
		select {
		case changed <- struct{}{}:
		default: // it is said already
		}
	}
	others := opt.Changed
	opt.Changed = func(r fib.Result) {
		if others != nil {
			others(r)
		}
		say()
	}
	m, err := Mirror(ctx, f, opt)
	if err != nil {
		return Source{}, nil, err
	}
	go func() {
		<-m.Done()
		say()
	}()
	return Source{Changed: changed, Desired: func() (*fib.Snapshot, error) {
		select {
		case <-m.Done():
			return nil, fmt.Errorf("%w: %w", ErrSourceEnded, m.Err())
		default:
			return f.Snapshot(), nil
		}
	}}, m, nil
}
