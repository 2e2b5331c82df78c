package ksync

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtnl"
)

const (
	// Events that wait cost about as much to apply as this many routes to read.
	maxBacklog = 1 << 18
	// After a loss the kernel queues again when its queue was read empty; how long to
	// try that at a time.
	restartPatience = 50 * time.Millisecond
	// Batches that are read in one go, so that whoever waits for the queue gets it.
	pumpBatches = 16
)

// kernelSource is the source of one Linux namespace. A goroutine of its own reads what the
// kernel announces into a queue, so that the socket does not overflow while the mirror works.
type kernelSource struct {
	ns     NetNS    // to enter it, whatever becomes of its name
	named  NetNS    // as it was given
	pin    *os.File // nil: the process's own
	id     unix.Stat_t
	scan   *scan
	part   part // what is looked at
	ready  chan struct{}
	done   chan struct{}
	cancel context.CancelFunc

	mu     sync.Mutex // guards what follows and the reading of sub; held for no other lock
	sub    *subscription
	queue  []byte // messages
	queued int
	lost   error // events are missing; nothing is queued until restart
	failed error // reading came to an end
}

func openSource(ctx context.Context, opt *MirrorOptions) (*kernelSource, error) {
	k := &kernelSource{named: opt.NetNS, ready: make(chan struct{}, 1), done: make(chan struct{})}
	if err := k.open(ctx, opt); err != nil {
		k.free()
		return nil, fmt.Errorf("%v: %w", opt.NetNS, err)
	}
	go k.read()
	return k, nil
}

func (k *kernelSource) open(ctx context.Context, opt *MirrorOptions) (err error) {
	if k.ns, k.pin, err = k.named.pinned(); err != nil {
		return err
	}
	if k.pin != nil {
		if err := unix.Fstat(int(k.pin.Fd()), &k.id); err != nil {
			return err
		}
	}
	s := opt.scan()
	s.NetNS = k.ns
	if k.scan, err = newScan(s); err != nil {
		return err
	}
	k.scan.missing = k.missing
	k.part = opt.part()
	k.scan.partly = len(opt.Protocols)+len(opt.Links) > 0
	k.scan.families = slices.DeleteFunc(k.scan.families, func(f fib.Family) bool { return len(opt.Families) > 0 && !slices.Contains(opt.Families, f) })
	sub := subscribeOptions{groups: groupsOf(opt.Families), buffer: opt.ReceiveBuffer, filter: k.part.events()}
	ctx, k.cancel = context.WithCancel(ctx)
	k.sub, err = subscribe(ctx, k.ns, sub)
	return err
}

// close ends the reader and frees everything.
func (k *kernelSource) close() {
	k.cancel()
	<-k.done
	k.free()
}

func (k *kernelSource) free() {
	if k.cancel != nil {
		k.cancel()
	}
	if k.sub != nil {
		k.sub.close()
	}
	if k.scan != nil {
		k.scan.conn.close()
	}
	if k.pin != nil {
		k.pin.Close()
	}
}

func (k *kernelSource) news() <-chan struct{} { return k.ready }

func (k *kernelSource) say() {
	select {
	case k.ready <- struct{}{}:
	default:
	}
}

// read moves events into the queue until the subscription ends.
func (k *kernelSource) read() {
	defer close(k.done)
	for {
		err := k.sub.wait(-1)
		if err == nil {
			k.mu.Lock()
			_, err = k.pump()
			k.mu.Unlock()
		}
		if err != nil {
			k.mu.Lock()
			k.failed = err
			k.mu.Unlock()
			k.say()
			return
		}
		k.say()
	}
}

// pump reads some of what is there; more tells that it did not come to an end. The
// lock is held.
func (k *kernelSource) pump() (more bool, err error) {
	for range pumpBatches {
		more, err = k.sub.read(0, k.append)
		switch {
		case errors.Is(err, errLost):
			k.lose(errLost)
		case err != nil || !more:
			return false, err
		}
	}
	return true, nil
}

func (k *kernelSource) append(m rtnl.Message) error {
	if k.lost != nil {
		return nil
	}
	if k.queued++; k.queued > maxBacklog {
		k.lose(errBacklog)
		return nil
	}
	k.queue = rtnl.AppendMessage(k.queue, m)
	return nil
}

func (k *kernelSource) lose(why error) {
	if k.lost == nil {
		k.lost = why
	}
	k.queue, k.queued = k.queue[:0], 0
}

