package lockstep

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// rescan is how often BIRD looks at the kernel's table.
const rescan = 8 * time.Second

// bird measures BIRD: learning, its next look, an export of static routes, and its end.
func (b *run) bird(ctx context.Context) error {
	path, err := program("bird")
	if err != nil {
		return err
	}
	if err := b.fill(ctx, b.all); err != nil {
		return err
	}
	err = b.rounds(ctx, func(ctx context.Context) error {
		return scratch(func(dir string) error { return b.birdLearns(ctx, path, dir) })
	})
	if err != nil {
		return err
	}
	if err := b.empty(ctx, b.all); err != nil {
		return err
	}
	return b.rounds(ctx, func(ctx context.Context) error {
		return scratch(func(dir string) error { return b.birdExports(ctx, path, dir) })
	})
}

func (b *run) birdStarts(ctx context.Context, path, dir, config string) (*process, error) {
	file := filepath.Join(dir, "bird.conf")
	config = "router id 10.0.0.1;\nlog stderr { warning, error, fatal, bug };\nprotocol device {}\n" + config
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	return b.start(ctx, nil, path, "-f", "-c", file, "-s", filepath.Join(dir, "ctl"), "-P", filepath.Join(dir, "pid"))
}

func (b *run) birdLearns(ctx context.Context, path, dir string) error {
	x, err := b.birdStarts(ctx, path, dir, fmt.Sprintf("protocol kernel { learn; scan time %d; ipv4 { import all; export none; }; }\n", int(rescan.Seconds())))
	if err != nil {
		return err
	}
	defer x.kill()
	if err := b.learns(ctx, BIRD, x, func() (int, error) { return birdCount(filepath.Join(dir, "ctl")) }); err != nil {
		return err
	}
	b.said("next scan of BIRD", 0)
	_, before, err := x.rest(ctx, time.Second, rescan)
	if err != nil {
		return err
	}
	for now := before; now < before+5*ticks; {
		if err := sleep(ctx, ticks); err != nil {
			return err
		}
		if now, err = x.cpu(); err != nil {
			return err
		}
	}
	_, after, err := x.rest(ctx, time.Second, rescan)
	b.add(BIRD, AuditCPU, Seconds, (after - before).Seconds())
	return err
}

func (b *run) birdExports(ctx context.Context, path, dir string) error {
	var config strings.Builder
	config.WriteString("protocol kernel { ipv4 { import none; export all; }; }\nprotocol static { ipv4;\n")
	for _, p := range b.all {
		fmt.Fprintf(&config, "route %v via %v;\n", p, gateway)
	}
	config.WriteString("}\n")
	x, err := b.birdStarts(ctx, path, dir, config.String())
	if err != nil {
		return err
	}
	defer x.kill()
	if err := b.exportsOf(ctx, BIRD, x); err != nil {
		return err
	}
	if _, _, err := x.rest(ctx, time.Second, peerPatience); err != nil {
		return err
	}
	b.said("end of BIRD", 0)
	wall, cpu, err := x.finish(ctx, peerPatience)
	if err != nil {
		return err
	}
	b.add(BIRD, Withdraw, Seconds, wall.Seconds())
	b.add(BIRD, WithdrawCPU, Seconds, cpu.Seconds())
	return b.emptied(ctx, birdProtocol)
}

const birdProtocol = 12

// emptied takes away what a peer left.
func (b *run) emptied(ctx context.Context, proto uint8) error {
	s, err := b.sampler()
	if err != nil {
		return err
	}
	defer s.close()
	n, err := s.present()
	if err == nil && n > 0 {
		err = b.ip(ctx, fmt.Sprintf("route flush table main proto %d", proto))
	}
	return err
}

var birdTotal = regexp.MustCompile(`(\d+) of \d+ routes for \d+ networks in table master4`)

// birdCount asks how many routes BIRD has.
func birdCount(socket string) (int, error) {
	answer, err := converse(socket, "show route count\n", func(b []byte) bool {
		// Lines begin with a code; a blank behind it ends an answer. The first one is a greeting.
		ends := 0
		for line := range bytes.Lines(b) {
			if len(line) > 5 && line[4] == ' ' && line[0] != ' ' && bytes.HasSuffix(line, []byte("\n")) {
				ends++
			}
		}
		return ends >= 2
	})
	if err != nil {
		return 0, err
	}
	m := birdTotal.FindSubmatch(answer)
	if m == nil {
		return 0, fmt.Errorf("BIRD says: %s", bytes.TrimSpace(answer))
	}
	return strconv.Atoi(string(m[1]))
}
