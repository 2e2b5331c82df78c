package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/iproute"
	"github.com/fibula-net/fibula/ksync"
	"github.com/fibula-net/fibula/ksync/plan"
)

// defaultProtocol is fibula's own, which no list of protocols gives to another.
const defaultProtocol = "70"

// syncer is one run of sync.
type syncer struct {
	a   *app
	opt ksync.ExportOptions

	tables                              []string
	protocol, priorities, ids, nexthops string
	from, fromNetns                     string
	dryRun, once                        bool
	maxDelete                           int
	told                                bool
	consumed                            bool // standard input, which has one state only
	names                               *iproute.Names
	service                             service
}

var nexthopModes = map[string]plan.Mode{"as-given": plan.AsGiven, "objects": plan.Objects, "inline": plan.Inline}

func (a *app) syncCommand() *cobra.Command {
	s := &syncer{a: a, service: service{a: a}}
	c := &cobra.Command{
		Use:   "sync",
		Short: "Make kernel tables, rules and nexthops equal to what they should be, and keep them so",
		Long: `Makes a part of a network namespace's routing equal to a desired state: the routes of
one protocol in the tables of --table, the rules of that protocol with the priorities
of --rules, and the nexthop objects of that protocol with the ids of --nexthop-ids.
Nothing else is ever touched. What of another's is in the way is told, not overwritten.

The state comes from a file (--from) with lines for "ip -batch" or YAML of the same
words, or from another network namespace (--from-netns). Changes are made before they
are broken: no step loses a flow that both the old and the new state deliver.

Without --once it goes on: what others delete or change is mended, what waits for a link
comes with it, another namespace is followed, and SIGHUP reads the file again, all or
nothing. At its end it withdraws everything, unless --persist is given. Where a namespace
goes, that is told, what was written stays, and it ends with code 1.

With --socket and --listen it is a daemon, as fibula mirror is: it answers other commands
from a mirror of the namespace that it writes to, and serves metrics, what came of each
write among them, and its health: 200 while the kernel is as desired.

    nexthops:
      - {id: 10, via: 192.0.2.1, dev: eth0}
    routes:
      - {to: default, nhid: 10, table: 100}
      - {type: unreachable, to: 198.51.100.0/24, table: 100}
    rules:
      - {priority: 1000, fwmark: 0x1/0xff, lookup: 100}

With --dry-run it prints lines for "ip -batch" and writes nothing. Lines that begin with
-6 are for "ip -6 -batch"; with -4 or -6 only that family is looked at, and all lines can
be fed as they are.

Exit codes: 0 the kernel is as desired; 3 some of it could not be made so (it is told
which and why); else those of fibula get.`,
		Example: `  fibula sync --once --from uplinks.yaml --table 100 --rules 1000-1999
  fibula sync --dry-run --from uplinks.batch --table 100,101 | ip -batch -
  fibula sync -n blue --from-netns green --table main --nexthops objects --nexthop-ids 1000-1999
  fibula sync -j --from uplinks.yaml --table 100 --persist
  fibula sync --from uplinks.yaml --table 100 --socket /run/fibula-sync/sync.sock --listen 127.0.0.1:9177`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := s.options(c); err != nil {
				return err
			}
			return s.run(c.Context())
		},
	}
	s.service.flags(c)
	f := c.Flags()
	f.StringSliceVar(&s.tables, "table", nil, "own the routes of these `tables` (names or numbers, by commas)")
	f.StringVar(&s.protocol, "protocol", defaultProtocol, "own what has this `protocol`")
	f.StringVar(&s.priorities, "rules", "", "own the rules with these priorities (`FIRST-LAST`)")
	f.StringVar(&s.ids, "nexthop-ids", "", "own the nexthop objects with these ids (`FIRST-LAST`)")
	f.StringVar(&s.nexthops, "nexthops", "as-given", "objects (equal nexthops share one), inline (each route has its own) or as-given")
	f.StringVar(&s.from, "from", "", "the desired state, a `file` (- is standard input)")
	f.StringVar(&s.fromNetns, "from-netns", "", "the desired state, another `namespace` (a name, or the path of a file)")
	f.BoolVar(&s.dryRun, "dry-run", false, "print what would be done as lines for ip -batch, and do nothing")
	f.BoolVar(&s.once, "once", false, "make it equal once and end")
	f.BoolVar(&s.opt.Persist, "persist", false, "leave everything in the kernel at the end")
	f.BoolVar(&s.opt.Force, "force", false, "delete as much as it takes")
	f.IntVar(&s.maxDelete, "max-delete", ksync.DefaultMaxDelete, "refuse to delete more than this `percentage` of what is owned")
	f.DurationVar(&s.opt.Grace, "grace", 0, "delete leftovers only this `time` after the start (30s, 5m)")
	_ = c.RegisterFlagCompletionFunc("nexthops", cobra.FixedCompletions([]string{"as-given", "objects", "inline"}, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("from-netns", completeNetns)
	return c
}

// options turns words into what they mean.
func (s *syncer) options(c *cobra.Command) error {
	a := s.a
	switch {
	case a.state != "":
		return errors.New("sync writes to a kernel: leave out --state (the desired state is --from FILE)")
	case (s.from == "") == (s.fromNetns == ""):
		return errors.New("sync: give the desired state, either --from FILE or --from-netns NAME")
	case s.dryRun && s.once:
		return errors.New("--dry-run and --once exclude each other; give one")
	case (s.dryRun || s.once) && s.service.socket+s.service.listen != "":
		return errors.New("--socket and --listen are of a sync that goes on: leave out --once and --dry-run")
	case s.maxDelete < 0 || s.maxDelete > 100:
		return fmt.Errorf("--max-delete %d: give a percentage from 0 to 100", s.maxDelete)
	case s.opt.Grace < 0:
		return fmt.Errorf("--grace %v: a time is not negative", s.opt.Grace)
	}
	if err := s.service.check(); err != nil {
		return err
	}
	s.names = a.namesOnce()
	o := &s.opt.Owner
	for _, t := range s.tables {
		id, err := s.names.Table(t)
		if err != nil {
			return fmt.Errorf("--table: %w", err)
		}
		o.Tables = append(o.Tables, fib.TableID(id))
	}
	proto, err := s.names.Protocol(s.protocol)
	if err != nil {
		return fmt.Errorf("--protocol: %w", err)
	}
	o.Protocol = fib.Protocol(proto)
	if o.Rules, err = numberRange("--rules", s.priorities); err != nil {
		return err
	}
	if o.Nexthops, err = numberRange("--nexthop-ids", s.ids); err != nil {
		return err
	}
	mode, ok := nexthopModes[s.nexthops]
	if !ok {
		return fmt.Errorf("--nexthops %q: use as-given, objects or inline", s.nexthops)
	}
	if s.opt.Nexthops = mode; mode == plan.Objects && o.Nexthops.IsZero() {
		return errors.New("--nexthops objects needs --nexthop-ids FIRST-LAST, from which ids are taken")
	}
	switch {
	case a.inet:
		o.Families = []fib.Family{fib.Inet}
	case a.inet6:
		o.Families = []fib.Family{fib.Inet6}
	}
	if s.opt.MaxDelete = s.maxDelete; s.maxDelete == 0 {
		s.opt.MaxDelete = -1 // 0 is the default to ksync
	}
	s.opt.NetNS = a.namespace()
	return o.Check()
}

// numberRange reads FIRST-LAST, or one number.
func numberRange(flag, text string) (r plan.Range, err error) {
	if text == "" {
		return r, nil
	}
	first, last, both := strings.Cut(text, "-")
	if !both {
		last = first
	}
	a, err := strconv.ParseUint(first, 10, 32)
	if err == nil {
		var b uint64
		if b, err = strconv.ParseUint(last, 10, 32); err == nil && a <= b {
			return plan.Range{First: uint32(a), Last: uint32(b)}, nil
		}
	}
	return r, fmt.Errorf("%s %q: give two numbers, such as 1000-1999", flag, text)
}

// source is the namespace that the desired state comes from.
func (s *syncer) source() ksync.NetNS {
	if strings.Contains(s.fromNetns, "/") {
		return ksync.Path(s.fromNetns)
	}
	return ksync.Named(s.fromNetns)
}

// sourceTables are those that are read there: the local one tells which addresses are its own.
func (s *syncer) sourceTables() []fib.TableID {
	return append([]fib.TableID{fib.TableLocal}, s.opt.Owner.Tables...)
}

// desired reads the desired state, once.
func (s *syncer) desired(ctx context.Context) (*fib.Snapshot, error) {
	if s.fromNetns != "" {
		f, err := ksync.Load(ctx, ksync.Options{NetNS: s.source(), Tables: s.sourceTables(), Config: s.a.fibConfig()})
		if err != nil {
			return nil, err
		}
		return f.Snapshot(), nil
	}
	data, err := s.read()
	if err != nil {
		return nil, err
	}
	o := &s.opt.Owner
	st, err := iproute.ParseDesired(data, iproute.DesiredOptions{File: s.from, Names: s.names, Protocol: o.Protocol,
		Table: o.OwnsTable, Priority: o.Rules.Contains, Nexthop: o.Nexthops.Contains})
	if err != nil {
		return nil, err
	}
	return loadState(st, s.a.fibConfig())
}

func (s *syncer) read() ([]byte, error) {
	if s.from == "-" {
		if s.consumed {
			return nil, errors.New("standard input was read already and has no other state; give a file to --from")
		}
		s.consumed = true
		return io.ReadAll(s.a.in)
	}
	return os.ReadFile(s.from)
}

func (s *syncer) run(ctx context.Context) error {
	if !s.dryRun && !s.once {
		return s.follow(ctx)
	}
	want, err := s.desired(ctx)
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	e, err := ksync.OpenExporter(s.opt)
	if err != nil {
		return s.a.liveError(err)
	}
	defer e.Close()
	if s.dryRun {
		return s.showPlan(ctx, e, want)
	}
	r, err := e.Sync(ctx, want)
	if err != nil {
		return fmt.Errorf("sync: %w", s.a.liveError(err))
	}
	if err := s.tell(&r); err != nil {
		return err
	}
	if !r.InSync() {
		return &exitError{code: exitDisagree}
	}
	return nil
}
