package daemon

import (
	"context"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
)

// journaled is a FIB with a journal, and a function that makes transaction n.
func journaled(t *testing.T) (*Journal, func(n int)) {
	f := fib.New(fib.Config{})
	j := NewJournal(f)
	return j, func(n int) {
		res, err := f.Update(func(tx *fib.Txn) error {
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n >> 8), byte(n), 0}), 24)
			return tx.AddRoute(fib.Route{Table: 7, Dst: p, Type: fib.TypeBlackhole}, fib.OpAdd)
		})
		require.NoError(t, err)
		j.Note(res)
	}
}

func changed(tr Transaction) (n int) {
	for range tr.After.ChangedRoutes(tr.Before) {
		n++
	}
	return n
}

func TestFollowerSeesEachTransaction(t *testing.T) {
	j, commit := journaled(t)
	commit(0)
	w := j.Follow()
	defer w.Close()
	start := w.Start().Generation()
	for i := 1; i <= 10; i++ {
		commit(i)
	}
	for i := uint64(1); i <= 10; i++ {
		tr, err := w.Next(t.Context())
		require.NoError(t, err)
		assert.Equal(t, start+i, tr.After.Generation())
		assert.Equal(t, start+i-1, tr.Before.Generation())
		assert.Equal(t, 1, tr.Merged)
		assert.Equal(t, 1, changed(tr))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := w.Next(ctx)
	assert.ErrorIs(t, err, context.Canceled)
}

func TestSlowFollowerLosesStepsButNoChange(t *testing.T) {
	j, commit := journaled(t)
	slow, quick := j.Follow(), j.Follow()
	defer slow.Close()
	defer quick.Close()
	const n = 1000
	seen, commits, changes := 0, 0, 0
	for i := range n {
		commit(i) // which waits for nobody
		_, err := quick.Next(t.Context())
		require.NoError(t, err)
		seen++
	}
	assert.Equal(t, n, seen)
	for range maxQueued {
		tr, err := slow.Next(t.Context())
		require.NoError(t, err)
		commits += tr.Merged
		changes += changed(tr)
	}
	assert.Equal(t, n, commits)
	assert.Equal(t, n, changes)
	_, more := slow.take()
	assert.False(t, more)
}

func TestClosedFollowerHoldsNothing(t *testing.T) {
	j, commit := journaled(t)
	w := j.Follow()
	commit(1)
	w.Close()
	commit(2)
	assert.Empty(t, w.queue)
	assert.Empty(t, j.followers)
}
