package iproute

import (
	"net/netip"
	"strconv"
	"unicode/utf8"

	"github.com/fibula-net/fibula/fib"
)

// jsonWriter appends JSON to b. Commas come by themselves: what follows an opening
// bracket or a colon needs none.
type jsonWriter struct{ b []byte }

func (w *jsonWriter) comma() {
	if n := len(w.b); n > 0 {
		switch w.b[n-1] {
		case '{', '[', ':', '\n':
		default:
			w.b = append(w.b, ',')
		}
	}
}

func (w *jsonWriter) open(c byte)  { w.comma(); w.b = append(w.b, c) }
func (w *jsonWriter) close(c byte) { w.b = append(w.b, c) }

// key starts a member of an object. Keys are ours and need no escapes.
func (w *jsonWriter) key(k string) *jsonWriter {
	w.comma()
	w.b = append(w.b, '"')
	w.b = append(w.b, k...)
	w.b = append(w.b, '"', ':')
	return w
}

func (w *jsonWriter) uint(n uint64) { w.comma(); w.b = strconv.AppendUint(w.b, n, 10) }
func (w *jsonWriter) int(n int64)   { w.comma(); w.b = strconv.AppendInt(w.b, n, 10) }
func (w *jsonWriter) bool(v bool)   { w.comma(); w.b = strconv.AppendBool(w.b, v) }
func (w *jsonWriter) null()         { w.comma(); w.b = append(w.b, "null"...) }

// fraction writes n/scale, exactly: scale is a power of 2 below 16 or 100.
func (w *jsonWriter) fraction(n, scale uint32) {
	w.comma()
	w.b = strconv.AppendFloat(w.b, float64(n)/float64(scale), 'f', -1, 64)
}

// hex writes a number as iproute2 writes masks: a string.
func (w *jsonWriter) hex(n uint64) {
	w.comma()
	w.b = append(w.b, `"0x`...)
	w.b = strconv.AppendUint(w.b, n, 16)
	w.b = append(w.b, '"')
}

func (w *jsonWriter) addr(a netip.Addr) {
	w.comma()
	w.b = append(w.b, '"')
	w.b = a.AppendTo(w.b)
	w.b = append(w.b, '"')
}

func (w *jsonWriter) prefix(p netip.Prefix) {
	w.comma()
	w.b = append(w.b, '"')
	w.b = p.AppendTo(w.b)
	w.b = append(w.b, '"')
}

// str writes any string so that it can be read back: a byte that is not UTF-8 becomes a
// lone surrogate, as Python's surrogateescape has it.
func (w *jsonWriter) str(s string) {
	const hex = "0123456789abcdef"
	w.comma()
	w.b = append(w.b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			w.b = append(w.b, '\\', c)
		case c < ' ' || c == 0x7f:
			w.b = append(w.b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		case c < utf8.RuneSelf:
			w.b = append(w.b, c)
		default:
			if r, n := utf8.DecodeRuneInString(s[i:]); r < 0xa0 {
				w.b = append(w.b, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
				i += n
				continue
			} else if n > 1 {
				w.b = append(w.b, s[i:i+n]...)
				i += n
				continue
			}
			w.b = append(w.b, '\\', 'u', 'd', 'c', hex[c>>4], hex[c&15])
		}
		i++
	}
	w.b = append(w.b, '"')
}

// fact writes what is known of f, and nothing if nothing is.
func (w *jsonWriter) fact(key string, f fib.Fact) {
	switch f {
	case fib.FactYes:
		w.key(key).null()
	case fib.FactNo:
		w.key(key).b = append(w.b, "false"...)
	}
}
