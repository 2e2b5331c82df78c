package iproute

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	lexBuffer   = 64 << 10 // bytes read at a time
	lexMaxToken = 1 << 20  // no name, number or hex dump of ours comes near
	lexMaxDepth = 64
)

// lexer reads JSON as a stream of tokens, for objects too many to be decoded by
// reflection: a million routes take a second. It keeps duplicate keys and the order of
// keys, which the JSON of iproute2 needs (see encap), and knows where it is.
//
// The first error sticks: later calls return zero values and iterators end, so a
// caller looks at err once, when it is done.
type lexer struct {
	r    io.Reader
	name string // of the file, for messages
	err  error

	buf       []byte
	pos, end  int
	base      int64 // offset of buf[0]
	tok       int64 // offset of the current token
	line      int   // lines before tok
	lineStart int64 // offset of the first byte of the line
	depth     int
	eof       bool

	keyBuf  []byte
	scratch []byte

	// strict: a key that an object has twice is an error.
	strict bool
	seed   maphash.Seed
	keys   [lexMaxDepth + 1][]uint64 // hashes of the keys of each open object
}

func newLexer(name string, r io.Reader) *lexer {
	return &lexer{r: r, name: name, buf: make([]byte, lexBuffer), seed: maphash.MakeSeed()}
}

// fail notes the first error, with its place. Long strings among args are cut short.
func (l *lexer) fail(format string, args ...any) {
	const most = 80 // bytes
	for i, arg := range args {
		switch s := arg.(type) {
		case string:
			args[i] = s[:min(len(s), most)]
		case []byte:
			args[i] = s[:min(len(s), most)]
		}
	}
	if l.err == nil {
		l.err = fmt.Errorf("%s:%d:%d: %w", l.name, l.line+1, max(l.tok-l.lineStart, 0)+1, fmt.Errorf(format, args...))
	}
}

// fill makes room and reads more; buf[pos:end] stays. It reports whether anything came.
func (l *lexer) fill() bool {
	if l.eof || l.err != nil {
		return false
	}
	if l.pos > 0 {
		copy(l.buf, l.buf[l.pos:l.end])
		l.base += int64(l.pos)
		l.end -= l.pos
		l.pos = 0
	}
	if l.end == len(l.buf) {
		if l.end >= lexMaxToken {
			l.fail("a string or number longer than %d bytes", lexMaxToken)
			return false
		}
		l.buf = append(l.buf, make([]byte, len(l.buf))...)
	}
	for range 100 {
		n, err := l.r.Read(l.buf[l.end:])
		l.end += n
		if err != nil {
			l.eof = true
			if !errors.Is(err, io.EOF) {
				l.fail("%w", err)
			}
		}
		if n > 0 {
			return l.err == nil
		}
		if l.eof {
			return false
		}
	}
	l.fail("%w", io.ErrNoProgress)
	return false
}

// peek skips white space and returns the first byte of the next token, 0 at the end.
func (l *lexer) peek() byte {
	for l.err == nil {
		for l.pos < l.end {
			c := l.buf[l.pos]
			if c > ' ' {
				l.tok = l.base + int64(l.pos)
				return c
			}
			if c == '\n' {
				l.line++
				l.lineStart = l.base + int64(l.pos) + 1
			} else if c != ' ' && c != '\t' && c != '\r' {
				l.tok = l.base + int64(l.pos)
				return c
			}
			l.pos++
		}
		if !l.fill() {
			l.tok = l.base + int64(l.pos)
			return 0
		}
	}
	return 0
}

// found describes the next token for a message.
func (l *lexer) found() string {
	switch c := l.peek(); {
	case c == 0 && l.pos >= l.end:
		return "the end of the file"
	case c == '"':
		return "a string"
	case c == '{':
		return "an object"
	case c == '[':
		return "an array"
	case c == '-' || '0' <= c && c <= '9':
		return "a number"
	case c == 'n':
		return "null"
	case c == 't' || c == 'f':
		return "true or false"
	default:
		return strconv.QuoteRune(rune(c))
	}
}

// items iterates over the members of an object or the elements of an array.
type items struct {
	l     *lexer
	close byte
	first bool
}

func (l *lexer) open(open, close byte, what string) items {
	if l.peek() != open {
		l.fail("expected %s, found %s", what, l.found())
		return items{l: l}
	}
	if l.depth++; l.depth > lexMaxDepth {
		l.fail("nested more than %d deep", lexMaxDepth)
		return items{l: l}
	}
	l.keys[l.depth] = l.keys[l.depth][:0]
	l.pos++
	return items{l: l, close: close, first: true}
}

