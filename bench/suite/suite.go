package suite

import (
	"context"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"time"

	"github.com/fibula-net/fibula/bench/engines"
	"github.com/fibula-net/fibula/bench/measure"
	"github.com/fibula-net/fibula/bench/results"
	"github.com/fibula-net/fibula/bench/rulesets"
	"github.com/fibula-net/fibula/bench/streams"
	"github.com/fibula-net/fibula/bench/tables"
	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/lookup"
)

// Config says what to measure. Its zero value measures every engine.
type Config struct {
	Table    tables.Table
	Families []fib.Family // none: both
	Engines  []string     // none: all that suit the table
	Streams  []string     // none: all
	Pcap     string       // a capture to take as one more stream
	RuleSets []string     // none: all but the largest
	Sizes    []int        // of tables, for the suite of that name; none: from 1,000 to the whole
	Runs     int          // 0: 5
	Each     time.Duration
	Queries  int // of each stream; 0: streams.Full
	Seed     uint64
	CPU      int      // to pin to; negative: the last
	Fibula   []string // the command that starts fibula, for the suite sync

	// Progress is told what is going on, and how much of it is done.
	Progress func(stage string, n int)
}

// Bench is one run of suites. It must be used by one goroutine, the one that called
// New, and be closed there.
type Bench struct {
	Config
	Run     results.Run
	undo    func()
	streams map[string]*streams.Stream
	step    int
}

type route struct {
	prefix netip.Prefix
	hop    lookup.Index
}

// New prepares a run and pins the calling goroutine.
func New(c Config) (*Bench, error) {
	if len(c.Families) == 0 {
		c.Families = []fib.Family{fib.Inet, fib.Inet6}
	}
	c.Families = slices.DeleteFunc(slices.Clone(c.Families), func(f fib.Family) bool { return len(c.Table.Family(f)) == 0 })
	if len(c.Families) == 0 {
		return nil, fmt.Errorf("table %s has no prefix of the families asked for", c.Table.Name)
	}
	if len(c.Streams) == 0 {
		c.Streams = streams.Names
	}
	for _, name := range c.Engines {
		if engines.Named(name) == nil {
			return nil, fmt.Errorf("engine %q: use %v", name, EngineNames())
		}
	}
	for _, name := range c.Streams {
		if !slices.Contains(streams.Names, name) {
			return nil, fmt.Errorf("stream %q: use %v", name, streams.Names)
		}
	}
	for _, name := range c.RuleSets {
		if _, err := rulesets.Named(name); err != nil {
			return nil, err
		}
	}
	c.Runs, c.Queries = or(c.Runs, 5), or(c.Queries, streams.Full)
	c.Each = or(c.Each, 200*time.Millisecond)
	if c.Progress == nil {
		c.Progress = func(string, int) {}
	}
	b := &Bench{Config: c, streams: map[string]*streams.Stream{}}
	b.Run = results.Run{Machine: results.Here(), Skips: []results.Skip{}, Wrong: []string{},
		Settings: results.Settings{Core: -1, CPUTime: measure.CPUTime, Runs: c.Runs, Each: c.Each.Seconds(), Queries: c.Queries, Seed: c.Seed}}
	b.Run.Tables = append(b.Run.Tables, input(&c.Table))
	on, undo, err := measure.Pin(c.CPU)
	if err != nil {
		b.Run.Skip("pinning to a core", err.Error())
	} else {
		b.Run.Settings.Core, b.undo = on, undo
	}
	return b, nil
}

func or[T comparable](x, otherwise T) T {
	var zero T
	if x == zero {
		return otherwise
	}
	return x
}

func input(t *tables.Table) results.Input {
	return results.Input{Name: t.Name, Origin: t.Origin, Len: t.Len(), Checksum: results.Hex(t.Checksum())}
}

// Close lets the goroutine go where it likes.
func (b *Bench) Close() {
	if b.undo != nil {
		b.undo()
		b.undo = nil
	}
}

// EngineNames are the engines that can be chosen.
func EngineNames() (names []string) {
	for _, e := range engines.LPM {
		names = append(names, e.Name)
	}
	return names
}

// chosen are the engines to fill with t.
func (b *Bench) chosen(t *tables.Table) (some []*engines.Engine) {
	for _, e := range engines.LPM {
		switch {
		case len(b.Engines) > 0 && !slices.Contains(b.Engines, e.Name):
		case !e.Suits(t):
			if len(b.Engines) > 0 {
				b.Run.Skip("engine "+e.Name, fmt.Sprintf("takes at most %d prefixes", e.Most))
			}
		default:
			some = append(some, e)
		}
	}
	return some
}

// stream makes a stream, or returns the one made before.
func (b *Bench) stream(name string, f fib.Family, t *tables.Table) (*streams.Stream, error) {
	key := fmt.Sprint(name, f, t.Name)
	if s := b.streams[key]; s != nil {
		return s, nil
	}
	b.progress("making streams")
	s, err := streams.Make(name, f, t, b.Queries, b.Seed)
	if name == "pcap" {
		s, err = streams.OpenPcap(b.Pcap, f, b.Queries)
	}
	if err != nil {
		return nil, err
	}
	b.streams[key] = s
	b.Run.Streams = append(b.Run.Streams, results.Input{Name: name, Origin: t.Name, Family: f.String(), Len: s.Len(), Checksum: results.Hex(s.Checksum())})
	return s, nil
}

// streamNames are the chosen streams, the capture among them.
func (b *Bench) streamNames() []string {
	if b.Pcap == "" {
		return b.Streams
	}
	return append(slices.Clone(b.Streams), "pcap")
}

func (b *Bench) options() measure.Options {
	return measure.Options{Runs: b.Runs, Each: b.Each}
}

// progress counts the steps of a stage.
func (b *Bench) progress(stage string) {
	b.step++
	b.Progress(stage, b.step)
}

// family are the routes of one family, made once so that their making is not timed.
func (b *Bench) family(t *tables.Table, f fib.Family) iter.Seq2[netip.Prefix, lookup.Index] {
	all := routesOf(t, f)
	return func(yield func(netip.Prefix, lookup.Index) bool) {
		for _, r := range all {
			if !yield(r.prefix, r.hop) {
				return
			}
		}
	}
}

func routesOf(t *tables.Table, f fib.Family) []route {
	prefixes := t.Family(f)
	all := make([]route, len(prefixes))
	for i, p := range prefixes {
		all[i] = route{p, tables.NextHop(p)}
	}
	return all
}

// alternate measures tasks and tells of it.
func (b *Bench) alternate(ctx context.Context, stage string, tasks []*measure.Task) ([]measure.Spread, error) {
	return measure.Alternate(ctx, b.options(), tasks, func(t *measure.Task, _ int) { b.progress(stage + ": " + t.Name) })
}
