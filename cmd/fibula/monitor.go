package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/daemon"
	"github.com/fibula-net/fibula/iproute"
)

func (a *app) monitorCommand() *cobra.Command {
	m := &mirroring{a: a}
	var stamps bool
	c := &cobra.Command{
		Use:   "monitor",
		Short: "Show what changes, and which flows are decided differently for it",
		Long: `Shows the changes of a network namespace, as "ip monitor" does, until interrupted:
links, addresses, nexthop objects, rules and routes, also those that the kernel makes
without a word. Behind a change of a rule or route stands a witness, if one was found
among some dozens of flows: one that is decided differently now.

With -j each change is an object on a line of its own: event (start, link, address,
nexthop, rule, route, settings, lost, commit), generation and since (of the transaction
and the one before), time, what the change was before and is after, and the witness. A
line with the event commit ends a transaction.

Who reads too slowly misses no change, but the steps between: an event lost tells how
many transactions were put together.`,
		Example: `  fibula monitor
  fibula monitor --ts --socket /run/fibula/mirror.sock
  fibula -j monitor -n blue --table main`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			err := a.runMonitor(c.Context(), m, stamps)
			if c.Context().Err() != nil && errors.Is(err, context.Canceled) {
				return nil // its usual end
			}
			return err
		},
	}
	m.flags(c)
	a.socketFlag(c)
	c.Flags().BoolVar(&stamps, "ts", false, "begin lines with the time (also -ts)")
	return c
}

// likeIPMonitor takes "-ts" as "ip monitor" does.
func likeIPMonitor(args []string) []string {
	if i := slices.Index(args, "-ts"); i >= 0 && slices.Contains(args, "monitor") {
		args = slices.Clone(args)
		args[i] = "--ts"
	}
	return args
}

func (a *app) runMonitor(ctx context.Context, m *mirroring, stamps bool) error {
	if a.socket != "" {
		return a.ask(ctx, "monitor", nil, nil, a.out, askedOptions{Timestamps: stamps})
	}
	if err := m.prepare("monitor"); err != nil {
		return err
	}
	mirror, err := m.start(ctx)
	if err != nil {
		return err
	}
	defer mirror.Close()
	w := m.journal.Follow()
	defer w.Close()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go func() {
		select {
		case <-mirror.Done():
			stop(mirror.Err())
		case <-ctx.Done():
		}
	}()
	if err = a.follow(ctx, w, stamps); ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return err
}

// follow shows transactions until ctx ends.
func (a *app) follow(ctx context.Context, w *daemon.Follower, stamps bool) error {
	m := &monitor{a: a, names: a.namesOnce(), stamps: stamps, out: bufio.NewWriterSize(a.out, 1<<15), json: a.json}
	a.wrote = true
	m.gen = w.Start().Generation()
	m.since, m.time = m.gen, time.Now()
	if m.json {
		m.record(&changeRecord{Event: "start"})
	}
	for {
		if err := m.flush(); err != nil {
			return err
		}
		t, err := w.Next(ctx)
		if err != nil {
			return err
		}
		if err := m.transaction(ctx, &t); err != nil {
			return err
		}
	}
}

// monitor writes a journal.
type monitor struct {
	a          *app
	names      *iproute.Names
	stamps     bool
	json       bool
	out        *bufio.Writer
	gen, since uint64
	time       time.Time
	old, new   *iproute.Printer
	before     *fib.Snapshot
	after      *fib.Snapshot
	err        error
}

// changeRecord is a line of JSON.
type changeRecord struct {
	Event      string         `json:"event"`
	Generation uint64         `json:"generation"`
	Since      uint64         `json:"since"`
	Time       time.Time      `json:"time"`
	Merged     int            `json:"merged,omitempty"` // of lost: so many transactions are one
	Table      string         `json:"table,omitempty"`
	Dst        string         `json:"dst,omitempty"`
	Before     any            `json:"before,omitempty"`
	After      any            `json:"after,omitempty"`
	Witness    *witnessRecord `json:"witness,omitempty"`
	Changes    int            `json:"changes,omitempty"` // of commit: so many lines
}

type witnessRecord struct {
	Flow   string          `json:"flow"` // as words of fibula get
	Before json.RawMessage `json:"before"`
	After  json.RawMessage `json:"after"`
}

func (m *monitor) flush() error {
	if err := m.out.Flush(); m.err == nil && err != nil {
		m.err = fmt.Errorf("write the changes: %w", err)
	}
	return m.err
}

func (m *monitor) write(b []byte) {
	if _, err := m.out.Write(b); m.err == nil && err != nil {
		m.err = fmt.Errorf("write the changes: %w", err)
	}
}

func (m *monitor) record(r *changeRecord) {
	r.Generation, r.Since, r.Time = m.gen, m.since, m.time.UTC()
	b, err := json.Marshal(r)
	if err != nil {
		m.err = errors.Join(m.err, err)
		return
	}
	m.write(append(b, '\n'))
}

// text writes lines under a label, with the time in front of the first.
func (m *monitor) text(label, verb string, b []byte) {
	if m.stamps {
		fmt.Fprintf(m.out, "[%s] ", m.time.Format("2006-01-02T15:04:05.000000"))
	}
	m.out.WriteString(label + verb)
	m.write(b)
}

