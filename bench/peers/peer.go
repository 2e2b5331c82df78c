package peers

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/fibula-net/fibula/bench/streams"
	"github.com/fibula-net/fibula/bench/tables"
	"github.com/fibula-net/fibula/fib"
)

// Peer is a running driver. It is not safe for concurrent use, and must be closed.
type Peer struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Scanner
	dir   string
	Pages string // "2M" or "4K": what its tables lie in
}

// Variants are the ways in which the driver looks up, by family.
func Variants(f fib.Family) []string {
	if f == fib.Inet {
		return []string{"rte_fib-2B-avx512", "rte_fib-2B-scalar", "rte_fib-4B-avx512", "rte_fib-4B-scalar"}
	}
	return []string{"rte_fib6-4B-avx512", "rte_fib6-4B-scalar"}
}

// memory is what the driver's tables take of a machine, in megabytes: pools for twice
// the routes of a full table, three times.
const memory = 2600

// Open starts the driver on a core. Without enough free huge pages it takes small ones.
func Open(ctx context.Context, path string, core int) (*Peer, error) {
	dir, err := os.MkdirTemp("", "fibula-peers-")
	if err != nil {
		return nil, err
	}
	args := []string{"--no-pci", "--no-telemetry", "--in-memory", "--log-level=lib.eal:error", "--force-max-simd-bitwidth=512",
		"-l", strconv.Itoa(max(core, 0)), "-m", strconv.Itoa(memory)}
	p, err := start(ctx, path, dir, args)
	if err != nil {
		var small error
		if p, small = start(ctx, path, dir, append(args, "--no-huge")); small != nil {
			os.RemoveAll(dir)
			return nil, errors.Join(err, small)
		}
	}
	return p, nil
}

func start(ctx context.Context, path, dir string, args []string) (*Peer, error) {
	p := &Peer{cmd: exec.CommandContext(ctx, path, args...), dir: dir}
	var msg strings.Builder
	p.cmd.Stderr = &msg
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewScanner(out)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if p.Pages, err = p.answer(); err != nil {
		_ = p.in.Close()
		_ = p.cmd.Wait()
		return nil, fmt.Errorf("%w: %s", err, strings.TrimSpace(msg.String()))
	}
	return p, nil
}

// Close ends the driver.
func (p *Peer) Close() {
	_ = p.in.Close()
	_ = p.cmd.Wait()
	_ = os.RemoveAll(p.dir)
}

// ask sends a command and returns what follows "ok".
func (p *Peer) ask(format string, args ...any) (string, error) {
	if _, err := fmt.Fprintf(p.in, format+"\n", args...); err != nil {
		return "", err
	}
	return p.answer()
}

func (p *Peer) answer() (string, error) {
	for p.out.Scan() {
		line := p.out.Text()
		if rest, ok := strings.CutPrefix(line, "ok "); ok {
			return rest, nil
		}
		if why, ok := strings.CutPrefix(line, "error "); ok {
			return "", errors.New(why)
		}
		// Anything else is what libraries have to say.
	}
	return "", errors.Join(errors.New("the driver ended"), p.out.Err())
}

// Load enters the routes of one family and tells how many were refused.
func (p *Peer) Load(t *tables.Table, f fib.Family) (failed int, took time.Duration, err error) {
	path := filepath.Join(p.dir, "routes")
	if err := writeRoutes(path, t, f); err != nil {
		return 0, 0, err
	}
	answer, err := p.ask("table%d %s", number(f), path)
	if err != nil {
		return 0, 0, err
	}
	_, err = fmt.Sscan(answer, &failed, &took)
	return failed, took, err
}

func number(f fib.Family) int {
	if f == fib.Inet {
		return 4
	}
	return 6
}

// writeRoutes stores six words for each route, as dpdk/driver.c reads them.
func writeRoutes(path string, t *tables.Table, f fib.Family) error {
	var b []byte
	for _, p := range t.Family(f) {
		var words [6]uint32
		a := p.Addr().AsSlice()
		for i := 0; i < len(a); i += 4 {
			words[i/4] = binary.BigEndian.Uint32(a[i:])
		}
		words[4], words[5] = uint32(p.Bits()), tables.NextHop(p)
		for _, w := range words {
			b = binary.NativeEndian.AppendUint32(b, w)
		}
	}
	return os.WriteFile(path, b, 0o600)
}

// Stream hands a stream over, as a file.
func (p *Peer) Stream(s *streams.Stream) error {
	path := filepath.Join(p.dir, "stream")
	if err := s.WriteFile(path); err != nil {
		return err
	}
	defer os.Remove(path)
	_, err := p.ask("stream %s %d %s", s.Name, number(s.Family), path)
	return err
}

// Checksum asks every query of a stream.
func (p *Peer) Checksum(variant string, s *streams.Stream) (uint64, error) {
	answer, err := p.ask("sum %s %s", variant, s.Name)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(answer, 16, 64)
}

// Run asks for n queries and returns the processor time that they took.
func (p *Peer) Run(variant string, s *streams.Stream, from, n int) (time.Duration, error) {
	answer, err := p.ask("run %s %s %d %d", variant, s.Name, from, n)
	if err != nil {
		return 0, err
	}
	ns, err := strconv.ParseFloat(answer, 64)
	return time.Duration(ns), err
}
