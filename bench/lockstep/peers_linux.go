package lockstep

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/fibula-net/fibula/bench/results"
	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/ksync"
)

// peerPatience is how long one thing may take a peer.
const peerPatience = 2 * time.Minute

// program finds a peer's program where Debian's packages put it.
func program(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/lib/frr"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed (make bench-sync gets it)", name)
}

// learns waits until a peer that was started beside a full kernel knows all routes, and measures
// it. count asks how many it knows.
func (b *run) learns(ctx context.Context, engine string, x *process, count func() (int, error)) error {
	b.said("start of "+engine, 0)
	for end := time.Now().Add(peerPatience); ; {
		if err := errors.Join(x.ended(), sleep(ctx, ticks)); err != nil {
			return err
		}
		n, err := count()
		if err == nil && n >= len(b.all) {
			break
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s knows %d of %d routes after %v: %w", engine, n, len(b.all), peerPatience, errors.Join(err, errNotThere))
		}
	}
	return b.started(ctx, engine, x)
}

// started notes what a process took until now to know all routes, and takes when it has come to rest.
func (b *run) started(ctx context.Context, engine string, x *process) error {
	wall := time.Since(x.began)
	cpu, err := x.cpu()
	if err != nil {
		return err
	}
	if err := sleep(ctx, time.Second); err != nil {
		return err
	}
	size, err := x.memory()
	if err != nil {
		return err
	}
	b.add(engine, Start, Seconds, wall.Seconds())
	b.add(engine, StartCPU, Seconds, cpu.Seconds())
	b.add(engine, Memory, results.BytesEach, size/float64(len(b.all)))
	return nil
}

// sampler asks for some of the routes, which says how far an export is at next to no cost.
type sampler struct {
	q     *ksync.Querier
	flows []fib.Flow
	bits  []int
}

func (b *run) sampler() (*sampler, error) {
	q, err := ksync.OpenQuerier(b.netns())
	if err != nil {
		return nil, err
	}
	s := &sampler{q: q}
	for _, p := range samples(b.all, spotCheck) {
		s.flows, s.bits = append(s.flows, fib.Flow{Dst: p.Addr()}), append(s.bits, p.Bits())
	}
	return s, nil
}

func (s *sampler) close() { s.q.Close() }

// present is how many of them are there.
func (s *sampler) present() (n int, err error) {
	err = s.q.GetBatch(s.flows, ksync.FibMatch, func(i int, r *ksync.Reply, errno fib.Errno) {
		if errno == 0 && r.Route.Dst.Bits() == s.bits[i] {
			n++
		}
	})
	return n, err
}

// until waits for a number of them to be there.
func (s *sampler) until(ctx context.Context, x *process, what string, fits func(n, of int) bool) (time.Time, error) {
	for end := time.Now().Add(peerPatience); ; {
		n, err := s.present()
		now := time.Now()
		if err = errors.Join(err, x.ended()); err != nil {
			return now, err
		}
		if fits(n, len(s.flows)) {
			return now, nil
		}
		if now.After(end) {
			return now, fmt.Errorf("%s: %d of %d routes after %v", what, n, len(s.flows), peerPatience)
		}
		if err := sleep(ctx, ticks); err != nil {
			return now, err
		}
	}
}

// exportsOf measures a peer that is about to install all routes, from its first to its last.
func (b *run) exportsOf(ctx context.Context, engine string, x *process) error {
	b.said("export of "+engine, 0)
	s, err := b.sampler()
	if err != nil {
		return err
	}
	defer s.close()
	from, err := s.until(ctx, x, "export", func(n, _ int) bool { return n > 0 })
	if err != nil {
		return err
	}
	before, err := x.cpu()
	if err != nil {
		return err
	}
	at, err := s.until(ctx, x, "export", func(n, of int) bool { return n == of })
	if err != nil {
		return err
	}
	after, err := x.cpu()
	b.add(engine, Export, Seconds, at.Sub(from).Seconds())
	b.add(engine, ExportCPU, Seconds, (after - before).Seconds())
	return err
}

// converse asks a daemon by its socket and returns the answer, up to what ends it.
func converse(socket, question string, ended func([]byte) bool) ([]byte, error) {
	c, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(peerPatience))
	if _, err := c.Write([]byte(question)); err != nil {
		return nil, err
	}
	var answer []byte
	buf := make([]byte, 4096)
	for !ended(answer) {
		n, err := c.Read(buf)
		if answer = append(answer, buf[:n]...); err != nil {
			return answer, err
		}
	}
	return answer, nil
}

// scratch is a directory for the length of fn.
func scratch(fn func(dir string) error) error {
	dir, err := os.MkdirTemp("", "fibula-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	return fn(dir)
}
