package iproute

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/rules"
)

// decoder reads fibula's and iproute2's JSON objects; they share keys and words.
type decoder struct {
	*lexer
	// capture: the objects are iproute2's own. A key that is not known is then a
	// warning, in a state file an error.
	capture bool
	names   *Names
	links   *linkTable
	notes   *notes
	legs    []fib.Nexthop // storage for the next routes' nexthops

	// The last gateway, as most routes have the one of the route before.
	gwText []byte
	gw     netip.Addr
}

// linkTable finds links by name.
type linkTable struct {
	byName map[string]int32 // ambiguous where two links have the name
	late   string           // what to do about a link that is not there
}

const ambiguous = -1

func newLinkTable(late string) *linkTable {
	return &linkTable{byName: map[string]int32{}, late: late}
}

func (t *linkTable) add(name string, index int32) {
	if _, taken := t.byName[name]; taken {
		index = ambiguous
	}
	t.byName[name] = index
}

func (t *linkTable) find(name string) (int32, error) {
	switch i, ok := t.byName[name]; {
	case !ok:
		return 0, fmt.Errorf("%.80q: no such link; %s", name, t.late)
	case i == ambiguous:
		return 0, fmt.Errorf("%.80q: two links have that name; give the index, as a number", name)
	default:
		return i, nil
	}
}

// notes collects warnings, counting those that repeat.
type notes struct {
	order []string
	count map[string]int
	more  int // beyond maxNotes
}

// maxNotes bounds what hostile input can make us say.
const maxNotes = 200

func (n *notes) add(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if n.count == nil {
		n.count = map[string]int{}
	}
	if n.count[text] == 0 {
		if len(n.order) == maxNotes {
			n.more++
			return
		}
		n.order = append(n.order, text)
	}
	n.count[text]++
}

// list returns the warnings in order of their first occurrence.
func (n *notes) list() []string {
	var out []string
	for _, text := range n.order {
		if c := n.count[text]; c > 1 {
			text = fmt.Sprintf("%s (%d times)", text, c)
		}
		out = append(out, text)
	}
	if n.more > 0 {
		out = append(out, fmt.Sprintf("%d more warnings are left out", n.more))
	}
	return out
}

// unknown deals with a key that nobody knows, and passes over its value.
func (d *decoder) unknown(object string, key []byte) {
	if !d.capture {
		d.fail("%s: unknown key %q; it may be from a newer fibula, and without it answers could be wrong", object, key)
		return
	}
	d.notes.add("%s: %s: key %.80q is not modelled; answers may be wrong where it matters", d.name, object, key)
	d.skip()
}

// fact reads the value of a key that may be missing where nothing is known.
func (d *decoder) fact() fib.Fact {
	if d.flag() {
		return fib.FactYes
	}
	return fib.FactNo
}

// skipKnown passes over a value of which it is known that no decision depends on it.
func (d *decoder) skipKnown(object string, key []byte) {
	if !d.capture {
		d.unknown(object, key)
		return
	}
	d.skip()
}

