// Package errno names the error numbers with which a Linux kernel answers
// routing requests, on every operating system.
//
// The numbers and texts are Linux's own, because they are part of the answer:
// "no route" is ENETUNREACH 101 whether fibula runs on Linux, FreeBSD or
// Windows. Start with Errno; Of turns an error of the operating system into
// one, Parse a name.
package errno