func (k *kernelSource) barrier() error {
	for more := true; more; {
		k.mu.Lock()
		err := k.failed
		if err == nil {
			more, err = k.pump()
		}
		k.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// finished asks for links, of which a kernel tells while nothing else changes: it holds the
// lock that a request has from its first change to its last announcement, which can take
// seconds where a link goes and grace periods are long.
func (k *kernelSource) finished(ctx context.Context) error {
	return k.retry(func() error {
		err := k.scan.conn.dump(ctx, rtnl.Dump{Type: rtnl.RTM_GETLINK}, k.scan.buf, func(rtnl.Message) error { return nil })
		if errors.Is(err, errInterrupted) {
			return nil
		}
		return err
	})
}

// missing is an error if news are.
func (k *kernelSource) missing() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return errors.Join(k.failed, k.lost)
}

func (k *kernelSource) take() (batch, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := errors.Join(k.failed, k.lost); err != nil {
		return nil, err
	}
	b := &messages{b: k.queue, n: k.queued, rep: k.report()}
	k.queue, k.queued = nil, 0
	return b, nil
}

func (k *kernelSource) restart() (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for end := time.Now().Add(restartPatience); time.Now().Before(end); {
		if k.failed != nil {
			return false, k.failed
		}
		if more, err := k.pump(); err != nil {
			return false, err
		} else if !more {
			k.lost, k.queue, k.queued = nil, k.queue[:0], 0
			return true, nil
		}
	}
	return false, nil
}

func (k *kernelSource) families() []fib.Family { return k.scan.families }
func (k *kernelSource) report() *Report        { return &k.scan.report }

// retry runs fn, and if its connection is of no more use, opens another.
func (k *kernelSource) retry(fn func() error) error {
	err := fn()
	if spoils(err) {
		err = errors.Join(err, k.scan.redial(k.ns))
	}
	if err == nil || isPassing(err) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %w", errLook, err)
}

func (k *kernelSource) surroundings(ctx context.Context) (st *fib.State, err error) {
	err = k.retry(func() (err error) { st, err = k.scan.moment(ctx); return err })
	return st, err
}

func (k *kernelSource) complete(ctx context.Context, st *fib.State, modes bool) error {
	return k.retry(func() error {
		if err := k.scan.neighbours(ctx, st); err != nil || !modes {
			return err
		}
		return k.scan.modes(ctx, st)
	})
}

func (k *kernelSource) learn(f *fib.FIB) (res fib.Result, err error) {
	err = k.retry(func() (err error) { _, res, err = k.scan.learn(f); return err })
	return res, err
}

func (k *kernelSource) room() (granted, asked int) { return k.sub.room, k.sub.asked }

// alive compares the namespace that has the name now with the one that is followed.
func (k *kernelSource) alive() error {
	if k.pin == nil {
		return nil
	}
	return k.named.still(&k.id)
}

// messages is a batch of netlink messages.
type messages struct {
	b   []byte
	n   int
	rep *Report
	e   event
}

func (m *messages) len() int { return m.n }

func (m *messages) each(fn func(*event) error) error {
	for b := m.b; len(b) > 0; {
		msg, rest, err := rtnl.Next(b)
		if err != nil {
			return err
		}
		b = rest
		switch err := m.e.decode(msg, m.rep); {
		case errors.Is(err, rtnl.ErrSkip):
			continue
		case err != nil:
			m.e.kind = eventUnclear
		}
		if err := fn(&m.e); err != nil {
			return err
		}
	}
	m.rep = nil // what it does not know was counted
	return nil
}

// decode reads one message. What says nothing about routing wraps [rtnl.ErrSkip].
func (e *event) decode(m rtnl.Message, rep *Report) error {
	e.gone = false
	switch m.Type {
	case rtnl.RTM_DELROUTE, rtnl.RTM_DELLINK, rtnl.RTM_DELADDR, rtnl.RTM_DELRULE, rtnl.RTM_DELNEXTHOP, rtnl.RTM_DELNEIGH, rtnl.RTM_DELNETCONF:
		e.gone = true
	}
	switch m.Type {
	case rtnl.RTM_NEWROUTE, rtnl.RTM_DELROUTE:
		e.kind, e.flags = eventRoute, fib.AddFlags(m.Flags)&(fib.Replace|fib.Excl|fib.Create|fib.Append)
		return rtnl.DecodeRoute(m, &e.route, rep)
	case rtnl.RTM_NEWLINK, rtnl.RTM_DELLINK:
		e.kind = eventLink
		return rtnl.DecodeLink(m, &e.link, nil) // of a family of its own: a port's view
	case rtnl.RTM_NEWADDR, rtnl.RTM_DELADDR:
		e.kind = eventAddress
		return rtnl.DecodeAddress(m, &e.address, rep)
	case rtnl.RTM_NEWRULE, rtnl.RTM_DELRULE:
		e.kind = eventRule
		return rtnl.DecodeRule(m, &e.rule, rep)
	case rtnl.RTM_NEWNEXTHOP, rtnl.RTM_DELNEXTHOP:
		e.kind = eventNexthop
		return rtnl.DecodeNexthop(m, &e.nexthop, rep)
	case rtnl.RTM_NEWNEIGH, rtnl.RTM_DELNEIGH:
		e.kind = eventNeighbour
		return rtnl.DecodeNeighbour(m, &e.neighbour, nil)
	case rtnl.RTM_NEWNETCONF, rtnl.RTM_DELNETCONF:
		e.kind = eventNetconf
		return rtnl.DecodeNetconf(m, &e.netconf, nil)
	case rtnl.RTM_NEWNEXTHOPBUCKET, rtnl.RTM_DELNEXTHOPBUCKET:
		e.kind = eventUnclear
		return nil
	}
	return rtnl.ErrSkip
}
