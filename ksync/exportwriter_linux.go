package ksync

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtnl"
	"github.com/fibula-net/fibula/ksync/plan"
	"github.com/fibula-net/fibula/rules"
)

const (
	// One system call carries up to this many requests, of which the last asks for a
	// confirmation: 100 are slower, 5,000 no faster.
	writeBatch = 1000
	writeBytes = 128 << 10
	sendBuffer = 1 << 20
)

// writer sends operations to the kernel, many at a time, and makes the next requests while the
// kernel works on those before. What it needs per operation is in buffers that are used again.
type writer struct {
	*conn
	in       []byte
	filling  *requests
	sent     *requests  // those before, another goroutine's while they are underway
	underway bool       // sent is with the kernel
	answered chan error // how that ended

	count   func(OpResult, int)   // nil: nobody wants to know
	refused func(*plan.Op, error) // hears of what a report tells; nil: nobody
	result  func(plan.Op, error)
	retry   []retried
	report  *ExportReport

	joining bool              // IPv6 legs have been appended of which it is open whether they came
	lacking map[routeKey]bool // keys where one did not
}

// retried is a failed request that may succeed after others.
type retried struct {
	request []byte
	err     error
}

// maxRetried bounds what is kept to be tried again at the end of a synchronization; what
// is beyond waits for the next.
const maxRetried = 10_000

func newWriter(c *conn) *writer {
	_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer) // without, batches are smaller
	return &writer{conn: c, in: make([]byte, datagram), filling: newRequests(), sent: newRequests(), answered: make(chan error, 1)}
}

// do sends operations. Those that the kernel refuses are in the report; an error
// means that nothing more can be sent.
func (w *writer) do(ctx context.Context, ops iter.Seq[plan.Op], report *ExportReport, result func(plan.Op, error)) (err error) {
	w.report, w.result, w.retry = report, result, w.retry[:0]
	w.filling.clear()
	w.joining, w.lacking = false, nil
	defer func() { err = errors.Join(err, w.settle()) }() // after an error
	for op := range ops {
		stays, joinErr := w.join(ctx, &op)
		if stays {
			continue
		}
		if err = joinErr; err == nil {
			err = w.put(op)
		}
		if err != nil {
			break
		}
		if w.filling.full() {
			if err = errors.Join(w.handOver(), ctx.Err()); err != nil {
				break
			}
		}
	}
	if err == nil {
		err = w.flush()
	}
	if err == nil {
		err = w.again(ctx)
	}
	return err
}

// join keeps a leg that was to go until what was appended in its place is there, and reports
// whether it stays, since that was refused.
func (w *writer) join(ctx context.Context, op *plan.Op) (stays bool, err error) {
	if op.Kind != plan.Route || op.Route.Family() != fib.Inet6 {
		return false, nil
	}
	switch {
	case op.Verb == plan.Append:
		w.joining = true
	case op.Verb == plan.Delete && w.joining:
		w.joining = false
		if err = w.flush(); err == nil {
			err = w.again(ctx)
		}
	}
	return err == nil && op.Verb == plan.Delete && w.lacking[keyOfRoute(op.Route)], err
}

// put appends one request.
func (w *writer) put(op plan.Op) (err error) {
	h := rtnl.Header{Flags: rtnl.NLM_F_REQUEST, Seq: w.nextSeq()}
	b := w.filling
	if len(b.starts) == 0 {
		b.first = h.Seq
	}
	switch op.Verb {
	case plan.Add:
		h.Flags |= rtnl.NLM_F_CREATE
		if op.Kind != plan.Rule { // where a rule that compares less is equal (A4)
			h.Flags |= rtnl.NLM_F_EXCL
		}
	case plan.Append:
		h.Flags |= rtnl.NLM_F_CREATE | rtnl.NLM_F_APPEND
	case plan.Replace:
		h.Flags |= rtnl.NLM_F_CREATE | rtnl.NLM_F_REPLACE
	}
	types := [...][2]uint16{plan.Nexthop: {rtnl.RTM_NEWNEXTHOP, rtnl.RTM_DELNEXTHOP},
		plan.Route: {rtnl.RTM_NEWROUTE, rtnl.RTM_DELROUTE}, plan.Rule: {rtnl.RTM_NEWRULE, rtnl.RTM_DELRULE}}
	h.Type = types[op.Kind][0]
	if op.Verb == plan.Delete {
		h.Type = types[op.Kind][1]
	}
	start := len(b.out)
	switch op.Kind {
	case plan.Nexthop:
		b.out, err = rtnl.AppendNexthop(b.out, h, op.Nexthop)
	case plan.Route:
		b.out, err = rtnl.AppendRoute(b.out, h, op.Route)
	default:
		q := rules.RequestOf(*op.Rule)
		b.out, err = rtnl.AppendRule(b.out, h, &q)
	}
	if err != nil { // no request can say this
		w.seq--
		w.fail(op, err)
		return nil
	}
	b.starts = append(b.starts, start)
	return nil
}

// handOver has another goroutine send what is collected, when the requests before are done.
func (w *writer) handOver() error {
	if err := w.settle(); err != nil {
		return err
	}
	b := w.filling
	w.filling, w.sent, w.underway = w.sent, b, true
	go func() { w.answered <- w.exchange(b) }()
	return nil
}

// settle waits until the kernel has dealt with what was handed over, and tells what became of
// each request.
func (w *writer) settle() error {
	if !w.underway {
		return nil
	}
	w.underway = false
	if err := <-w.answered; err != nil {
		w.sent.clear()
		return err
	}
	w.done(w.sent)
	return nil
}

// flush sends all that is left, and returns when the kernel has dealt with it.
func (w *writer) flush() error {
	if err := w.settle(); err != nil || len(w.filling.starts) == 0 {
		return err
	}
	if err := w.exchange(w.filling); err != nil {
		return err
	}
	w.done(w.filling)
	return nil
}

