package errno

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"syscall"
)

// Errno is a Linux error number (asm-generic numbering). Zero is "no error".
//
// An Errno is an error for which errors.Is finds the constant of the same name
// in package syscall, whatever its number on this system, and fs.ErrPermission,
// fs.ErrExist, fs.ErrNotExist and errors.ErrUnsupported where package syscall
// would. ESRCH, the kernel's "no such route", is not fs.ErrNotExist.
type Errno uint16

// The numbers that routing, rule and link requests return.
const (
	EPERM           Errno = 1
	ENOENT          Errno = 2
	ESRCH           Errno = 3
	EINTR           Errno = 4
	EIO             Errno = 5
	ENXIO           Errno = 6
	E2BIG           Errno = 7
	EBADF           Errno = 9
	EAGAIN          Errno = 11
	ENOMEM          Errno = 12
	EACCES          Errno = 13
	EFAULT          Errno = 14
	EBUSY           Errno = 16
	EEXIST          Errno = 17
	EXDEV           Errno = 18
	ENODEV          Errno = 19
	EINVAL          Errno = 22
	ENFILE          Errno = 23
	EMFILE          Errno = 24
	EFBIG           Errno = 27
	ENOSPC          Errno = 28
	EROFS           Errno = 30
	ERANGE          Errno = 34
	ENAMETOOLONG    Errno = 36
	ENOSYS          Errno = 38
	ELOOP           Errno = 40
	EMSGSIZE        Errno = 90
	EPROTONOSUPPORT Errno = 93
	EOPNOTSUPP      Errno = 95
	EAFNOSUPPORT    Errno = 97
	EADDRINUSE      Errno = 98
	EADDRNOTAVAIL   Errno = 99
	ENETDOWN        Errno = 100
	ENETUNREACH     Errno = 101
	ECONNRESET      Errno = 104
	ENOBUFS         Errno = 105
	ENOTCONN        Errno = 107
	ETIMEDOUT       Errno = 110
	EHOSTDOWN       Errno = 112
	EHOSTUNREACH    Errno = 113
	EALREADY        Errno = 114
)

// entry ties a number to its name, its text (as Linux's C library words it)
// and the constant that package syscall has for it on this system.
type entry struct {
	errno  Errno
	name   string
	text   string
	native syscall.Errno
}

var table = []entry{
	{EPERM, "EPERM", "Operation not permitted", syscall.EPERM},
	{ENOENT, "ENOENT", "No such file or directory", syscall.ENOENT},
	{ESRCH, "ESRCH", "No such process", syscall.ESRCH},
	{EINTR, "EINTR", "Interrupted system call", syscall.EINTR},
	{EIO, "EIO", "Input/output error", syscall.EIO},
	{ENXIO, "ENXIO", "No such device or address", syscall.ENXIO},
	{E2BIG, "E2BIG", "Argument list too long", syscall.E2BIG},
	{EBADF, "EBADF", "Bad file descriptor", syscall.EBADF},
	{EAGAIN, "EAGAIN", "Resource temporarily unavailable", syscall.EAGAIN},
	{ENOMEM, "ENOMEM", "Cannot allocate memory", syscall.ENOMEM},
	{EACCES, "EACCES", "Permission denied", syscall.EACCES},
	{EFAULT, "EFAULT", "Bad address", syscall.EFAULT},
	{EBUSY, "EBUSY", "Device or resource busy", syscall.EBUSY},
	{EEXIST, "EEXIST", "File exists", syscall.EEXIST},
	{EXDEV, "EXDEV", "Invalid cross-device link", syscall.EXDEV},
	{ENODEV, "ENODEV", "No such device", syscall.ENODEV},
	{EINVAL, "EINVAL", "Invalid argument", syscall.EINVAL},
	{ENFILE, "ENFILE", "Too many open files in system", syscall.ENFILE},
	{EMFILE, "EMFILE", "Too many open files", syscall.EMFILE},
	{EFBIG, "EFBIG", "File too large", syscall.EFBIG},
	{ENOSPC, "ENOSPC", "No space left on device", syscall.ENOSPC},
	{EROFS, "EROFS", "Read-only file system", syscall.EROFS},
	{ERANGE, "ERANGE", "Numerical result out of range", syscall.ERANGE},
	{ENAMETOOLONG, "ENAMETOOLONG", "File name too long", syscall.ENAMETOOLONG},
	{ENOSYS, "ENOSYS", "Function not implemented", syscall.ENOSYS},
	{ELOOP, "ELOOP", "Too many levels of symbolic links", syscall.ELOOP},
	{EMSGSIZE, "EMSGSIZE", "Message too long", syscall.EMSGSIZE},
	{EPROTONOSUPPORT, "EPROTONOSUPPORT", "Protocol not supported", syscall.EPROTONOSUPPORT},
	{EOPNOTSUPP, "EOPNOTSUPP", "Operation not supported", syscall.EOPNOTSUPP},
	{EAFNOSUPPORT, "EAFNOSUPPORT", "Address family not supported by protocol", syscall.EAFNOSUPPORT},
	{EADDRINUSE, "EADDRINUSE", "Address already in use", syscall.EADDRINUSE},
	{EADDRNOTAVAIL, "EADDRNOTAVAIL", "Cannot assign requested address", syscall.EADDRNOTAVAIL},
	{ENETDOWN, "ENETDOWN", "Network is down", syscall.ENETDOWN},
	{ENETUNREACH, "ENETUNREACH", "Network is unreachable", syscall.ENETUNREACH},
	{ECONNRESET, "ECONNRESET", "Connection reset by peer", syscall.ECONNRESET},
	{ENOBUFS, "ENOBUFS", "No buffer space available", syscall.ENOBUFS},
	{ENOTCONN, "ENOTCONN", "Transport endpoint is not connected", syscall.ENOTCONN},
	{ETIMEDOUT, "ETIMEDOUT", "Connection timed out", syscall.ETIMEDOUT},
	{EHOSTDOWN, "EHOSTDOWN", "Host is down", syscall.EHOSTDOWN},
	{EHOSTUNREACH, "EHOSTUNREACH", "No route to host", syscall.EHOSTUNREACH},
	{EALREADY, "EALREADY", "Operation already in progress", syscall.EALREADY},
}

