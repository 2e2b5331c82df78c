package ksync

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/fibula-net/fibula/internal/rtnl"
)

const (
	// One queued notification takes 832 bytes of the buffer, of which the kernel
	// grants twice what is asked for: room for 80,000.
	eventBuffer = 32 << 20
	// Each notification is a datagram of its own, so that a call must take many.
	eventBatch = 64
)

// The multicast groups of rtnetlink whose news can change answers (F1).
var (
	linkGroups = []int{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
		unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF}
	routeGroups  = []int{unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_NEXTHOP}
	ruleGroups   = []int{unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE}
	configGroups = append(append(append([]int(nil), linkGroups...), routeGroups...), ruleGroups...)
)

// subscribeOptions say what a subscription hears.
type subscribeOptions struct {
	groups []int // RTNLGRP_*; those that the kernel does not have stay silent
	buffer int   // bytes asked for, of which the kernel grants the double; 0: eventBuffer
	filter eventFilter
}

// subscription hears what the kernel announces of the namespace in which it was
// opened. One goroutine reads; close may be called from any.
type subscription struct {
	fd, stop int // stop is an eventfd that ends waiting
	port     uint32
	room     int // bytes that the kernel queues
	asked    int // and how many it should
	ctx      context.Context
	unbind   func() bool

	msgs  []mmsghdr
	drops uint32 // messages that the kernel counted as lost when last asked

	mu     sync.Mutex // guards closed, and with it what the descriptors name; held for no other lock
	closed bool
}

// mmsghdr is struct mmsghdr.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// subscribe opens a subscription, which ends with ctx.
func subscribe(ctx context.Context, ns NetNS, opt subscribeOptions) (s *subscription, err error) {
	if err := inside(ns, func() (err error) { s, err = newSubscription(opt); return err }); err != nil {
		return nil, fmt.Errorf("subscribe to changes of %v: %w", ns, err)
	}
	s.ctx = ctx
	s.unbind = context.AfterFunc(ctx, s.wake)
	return s, nil
}

func newSubscription(opt subscribeOptions) (*subscription, error) {
	s := &subscription{fd: -1, stop: -1}
	if err := s.open(opt); err != nil {
		s.close()
		return nil, err
	}
	s.msgs = make([]mmsghdr, eventBatch)
	iovs, names, bufs := make([]unix.Iovec, eventBatch), make([]unix.RawSockaddrNetlink, eventBatch), make([]byte, eventBatch*datagram)
	for i := range s.msgs {
		h := &s.msgs[i].hdr
		iovs[i].Base = &bufs[i*datagram]
		iovs[i].SetLen(datagram)
		h.Iov = &iovs[i]
		h.SetIovlen(1)
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&names[i])), unix.SizeofSockaddrNetlink
	}
	return s, nil
}

func (s *subscription) open(opt subscribeOptions) (err error) {
	if s.stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fmt.Errorf("eventfd: %w", err)
	}
	if s.fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("open a netlink socket: %w", err)
	}
	size := opt.buffer
	if size == 0 {
		size = eventBuffer
	}
	if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size) != nil { // without privilege the system's limit holds
		if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, size); err != nil {
			return fmt.Errorf("set the receive buffer: %w", err)
		}
	}
	s.asked = 2 * size
	if s.room, err = unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF); err != nil {
		return fmt.Errorf("ask for the receive buffer: %w", err)
	}
	if err := s.setFilter(opt.filter); err != nil {
		return err
	}
	if err := unix.Bind(s.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	sa, err := unix.Getsockname(s.fd)
	if err != nil {
		return fmt.Errorf("ask for the port: %w", err)
	}
	s.port = sa.(*unix.SockaddrNetlink).Pid
	for _, g := range opt.groups {
		// A kernel without the subject (nexthop objects, IPv6) may lack its group.
		if err := unix.SetsockoptInt(s.fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, g); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("join group %d: %w", g, err)
		}
	}
	return nil
}

// setFilter makes the kernel keep messages back. What is queued already still comes, and
// everything if the kernel has no room for the filter (net.core.optmem_max).
func (s *subscription) setFilter(f eventFilter) error {
	p := f.program()
	attach := func() error {
		if len(p) == 0 {
			return nil
		}
		return unix.SetsockoptSockFprog(s.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]})
	}
	err := attach()
	if len(p) == 0 || errors.Is(err, unix.ENOMEM) { // beside the one that is there
		_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0) // fails if there is none
		err = attach()
	}
	if err != nil && !errors.Is(err, unix.ENOMEM) {
		return fmt.Errorf("attach a filter of %d instructions: %w", len(p), err)
	}
	return nil
}

