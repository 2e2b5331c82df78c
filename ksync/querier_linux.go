package ksync

import (
	"errors"
	"fmt"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtnl"
)

// Querier asks the kernel where flows go (RTM_GETROUTE). It is not safe for
// concurrent use.
type Querier struct {
	ns   NetNS
	conn *conn
	buf  []byte
	rep  Report
	one  Reply

	noFlowLabel bool // the kernel refuses a query with one (before Linux 6.14)
}

// OpenQuerier connects to the kernel inside a namespace; any thread may use the
// Querier then. Close it after use.
func OpenQuerier(ns NetNS) (*Querier, error) {
	q := &Querier{ns: ns, buf: make([]byte, datagram)}
	kernel, err := kernelVersion()
	if err != nil {
		return nil, err
	}
	q.noFlowLabel = !kernel.AtLeast(6, 14)
	err = inside(ns, func() (err error) {
		q.conn, err = dial()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%v: %w", ns, err)
	}
	return q, nil
}

// Close ends the connection.
func (q *Querier) Close() { q.conn.close() }

// Report counts what the replies so far had that is not modelled. It stays the
// Querier's.
func (q *Querier) Report() *Report { return &q.rep }

// Get asks for one flow. flags are [LookupTable] and [FibMatch]. The errno is the
// kernel's answer for a flow without a way, 0 for a reply; err is for a query that
// did not take place. Kernels before Linux 6.14 are asked without the flow label,
// which a query could not have.
func (q *Querier) Get(f fib.Flow, flags uint32) (Reply, fib.Errno, error) {
	var reply Reply
	var answer fib.Errno
	err := q.GetBatch([]fib.Flow{f}, flags, func(_ int, r *Reply, errno fib.Errno) {
		if answer = errno; r != nil {
			reply = *r
		}
	})
	q.one.Route.Nexthops = nil // the caller's now
	return reply, answer, err
}

const (
	// What one answer takes of the receive buffer: the kernel counts its own
	// bookkeeping too, about 0.9 KB where an answer is trimmed, more than 4 KB at worst.
	answerRoom = 4608
	maxBatch   = 512
)

// GetBatch asks for many flows and calls fn with each answer, in order: a reply,
// valid only during the call, or an errno. Many requests travel in one system
// call, so this is several times faster than [Querier.Get]. If it fails, some
// calls of fn may have taken place.
func (q *Querier) GetBatch(flows []fib.Flow, flags uint32, fn func(i int, reply *Reply, errno fib.Errno)) error {
	step := min(max(q.conn.room/answerRoom, 1), maxBatch)
	for from := 0; from < len(flows); from += step {
		to := min(from+step, len(flows))
		if err := q.batch(flows[from:to], from, flags, fn); err != nil {
			return fmt.Errorf("route queries in %v: %w", q.ns, err)
		}
	}
	return nil
}

func (q *Querier) batch(flows []fib.Flow, offset int, flags uint32, fn func(int, *Reply, fib.Errno)) error {
	c := q.conn
	out, first := c.out[:0], c.seq+1
	for i := range flows {
		f := flows[i]
		if q.noFlowLabel {
			f.FlowLabel = 0
		}
		var err error
		if out, err = rtnl.AppendRouteQuery(out, c.nextSeq(), &f, flags); err != nil {
			c.out = out[:0]
			return err
		}
	}
	c.out = out
	if err := c.send(out); err != nil {
		return err
	}
	for answered := 0; answered < len(flows); {
		b, err := c.recv(q.buf)
		if err != nil {
			return err
		}
		for len(b) > 0 {
			m, rest, err := rtnl.Next(b)
			if err != nil {
				return err
			}
			b = rest
			i := int(int32(m.Seq - first))
			if m.Port != c.port || i < answered || i >= len(flows) {
				continue // to an earlier request
			}
			if i != answered {
				return fmt.Errorf("%w: answer %d came after answer %d", errLost, i, answered-1)
			}
			if err := q.answer(m, offset+i, fn); err != nil {
				return err
			}
			answered++
		}
	}
	return nil
}

func (q *Querier) answer(m rtnl.Message, i int, fn func(int, *Reply, fib.Errno)) error {
	if m.Type != rtnl.NLMSG_ERROR {
		if err := rtnl.DecodeReply(m, &q.one, &q.rep); err != nil {
			return err
		}
		fn(i, &q.one, 0)
		return nil
	}
	errno, _ := rtnl.DecodeError(m)
	if errno == 0 {
		return errors.New("the kernel confirmed a query without answering it")
	}
	fn(i, nil, errno)
	return nil
}
