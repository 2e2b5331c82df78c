//go:build unix

package daemon

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// modeBeforeBind keeps others out between bind and chmod, on systems where a socket has a mode
// before it has a name.
func modeBeforeBind(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) { _ = unix.Fchmod(int(fd), socketMode) })
}

func isRefused(err error) bool { return errors.Is(err, unix.ECONNREFUSED) }

// isScarce reports whether accepting failed for want of something, or by its client.
func isScarce(err error) bool {
	for _, e := range [...]error{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.ECONNABORTED} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
