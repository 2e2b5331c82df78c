package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fibula-net/fibula/bench/goals"
	"github.com/fibula-net/fibula/bench/report"
	"github.com/fibula-net/fibula/bench/results"
	"github.com/fibula-net/fibula/bench/streams"
	"github.com/fibula-net/fibula/bench/suite"
	"github.com/fibula-net/fibula/bench/tables"
	"github.com/fibula-net/fibula/fib"
)

// benchmark is one run of bench.
type benchmark struct {
	a                             *app
	conf                          suite.Config
	table, format, goals, reports string
	dpdk                          string // the driver
	merge                         bool   // into the goals that were written before
	sync                          bool   // whose goals are others
}

func (a *app) benchCommand() *cobra.Command {
	b := &benchmark{a: a}
	c := &cobra.Command{
		Use:   "bench [SUITE]...",
		Short: "Measure how fast answers are, beside other engines and the kernel",
		Long: `Fills engines with the same routes, asks them the same questions, compares the
checksums of their answers, and measures them in turn: on one core, warmed up, in
processor time, as medians of several runs with their spread.

Suites (the first four where none is named):
  lookup  longest-prefix match on every stream: throughput, latency, memory, build
  rules   whole decisions by set of rules
  update  changes of routes, and readers beside them
  kernel  the same routes and rules in a network namespace of its own (root): every
          answer compared, then speed
  size    longest-prefix match by size of the table
  peers   beside DPDK, with the driver that make bench-peers builds
  sync    a kernel mirrored, exported to and repaired (root), beside raw netlink and
          BIRD and zebra where they are installed; it has goals of its own

The table is the internet's, or with --table another: "real", "synthetic:N4,N6" (so
many prefixes, like the internet's), or a file: a list of prefixes, or an MRT dump,
plain or compressed. With --netns, --pid or --state it has the routes found there.

Streams: uniform (anywhere), matching (inside random prefixes), zipf (64k flows, some
far more frequent), single (one flow), and with --pcap a capture of traffic.

Exit codes: 0 done; 3 answers differed, so that no figure means anything; else those
of fibula get.`,
		Example: `  fibula bench lookup
  fibula bench lookup --engines trie,bart-fast --streams zipf -4
  fibula bench rules --rules miss-10,miss-1000,cni-1000
  fibula bench size --table synthetic:4000000,0 --sizes 100000,1000000,4000000
  fibula bench lookup --table rib.20261101.bz2 --report report
  fibula bench lookup --table synthetic:10000,1000 --format go >new.txt
  fibula bench --goals goals.json
  fibula bench peers --dpdk bin/dpdk-driver --goals goals.json
  fibula bench sync --runs 3 --goals sync-goals.json`,
		ValidArgs: suiteNames,
		Args:      cobra.OnlyValidArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if err := b.check(c); err != nil {
				return err
			}
			return b.run(c.Context(), args)
		},
	}
	f := c.Flags()
	f.StringVar(&b.table, "table", "real", "routes: real, synthetic:N4,N6, or a `file`")
	f.StringSliceVar(&b.conf.Engines, "engines", nil, "`engines` to compare (default all)")
	f.StringSliceVar(&b.conf.Streams, "streams", nil, "`streams` to ask (default all)")
	f.StringVar(&b.conf.Pcap, "pcap", "", "ask for the destinations in this `file` too")
	f.StringSliceVar(&b.conf.RuleSets, "rules", nil, "`sets` of rules: none, wg-quick, multi-uplink, tailscale, miss-N, cni-N (default most)")
	f.IntSliceVar(&b.conf.Sizes, "sizes", nil, "`numbers` of routes for the suite size")
	f.IntVar(&b.conf.Runs, "runs", 5, "measure this `many` times in turn")
	f.DurationVar(&b.conf.Each, "time", 200*time.Millisecond, "measure for this `long` each time")
	f.IntVar(&b.conf.Queries, "queries", streams.Full, "this `many` queries in a stream")
	f.Uint64Var(&b.conf.Seed, "seed", 1, "`seed` of streams and synthetic tables")
	f.IntVar(&b.conf.CPU, "core", -1, "`core` to measure on (default the last)")
	f.StringVar(&b.format, "format", "text", "output: text, json, or go (for benchstat)")
	f.StringVar(&b.goals, "goals", "", "compare with the goals, and write what came out to this `file`; peers alone adds to it")
	f.StringVar(&b.dpdk, "dpdk", "", "the `driver` for the suite peers")
	f.StringVar(&b.reports, "report", "", "write a page with plots into this `directory`")
	for flag, words := range map[string][]string{"engines": suite.EngineNames(), "streams": streams.Names, "format": formats} {
		_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	}
	return c
}

var (
	suiteNames = []string{"lookup", "rules", "update", "kernel", "size", "peers", "sync"}
	formats    = []string{"text", "json", "go"}
)

const maxQueries = 1 << 28

