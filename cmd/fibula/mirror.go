package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/daemon"
	"github.com/fibula-net/fibula/ksync"
)

// mirroring is one run of mirror or audit.
type mirroring struct {
	a      *app
	tables []string
	protos []string
	every  time.Duration
	opt    ksync.MirrorOptions
	// journal is that of the FIB, once there is one.
	journal *daemon.Journal
	// spoil changes the FIB behind the mirror's back, so that a test sees it noticed.
	spoil func(*fib.FIB)
}

func (m *mirroring) flags(c *cobra.Command) {
	c.Flags().StringSliceVar(&m.tables, "table", nil, "follow the routes of these `tables` only (names or numbers)")
	c.Flags().StringSliceVar(&m.protos, "protocol", nil, "follow the routes of these `protocols` only (names or numbers)")
	c.Flags().StringSliceVar(&m.opt.Links, "dev", nil, "follow the routes by these `links` only (names)")
}

// prepare reads the options that both verbs have.
func (m *mirroring) prepare(verb string) error {
	a := m.a
	if a.state != "" {
		return fmt.Errorf("%s follows a kernel, which a file does not have: leave out --state", verb)
	}
	switch {
	case a.inet && !a.inet6:
		m.opt.Families = []fib.Family{fib.Inet}
	case a.inet6 && !a.inet:
		m.opt.Families = []fib.Family{fib.Inet6}
	}
	names := a.namesOnce()
	for _, word := range m.tables {
		id, err := names.Table(word)
		if err != nil {
			return fmt.Errorf("--table %s: %w", word, err)
		}
		m.opt.Tables = append(m.opt.Tables, fib.TableID(id))
	}
	for _, word := range m.protos {
		p, err := names.Protocol(word)
		if err != nil {
			return fmt.Errorf("--protocol %s: %w", word, err)
		}
		m.opt.Protocols = append(m.opt.Protocols, fib.Protocol(p))
	}
	m.opt.NetNS = a.namespace()
	return nil
}

// start makes a FIB equal to the namespace.
func (m *mirroring) start(ctx context.Context) (*ksync.Mirrored, error) {
	f := fib.New(m.a.fibConfig())
	m.journal = daemon.NewJournal(f)
	m.opt.Changed = m.journal.Note
	mirror, err := ksync.Mirror(ctx, f, m.opt)
	if err != nil {
		return nil, m.a.liveError(err)
	}
	if m.spoil != nil {
		m.spoil(mirror.FIB())
	}
	return mirror, nil
}

func (a *app) mirrorCommand() *cobra.Command {
	m := &mirroring{a: a}
	s := &service{a: a}
	c := &cobra.Command{
		Use:   "mirror",
		Short: "Follow a kernel's routing state and show how well",
		Long: `Makes a copy of all that decides routing in a network namespace and keeps it equal:
links, addresses, rules, routes, nexthop objects, neighbours and settings. What the
kernel announces is applied within milliseconds, what it does without a word is
derived and confirmed, and a loss of announcements is noticed always and repaired.

It prints a line when it began, then one as often as --every says if anything
changed, until it is interrupted or the namespace goes. Repairs are logged to
standard error. It only reads, and needs no privilege in its own namespace.

With -4 or -6, --table, --protocol and --dev it follows some of the routes, those that
a dump filtered by these shows. The kernel keeps the others back, so that a full table
beside them costs nothing; answers are as if there were no others.

With -j each line is a JSON object.

With --socket it answers other commands: get, explain, audit, monitor and state save
take --socket, and their answers are the same bytes as those from the namespace, with
no load for each. The socket's owner and group may ask. With --listen it serves
metrics for Prometheus (/metrics) and its health (/healthz): 200 while it is known to
be equal to the kernel, else 503 and why. With either, and as a unit of systemd with
Type=notify, it prints no lines, but logs.`,
		Example: `  fibula mirror
  fibula mirror -n blue --table main,100 --audit 1m
  fibula -4 mirror --protocol kernel,static --dev eth0
  fibula mirror --socket /run/fibula/mirror.sock --listen 127.0.0.1:9176
  fibula -j mirror --every 10s`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := m.prepare("mirror"); err != nil {
				return err
			}
			if m.every <= 0 || m.opt.MaxDelay < 0 || m.opt.Poll < 0 || m.opt.Audit < 0 {
				return errors.New("mirror: durations are positive")
			}
			if err := s.check(); err != nil {
				return err
			}
			if s.wanted() {
				return s.run(c.Context(), m, nil)
			}
			m.opt.Logger = s.logger()
			return m.follow(c.Context())
		},
	}
	m.flags(c)
	s.flags(c)
	c.Flags().DurationVar(&m.every, "every", time.Second, "print a line at most this `often`")
	c.Flags().DurationVar(&m.opt.MaxDelay, "max-delay", 5*time.Millisecond, "let news wait this `long` for others, to be one transaction")
	c.Flags().DurationVar(&m.opt.Poll, "poll", time.Second, "look this `often` at what is never announced")
	c.Flags().DurationVar(&m.opt.Audit, "audit", 0, "compare everything this `often` (default only at the end)")
	c.Flags().DurationVar(&m.opt.AuditWithin, "audit-within", 30*time.Second, "end such a comparison after this `long` even if something keeps changing")
	return c
}