// read gives fn the messages that are there, as many as one system call takes; they
// are valid during the call only. Where there are none it waits, up to patience (below
// 0: for ever). more tells that the socket may hold others.
//
// errLost says that the kernel dropped messages, or had none to spare. Those that follow
// are older until read has found nothing more; only then the kernel queues again. So
// what a dump begun after that shows, and what is read after that, is all there is.
//
// Other errors end the subscription: ctx's, or net.ErrClosed.
func (s *subscription) read(patience time.Duration, fn func(rtnl.Message) error) (more bool, err error) {
	for {
		n, err := s.receive()
		switch {
		case err != nil:
			return true, err
		case n > 0:
			return true, s.deliver(n, fn)
		case s.lostUnsaid():
			return true, errLost
		case patience == 0:
			return false, s.ended()
		}
		if err := s.wait(patience); err != nil {
			return false, err
		}
		if patience > 0 {
			patience = 0
		}
	}
}

// receive takes up to eventBatch datagrams; none if there are none.
func (s *subscription) receive() (int, error) {
	for {
		for i := range s.msgs {
			s.msgs[i].hdr.Namelen, s.msgs[i].hdr.Flags = unix.SizeofSockaddrNetlink, 0
		}
		n, _, e := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.msgs[0])), eventBatch, unix.MSG_DONTWAIT, 0, 0)
		switch e {
		case 0:
			return int(n), nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, nil
		case unix.ENOBUFS:
			s.drops = s.counted()
			return 0, errLost
		default:
			if err := s.ended(); err != nil {
				return 0, err
			}
			return 0, fmt.Errorf("hear of changes: %w", e)
		}
	}
}

// deliver passes on the messages of n datagrams, but for those of other processes.
func (s *subscription) deliver(n int, fn func(rtnl.Message) error) error {
	var lost error
	for i := range s.msgs[:n] {
		m := &s.msgs[i]
		if (*unix.RawSockaddrNetlink)(unsafe.Pointer(m.hdr.Name)).Pid != 0 {
			continue
		}
		if m.hdr.Flags&unix.MSG_TRUNC != 0 {
			lost = errLost // it did not fit
			continue
		}
		for b := unsafe.Slice(m.hdr.Iov.Base, m.len); len(b) > 0; {
			msg, rest, err := rtnl.Next(b)
			if err != nil {
				return err
			}
			b = rest
			if msg.Type == rtnl.NLMSG_OVERRUN {
				lost = errLost
				continue
			}
			if err := fn(msg); err != nil {
				return err
			}
		}
	}
	return lost
}

// lostUnsaid reports whether the kernel counts more lost messages than when it last
// said so: the proof that no loss goes unnoticed.
func (s *subscription) lostUnsaid() bool {
	before := s.drops
	s.drops = s.counted()
	return s.drops != before
}

// counted is the kernel's count of the messages that did not fit, modulo 2^32.
func (s *subscription) counted() uint32 {
	const words, drops = 9, 8 // SK_MEMINFO_VARS, SK_MEMINFO_DROPS
	var info [words]uint32
	size := uint32(unsafe.Sizeof(info))
	_, _, e := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(s.fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if e != 0 || size <= drops*4 {
		return s.drops // a kernel that does not count says so by ENOBUFS only
	}
	return info[drops]
}

// wait returns when there is something to read, or patience is at its end.
func (s *subscription) wait(patience time.Duration) error {
	if err := s.ended(); err != nil {
		return err
	}
	fds := [...]unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}, {Fd: int32(s.stop), Events: unix.POLLIN}}
	var limit *unix.Timespec
	if patience >= 0 {
		t := unix.NsecToTimespec(patience.Nanoseconds())
		limit = &t
	}
	if _, err := unix.Ppoll(fds[:], limit, nil); err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("wait for changes: %w", err)
	}
	return s.ended()
}

// ended tells why nothing more is read, if so.
func (s *subscription) ended() error {
	if s.ctx != nil && s.ctx.Err() != nil {
		return s.ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	return nil
}

// wake makes a read that waits return.
func (s *subscription) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		_, _ = unix.Write(s.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
}

// close frees the descriptors. The reader must have returned, or be the caller.
func (s *subscription) close() {
	if s.unbind != nil {
		s.unbind()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	for _, fd := range [...]int{s.fd, s.stop} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}
