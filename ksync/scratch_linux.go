package ksync

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rebuild"
	"github.com/fibula-net/fibula/internal/rtnl"
	"github.com/fibula-net/fibula/internal/throwaway"
)

// scratch is a namespace of our own in which a state was rebuilt.
type scratch struct {
	near, far *throwaway.NS // far holds the other ends of links; nil if there are none
	commands  []string      // those that worked
}

// newScratch rebuilds st, as far as that can be done, in a new namespace. Close it
// after use.
func newScratch(ctx context.Context, st *fib.State, fresh *fib.Sysctls) (*scratch, error) {
	s := &scratch{commands: []string{"ip netns add " + rebuild.Name}}
	var err error
	if s.near, err = throwaway.New(); err != nil {
		return nil, err
	}
	if err := s.build(ctx, st, fresh); err != nil {
		s.close()
		return nil, fmt.Errorf("rebuild a state in a scratch namespace: %w", err)
	}
	return s, nil
}

func (s *scratch) close() {
	s.near.Close()
	if s.far != nil {
		s.far.Close()
	}
}

func (s *scratch) netns() NetNS { return Path(s.near.Path()) }

func (s *scratch) build(ctx context.Context, st *fib.State, fresh *fib.Sysctls) error {
	opt := rebuild.Options{Fresh: *fresh}
	if len(st.Links) > 1 {
		var err error
		if s.far, err = throwaway.New(); err != nil {
			return err
		}
		file, err := os.Open(s.far.Path())
		if err != nil {
			return err
		}
		defer file.Close()
		opt.FarNetNS = file.Fd()
		s.commands = append(s.commands, "ip netns add "+rebuild.Far)
	}
	steps, err := rebuild.Plan(st, opt)
	if err != nil {
		return err
	}
	conns := map[bool]*conn{}
	for far, ns := range map[bool]*throwaway.NS{false: s.near, true: s.far} {
		if ns == nil {
			continue
		}
		c, err := dialIn(Path(ns.Path()))
		if err != nil {
			return err
		}
		defer c.close()
		conns[far] = c
	}
	for len(steps) > 0 {
		var later []rebuild.Step
		for i := range steps {
			step := &steps[i]
			if err := ctx.Err(); err != nil {
				return err
			}
			if step.Rest {
				if err := s.settle(ctx, st); err != nil {
					return err
				}
			}
			switch err := s.run(step, conns[step.Far]); {
			case err == nil:
				if step.Text != "" {
					s.commands = append(s.commands, step.Text)
				}
			case step.Retry && isErrno(err):
				later = append(later, *step)
			case !isErrno(err):
				return err
			}
		}
		if len(later) == len(steps) {
			break // the kernel will not have them
		}
		steps = later
	}
	return s.settle(ctx, st)
}

func dialIn(ns NetNS) (c *conn, err error) {
	err = inside(ns, func() (err error) { c, err = dial(); return err })
	return c, err
}

// isErrno reports whether the kernel heard the request, or setting, and refused it.
func isErrno(err error) bool {
	var k *kernelError
	var p *os.PathError
	return errors.As(err, &k) || errors.As(err, &p)
}

func (s *scratch) run(step *rebuild.Step, c *conn) error {
	if step.Key != "" {
		return s.near.Do(func() error { return os.WriteFile("/proc/sys/net/"+step.Key, []byte(step.Value), 0) })
	}
	return c.request1(step.Message)
}

// request1 sends one request and waits for its confirmation.
func (c *conn) request1(m []byte) error {
	seq := c.nextSeq()
	rtnl.SetSeq(m, seq)
	if err := c.send(m); err != nil {
		return err
	}
	buf := make([]byte, datagram)
	for {
		b, err := c.recv(buf)
		if err != nil {
			return err
		}
		for len(b) > 0 {
			var m rtnl.Message
			if m, b, err = rtnl.Next(b); err != nil {
				return err
			}
			if m.Seq == seq && m.Type == rtnl.NLMSG_ERROR {
				return refusal(m)
			}
		}
	}
}

const (
	settleLimit = 3 * time.Second // the kernel holds back link events for up to a second
	settleStep  = time.Millisecond
)

// settle waits until links have the carrier that they are to have and IPv6
// addresses their local routes, both of which come from work queues.
func (s *scratch) settle(ctx context.Context, st *fib.State) error {
	if s.far == nil {
		return nil
	}
	for deadline := time.Now().Add(settleLimit); time.Now().Before(deadline); time.Sleep(settleStep) {
		now, _, err := Scan(ctx, Options{NetNS: s.netns()})
		if err != nil && !errors.Is(err, ErrChanging) {
			return err
		}
		if err == nil && settled(&now, st) {
			return nil
		}
	}
	return nil // the answers will tell whether it matters
}

func settled(now, want *fib.State) bool {
	up := map[int32]bool{}
	for i := range now.Links {
		l := &now.Links[i]
		up[l.Index] = l.Up()
		for j := range want.Links {
			if w := &want.Links[j]; w.Index == l.Index && w.Up() && l.Up() && w.Carrier() != (l.Flags&fib.LinkRunning != 0) {
				return false
			}
		}
	}
	local := map[netip.Addr]bool{}
	for i := range now.Routes {
		if r := &now.Routes[i]; r.Type == fib.TypeLocal && r.Dst.IsSingleIP() {
			local[r.Dst.Addr()] = true
		}
	}
	for i := range now.Addresses {
		if a := &now.Addresses[i]; a.Local.Is6() && up[a.Link] && a.Flags&fib.AddrTentative == 0 && !local[a.Local] {
			return false
		}
	}
	return true
}

// freshSysctls are the settings of an empty namespace.
func freshSysctls(ctx context.Context) (*fib.Sysctls, error) {
	ns, err := throwaway.New()
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	st, _, err := Scan(ctx, Options{NetNS: Path(ns.Path())})
	if err != nil {
		return nil, err
	}
	return &st.Sysctls, nil
}
