package ksync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/flowgen"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/internal/rtnl"
)

// TestMirrorModel changes namespaces at random and at full speed, while the mirror reads
// too late or loses what it should have read, and compares at every pause. MIRROR_SEEDS
// says how many namespaces; TEST_SEED is that of the first.
func TestMirrorModel(t *testing.T) {
	netnstest.Require(t)
	n := randtest.Fewer(500)
	if s := os.Getenv("MIRROR_SEEDS"); s != "" {
		var err error
		n, err = strconv.Atoi(s)
		require.NoError(t, err)
	}
	first := randtest.Seed(t)
	var mu sync.Mutex
	ran, flows, restarts, deaths := 0, 0, 0, 0
	sum := MirrorStats{Events: map[string]uint64{}, Resyncs: map[string]uint64{}}
	vrf := netnstest.Has(t, netnstest.VRF)
	t.Run("seeds", func(t *testing.T) {
		// Most of the time a kernel waits for itself: more at once than there are processors.
		inParallel(8, n, func(i uint64) {
			t.Run(strconv.FormatUint(first+i, 10), func(t *testing.T) {
				s := mirrorModel(t, first+i, vrf)
				mu.Lock()
				defer mu.Unlock()
				sum.Commits, sum.Overruns, sum.Looks, sum.Drift, sum.Polled = sum.Commits+s.Commits, sum.Overruns+s.Overruns, sum.Looks+s.Looks, sum.Drift+s.Drift, sum.Polled+s.Polled
				for k, v := range s.Events {
					sum.Events[k] += v
				}
				for k, v := range s.Resyncs {
					sum.Resyncs[k] += v
				}
				ran++
				flows += s.flows
				restarts += s.restarts
				deaths += s.deaths
			})
		})
	})
	t.Logf("%d namespaces: %v events, %d transactions, %d overruns, resyncs %v, %d looks, drift %d, polled %d; %d flows asked, %d restarts, %d ends",
		n, sum.Events, sum.Commits, sum.Overruns, sum.Resyncs, sum.Looks, sum.Drift, sum.Polled, flows, restarts, deaths)
	if !t.Failed() && ran >= 100 {
		assert.NotZero(t, restarts)
		assert.NotZero(t, deaths)
		assert.Greater(t, flows, 10*ran)
	}
}

// inParallel calls fn with 0 to n-1, several at a time.
func inParallel(at, n int, fn func(uint64)) {
	var next atomic.Int64
	var all sync.WaitGroup
	for range at {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				fn(uint64(i))
			}
		})
	}
	all.Wait()
}

// modelRun is what one namespace had.
type modelRun struct {
	MirrorStats
	flows, restarts, deaths int
}

// How a mirror is hindered.
const (
	hinderNot = iota
	hinderRoom
	hinderReads
	hinderLoss
	hindrances
)

func mirrorModel(t *testing.T, seed uint64, vrf bool) (run modelRun) {
	r := rand.New(rand.NewPCG(seed, 11))
	w := newChurn(t, r)
	w.vrf = vrf
	for range r.IntN(40) {
		w.step()
	}
	w.flush()
	opt := MirrorOptions{NetNS: w.netns(), MaxDelay: time.Duration(1+r.IntN(4)) * time.Millisecond}
	mode, dies := r.IntN(hindrances), r.IntN(10) == 0
	if dies {
		opt.Poll = 5 * time.Millisecond
	}
	if mode == hinderRoom {
		opt.ReceiveBuffer = 1 // two or three messages
	}
	var log strings.Builder
	opt.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	m, err := Mirror(context.Background(), fib.New(fib.Config{}), opt)
	require.NoError(t, err)
	defer func() { m.Close() }()
	for range 3 {
		w.story = w.story[:0]
		k := m.src.(*kernelSource)
		switch mode {
		case hinderReads: // it does not come to read
			k.mu.Lock()
			time.AfterFunc(time.Duration(r.IntN(5))*time.Millisecond, k.mu.Unlock)
		case hinderLoss: // what it has read is lost
			w.step()
			w.flush()
			k.mu.Lock()
			k.lose(errLost)
			k.mu.Unlock()
			k.say()
		}
		for range 5 + r.IntN(60) {
			w.step()
		}
		if r.IntN(6) == 0 { // it ends, and another one begins while everything changes
			add(&run, m.Stats())
			m.Close()
			w.flush()
			w.step()
			sent := make(chan error)
			go func(b []byte) {
				if len(b) == 0 {
					sent <- nil
					return
				}
				sent <- w.c.send(b)
			}(w.taken())
			m, err = Mirror(context.Background(), m.FIB(), opt)
			require.NoError(t, errors.Join(err, <-sent))
			run.restarts++
		}
		w.flush()
		if diff := atRest(t, m, w.netns()); diff != "" {
			m.Close()
			t.Fatalf("%s\nstory:\n%s\nlog:\n%s\n%+v", diff, strings.Join(w.story, "\n"), log.String(), m.Stats())
		}
		n, wrong := w.answers(m, r.Uint64(), 30)
		if run.flows += n; wrong != "" {
			m.Close()
			t.Fatalf("%s\nstory:\n%s\nlog:\n%s\n%+v", wrong, strings.Join(w.story, "\n"), log.String(), m.Stats())
		}
	}
	if dies {
		w.step()
		w.die()
		<-m.Done()
		require.ErrorIs(t, m.Err(), ErrNamespaceGone)
		run.deaths++
	}
	if d := m.Stats().Drift; d > 0 && os.Getenv("MIRROR_DRIFT") != "" {
		m.Close()
		t.Logf("drift %d in mode %d\nstory:\n%s\nlog:\n%s", d, mode, strings.Join(w.story, "\n"), log.String())
	}
	m.Close()
	add(&run, m.Stats())
	return run
}

