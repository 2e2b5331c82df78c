package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/fatih/color"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/iproute"
)

// Exit codes beside those of ip.
const (
	exitDisagree    = 3   // two answers that must be equal are not
	exitUnstable    = 4   // a namespace changed all the time
	exitInterrupted = 130 // as a shell reports SIGINT
)

// app is one run of the command: where it reads and writes, and its options.
type app struct {
	in        io.Reader
	out, errs io.Writer

	inet, inet6                    bool
	json, pretty, numeric, oneline bool
	netns, state                   string
	pid                            int
	engine, color, socket          string

	started bool // the command line was understood
	wrote   bool // something went to out

	// Of a daemon that answers a client: what it answers from, and who asks.
	snapshot *fib.Snapshot
	uid      *int

	// alter makes the FIB of verify wrong, so that a test sees it noticed.
	alter func(*fib.State)
	// spoil does so to that of audit.
	spoil func(*fib.FIB)
	known *iproute.Names // see namesOnce
}

// exitError is an exit code with an error that is still to be told, if any.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// exit tells an error and returns the exit code for it. With -j an error object is
// the output of a command that has had none.
func (a *app) exit(err error) int {
	if err == nil {
		return iproute.ExitOK
	}
	if told := (*exitError)(nil); a.json && !a.wrote && !(errors.As(err, &told) && told.err == nil) && !errors.Is(err, context.Canceled) {
		p := iproute.Printer{JSON: true}
		_ = a.write(a.indentLine(p.AppendError(nil, err)))
	}
	var (
		told  *exitError
		usage *iproute.UsageError
	)
	switch {
	case !a.started:
		fmt.Fprintf(a.errs, "fibula: %v (see fibula --help)\n", err)
		return iproute.ExitUsage
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(a.errs, "fibula: interrupted")
		return exitInterrupted
	case errors.As(err, &told):
		if told.err != nil {
			a.tell(told.err)
		}
		return told.code
	case errors.As(err, &usage):
		a.tell(err)
		return usage.Exit
	}
	a.tell(err)
	return iproute.ExitInput
}

// tell writes an error to standard error: a kernel's and ip's own messages as ip
// writes them.
func (a *app) tell(err error) {
	var usage *iproute.UsageError
	switch msg := err.Error(); {
	case !errors.As(err, &usage):
		fmt.Fprintln(a.errs, "fibula:", msg)
	case strings.HasPrefix(msg, "RTNETLINK") || strings.HasPrefix(msg, "Cannot"):
		fmt.Fprintln(a.errs, msg)
	default:
		fmt.Fprintln(a.errs, "Error:", msg)
	}
}

func (a *app) warn(warnings []string) {
	for _, w := range warnings {
		fmt.Fprintln(a.errs, "fibula: warning:", w)
	}
}

