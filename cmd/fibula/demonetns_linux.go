package main

import (
	"bytes"
	"context"
	"fmt"
	netns "github.com/fibula-net/fibula/internal/throwaway"
	"github.com/fibula-net/fibula/ksync"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// throwaway is the demo's namespace.
type throwaway struct{ *netns.NS }

// newThrowaway makes a namespace. Close it after use.
func newThrowaway() (*throwaway, error) {
	ns, err := netns.New()
	if err != nil {
		return nil, fmt.Errorf("%w; or use --state FILE", err)
	}
	return &throwaway{ns}, nil
}

func (t *throwaway) close() { t.Close() }

func (t *throwaway) netns() ksync.NetNS { return ksync.Path(t.Path()) }

func (t *throwaway) do(fn func() error) error { return t.Do(fn) }

// ip feeds lines to "ip -batch" in the namespace.
func (t *throwaway) ip(ctx context.Context, family string, lines []string) error {
	return t.do(func() error {
		args := []string{"-batch", "-"}
		if family != "" {
			args = append([]string{family}, args...)
		}
		cmd := exec.CommandContext(ctx, "ip", args...)
		cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
		var msg bytes.Buffer
		cmd.Stdout, cmd.Stderr = &msg, &msg
		if err := cmd.Run(); ctx.Err() != nil {
			return ctx.Err()
		} else if err != nil {
			return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(msg.Bytes()))
		}
		return nil
	})
}

// sysctl sets a parameter of the namespace.
func (t *throwaway) sysctl(key, value string) error {
	return t.do(func() error {
		return os.WriteFile(filepath.Join("/proc/sys", strings.ReplaceAll(key, ".", "/")), []byte(value), 0)
	})
}
