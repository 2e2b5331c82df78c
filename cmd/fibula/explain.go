package main

import (
	"context"

	"github.com/fatih/color"
	"github.com/spf13/cobra"

	"github.com/fibula-net/fibula/iproute"
)

func (a *app) explainCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "explain [flags] WORDS…",
		Short: "Tell step by step where a flow goes and why",
		Long: `Tells the story of an answer: each rule visited and the selector that did not fit,
the tables, the prefixes and routes tried and why they were passed over, the leg,
the source address, the answer.

` + queryHelp + `

With -j each step has stable codes in kind and reason.

Exit codes are those of fibula get.`,
		Example: `  fibula explain 192.0.2.1 from 10.0.0.7 iif lan0
  fibula explain -n blue 2001:db8::1 mark 0x7
  fibula explain -j --state router.json 192.0.2.1`,
		ValidArgsFunction: a.completeQuery,
		RunE: func(c *cobra.Command, args []string) error {
			if a.socket != "" {
				return a.ask(c.Context(), "explain", args, nil, a.out, askedOptions{})
			}
			return a.explain(c.Context(), args)
		},
	}
	a.socketFlag(c)
	return c
}

func (a *app) explain(ctx context.Context, words []string) error {
	q, s, p, f, err := a.question(ctx, words)
	if err != nil {
		return err
	}
	e := s.Explain(f)
	x := a.explainer(p)
	var out []byte
	if a.json {
		out = a.indentLine(x.AppendJSON(nil, &q, &e))
	} else {
		out = x.AppendText(nil, &q, &e)
	}
	if err := a.write(out); err != nil {
		return err
	}
	if e.Decision.Errno != 0 {
		return &exitError{code: iproute.ExitRefused}
	}
	return nil
}

func (a *app) explainer(p *iproute.Printer) *iproute.Explainer {
	return &iproute.Explainer{Printer: p, Style: iproute.Style{
		Taken:  a.paint(color.FgGreen),
		Passed: a.paint(color.Faint),
		Error:  a.paint(color.FgRed),
		Title:  a.paint(color.Bold),
	}}
}
