package ksync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/fibula-net/fibula/fib"
)

// MirrorOptions say what a mirror follows, and how. The zero value follows all of the
// caller's own network namespace.
type MirrorOptions struct {
	NetNS NetNS
	// Tables whose routes to follow, in any order; none, or table 0 among them: all. The
	// kernel keeps the news of others back. They stay empty, so that rules which lead to
	// them find nothing.
	Tables []fib.TableID
	// Families, Protocols and Links restrict it further; none: all. A mirror holds the routes
	// that a kernel's dump shows which is filtered by these: an IPv6 multipath route has the
	// protocol of its first leg, and a link those with any leg on it, by a nexthop object too, a
	// VRF in IPv4 also those by its slaves. Replies, digests and audits are of these
	// routes. Links are names, as in rules: whoever has the name is followed. Of families
	// that are left out, addresses and rules are not followed either; of links,
	// neighbours, nexthop objects and settings all are.
	Families  []fib.Family
	Protocols []fib.Protocol
	Links     []string

	// MaxDelay is how long news may wait for others, to be published with them in one
	// transaction; 0: 5 ms. News after a time of rest wait for nothing.
	MaxDelay time.Duration
	// Poll is how often what is never announced (most settings) is looked at, and
	// whether the namespace is still there; 0: a second. A look that takes long makes
	// the next one wait, so that looking takes no more than a tenth of the time.
	Poll time.Duration
	// Audit is how often everything is compared with the kernel; 0: only when asked for.
	Audit time.Duration
	// AuditWithin is how long an audit may take beside changes that never rest; what is
	// not certain by then it names. 0: 30 s.
	AuditWithin time.Duration
	// ReceiveBuffer is how many bytes of news the kernel is asked to keep, of which it
	// grants the double, without CAP_NET_ADMIN of no more than net.core.rmem_max; 0: 32 MB.
	ReceiveBuffer int

	Logger *slog.Logger // hears of repairs and of what is not modelled; nil: silence
	// Changed, if not nil, is called after each transaction that changed something, on the mirror's
	// goroutine, which waits for it.
	Changed func(fib.Result)
}

func (o *MirrorOptions) scan() *Options {
	return &Options{NetNS: o.NetNS, Tables: o.Tables, Logger: o.Logger}
}

// withDefaults is o with the defaults filled in.
func (o MirrorOptions) withDefaults() MirrorOptions {
	if o.MaxDelay <= 0 {
		o.MaxDelay = 5 * time.Millisecond
	}
	if o.AuditWithin <= 0 {
		o.AuditWithin = 30 * time.Second
	}
	if o.Poll <= 0 {
		o.Poll = time.Second
	}
	o.Tables = o.scan().tables()
	if o.Tables[0] == fib.TableUnspec {
		o.Tables = nil
	}
	return o
}

// Mirrored keeps a FIB equal to a network namespace, until its context ends or it is
// closed. Only it may change the FIB; anybody may read it, at any time. Its methods are
// safe for concurrent use.
type Mirrored struct {
	f    *fib.FIB
	opt  MirrorOptions
	log  *slog.Logger
	src  source
	now  func() time.Time
	asks chan ask1
	done chan struct{}
	stop context.CancelCauseFunc

	// Of the mirror's goroutine alone.
	doubts  doubts
	looks   pace // of confirmations
	resyncs pace
	polls   pace
	drift   drift
	part    part
	open    map[fib.TablePrefix]openPrefix // of the look whose news are being applied
	carrier map[int32]time.Time            // links whose carrier changed, which is to be announced yet
	unsure  bool                           // something was taken from a dump that leaves questions open

	mu    sync.Mutex // guards what follows; held for no other lock
	stats MirrorStats
	err   error
}

// Mirror makes f equal to a namespace and keeps it so. It returns when f is: from then on a
// goroutine follows the kernel. What f held before is replaced.
//
// What is announced is applied within [MirrorOptions.MaxDelay]; what the kernel does without
// a word is derived by the same transaction (see [fib.Txn]) and confirmed by a look
// soon after. Lost announcements, contradictions and whatever else leaves a doubt are
// repaired by comparing with the kernel, in transactions as all else: readers never see
// an empty or half table.
//
// Errors name the namespace, as those of [Load].
func Mirror(ctx context.Context, f *fib.FIB, opt MirrorOptions) (*Mirrored, error) {
	ctx, stop := context.WithCancelCause(ctx)
	src, err := openMirrorSource(ctx, &opt)
	if err != nil {
		stop(nil)
		return nil, err
	}
	m := newMirror(f, src, opt, time.Now)
	m.stop = stop
	m.noteRoom()
	if err := m.begin(ctx); err != nil {
		stop(nil)
		src.close()
		return nil, fmt.Errorf("mirror %v: %w", opt.NetNS, err)
	}
	go m.run(ctx)
	return m, nil
}

func newMirror(f *fib.FIB, src source, opt MirrorOptions, now func() time.Time) *Mirrored {
	opt = opt.withDefaults()
	o := opt.scan()
	return &Mirrored{
		f: f, opt: opt, log: o.logger(), src: src, now: now, asks: make(chan ask1), done: make(chan struct{}),
		part: opt.part(), looks: pace{least: 5 * time.Millisecond}, resyncs: pace{}, polls: pace{least: opt.Poll},
		stats: MirrorStats{Events: map[string]uint64{}, Resyncs: map[string]uint64{}},
	}
}