func (l *lexer) object() items { return l.open('{', '}', "an object") }
func (l *lexer) array() items  { return l.open('[', ']', "an array") }

// next reports whether there is one more; the caller then reads it.
func (it *items) next() bool {
	l := it.l
	c := l.peek()
	if l.err != nil {
		return false
	}
	if c == it.close {
		l.pos++
		l.depth--
		return false
	}
	if !it.first {
		if c != ',' {
			l.fail("expected ',' or '%c', found %s", it.close, l.found())
			return false
		}
		l.pos++
		if l.peek() == it.close {
			l.fail("nothing after ','")
			return false
		}
	}
	it.first = false
	return true
}

// key reads a member's key, valid until the next call of key.
func (l *lexer) key() []byte {
	l.keyBuf = append(l.keyBuf[:0], l.str()...)
	if l.peek() != ':' {
		l.fail("expected ':' after key %q, found %s", l.keyBuf, l.found())
		return l.keyBuf
	}
	if l.strict {
		l.once()
	}
	l.pos++
	l.peek()
	return l.keyBuf
}

// once fails if the object at hand had the last key before. Objects that are not refused
// have few keys, so a scan will do.
func (l *lexer) once() {
	keys := &l.keys[l.depth]
	h := maphash.Bytes(l.seed, l.keyBuf)
	if slices.Contains(*keys, h) {
		l.fail("%q appears twice in an object", l.keyBuf)
		return
	}
	*keys = append(*keys, h)
}

// str reads a string, valid until the next call of any method.
func (l *lexer) str() []byte {
	if l.peek() != '"' {
		l.fail("expected a string, found %s", l.found())
		return nil
	}
	for i := l.pos + 1; ; i++ {
		if i >= l.end {
			i -= l.pos
			if !l.fill() {
				l.fail("a string without end")
				return nil
			}
			i += l.pos
		}
		switch c := l.buf[i]; {
		case c == '"':
			s := l.buf[l.pos+1 : i]
			l.pos = i + 1
			return s
		case c == '\\':
			return l.escaped(i)
		case c < ' ':
			l.fail("control character %#x in a string", c)
			return nil
		}
	}
}

// escaped finishes a string whose first backslash is at buf[i].
func (l *lexer) escaped(i int) []byte {
	out := append(l.scratch[:0], l.buf[l.pos+1:i]...)
	l.pos = i
	for l.err == nil {
		c := l.take()
		switch {
		case c == '"':
			l.scratch = out
			return out
		case c < ' ' && l.err == nil:
			l.fail("control character %#x in a string", c)
		case c != '\\':
			out = append(out, c)
		default:
			switch e := l.take(); e {
			case '"', '\\', '/':
				out = append(out, e)
			case 'b':
				out = append(out, '\b')
			case 'f':
				out = append(out, '\f')
			case 'n':
				out = append(out, '\n')
			case 'r':
				out = append(out, '\r')
			case 't':
				out = append(out, '\t')
			case 'u':
				out = l.unicode(out)
			default:
				l.fail("unknown escape \\%c in a string", e)
			}
		}
		if len(out) > lexMaxToken {
			l.fail("a string longer than %d bytes", lexMaxToken)
		}
	}
	return nil
}

// unicode appends what the escape \uXXXX stands for. A lone surrogate U+DC80 … U+DCFF
// is a byte that is not UTF-8, as [jsonWriter.str] writes it: link names may have any.
func (l *lexer) unicode(out []byte) []byte {
	r := l.hex4()
	switch {
	case 0xdc80 <= r && r <= 0xdcff:
		return append(out, byte(r))
	case utf16.IsSurrogate(r):
		if l.take() == '\\' && l.take() == 'u' {
			if full := utf16.DecodeRune(r, l.hex4()); full != utf8.RuneError {
				return utf8.AppendRune(out, full)
			}
		}
		l.fail("half a surrogate pair in a string")
	}
	return utf8.AppendRune(out, r)
}

func (l *lexer) hex4() rune {
	var b [4]byte
	for i := range b {
		b[i] = l.take()
	}
	n, err := strconv.ParseUint(string(b[:]), 16, 16)
	if err != nil {
		l.fail("escape \\u%q: expected four hexadecimal digits", b[:])
	}
	return rune(n)
}

// take returns the next byte inside a string.
func (l *lexer) take() byte {
	if l.pos >= l.end && !l.fill() {
		l.fail("a string without end")
		return 0
	}
	l.pos++
	return l.buf[l.pos-1]
}

