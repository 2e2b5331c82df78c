package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/fibula-net/fibula/ksync"
)

// throwaway is a network namespace without a name. A thread holds it, so that the
// kernel takes it away with the process, however that ends.
type throwaway struct {
	calls chan func()
	path  string
}

// newThrowaway makes a namespace. Close it after use.
func newThrowaway() (*throwaway, error) {
	t := &throwaway{calls: make(chan func())}
	made := make(chan error)
	go t.hold(made)
	if err := <-made; err != nil {
		return nil, fmt.Errorf("make a network namespace, which needs root: %w; or use --state FILE", err)
	}
	return t, nil
}

// hold moves a thread into a new namespace and runs what is asked for there. The
// thread ends with the goroutine, since it stays locked.
func (t *throwaway) hold(made chan<- error) {
	runtime.LockOSThread()
	if syscall.Gettid() == os.Getpid() {
		// The process's first thread cannot end, and its namespace counts as the
		// process's. Held here until then, it leaves another one to the next goroutine.
		next := make(chan error)
		go t.hold(next)
		err := <-next
		runtime.UnlockOSThread()
		made <- err
		return
	}
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		made <- err
		return
	}
	t.path = fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), syscall.Gettid())
	made <- nil
	for call := range t.calls {
		call()
	}
}

func (t *throwaway) close() { close(t.calls) }

func (t *throwaway) netns() ksync.NetNS { return ksync.Path(t.path) }

// do runs fn on the namespace's thread; sockets, /proc/sys and commands that fn
// uses are the namespace's.
func (t *throwaway) do(fn func() error) error {
	done := make(chan error)
	t.calls <- func() { done <- fn() }
	return <-done
}

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