// FIB is what the mirror keeps equal to the kernel.
func (m *Mirrored) FIB() *fib.FIB { return m.f }

// Done is closed when the mirror has ended; Err tells why.
func (m *Mirrored) Done() <-chan struct{} { return m.done }

// Err is why the mirror ended: its context's error, net.ErrClosed after Close, or one that
// wraps [ErrNamespaceGone]. While it runs it is nil.
func (m *Mirrored) Err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// Close ends the mirror and waits for it. The FIB stays as it is.
func (m *Mirrored) Close() {
	m.stop(net.ErrClosed)
	<-m.done
}

// Age is how long ago the FIB was last known to be equal to the kernel: nothing waited
// to be applied and nothing was in doubt.
func (m *Mirrored) Age() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now().Sub(m.stats.Equal)
}

// Stats returns what the mirror has counted so far.
func (m *Mirrored) Stats() MirrorStats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stats.clone()
}

// Sync waits until all that the kernel did before the call is seen: what it announced is
// applied, what it never announces was looked at, and nothing is in doubt. Beside steady changes there may be no such moment: then it ends with ctx.
func (m *Mirrored) Sync(ctx context.Context) error {
	_, err := m.ask(ctx, false)
	return err
}

// ask1 is a question to the mirror's goroutine.
type ask1 struct {
	ctx    context.Context
	audit  bool
	answer chan answer1
}

type answer1 struct {
	cert Certificate
	err  error
}

func (m *Mirrored) ask(ctx context.Context, audit bool) (Certificate, error) {
	a := ask1{ctx, audit, make(chan answer1, 1)}
	select {
	case m.asks <- a:
	case <-ctx.Done():
		return Certificate{}, ctx.Err()
	case <-m.done:
		return Certificate{}, m.Err()
	}
	r := <-a.answer
	return r.cert, r.err
}

// noteRoom tells of a kernel that keeps less news than it should.
func (m *Mirrored) noteRoom() {
	granted, asked := m.src.room()
	m.count(func(s *MirrorStats) { s.ReceiveBuffer, s.BufferAsked = granted, asked })
	if granted < asked {
		m.log.Warn("the kernel keeps less news than asked for, so that bursts are read anew: give CAP_NET_ADMIN, or raise net.core.rmem_max",
			slog.String("namespace", m.opt.NetNS.String()), slog.Int("granted", granted), slog.Int("asked", asked))
	}
}

// begin loads everything once.
func (m *Mirrored) begin(ctx context.Context) error {
	var last error
	for try := range attempts {
		if last = m.resync(ctx, "start"); last == nil {
			break
		}
		if !isPassing(last) {
			return last
		}
		if err := sleep(ctx, time.Duration(try)*10*time.Millisecond); err != nil {
			return err
		}
	}
	if last != nil {
		return fmt.Errorf("%w: %w", ErrChanging, last)
	}
	// What changed meanwhile is looked at now, if it gives time for that.
	for try := 0; try < attempts && (m.unsure || !m.doubts.none()); try++ {
		if err := m.settle(ctx); err != nil && !isPassing(err) {
			return err
		}
	}
	return nil
}

// isPassing reports whether an error tells of changes only, so that trying again helps.
func isPassing(err error) bool {
	return errors.Is(err, errLost) || errors.Is(err, errBacklog) || errors.Is(err, errInterrupted) || errors.Is(err, errMoved) ||
		errors.Is(err, ErrChanging)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// MirrorStats are counts since the mirror began, and the state of things.
type MirrorStats struct {
	Generation uint64            // of the FIB
	Events     map[string]uint64 // by what they were about
	Commits    uint64            // transactions that changed something
	Overruns   uint64            // times that the kernel dropped announcements
	Resyncs    map[string]uint64 // everything looked at anew, by reason
	Looks      uint64            // confirmations of what was in doubt
	Doubts     int               // what is in doubt now
	// Drift counts prefixes and other objects that were not as the kernel had them
	// although nothing was lost, and were repaired.
	Drift  uint64
	Polled uint64 // changes of what is never announced
	Audits uint64
	// Mismatches counts what audits found to differ.
	Mismatches uint64
	// Lag is how long the last batch of events took from being taken to being published.
	Lag time.Duration
	// Equal is when nothing waited and nothing was in doubt.
	Equal time.Time
	// LastAudit is the certificate of the last audit.
	LastAudit Certificate
	Failures  uint64 // looks that failed, to be done again
	// ReceiveBuffer is how many bytes of news the kernel keeps, BufferAsked how many it should:
	// without CAP_NET_ADMIN net.core.rmem_max can be less, so that bursts are lost, and everything
	// looked at anew. 0: not known.
	ReceiveBuffer, BufferAsked int
}

func (s *MirrorStats) clone() MirrorStats {
	c := *s
	c.Events, c.Resyncs = map[string]uint64{}, map[string]uint64{}
	for k, v := range s.Events {
		c.Events[k] = v
	}
	for k, v := range s.Resyncs {
		c.Resyncs[k] = v
	}
	return c
}

func (m *Mirrored) count(fn func(*MirrorStats)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fn(&m.stats)
}
