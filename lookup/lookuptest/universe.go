package lookuptest

import (
	"encoding/binary"
	"net/netip"

	"pgregory.net/rapid"
)

// A window is a small universe of prefixes: those that differ from base only in the
// bits from–to. A dozen values collide, nest and split far more often than random
// addresses do, and each window lies across a border where an engine may go wrong: the
// root, a stride of 8 bits, the middle of a 64-bit word, the last bits.
type window struct {
	base     netip.Addr
	from, to int
}

var windows = []window{
	{netip.MustParseAddr("0.0.0.0"), 0, 4},
	{netip.MustParseAddr("10.0.0.0"), 5, 11},
	{netip.MustParseAddr("172.16.0.0"), 13, 19},
	{netip.MustParseAddr("192.0.2.0"), 21, 27},
	{netip.MustParseAddr("198.51.100.0"), 27, 32},
	{netip.MustParseAddr("255.255.255.255"), 0, 32},
	{netip.MustParseAddr("::"), 0, 4},
	{netip.MustParseAddr("2001:db8::"), 14, 20},
	{netip.MustParseAddr("2001:db8::"), 29, 35},
	{netip.MustParseAddr("2001:db8:1::"), 45, 51},
	{netip.MustParseAddr("2001:db8:1:2::"), 60, 68},
	{netip.MustParseAddr("2001:db8::1"), 123, 128},
	{netip.MustParseAddr("::ffff:0.0.0.0"), 92, 98},
	{netip.MustParseAddr("::ffff:192.0.2.0"), 122, 128},
	{netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), 0, 128},
}

// addr returns the base with the bits of the window flipped where value has ones,
// repeated as often as it takes.
func (w window) addr(value uint64) netip.Addr {
	bytes := w.base.AsSlice()
	for bit := w.from; bit < w.to; bit++ {
		if value>>((bit-w.from)%64)&1 != 0 {
			bytes[bit/8] ^= 0x80 >> (bit % 8)
		}
	}
	addr, _ := netip.AddrFromSlice(bytes)
	return addr
}

// prefixes generates prefixes of all windows, some with host bits set, of lengths
// within the window and of the lengths at both ends of the family.
func prefixes() *rapid.Generator[netip.Prefix] {
	return rapid.Custom(func(t *rapid.T) netip.Prefix {
		w := rapid.SampledFrom(windows).Draw(t, "window")
		addr := w.addr(rapid.Uint64().Draw(t, "value"))
		all := addr.BitLen()
		bits := rapid.OneOf(
			rapid.IntRange(w.from, w.to),
			rapid.SampledFrom([]int{0, 1, all - 1, all}),
		).Draw(t, "bits")
		return netip.PrefixFrom(addr, bits)
	})
}

// Colliding returns n prefixes such as the properties draw, which collide and nest with theirs. Some
// are equal.
func Colliding(n int, seed uint64) []netip.Prefix {
	out := make([]netip.Prefix, n)
	for i := range out {
		out[i] = prefixes().Example(int(seed) + i).Masked()
	}
	return out
}

// randomIn returns an address in p whose host bits come from next.
func randomIn(p netip.Prefix, next func() uint64) netip.Addr {
	var random [16]byte
	binary.BigEndian.PutUint64(random[:8], next())
	binary.BigEndian.PutUint64(random[8:], next())
	bytes := p.Masked().Addr().AsSlice()
	for bit := p.Bits(); bit < len(bytes)*8; bit++ {
		bytes[bit/8] |= random[bit/8] & (0x80 >> (bit % 8))
	}
	addr, _ := netip.AddrFromSlice(bytes)
	return addr
}