// mirrorStatus is what mirror prints of a moment.
type mirrorStatus struct {
	Time       time.Time         `json:"time"`
	Generation uint64            `json:"generation"`
	Routes     int               `json:"routes"`
	Rules      int               `json:"rules"`
	Nexthops   int               `json:"nexthops"`
	Links      int               `json:"links"`
	Events     map[string]uint64 `json:"events"`
	Commits    uint64            `json:"commits"`
	Overruns   uint64            `json:"overruns"`
	Resyncs    map[string]uint64 `json:"resyncs"`
	Looks      uint64            `json:"looks"`
	Doubts     int               `json:"doubts"`
	Drift      uint64            `json:"drift"`
	Polled     uint64            `json:"polled"`
	Audits     uint64            `json:"audits"`
	LagMicros  int64             `json:"lag_us"`
	AgeMillis  int64             `json:"age_ms"`
	// Bytes of news that the kernel keeps, and that it was asked to keep.
	Buffer      int `json:"receive_buffer"`
	BufferAsked int `json:"receive_buffer_asked"`
}

func statusOf(m *ksync.Mirrored) mirrorStatus {
	st, s := m.Stats(), m.FIB().Snapshot()
	x := mirrorStatus{
		Time: time.Now().UTC(), Generation: s.Generation(), Events: st.Events, Commits: st.Commits, Overruns: st.Overruns,
		Resyncs: st.Resyncs, Looks: st.Looks, Doubts: st.Doubts, Drift: st.Drift, Polled: st.Polled, Audits: st.Audits,
		LagMicros: st.Lag.Microseconds(), AgeMillis: m.Age().Milliseconds(),
		Buffer: st.ReceiveBuffer, BufferAsked: st.BufferAsked,
	}
	for _, d := range s.Digest() {
		x.Routes += d.Routes
	}
	around := s.Surroundings()
	x.Rules, x.Nexthops, x.Links = len(around.Rules), len(around.Nexthops), len(around.Links)
	return x
}

func (s *mirrorStatus) text() string {
	events := uint64(0)
	for _, n := range s.Events {
		events += n
	}
	return fmt.Sprintf("%s generation %d: %s routes, %d rules, %d nexthops, %d links; %d events, %d overruns, resyncs %s, drift %d, doubts %d, age %v\n",
		s.Time.Format(time.RFC3339), s.Generation, number(s.Routes), s.Rules, s.Nexthops, s.Links, events, s.Overruns, reasons(s.Resyncs), s.Drift,
		s.Doubts, time.Duration(s.AgeMillis)*time.Millisecond)
}

// reasons are counts by reason, such as "overrun 2, start 1".
func reasons(counts map[string]uint64) string {
	var out []string
	for why, n := range counts {
		out = append(out, fmt.Sprintf("%s %d", why, n))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// follow prints until the mirror ends. To be interrupted is its usual end.
func (m *mirroring) follow(ctx context.Context) error {
	mirror, err := m.start(ctx)
	if err != nil {
		return err
	}
	defer mirror.Close()
	tick := time.NewTicker(m.every)
	defer tick.Stop()
	for printed := ^uint64(0); ; {
		if gen := mirror.FIB().Snapshot().Generation(); gen != printed {
			printed = gen
			if err := m.status(statusOf(mirror)); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-mirror.Done():
			if ctx.Err() != nil {
				return nil
			}
			return mirror.Err()
		}
	}
}

func (m *mirroring) status(s mirrorStatus) error {
	if m.a.json {
		return m.a.writeJSON(&s)
	}
	return m.a.write([]byte(s.text()))
}
