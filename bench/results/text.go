package results

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// titles are the suites in the order of reports.
var titles = []struct{ suite, title string }{
	{"lookup", "Longest-prefix match, throughput: million lookups per second (± half the range, in percent)"},
	{"latency", "Longest-prefix match, latency: nanoseconds, each query waiting for the last"},
	{"size", "Longest-prefix match by size of the table: million lookups per second, IPv4, stream matching"},
	{"rules", "Whole decisions by rules: nanoseconds"},
	{"kernel", "Beside the kernel: nanoseconds"},
	{"update", "Changes of single routes"},
	{"memory", "Memory: bytes per route"},
	{"build", "Building the table: seconds"},
	{"peers", "Beside DPDK: million lookups per second"},
	{"sync", "Lockstep with a kernel of a million IPv4 routes (± half the range, in percent)"},
}

// WriteText writes tables for people.
func (r *Run) WriteText(w io.Writer) error {
	var b strings.Builder
	r.head(&b)
	for _, t := range titles {
		var some []Figure
		for _, f := range r.Figures {
			if f.Suite == t.suite {
				some = append(some, f)
			}
		}
		if len(some) > 0 {
			fmt.Fprintf(&b, "\n%s\n", t.title)
			writeGrid(&b, Grid(some))
		}
	}
	for _, s := range r.Skips {
		fmt.Fprintf(&b, "\nnot measured: %s: %s", s.What, s.Why)
	}
	for _, s := range r.Wrong {
		fmt.Fprintf(&b, "\nWRONG: %s", s)
	}
	if len(r.Skips)+len(r.Wrong) > 0 {
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Run) head(b *strings.Builder) {
	m, s := &r.Machine, &r.Settings
	fmt.Fprintf(b, "%s, %d cores, %s/%s", m.CPU, m.Cores, m.OS, m.Arch)
	if m.Kernel != "" {
		fmt.Fprintf(b, ", Linux %s", m.Kernel)
	}
	fmt.Fprintf(b, ", %s\n", m.Go)
	where, clock := fmt.Sprintf("core %d", s.Core), "processor time of the thread"
	if s.Core < 0 {
		where = "no core of its own"
	}
	if !s.CPUTime {
		clock = "time of the clock"
	}
	fmt.Fprintf(b, "%s, %s, medians of %d runs of %.3g s in turn, streams of %d queries, seed %d\n", where, clock, s.Runs, s.Each, s.Queries, s.Seed)
	for _, t := range r.Tables {
		fmt.Fprintf(b, "table %s: %d prefixes, %s\n", t.Name, t.Len, t.Origin)
	}
}

// GridOf is figures as rows and columns, see [Figure.Row] and [Figure.Column].
type GridOf struct {
	Columns []string
	Rows    []string
	Cells   map[[2]string]Figure // by row and column
}

// Grid lays figures of one suite out, in the order in which they come.
func Grid(some []Figure) GridOf {
	g := GridOf{Cells: map[[2]string]Figure{}}
	for _, f := range some {
		column := f.Column()
		if !slices.Contains(g.Columns, column) {
			g.Columns = append(g.Columns, column)
		}
		row := f.Row()
		if !slices.Contains(g.Rows, row) {
			g.Rows = append(g.Rows, row)
		}
		g.Cells[[2]string{row, column}] = f
	}
	return g
}

// byRules are the suites whose rows are sets of rules, of which there are many.
func (f *Figure) byRules() bool { return f.Suite == "rules" || f.Suite == "kernel" }

// Row names the row of a figure: its engine, or its set of rules.
func (f *Figure) Row() string {
	switch {
	case f.byRules():
		return f.RuleSet
	case f.Suite == "sync":
		return strings.TrimSpace(f.Load + " " + f.Unit)
	}
	return f.Engine
}

// Column names what a figure was measured on, within its suite.
func (f *Figure) Column() string {
	var parts []string
	add := func(s string) {
		if s != "" {
			parts = append(parts, s)
		}
	}
	switch f.Suite {
	case "size":
		add(Short(f.Routes))
	case "rules", "kernel":
		add(f.Engine)
		add(f.Family)
		add(f.Stream)
	case "sync":
		add(f.Engine)
	case "update":
		add(f.Load)
		add(f.Unit)
	default:
		add(f.Family)
		add(f.Stream)
	}
	return strings.Join(parts, " ")
}

// Short writes a count as people say it.
func Short(n int) string {
	switch {
	case n >= 1_000_000:
		return fmt.Sprintf("%.3gM", float64(n)/1e6)
	case n >= 1000:
		return fmt.Sprintf("%.3gk", float64(n)/1e3)
	}
	return fmt.Sprint(n)
}

// Cell is a figure for people: rates where more is better, else the quantity.
func (f *Figure) Cell() string {
	v := f.Value
	switch {
	case f.Unit == NsLookup && (f.Suite == "lookup" || f.Suite == "size" || f.Suite == "peers"):
		v = v.Inverse(1000)
	case f.Unit == BytesEach:
		return significant(v.Median)
	case f.Unit == Bytes:
		return Short(int(v.Median)) + "B"
	case f.Unit == PerSecond:
		return Short(int(v.Median)) + "/s"
	}
	return fmt.Sprintf("%s ±%.0f", significant(v.Median), v.Percent())
}

// significant writes three digits, never as a power.
func significant(x float64) string {
	switch {
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	case x >= 0.1:
		return fmt.Sprintf("%.2f", x)
	}
	return fmt.Sprintf("%.4f", x)
}

// maxColumns is what fits on a terminal beside the names.
const maxColumns = 8

func writeGrid(b *strings.Builder, g GridOf) {
	for columns := range slices.Chunk(g.Columns, maxColumns) {
		w := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintf(w, "\t%s\t\n", strings.Join(columns, "\t"))
		for _, row := range g.Rows {
			line, any := row, false
			for _, c := range columns {
				cell := "-"
				if f, ok := g.Cells[[2]string{row, c}]; ok {
					cell, any = f.Cell(), true
				}
				line += "\t" + cell
			}
			if any {
				fmt.Fprintln(w, line+"\t")
			}
		}
		_ = w.Flush() // into memory
	}
}
