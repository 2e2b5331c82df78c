package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/fibula-net/fibula/bench"
	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/fulltable"
	"github.com/fibula-net/fibula/internal/rtsend"
	"github.com/fibula-net/fibula/iproute"
	"github.com/fibula-net/fibula/ksync"
)

// live is the demo with a kernel.
func (d *demo) live(ctx context.Context) error {
	begin := time.Now()
	ns, err := newThrowaway()
	if err != nil {
		return err
	}
	defer ns.close()
	d.title("A router with two uplinks, in a network namespace that ends with this command")
	if err := configure(ctx, ns); err != nil {
		return err
	}
	if err := d.installTable(ctx, ns); err != nil {
		return err
	}
	snaps, err := d.loadLive(ctx, ns)
	if err != nil {
		return err
	}
	s := snaps[0]
	d.showRules(s)

	flows := bench.Flows(s, d.nflows, d.report.Seed)
	d.title("%s flows: boundaries of prefixes and selectors, random ones; both families, output and input", number(len(flows)))
	if err := d.compareEngines(ctx, snaps, flows); err != nil {
		return err
	}
	q, err := ksync.OpenQuerier(ns.netns())
	if err != nil {
		return err
	}
	defer q.Close()
	if err := d.compareKernel(s, q, flows); err != nil {
		return err
	}
	d.outcomes(s, flows)

	d.title("Answers per second, on one core, %s flows to addresses inside the table", number(measureFlows))
	many := bench.Inside(tablePrefixes(s), measureFlows, d.report.Seed)
	d.measureEngines(snaps, many)
	if err := d.measureKernel(ctx, q, many); err != nil {
		return err
	}
	story, err := iproute.ParseGet([]string{"8.8.8.8", "ipproto", "tcp", "dport", "443", "uid", "2042"}, iproute.Env{Names: d.names})
	if err != nil {
		return err
	}
	if err := d.explainOne(s, story); err != nil {
		return err
	}
	d.title("Done in %.0f s.", time.Since(begin).Seconds())
	return nil
}

// installTable puts a full table into the kernel.
func (d *demo) installTable(ctx context.Context, ns *throwaway) error {
	prefixes, origin := fulltable.Get(ctx)
	if err := ctx.Err(); err != nil {
		return err
	}
	d.report.Table = origin
	begin := time.Now()
	p := d.a.startProgress()
	p.impatient()
	n, err := install(ctx, ns, prefixes, func(n int) { p.show("routes into the kernel", n) })
	p.end()
	if err != nil {
		return err
	}
	d.report.Installed = time.Since(begin).Seconds()
	d.say("  %s routes put into the kernel in %.1f s: %s", number(n), d.report.Installed, origin)
	return nil
}

// install enters a route for each prefix into the internet table, the families
// side by side. It returns how many there are.
func install(ctx context.Context, ns *throwaway, prefixes []netip.Prefix, progress func(n int)) (int, error) {
	f, err := ksync.Load(ctx, ksync.Options{NetNS: ns.netns()})
	if err != nil {
		return 0, err
	}
	ups, err := uplinks(f.Snapshot())
	if err != nil {
		return 0, err
	}
	first6, _ := slices.BinarySearchFunc(prefixes, 6, func(p netip.Prefix, _ int) int {
		if p.Addr().Is4() {
			return -1
		}
		return 1
	})
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex // guards progress
		total atomic.Int64
		errs  [2]error
	)
	for i, part := range [2][]netip.Prefix{prefixes[:first6], prefixes[first6:]} {
		sock := -1
		if err := ns.do(func() (err error) { sock, err = rtsend.Open(); return err }); err != nil {
			errs[i] = err
			break
		}
		wg.Go(func() {
			defer syscall.Close(sock)
			before := 0
			sent, err := rtsend.Routes(ctx, sock, bench.Routes(part, internetTable, ups), func(n int) {
				mu.Lock()
				defer mu.Unlock()
				progress(int(total.Add(int64(n - before))))
				before = n
			})
			total.Add(int64(sent - before))
			errs[i] = err
		})
	}
	wg.Wait()
	return int(total.Load()), errors.Join(errs[:]...)
}

// loadLive loads the namespace once for each engine.
func (d *demo) loadLive(ctx context.Context, ns *throwaway) ([]*fib.Snapshot, error) {
	d.title("Load")
	var snaps []*fib.Snapshot
	for _, e := range engines {
		before := bench.Heap()
		p := d.a.startProgress()
		begin := time.Now()
		f, err := ksync.Load(ctx, ksync.Options{NetNS: ns.netns(), Config: fib.Config{Engine: e}, Progress: p.show})
		took := time.Since(begin)
		p.end()
		if err != nil {
			return nil, err
		}
		s := f.Snapshot()
		heap := int64(bench.Heap()) - int64(before)
		runtime.KeepAlive(f)
		if d.report.Routes == 0 {
			for range s.Routes() {
				d.report.Routes++
			}
			k := s.Kernel()
			d.report.Kernel = fmt.Sprintf("%d.%d.%d", k.Major, k.Minor, k.Patch)
		}
		d.loaded(e.Name(), took, float64(heap)/float64(d.report.Routes))
		snaps = append(snaps, s)
	}
	return snaps, nil
}