func (m *monitor) transaction(ctx context.Context, t *daemon.Transaction) error {
	m.before, m.after, m.gen, m.since, m.time = t.Before, t.After, t.After.Generation(), t.Before.Generation(), t.Time
	m.old, m.new = m.a.printer(m.names, t.Before), m.a.printer(m.names, t.After)
	m.old.Pretty, m.new.Pretty, m.old.StrictIP, m.new.StrictIP = false, false, true, true
	n := 0
	if t.Merged > 1 {
		if m.json {
			m.record(&changeRecord{Event: "lost", Merged: t.Merged})
		} else {
			m.text("[LOST]", "", fmt.Appendf(nil, "%d transactions became one\n", t.Merged))
		}
	}
	c := t.After.Changes(t.Before)
	n += changedObjects(m, "link", "[LINK]", c.Links, (*iproute.Printer).AppendLink)
	n += changedObjects(m, "address", "[ADDR]", c.Addresses, (*iproute.Printer).AppendAddress)
	n += changedObjects(m, "nexthop", "[NEXTHOP]", c.Nexthops, (*iproute.Printer).AppendNexthop)
	if c.Settings {
		n++
		if m.json {
			m.record(&changeRecord{Event: "settings"})
		} else {
			m.text("[NETCONF]", "", []byte("settings of the namespace changed\n"))
		}
	}
	for i := range c.Rules {
		r := c.Rules[i]
		n += m.object("rule", "[RULE]", rawOf(m.old, r.Before, (*iproute.Printer).AppendRule), rawOf(m.new, r.After, (*iproute.Printer).AppendRule), func() *fib.Witness {
			rule := r.After
			if rule == nil {
				rule = r.Before
			}
			return found(fib.FindRuleWitness(m.before, m.after, *rule))
		})
	}
	for x := range t.After.ChangedRoutes(t.Before) {
		if n++; n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if m.route(&x); m.err != nil {
			return m.err
		}
	}
	if m.json {
		m.record(&changeRecord{Event: "commit", Changes: n})
	}
	return m.err
}

func found(w fib.Witness, ok bool) *fib.Witness {
	if !ok {
		return nil
	}
	return &w
}

// rawOf is an object as it is written; nil: there is none.
func rawOf[T any](p *iproute.Printer, x *T, write func(*iproute.Printer, []byte, *T) []byte) []byte {
	if x == nil {
		return nil
	}
	return write(p, nil, x)
}

func changedObjects[T any](m *monitor, event, label string, list []fib.Changed[T], write func(*iproute.Printer, []byte, *T) []byte) (n int) {
	for _, x := range list {
		n += m.object(event, label, rawOf(m.old, x.Before, write), rawOf(m.new, x.After, write), nil)
	}
	return n
}

// object writes a change of something, and returns how many there were: what only looks
// inside have changed is none.
func (m *monitor) object(event, label string, before, after []byte, witness func() *fib.Witness) int {
	if bytes.Equal(before, after) {
		return 0
	}
	var w *fib.Witness
	if witness != nil {
		w = witness()
	}
	if m.json {
		r := &changeRecord{Event: event, Witness: m.witness(w)}
		if before != nil {
			r.Before = json.RawMessage(before)
		}
		if after != nil {
			r.After = json.RawMessage(after)
		}
		m.record(r)
		return 1
	}
	if after != nil {
		m.text(label, "", after)
	} else {
		m.text(label, "Deleted ", before)
	}
	m.witnessText(w)
	return 1
}

func (m *monitor) route(x *fib.RouteChange) {
	w := found(fib.FindWitness(m.before, m.after, x.TablePrefix))
	before, after := m.routes(m.old, x.Before), m.routes(m.new, x.After)
	if m.json {
		r := &changeRecord{Event: "route", Table: m.names.TableName(uint32(x.Table)), Dst: x.Dst.String(), Witness: m.witness(w)}
		if len(before) > 0 {
			r.Before = raws(before)
		}
		if len(after) > 0 {
			r.After = raws(after)
		}
		m.record(r)
		return
	}
	in := func(list [][]byte, b []byte) bool {
		return slices.ContainsFunc(list, func(x []byte) bool { return bytes.Equal(x, b) })
	}
	for _, b := range before {
		if !in(after, b) {
			m.text("[ROUTE]", "Deleted ", b)
		}
	}
	for _, b := range after {
		if !in(before, b) {
			m.text("[ROUTE]", "", b)
		}
	}
	m.witnessText(w)
}

func (m *monitor) routes(p *iproute.Printer, routes []fib.Route) (out [][]byte) {
	for i := range routes {
		out = append(out, p.AppendRoute(nil, &routes[i]))
	}
	return out
}

func raws(list [][]byte) (out []json.RawMessage) {
	for _, b := range list {
		out = append(out, b)
	}
	return out
}

// answers are what the snapshots say to a witness.
func (m *monitor) answers(w *fib.Witness) (q iproute.Query, before, after iproute.Answer) {
	q = iproute.QueryOf(w.Flow, m.after)
	return q, q.Answer(m.before, &w.Flow, false), q.Answer(m.after, &w.Flow, false)
}

func (m *monitor) witness(w *fib.Witness) *witnessRecord {
	if w == nil {
		return nil
	}
	q, before, after := m.answers(w)
	old, new := *m.old, *m.new
	old.StrictIP, new.StrictIP = false, false
	return &witnessRecord{q.String(), bytes.TrimSpace(old.AppendAnswer(nil, &before)), bytes.TrimSpace(new.AppendAnswer(nil, &after))}
}

func (m *monitor) witnessText(w *fib.Witness) {
	if w == nil {
		return
	}
	q, before, after := m.answers(w)
	line := func(p *iproute.Printer, x *iproute.Answer) []byte {
		if x.Errno != 0 {
			return []byte(iproute.Answers(x.Errno))
		}
		one := *p
		one.Oneline = true
		b, _, _ := bytes.Cut(one.AppendReply(nil, &x.Reply), []byte("\\"))
		return bytes.TrimSpace(b)
	}
	m.write(fmt.Appendf(nil, "    witness %v\n        before: %s\n        after:  %s\n", q.String(), line(m.old, &before), line(m.new, &after)))
}
