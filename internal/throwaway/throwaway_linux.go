package throwaway

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
)

// NS is a network namespace held by a thread. It is safe for concurrent use.
type NS struct {
	calls chan func()
	path  string
}

// New makes a namespace, which needs CAP_SYS_ADMIN. Close it after use.
func New() (*NS, error) {
	t := &NS{calls: make(chan func())}
	made := make(chan error)
	go t.hold(made)
	if err := <-made; err != nil {
		return nil, fmt.Errorf("make a network namespace, which needs root: %w", err)
	}
	return t, nil
}

// hold moves a thread into a new namespace and runs what is asked for there. The
// thread ends with the goroutine, since it stays locked.
func (t *NS) hold(made chan<- error) {
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

// Close gives the namespace up. No other method may be called then.
func (t *NS) Close() { close(t.calls) }

// Path is a file that holds the namespace.
func (t *NS) Path() string { return t.path }

// Do runs fn on the namespace's thread: sockets, /proc/sys and commands that fn
// uses are the namespace's.
func (t *NS) Do(fn func() error) error {
	done := make(chan error)
	t.calls <- func() { done <- fn() }
	return <-done
}