func (b *benchmark) check(c *cobra.Command) error {
	conf := &b.conf
	switch {
	case !slices.Contains(formats, b.format):
		return fmt.Errorf("--format %q: use text, json or go", b.format)
	case conf.Runs < 1 || conf.Runs > 1000:
		return fmt.Errorf("--runs %d: give a number from 1 to 1000", conf.Runs)
	case conf.Each <= 0 || conf.Each > time.Hour:
		return fmt.Errorf("--time %v: give a duration such as 200ms", conf.Each)
	case conf.Queries < 1 || conf.Queries > maxQueries:
		return fmt.Errorf("--queries %d: give a number from 1 to %d", conf.Queries, maxQueries)
	}
	for _, n := range conf.Sizes {
		if n < 1 {
			return fmt.Errorf("--sizes %d: give numbers above 0", n)
		}
	}
	if b.a.json {
		b.format = "json"
	}
	for _, source := range sources {
		if c.Flags().Changed(source) && c.Flags().Changed("table") {
			return fmt.Errorf("--table and --%s: give one of them", source)
		}
		if c.Flags().Changed(source) {
			b.table = ""
		}
	}
	switch {
	case b.a.inet:
		conf.Families = []fib.Family{fib.Inet}
	case b.a.inet6:
		conf.Families = []fib.Family{fib.Inet6}
	}
	return nil
}

// open makes the table.
func (b *benchmark) open(ctx context.Context) (tables.Table, error) {
	sizes, synthetic := strings.CutPrefix(b.table, "synthetic:")
	switch {
	case b.table == "":
		s, err := b.a.load(ctx)
		if err != nil {
			return tables.Table{}, err
		}
		return tables.OfSnapshot("fib", "routes of a FIB", s), nil
	case b.table == "real":
		t, err := tables.Real(ctx)
		if err != nil {
			return t, fmt.Errorf("%w\nit comes with the sources of fibula; else use --table synthetic:900000,160000", err)
		}
		return t, nil
	case synthetic:
		four, six, _ := strings.Cut(sizes, ",")
		n4, err4 := count(four, 4_000_000)
		n6, err6 := count(six, 1_000_000)
		if err := errors.Join(err4, err6); err != nil || n4+n6 == 0 {
			return tables.Table{}, fmt.Errorf("--table %s: give synthetic:N4,N6, at most 4000000 and 1000000", b.table)
		}
		return tables.Synthetic(n4, n6, b.conf.Seed), nil
	}
	return tables.Open(b.table)
}

func count(word string, most int) (int, error) {
	if word == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(word)
	if err == nil && (n < 0 || n > most) {
		err = strconv.ErrRange
	}
	return n, err
}

func (b *benchmark) run(ctx context.Context, suites []string) error {
	p := b.a.startProgress()
	defer p.end()
	p.show("reading the table", 0)
	t, err := b.open(ctx)
	if err != nil {
		return err
	}
	b.conf.Table, b.conf.Progress = t, p.show
	if self, err := os.Executable(); err == nil {
		b.conf.Fibula = []string{self}
	}
	run, err := suite.New(b.conf)
	if err != nil {
		return err
	}
	defer run.Close()
	b.merge, b.sync = slices.Equal(suites, []string{"peers"}), slices.Equal(suites, []string{"sync"})
	if len(suites) == 0 {
		suites = suiteNames[:4]
	}
	for _, name := range suites {
		if err := b.steps(run)[name](ctx); err != nil {
			return fmt.Errorf("bench %s: %w", name, err)
		}
	}
	p.end()
	if err := b.tell(&run.Run); err != nil {
		return err
	}
	if len(run.Run.Wrong) > 0 {
		return &exitError{exitDisagree, fmt.Errorf("%d answers were wrong: %s", len(run.Run.Wrong), run.Run.Wrong[0])}
	}
	return nil
}

func (b *benchmark) steps(run *suite.Bench) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"lookup": run.Lookup, "rules": run.Rules, "size": run.Size, "update": run.Update, "kernel": run.Kernel, "sync": run.Sync,
		"peers": func(ctx context.Context) error { return run.Peers(ctx, b.dpdk) },
	}
}

// tell writes what was measured: to standard output, and to the files asked for.
func (b *benchmark) tell(r *results.Run) error {
	if b.reports != "" {
		if err := report.Write(b.reports, r); err != nil {
			return fmt.Errorf("bench: report: %w", err)
		}
	}
	var out strings.Builder
	var err error
	switch b.format {
	case "json":
		indent := ""
		if b.a.pretty {
			indent = "    "
		}
		err = r.WriteJSON(&out, indent)
	case "go":
		err = r.WriteGo(&out)
	default:
		err = r.WriteText(&out)
	}
	if err == nil && b.goals != "" {
		rows := goals.Rows(r)
		switch {
		case b.sync:
			rows = goals.Sync(r)
		case b.merge:
			rows = goals.Merge(rows, readGoals(b.goals))
		}
		if b.format == "text" {
			out.WriteByte('\n')
			err = goals.WriteText(&out, rows)
		}
		if err == nil {
			err = writeGoals(b.goals, rows)
		}
	}
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	return b.a.write([]byte(out.String()))
}

// readGoals is what an earlier run wrote; nothing if there is none that can be read.
func readGoals(path string) []goals.Row {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	rows, _ := goals.ReadJSON(f)
	return rows
}

func writeGoals(path string, rows []goals.Row) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return replaceFile(path, func(w io.Writer) error { return goals.WriteJSON(w, rows) })
}
