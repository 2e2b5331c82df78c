package iproute

import (
	"net/netip"
	"strings"
)

// parseUint reads a number as C's strtoul does for iproute2: base 0 takes
// decimal, octal with a leading 0 and hexadecimal with 0x. No sign, no blanks,
// no underscores; ip lets some of those through, but nobody means them.
// (strconv.ParseUint would allocate for every word that is no number.)
func parseUint(s string, base, bits int) (v uint64, ok bool) {
	switch {
	case base != 10 && len(s) > 2 && s[0] == '0' && s[1]|0x20 == 'x':
		s, base = s[2:], 16
	case base == 0 && len(s) > 1 && s[0] == '0':
		base = 8
	case base == 0:
		base = 10
	}
	if s == "" {
		return 0, false
	}
	limit := uint64(1)<<bits - 1
	for i := range len(s) {
		d := digit(s[i])
		if d >= uint64(base) || v > (limit-d)/uint64(base) {
			return 0, false
		}
		v = v*uint64(base) + d
	}
	return v, true
}

// digit is the value of a digit up to f, or more than any base.
func digit(c byte) uint64 {
	switch {
	case c >= '0' && c <= '9':
		return uint64(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return uint64(c|0x20-'a') + 10
	}
	return 99
}

// parseAddr reads an address as ip(8) does. IPv4 may have fewer than four parts,
// which then are the first ("10.8" is 10.8.0.0), and parts in octal or
// hexadecimal. IPv6 has no zone.
func parseAddr(s string) (netip.Addr, bool) {
	if strings.IndexByte(s, ':') >= 0 {
		a, err := netip.ParseAddr(s)
		return a, err == nil && a.Zone() == ""
	}
	var b [4]byte
	for i := range b {
		part, rest, more := strings.Cut(s, ".")
		v, ok := parseUint(part, 0, 8)
		if !ok {
			return netip.Addr{}, false
		}
		b[i] = byte(v)
		if !more {
			return netip.AddrFrom4(b), true
		}
		s = rest
	}
	return netip.Addr{}, false
}

// parsePrefixLen reads what follows the slash: a number, or an IPv4 netmask.
func parsePrefixLen(s string, limit int) (int, bool) {
	if v, ok := parseUint(s, 0, 16); ok {
		return int(v), int(v) <= limit
	}
	mask, ok := parseAddr(s)
	if !ok || !mask.Is4() {
		return 0, false
	}
	b := mask.As4()
	m := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	if host := ^m; host&(host+1) != 0 {
		return 0, false
	}
	n := 0
	for ; m != 0; m <<= 1 {
		n++
	}
	return n, n <= limit
}