// write writes data. A reader that went away ends the command.
func (a *app) write(b []byte) error {
	a.wrote = true
	if _, err := a.out.Write(b); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

// writeJSON writes one line of JSON, or with -p several.
func (a *app) writeJSON(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return a.write(append(a.indent(b), '\n'))
}

func (a *app) indent(b []byte) []byte {
	if !a.pretty {
		return b
	}
	return indented(b)
}

// indented puts JSON on several lines.
func indented(b []byte) []byte {
	var out bytes.Buffer
	if json.Indent(&out, bytes.TrimSpace(b), "", "    ") != nil {
		return b
	}
	return out.Bytes()
}

// paint makes a function that colours text, or leaves it if colours are not
// wanted on standard output.
func (a *app) paint(attrs ...color.Attribute) func(string) string {
	c := color.New(attrs...)
	if a.colourful() {
		c.EnableColor()
	} else {
		c.DisableColor()
	}
	return func(s string) string { return c.Sprint(s) }
}

func (a *app) colourful() bool {
	switch a.color {
	case "always":
		return true
	case "never":
		return false
	}
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && isTerminal(a.out)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// env is what queries depend on besides their words.
func (a *app) env(names *iproute.Names) iproute.Env {
	env := iproute.Env{Names: names}
	switch {
	case a.inet6:
		env.Family = fib.Inet6
	case a.inet:
		env.Family = fib.Inet
	}
	// The users of the machine that a file comes from are not ours.
	if uid := a.userID(); a.state == "" && uid > 0 {
		env.UID = uint32(uid)
	}
	return env
}

// userID is whose flows are asked for.
func (a *app) userID() int {
	if a.uid != nil {
		return *a.uid
	}
	return os.Getuid()
}

// names loads iproute2's names of this machine.
func (a *app) names() *iproute.Names {
	names, warnings := iproute.LoadNames(os.DirFS("/"))
	a.warn(warnings)
	names.Numeric = a.numeric
	return names
}

// namesOnce is names without warnings said twice.
func (a *app) namesOnce() *iproute.Names {
	if a.known == nil {
		a.known = a.names()
	}
	return a.known
}

func (a *app) printer(names *iproute.Names, s *fib.Snapshot) *iproute.Printer {
	return &iproute.Printer{Names: names, Links: s, JSON: a.json, Pretty: a.pretty, Oneline: a.oneline}
}

// command builds the tree of verbs.
func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "fibula",
		Short: "Answers where packets go, as Linux would, and why",
		Long: `fibula reads everything that decides routing (rules, tables, nexthops, links,
addresses, settings) from a live network namespace or from a file, and answers
flows as the kernel does.`,
		Example: `  fibula get 192.0.2.1 from 10.0.0.1 mark 0x7
  fibula explain -n blue 192.0.2.1
  fibula -j get --state router.json 2001:db8::1`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
		Version:           versionOf(debug.ReadBuildInfo()).String(),
		Args:              noSuchCommand,
		PersistentPreRunE: func(c *cobra.Command, _ []string) error { return a.start(c) },
		RunE:              func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetVersionTemplate("{{.Version}}")
	root.SetFlagErrorFunc(wrongFlag)
	root.Flags().BoolP("version", "V", false, "print the version")
	f := root.PersistentFlags()
	f.BoolVarP(&a.inet, "ipv4", "4", false, "IPv4 only")
	f.BoolVarP(&a.inet6, "ipv6", "6", false, "IPv6 only")
	f.BoolVarP(&a.json, "json", "j", false, "print JSON")
	f.BoolVarP(&a.pretty, "pretty", "p", false, "print JSON on several lines")
	f.BoolVarP(&a.numeric, "numeric", "N", false, "print numbers instead of names")
	f.BoolVarP(&a.oneline, "oneline", "o", false, "print each answer on one line, a backslash for a line feed")
	f.StringVarP(&a.netns, "netns", "n", "", "answer from this network `namespace` (a name, or the path of a file)")
	f.IntVar(&a.pid, "pid", 0, "answer from the network namespace of this `process`")
	f.StringVar(&a.state, "state", "", "answer from a `file` (or directory; - is standard input), see fibula state")
	f.StringVar(&a.engine, "engine", "flat", "longest-prefix match by flat, trie or hashzone")
	f.StringVar(&a.color, "color", "auto", "colour: auto, always or never")
	root.MarkFlagsMutuallyExclusive(families...)
	root.MarkFlagsMutuallyExclusive(sources...)
	complete := func(flag string, words ...string) {
		_ = root.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	}
	complete("engine", engineNames()...)
	complete("color", colours...)
	_ = root.RegisterFlagCompletionFunc("netns", completeNetns)
	root.AddCommand(a.getCommand(), a.explainCommand(), a.stateCommand(), a.verifyCommand(), a.mirrorCommand(), a.auditCommand(), a.monitorCommand(), a.syncCommand(), a.demoCommand(), a.benchCommand(), a.versionCommand(), a.gendocsCommand())
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			documentCompletion(c)
		}
	}
	return root
}

var (
	colours = []string{"auto", "always", "never"}

	// Of these at most one can be given.
	families = []string{"ipv4", "ipv6"}
	sources  = []string{"netns", "pid", "state"}

	// And of these, for what a daemon can be asked.
	answerers = append(slices.Clone(sources), "socket", "engine")
)

// start checks the options' values.
func (a *app) start(c *cobra.Command) error {
	exclusives := [][]string{families, sources}
	if a.socket != "" {
		exclusives = append(exclusives, answerers)
	}
	for _, flags := range exclusives {
		if err := exclusive(c, flags); err != nil {
			return err
		}
	}
	if f := c.Flags().Lookup("socket"); f != nil && f.Changed && f.Value.String() == "" {
		return errors.New("--socket is empty")
	}
	for flag, empty := range map[string]bool{"netns": a.netns == "", "state": a.state == "", "pid": a.pid == 0} {
		// An unset variable of a shell must not mean another host.
		if empty && c.Flags().Changed(flag) {
			return fmt.Errorf("--%s is empty; leave it out for the current network namespace", flag)
		}
	}
	if !slices.Contains(colours, a.color) {
		return fmt.Errorf("--color %q: use auto, always or never", a.color)
	}
	if engineNamed(a.engine) == nil {
		return fmt.Errorf("--engine %q: use %s", a.engine, strings.Join(engineNames(), " or "))
	}
	if a.pid < 0 {
		return fmt.Errorf("--pid %d: process ids are positive", a.pid)
	}
	a.started = true
	return nil
}
