package main

import (
	"context"
	"fmt"
	"time"

	"github.com/fatih/color"
	"github.com/spf13/cobra"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/daemon"
	"github.com/fibula-net/fibula/ksync"
)

func (a *app) auditCommand() *cobra.Command {
	m := &mirroring{a: a, spoil: a.spoil}
	c := &cobra.Command{
		Use:   "audit",
		Short: "Read a kernel's routing state twice and certify that both agree",
		Long: `Makes a copy of a network namespace as fibula mirror does, then compares everything
in it with the kernel once more, route by route in every field that a dump shows, the
order of routes and legs included, while announced changes are followed. It prints a
certificate: that all is equal, when, and how much there is, with a digest for each
table that is the same wherever the table is the same; or what differs, of both sides.

With --socket a daemon compares the copy from which it answers; what differs it
repairs.

With -4 or -6, --table, --protocol and --dev it compares some of the routes, as
fibula mirror follows them.

It only reads. Exit codes: 0 all is equal; 3 something differs; 4 something kept
changing until the time was over, which is named; else those of fibula get.`,
		Example: `  fibula audit
  fibula -j audit -n blue --table main
  fibula audit --socket /run/fibula/mirror.sock`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if a.socket != "" {
				return a.ask(c.Context(), "audit", nil, nil, a.out, askedOptions{})
			}
			if err := m.prepare("audit"); err != nil {
				return err
			}
			return m.audit(c.Context())
		},
	}
	m.flags(c)
	c.Flags().DurationVar(&m.opt.AuditWithin, "within", 30*time.Second, "end after this `long` even if something keeps changing, and name that")
	a.socketFlag(c)
	return c
}

func (m *mirroring) audit(ctx context.Context) error {
	mirror, err := m.start(ctx)
	if err != nil {
		return err
	}
	defer mirror.Close()
	return m.a.audit(ctx, mirror)
}

// audit has a mirror compare everything, and prints its certificate.
func (a *app) audit(ctx context.Context, mirror daemon.Mirror) error {
	c, err := mirror.Audit(ctx)
	if err != nil {
		return a.liveError(err)
	}
	if a.json {
		err = a.writeJSON(a.certificateJSON(&c))
	} else {
		err = a.write(a.certificate(&c))
	}
	switch {
	case err == nil && c.Differing > 0:
		err = &exitError{code: exitDisagree}
	case err == nil && c.Uncertain > 0:
		err = &exitError{code: exitUnstable}
	}
	return err
}

func (a *app) certificate(c *ksync.Certificate) []byte {
	good, bad, names := a.paint(color.FgGreen), a.paint(color.FgRed), a.namesOnce()
	var b []byte
	say := func(format string, args ...any) { b = fmt.Appendf(b, format+"\n", args...) }
	size := fmt.Sprintf("%s routes in %d tables, %s rules, %s nexthops, %s links, %s addresses", number(c.Routes), len(c.Tables),
		number(c.Rules), number(c.Nexthops), number(c.Links), number(c.Addresses))
	verdict := good("equal")
	switch {
	case c.Differing > 0:
		verdict = bad(number(c.Differing) + " differ")
	case c.Uncertain > 0:
		verdict = bad(number(c.Uncertain) + " uncertain, the rest equal")
	}
	say("%s at generation %d, %s, in %v: %s", verdict, c.Generation, c.Time.UTC().Format(time.RFC3339), c.Took.Round(time.Microsecond), size)
	for _, t := range c.Tables {
		say("%-6v %-12s %12s routes %v", t.Family, names.TableName(uint32(t.Table)), number(t.Routes), t.Sum)
	}
	for _, d := range c.Differences {
		say("table %s %v", names.TableName(uint32(d.Table)), d.Dst)
		for _, x := range []struct {
			who    string
			routes []fib.Route
		}{{"fibula", d.Ours}, {"kernel", d.Theirs}} {
			for i := range x.routes {
				say("  %s: %s", x.who, shownRoute(&x.routes[i]))
			}
			if len(x.routes) == 0 {
				say("  %s: no route", x.who)
			}
		}
	}
	for _, d := range c.Objects {
		say("%s\n  fibula: %s\n  kernel: %s", d.Object, d.Ours, d.Theirs)
	}
	for _, o := range c.Open {
		say("uncertain: %v", o)
	}
	if more := c.Differing - len(c.Differences) - len(c.Objects); more > 0 {
		say("%s more are not shown", number(more))
	}
	return b
}

// shownRoute is a route with what its short form leaves out.
func shownRoute(r *fib.Route) string {
	s := fmt.Sprintf("%v proto %v scope %v", r, r.Protocol, r.Scope)
	if r.PrefSrc.IsValid() {
		s += fmt.Sprintf(" src %v", r.PrefSrc)
	}
	if !r.Metrics.IsZero() {
		s += fmt.Sprintf(" metrics %v", r.Metrics)
	}
	for i := range r.Nexthops {
		if f := r.Nexthops[i].Flags; f != 0 {
			s += fmt.Sprintf(" leg %d flags %#x", i, uint8(f))
		}
	}
	return s
}

// certificateJSON is a certificate as JSON has it.
func (a *app) certificateJSON(c *ksync.Certificate) any {
	type table struct {
		Family string `json:"family"`
		Table  string `json:"table"`
		Routes int    `json:"routes"`
		Digest string `json:"digest"`
	}
	type difference struct {
		Table  string   `json:"table,omitempty"`
		Prefix string   `json:"prefix,omitempty"`
		Object string   `json:"object,omitempty"`
		Ours   []string `json:"ours"`
		Kernel []string `json:"kernel"`
	}
	out := struct {
		Equal       bool         `json:"equal"`
		Generation  uint64       `json:"generation"`
		Time        time.Time    `json:"time"`
		TookMicros  int64        `json:"took_us"`
		Routes      int          `json:"routes"`
		Rules       int          `json:"rules"`
		Nexthops    int          `json:"nexthops"`
		Links       int          `json:"links"`
		Addresses   int          `json:"addresses"`
		Differing   int          `json:"differing"`
		Tables      []table      `json:"tables"`
		Differences []difference `json:"differences"`
		Uncertain   int          `json:"uncertain"`
		Open        []string     `json:"open"`
	}{c.Equal(), c.Generation, c.Time.UTC(), c.Took.Microseconds(), c.Routes, c.Rules, c.Nexthops, c.Links, c.Addresses, c.Differing, []table{}, []difference{}, c.Uncertain, []string{}}
	names := a.namesOnce()
	for _, t := range c.Tables {
		out.Tables = append(out.Tables, table{t.Family.String(), names.TableName(uint32(t.Table)), t.Routes, t.Sum.String()})
	}
	texts := func(routes []fib.Route) []string {
		list := []string{}
		for i := range routes {
			list = append(list, shownRoute(&routes[i]))
		}
		return list
	}
	text := func(s string) []string {
		if s == "" {
			return []string{}
		}
		return []string{s}
	}
	for _, d := range c.Differences {
		out.Differences = append(out.Differences, difference{Table: names.TableName(uint32(d.Table)), Prefix: d.Dst.String(), Ours: texts(d.Ours), Kernel: texts(d.Theirs)})
	}
	for _, o := range c.Open {
		out.Open = append(out.Open, o.String())
	}
	for _, d := range c.Objects {
		out.Differences = append(out.Differences, difference{Object: d.Object, Ours: text(d.Ours), Kernel: text(d.Theirs)})
	}
	return out
}
