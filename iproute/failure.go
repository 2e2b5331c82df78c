package iproute

import (
	"errors"
	"net/netip"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/errno"
)

// Answers is what ip writes to standard error when a kernel answers e.
func Answers(e fib.Errno) string { return "RTNETLINK answers: " + e.Error() }

// failure writes the object for a flow that e ends: "error" (the errno's name),
// "message", "dst", and as far as known what decided: "rule" (its priority), "table",
// "prefix", "type" of the route.
func (p *Printer) failure(w *ipJSON, e fib.Errno, dst netip.Addr, d *fib.Decision, others []Answer) {
	n := p.Names.get()
	w.openObject()
	w.stringField("error", e.Name())
	w.stringField("message", e.Error())
	w.addrField("dst", dst)
	if d != nil && d.HasRule {
		w.uintField("rule", uint64(d.Rule))
	}
	if d != nil && d.HasRoute {
		w.stringField("table", n.TableName(uint32(d.Table)))
		w.prefixField("prefix", d.Prefix)
		w.stringField("type", n.TypeName(d.RouteType))
	}
	if d != nil && d.Undetermined != 0 {
		w.undetermined(d.Undetermined)
	}
	p.candidates(w, others)
	w.closeObject()
}

// AppendError appends, on one line, the JSON object for a query that cannot be
// asked: "error" (an errno's name), "message", and the "word" that is wrong.
func (p *Printer) AppendError(b []byte, err error) []byte {
	w := ipJSON{b: b, pretty: p.Pretty && p.JSON}
	w.openObject()
	e, ok := errno.Of(err)
	if !ok {
		e = fib.EINVAL
	}
	w.stringField("error", e.Name())
	w.stringField("message", err.Error())
	var usage *UsageError
	if errors.As(err, &usage) && usage.Word != "" {
		w.stringField("word", usage.Word)
	}
	w.closeObject()
	return append(w.b, '\n')
}

// ExitCode is the exit code that ip has for err: 0 for nil, that of a UsageError,
// 2 for an error number, else 1.
func ExitCode(err error) int {
	if err == nil {
		return ExitOK
	}
	var usage *UsageError
	if errors.As(err, &usage) {
		return usage.Exit
	}
	if _, ok := errno.Of(err); ok {
		return ExitRefused
	}
	return ExitInput
}

// queryErrno is the errno with which the kernel fails a query for a flow that d answers;
// 0 for none. That is d's own and one more: a multicast route of IPv6 that answers
// an input flow is told by multicast routing, which fails with EMSGSIZE (D30).
func queryErrno(f *fib.Flow, d *fib.Decision) fib.Errno {
	if d.Errno == 0 && f.Iif != 0 && f.Dst.Is6() && d.HasRoute && d.Prefix.Addr().IsMulticast() {
		return errno.EMSGSIZE
	}
	return d.Errno
}
