package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/fatih/color"
	"github.com/spf13/cobra"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/ksync"
)

// verification is one run of verify.
type verification struct {
	a      *app
	opt    ksync.VerifyOptions
	report string // file
	took   time.Duration
}

func (a *app) verifyCommand() *cobra.Command {
	v := &verification{a: a}
	c := &cobra.Command{
		Use:   "verify",
		Short: "Compare answers with the kernel's, and show what differs",
		Long: `Loads a live network namespace, makes flows that aim at the boundaries of what it
holds (the edges of every prefix, each selector of every rule on and one off, every
link as iif and oif, the addresses that are special), and compares fibula's answer
to each with the kernel's in every field, plain and with fibmatch. It only reads.

What differs is asked again after a fresh load, in a moment in which nothing
changes. What still differs is shown, each cause once, with the least configuration
and query that show it, as commands of ip to be pasted. These are found by trying in
network namespaces of its own, which needs root.

The same seed and namespace give the same flows.

Exit codes: 0 all agree; 3 some answers differ; 4 the namespace changed all the
time, so nothing is proven; else those of fibula get.`,
		Example: `  fibula verify
  fibula verify -n blue --flows 1000000 --seed 7
  fibula verify --pid 4711 --report verify.json
  fibula verify -j -6`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if v.opt.Flows < 1 || v.opt.Flows > 1_000_000_000 {
				return fmt.Errorf("--flows %d: give a number from 1 to 1000000000", v.opt.Flows)
			}
			if a.state != "" {
				return errors.New("verify asks a kernel, which a file does not have: leave out --state")
			}
			if !c.Flags().Changed("seed") {
				v.opt.Seed = rand.Uint64()
			}
			return v.run(c.Context())
		},
	}
	c.Flags().IntVar(&v.opt.Flows, "flows", 100_000, "compare this `many` flows")
	c.Flags().Uint64Var(&v.opt.Seed, "seed", 0, "`seed` of the flows (default a new one, which is printed)")
	c.Flags().BoolVar(&v.opt.NoShrink, "no-shrink", false, "look for no reproductions")
	c.Flags().StringVar(&v.report, "report", "", "write everything to this `file`, as JSON")
	return c
}

func (v *verification) run(ctx context.Context) error {
	a := v.a
	v.opt.NetNS, v.opt.Config, v.opt.Alter = a.namespace(), a.fibConfig(), a.alter
	switch {
	case a.inet:
		v.opt.Family = fib.Inet
	case a.inet6:
		v.opt.Family = fib.Inet6
	}
	p := a.startProgress()
	v.opt.Progress = p.show
	begin := time.Now()
	r, err := ksync.Verify(ctx, v.opt)
	v.took = time.Since(begin)
	p.end()
	a.warnUnmodelled(&r.Unmodelled)
	if err != nil {
		err = a.liveError(err)
		if errors.Is(err, ksync.ErrUnstable) {
			err = &exitError{exitUnstable, err}
		}
		return err
	}
	if err := v.tell(&r); err != nil {
		return err
	}
	if r.Differ > 0 {
		return &exitError{code: exitDisagree}
	}
	return nil
}

// tell writes what was found, to standard output and to the report.
func (v *verification) tell(r *ksync.VerifyReport) error {
	if v.report != "" || v.a.json {
		out, err := v.a.verifyJSON(r)
		if err != nil {
			return err
		}
		if v.report != "" {
			err := replaceFile(v.report, func(w io.Writer) error {
				_, err := w.Write(append(indented(out), '\n'))
				return err
			})
			if err != nil {
				return fmt.Errorf("verify: report: %w", err)
			}
		}
		if v.a.json {
			return v.a.write(append(v.a.indent(out), '\n'))
		}
	}
	return v.a.write(v.text(r))
}

var directions = map[string]string{"output": "out", "input": "in"}

func (v *verification) text(r *ksync.VerifyReport) []byte {
	a := v.a
	bold, good, bad := a.paint(color.Bold), a.paint(color.FgGreen), a.paint(color.FgRed)
	var b []byte
	say := func(format string, args ...any) { b = fmt.Appendf(b, format+"\n", args...) }
	say("%s", bold(fmt.Sprintf("Linux %s, %v, seed %d", r.Kernel, v.opt.NetNS, r.Seed)))
	say("%s flows, each asked twice (plain, fibmatch), %s flows/s", number(r.Flows), number(int(float64(r.Flows)/r.Compared.Seconds())))
	say("%-6s %-4s %-14s %12s %14s %8s", "", "", "", "flows", "undetermined", "differ")
	for _, row := range r.Rows {
		say("%-6s %-4s %-14s %12s %14s %8s", row.Family, directions[row.Direction], row.Outcome, number(row.Flows), number(row.Unknown), number(row.Differ))
	}
	if r.Reloads > 0 {
		say("the namespace changed meanwhile and was loaded again %d times", r.Reloads)
	}
	say("%s", good(number(r.Agree)+" agree"))
	for _, n := range []struct {
		n   int
		why string
	}{
		{r.Unknown, "undetermined: the answer depends on what no kernel shows"},
		{r.History, "undetermined: the reply is from an entry that several routes share, as an earlier query left it"},
		{r.Unanswered, "not answered: IPv6 multicast input, which the kernel leaves to multicast routing"},
	} {
		if n.n > 0 {
			say("%s %s", number(n.n), n.why)
		}
	}
	if r.Differ == 0 {
		return b
	}
	say("%s", bad(number(r.Differ)+" differ"))
	for i := range r.Groups {
		b = a.disagreement(b, &r.Groups[i])
	}
	if r.MoreGroups > 0 {
		say("\n%d more causes are not shown", r.MoreGroups)
	}
	return b
}