func (e Errno) entry() *entry {
	for i := range table {
		if table[i].errno == e {
			return &table[i]
		}
	}
	return nil
}

// Name returns the constant's name, such as "ENETUNREACH"; "" for zero and
// "errno(200)" for a number without a name here. Parse reads all of them.
func (e Errno) Name() string {
	if e == 0 {
		return ""
	}
	if t := e.entry(); t != nil {
		return t.name
	}
	return "errno(" + strconv.Itoa(int(e)) + ")"
}

// Error returns the text that Linux's C library has for e, which is what ip(8)
// prints after "RTNETLINK answers: ".
func (e Errno) Error() string {
	if e == 0 {
		return "Success"
	}
	if t := e.entry(); t != nil {
		return t.text
	}
	return "Unknown error " + strconv.Itoa(int(e))
}

// Is makes errors.Is work across systems; see Errno.
func (e Errno) Is(target error) bool {
	switch target {
	case fs.ErrPermission:
		return e == EPERM || e == EACCES
	case fs.ErrExist:
		return e == EEXIST
	case fs.ErrNotExist:
		return e == ENOENT
	case errors.ErrUnsupported:
		return e == EOPNOTSUPP || e == ENOSYS
	}
	native, ok := target.(syscall.Errno)
	if !ok || e == 0 {
		return false
	}
	t := e.entry()
	return t != nil && t.native == native
}

// Of returns the Errno inside err: one of this package's, or the translation of
// a syscall.Errno. It is false for nil and for errors without a known number.
func Of(err error) (Errno, bool) {
	if e, ok := errors.AsType[Errno](err); ok {
		return e, true
	}
	native, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		return 0, false
	}
	for i := range table {
		if table[i].native == native {
			return table[i].errno, true
		}
	}
	return 0, false
}

// Parse reads a name as Name writes it. Letter case does not matter.
func Parse(name string) (Errno, error) {
	upper := strings.ToUpper(name)
	if upper == "" {
		return 0, nil
	}
	for i := range table {
		if table[i].name == upper {
			return table[i].errno, nil
		}
	}
	if digits, ok := strings.CutPrefix(upper, "ERRNO("); ok {
		if digits, ok = strings.CutSuffix(digits, ")"); ok {
			if n, err := strconv.ParseUint(digits, 10, 16); err == nil {
				return Errno(n), nil
			}
		}
	}
	return 0, fmt.Errorf("error name %q: unknown; expected one such as ENETUNREACH or errno(113)", name)
}

// MarshalText writes Name.
func (e Errno) MarshalText() ([]byte, error) { return []byte(e.Name()), nil }

// UnmarshalText reads what Parse reads.
func (e *Errno) UnmarshalText(text []byte) error {
	n, err := Parse(string(text))
	if err == nil {
		*e = n
	}
	return err
}
