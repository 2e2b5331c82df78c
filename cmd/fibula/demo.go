package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/fatih/color"
	"github.com/spf13/cobra"

	"github.com/fibula-net/fibula/bench"
	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/iproute"
)

// measureFlows is on how many different flows a rate is measured: more than fit
// into caches.
const measureFlows = 1 << 17

// demoReport is what the demo found, and what it prints with -j.
type demoReport struct {
	Kernel    string       `json:"kernel,omitempty"`
	Table     string       `json:"table,omitempty"` // origin of the full table
	Routes    int          `json:"routes"`
	Installed float64      `json:"installed_seconds,omitempty"`
	Load      []loadReport `json:"load"`
	Flows     int          `json:"flows"`
	Seed      uint64       `json:"seed"`
	Agree     []agreement  `json:"agree"`
	Outcomes  []outcome    `json:"outcomes"`
	PerSecond []rate       `json:"per_second"`
	Skipped   []string     `json:"skipped,omitempty"`
}

type loadReport struct {
	Engine        string  `json:"engine"`
	Seconds       float64 `json:"seconds"`
	RoutesPerSec  float64 `json:"routes_per_second"`
	BytesPerRoute float64 `json:"heap_bytes_per_route,omitempty"`
}

// agreement counts answers that were the same from two sides.
type agreement struct {
	Sides    string `json:"sides"`
	Compared int    `json:"compared"`
	Agree    int    `json:"agree"`
}

type outcome struct {
	Answer string `json:"answer"`
	Flows  int    `json:"flows"`
}

type rate struct {
	Of        string  `json:"of"`
	PerSecond float64 `json:"per_second"`
}

// demo is one run.
type demo struct {
	a       *app
	names   *iproute.Names
	nflows  int
	measure time.Duration // each rate
	printed int
	report  demoReport
}

func (a *app) demoCommand() *cobra.Command {
	var flows int
	var seed uint64
	var measure time.Duration
	c := &cobra.Command{
		Use:   "demo",
		Short: "A million routes in a throw-away network namespace, compared with the kernel",
		Long: `Sets up a router with two uplinks and policy rules in a network namespace of its
own, puts the internet's routing table into it, loads it, and compares fibula's
answers (with each engine) with the kernel's, field by field. Then it measures
answers per second and explains one flow. Needs Linux, root and iproute2; takes
less than a minute and about a gigabyte of memory. The namespace has no name and
ends with the command, however that ends.

With --state it needs no root: it answers from the file and compares the engines
with each other.

Exit codes: 0 all agree; 3 some answers differ, which are printed.`,
		Example: `  fibula demo
  fibula demo --flows 100000 --seed 7
  fibula demo --state router.json
  fibula demo -j`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if flows < 1 || flows > 10_000_000 {
				return fmt.Errorf("--flows %d: give a number from 1 to 10000000", flows)
			}
			if a.netns != "" || a.pid != 0 {
				return fmt.Errorf("demo makes a network namespace of its own: leave out -n and --pid, or use --state")
			}
			d := &demo{a: a, names: a.names(), nflows: flows, measure: measure, report: demoReport{Flows: flows, Seed: seed}}
			return d.run(c.Context())
		},
	}
	c.Flags().IntVar(&flows, "flows", 10_000, "compare this `many` flows")
	c.Flags().DurationVar(&measure, "measure", 2*time.Second, "measure each rate for this `long`")
	c.Flags().Uint64Var(&seed, "seed", 1, "`seed` of the random flows")
	return c
}

func (d *demo) run(ctx context.Context) error {
	var err error
	if d.a.state != "" {
		err = d.offline(ctx)
	} else {
		err = d.live(ctx)
	}
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if d.a.json {
		if err := d.a.writeJSON(&d.report); err != nil {
			return err
		}
	}
	for _, g := range d.report.Agree {
		if g.Agree != g.Compared {
			return &exitError{code: exitDisagree}
		}
	}
	return nil
}

