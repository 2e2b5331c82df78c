package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/fibula-net/fibula/internal/daemon"
	"github.com/fibula-net/fibula/iproute"
)

// What a daemon is asked is the words of a command line and the options that decide how
// the answer looks. It runs the same code on its snapshot that the client would run on
// one of its own, so that the bytes are the same. It opens no file for a client: those
// are the client's to read and write.

// askedOptions are the options of a command that a daemon is asked to run.
type askedOptions struct {
	Inet       bool   `json:"inet,omitempty"`
	Inet6      bool   `json:"inet6,omitempty"`
	JSON       bool   `json:"json,omitempty"`
	Pretty     bool   `json:"pretty,omitempty"`
	Numeric    bool   `json:"numeric,omitempty"`
	Oneline    bool   `json:"oneline,omitempty"`
	Colourful  bool   `json:"colourful,omitempty"`
	UID        int    `json:"uid"`                  // who asks: flows are that user's
	Batch      string `json:"batch,omitempty"`      // name of the file of queries, for messages
	Gzip       bool   `json:"gzip,omitempty"`       // of state save
	Timestamps bool   `json:"timestamps,omitempty"` // of monitor
}

// socketFlag lets a command be answered by a daemon.
func (a *app) socketFlag(c *cobra.Command) {
	c.Flags().StringVar(&a.socket, "socket", "", "ask the daemon that serves this `socket` (fibula mirror or sync --socket)")
}

// ask has the daemon run a command, and returns the error that has its exit code.
func (a *app) ask(ctx context.Context, verb string, words []string, in io.Reader, out io.Writer, o askedOptions) error {
	o.Inet, o.Inet6, o.JSON, o.Pretty, o.Numeric, o.Oneline = a.inet, a.inet6, a.json, a.pretty, a.numeric, a.oneline
	o.Colourful, o.UID = a.colourful(), a.userID()
	opts, err := json.Marshal(o)
	if err != nil {
		return err
	}
	w := &wroteWriter{w: out}
	e, err := daemon.Ask(ctx, a.socket, daemon.Request{Verb: verb, Words: words, Options: opts, Input: in != nil}, in, w, a.errs)
	a.wrote = a.wrote || w.wrote
	if err != nil {
		return err
	}
	if e.Code != 0 {
		return &exitError{code: e.Code}
	}
	return nil
}

// wroteWriter knows whether anything was written.
type wroteWriter struct {
	w     io.Writer
	wrote bool
}

func (w *wroteWriter) Write(b []byte) (int, error) {
	w.wrote = true
	return w.w.Write(b)
}

// served answers clients of a daemon.
type served struct {
	m       daemon.Mirror
	engine  string
	stale   func() error // why answers may be out of date, if they may
	journal *daemon.Journal
	// Each held by the one call that costs as much as the tables: an audit must not wait for
	// who takes a state slowly.
	audits, saves chan struct{}
}

func newServed(m daemon.Mirror, engine string, j *daemon.Journal) *served {
	return &served{m: m, engine: engine, journal: j, audits: make(chan struct{}, 1), saves: make(chan struct{}, 1)}
}

// handle runs what one client asks for.
func (d *served) handle(ctx context.Context, c *daemon.Call) daemon.Exit {
	a := &app{in: c.In, out: c.Out, errs: c.Errs, started: true, engine: d.engine, color: "never"}
	var o askedOptions
	if err := json.Unmarshal(c.Options, &o); err != nil {
		return daemon.Exit{Code: a.exit(fmt.Errorf("the daemon does not understand the options: %w", err))}
	}
	a.inet, a.inet6, a.json, a.pretty, a.numeric, a.oneline = o.Inet, o.Inet6, o.JSON, o.Pretty, o.Numeric, o.Oneline
	a.uid = &o.UID
	if o.Colourful {
		a.color = "always"
	}
	a.snapshot = d.m.FIB().Snapshot()
	if err := d.stale(); err != nil && c.Verb != "monitor" && c.Verb != "audit" {
		a.warn([]string{fmt.Sprintf("the daemon answers from generation %d: %v", a.snapshot.Generation(), err)})
	}
	e := daemon.Exit{Generation: a.snapshot.Generation()}
	e.Code = a.exit(d.run(ctx, a, c, &o))
	return e
}

func (d *served) run(ctx context.Context, a *app, c *daemon.Call, o *askedOptions) error {
	switch c.Verb {
	case "get":
		if c.Input {
			return a.batchFrom(ctx, c.In, o.Batch)
		}
		return a.get(ctx, c.Words)
	case "explain":
		return a.explain(ctx, c.Words)
	case "state save":
		release, err := alone(ctx, d.saves)
		if err != nil {
			return err
		}
		defer release()
		a.out = &brisk{w: a.out, now: time.Now}
		return a.stateSave(ctx, "-", iproute.StateOptions{Gzip: o.Gzip})
	case "monitor":
		a.snapshot = nil // or it would be kept in memory as long as the client listens
		w := d.journal.Follow()
		defer w.Close()
		return a.follow(ctx, w, o.Timestamps)
	case "audit":
		release, err := alone(ctx, d.audits)
		if err != nil {
			return err
		}
		defer release()
		return a.audit(ctx, d.m)
	}
	return fmt.Errorf("the daemon does not know %q: it may be older than what asks", c.Verb)
}

// alone waits until no other call has the slot, so that many clients need no more memory
// than one.
func alone(ctx context.Context, slot chan struct{}) (release func(), err error) {
	select {
	case slot <- struct{}{}:
		return func() { <-slot }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

const (
	briskGrace = 10 * time.Second
	briskPace  = 1 << 20 // bytes a second
)

// brisk fails when who reads takes longer than a time, and a second for each MiB, for what is
// written: others wait for the slot.
type brisk struct {
	w    io.Writer
	now  func() time.Time
	n    int64
	took time.Duration // that writes waited
}

func (b *brisk) Write(p []byte) (int, error) {
	begin := b.now()
	n, err := b.w.Write(p)
	b.n += int64(n)
	b.took += b.now().Sub(begin)
	if limit := briskGrace + time.Duration(b.n)*time.Second/briskPace; err == nil && b.took > limit {
		err = fmt.Errorf("%v for %d bytes is too slow; others wait", b.took.Round(time.Millisecond), b.n)
	}
	return n, err
}
