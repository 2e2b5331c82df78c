package suite

import (
	"context"
	"fmt"
	"slices"

	"github.com/fibula-net/fibula/bench"
	"github.com/fibula-net/fibula/bench/engines"
	"github.com/fibula-net/fibula/bench/measure"
	"github.com/fibula-net/fibula/bench/results"
	"github.com/fibula-net/fibula/bench/rulesets"
	"github.com/fibula-net/fibula/bench/streams"
	"github.com/fibula-net/fibula/fib"
)

// defaultSets leaves out what takes long to load and shows no more.
var defaultSets = rulesets.Names[:len(rulesets.Names)-1]

// loaded is a FIB under one rule set.
type loaded struct {
	set   *rulesets.Set
	name  string
	snap  *fib.Snapshot
	forms []*engines.Form
}

// Rules measures whole decisions, by rule set: all FIBs are loaded, then asked in
// turn, together with the bare table that the simplest ones come down to. The memory of many
// tables comes last.
func (b *Bench) Rules(ctx context.Context) error {
	all, err := b.loadSets(ctx)
	if err != nil {
		return err
	}
	for _, f := range b.Families {
		one := b.Table.Only(f)
		bare := engines.FillWith(b.underFIB(), b.family(&one, f))
		for _, name := range []string{streams.Matching, streams.Zipf} {
			s, err := b.stream(name, f, &one)
			if err != nil {
				return err
			}
			if err := b.decide(ctx, s, bare, all); err != nil {
				return err
			}
		}
		bare.KeepAlive()
	}
	return b.manyTables(ctx)
}

// underFIB is the engine of whole FIBs: the usual one, or if that was not chosen the
// first of ours that was.
func (b *Bench) underFIB() *engines.Engine {
	engine := engines.Default()
	if len(b.Engines) == 0 || slices.Contains(b.Engines, engine.Name) {
		return engine
	}
	for _, name := range b.Engines {
		if e := engines.Named(name); e.Ours && e.Suits(&b.Table) {
			return e
		}
	}
	return engine
}

func (b *Bench) loadSets(ctx context.Context) ([]*loaded, error) {
	names := b.RuleSets
	if len(names) == 0 {
		names = defaultSets
	}
	engine := b.underFIB()
	var all []*loaded
	for _, name := range names {
		set, err := rulesets.Named(name)
		if err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		b.progress("loading rules " + name)
		before := bench.Heap()
		f, err := set.Load(&b.Table, fib.Config{Engine: engine.Engine})
		if err != nil {
			return nil, err
		}
		snap := f.Snapshot()
		x := &loaded{set: set, name: "fib-" + engine.Name, snap: snap}
		form := engines.Resolve(x.name, snap, set)
		x.forms = append(x.forms, &form)
		if batch := engines.ResolveBatch(x.name, snap, set); batch != nil {
			x.forms = append(x.forms, batch)
		}
		x.forms = append(x.forms, engines.ResolveRefs(x.name, snap, set)...)
		if set.Name == "none" {
			b.memory(engine, x.name, bench.Heap()-before)
		}
		all = append(all, x)
	}
	return all, nil
}

// memory tells what a whole FIB of both families takes: what was compiled of its tables, which
// with rules and links is what Resolve reads, and the routes, which are the rest. An
// engine that compiles nothing reads the routes themselves.
func (b *Bench) memory(engine *engines.Engine, name string, whole uint64) {
	filled := engines.FillWith(engine, b.Table.All())
	compiled := float64(filled.Arrays)
	filled.KeepAlive()
	n := float64(b.Table.Len())
	add := func(engine, what, unit string, v float64) {
		f := b.figure("memory", engine, fib.Inet, &b.Table, unit, measure.Of([]float64{v}))
		f.Family = what
		b.Run.Add(f)
	}
	add(name, "both", results.BytesEach, float64(whole)/n)
	add(name, "routes", results.BytesEach, (float64(whole)-compiled)/n)
	add(engine.Name, "both", results.Bytes, compiled)
}

// decide compares and measures the FIBs on one stream.
func (b *Bench) decide(ctx context.Context, s *streams.Stream, bare *engines.Filled, all []*loaded) error {
	out := make([]uint32, engines.Burst)
	task := func(form *engines.Form, name string) *measure.Task {
		return &measure.Task{Name: name, Len: s.Len(), Step: stepFor(form, s), Pass: func(from, n int) { form.Answer(s, from, out[:n]) }}
	}
	want := bare.Scalar.Checksum(s)
	tasks := []*measure.Task{task(&bare.Scalar, "bare "+bare.Scalar.Name)}
	figures := []results.Figure{{Engine: bare.Scalar.Name, RuleSet: "bare", Checksum: results.Hex(want)}}
	if bare.Batch != nil {
		tasks = append(tasks, task(bare.Batch, "bare "+bare.Batch.Name))
		figures = append(figures, results.Figure{Engine: bare.Batch.Name, RuleSet: "bare"})
	}
	for _, x := range all {
		var first uint64
		b.progress("checking " + x.set.Name)
		part := b.checked(s, x.forms[0])
		for i, form := range x.forms {
			sum := form.Checksum(part)
			if i == 0 {
				first = sum
			}
			switch {
			case sum != first:
				b.Run.Disagree("%s under %s answers stream %s %v unlike its scalar form", form.Name, x.set.Name, s.Name, s.Family)
			case x.set.Bare && sum != bare.Scalar.Checksum(part):
				b.Run.Disagree("%s under %s answers stream %s %v unlike the table alone", form.Name, x.set.Name, s.Name, s.Family)
			}
			tasks = append(tasks, task(form, form.Name+" "+x.set.Name))
			figures = append(figures, results.Figure{Engine: form.Name, RuleSet: x.set.Name, Rules: x.set.Count(s.Family), Checksum: results.Hex(sum)})
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
	spreads, err := b.alternate(ctx, fmt.Sprintf("rules %s %v", s.Name, s.Family), tasks)
	if err != nil {
		return err
	}
	for i, fig := range figures {
		fig.Suite, fig.Family, fig.Table, fig.Routes = "rules", s.Family.String(), b.Table.Name, b.Table.Len()
		fig.Stream, fig.Unit, fig.Value = s.Name, results.NsLookup, spreads[i]
		b.Run.Add(fig)
	}
	return nil
}

// checked is how much of a stream is compared: all of it, or less where a walk over
// many rules takes too long for that.
func (b *Bench) checked(s *streams.Stream, form *engines.Form) *streams.Stream {
	begin := measure.CPU()
	form.One(s, 0)
	form.One(s, 1)
	each := (measure.CPU() - begin) / 2
	const patience = 4e9 // nanoseconds
	if each > 0 && float64(each)*float64(s.Len()) > patience {
		return s.First(max(int(patience/float64(each)), engines.Burst))
	}
	return s
}

// stepFor is smaller for what takes long, so that runs do not overshoot.
func stepFor(form *engines.Form, s *streams.Stream) int {
	if form.One == nil {
		return engines.Burst
	}
	begin := measure.CPU()
	form.One(s, 0)
	if measure.CPU()-begin > 20_000 {
		return 16
	}
	return engines.Burst
}
