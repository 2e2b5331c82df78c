package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/iproute"
)

var queryHelp = `The words are those of "ip route get":

` + wrapUsage(iproute.GetUsage) + `

Options may stand anywhere. The user is the caller, or with --state root, unless
the words give a uid.`

func (a *app) getCommand() *cobra.Command {
	var batch string
	c := &cobra.Command{
		Use:   "get [flags] WORDS…",
		Short: `Answer as "ip route get" does`,
		Long: `Prints where a flow goes: the text, the JSON keys and the exit codes of
"ip route get". With -j there are more keys: prefix, rule, scope, tos, metric,
protocol, nhid, type; and where nothing answers, an object with error and message.

` + queryHelp + `

With --batch each line of a file is one query, and the answers come in order. A
line that cannot be asked or has no way gives an error, and the next line follows.

Exit codes: 0 answered; 1 wrong address or link, or lines of a batch failed;
2 refused as by the kernel, such as "Network is unreachable"; 255 wrong word.`,
		Example: `  fibula get 192.0.2.1
  fibula get 192.0.2.1 from 10.0.0.7 iif lan0 mark 0x7 ipproto tcp dport 443
  fibula get -j fibmatch 2001:db8::1
  fibula get --state router.json -j --batch flows.txt`,
		ValidArgsFunction: a.completeQuery,
		Args: func(_ *cobra.Command, args []string) error {
			if batch != "" && len(args) > 0 {
				return fmt.Errorf("words (%q …) and --batch exclude each other", args[0])
			}
			if batch == "-" && a.state == "-" {
				return errors.New("--batch - and --state - exclude each other: standard input can be one of them")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if batch != "" {
				return a.getBatch(c.Context(), batch)
			}
			if a.socket != "" {
				return a.ask(c.Context(), "get", args, nil, a.out, askedOptions{})
			}
			return a.get(c.Context(), args)
		},
	}
	a.socketFlag(c)
	c.Flags().StringVarP(&batch, "batch", "b", "", "read queries from this `file`, one a line; - is standard input")
	return c
}

// question reads the words of one query, loads what answers it, and finds its flow. The
// printer is there with an error too.
func (a *app) question(ctx context.Context, words []string) (q iproute.Query, s *fib.Snapshot, p *iproute.Printer, f fib.Flow, err error) {
	names := a.names()
	p = &iproute.Printer{JSON: a.json}
	if q, err = iproute.ParseGet(words, a.env(names)); err != nil {
		return
	}
	a.warnQuery(&q)
	if s, err = a.load(ctx); err != nil {
		return
	}
	p = a.printer(names, s)
	f, err = q.Flow(s)
	return
}

// get answers one query.
func (a *app) get(ctx context.Context, words []string) error {
	q, s, p, f, err := a.question(ctx, words)
	if err != nil {
		return err
	}
	ans := q.Answer(s, &f, a.json)
	if ans.Errno != 0 {
		fmt.Fprintln(a.errs, iproute.Answers(ans.Errno))
		if a.json {
			if err := a.write(a.indentLine(p.AppendAnswer(nil, &ans))); err != nil {
				return err
			}
		}
		return &exitError{code: iproute.ExitRefused}
	}
	out := p.AppendReplyOf(nil, &ans)
	if q.Connected && !q.From.IsValid() {
		out = p.AppendReplyOf(out, &ans)
	}
	if err := a.write(out); err != nil {
		return err
	}
	if ans.Decision.Undetermined != 0 && !a.json {
		fmt.Fprintln(a.errs, "fibula: not certain: the answer depends on what the kernel does not show; fibula explain says on what")
	}
	return nil
}

func (a *app) indentLine(b []byte) []byte {
	if !a.pretty {
		return b
	}
	return append(a.indent(b), '\n')
}

func (a *app) warnQuery(q *iproute.Query) {
	if w := q.Warning(); w != "" {
		fmt.Fprintln(a.errs, w)
	}
}
