//go:build freebsd && (amd64 || arm64 || riscv64)

package ksync

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/net/route"
	"golang.org/x/sys/unix"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtsock"
)

// Load reads the network stack of the process into a new FIB: see [Scan].
func Load(ctx context.Context, opt Options) (*fib.FIB, error) { return rtLoad(ctx, freebsd{}, opt) }

// Scan reads the network stack of the process as plain data, and tells what of it is not
// modelled. FIB 0 is table main, FIB n table n. How FreeBSD decides is not modelled: a
// FIB made of the data answers as Linux with these tables would.
//
// It needs FreeBSD 14, whose routing sockets tell when they overflow, and no privilege.
// Errors wrap errors.ErrUnsupported for a namespace other than the current one,
// [ErrChanging] where no moment of rest was found, and ctx's error.
func Scan(ctx context.Context, opt Options) (fib.State, Report, error) {
	return rtScan(ctx, freebsd{}, opt)
}

func openMirrorSource(ctx context.Context, opt *MirrorOptions) (source, error) {
	s, err := openRT(ctx, freebsd{}, opt.NetNS, opt.Tables, opt.ReceiveBuffer)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// freebsd asks the running kernel.
type freebsd struct{}

func (freebsd) now() int64 { return time.Now().Unix() }
func (freebsd) pid() int   { return os.Getpid() }

func (freebsd) fibs() (int, error) {
	n, err := unix.SysctlUint32("net.fibs")
	return int(n), err
}

var families = [...]struct {
	fam fib.Family
	af  int
}{{fib.Inet, unix.AF_INET}, {fib.Inet6, unix.AF_INET6}}

func (freebsd) families() (out []fib.Family) {
	for _, f := range families {
		if fd, err := unix.Socket(f.af, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err == nil {
			unix.Close(fd)
			out = append(out, f.fam)
		}
	}
	return out
}

func (freebsd) links() ([]byte, error) {
	b, err := route.FetchRIB(unix.AF_UNSPEC, route.RIBTypeInterface, 0)
	if errors.Is(err, unix.ENOMEM) {
		err = fmt.Errorf("%w: %w", errMoved, err)
	}
	return b, err
}

// routes asks as route.FetchRIB does, which names no FIB and gets the one of the process.
func (freebsd) routes(f fib.Family, n uint16) ([]byte, error) {
	af := unix.AF_INET
	if f == fib.Inet6 {
		af = unix.AF_INET6
	}
	var last error
	for range attempts { // the table may grow between being measured and being read
		var b []byte
		b, last = unix.SysctlRaw("net.routetable", 0, af, unix.NET_RT_DUMP, 0, int(n))
		if !errors.Is(last, unix.ENOMEM) {
			return b, last
		}
	}
	return nil, fmt.Errorf("%w: %w", errMoved, last)
}

func (freebsd) sysctls(s *fib.Sysctls) error {
	for name, to := range map[string][2]*bool{
		"net.inet.ip.forwarding":   {&s.All4.Forwarding, &s.Default4.Forwarding},
		"net.inet6.ip6.forwarding": {&s.All6.Forwarding, &s.Default6.Forwarding},
	} {
		v, err := unix.SysctlUint32(name)
		if errors.Is(err, unix.ENOENT) { // a kernel without the family
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		*to[0], *to[1] = v != 0, v != 0
	}
	return nil
}

func (freebsd) drops() (uint64, error) {
	b, err := unix.SysctlRaw("net.isr.work")
	if err != nil {
		return 0, err
	}
	return rtsock.QueueDrops(b)
}

// freebsdSockets are routing sockets and a pipe that ends waiting.
type freebsdSockets struct {
	fds    []int
	polled []unix.PollFd
	pipe   [2]int

	mu     sync.Mutex // guards closed, and with it what pipe names
	closed bool
}

func (freebsd) listen(fibs []uint16, buffer int) (rtSockets, error) {
	s := &freebsdSockets{}
	if err := unix.Pipe2(s.pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, os.NewSyscallError("pipe2", err)
	}
	for _, n := range fibs {
		fd, err := unix.Socket(unix.AF_ROUTE, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.AF_UNSPEC)
		if err != nil {
			s.close()
			return nil, os.NewSyscallError("socket", err)
		}
		s.fds = append(s.fds, fd)
		if err := prepare(fd, n, buffer); err != nil {
			s.close()
			return nil, err
		}
	}
	for _, fd := range append(s.fds[:len(s.fds):len(s.fds)], s.pipe[0]) {
		s.polled = append(s.polled, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	return s, nil
}

// prepare makes a socket hear of one FIB and tell of what it drops.
func prepare(fd int, n uint16, buffer int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SETFIB, int(n)); err != nil {
		return fmt.Errorf("setsockopt SO_SETFIB %d: %w", n, err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RERROR, 1); err != nil {
		return fmt.Errorf("setsockopt SO_RERROR: %w: %w (FreeBSD 14 has it)", errors.ErrUnsupported, err)
	}
	for ; buffer >= 1<<16; buffer /= 2 { // a size that is not granted changes nothing
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer) == nil {
			break
		}
	}
	return nil
}

func (s *freebsdSockets) wait() error {
	for {
		_, err := unix.Poll(s.polled, -1)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return os.NewSyscallError("poll", err)
		case s.polled[len(s.polled)-1].Revents != 0:
			return net.ErrClosed
		default:
			return nil
		}
	}
}

func (s *freebsdSockets) read(i int, b []byte) (int, error) {
	for {
		n, err := unix.Read(s.fds[i], b)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return 0, nil
		case errors.Is(err, unix.ENOBUFS):
			return 0, errLost
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		default:
			return n, nil
		}
	}
}

// ask looks up an address. The answer goes the way of announcements, behind them, even
// where it is an error, which the call returns as well.
func (s *freebsdSockets) ask(i int, seq uint32) error {
	m := route.RouteMessage{Version: unix.RTM_VERSION, Type: unix.RTM_GET, ID: uintptr(os.Getpid()), Seq: int(seq),
		Addrs: []route.Addr{unix.RTAX_DST: &route.Inet4Addr{IP: [4]byte{127, 0, 0, 1}}}}
	b, err := m.Marshal()
	if err != nil {
		return err
	}
	if _, err := unix.Write(s.fds[i], b); errors.Is(err, unix.EBADF) {
		return os.NewSyscallError("write", err)
	}
	return nil
}

func (s *freebsdSockets) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		_, _ = unix.Write(s.pipe[1], []byte{0})
	}
}

func (s *freebsdSockets) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, fd := range append(s.fds, s.pipe[:]...) {
		unix.Close(fd)
	}
}
