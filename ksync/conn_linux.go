package ksync

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtnl"
)

const (
	// A dump comes in datagrams of at most 32 KB, whatever the buffer; answers
	// to queries are far smaller.
	datagram = 64 << 10
	// Those of a dump of routes, none of which is larger than that.
	dumped = 32 << 10
	// Enough for the answers to a batch of queries; a dump waits for its reader.
	receiveBuffer = 2 << 20
	// The kernel answers within the request; only a bug keeps us waiting.
	patienceSeconds = 10
)

// conn is one rtnetlink socket. It belongs to the namespace in which it was
// opened, whatever thread uses it. Not safe for concurrent use.
type conn struct {
	fd   int
	port uint32
	seq  uint32
	out  []byte
	// room is how many bytes of answers the kernel keeps for us.
	room int
	// free are the receivers of stream, made by the first one.
	free chan *receiver
}

func dial() (*conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	c := &conn{fd: fd}
	if err := c.setUp(); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("set up a netlink socket: %w", err)
	}
	return c, nil
}

func (c *conn) setUp() error {
	if err := unix.SetsockoptInt(c.fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1); err != nil {
		return fmt.Errorf("strict checking, which needs Linux 4.20: %w", err)
	}
	// Remarks beside error numbers are a comfort, no need.
	_ = unix.SetsockoptInt(c.fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	_ = unix.SetsockoptInt(c.fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	if unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	}
	var err error
	if c.room, err = unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUF); err != nil {
		return err
	}
	if err := unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: patienceSeconds}); err != nil {
		return err
	}
	if err := unix.Bind(c.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	sa, err := unix.Getsockname(c.fd)
	if err != nil {
		return err
	}
	c.port = sa.(*unix.SockaddrNetlink).Pid
	return nil
}

func (c *conn) close() { unix.Close(c.fd) }

func (c *conn) nextSeq() uint32 {
	c.seq++
	return c.seq
}

// send hands requests to the kernel.
func (c *conn) send(b []byte) error {
	for {
		n, err := unix.Write(c.fd, b)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return fmt.Errorf("send %d bytes to the kernel: %w", len(b), err)
		case n != len(b):
			return fmt.Errorf("send %d bytes to the kernel: it took %d", len(b), n)
		default:
			return nil
		}
	}
}

// recv reads one datagram from the kernel into buf without allocating. Datagrams
// from other processes are thrown away.
func (c *conn) recv(buf []byte) ([]byte, error) {
	for {
		var from unix.RawSockaddrNetlink
		size := uint32(unsafe.Sizeof(from))
		n, _, e := unix.Syscall6(unix.SYS_RECVFROM, uintptr(c.fd), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)),
			unix.MSG_TRUNC, uintptr(unsafe.Pointer(&from)), uintptr(unsafe.Pointer(&size)))
		switch {
		case e == unix.EINTR:
		case e != 0:
			return nil, receiveError(e)
		case from.Pid != 0: // not from the kernel
		case int(n) > len(buf):
			return nil, fmt.Errorf("a datagram of %d bytes does not fit into %d", n, len(buf))
		default:
			return buf[:n], nil
		}
	}
}

func receiveError(e unix.Errno) error {
	switch e {
	case unix.ENOBUFS:
		return errLost
	case unix.EAGAIN:
		return fmt.Errorf("the kernel did not answer for %d seconds", patienceSeconds)
	}
	return fmt.Errorf("receive from the kernel: %w", e)
}

// kernelError is an errno with which the kernel refused a request.
type kernelError struct {
	errno  fib.Errno
	remark string
}

func (e *kernelError) Error() string {
	if e.remark != "" {
		return e.errno.Name() + ": " + e.remark
	}
	return e.errno.Name()
}

func (e *kernelError) Unwrap() error { return e.errno }

// refusal returns what m says went wrong, nil for success.
func refusal(m rtnl.Message) error {
	errno, remark := rtnl.DecodeError(m)
	if errno == 0 {
		return nil
	}
	return &kernelError{errno, remark}
}
