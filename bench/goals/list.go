package goals

import (
	"fmt"

	"github.com/fibula-net/fibula/bench/engines"
	"github.com/fibula-net/fibula/bench/measure"
	"github.com/fibula-net/fibula/bench/results"
	"github.com/fibula-net/fibula/bench/streams"
)

type fig = results.Figure

// The engines of package peers that goals name.
const (
	DPDKVector  = "rte_fib-2B-avx512"
	DPDKScalar  = "rte_fib-2B-scalar"
	DPDK6Vector = "rte_fib6-4B-avx512"
	Plain       = engines.Plain + "-batch" // in bursts like DPDK's, without assembly
	Batch       = engines.Compiled + "-batch"
)

// all are the goals, in the order of the report. The full real table, one core.
func all() []goal {
	const inet, inet6 = "inet", "inet6"
	var g []goal
	ratio := func(name string, target float64, ours, theirs fig) {
		g = append(g, goal{name, "times the speed", target, false, slowerBy(theirs, ours)})
	}
	limit := func(name string, target float64, ours, other fig) {
		g = append(g, goal{name, "times the time", target, true, slowerBy(ours, other)})
	}
	peer := func(engine, family, stream string) fig {
		return fig{Suite: "peers", Engine: engine, Family: family, Stream: stream}
	}
	for _, s := range []struct {
		stream string
		target float64
	}{{streams.Uniform, 1.5}, {streams.Matching, 1.8}, {streams.Zipf, 1.3}} {
		ratio("IPv4 batch / DPDK rte_fib AVX-512, "+s.stream, s.target, peer(Batch, inet, s.stream), peer(DPDKVector, inet, s.stream))
	}
	for _, s := range streams.Names[:3] {
		ratio("IPv4 plain Go / DPDK rte_fib scalar, "+s, 1, peer(Plain, inet, s), peer(DPDKScalar, inet, s))
	}
	ratio("IPv6 batch / DPDK rte_fib6 AVX-512, matching", 1.5, peer(Batch, inet6, streams.Matching), peer(DPDK6Vector, inet6, streams.Matching))
	ratio("IPv6 batch / DPDK rte_fib6 AVX-512, zipf", 1.2, peer(Batch, inet6, streams.Zipf), peer(DPDK6Vector, inet6, streams.Zipf))
	for _, f := range []struct {
		family, name string
		target       float64
	}{{inet, "IPv4", 15}, {inet6, "IPv6", 8}} {
		for _, s := range []string{streams.Matching, streams.Zipf} {
			ratio(fmt.Sprintf("%s scalar / bart Fast, %s", f.name, s), f.target,
				fig{Suite: "lookup", Engine: engines.Compiled, Family: f.family, Stream: s},
				fig{Suite: "lookup", Engine: "bart-fast", Family: f.family, Stream: s})
		}
	}
	rules := func(engine, set string) fig {
		return fig{Suite: "rules", Engine: engine, RuleSet: set, Family: inet, Stream: streams.Matching}
	}
	// Whole FIBs are measured with the engine that they have today.
	own := engines.Default().Name
	fib := "fib-" + own
	// Decisions in short: each can be made into the whole one.
	refs := fib + engines.RefsSuffix
	limit("Resolve with 10 rules / bare lookup", 2.5, rules(refs, "miss-10"), rules(own, "bare"))
	limit("Resolve in batches with 10 rules / bare lookup in batches", 2, rules(refs+"-batch", "miss-10"), rules(own+"-batch", "bare"))
	limit("Resolve with 10,000 rules / with 10", 2, rules(fib, "miss-10000"), rules(fib, "miss-10"))
	kernel := func(set string) fig { return fig{Suite: "kernel", Engine: KernelBPF, RuleSet: set, Family: inet} }
	decided := func(set string) fig { return fig{Suite: "kernel", Engine: refs + "-batch", RuleSet: set, Family: inet} }
	ratio("Resolve / kernel, 100 rules", 200, decided("miss-100"), kernel("miss-100"))
	ratio("Resolve / kernel, 10,000 rules", 5000, decided("miss-10000"), kernel("miss-10000"))
	whole := func(what string) fig {
		return fig{Suite: "memory", Engine: engines.Compiled, Family: what, Unit: results.Bytes}
	}
	update := func(load, unit string) fig { return fig{Suite: "update", Engine: fib, Load: load, Unit: unit} }
	g = append(g,
		goal{"single-route transactions with readers", "1/s", 300_000, false, take(update(Single, results.PerSecond))},
		goal{"routes changed in bulk with readers", "1/s", 3_000_000, false, take(update(Bulk, results.PerSecond))},
		goal{"readers' throughput beside a writer", "% of idle", 90, false, take(update(Single, results.Percent))},
		goal{"build of the IPv4 table from sorted routes", "s", 0.25, true, take(fig{Suite: "build", Engine: engines.Compiled, Family: inet})},
		goal{"memory that Resolve needs beside the routes", "MB", 64, true, scaled(1e-6, fig{Suite: "memory", Engine: own, Family: "both", Unit: results.Bytes})},
		goal{"memory of the routes", "B/route", 100, true, take(fig{Suite: "memory", Engine: fib, Family: "routes", Unit: results.BytesEach})},
		goal{"memory of 1,000 tables of 100 routes", "MB", 32, true, scaled(1e-6, whole("1000 small tables"))},
		goal{"memory of 64 tables that differ in 1 % / of one", "times", 4, true, slowerBy(whole("64 tables"), whole("1 table"))},
	)
	return g
}

// The engine and loads of other packages that goals name.
const (
	KernelBPF = "kernel-bpf"
	Single    = "single"
	Bulk      = "bulk"
)

func take(f fig) func(*results.Run) (measure.Spread, error) {
	return func(r *results.Run) (measure.Spread, error) {
		got, ok := r.Find(f)
		if !ok {
			return measure.Spread{}, missing(r, f)
		}
		return got.Value, nil
	}
}

func scaled(by float64, f fig) func(*results.Run) (measure.Spread, error) {
	return func(r *results.Run) (measure.Spread, error) {
		v, err := take(f)(r)
		return v.Scaled(by), err
	}
}

// slowerBy is how many times the time of b a takes.
func slowerBy(a, b fig) func(*results.Run) (measure.Spread, error) {
	return func(r *results.Run) (measure.Spread, error) {
		x, err := take(a)(r)
		if err != nil {
			return x, err
		}
		y, err := take(b)(r)
		if err != nil {
			return y, err
		}
		return measure.Ratio(x, y), nil
	}
}

// missing says which part is not there.
func missing(r *results.Run, f fig) error {
	for _, s := range r.Skips {
		if s.What == f.Suite {
			return fmt.Errorf("%s", s.Why)
		}
	}
	if f.Suite == "peers" {
		if _, any := r.Find(fig{Suite: "peers"}); !any {
			return fmt.Errorf("no %s (make bench-peers)", f.Engine)
		}
	}
	if f.Load != "" {
		return fmt.Errorf("no %s of %s in suite %s", f.Load, f.Engine, f.Suite)
	}
	return fmt.Errorf("no %s in suite %s", f.Engine, f.Suite)
}
