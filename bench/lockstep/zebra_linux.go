package lockstep

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// zebra measures zebra: learning, then an export of what a client announces, and its end. It is so
// slow that once must do.
func (b *run) zebra(ctx context.Context) error {
	zebra, err := program("zebra")
	if err != nil {
		return err
	}
	if err := b.fill(ctx, b.all); err != nil {
		return err
	}
	err = scratch(func(dir string) error { return b.zebraLearns(ctx, zebra, dir) })
	if err != nil {
		return err
	}
	if err := b.empty(ctx, b.all); err != nil {
		return err
	}
	return scratch(func(dir string) error { return b.zebraExports(ctx, zebra, dir) })
}

// zebraStarts starts zebra. It insists on a group that its package makes, so it sees
// a file of groups that has it.
func (b *run) zebraStarts(ctx context.Context, path, dir string) (*process, error) {
	groups, err := os.ReadFile("/etc/group")
	if err != nil {
		return nil, err
	}
	var kept strings.Builder
	for line := range strings.Lines(string(groups)) {
		if !strings.HasPrefix(line, "frrvty:") {
			kept.WriteString(line)
		}
	}
	kept.WriteString("frrvty:x:64999:root\n")
	group := filepath.Join(dir, "group")
	if err := os.WriteFile(group, []byte(kept.String()), 0o644); err != nil {
		return nil, err
	}
	return b.start(ctx, func(c *exec.Cmd) { c.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS },
		"/bin/sh", "-c", `mount --bind "$0" /etc/group && exec "$@"`, group,
		path, "-u", "root", "-g", "root", "-P", "0", "--vty_socket", dir, "-z", filepath.Join(dir, "zserv"),
		"-i", filepath.Join(dir, "zebra.pid"), "-f", "/dev/null", "--log", "stdout", "--log-level", "errors")
}

func (b *run) zebraLearns(ctx context.Context, zebra, dir string) error {
	x, err := b.zebraStarts(ctx, zebra, dir)
	if err != nil {
		return err
	}
	defer x.kill()
	return b.learns(ctx, Zebra, x, func() (int, error) { return zebraCount(filepath.Join(dir, "zebra.vty")) })
}

func (b *run) zebraExports(ctx context.Context, zebra, dir string) error {
	x, err := b.zebraStarts(ctx, zebra, dir)
	if err != nil {
		return err
	}
	defer x.kill()
	for end := time.Now().Add(startPatience); ; {
		if _, err := zebraCount(filepath.Join(dir, "zebra.vty")); err == nil {
			break
		} else if time.Now().After(end) {
			return fmt.Errorf("zebra: %w", err)
		}
		if err := sleep(ctx, ticks); err != nil {
			return err
		}
	}
	c, err := zapiDial(filepath.Join(dir, "zserv"))
	if err != nil {
		return err
	}
	defer c.Close()
	fed := make(chan error, 1)
	go func() { fed <- c.announce(b.all) }()
	if err := b.exportsOf(ctx, Zebra, x); err != nil {
		return err
	}
	if _, _, err := x.rest(ctx, time.Second, peerPatience); err != nil {
		return err
	}
	if err := <-fed; err != nil {
		return err
	}
	return b.zebraWithdraws(ctx, x, c)
}

// zebraWithdraws ends the client whose routes zebra has.
func (b *run) zebraWithdraws(ctx context.Context, x *process, c *client) error {
	b.said("withdrawal of zebra", 0)
	s, err := b.sampler()
	if err != nil {
		return err
	}
	defer s.close()
	before, err := x.cpu()
	if err != nil {
		return err
	}
	at := time.Now()
	c.Close()
	gone, err := s.until(ctx, x, "withdrawal", func(n, _ int) bool { return n == 0 })
	if err != nil {
		return err
	}
	after, err := x.cpu()
	b.add(Zebra, Withdraw, Seconds, gone.Sub(at).Seconds())
	b.add(Zebra, WithdrawCPU, Seconds, (after - before).Seconds())
	return err
}

var zebraTotal = regexp.MustCompile(`(?m)^Totals\s+(\d+)`)

// zebraCount asks how many routes zebra has.
func zebraCount(socket string) (int, error) {
	answer, err := converse(socket, "show ip route summary\x00", func(b []byte) bool {
		return len(b) >= 4 && bytes.Equal(b[len(b)-4:len(b)-1], []byte{0, 0, 0}) // and how it went
	})
	if err != nil {
		return 0, err
	}
	m := zebraTotal.FindSubmatch(answer)
	if m == nil {
		return 0, fmt.Errorf("zebra says: %s", bytes.TrimSpace(answer))
	}
	return strconv.Atoi(string(m[1]))
}
