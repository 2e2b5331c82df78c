package ksync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtsock"
)

const (
	// Of so many events, looking at everything costs less than looking at each.
	rtBacklog = 1 << 18
	// How many messages are read in one go, so that whoever waits for the queue gets it.
	rtPump = 1024
	// How long a kernel may take to answer; an answer that does not come was dropped.
	rtPatience = time.Second
	// rtBuffer is asked for; a kernel grants no more than kern.ipc.maxsockbuf.
	rtBuffer = 2 << 20
)

// rtSource is the source of a FreeBSD network stack.
//
// Its messages tell less than its dumps: no MTU, weight, source or lifetime of a route, and
// of a link either the name or the flags. So they are vague events, which say what is to
// be looked at. What Linux would derive from them is never derived.
type rtSource struct {
	sys    rtKernel
	count  int      // of FIBs
	fibs   []uint16 // followed, one socket each
	fams   []fib.Family
	sock   rtSockets
	buf    []byte
	rep    Report
	seq    uint32
	ready  chan struct{} // news wait
	pumped chan struct{} // the reader has read something
	done   chan struct{}
	unbind func() bool

	mu       sync.Mutex // guards what follows; held for no other lock
	answered []uint32   // by socket, the last answer
	queue    []rtNews
	drops    uint64
	lost     error
	failed   error
}

// rtNews is what an event was about.
type rtNews struct {
	kind  eventKind
	gone  bool
	table fib.TableID // of a route
	dst   netip.Prefix
}

// openRT opens the source of the stack that the process is in.
func openRT(ctx context.Context, sys rtKernel, ns NetNS, tables []fib.TableID, buffer int) (*rtSource, error) {
	if ns != Current() {
		return nil, fmt.Errorf("%v: %w: FreeBSD has no network namespaces; run inside the jail (jexec)", ns, errors.ErrUnsupported)
	}
	s := &rtSource{sys: sys, fams: sys.families(), buf: make([]byte, 1<<16), ready: make(chan struct{}, 1),
		pumped: make(chan struct{}, 1), done: make(chan struct{})}
	var err error
	if s.count, err = sys.fibs(); err != nil {
		return nil, fmt.Errorf("read net.fibs: %w", err)
	}
	if tables = (&Options{Tables: tables}).tables(); tables[0] == fib.TableUnspec {
		tables = nil
		for n := range s.count {
			tables = append(tables, rtsock.Table(uint16(n)))
		}
	}
	for _, t := range tables {
		if n, ok := rtsock.FIB(t); ok && int(n) < s.count {
			s.fibs = append(s.fibs, n)
		}
	}
	if len(s.fibs) == 0 {
		s.fibs = []uint16{0} // which hears of links
	}
	s.answered = make([]uint32, len(s.fibs))
	if s.sock, err = sys.listen(s.fibs, cmp.Or(buffer, rtBuffer)); err != nil {
		return nil, fmt.Errorf("listen to routing messages: %w", err)
	}
	if s.drops, err = sys.drops(); err != nil {
		s.sock.close()
		return nil, fmt.Errorf("read net.isr.work: %w", err)
	}
	s.unbind = context.AfterFunc(ctx, s.sock.wake)
	go s.read()
	return s, nil
}

func (s *rtSource) close() {
	s.unbind()
	s.sock.wake()
	<-s.done
	s.sock.close()
}

// read takes messages from the sockets until it is woken, so that these do not overflow
// while the mirror works.
func (s *rtSource) read() {
	defer close(s.done)
	for {
		err := s.sock.wait()
		s.mu.Lock()
		if err == nil {
			_, err = s.pump()
		}
		s.failed = err
		s.mu.Unlock()
		for _, c := range [...]chan struct{}{s.ready, s.pumped} {
			select {
			case c <- struct{}{}:
			default:
			}
		}
		if err != nil {
			return
		}
	}
}

