package lockstep

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"time"

	"github.com/fibula-net/fibula/bench"
	"github.com/fibula-net/fibula/bench/results"
	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/ksync"
)

const (
	startPatience = time.Minute
	smallBuffer   = 1 << 20 // of a mirror that is to lose announcements: a storm is larger
	spotCheck     = 1000    // flows that are resolved to see whether all routes went
)

// mirror measures one round of a mirror. The kernel holds the routes at its begin and end.
func (b *run) mirror(ctx context.Context) error {
	if err := b.daemon(ctx); err != nil {
		return err
	}
	before := bench.Heap()
	m, err := ksync.Mirror(ctx, fib.New(fib.Config{}), ksync.MirrorOptions{NetNS: b.netns(), ReceiveBuffer: smallBuffer})
	if err != nil {
		return err
	}
	defer m.Close()
	b.add(Fibula, Heap, results.BytesEach, float64(bench.Heap()-before)/float64(len(b.all)))
	for _, step := range []func(context.Context, *ksync.Mirrored) error{b.audit, b.pauses, b.storm, b.deadLink, b.deadNexthop} {
		if err := step(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// daemon measures the command as a process of its own, as the peers are: from its start until it
// says that it is equal.
func (b *run) daemon(ctx context.Context) error {
	b.said("start of a mirror", 0)
	dir, err := os.MkdirTemp("", "fibula-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r, err := newReady(dir)
	if err != nil {
		return err
	}
	defer r.close()
	x, err := b.start(ctx, func(c *exec.Cmd) { c.Env = append(os.Environ(), "NOTIFY_SOCKET="+r.path) }, append(b.Fibula, "mirror", "--log-level", "error")...)
	if err != nil {
		return err
	}
	defer x.kill()
	if err := r.wait(ctx, startPatience); err != nil {
		return fmt.Errorf("fibula mirror did not become ready: %w", err)
	}
	return b.started(ctx, Fibula, x)
}

// certify requires that a mirror is equal to the kernel, and holds as many routes as it should.
func (b *run) certify(ctx context.Context, m *ksync.Mirrored, after string, least int) error {
	c, err := m.Audit(ctx)
	if err != nil {
		return err
	}
	if !c.Equal() {
		b.out.Disagree("after %s %d objects were not as the kernel has them, such as %v %v", after, c.Differing, c.Differences, c.Objects)
	}
	if c.Routes < least {
		b.out.Disagree("after %s the mirror has %d routes, not %d", after, c.Routes, least)
	}
	return nil
}

func (b *run) audit(ctx context.Context, m *ksync.Mirrored) error {
	b.said("audit", 0)
	if err := m.Sync(ctx); err != nil {
		return err
	}
	c := begin()
	if err := b.certify(ctx, m, "the start", len(b.all)); err != nil {
		return err
	}
	_, cpu := c.took()
	b.add(Fibula, AuditCPU, Seconds, cpu)
	return nil
}

// storm replaces every route while the mirror's socket is too small, and waits until it is exact
// again.
func (b *run) storm(ctx context.Context, m *ksync.Mirrored) error {
	before := m.Stats().Overruns
	if err := b.raw(ctx, "storm", replacing, via(gateway2), b.all); err != nil {
		return err
	}
	last := time.Now()
	b.said("exact again", 0)
	if err := m.Sync(ctx); err != nil {
		return err
	}
	b.add(Fibula, Storm, Seconds, time.Since(last).Seconds())
	if m.Stats().Overruns == before && len(b.all) >= Full {
		b.out.Disagree("the storm overflowed nothing")
	}
	return b.certify(ctx, m, "a storm", len(b.all))
}

// deadLink takes the link down, and waits until readers see no route any more.
func (b *run) deadLink(ctx context.Context, m *ksync.Mirrored) error {
	b.said("dead link", 0)
	e, err := b.listen()
	if err != nil {
		return err
	}
	defer e.close()
	err = b.withdrawn(ctx, m, DeadLink, e.linkDown, "link set d0 down")
	if err == nil {
		err = b.ip(ctx, "link set d0 up")
	}
	if err == nil {
		err = b.nexthop(ctx)
	}
	if err == nil {
		err = b.raw(ctx, "routes by nexthop id", adding, byID(), b.all)
	}
	if err == nil {
		err = m.Sync(ctx)
	}
	return err
}

// deadNexthop deletes the object of all routes.
func (b *run) deadNexthop(ctx context.Context, m *ksync.Mirrored) error {
	b.said("deleted nexthop", 0)
	e, err := b.listen()
	if err != nil {
		return err
	}
	defer e.close()
	err = b.withdrawn(ctx, m, DeadNexthop, e.nexthopGone, fmt.Sprintf("nexthop del id %d", rawNexthop))
	m.Close()
	if err == nil {
		err = b.nexthop(ctx)
	}
	if err == nil {
		err = b.fill(ctx, b.all)
	}
	return err
}

// withdrawn runs a command that takes all routes away without a word, and measures from the
// announcement of its cause until a reader of the mirror finds no way.
func (b *run) withdrawn(ctx context.Context, m *ksync.Mirrored, load string, heard func(context.Context) (time.Time, error), command string) error {
	f := fib.Flow{Dst: b.all[0].Addr()}
	if d := m.FIB().Snapshot().Resolve(f); d.Errno != 0 {
		return fmt.Errorf("%s: the mirror has no way to %v before", load, f.Dst)
	}
	ctx, stop := context.WithTimeout(ctx, startPatience)
	defer stop()
	seen := make(chan time.Time, 1)
	var s *fib.Snapshot
	go func() {
		defer close(seen)
		for ctx.Err() == nil {
			if s = m.FIB().Snapshot(); s.Resolve(f).Errno != 0 {
				seen <- time.Now()
				return
			}
			time.Sleep(100 * time.Microsecond)
		}
	}()
	told := make(chan error, 1)
	var since time.Time
	go func() {
		var err error
		since, err = heard(ctx)
		told <- err
	}()
	if err := b.ip(ctx, command); err != nil {
		return err
	}
	if err := <-told; err != nil {
		return err
	}
	at, ok := <-seen
	if !ok {
		return fmt.Errorf("%s: readers still see a way after %v", load, startPatience)
	}
	for _, p := range spots(b.all) {
		if s.Resolve(fib.Flow{Dst: p.Addr()}).Errno == 0 {
			b.out.Disagree("%s: some routes went, but not that to %v", load, p)
			break
		}
	}
	b.add(Fibula, load, Millis, float64(at.Sub(since).Microseconds())/1000)
	if err := m.Sync(ctx); err != nil {
		return err
	}
	return b.certify(ctx, m, load, 0)
}

// spots are some of the prefixes.
func spots(all []netip.Prefix) []netip.Prefix { return all[:min(spotCheck, len(all))] }
