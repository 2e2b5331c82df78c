package suite

import (
	"context"
	"fmt"
	"time"

	"github.com/fibula-net/fibula/bench"
	"github.com/fibula-net/fibula/bench/engines"
	"github.com/fibula-net/fibula/bench/measure"
	"github.com/fibula-net/fibula/bench/results"
	"github.com/fibula-net/fibula/bench/streams"
	"github.com/fibula-net/fibula/bench/tables"
	"github.com/fibula-net/fibula/fib"
)

// Lookup measures longest-prefix match on every stream: throughput, and with the
// stream matching latency too. Filling the engines gives memory and time to build.
func (b *Bench) Lookup(ctx context.Context) error {
	for _, f := range b.Families {
		one := b.Table.Only(f)
		filled, err := b.fill(ctx, &one, f, b.Runs)
		if err != nil {
			return err
		}
		for _, name := range b.streamNames() {
			s, err := b.stream(name, f, &one)
			if err != nil {
				b.Run.Skip(fmt.Sprintf("stream %s %v", name, f), err.Error())
				continue
			}
			if err := b.throughput(ctx, "lookup", s, &one, filled); err != nil {
				return err
			}
			if name == streams.Matching || name == streams.Uniform {
				if err := b.latency(ctx, s, &one, filled); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// Size measures how throughput depends on the size of the table.
func (b *Bench) Size(ctx context.Context) error {
	f := b.Families[0]
	whole := b.Table.Only(f)
	sizes := b.Sizes
	if len(sizes) == 0 {
		for n := 1000; n < whole.Len(); n *= 10 {
			sizes = append(sizes, n)
		}
		sizes = append(sizes, whole.Len())
	}
	for _, n := range sizes {
		var t tables.Table
		if n > whole.Len() { // tomorrow's table
			b.progress("making a table")
			if f == fib.Inet {
				t = tables.Synthetic(n, 0, b.Seed)
			} else {
				t = tables.Synthetic(0, n, b.Seed)
			}
			b.Run.Tables = append(b.Run.Tables, input(&t))
		} else {
			t = whole.Sample(n)
		}
		filled, err := b.fill(ctx, &t, f, 0)
		if err != nil {
			return err
		}
		s, err := b.stream(streams.Matching, f, &t)
		if err != nil {
			return err
		}
		if err := b.throughput(ctx, "size", s, &t, filled); err != nil {
			return err
		}
	}
	return nil
}

// fill fills the chosen engines with a table of one family. With runs it notes memory
// and time: the time is the clock's, since building may use other threads, of as many
// builds as runs, of which the last stays.
func (b *Bench) fill(ctx context.Context, t *tables.Table, f fib.Family, runs int) ([]*engines.Filled, error) {
	var all []*engines.Filled
	routes := b.family(t, f)
	for _, e := range b.chosen(t) {
		var times []float64
		var x *engines.Filled
		before := bench.Heap()
		for range max(min(runs, maxBuilds), 1) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			b.progress("filling " + e.Name)
			x = nil
			begin := time.Now()
			x = engines.FillWith(e, routes)
			times = append(times, time.Since(begin).Seconds())
		}
		after := bench.Heap()
		x.KeepAlive()
		all = append(all, x)
		if runs > 0 {
			each := (float64(after) - float64(before)) / float64(t.Len())
			b.Run.Add(b.figure("memory", e.Name, f, t, results.BytesEach, measure.Of([]float64{each})))
			b.Run.Add(b.figure("build", e.Name, f, t, results.Seconds, measure.Of(times)))
		}
	}
	return all, nil
}

// maxBuilds bounds how often a table is built to see how long that takes.
const maxBuilds = 3

func (b *Bench) figure(suite, engine string, f fib.Family, t *tables.Table, unit string, v measure.Spread) results.Figure {
	return results.Figure{Suite: suite, Engine: engine, Family: f.String(), Table: t.Name, Routes: t.Len(), Unit: unit, Value: v}
}

// throughput compares the answers of all forms and measures them.
func (b *Bench) throughput(ctx context.Context, suite string, s *streams.Stream, t *tables.Table, filled []*engines.Filled) error {
	var tasks []*measure.Task
	var sums []uint64
	out := make([]uint32, engines.Burst)
	for _, x := range filled {
		for _, form := range x.All() {
			b.progress("checking " + form.Name)
			sums = append(sums, form.Checksum(s))
			if last := len(sums) - 1; sums[last] != sums[0] {
				b.Run.Disagree("%s answers stream %s %v of table %s unlike %s", form.Name, s.Name, s.Family, t.Name, tasks[0].Name)
			}
			tasks = append(tasks, &measure.Task{Name: form.Name, Len: s.Len(), Step: engines.Burst,
				Pass: func(from, n int) { form.Answer(s, from, out[:n]) }})
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	spreads, err := b.alternate(ctx, fmt.Sprintf("%s %s %v", suite, s.Name, s.Family), tasks)
	if err != nil {
		return err
	}
	for i, v := range spreads {
		f := b.figure(suite, tasks[i].Name, s.Family, t, results.NsLookup, v)
		f.Stream, f.Checksum = s.Name, results.Hex(sums[i])
		b.Run.Add(f)
	}
	return nil
}

// zero is what the compiler does not know to be nothing.
var zero uint32

// chain asks n queries, each waiting for the last answer, which moves the next query
// by nothing.
func chain(form *engines.Form, s *streams.Stream, from, n int) {
	mask, i, nothing := s.Len()-1, from, zero
	for range n {
		i = (i + 1 + int(form.One(s, i)&nothing)) & mask
	}
}

func (b *Bench) latency(ctx context.Context, s *streams.Stream, t *tables.Table, filled []*engines.Filled) error {
	var tasks []*measure.Task
	for _, x := range filled {
		if x.Scalar.One != nil {
			tasks = append(tasks, &measure.Task{Name: x.Scalar.Name, Len: s.Len(), Pass: func(from, n int) { chain(&x.Scalar, s, from, n) }})
		}
	}
	spreads, err := b.alternate(ctx, fmt.Sprintf("latency %s %v", s.Name, s.Family), tasks)
	if err != nil {
		return err
	}
	for i, v := range spreads {
		f := b.figure("latency", tasks[i].Name, s.Family, t, results.NsLookup, v)
		f.Stream = s.Name
		b.Run.Add(f)
	}
	return nil
}
