package daemon

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/fibula-net/fibula/fib"
)

// Journal hands every transaction of a FIB to whoever follows it, as the snapshots before and
// after. It never waits for a follower: of one that is too slow, transactions become one, and
// it is told how many; what it then sees is still all that has changed.
type Journal struct {
	f *fib.FIB

	mu        sync.Mutex // guards what follows, and the followers' queues
	followers map[*Follower]struct{}
}

// NewJournal makes the journal of a FIB. Its Note is to be called after each transaction.
func NewJournal(f *fib.FIB) *Journal {
	return &Journal{f: f, followers: map[*Follower]struct{}{}}
}

// Transaction is what a follower is told.
type Transaction struct {
	Before, After *fib.Snapshot
	Time          time.Time // when After was published
	Merged        int       // how many transactions this is; 1 if none was lost
}

// maxQueued is how many transactions wait for a follower, which keeps so many snapshots
// alive: these share what they have in common.
const maxQueued = 64

// Follower follows a journal. Its methods are for one goroutine.
type Follower struct {
	j     *Journal
	last  *fib.Snapshot // handed out, or there at the beginning
	queue []Transaction // Before is missing
	wake  chan struct{}
}

// Note takes note of a transaction; it is a MirrorOptions.Changed. It does not wait.
func (j *Journal) Note(fib.Result) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.followers) == 0 {
		return
	}
	t := Transaction{After: j.f.Snapshot(), Time: time.Now(), Merged: 1}
	for w := range j.followers {
		w.note(t)
	}
}

func (w *Follower) note(t Transaction) {
	n := len(w.queue)
	switch {
	case t.After.Generation() <= w.newest().Generation():
		return // was there when it began to follow
	case n == maxQueued:
		t.Merged += w.queue[n-1].Merged
		w.queue[n-1] = t
	default:
		w.queue = append(w.queue, t)
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *Follower) newest() *fib.Snapshot {
	if n := len(w.queue); n > 0 {
		return w.queue[n-1].After
	}
	return w.last
}

// Follow begins to follow from now on. Close ends it.
func (j *Journal) Follow() *Follower {
	j.mu.Lock()
	defer j.mu.Unlock()
	w := &Follower{j: j, last: j.f.Snapshot(), wake: make(chan struct{}, 1)}
	j.followers[w] = struct{}{}
	return w
}

// Close ends following.
func (w *Follower) Close() {
	w.j.mu.Lock()
	defer w.j.mu.Unlock()
	delete(w.j.followers, w)
	w.queue = nil
}

// Start is the snapshot after which the next transaction comes.
func (w *Follower) Start() *fib.Snapshot { return w.last }

// Next waits for the next transaction.
func (w *Follower) Next(ctx context.Context) (Transaction, error) {
	for {
		if t, ok := w.take(); ok {
			return t, nil
		}
		select {
		case <-ctx.Done():
			return Transaction{}, ctx.Err()
		case <-w.wake:
		}
	}
}

func (w *Follower) take() (Transaction, bool) {
	w.j.mu.Lock()
	defer w.j.mu.Unlock()
	if len(w.queue) == 0 {
		return Transaction{}, false
	}
	t := w.queue[0]
	w.queue = slices.Delete(w.queue, 0, 1) // which forgets the snapshot
	t.Before, w.last = w.last, t.After
	return t, true
}
