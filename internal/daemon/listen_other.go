//go:build !unix

package daemon

import (
	"errors"
	"syscall"
)

func modeBeforeBind(string, string, syscall.RawConn) error { return nil }

// isRefused knows the number that Windows has for a socket without a listener.
func isRefused(err error) bool { return errors.Is(err, syscall.Errno(10061)) }
