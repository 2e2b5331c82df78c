package flat

import (
	"encoding/binary"
	"net/netip"
)

// words returns the address as two halves, an IPv4 one left-aligned in the first.
func words(a netip.Addr) (hi, lo uint64) {
	if a.Is4() {
		b := a.As4()
		return uint64(binary.BigEndian.Uint32(b[:])) << 32, 0
	}
	b := a.As16()
	return binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
}

func prefixOf(is4 bool, hi, lo uint64, length int) netip.Prefix {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], hi)
	binary.BigEndian.PutUint64(b[8:], lo)
	if is4 {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte(b[:4])), length)
	}
	return netip.PrefixFrom(netip.AddrFrom16(b), length)
}