// bare reads a number or a literal, valid until the next call of any method.
func (l *lexer) bare() []byte {
	l.peek()
	for i := l.pos; ; i++ {
		if i >= l.end {
			i -= l.pos
			if !l.fill() {
				i += l.pos
				s := l.buf[l.pos:i]
				l.pos = i
				return s
			}
			i += l.pos
		}
		if c := l.buf[i]; !(c == '-' || c == '+' || c == '.' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') {
			s := l.buf[l.pos:i]
			l.pos = i
			return s
		}
	}
}

// text reads a string, number or literal as text: iproute2 writes many numbers as strings,
// and not the same ones in every version.
func (l *lexer) text() []byte {
	switch c := l.peek(); {
	case c == '"':
		return l.str()
	case c == '-' || '0' <= c && c <= '9':
		return l.bare()
	}
	l.fail("expected a string or a number, found %s", l.found())
	return nil
}

// uint reads a whole number of at most bits bits, also as a string and in hexadecimal.
func (l *lexer) uint(bits int) uint64 {
	s := l.text()
	if l.err != nil {
		return 0
	}
	n, ok := parseNumber(s, bits)
	if !ok {
		l.fail("%q: expected a whole number from 0 to %d", s, uint64(1)<<(bits-1)<<1-1)
	}
	return n
}

// parseNumber reads decimal digits or 0x and hexadecimal ones.
func parseNumber(s []byte, bits int) (uint64, bool) {
	if len(s) > 2 && s[0] == '0' && s[1]|0x20 == 'x' {
		n, err := strconv.ParseUint(string(s[2:]), 16, bits)
		return n, err == nil
	}
	if len(s) == 0 || len(s) > 20 {
		return 0, false
	}
	var n uint64
	if len(s) == 20 {
		v, err := strconv.ParseUint(string(s), 10, 64)
		if err != nil {
			return 0, false
		}
		n = v
	} else {
		for _, c := range s {
			if c < '0' || c > '9' {
				return 0, false
			}
			n = n*10 + uint64(c-'0')
		}
	}
	return n, bits == 64 || n>>bits == 0
}

func (l *lexer) u8() uint8   { return uint8(l.uint(8)) }
func (l *lexer) u16() uint16 { return uint16(l.uint(16)) }
func (l *lexer) u32() uint32 { return uint32(l.uint(32)) }

// int reads a whole number that may be negative.
func (l *lexer) int(bits int) int64 {
	s := l.text()
	if l.err != nil {
		return 0
	}
	n, err := strconv.ParseInt(string(s), 10, bits)
	if err != nil {
		l.fail("%q: expected a whole number from %d to %d", s, int64(-1)<<(bits-1), int64(1)<<(bits-1)-1)
	}
	return n
}

// scaled reads a decimal fraction and returns it times scale, rounded.
func (l *lexer) scaled(scale uint32) uint32 {
	s := l.text()
	if l.err != nil {
		return 0
	}
	f, err := strconv.ParseFloat(string(s), 64)
	if f = f*float64(scale) + 0.5; err != nil || !(f >= 0 && f < 1<<32) {
		l.fail("%q: expected a number from 0 to %d", s, (1<<32-1)/scale)
		return 0
	}
	return uint32(f)
}

// flag reads the value of a key that is a flag: null or true is set, false is not.
func (l *lexer) flag() bool {
	l.peek()
	switch s := l.bare(); string(s) {
	case "null", "true":
		return true
	case "false":
		return false
	default:
		l.fail("expected null, true or false")
		return false
	}
}

// skip passes over one value of any kind.
func (l *lexer) skip() {
	switch c := l.peek(); c {
	case '{':
		for it := l.object(); it.next(); {
			l.key()
			l.skip()
		}
	case '[':
		for it := l.array(); it.next(); {
			l.skip()
		}
	case '"':
		l.str()
	default:
		switch s := l.bare(); {
		case len(s) == 0:
			l.fail("expected a value, found %s", l.found())
		case c == '-' || '0' <= c && c <= '9':
			if _, err := strconv.ParseFloat(string(s), 64); err != nil && !errors.Is(err, strconv.ErrRange) {
				l.fail("%q is not a number", s)
			}
		case string(s) != "null" && string(s) != "true" && string(s) != "false":
			l.fail("%q is not JSON", s)
		}
	}
}

// finish checks that only white space is left.
func (l *lexer) finish() {
	if l.peek() != 0 || (l.err == nil && l.pos < l.end) {
		l.fail("expected the end of the file, found %s", l.found())
	}
}