// exchange sends requests and reads what the kernel says to them.
func (w *writer) exchange(b *requests) error {
	rtnl.AddFlags(b.out[b.starts[len(b.starts)-1]:], rtnl.NLM_F_ACK)
	if err := w.send(b.out); err != nil {
		return err
	}
	return w.confirm(b)
}

// done notes what became of requests.
func (w *writer) done(b *requests) {
	if w.count != nil {
		w.tell(b)
	}
	if b.replied || w.result != nil {
		for i := range b.starts {
			w.conclude(b.request(i), b.errs[i])
		}
	} else {
		w.report.Done += len(b.starts)
	}
	b.clear()
}

// tell counts what became of requests.
func (w *writer) tell(b *requests) {
	var done [plan.Delete + 1][plan.Rule + 1]int
	for i := range b.starts {
		v, k := verbOf(b.request(i))
		if err := b.errs[i]; err != nil {
			w.count(OpResult{v, k, errnoOf(err)}, 1)
			continue
		}
		done[v][k]++
	}
	for v := range done {
		for k, n := range done[v] {
			if n > 0 {
				w.count(OpResult{plan.Verb(v), plan.Kind(k), 0}, n)
			}
		}
	}
}

func errnoOf(err error) fib.Errno {
	if k, ok := errors.AsType[*kernelError](err); ok {
		return k.errno
	}
	return fib.EINVAL
}

// confirm reads the answers to requests: an error for each that failed, and the
// confirmation of the last.
func (w *writer) confirm(of *requests) error {
	n := len(of.starts)
	if of.replied {
		clear(of.errs)
		of.replied = false
	}
	for {
		b, err := w.recv(w.in)
		if err != nil {
			return err
		}
		for len(b) > 0 {
			var m rtnl.Message
			if m, b, err = rtnl.Next(b); err != nil {
				return err
			}
			i := m.Seq - of.first
			if m.Type != rtnl.NLMSG_ERROR || m.Port != w.port || i >= uint32(n) {
				continue
			}
			if err := refusal(m); err != nil {
				of.errs[i], of.replied = err, true
			}
			if i == uint32(n-1) {
				return nil
			}
		}
	}
}

// gone are the errors of a deletion of what is not there.
func gone(err error) bool { return errors.Is(err, fib.ESRCH) || errors.Is(err, fib.ENOENT) }

// waits reports whether a request may succeed when links, addresses or routes have
// changed. A kernel says EINVAL of a gateway that is not reachable by a link it likes, of
// a source that no link has, and of an object that is not there.
func waits(err error) bool {
	for _, e := range [...]fib.Errno{fib.ENETDOWN, fib.ENETUNREACH, fib.EHOSTUNREACH, fib.ENODEV, fib.EINVAL, fib.EACCES, fib.EADDRNOTAVAIL} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// conclude notes what became of a request.
func (w *writer) conclude(request []byte, err error) {
	if err == nil && w.result == nil {
		w.report.Done++
		return
	}
	op, derr := decodeOp(request)
	switch {
	case derr != nil: // it is our own
		w.report.Failed++
	case err == nil || op.Verb == plan.Delete && gone(err):
		w.report.Done++
		if w.result != nil {
			w.result(op, nil)
		}
	case op.Verb != plan.Delete && waits(err) && len(w.retry) < maxRetried:
		w.retry = append(w.retry, retried{slices.Clone(request), err})
	default:
		w.fail(op, err)
	}
}

func (w *writer) fail(op plan.Op, err error) {
	r := w.report
	if errors.Is(err, fib.EEXIST) && op.Verb == plan.Add && op.Kind != plan.Rule {
		r.Conflicts = append(r.Conflicts, plan.Conflict{Kind: op.Kind, Object: op.Name(), Foreign: err.Error(),
			Reason: anothers})
		w.told(&op, err)
		if w.result != nil {
			w.result(op, err)
		}
		return
	}
	r.Failed++
	if waits(err) && op.Verb != plan.Delete {
		r.Pending++
		err = fmt.Errorf("%w, %w", err, ErrPending)
	}
	if op.Verb == plan.Append {
		if w.lacking == nil {
			w.lacking = map[routeKey]bool{}
		}
		w.lacking[keyOfRoute(op.Route)] = true
	}
	w.told(&op, err)
	if len(r.Failures) < maxFailures {
		r.Failures = append(r.Failures, Failure{Op: op.Verb.String() + " " + op.Name(), Err: err})
	}
	if w.result != nil {
		w.result(op, err)
	}
}

const anothers = "another's stands there"

func (w *writer) told(op *plan.Op, err error) {
	if w.refused != nil {
		w.refused(op, err)
	}
}

// again tries what failed once more as long as that helps: a route may have needed
// another that came later.
func (w *writer) again(ctx context.Context) error {
	for len(w.retry) > 0 {
		failed := w.retry
		w.retry = nil
		for left := failed; len(left) > 0; {
			n := min(len(left), writeBatch)
			b := w.filling
			b.first = w.seq + 1
			for _, f := range left[:n] {
				start := len(b.out)
				b.starts = append(b.starts, start)
				b.out = append(b.out, f.request...)
				rtnl.SetSeq(b.out[start:], w.nextSeq())
			}
			left = left[n:]
			if err := errors.Join(w.flush(), ctx.Err()); err != nil {
				return err
			}
		}
		w.report.Retried += len(failed) - len(w.retry)
		if len(w.retry) == len(failed) {
			break
		}
	}
	for _, f := range w.retry {
		if op, err := decodeOp(f.request); err == nil {
			w.fail(op, f.err)
		}
	}
	w.retry = nil
	return nil
}
