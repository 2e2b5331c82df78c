package suite

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/fibula-net/fibula/bench/goals"
	"github.com/fibula-net/fibula/bench/measure"
	"github.com/fibula-net/fibula/bench/results"
	"github.com/fibula-net/fibula/bench/rulesets"
	"github.com/fibula-net/fibula/bench/streams"
	"github.com/fibula-net/fibula/bench/tables"
	"github.com/fibula-net/fibula/fib"
)

var errTooShort = errors.New("the writer did not come to its turn; measure for longer (--time)")

// The units of latencies.
const (
	commitP99 = "ns commit p99"
	readP999  = "ns read p99.9"
)

// loads are what a writer does, in the order of reports.
var loads = []struct {
	name string
	make func(*writer) func() (changes int, err error)
}{
	{goals.Single, (*writer).single},
	{goals.Bulk, (*writer).bulk},
	{"bgp", (*writer).bgp},
	{"flap", (*writer).flap},
}

// Update measures a writer and a reader side by side: how many routes a second of the
// writer's processor time changes, what of the reader's speed is left, and the slowest
// of each.
func (b *Bench) Update(ctx context.Context) error {
	set, err := rulesets.Named("none")
	if err != nil {
		return err
	}
	engine := b.underFIB()
	b.progress("loading the table")
	f, err := set.Load(&b.Table, fib.Config{Engine: engine.Engine})
	if err != nil {
		return err
	}
	family := b.Families[0]
	one := b.Table.Only(family)
	s, err := b.stream(streams.Matching, family, &one)
	if err != nil {
		return err
	}
	name := "fib-" + engine.Name
	for _, load := range loads {
		w := newWriter(f, one.Family(family), b.Seed)
		var rates, kept, commits, reads []float64
		for run := -1; run < b.Runs; run++ { // the first warms up
			b.progress(fmt.Sprintf("update %s", load.name))
			if err := ctx.Err(); err != nil {
				return err
			}
			idle := b.read(f, s, set)
			beside, wrote, err := b.readBeside(f, s, set, load.make(w))
			if err != nil {
				return fmt.Errorf("%s: %w", load.name, err)
			}
			if run >= 0 {
				rates = append(rates, float64(wrote.changes)/wrote.took.Seconds())
				kept = append(kept, idle.each()/beside.each()*100)
				commits = append(commits, percentile(wrote.commits, 0.99))
				reads = append(reads, percentile(beside.chunks, 0.999))
			}
		}
		for i, runs := range [][]float64{rates, kept, commits, reads} {
			fig := b.figure("update", name, family, &b.Table, updateUnits[i], measure.Of(runs))
			fig.Load = load.name
			b.Run.Add(fig)
		}
	}
	return nil
}

var updateUnits = []string{results.PerSecond, results.Percent, commitP99, readP999}

// reading is what a reader did.
type reading struct {
	lookups int
	took    time.Duration // of processor time
	chunks  []float64     // nanoseconds of the clock for one lookup, by chunk
}

func (r *reading) each() float64 { return float64(r.took) / float64(r.lookups) }

// chunk is how many lookups a reader takes a snapshot for, as a packet path does.
const chunk = 64

// read looks up for a while, on the latest snapshot.
func (b *Bench) read(f *fib.FIB, s *streams.Stream, set *rulesets.Set) reading {
	flow := set.Flows[s.Family][0]
	r := reading{chunks: make([]float64, 0, 1<<16)}
	begin, sum := measure.CPU(), uint32(0)
	for at, last := 0, time.Now(); r.took < b.Each; at = (at + chunk) & (s.Len() - 1) {
		snap := f.Snapshot()
		for k := range min(chunk, s.Len()) {
			flow.Dst = s.Addr(at + k)
			d := snap.Resolve(flow)
			sum += rulesets.NextHop(&d)
		}
		now := time.Now()
		r.chunks = append(r.chunks, float64(now.Sub(last))/chunk)
		last = now
		r.lookups += chunk
		r.took = measure.CPU() - begin
	}
	unused.Store(sum)
	return r
}

// unused receives answers, so that they must be computed.
var unused atomic.Uint32

// writing is what a writer did.
type writing struct {
	changes int
	took    time.Duration
	commits []float64 // nanoseconds of processor time for one transaction
}

