package ksync

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/internal/randtest"
)

// TestMirrorModel changes namespaces at random and at full speed, while the mirror reads
// too late or loses what it should have read, and compares at every pause. MIRROR_SEEDS
// says how many namespaces; TEST_SEED is that of the first.
func TestMirrorModel(t *testing.T) {
	netnstest.Require(t)
	n := randtest.Fewer(100)
	if s := os.Getenv("MIRROR_SEEDS"); s != "" {
		var err error
		n, err = strconv.Atoi(s)
		require.NoError(t, err)
	}
	first := randtest.Seed(t)
	var mu sync.Mutex
	sum := MirrorStats{Events: map[string]uint64{}, Resyncs: map[string]uint64{}}
	t.Run("seeds", func(t *testing.T) {
		for i := range uint64(n) {
			t.Run(strconv.FormatUint(first+i, 10), func(t *testing.T) {
				t.Parallel()
				s := mirrorModel(t, first+i)
				mu.Lock()
				defer mu.Unlock()
				sum.Commits, sum.Overruns, sum.Looks, sum.Drift, sum.Polled = sum.Commits+s.Commits, sum.Overruns+s.Overruns, sum.Looks+s.Looks, sum.Drift+s.Drift, sum.Polled+s.Polled
				for k, v := range s.Events {
					sum.Events[k] += v
				}
				for k, v := range s.Resyncs {
					sum.Resyncs[k] += v
				}
			})
		}
	})
	t.Logf("%d namespaces: %v events, %d transactions, %d overruns, resyncs %v, %d looks, drift %d, polled %d",
		n, sum.Events, sum.Commits, sum.Overruns, sum.Resyncs, sum.Looks, sum.Drift, sum.Polled)
}

func mirrorModel(t *testing.T, seed uint64) MirrorStats {
	r := rand.New(rand.NewPCG(seed, 11))
	w := newChurn(t, r)
	for range r.IntN(40) {
		w.step()
	}
	w.flush()
	opt := MirrorOptions{NetNS: w.netns(), MaxDelay: time.Duration(1+r.IntN(4)) * time.Millisecond}
	mode := r.IntN(4)
	if mode == 1 {
		opt.ReceiveBuffer = 1 // two or three messages
	}
	var log strings.Builder
	opt.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	m, err := Mirror(context.Background(), fib.New(fib.Config{}), opt)
	require.NoError(t, err)
	defer m.Close()
	for range 4 {
		w.story = w.story[:0]
		if mode == 2 { // it does not come to read
			k := m.src.(*kernelSource)
			k.mu.Lock()
			time.AfterFunc(time.Duration(r.IntN(5))*time.Millisecond, k.mu.Unlock)
		}
		for range 5 + r.IntN(60) {
			w.step()
		}
		w.flush()
		if diff := atRest(t, m, w.netns()); diff != "" {
			m.Close()
			t.Fatalf("%s\nstory:\n%s\nlog:\n%s\n%+v", diff, strings.Join(w.story, "\n"), log.String(), m.Stats())
		}
	}
	if d := m.Stats().Drift; d > 0 && os.Getenv("MIRROR_DRIFT") != "" {
		m.Close()
		t.Logf("drift %d in mode %d\nstory:\n%s\nlog:\n%s", d, mode, strings.Join(w.story, "\n"), log.String())
	}
	m.Close()
	return m.Stats()
}

// atRest compares when the kernel does not change by itself: what it does from its work
// queues comes some time after the request.
func atRest(t testing.TB, m *Mirrored, ns NetNS) string {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // a slow machine may need long
	defer cancel()
	for {
		st, before := kernelRoutes(t, ns)
		if err := m.Sync(ctx); err != nil && ctx.Err() == nil {
			return fmt.Sprintf("sync: %v", err)
		}
		s := m.FIB().Snapshot()
		again, after := kernelRoutes(t, ns)
		if !slices.Equal(before, after) || objectDiff(st, again) != "" || carrierMoves(s, again) {
			if ctx.Err() != nil {
				return "the kernel does not rest: " + objectDiff(st, again) + linesApart(before, after)
			}
			continue
		}
		ours := ourRoutes(s)
		diff := objectDiff(s.Surroundings(), st)
		if !slices.Equal(ours, before) {
			diff += linesApart(ours, before)
		}
		return diff
	}
}

// carrierMoves reports whether the kernel has yet to act on a change of carrier.
func carrierMoves(s *fib.Snapshot, st *fib.State) bool {
	const carrier = fib.LinkRunning | fib.LinkLowerUp
	for i := range st.Links {
		l, _ := s.Link(st.Links[i].Index)
		if l.Up() && st.Links[i].Up() && (l.Flags^st.Links[i].Flags)&carrier != 0 {
			return true
		}
	}
	return false
}

// linesApart shows what two lists do not share, and if they only differ in order, both.
func linesApart(ours, theirs []string) string {
	var out strings.Builder
	for _, x := range [...]struct {
		who  string
		a, b []string
	}{{"mirror", ours, theirs}, {"kernel", theirs, ours}} {
		for _, line := range x.a {
			if !slices.Contains(x.b, line) {
				out.WriteString(x.who + ": " + line + "\n")
			}
		}
	}
	if out.Len() == 0 {
		for i := range ours {
			if ours[i] != theirs[i] {
				out.WriteString("mirror: " + ours[i] + "\nkernel: " + theirs[i] + "\n")
			}
		}
	}
	return out.String()
}

func objectDiff(ours, theirs *fib.State) string {
	a, b := plain(ours), plain(theirs)
	var out strings.Builder
	for _, d := range objectDifferences(&a, &b) {
		fmt.Fprintf(&out, "%s:\n  mirror %s\n  kernel %s\n", d.Object, d.Ours, d.Theirs)
	}
	return out.String()
}
