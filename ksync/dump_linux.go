package ksync

import (
	"context"
	"errors"
	"fmt"

	"github.com/fibula-net/fibula/internal/rtnl"
)

// dump asks for d and calls fn for each message of the answer, whose bytes are
// valid only during the call. An error from fn, from the kernel or from ctx ends
// it and leaves the connection useless, but for errInterrupted and a
// *kernelError, after which nothing is left to read.
func (c *conn) dump(ctx context.Context, d rtnl.Dump, buf []byte, fn func(rtnl.Message) error) error {
	if err := c.request(d); err != nil {
		return err
	}
	interrupted := false
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		b, err := c.recv(buf)
		if err != nil {
			return err
		}
		done, err := c.messages(b, &interrupted, fn)
		if done || err != nil {
			return err
		}
	}
}

// spoils reports whether an error of a dump leaves the connection useless.
func spoils(err error) bool {
	var refused *kernelError
	return err != nil && !errors.Is(err, errInterrupted) && !errors.As(err, &refused)
}

// redial replaces a connection that is of no more use. The old one is closed last: its
// number must not become another file's while somebody may still use it.
func (s *scan) redial(ns NetNS) error {
	c, err := dialIn(ns)
	if err != nil {
		return err
	}
	s.conn.close()
	s.conn = c
	return nil
}

func (c *conn) request(d rtnl.Dump) (err error) {
	if c.out, err = rtnl.AppendDump(c.out[:0], c.nextSeq(), d); err != nil {
		return err
	}
	return c.send(c.out)
}

// messages passes the messages of one datagram to fn; done after the last of the
// dump. Leftovers of older requests are passed over.
func (c *conn) messages(b []byte, interrupted *bool, fn func(rtnl.Message) error) (done bool, err error) {
	for len(b) > 0 {
		m, rest, err := rtnl.Next(b)
		if err != nil {
			return false, err
		}
		b = rest
		if m.Seq != c.seq || m.Port != c.port {
			continue
		}
		if m.Flags&rtnl.NLM_F_DUMP_INTR != 0 {
			*interrupted = true
		}
		switch m.Type {
		case rtnl.NLMSG_DONE, rtnl.NLMSG_ERROR:
			if err := refusal(m); err != nil {
				return true, err
			}
			if *interrupted {
				return true, errInterrupted
			}
			return true, nil
		case rtnl.NLMSG_NOOP:
		case rtnl.NLMSG_OVERRUN:
			return false, errLost
		default:
			if err := fn(m); err != nil && !errors.Is(err, rtnl.ErrSkip) {
				return false, err
			}
		}
	}
	return false, nil
}

// dumpAll is dump for what fits into memory and can be started over: reset
// forgets what was collected.
func (c *conn) dumpAll(ctx context.Context, d rtnl.Dump, buf []byte, reset func(), fn func(rtnl.Message) error) error {
	for range attempts {
		reset()
		if err := c.dump(ctx, d, buf, fn); !errors.Is(err, errInterrupted) {
			return err
		}
	}
	return fmt.Errorf("%w: %d times %w", ErrChanging, attempts, errInterrupted)
}

// Datagrams come many to a system call: a call that takes longer than some 20 µs, as those of a dump do, has Go's
// scheduler look for work for others, again and again, which may cost a third of what the dump does. One
// such bunch is read while the other one is decoded.
const (
	perCall  = 16
	inFlight = 2
)

// stream is dump for very many messages: a second goroutine reads, so that the
// kernel fills the next datagrams while fn works. fn runs on the caller's goroutine.
func (c *conn) stream(ctx context.Context, d rtnl.Dump, fn func(rtnl.Message) error) error {
	if err := c.request(d); err != nil {
		return err
	}
	type piece struct {
		r   *receiver // with what came before err
		err error
	}
	if c.free == nil {
		c.free = make(chan *receiver, inFlight)
		for range inFlight {
			c.free <- newReceiver(perCall)
		}
	}
	full := make(chan piece, inFlight)
	stop := make(chan struct{})
	defer func() { // the reader must be gone before the connection is used again
		close(stop)
		for p := range full {
			c.free <- p.r
		}
	}()
	go func() {
		defer close(full)
		for {
			select {
			case <-stop:
				return
			case r := <-c.free:
				err := r.receive(c.fd)
				full <- piece{r, err} // has room for every receiver
				if err != nil || c.lastOfDump(r.last()) {
					return
				}
			}
		}
	}()
	interrupted := false
	for p := range full {
		err, done := errors.Join(p.err, ctx.Err()), false
		for i := 0; i < p.r.n && !done && err == nil; i++ {
			done, err = c.messages(p.r.datagram(i), &interrupted, fn)
		}
		c.free <- p.r
		if done || err != nil {
			return err
		}
	}
	return errors.New("the kernel ended a dump without saying so")
}

// lastOfDump reports whether nothing follows a datagram: it holds the end of the
// dump, or is malformed.
func (c *conn) lastOfDump(b []byte) bool {
	for len(b) > 0 {
		m, rest, err := rtnl.Next(b)
		if err != nil || m.Seq == c.seq && (m.Type == rtnl.NLMSG_DONE || m.Type == rtnl.NLMSG_ERROR) {
			return true
		}
		b = rest
	}
	return false
}