// add adds the counts of one mirror.
func add(run *modelRun, s MirrorStats) {
	if run.Events == nil {
		run.Events, run.Resyncs = map[string]uint64{}, map[string]uint64{}
	}
	run.Commits, run.Overruns, run.Looks, run.Drift, run.Polled = run.Commits+s.Commits, run.Overruns+s.Overruns, run.Looks+s.Looks, run.Drift+s.Drift, run.Polled+s.Polled
	for k, v := range s.Events {
		run.Events[k] += v
	}
	for k, v := range s.Resyncs {
		run.Resyncs[k] += v
	}
}

// answers compares what a mirror would do with flows with what the kernel does.
func (w *churn) answers(m *Mirrored, seed uint64, n int) (asked int, wrong string) {
	q, err := OpenQuerier(w.netns())
	require.NoError(w.t, err)
	defer q.Close()
	s := m.FIB().Snapshot()
	flows := slices.Collect(flowgen.New(s, seed, flowgen.Options{Input: true}).Flows(n))
	c := comparer{q: q}
	out, err := c.compare(s, flows)
	require.NoError(w.t, err)
	for i, v := range out {
		if v.kind == unknown || v.kind == unanswered {
			continue
		}
		asked++
		if v.kind == same {
			continue
		}
		if wrong = w.alone(m, q, flows[i]); wrong != "" {
			return asked, wrong
		}
	}
	return asked, ""
}

// lostByRefusal: a refused request, of which nobody is told, can make a kernel find a
// source-specific route no more (D8).
func lostByRefusal(a *Answer) bool {
	return a.Route.Src.IsValid() || a.Ours.SrcPrefix.IsValid() || slices.ContainsFunc(a.Differences, func(d Difference) bool { return d.Field == "from" })
}

// alone asks about one flow after the kernel has forgotten what earlier ones left behind
// (C15, D22a), and again if it was about to do something by itself.
func (w *churn) alone(m *Mirrored, q *Querier, f fib.Flow) (wrong string) {
	for range 3 {
		w.sysctl("ipv4/route/flush", "1")
		r := fib.Route{Table: 4000, Dst: pfx("2001:db8:dead::/48"), Type: fib.TypeBlackhole, Protocol: fib.ProtoBoot}
		for i, typ := range [...]uint16{rtnl.RTM_NEWROUTE, rtnl.RTM_DELROUTE} {
			flags := [...]fib.AddFlags{fib.OpAdd, 0}[i]
			b, err := rtnl.AppendRoute(w.out, asking(typ, flags), &r)
			w.add("forget", b, err)
		}
		w.flush()
		gracePeriod()
		require.NoError(w.t, m.Sync(w.t.Context()))
		s := m.FIB().Snapshot()
		a, err := ask(s, q, f)
		require.NoError(w.t, err)
		if len(a.Differences) == 0 || f.Family() == fib.Inet6 && (LeftByThisQuery(s, &a) || lostByRefusal(&a)) {
			return ""
		}
		fresh, err := Load(w.t.Context(), Options{NetNS: w.netns()})
		require.NoError(w.t, err)
		b, err := ask(fresh.Snapshot(), q, f)
		require.NoError(w.t, err)
		if len(b.Differences) > 0 && b.Ours == a.Ours {
			return "" // what nobody can know (J) is no fault of the mirror
		}
		wrong = fmt.Sprintf("flow %+v: %v\nof a fresh load: %v\nours %+v\nroute %+v\nfresh %+v", f, a.Differences, b.Differences, a.Ours, a.Route, b.Route)
	}
	return wrong
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
