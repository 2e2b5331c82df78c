package netnstest

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// missing names what this process lacks to make namespaces, or is "".
func missing() string {
	if os.Geteuid() != 0 {
		return "network namespaces need root; run the tests as root"
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return "no ip command; install iproute2"
	}
	return ""
}

// Do runs fn on the calling goroutine, its thread moved into the namespace, and
// returns fn's error. Sockets that fn opens and programs that it starts stay in
// the namespace; goroutines that it starts do not enter it. Files of the
// namespace are under /proc/thread-self/net and /proc/sys/net (/proc/net is the
// process's own).
//
// fn may end the test. If the thread cannot come back, the test stops and the
// thread dies with the goroutine, so that no other code ever runs in the wrong
// namespace.
func (ns *NS) Do(fn func() error) error {
	ns.t.Helper()
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer home.Close()
	if err := enter(ns.Path()); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer func() {
		if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
			ns.t.Fatalf("cannot leave namespace %s: %v", ns.name, err)
		}
		runtime.UnlockOSThread()
	}()
	return fn()
}

// enter moves the calling thread into the namespace held by path.
func enter(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace %s: %w", path, err)
	}
	return nil
}
