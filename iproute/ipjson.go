package iproute

import (
	"net/netip"
	"strconv"
	"unicode/utf8"
)

// ipJSON appends JSON in the very layout that ip has, plain or pretty (-p).
type ipJSON struct {
	b      []byte
	pretty bool
	depth  int
	comma  bool // something precedes in this array or object
}

func (w *ipJSON) separate() {
	if w.comma {
		w.b = append(w.b, ',')
	}
	w.comma = true
}

func (w *ipJSON) newline() {
	if !w.pretty {
		return
	}
	w.b = append(w.b, '\n')
	for range w.depth {
		w.b = append(w.b, "    "...)
	}
}

func (w *ipJSON) open(c byte) {
	w.separate()
	w.b = append(w.b, c)
	w.depth++
	w.comma = false
}

func (w *ipJSON) openObject() { w.open('{') }

func (w *ipJSON) closeObject() {
	w.depth--
	if w.comma {
		w.newline()
	}
	w.b = append(w.b, '}')
	w.comma = true
}

func (w *ipJSON) openArray() {
	w.open('[')
	if w.pretty {
		w.b = append(w.b, ' ')
	}
}

func (w *ipJSON) closeArray() {
	w.depth--
	if w.pretty && w.comma {
		w.b = append(w.b, ' ')
	}
	w.b = append(w.b, ']')
	w.comma = true
}

func (w *ipJSON) key(name string) {
	w.separate()
	w.newline()
	w.comma = false
	w.b = appendJSONString(w.b, name)
	w.b = append(w.b, ':')
	if w.pretty {
		w.b = append(w.b, ' ')
	}
}

func (w *ipJSON) string(s string) {
	w.separate()
	w.b = appendJSONString(w.b, s)
}

func (w *ipJSON) uint(v uint64) {
	w.separate()
	w.b = strconv.AppendUint(w.b, v, 10)
}

func (w *ipJSON) raw(s string) {
	w.separate()
	w.b = append(w.b, s...)
}

func (w *ipJSON) stringField(name, v string)      { w.key(name); w.string(v) }
func (w *ipJSON) uintField(name string, v uint64) { w.key(name); w.uint(v) }
func (w *ipJSON) nullField(name string)           { w.key(name); w.raw("null") }

func (w *ipJSON) boolField(name string, v bool) {
	w.key(name)
	w.raw(strconv.FormatBool(v))
}

// appendJSONString quotes s. Unlike ip's, the result is valid JSON for every s:
// control characters are escaped (those of C1, too, for terminals), bytes that are not UTF-8 replaced by U+FFFD.
func appendJSONString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if i += n; r < 0xa0 {
				b = append(b, `\u00`...)
				b = append(b, hex[r>>4], hex[r&0xf])
			} else {
				b = utf8.AppendRune(b, r)
			}
			continue
		}
		i++
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\t':
			b = append(b, `\t`...)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\f':
			b = append(b, `\f`...)
		case '\b':
			b = append(b, `\b`...)
		default:
			if c < 0x20 || c == 0x7f {
				b = append(b, `\u00`...)
				b = append(b, hex[c>>4], hex[c&0xf])
			} else {
				b = append(b, c)
			}
		}
	}
	return append(b, '"')
}

// prefixField writes "default", an address, or a prefix.
func (w *ipJSON) prefixField(name string, p netip.Prefix) {
	w.key(name)
	w.separate()
	w.b = append(appendPrefix(append(w.b, '"'), p), '"')
}

func (w *ipJSON) addrField(name string, a netip.Addr) {
	w.key(name)
	w.separate()
	w.b = append(appendAddr(append(w.b, '"'), a), '"')
}
