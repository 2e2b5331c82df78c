package rules

import (
	"fmt"

	"github.com/fibula-net/fibula/internal/errno"
)

// Error is the refusal of a request: what the kernel would have answered and,
// for people, which selector with which value and why.
type Error struct {
	Errno  errno.Errno
	Reason string
}

// Error returns the reason and the errno's name.
func (e *Error) Error() string { return e.Reason + " (" + e.Errno.Name() + ")" }

// Unwrap returns the errno, so that errors.Is works with package syscall's.
func (e *Error) Unwrap() error { return e.Errno }

func refuse(e errno.Errno, format string, args ...any) *Error {
	return &Error{Errno: e, Reason: fmt.Sprintf(format, args...)}
}
