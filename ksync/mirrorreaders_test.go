package ksync

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
)

// swap takes one of a pair of routes away and puts the other in its place, as one change.
func (k *fake) swap(pair int, loud bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	a, b := fakeRoute(2*pair), fakeRoute(2*pair+1)
	if _, ok := k.there[a.Dst]; !ok {
		a, b = b, a
	}
	delete(k.there, a.Dst)
	k.there[b.Dst] = b
	if loud && k.lost == nil {
		k.queue = append(k.queue, event{kind: eventRoute, gone: true, route: a}, event{kind: eventRoute, flags: fib.OpAdd, route: b})
		k.say()
	}
}

// Readers see one of each pair at any time, neither none nor both: whether the change was
// announced, or found by comparing everything after a loss, or in a dump that news overtook.
func TestMirrorReadersSeeWholeTransactions(t *testing.T) {
	const pairs = 40
	k := newFake()
	for i := range pairs {
		k.set(2*i, true, true)
	}
	m := fakeMirror(t, k)
	var stop atomic.Bool
	var readers sync.WaitGroup
	var seen atomic.Int64
	for range 2 {
		readers.Go(func() {
			var last, equal = uint64(0), time.Time{}
			for !stop.Load() {
				st := m.Stats()
				s := m.FIB().Snapshot()
				switch {
				case s.Generation() < last || st.Equal.Before(equal):
					t.Errorf("generation %d after %d, equal at %v after %v", s.Generation(), last, st.Equal, equal)
					return
				case s.Generation() > last:
					seen.Add(1)
				}
				last, equal = s.Generation(), st.Equal
				if wrong := unpaired(s, pairs); wrong != "" {
					t.Error(wrong)
					return
				}
			}
		})
	}
	for round := range 60 {
		if round%3 == 2 {
			k.lose()
		}
		for i := range pairs {
			k.swap(i, true)
		}
		begin := time.Now()
		require.NoError(t, m.Sync(t.Context()))
		assert.False(t, m.Stats().Equal.Before(begin), "the age is that of what was seen")
		requireFake(t, m, k)
	}
	stop.Store(true)
	readers.Wait()
	assert.NotZero(t, m.Stats().Resyncs["overrun"])
	assert.Greater(t, seen.Load(), int64(20))
}

func unpaired(s *fib.Snapshot, pairs int) string {
	for i := range pairs {
		a, b := fakeRoute(2*i), fakeRoute(2*i+1)
		if n := len(s.RoutesAt(a.Table, a.Dst)) + len(s.RoutesAt(b.Table, b.Dst)); n != 1 {
			return fmt.Sprintf("%d routes of pair %d in generation %d", n, i, s.Generation())
		}
	}
	return ""
}

// What cannot be looked at ages, whatever else is heard.
func TestMirrorAgesWhileItCannotLook(t *testing.T) {
	k := newFake()
	m := fakeMirror(t, k)
	k.mu.Lock()
	k.ill = fmt.Errorf("%w: ENOMEM", errLook)
	k.mu.Unlock()
	failures := func(n uint64) {
		for m.Stats().Failures < n {
			runtime.Gosched()
		}
	}
	failures(1)
	equal, events := m.Stats().Equal, m.Stats().Events["route"]
	for i := range uint64(20) {
		k.set(int(i), true, false)
		for m.Stats().Events["route"] < events+i+1 {
			runtime.Gosched()
		}
	}
	failures(3)
	assert.Equal(t, equal, m.Stats().Equal)
	k.mu.Lock()
	k.ill = nil
	k.mu.Unlock()
	requireFake(t, m, k)
	assert.True(t, m.Stats().Equal.After(equal))
}