// offline answers from a state file.
func (d *demo) offline(ctx context.Context) error {
	d.title("A state file: %s", d.a.state)
	d.skip("the kernel's answers and the million routes: both need a network namespace (run fibula demo as root)")
	st, err := d.a.open(d.a.state)
	if err != nil {
		return err
	}
	d.report.Routes = len(st.Routes)
	d.title("Load")
	var snaps []*fib.Snapshot
	for _, e := range engines {
		begin := time.Now()
		s, err := loadState(st, fib.Config{Engine: e})
		if err != nil {
			return err
		}
		d.loaded(e.Name(), time.Since(begin), 0)
		snaps = append(snaps, s)
	}
	d.say("  %s routes, %d IPv4 and %d IPv6 rules", number(len(st.Routes)), len(snaps[0].Rules(fib.Inet)), len(snaps[0].Rules(fib.Inet6)))

	flows := bench.Flows(snaps[0], d.nflows, d.report.Seed)
	d.title("%s flows", number(len(flows)))
	if err := d.compareEngines(ctx, snaps, flows); err != nil {
		return err
	}
	d.outcomes(snaps[0], flows)
	d.title("Answers per second, on one core")
	many := bench.Flows(snaps[0], measureFlows, d.report.Seed+1)
	d.measureEngines(snaps, many)
	return d.explainOne(snaps[0], d.interesting(snaps[0], flows))
}

// compareEngines compares the engines with each other, and the fast walk with the
// reference walk.
func (d *demo) compareEngines(ctx context.Context, snaps []*fib.Snapshot, flows []fib.Flow) error {
	names := engineNames()
	all := agreement{Sides: strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]}
	walks := agreement{Sides: "get and explain"}
	for i, f := range flows {
		if i%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		a, e := snaps[0].Resolve(f), snaps[0].Explain(f).Decision
		all.Compared++
		walks.Compared++
		alike := true
		for i, s := range snaps[1:] {
			if b := s.Resolve(f); a != b {
				alike = false
				d.disagree(snaps[0], f, fmt.Sprintf("%s %+v", names[0], a), fmt.Sprintf("%s %+v", names[i+1], b))
			}
		}
		if alike {
			all.Agree++
		}
		if a == e {
			walks.Agree++
		} else {
			d.disagree(snaps[0], f, fmt.Sprintf("get %+v", a), fmt.Sprintf("explain %+v", e))
		}
	}
	d.agreed(all)
	d.agreed(walks)
	return nil
}

// outcomes counts how the flows end.
func (d *demo) outcomes(s *fib.Snapshot, flows []fib.Flow) {
	counts := map[string]int{}
	for _, f := range flows {
		r := s.Resolve(f)
		if r.Errno != 0 {
			counts[r.Errno.Name()]++
		} else {
			counts[r.Type.String()]++
		}
	}
	for k, n := range counts {
		d.report.Outcomes = append(d.report.Outcomes, outcome{k, n})
	}
	slices.SortFunc(d.report.Outcomes, func(x, y outcome) int {
		if x.Flows != y.Flows {
			return y.Flows - x.Flows
		}
		return strings.Compare(x.Answer, y.Answer)
	})
	line := "  outcomes:"
	for i, o := range d.report.Outcomes {
		if i > 0 {
			line += ","
		}
		line += fmt.Sprintf(" %s %s", number(o.Flows), o.Answer)
	}
	d.say("%s", line)
}

func (d *demo) measureEngines(snaps []*fib.Snapshot, flows []fib.Flow) {
	for i, name := range engineNames() {
		d.measured(name, bench.PerSecond(flows, d.measure, snaps[i].Resolve))
	}
}

// interesting picks a forwarded or sent flow that has a way, with a long story.
func (d *demo) interesting(s *fib.Snapshot, flows []fib.Flow) iproute.Query {
	best, steps := flows[0], 0
	for _, f := range flows[:min(len(flows), 1000)] {
		e := s.Explain(f)
		if n := len(e.Steps); e.Decision.Errno == 0 && e.Decision.HasRoute && e.Decision.Type == fib.TypeUnicast && n > steps && n < 30 {
			best, steps = f, n
		}
	}
	return queryOf(s, best)
}

