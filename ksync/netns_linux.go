package ksync

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/fibula-net/fibula/internal/errno"
)

// inside runs fn with its thread in namespace n, which its errors leave to the
// caller to name. Sockets that fn opens stay
// there; /proc/thread-self/net and /proc/sys/net are the namespace's.
func inside(n NetNS, fn func() error) error {
	file, err := n.open()
	if err != nil {
		return err
	}
	if file == nil {
		return fn()
	}
	defer file.Close()
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer home.Close()
	if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		err = fmt.Errorf("enter it: %w", err)
		if errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("%w (this needs root or CAP_SYS_ADMIN)", err)
		}
		return err
	}
	defer func() {
		// A thread that cannot go home stays locked and ends with its goroutine,
		// so that no other code ever runs in the wrong namespace.
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
	}()
	return fn()
}

// open opens the file that holds n; nil for the current namespace.
func (n NetNS) open() (*os.File, error) {
	files, err := n.files()
	if err != nil || len(files) == 0 {
		return nil, err
	}
	for _, name := range files {
		var f *os.File
		if f, err = os.Open(name); err == nil {
			return f, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	switch n.kind {
	case netnsNamed:
		return nil, fmt.Errorf("there is no %s (ip netns list shows those there are): %w", files[0], errno.ENOENT)
	case netnsPID:
		return nil, fmt.Errorf("there is no such process: %w", errno.ENOENT)
	}
	return nil, err
}

// pinned opens n and names it so that it can be entered whatever becomes of its name,
// while the file is open; nil for the current namespace.
func (n NetNS) pinned() (NetNS, *os.File, error) {
	f, err := n.open()
	if err != nil || f == nil {
		return n, nil, err
	}
	return Path("/proc/self/fd/" + strconv.Itoa(int(f.Fd()))), f, nil
}

// still tells whether n is the namespace that it was.
func (n NetNS) still(was *unix.Stat_t) error {
	f, err := n.open()
	if err != nil {
		return fmt.Errorf("%v: %w: %w", n, ErrNamespaceGone, err)
	}
	defer f.Close()
	var now unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &now); err != nil {
		return err
	}
	if now.Dev != was.Dev || now.Ino != was.Ino {
		return fmt.Errorf("%v: %w: another one took its place", n, ErrNamespaceGone)
	}
	return nil
}
