package fib

import (
	"errors"
	"fmt"
	"strings"

	"github.com/fibula-net/fibula/internal/errno"
)

// The errors that operations wrap; those a Linux kernel would return, by its
// names. errors.Is finds them, and on Linux the equal syscall.Errno as well.
const (
	ENOENT        = errno.ENOENT
	ESRCH         = errno.ESRCH
	EACCES        = errno.EACCES
	EEXIST        = errno.EEXIST
	EXDEV         = errno.EXDEV
	ENODEV        = errno.ENODEV
	EINVAL        = errno.EINVAL
	EBUSY         = errno.EBUSY
	EOPNOTSUPP    = errno.EOPNOTSUPP
	ENETDOWN      = errno.ENETDOWN
	ENETUNREACH   = errno.ENETUNREACH
	EHOSTUNREACH  = errno.EHOSTUNREACH
	ENOBUFS       = errno.ENOBUFS
	EADDRNOTAVAIL = errno.EADDRNOTAVAIL
)

// ErrTxnDone is returned by every operation on a transaction that has ended.
var ErrTxnDone = errors.New("the transaction has ended")

// OpError is the error of one operation in a transaction. The operation has left
// no trace.
type OpError struct {
	Op     string // "route add", "rule delete", …
	Object string // the object, as iproute2 would name it
	Err    error  // an [Errno] as the kernel would have returned it, or another cause
	Reason string // what exactly is wrong; may be empty
}

// Error names the operation, the object and the cause.
func (e *OpError) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Object != "" {
		b.WriteString(" " + e.Object)
	}
	b.WriteString(": ")
	if e.Reason != "" {
		fmt.Fprintf(&b, "%s (%v)", e.Reason, e.Err)
	} else {
		fmt.Fprint(&b, e.Err)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *OpError) Unwrap() error { return e.Err }

// refusal is an errno with what exactly was wrong; operations turn it into an OpError.
type refusal struct {
	errno  Errno
	reason string
}

func (r *refusal) Error() string { return r.reason + " (" + r.errno.Error() + ")" }

func refuse(e Errno, format string, args ...any) *refusal {
	return &refusal{e, fmt.Sprintf(format, args...)}
}

func opError(op, object string, err error) error {
	var r *refusal
	if errors.As(err, &r) {
		return &OpError{Op: op, Object: object, Err: r.errno, Reason: r.reason}
	}
	return &OpError{Op: op, Object: object, Err: err}
}

// wrapOp is opError for an operation that may have succeeded.
func wrapOp(op, object string, err error) error {
	if err == nil {
		return nil
	}
	return opError(op, object, err)
}