// pump reads some of what is there; more tells that it did not come to an end. The lock is
// held.
func (s *rtSource) pump() (more bool, err error) {
	for i, n := range s.fibs {
		d := rtsock.Decoder{FIB: n}
		for k := 0; ; k++ {
			if k == rtPump {
				more = true
				break
			}
			size, err := s.sock.read(i, s.buf)
			if errors.Is(err, errLost) {
				s.lose(errLost)
				continue
			}
			if err != nil {
				return false, err
			}
			if size == 0 {
				break
			}
			s.hear(i, &d, s.buf[:size])
		}
	}
	return more, nil
}

// hear takes one message of socket i.
func (s *rtSource) hear(i int, d *rtsock.Decoder, b []byte) {
	m, _, err := rtsock.Next(b)
	var e rtsock.Event
	if err == nil {
		for seq := s.answered[i] + 1; seq <= s.seq; seq++ {
			if m.Reply(s.sys.pid(), seq) {
				s.answered[i] = seq
				return
			}
		}
		err = d.Event(m, func(int32) fib.LinkFlags { return 0 }, &e)
	}
	news := rtNews{kind: eventUnclear}
	switch {
	case errors.Is(err, rtsock.ErrSkip):
		return
	case err != nil: // malformed: who knows of what
	case e.Kind == rtsock.KindRoute:
		news = rtNews{eventRoute, e.Gone, e.Route.Table, e.Route.Dst}
	case e.Kind == rtsock.KindLink:
		news = rtNews{kind: eventLink, gone: e.Gone}
	case e.Kind == rtsock.KindAddress:
		news = rtNews{kind: eventAddress, gone: e.Gone}
	}
	if s.lost != nil {
		return
	}
	if s.queue = append(s.queue, news); len(s.queue) > rtBacklog {
		s.lose(errBacklog)
	}
}

func (s *rtSource) lose(why error) {
	if s.lost == nil {
		s.lost = why
	}
	s.queue = nil
}

func (s *rtSource) news() <-chan struct{} { return s.ready }

// barrier asks each socket for an answer, which comes behind all that happened before.
func (s *rtSource) barrier() error {
	s.mu.Lock()
	s.seq++
	seq := s.seq
	s.mu.Unlock()
	for i := range s.fibs {
		if err := s.sock.ask(i, seq); err != nil {
			return fmt.Errorf("ask for an answer: %w", err)
		}
	}
	late := time.NewTimer(rtPatience)
	defer late.Stop()
	for {
		s.mu.Lock()
		err := s.failed
		here := s.lost != nil || !slices.ContainsFunc(s.answered, func(n uint32) bool { return n < seq })
		s.mu.Unlock()
		if err != nil || here {
			return errors.Join(err, s.countDrops())
		}
		select {
		case <-s.pumped:
		case <-late.C:
			s.mu.Lock()
			s.lose(errLost)
			s.mu.Unlock()
		}
	}
}

// countDrops notices messages that were dropped before they came to a socket.
func (s *rtSource) countDrops() error {
	drops, err := s.sys.drops()
	if err != nil {
		return fmt.Errorf("read net.isr.work: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if drops != s.drops {
		s.drops = drops
		s.lose(errLost)
	}
	return nil
}

func (s *rtSource) take() (batch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := errors.Join(s.failed, s.lost); err != nil {
		return nil, err
	}
	b := rtBatch(s.queue)
	s.queue = nil
	return b, nil
}

func (s *rtSource) restart() (bool, error) {
	if err := s.countDrops(); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return false, s.failed
	}
	more, err := s.pump()
	if err != nil || more {
		return false, err
	}
	s.lost, s.queue = nil, nil
	return true, nil
}

// rtBatch is a batch of vague events.
type rtBatch []rtNews

func (b rtBatch) len() int { return len(b) }

func (b rtBatch) each(fn func(*event) error) error {
	var e event
	for _, n := range b {
		e = event{kind: n.kind, gone: n.gone, vague: true}
		e.route.Table, e.route.Dst = n.table, n.dst
		if err := fn(&e); err != nil {
			return err
		}
	}
	return nil
}
