package rtsend

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"syscall"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtnl"
	"github.com/fibula-net/fibula/rules"
)

// batchBytes is how much one system call carries: well below a socket's default
// send buffer, and enough that the call itself costs nothing.
const batchBytes = 64 << 10

// Routes enters routes through one netlink socket, which must be of the namespace
// that they are for. The kernel confirms a batch at a time. It returns how many it
// took; a route that the kernel refuses is an error that names it.
func Routes(ctx context.Context, sock int, routes iter.Seq[*fib.Route], progress func(n int)) (int, error) {
	return Requests(ctx, sock, rtnl.Header{Type: rtnl.RTM_NEWROUTE, Flags: flags}, routes, progress)
}

// Requests asks the same of each route, as Routes does: what h says, such as to delete it.
func Requests(ctx context.Context, sock int, h rtnl.Header, routes iter.Seq[*fib.Route], progress func(n int)) (int, error) {
	s := newSender(sock)
	for r := range routes {
		if err := s.add(ctx, progress, func(b []byte, seq uint32) ([]byte, error) {
			h.Seq = seq
			return rtnl.AppendRoute(b, h, r)
		}); err != nil {
			return s.sent, err
		}
	}
	return s.sent, s.flush()
}

// Rules enters rules as Routes does routes.
func Rules(ctx context.Context, sock int, all iter.Seq[*rules.Request]) (int, error) {
	s := newSender(sock)
	for q := range all {
		if err := s.add(ctx, func(int) {}, func(b []byte, seq uint32) ([]byte, error) {
			return rtnl.AppendRule(b, rtnl.Header{Type: rtnl.RTM_NEWRULE, Flags: flags, Seq: seq}, q)
		}); err != nil {
			return s.sent, err
		}
	}
	return s.sent, s.flush()
}

const flags = rtnl.NLM_F_REQUEST | rtnl.NLM_F_CREATE | rtnl.NLM_F_EXCL

type sender struct {
	sock    int
	out, in []byte
	last    int // where the last message begins
	seq     uint32
	first   uint32 // sequence number of the batch's first message
	sent    int
}

func newSender(sock int) *sender { return &sender{sock: sock, in: make([]byte, 1<<16)} }

func (s *sender) add(ctx context.Context, progress func(int), appendTo func(b []byte, seq uint32) ([]byte, error)) error {
	if len(s.out) > batchBytes {
		if err := s.flush(); err != nil {
			return err
		}
		progress(s.sent)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	s.seq++
	if len(s.out) == 0 {
		s.first = s.seq
	}
	s.last = len(s.out)
	var err error
	s.out, err = appendTo(s.out, s.seq)
	return err
}

// flush sends the batch and waits until the kernel has dealt with all of it.
func (s *sender) flush() error {
	if len(s.out) == 0 {
		return nil
	}
	// Only the last message asks for a confirmation; errors come anyway.
	rtnl.AddFlags(s.out[s.last:], rtnl.NLM_F_ACK)
	if err := syscall.Sendto(s.sock, s.out, 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		return fmt.Errorf("send: %w", os.NewSyscallError("sendto", err))
	}
	for {
		n, _, err := syscall.Recvfrom(s.sock, s.in, 0)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("confirm: %w", os.NewSyscallError("recvfrom", err))
		}
		for b := s.in[:n]; len(b) > 0; {
			var m rtnl.Message
			if m, b, err = rtnl.Next(b); err != nil {
				return fmt.Errorf("confirm: %w", err)
			}
			if m.Type != rtnl.NLMSG_ERROR {
				continue
			}
			if errno, remark := rtnl.DecodeError(m); errno != 0 {
				return fmt.Errorf("the kernel refuses number %d: %w %s", s.sent+int(m.Seq-s.first)+1, errno, remark)
			}
			if m.Seq == s.seq {
				s.sent += int(s.seq - s.first + 1)
				s.out = s.out[:0]
				return nil
			}
		}
	}
}

// Open opens a netlink socket of the calling thread's namespace.
func Open() (int, error) {
	s, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, syscall.NETLINK_ROUTE)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	return s, nil
}
