package iproute

import (
	"strconv"
	"strings"
	"unicode"

	"github.com/fibula-net/fibula/fib"
)

// The exit codes of ip(8).
const (
	ExitOK      = 0
	ExitInput   = 1   // an address or a link that cannot be, nothing to look up
	ExitRefused = 2   // the kernel answers with an error
	ExitUsage   = 255 // a word or a value that cannot be
)

// UsageError says which word of a query is wrong and how to mend it.
type UsageError struct {
	Exit  int       // as ip(8) exits for the same mistake
	Errno fib.Errno // the nearest error number; what a kernel answers if Exit is ExitRefused
	Word  string    // the offending word; empty: something is missing
	Msg   string
}

func (e *UsageError) Error() string { return e.Msg }

// Unwrap returns the error number.
func (e *UsageError) Unwrap() error { return e.Errno }

func expected(exit int, word, msg string) error {
	return &UsageError{Exit: exit, Errno: fib.EINVAL, Word: word, Msg: msg}
}

// badValue is what ip calls a wrong argument.
func badValue(key, word, want string) error {
	return expected(ExitUsage, word, `argument "`+clip(word)+`" of "`+key+`" is wrong: expected `+want)
}

// badPrefix is ip's "prefix is expected rather than".
func badPrefix(fam fib.Family, word string) error {
	what, example := "any valid", "192.0.2.1 or 2001:db8::1"
	switch fam {
	case fib.Inet:
		what, example = "inet", "192.0.2.1"
	case fib.Inet6:
		what, example = "inet6", "2001:db8::1"
	}
	return expected(ExitInput, word, what+` prefix is expected rather than "`+clip(word)+`": give an address such as `+
		example+`, or a keyword such as from, iif, oif, mark`)
}

func refused(e fib.Errno, word, msg string) error {
	return &UsageError{Exit: ExitRefused, Errno: e, Word: word, Msg: "RTNETLINK answers: " + e.Error() + " (" + msg + ")"}
}

// clip keeps a hostile word from filling the screen, or steering a terminal.
func clip(word string) string {
	const most = 60
	if len(word) > most {
		word = word[:most] + "…"
	}
	return escape(word)
}

// escape keeps a word from steering a terminal.
func escape(word string) string {
	q := strconv.Quote(word)
	return q[1 : len(q)-1]
}

// printable is s without what could steer a terminal or hide from the eye: a kernel lets
// the name of a link have any character but blanks, slashes and colons.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) {
			return r
		}
		return '?'
	}, s)
}