// address reads an address; what names the key in messages.
func (d *decoder) address(what string) netip.Addr {
	s := d.str()
	if d.err != nil {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(string(s))
	switch {
	case err != nil:
		d.fail("%s %q: not an IP address", what, s)
	case a.Zone() != "":
		d.fail("%s %q: an address with a zone; name the link in \"dev\"", what, s)
	}
	return a.WithZone("")
}

func (d *decoder) gateway() netip.Addr {
	s := d.str()
	if d.err == nil && !bytes.Equal(s, d.gwText) {
		a, err := netip.ParseAddr(string(s))
		if err != nil || a.Zone() != "" {
			d.fail("gateway %q: not an IP address", s)
			return netip.Addr{}
		}
		d.gwText, d.gw = append(d.gwText[:0], s...), a
	}
	return d.gw
}

// prefix reads "10.0.0.0/8", a bare address or "default", which needs a family.
func (d *decoder) prefix(what string, family fib.Family) netip.Prefix {
	s := d.str()
	if d.err != nil {
		return netip.Prefix{}
	}
	var p netip.Prefix
	switch {
	case string(s) == "default" && family == fib.Inet:
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	case string(s) == "default" && family == fib.Inet6:
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	case string(s) == "default":
		d.fail("%s \"default\" tells no family; write 0.0.0.0/0 or ::/0", what)
		return p
	case bytes.IndexByte(s, '/') < 0:
		a, err := netip.ParseAddr(string(s))
		if err != nil || a.Zone() != "" {
			d.fail("%s %q: not a prefix", what, s)
			return p
		}
		p = netip.PrefixFrom(a, a.BitLen())
	default:
		var err error
		if p, err = netip.ParsePrefix(string(s)); err != nil {
			d.fail("%s %q: not a prefix", what, s)
			return p
		}
	}
	if p != p.Masked() {
		d.fail("%s %q: bits are set beyond the prefix length; write %s", what, s, p.Masked())
	}
	return p
}

// dev reads a link: its name, or its index as a number.
func (d *decoder) dev() int32 {
	if d.peek() != '"' {
		return int32(d.uint(31))
	}
	s := d.str()
	i, ok := d.links.byName[string(s)]
	if (!ok || i == ambiguous) && d.err == nil {
		_, err := d.links.find(string(s))
		d.fail("dev %w", err)
	}
	return i
}

// word reads a number of at most bits bits that may stand as a word, which parse
// knows. Digits are always a number.
func word[T uint8 | uint16 | uint32](d *decoder, what string, bits int, parse func(string) (T, error)) T {
	s := d.text()
	if d.err != nil {
		return 0
	}
	if n, ok := parseNumber(s, bits); ok {
		return T(n)
	}
	n, err := parse(string(s))
	switch {
	case err != nil && d.capture:
		d.fail("%s: %w; capture with ip -N, or add the file of names from /etc/iproute2 to the capture", what, err)
	case err != nil:
		d.fail("%s: %w", what, err)
	}
	return n
}

// wordIn makes a parser for the words of a fixed list, numbered by position.
func wordIn[T uint8 | uint16](words []string) func(string) (T, error) {
	return func(s string) (T, error) {
		for i, w := range words {
			if w != "" && w == s {
				return T(i), nil
			}
		}
		known := strings.Join(slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w == "" }), ", ")
		return 0, fmt.Errorf("%.40q is unknown; expected a number or one of %s", s, known)
	}
}

func (d *decoder) scope() fib.Scope { return fib.Scope(word(d, "scope", 8, d.names.Scope)) }

// bitNames reads an array of words, each a bit; "0x…" stands for bits without a word.
func (d *decoder) bitNames(what string, bitOf func(word string) (uint32, bool)) uint32 {
	var v uint32
	for it := d.array(); it.next(); {
		s := d.str()
		if d.err != nil {
			break
		}
		if bit, ok := bitOf(string(s)); ok {
			v |= bit
		} else if n, ok := parseNumber(s, 32); ok && bytes.HasPrefix(s, []byte("0x")) {
			v |= uint32(n)
		} else if d.capture {
			d.notes.add("%s: %s %.80q is not modelled and was left out", d.name, what, s)
		} else {
			d.fail("%s %q: unknown", what, s)
		}
	}
	return v
}

// bit is one named bit of a flag word.
type bit struct {
	value uint32
	name  string
}

func bitNamed(table []bit) func(string) (uint32, bool) {
	return func(word string) (uint32, bool) {
		for _, b := range table {
			if b.name == word {
				return b.value, true
			}
		}
		return 0, false
	}
}

// bits writes v as names in the order of table, then what is left as "0x…".
func (w *jsonWriter) bits(v uint32, table []bit) {
	w.open('[')
	w.bitItems(v, table)
	w.close(']')
}

func (w *jsonWriter) bitItems(v uint32, table []bit) {
	for _, b := range table {
		if v&b.value == b.value {
			w.str(b.name)
			v &^= b.value
		}
	}
	if v != 0 {
		w.hex(uint64(v))
	}
}

func familyOf(a netip.Addr) fib.Family { return rules.FamilyOf(a) }