// queryOf writes a flow as a query.
func queryOf(s *fib.Snapshot, f fib.Flow) iproute.Query {
	q := iproute.Query{Family: f.Family(), Dst: f.Dst, Mark: f.Mark, TOS: f.TOS, UID: f.UID, HasUID: f.UID != 0 || f.UIDSet,
		IPProto: f.IPProto, HasIPProto: f.IPProto != 0, Sport: f.Sport, Dport: f.Dport, FlowLabel: f.FlowLabel, Cut: -1}
	if f.Src.IsValid() {
		q.From = netip.PrefixFrom(f.Src, f.Src.BitLen())
	}
	name := func(index int32) string {
		l, ok := s.Link(index)
		if !ok && index != 0 {
			return fmt.Sprintf("if%d", index) // as ip names what it does not know
		}
		return l.Name
	}
	q.Iif, q.Oif = name(f.Iif), name(f.Oif)
	return q
}

func (d *demo) explainOne(s *fib.Snapshot, q iproute.Query) error {
	f, err := q.Flow(s)
	if err != nil {
		return fmt.Errorf("the flow to explain: %w", err)
	}
	d.title("One of them explained: fibula explain %v", q)
	if d.a.json {
		return nil
	}
	e := s.Explain(f)
	p := d.a.printer(d.names, s)
	return d.a.write(d.a.explainer(p).AppendText(nil, &q, &e))
}

// The demo's voice. With -j only the report is printed.

func (d *demo) say(format string, args ...any) {
	if !d.a.json {
		_ = d.a.write(fmt.Appendf(nil, format+"\n", args...)) // the last write tells of a broken pipe
	}
}

func (d *demo) title(format string, args ...any) {
	d.say("\n%s", d.a.paint(color.Bold)(fmt.Sprintf(format, args...)))
}

func (d *demo) skip(why string) {
	d.report.Skipped = append(d.report.Skipped, why)
	d.say("  %s %s", d.a.paint(color.FgYellow)("skipped:"), why)
}

func (d *demo) loaded(engine string, took time.Duration, bytesPerRoute float64) {
	l := loadReport{Engine: engine, Seconds: took.Seconds(), RoutesPerSec: float64(d.report.Routes) / took.Seconds(), BytesPerRoute: bytesPerRoute}
	d.report.Load = append(d.report.Load, l)
	if took < 100*time.Millisecond { // a rate over so few routes says nothing
		d.say("  %-9s %6.2f ms", engine, 1e3*l.Seconds)
		return
	}
	heap := ""
	if bytesPerRoute > 0 {
		heap = fmt.Sprintf(", %.0f bytes of heap per route", bytesPerRoute)
	}
	d.say("  %-9s %6.2f s, %s routes/s%s", engine, l.Seconds, number(int(l.RoutesPerSec)), heap)
}

func (d *demo) agreed(g agreement) {
	d.report.Agree = append(d.report.Agree, g)
	paint := d.a.paint(color.FgGreen)
	if g.Agree != g.Compared {
		paint = d.a.paint(color.FgRed)
	}
	d.say("  %-34s %s", g.Sides, paint(fmt.Sprintf("%s of %s agree", number(g.Agree), number(g.Compared))))
}

// maxPrinted bounds the differences that are printed.
const maxPrinted = 20

// disagree prints a difference on standard error.
func (d *demo) disagree(s *fib.Snapshot, f fib.Flow, sides ...string) {
	if d.printed++; d.printed > maxPrinted {
		if d.printed == maxPrinted+1 {
			fmt.Fprintln(d.a.errs, "differ: more, not printed")
		}
		return
	}
	fmt.Fprintf(d.a.errs, "differ: %v\n", queryOf(s, f))
	for _, side := range sides {
		fmt.Fprintf(d.a.errs, "  %s\n", side)
	}
}

func (d *demo) measured(what string, perSecond float64) {
	d.report.PerSecond = append(d.report.PerSecond, rate{what, perSecond})
	d.say("  %-34s %10s", what, number(int(perSecond)))
}

// number writes n with a comma between thousands.
func number(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
