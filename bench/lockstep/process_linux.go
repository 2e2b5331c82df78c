package lockstep

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a program that runs in the namespace. It ends with ours, however that ends.
type process struct {
	cmd   *exec.Cmd
	name  string
	began time.Time
	said  bytes.Buffer // what it printed
	done  chan struct{}
	err   error // how it ended; after done
}

// start runs a program in the namespace. with, if not nil, completes the command.
func (p *place) start(ctx context.Context, with func(*exec.Cmd), args ...string) (*process, error) {
	x := &process{name: filepath.Base(args[0]), done: make(chan struct{})}
	err := p.ns.Do(func() error { // the thread lives as long as the namespace, so that the signal is not for its end
		x.cmd = exec.CommandContext(ctx, args[0], args[1:]...)
		x.cmd.Stdout, x.cmd.Stderr = &x.said, &x.said
		x.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		x.cmd.WaitDelay = time.Second
		if with != nil {
			with(x.cmd)
		}
		x.began = time.Now()
		return x.cmd.Start()
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", x.name, err)
	}
	go func() {
		x.err = x.cmd.Wait()
		close(x.done)
	}()
	return x, nil
}

// kill ends it at once.
func (x *process) kill() {
	_ = x.cmd.Process.Kill()
	<-x.done
}

// finish asks it to end, and tells how long it took and how much processor time.
func (x *process) finish(ctx context.Context, patience time.Duration) (wall, cpu time.Duration, err error) {
	before, err := x.cpu()
	if err != nil {
		return 0, 0, err
	}
	at := time.Now()
	if err := x.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, 0, err
	}
	select {
	case <-x.done:
		return time.Since(at), x.cmd.ProcessState.UserTime() + x.cmd.ProcessState.SystemTime() - before, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(patience):
		err = fmt.Errorf("%s did not end in %v", x.name, patience)
	}
	x.kill()
	return 0, 0, err
}

// ended is an error if it has.
func (x *process) ended() error {
	select {
	case <-x.done:
		return fmt.Errorf("%s ended: %w: %s", x.name, errors.Join(x.err, errNotThere), bytes.TrimSpace(x.said.Bytes()))
	default:
		return nil
	}
}

// ticks is the unit of processor time in /proc, USER_HZ: 100 on every architecture of Linux that Go runs on.
const ticks = 10 * time.Millisecond

// cpu is the processor time that it has used.
func (x *process) cpu() (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", x.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(b), ") ") // the name may hold anything
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("%s: no processor time in /proc", x.name)
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * ticks, errors.Join(err1, err2)
}

// memory is what it has in memory.
func (x *process) memory() (bytes float64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", x.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb * 1024, err
		}
	}
	return 0, fmt.Errorf("%s: no memory in /proc", x.name)
}

// rest waits until it has used no processor for a while, and returns when it last did.
func (x *process) rest(ctx context.Context, quiet, patience time.Duration) (at time.Time, cpu time.Duration, err error) {
	at = time.Now()
	for end := at.Add(patience); ; {
		if err := errors.Join(x.ended(), sleep(ctx, ticks)); err != nil {
			return at, cpu, err
		}
		now, err := x.cpu()
		switch {
		case err != nil:
			return at, cpu, err
		case now > cpu+ticks/2:
			at, cpu = time.Now(), now
		case time.Since(at) > quiet:
			return at, cpu, nil
		}
		if time.Now().After(end) {
			return at, cpu, fmt.Errorf("%s is at work after %v", x.name, patience)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// ready waits until a process tells its service manager, which we are, that it is ready.
type ready struct {
	conn *net.UnixConn
	path string
}

func newReady(dir string) (*ready, error) {
	r := &ready{path: filepath.Join(dir, "notify")}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: r.path, Net: "unixgram"})
	r.conn = conn
	return r, err
}

func (r *ready) wait(ctx context.Context, patience time.Duration) error {
	defer context.AfterFunc(ctx, func() { _ = r.conn.SetReadDeadline(time.Unix(1, 0)) })()
	_ = r.conn.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, 4096)
	for {
		n, err := r.conn.Read(b)
		if err != nil {
			return errors.Join(ctx.Err(), err)
		}
		if strings.Contains(string(b[:n]), "READY=1") {
			return nil
		}
	}
}

func (r *ready) close() { _ = r.conn.Close() }