func (d *demo) showRules(s *fib.Snapshot) {
	d.title("What decides (Linux %s)", d.report.Kernel)
	for _, f := range []struct {
		name string
		f    fib.Family
	}{{"ip rule", fib.Inet}, {"ip -6 rule", fib.Inet6}} {
		d.say("  %s", f.name)
		for _, r := range rulesOf(s, f.f, d.names) {
			d.say("    %d:\t%s", r.Priority, r.Rule)
		}
	}
}

// compareKernel asks the kernel the same, plainly and for the stored route.
func (d *demo) compareKernel(s *fib.Snapshot, q *ksync.Querier, flows []fib.Flow) error {
	plain, match := agreement{Sides: "fibula and kernel, every field"}, agreement{Sides: "fibula and kernel, fibmatch"}
	undetermined := 0
	count := func(g *agreement, i int, diffs []ksync.Difference) {
		g.Compared++
		if len(diffs) == 0 {
			g.Agree++
			return
		}
		d.disagree(s, flows[i], fmt.Sprint(diffs), fmt.Sprintf("fibula %+v", s.Resolve(flows[i])))
	}
	err := q.GetBatch(flows, ksync.LookupTable, func(i int, reply *ksync.Reply, errno fib.Errno) {
		r := s.Resolve(flows[i])
		if r.Undetermined != 0 {
			undetermined++
			return
		}
		_, route, _ := s.FibMatch(flows[i])
		count(&plain, i, ksync.Differences(flows[i], r, route.Metrics, reply, errno))
	})
	if err != nil {
		return err
	}
	err = q.GetBatch(flows, ksync.LookupTable|ksync.FibMatch, func(i int, reply *ksync.Reply, errno fib.Errno) {
		r, route, found := s.FibMatch(flows[i])
		if r.Undetermined == 0 {
			count(&match, i, ksync.MatchDifferences(flows[i], r, route, found, reply, errno))
		}
	})
	if err != nil {
		return err
	}
	d.agreed(plain)
	d.agreed(match)
	if undetermined > 0 {
		d.skip(number(undetermined) + " flows whose answer nobody outside the kernel can know, such as the leg where the hash seed is secret")
	}
	return nil
}

func (d *demo) measureKernel(ctx context.Context, q *ksync.Querier, flows []fib.Flow) error {
	begin, n := time.Now(), 0
	for time.Since(begin) < d.measure && ctx.Err() == nil {
		if err := q.GetBatch(flows[:measureFlows/16], ksync.LookupTable, func(int, *ksync.Reply, fib.Errno) { n++ }); err != nil {
			return err
		}
	}
	d.measured("the kernel, over netlink in batches", float64(n)/time.Since(begin).Seconds())
	return ctx.Err()
}

// tablePrefixes are the prefixes of the internet table.
func tablePrefixes(s *fib.Snapshot) (out []netip.Prefix) {
	for _, f := range []fib.Family{fib.Inet, fib.Inet6} {
		for r := range s.RoutesOf(f, internetTable) {
			out = append(out, r.Dst)
		}
	}
	return out
}

// configure makes the router: links, then rules and routes that need them.
func configure(ctx context.Context, ns *throwaway) error {
	for _, kv := range demoSysctls {
		if err := ns.sysctl(kv[0], kv[1]); err != nil {
			if kv[0] == seedSysctl && errors.Is(err, fs.ErrNotExist) {
				continue // before Linux 6.11; the flows that it decides are then undetermined
			}
			return err
		}
	}
	if err := ns.ip(ctx, "", demoLinks); err != nil {
		return err
	}
	if err := waitForLinks(ctx, ns); err != nil {
		return err
	}
	if err := ns.ip(ctx, "-4", demoIPv4); err != nil {
		return err
	}
	return ns.ip(ctx, "-6", demoIPv6)
}

// waitForLinks waits until the kernel has noticed the carrier of every link.
func waitForLinks(ctx context.Context, ns *throwaway) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		f, err := ksync.Load(ctx, ksync.Options{NetNS: ns.netns()})
		if err != nil {
			return err
		}
		waiting := ""
		for l := range f.Snapshot().Links() {
			if l.Flags&fib.LinkRunning == 0 {
				waiting = l.Name
			}
		}
		if waiting == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("link %s does not come up: %w", waiting, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// uplinks finds the links and gives each a few routers beyond it.
func uplinks(s *fib.Snapshot) ([]bench.Uplink, error) {
	ups := []bench.Uplink{}
	for i, name := range []string{"wan0", "wan1"} {
		l, ok := s.LinkByName(name)
		if !ok {
			return nil, fmt.Errorf("link %s: %w", name, os.ErrNotExist)
		}
		u := bench.Uplink{Link: l.Index}
		a4 := []netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("203.0.113.1")}[i]
		a6 := []netip.Addr{netip.MustParseAddr("2001:db8:a::1"), netip.MustParseAddr("2001:db8:b::1")}[i]
		for n := range 16 {
			b4, b6 := a4.As4(), a6.As16()
			if n > 0 { // .1 is the uplink's own router, .10 … are others
				b4[3], b6[15] = byte(9+n), byte(9+n)
			}
			u.Routers4 = append(u.Routers4, netip.AddrFrom4(b4))
			u.Routers6 = append(u.Routers6, netip.AddrFrom16(b6))
		}
		ups = append(ups, u)
	}
	return ups, nil
}
