package lockstep

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtnl"
	"github.com/fibula-net/fibula/internal/rtsend"
	"github.com/fibula-net/fibula/internal/throwaway"
	"github.com/fibula-net/fibula/ksync"
)

// place is a namespace with a link to gateways.
type place struct {
	ns   *throwaway.NS
	sock int
	said func(stage string, n int)
}

const (
	uplink     = 10 // index of d0
	foreign    = fib.Protocol(99)
	rawNexthop = 1
)

func newPlace(ctx context.Context, said func(string, int)) (*place, error) {
	ns, err := throwaway.New()
	if err != nil {
		return nil, err
	}
	p := &place{ns: ns, sock: -1, said: said}
	err = ns.Do(func() (err error) {
		for key, value := range map[string]string{"addr_gen_mode": "1", "accept_dad": "0", "router_solicitations": "0"} {
			if err := os.WriteFile("/proc/sys/net/ipv6/conf/default/"+key, []byte(value), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		p.sock, err = rtsend.Open()
		return err
	})
	if err == nil {
		err = p.ip(ctx, "link set lo up", fmt.Sprintf("link add d0 index %d type veth peer name p0", uplink), "link set p0 up", "link set d0 up",
			"addr add 10.0.0.1/24 dev d0")
	}
	if err == nil {
		err = p.nexthop(ctx)
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// nexthop makes the object that raw writes use.
func (p *place) nexthop(ctx context.Context) error {
	return p.ip(ctx, fmt.Sprintf("nexthop add id %d via %v dev d0 proto 4", rawNexthop, gateway))
}

func (p *place) close() {
	if p.sock >= 0 {
		_ = syscall.Close(p.sock)
	}
	p.ns.Close()
}

func (p *place) netns() ksync.NetNS { return ksync.Path(p.ns.Path()) }

// ip runs commands of ip in the namespace.
func (p *place) ip(ctx context.Context, lines ...string) error {
	return p.ns.Do(func() error {
		cmd := exec.CommandContext(ctx, "ip", "-batch", "-")
		cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip: %w: %s", err, bytes.TrimSpace(out))
		}
		return nil
	})
}

// What raw writes ask for.
var (
	adding    = rtnl.Header{Type: rtnl.RTM_NEWROUTE, Flags: rtnl.NLM_F_REQUEST | rtnl.NLM_F_CREATE | rtnl.NLM_F_EXCL}
	replacing = rtnl.Header{Type: rtnl.RTM_NEWROUTE, Flags: rtnl.NLM_F_REQUEST | rtnl.NLM_F_CREATE | rtnl.NLM_F_REPLACE}
	deleting  = rtnl.Header{Type: rtnl.RTM_DELROUTE, Flags: rtnl.NLM_F_REQUEST}
)

// via is a route through a gateway, without its destination.
func via(gw netip.Addr) fib.Route {
	return fib.Route{Table: fib.TableMain, Type: fib.TypeUnicast, Protocol: foreign, Nexthops: []fib.Nexthop{{Link: uplink, Gateway: gw, Weight: 1}}}
}

func byID() fib.Route {
	return fib.Route{Table: fib.TableMain, Type: fib.TypeUnicast, Protocol: foreign, NexthopID: rawNexthop}
}

// key is what a deletion needs.
func key() fib.Route {
	return fib.Route{Table: fib.TableMain, Scope: fib.ScopeNowhere, Protocol: foreign}
}

// raw sends a request for each prefix, as fast as it goes.
func (p *place) raw(ctx context.Context, stage string, h rtnl.Header, like fib.Route, all []netip.Prefix) error {
	_, err := rtsend.Requests(ctx, p.sock, h, to(like, all), func(n int) { p.said(stage, n) })
	if err != nil {
		return fmt.Errorf("%s: %w", stage, err)
	}
	return nil
}

func to(like fib.Route, all []netip.Prefix) iter.Seq[*fib.Route] {
	return func(yield func(*fib.Route) bool) {
		r := like
		for _, p := range all {
			r.Dst = p
			if !yield(&r) {
				return
			}
		}
	}
}

// fill enters the routes that mirrors and peers learn.
func (p *place) fill(ctx context.Context, all []netip.Prefix) error {
	return p.raw(ctx, "routes into the kernel", adding, via(gateway), all)
}

// empty takes them away.
func (p *place) empty(ctx context.Context, all []netip.Prefix) error {
	return p.raw(ctx, "routes out of the kernel", deleting, key(), all)
}

// count is how many of some routes there are, by protocol.
func (p *place) count(ctx context.Context, proto fib.Protocol) (n int, err error) {
	st, err := p.protocols(ctx)
	return st[proto], err
}

func (p *place) protocols(ctx context.Context) (map[fib.Protocol]int, error) {
	f, err := ksync.Load(ctx, ksync.Options{NetNS: p.netns(), Tables: []fib.TableID{fib.TableMain}})
	if err != nil {
		return nil, err
	}
	n := map[fib.Protocol]int{}
	f.Snapshot().EachRoute(fib.Inet, fib.TableMain, func(r *fib.Route) bool { n[r.Protocol]++; return true })
	return n, nil
}

// clock measures one thing: on the clock, and of all processors, the kernel's work for this
// process included.
type clock struct {
	at  time.Time
	cpu time.Duration
}

func begin() clock { return clock{time.Now(), used()} }

func (c clock) took() (wall, cpu float64) {
	return time.Since(c.at).Seconds(), (used() - c.cpu).Seconds()
}

func used() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
