package ksync

import (
	"context"
	"encoding/binary"
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

// writer sends operations to the kernel, many at a time. What it needs per operation is
// in buffers that are used again.
type writer struct {
	*conn
	in      []byte
	starts  []int // where in out each request of the batch begins
	first   uint32
	errs    []error // of the requests of a batch; nil entries succeeded
	replied bool    // any entry of errs is set

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
	return &writer{conn: c, in: make([]byte, datagram), starts: make([]int, 0, writeBatch), errs: make([]error, writeBatch)}
}

// do sends operations. Those that the kernel refuses are in the report; an error
// means that nothing more can be sent.
func (w *writer) do(ctx context.Context, ops iter.Seq[plan.Op], report *ExportReport, result func(plan.Op, error)) error {
	w.report, w.result, w.retry = report, result, w.retry[:0]
	w.out, w.starts = w.out[:0], w.starts[:0]
	w.joining, w.lacking = false, nil
	var err error
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
		if len(w.starts) == writeBatch || len(w.out) > writeBytes {
			if err = errors.Join(w.flush(), ctx.Err()); err != nil {
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
	if len(w.starts) == 0 {
		w.first = h.Seq
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
	start := len(w.out)
	switch op.Kind {
	case plan.Nexthop:
		w.out, err = rtnl.AppendNexthop(w.out, h, op.Nexthop)
	case plan.Route:
		w.out, err = rtnl.AppendRoute(w.out, h, op.Route)
	default:
		q := rules.RequestOf(*op.Rule)
		w.out, err = rtnl.AppendRule(w.out, h, &q)
	}
	if err != nil { // no request can say this
		w.seq--
		w.fail(op, err)
		return nil
	}
	w.starts = append(w.starts, start)
	return nil
}

// flush sends the batch, waits until the kernel has dealt with it and tells what became
// of each request.
func (w *writer) flush() error {
	n := len(w.starts)
	if n == 0 {
		return nil
	}
	rtnl.AddFlags(w.out[w.starts[n-1]:], rtnl.NLM_F_ACK)
	if err := w.send(w.out); err != nil {
		return err
	}
	if err := w.confirm(n); err != nil {
		return err
	}
	if w.count != nil {
		w.tell(n)
	}
	if w.replied || w.result != nil {
		for i := range n {
			w.conclude(w.request(i), w.errs[i])
		}
	} else {
		w.report.Done += n
	}
	w.out, w.starts = w.out[:0], w.starts[:0]
	return nil
}

// tell counts what became of the requests of a batch.
func (w *writer) tell(n int) {
	var done [plan.Delete + 1][plan.Rule + 1]int
	for i := range n {
		v, k := verbOf(w.request(i))
		if err := w.errs[i]; err != nil {
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

// request is the i-th request of the batch.
func (w *writer) request(i int) []byte {
	end := len(w.out)
	if i+1 < len(w.starts) {
		end = w.starts[i+1]
	}
	return w.out[w.starts[i]:end]
}

// confirm reads the answers to a batch: an error for each request that failed, and the
// confirmation of the last.
func (w *writer) confirm(n int) error {
	if w.replied {
		clear(w.errs)
		w.replied = false
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
			i := m.Seq - w.first
			if m.Type != rtnl.NLMSG_ERROR || m.Port != w.port || i >= uint32(n) {
				continue
			}
			if err := refusal(m); err != nil {
				w.errs[i], w.replied = err, true
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
			w.first = w.seq + 1
			for _, f := range left[:n] {
				start := len(w.out)
				w.starts = append(w.starts, start)
				w.out = append(w.out, f.request...)
				rtnl.SetSeq(w.out[start:], w.nextSeq())
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

// verbOf tells from its head what a request asks for.
func verbOf(request []byte) (plan.Verb, plan.Kind) {
	typ, flags := binary.NativeEndian.Uint16(request[4:]), binary.NativeEndian.Uint16(request[6:])
	v, k := plan.Add, plan.Rule
	switch typ {
	case rtnl.RTM_NEWNEXTHOP, rtnl.RTM_DELNEXTHOP:
		k = plan.Nexthop
	case rtnl.RTM_NEWROUTE, rtnl.RTM_DELROUTE:
		k = plan.Route
	}
	switch {
	case typ == rtnl.RTM_DELNEXTHOP || typ == rtnl.RTM_DELROUTE || typ == rtnl.RTM_DELRULE:
		v = plan.Delete
	case flags&rtnl.NLM_F_REPLACE != 0:
		v = plan.Replace
	case flags&rtnl.NLM_F_APPEND != 0:
		v = plan.Append
	}
	return v, k
}

// decodeOp is the operation that a request asks for.
func decodeOp(request []byte) (op plan.Op, err error) {
	m, _, err := rtnl.Next(request)
	if err != nil {
		return op, err
	}
	switch op.Verb, op.Kind = verbOf(request); op.Kind {
	case plan.Nexthop:
		op.Nexthop = new(fib.NexthopObject)
		err = rtnl.DecodeNexthop(m, op.Nexthop, nil)
	case plan.Route:
		op.Route = new(fib.Route)
		err = rtnl.DecodeRoute(m, op.Route, nil)
	default:
		var q rules.Request
		err = rtnl.DecodeRule(m, &q, nil)
		op.Rule = &q.Rule
	}
	return op, err
}
