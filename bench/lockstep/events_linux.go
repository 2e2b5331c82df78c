package lockstep

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtnl"
)

// events hears when the kernel announces a change, as any program would.
type events struct{ fd int }

func (p *place) listen() (*events, error) {
	e := &events{fd: -1}
	err := p.ns.Do(func() (err error) {
		if e.fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE); err != nil {
			return err
		}
		if err := unix.Bind(e.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return err
		}
		for _, g := range []int{unix.RTNLGRP_LINK, unix.RTNLGRP_NEXTHOP} {
			if err := unix.SetsockoptInt(e.fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, g); err != nil {
				return err
			}
		}
		return unix.SetsockoptTimeval(e.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000})
	})
	if err != nil {
		e.close()
		return nil, fmt.Errorf("hear of changes: %w", err)
	}
	return e, nil
}

func (e *events) close() {
	if e.fd >= 0 {
		_ = unix.Close(e.fd)
	}
}

// until returns when the first message that fits came.
func (e *events) until(ctx context.Context, fits func(rtnl.Message) bool) (time.Time, error) {
	buf := make([]byte, 1<<16)
	for {
		n, err := unix.Read(e.fd, buf)
		now := time.Now()
		if ctx.Err() != nil {
			return now, ctx.Err()
		}
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
			continue
		}
		if err != nil {
			return now, fmt.Errorf("hear of changes: %w", err)
		}
		for b := buf[:n]; len(b) > 0; {
			var m rtnl.Message
			if m, b, err = rtnl.Next(b); err != nil {
				return now, err
			}
			if fits(m) {
				return now, nil
			}
		}
	}
}

func (e *events) linkDown(ctx context.Context) (time.Time, error) {
	return e.until(ctx, func(m rtnl.Message) bool {
		var l fib.Link
		return m.Type == rtnl.RTM_NEWLINK && rtnl.DecodeLink(m, &l, nil) == nil && l.Index == uplink && !l.Up()
	})
}

func (e *events) nexthopGone(ctx context.Context) (time.Time, error) {
	return e.until(ctx, func(m rtnl.Message) bool { return m.Type == rtnl.RTM_DELNEXTHOP })
}
