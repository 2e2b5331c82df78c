package fib

import (
	"math/bits"
	"net/netip"
)

// orUnspecified6 is a without its zone; what is no IPv6 address is ::, as an
// attribute that a query leaves out.
func orUnspecified6(a netip.Addr) netip.Addr {
	if !a.Is6() {
		return netip.IPv6Unspecified()
	}
	return a.WithZone("")
}

// The kinds of IPv6 address are told from the bytes, since netip looks through
// 4-in-6 addresses and the kernel does not.

func isMulticast6(a netip.Addr) bool {
	b := a.As16()
	return b[0] == 0xff
}

func isLinkLocal6(a netip.Addr) bool {
	b := a.As16()
	return b[0] == 0xfe && b[1]&0xc0 == 0x80
}

// isV4Embedded6 reports ::1 and the mapped and compatible forms of IPv4 addresses,
// which always count as preferred (D41.3).
func isV4Embedded6(a netip.Addr) bool {
	b := a.As16()
	for _, x := range b[:10] {
		if x != 0 {
			return false
		}
	}
	switch {
	case b[10] == 0xff && b[11] == 0xff:
		return true
	case b[10] != 0 || b[11] != 0:
		return false
	}
	return !a.IsUnspecified()
}

var loopback6 = netip.IPv6Loopback()

// needsLink6 reports whether dst only has meaning on one link, so that its lookup
// is strict (D10).
func needsLink6(dst netip.Addr) bool {
	return isMulticast6(dst) || isLinkLocal6(dst) || dst == loopback6
}

// Scopes of IPv6 addresses (D40a).
const (
	scopeNone6      = -1
	scopeLinkLocal6 = 2
	scopeSiteLocal6 = 5
	scopeGlobal6    = 14
)

// scopeOf6 is the scope that source selection compares (D40a).
func scopeOf6(a netip.Addr) int {
	b := a.As16()
	switch {
	case b[0] == 0xff:
		return int(b[1] & 0xf)
	case a.IsUnspecified():
		return scopeNone6
	case a == loopback6 || isLinkLocal6(a):
		return scopeLinkLocal6
	case b[0] == 0xfe && b[1]&0xc0 == 0xc0:
		return scopeSiteLocal6
	}
	return scopeGlobal6
}

// isORCHID6 reports an address of RFC 4843, 2001:10::/28.
func isORCHID6(a netip.Addr) bool {
	b := a.As16()
	return b[0] == 0x20 && b[1] == 0x01 && b[2] == 0x00 && b[3]&0xf0 == 0x10
}

// commonBits6 is the length of the prefix that a and b share.
func commonBits6(a, b netip.Addr) int {
	x, y := a.As16(), b.As16()
	for i := range x {
		if d := x[i] ^ y[i]; d != 0 {
			return i*8 + bits.LeadingZeros8(d)
		}
	}
	return 128
}
