package kernel

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fibula-net/fibula/bench/rulesets"
	"github.com/fibula-net/fibula/bench/tables"
	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtsend"
	"github.com/fibula-net/fibula/internal/throwaway"
	"github.com/fibula-net/fibula/ksync"
	"github.com/fibula-net/fibula/rules"
)

// Kernel is a namespace with one uplink and a table.
type Kernel struct {
	ns   *throwaway.NS
	sock int
	// Took is how long the kernel took for the routes.
	Took time.Duration
}

// New makes the namespace and enters the routes. Close it after use.
func New(ctx context.Context, t *tables.Table, progress func(stage string, n int)) (*Kernel, error) {
	ns, err := throwaway.New()
	if err != nil {
		return nil, err
	}
	k := &Kernel{ns: ns, sock: -1}
	if err := k.setUp(ctx, t, progress); err != nil {
		k.Close()
		return nil, err
	}
	return k, nil
}

func (k *Kernel) setUp(ctx context.Context, t *tables.Table, progress func(string, int)) error {
	err := k.ns.Do(func() (err error) {
		for _, key := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
			if err := os.WriteFile("/proc/sys/net/"+key, []byte("1"), 0); err != nil {
				return err
			}
		}
		// Addresses bring no routes, and what the link would configure by itself stays away.
		for key, value := range map[string]string{"addr_gen_mode": "1", "accept_dad": "0", "router_solicitations": "0"} {
			if err := os.WriteFile("/proc/sys/net/ipv6/conf/default/"+key, []byte(value), 0); err != nil {
				return err
			}
		}
		if k.sock, err = rtsend.Open(); err != nil {
			return err
		}
		return ip(ctx,
			"link set lo up",
			fmt.Sprintf("link add uplink index %d type veth peer name far", rulesets.Uplink),
			"link set far up", "link set uplink up",
			"addr add 192.0.2.254/32 dev uplink noprefixroute", "addr add 2001:db8::254/128 dev uplink noprefixroute")
	})
	if err != nil {
		return err
	}
	begin := time.Now()
	n, err := rtsend.Routes(ctx, k.sock, routesOf(t), func(n int) { progress("routes into the kernel", n) })
	if err != nil {
		return fmt.Errorf("after %d routes: %w", n, err)
	}
	k.Took = time.Since(begin)
	return nil
}

func routesOf(t *tables.Table) iter.Seq[*fib.Route] {
	return func(yield func(*fib.Route) bool) {
		for _, part := range [][]netip.Prefix{t.V4, t.V6} {
			for _, p := range part {
				r := rulesets.Route(p)
				if !yield(&r) {
					return
				}
			}
		}
	}
}

// AddRules enters rules beside those that are there.
func (k *Kernel) AddRules(ctx context.Context, all []rules.Rule) error {
	_, err := rtsend.Rules(ctx, k.sock, func(yield func(*rules.Request) bool) {
		for _, r := range all {
			if !yield(&rules.Request{Rule: r}) {
				return
			}
		}
	})
	return err
}

// ip runs commands of ip in the calling thread's namespace.
func ip(ctx context.Context, lines ...string) error {
	cmd := exec.CommandContext(ctx, "ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// NetNS is the namespace, for package ksync.
func (k *Kernel) NetNS() ksync.NetNS { return ksync.Path(k.ns.Path()) }

// Close gives the namespace up.
func (k *Kernel) Close() {
	if k.sock >= 0 {
		_ = syscall.Close(k.sock)
	}
	k.ns.Close()
}

// Compare asks the kernel for every flow and returns in how many a snapshot of the
// same namespace answers otherwise, with the first of them.
func Compare(q *ksync.Querier, s *fib.Snapshot, flows []fib.Flow) (differ int, first string, err error) {
	for part := range slices.Chunk(flows, 4096) {
		err := q.GetBatch(part, ksync.LookupTable, func(i int, reply *ksync.Reply, errno fib.Errno) {
			d := s.Resolve(part[i])
			if diff := ksync.Differences(part[i], d, fib.Metrics{}, reply, errno); len(diff) > 0 {
				if differ++; first == "" {
					first = fmt.Sprintf("%v: %v", part[i].Dst, diff[0])
				}
			}
		})
		if err != nil {
			return differ, first, err
		}
	}
	return differ, first, nil
}
