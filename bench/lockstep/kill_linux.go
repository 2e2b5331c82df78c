package lockstep

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/fibula-net/fibula/fib"
)

const (
	another = fib.Protocol(98) // whose routes are to stay
	others  = 1000
)

// kills ends exports by kill -9 at random moments, and looks at what the next one makes of it.
func (b *run) kills(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "fibula-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	full, none := filepath.Join(dir, "full"), filepath.Join(dir, "none")
	if err := b.writeDesired(full); err != nil {
		return err
	}
	if err := os.WriteFile(none, nil, 0o600); err != nil {
		return err
	}
	theirs := via(gateway2)
	theirs.Protocol, theirs.Priority = another, 7
	if err := b.raw(ctx, "others' routes", adding, theirs, b.others()); err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(b.Seed, 9))
	b.said("an export by the command", 0)
	took, err := b.sync(ctx, full)
	if err != nil {
		return err
	}
	err = b.rounds(ctx, func(ctx context.Context) error {
		if _, err := b.sync(ctx, none); err != nil {
			return err
		}
		b.said("an export that is killed", 0)
		x, err := b.start(ctx, nil, b.syncArgs(full)...)
		if err != nil {
			return err
		}
		err = sleep(ctx, time.Duration(r.Int64N(int64(took))))
		x.kill()
		if err != nil {
			return err
		}
		b.said("and begun again", 0)
		if _, err := b.sync(ctx, full); err != nil {
			return err
		}
		n, err := b.protocols(ctx)
		b.add(Fibula, Killed, Count, float64(abs(len(b.all)-n[foreign])+abs(len(b.others())-n[another])))
		return err
	})
	if err != nil {
		return err
	}
	if _, err := b.sync(ctx, none); err != nil {
		return err
	}
	if n, err := b.count(ctx, foreign); err != nil {
		return err
	} else if n != 0 {
		b.out.Disagree("%d routes are left after an empty state was exported", n)
	}
	theirs = key()
	theirs.Protocol, theirs.Priority = another, 7
	return b.raw(ctx, "others' routes", deleting, theirs, b.others())
}

func (b *run) others() []netip.Prefix { return b.all[:min(others, len(b.all))] }

func abs(n int) int { return max(n, -n) }

func (b *run) syncArgs(file string) []string {
	return append(append([]string(nil), b.Fibula...), "sync", "--once", "--from", file, "--table", "main", "--protocol", fmt.Sprint(foreign),
		"--nexthops", "objects", "--nexthop-ids", "1000-2000", "--force")
}

// sync runs the command to its end.
func (b *run) sync(ctx context.Context, file string) (time.Duration, error) {
	x, err := b.start(ctx, nil, b.syncArgs(file)...)
	if err != nil {
		return 0, err
	}
	<-x.done
	if x.err != nil {
		return 0, fmt.Errorf("fibula sync: %w: %s", x.err, bytes.TrimSpace(x.said.Bytes()))
	}
	return time.Since(x.began), nil
}

// writeDesired writes all routes as lines of "ip -batch".
func (b *run) writeDesired(file string) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	for _, p := range b.all {
		fmt.Fprintf(w, "route add %v via %v dev d0\n", p, gateway)
	}
	if err := w.Flush(); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
