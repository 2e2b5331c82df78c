package suite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fibula-net/fibula/bench/engines"
	"github.com/fibula-net/fibula/bench/kernel"
	"github.com/fibula-net/fibula/bench/measure"
	"github.com/fibula-net/fibula/bench/results"
	"github.com/fibula-net/fibula/bench/rulesets"
	"github.com/fibula-net/fibula/bench/streams"
	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/ksync"
	"github.com/fibula-net/fibula/rules"
)

// kernelRules are the numbers of rules with which the kernel is asked.
var kernelRules = []int{0, 10, 100, 1000, 10_000}

const (
	compared      = 1 << 17 // flows whose answers are compared through netlink
	kernelQueries = 1 << 17 // queries of the stream that bpf_fib_lookup is asked
	manyRules     = 100     // beyond which the kernel's walk is all that shows: one stream is enough
	patience      = time.Second
)

// Kernel puts the table into a namespace of its own and compares: every answer, then
// speed, with more and more rules that match nothing. A part that cannot be measured
// is skipped, and says why.
func (b *Bench) Kernel(ctx context.Context) error {
	k, err := kernel.New(ctx, &b.Table, b.Progress)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		b.Run.Skip("kernel", err.Error())
		return nil
	}
	defer k.Close()
	load := b.figure("build", "kernel", fib.Inet, &b.Table, results.Seconds, measure.Of([]float64{k.Took.Seconds()}))
	load.Family = "both"
	b.Run.Add(load)
	engine := b.underFIB()
	f, err := ksync.Load(ctx, ksync.Options{NetNS: k.NetNS(), Config: fib.Config{Engine: engine.Engine},
		Progress: func(stage string, n int) { b.Progress("mirror: "+stage, n) }})
	if err != nil {
		return err
	}
	entered := 0
	for _, n := range kernelRules {
		set, err := rulesets.Named("none")
		if n > 0 {
			set, err = rulesets.Named(fmt.Sprintf("miss-%d", n))
		}
		if err != nil {
			return err
		}
		b.progress(fmt.Sprintf("%d rules into the kernel", n))
		fresh := set.Rules[entered:] // they begin alike
		if err := k.AddRules(ctx, fresh); err != nil {
			return err
		}
		if err := addRules(f, fresh); err != nil {
			return err
		}
		entered = len(set.Rules)
		if err := b.kernelWith(ctx, k, f, set); err != nil {
			return err
		}
	}
	return nil
}

// addRules enters what was entered into the kernel.
func addRules(f *fib.FIB, fresh []rules.Rule) error {
	_, err := f.Update(func(tx *fib.Txn) error {
		for _, r := range fresh {
			if _, err := tx.AddRule(rules.Request{Rule: r}, fib.OpAdd); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

// kernelWith compares the namespace, under the rules of set, with f, which holds the same.
func (b *Bench) kernelWith(ctx context.Context, k *kernel.Kernel, f *fib.FIB, set *rulesets.Set) error {
	q, err := ksync.OpenQuerier(k.NetNS())
	if err != nil {
		return err
	}
	defer q.Close()
	for _, family := range b.Families {
		one := b.Table.Only(family)
		for _, name := range []string{streams.Matching, streams.Zipf} {
			if name == streams.Zipf && set.Count(family) > manyRules {
				continue
			}
			s, err := b.stream(name, family, &one)
			if err != nil {
				return err
			}
			if err := b.beside(ctx, k, q, f.Snapshot(), set, s.First(kernelQueries)); err != nil {
				return err
			}
		}
	}
	return nil
}

// beside measures the kernel's ways and ours on one stream.
func (b *Bench) beside(ctx context.Context, k *kernel.Kernel, q *ksync.Querier, snap *fib.Snapshot, set *rulesets.Set, s *streams.Stream) error {
	engine := b.underFIB()
	b.progress("asking the kernel with rules " + set.Name)
	flows := make([]fib.Flow, min(compared, s.Len()))
	for i := range flows {
		flows[i].Dst = s.Addr(i)
	}
	// With many rules each answer takes the kernel long: as many as there is time for.
	begin, some := time.Now(), flows[:min(64, len(flows))]
	if _, _, err := kernel.Compare(q, snap, some); err != nil {
		return err
	}
	if each := time.Since(begin) / time.Duration(len(some)); each*time.Duration(len(flows)) > patience {
		flows = flows[:max(int(patience/each), len(some))]
	}
	differ, first, err := kernel.Compare(q, snap, flows)
	if err != nil {
		return err
	}
	if differ > 0 {
		b.Run.Disagree("%d of %d answers under %s, stream %s %v, are not the kernel's: %s", differ, len(flows), set.Name, s.Name, s.Family, first)
	}
	ours := engines.Resolve("fib-"+engine.Name, snap, set)
	out := make([]uint32, engines.Burst)
	var failed error
	tasks := []*measure.Task{
		{Name: ours.Name, Len: s.Len(), Step: stepFor(&ours, s), Pass: func(from, n int) { ours.Answer(s, from, out[:n]) }},
		{Name: "kernel-netlink", Len: len(flows), Step: 64, Pass: func(from, n int) {
			if err := q.GetBatch(flows[from:from+n], 0, func(int, *ksync.Reply, fib.Errno) {}); err != nil {
				failed = errors.Join(failed, err)
			}
		}},
	}
	if p := b.prober(k, set, s); p != nil {
		defer p.Close()
		tasks = append(tasks, &measure.Task{Name: "kernel-bpf", Len: s.Len(), Step: kernel.Step, Timed: func(_, n int) time.Duration {
			took, err := p.Run(n)
			failed = errors.Join(failed, err)
			return took
		}})
	}
	for _, form := range engines.ResolveRefs("fib-"+engine.Name, snap, set) {
		tasks = append(tasks, &measure.Task{Name: form.Name, Len: s.Len(), Step: stepFor(form, s), Pass: func(from, n int) { form.Answer(s, from, out[:n]) }})
	}
	spreads, err := b.alternate(ctx, fmt.Sprintf("kernel %s %s %v", set.Name, s.Name, s.Family), tasks)
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	for i, v := range spreads {
		fig := b.figure("kernel", tasks[i].Name, s.Family, &b.Table, results.NsLookup, v)
		fig.Stream, fig.RuleSet, fig.Rules = s.Name, set.Name, set.Count(s.Family)
		b.Run.Add(fig)
	}
	return nil
}

// prober makes one whose answers are those of the table; nil, with the reason noted,
// if there is none.
func (b *Bench) prober(k *kernel.Kernel, set *rulesets.Set, s *streams.Stream) *kernel.Prober {
	p, err := k.NewProber(s)
	if err != nil {
		b.Run.Skip("bpf_fib_lookup", err.Error())
		return nil
	}
	if b.Run.Settings.Core >= 0 {
		if err := p.Pin(b.Run.Settings.Core); err != nil {
			b.Run.Skip("pinning the kernel's thread", err.Error())
		}
	}
	if set.Count(s.Family) > manyRules {
		return p // its answers were compared with fewer rules
	}
	got, err := p.Answers(s.Family)
	if err != nil {
		b.Run.Skip("answers of bpf_fib_lookup", err.Error())
		return p
	}
	one := b.Table.Only(s.Family)
	bare := engines.FillWith(engines.Default(), b.family(&one, s.Family))
	for i, a := range got {
		if want := bare.Scalar.One(s, i); want != a {
			b.Run.Disagree("bpf_fib_lookup leads %v to next hop %d, not %d, under %s", s.Addr(i), int32(a), int32(want), set.Name)
			break
		}
	}
	return p
}
