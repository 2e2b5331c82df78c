package report

import (
	"fmt"
	"slices"

	"github.com/fibula-net/fibula/bench/goals"
	"github.com/fibula-net/fibula/bench/results"
	"github.com/fibula-net/fibula/bench/streams"
)

// Plot is one drawing.
type Plot struct {
	Name  string // of the file
	Title string
	Note  string // how to read it
	SVG   string
}

// Plots draws what a run has figures for.
func Plots(r *results.Run) ([]Plot, error) {
	var all []Plot
	var failed error
	add := func(p Plot, svg string, err error) {
		if err != nil && failed == nil {
			failed = fmt.Errorf("plot %s: %w", p.Name, err)
		}
		if p.SVG = svg; svg != "" {
			all = append(all, p)
		}
	}
	names := map[string]string{"inet": "IPv4", "inet6": "IPv6"}
	for _, family := range []string{"inet", "inet6"} {
		svg, err := bars(of(r, "lookup", family, ""), "million lookups per second", byStream, rate)
		add(Plot{Name: "throughput-" + family, Title: "Throughput, " + names[family],
			Note: "Longest-prefix match by engine and stream, one core. More is better."}, svg, err)
		svg, err = bars(of(r, "latency", family, ""), "nanoseconds", byStream, asIs)
		add(Plot{Name: "latency-" + family, Title: "Latency, " + names[family],
			Note: "Each query waits for the last answer, as no batch can hide. Less is better."}, svg, err)
		svg, err = lines(ruleLines(r, family), "rules", "nanoseconds for a decision")
		add(Plot{Name: "rules-" + family, Title: "Cost against number of rules, " + names[family],
			Note: "Rules that match nothing stand before the table main. Both axes are logarithmic. Less is better."}, svg, err)
		svg, err = bars(of(r, "peers", family, ""), "million lookups per second", byStream, rate)
		add(Plot{Name: "peers-" + family, Title: "Beside DPDK, " + names[family],
			Note: "The same stream files, in turn, one core. More is better."}, svg, err)
	}
	svg, err := lines(sizeLines(r), "routes", "nanoseconds for a lookup")
	add(Plot{Name: "size", Title: "Cost against size of the table", Note: "Stream matching. Both axes are logarithmic. Less is better."}, svg, err)
	svg, err = lines(updateLines(r), "changes per second", "readers' lookups, percent of idle")
	add(Plot{Name: "updates", Title: "Update rate against reader rate",
		Note: "One reader while one writer commits as fast as the load says. The first axis is logarithmic. Higher and further right is better."}, svg, err)
	svg, err = bars(memory(r), "bytes per route", byFamily, asIs)
	add(Plot{Name: "memory", Title: "Memory", Note: "Of the filled table, per route. Less is better."}, svg, err)
	return all, failed
}

func of(r *results.Run, suite, family, unit string) (some []results.Figure) {
	for _, f := range r.Figures {
		if f.Suite == suite && (family == "" || f.Family == family) && (unit == "" || f.Unit == unit) {
			some = append(some, f)
		}
	}
	return some
}

func memory(r *results.Run) []results.Figure {
	return slices.DeleteFunc(of(r, "memory", "", results.BytesEach), func(f results.Figure) bool { return f.Family == "routes" })
}

func byStream(f *results.Figure) string { return f.Stream }
func byFamily(f *results.Figure) string { return f.Family }

// line is one curve.
type line struct {
	name   string
	points []point
	logY   bool
}

type point struct {
	x      float64
	figure results.Figure
}

// curves sorts points into lines, in the order in which they come.
type curves []line

func (c *curves) add(name string, x float64, f results.Figure, logY bool) {
	i := slices.IndexFunc(*c, func(l line) bool { return l.name == name })
	if i < 0 {
		i = len(*c)
		*c = append(*c, line{name: name, logY: logY})
	}
	(*c)[i].points = append((*c)[i].points, point{x, f})
}

// ruleLines have the sets that differ in the number of their rules alone. The first
// has none, which a logarithm cannot show: it stands at one.
func ruleLines(r *results.Run, family string) curves {
	var c curves
	for _, f := range slices.Concat(of(r, "rules", family, ""), of(r, "kernel", family, results.NsLookup)) {
		var n int
		if _, err := fmt.Sscanf(f.RuleSet, "miss-%d", &n); err != nil && f.RuleSet != "none" {
			continue
		}
		if f.Suite == "kernel" && f.Engine != goals.KernelBPF || f.Suite == "rules" && f.Stream != streams.Matching {
			continue
		}
		c.add(f.Engine, float64(max(n, 1)), f, true)
	}
	return c
}

func sizeLines(r *results.Run) curves {
	var c curves
	for _, f := range of(r, "size", "", "") {
		c.add(f.Engine, float64(f.Routes), f, true)
	}
	return c
}

func updateLines(r *results.Run) curves {
	var c curves
	for _, f := range of(r, "update", "", results.Percent) {
		for _, u := range of(r, "update", "", results.PerSecond) {
			if u.Engine == f.Engine && u.Load == f.Load && u.Value.Median > 0 {
				c.add(f.Engine+" "+f.Load, u.Value.Median, f, false)
			}
		}
	}
	return c
}
