package rules

import (
	"fmt"
	"net/netip"
)

// Family is an address family, numbered as in rtnetlink headers.
type Family uint8

// The two families that have a policy database for unicast routing.
const (
	Inet  Family = 2
	Inet6 Family = 10
)

// FamilyOf returns the family of a, or 0 for the zero Addr. An IPv4-mapped IPv6
// address is Inet6: nothing in this package unmaps.
func FamilyOf(a netip.Addr) Family {
	switch {
	case a.Is4():
		return Inet
	case a.Is6():
		return Inet6
	}
	return 0
}

// Bits returns the width of an address: 32, 128, or 0 for an unknown family.
func (f Family) Bits() int {
	switch f {
	case Inet:
		return 32
	case Inet6:
		return 128
	}
	return 0
}

// String returns "inet", "inet6" or, for another number, such as "family(7)".
func (f Family) String() string {
	switch f {
	case Inet:
		return "inet"
	case Inet6:
		return "inet6"
	}
	return fmt.Sprintf("family(%d)", uint8(f))
}

// MarshalText writes what String returns.
func (f Family) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads "inet" or "inet6".
func (f *Family) UnmarshalText(text []byte) error {
	switch string(text) {
	case "inet":
		*f = Inet
	case "inet6":
		*f = Inet6
	default:
		return fmt.Errorf("family %q: expected inet or inet6", text)
	}
	return nil
}
