//go:build !unix

package daemon

import (
	"errors"
	"syscall"
)

func modeBeforeBind(string, string, syscall.RawConn) error { return nil }

// isRefused knows the number that Windows has for a socket without a listener.
func isRefused(err error) bool { return errors.Is(err, syscall.Errno(10061)) }

// isScarce knows the numbers of Windows for too many sockets, no buffers and a client gone.
func isScarce(err error) bool {
	for _, e := range [...]syscall.Errno{10024, 10055, 10053} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