// readBeside reads while another thread writes without a pause.
func (b *Bench) readBeside(f *fib.FIB, s *streams.Stream, set *rulesets.Set, step func() (int, error)) (reading, writing, error) {
	var stop atomic.Bool
	var w writing
	var failed error
	started, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		if _, undo, err := measure.Pin(b.otherCore()); err == nil {
			defer undo()
		}
		close(started)
		begin := measure.CPU()
		for last := begin; !stop.Load(); {
			n, err := step()
			if err != nil {
				failed = err
				break
			}
			now := measure.CPU()
			w.commits = append(w.commits, float64(now-last))
			w.changes += n
			last = now
		}
		w.took = measure.CPU() - begin
	}()
	<-started
	r := b.read(f, s, set)
	stop.Store(true)
	<-done
	if failed == nil && w.changes == 0 {
		failed = errTooShort
	}
	return r, w, failed
}

// otherCore is where the writer runs: beside the reader's, so that both may run.
func (b *Bench) otherCore() int {
	if b.Run.Settings.Core == 0 {
		return 1
	}
	return b.Run.Settings.Core - 1
}

func percentile(x []float64, p float64) float64 {
	if len(x) == 0 {
		return 0
	}
	slices.Sort(x)
	return x[min(int(p*float64(len(x))), len(x)-1)]
}

// writer changes routes of a FIB that was loaded with a table.
type writer struct {
	f     *fib.FIB
	table []netip.Prefix
	r     *rand.Rand
}

func newWriter(f *fib.FIB, table []netip.Prefix, seed uint64) *writer {
	return &writer{f: f, table: table, r: rand.New(rand.NewPCG(seed, 0x757064617465))}
}

// replacement is a route for a random prefix to a random next hop.
func (w *writer) replacement() fib.Route {
	r := rulesets.Route(w.table[w.r.IntN(len(w.table))])
	r.Nexthops[0].Gateway = rulesets.Gateway(r.Family(), uint32(w.r.IntN(tables.NextHops)))
	return r
}

func (w *writer) commit(n int, fn func(tx *fib.Txn) error) (int, error) {
	_, err := w.f.Update(fn)
	return n, err
}

// single replaces one random route in each transaction.
func (w *writer) single() func() (int, error) {
	return func() (int, error) {
		r := w.replacement()
		return w.commit(1, func(tx *fib.Txn) error { return tx.AddRoute(r, fib.OpReplace) })
	}
}

// bulk replaces ten thousand in each.
func (w *writer) bulk() func() (int, error) {
	routes := make([]fib.Route, 10_000)
	return func() (int, error) {
		for i := range routes {
			routes[i] = w.replacement()
		}
		return w.commit(len(routes), func(tx *fib.Txn) error {
			_, err := tx.AddRoutes(routes, fib.OpReplace)
			return err
		})
	}
}

// bgp is what a session delivers: bursts of all sizes, most of them small, in which
// one of ten prefixes is withdrawn and comes back with the burst after.
func (w *writer) bgp() func() (int, error) {
	const most, withdrawn = 2000, 10
	var back []fib.Route
	return func() (int, error) {
		size := 1 + int(float64(most)*w.r.Float64()*w.r.Float64()*w.r.Float64())
		changes := size + len(back)
		return w.commit(changes, func(tx *fib.Txn) error {
			for i := range back {
				if err := tx.AddRoute(back[i], fib.OpReplace); err != nil {
					return err
				}
			}
			back = back[:0]
			gone := map[netip.Prefix]bool{}
			for range size {
				r := w.replacement()
				if gone[r.Dst] {
					continue
				}
				if err := tx.AddRoute(r, fib.OpReplace); err != nil {
					return err
				}
				if w.r.IntN(withdrawn) == 0 {
					if err := tx.DeleteRoute(r); err != nil {
						return err
					}
					gone[r.Dst] = true
					back = append(back, r)
				}
			}
			return nil
		})
	}
}

// flap withdraws and announces the same prefix.
func (w *writer) flap() func() (int, error) {
	r, up := w.replacement(), false
	return func() (int, error) {
		up = !up
		return w.commit(1, func(tx *fib.Txn) error {
			if up {
				return tx.AddRoute(r, fib.OpReplace)
			}
			return tx.DeleteRoute(r)
		})
	}
}
