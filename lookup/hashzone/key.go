package hashzone

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// Zones store two kinds of key. Most prefixes, all of IPv4 and those of IPv6 up to
// /64, fit into 64 bits; the rare longer ones of IPv6 have zones with wide keys, so that
// they do not double the size of everything else.
type (
	short uint64
	long  struct{ hi, lo uint64 }
)

// key is what a zone needs of its keys. The hash must depend on the secret in a way
// that somebody who chooses prefixes, but does not know it, cannot make collide.
type key interface {
	short | long
	hash(secret uint64) uint64
}

// Both hashes end in a multiplication, so their upper bits are the good ones: the top
// picks the page and bits 32–38 are the tag within it.

func (k short) hash(secret uint64) uint64 { return mix(uint64(k) * (secret | 1)) }

func (k long) hash(secret uint64) uint64 {
	return mix(k.hi*(secret|1) ^ bits.RotateLeft64(k.lo*(bits.ReverseBytes64(secret)|1), 29))
}

// mix spreads x over all upper bits. It is a bijection: multiplication by an odd number
// and xor with one's own upper half both are, so two short keys never hash alike.
func mix(x uint64) uint64 { return (x ^ x>>32) * 0x9fb2_1c65_1e98_df25 }

// words returns the address as the first and the last 64 bits; one of IPv4 as its 32
// bits, left-aligned, so that both families mask to a length alike.
func words(addr netip.Addr) long {
	if addr.Is4() {
		b := addr.As4()
		return long{hi: uint64(binary.BigEndian.Uint32(b[:])) << 32}
	}
	b := addr.As16()
	return long{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// prefix turns k back into a prefix.
func (k long) prefix(is4 bool, length int) netip.Prefix {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], k.hi)
	binary.BigEndian.PutUint64(b[8:], k.lo)
	if is4 {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte(b[:4])), length)
	}
	return netip.PrefixFrom(netip.AddrFrom16(b), length)
}

// mask returns the first length bits of hi, for lengths up to 64.
func mask(hi uint64, length int) short { return short(hi & (^uint64(0) << (64 - length))) }

// maskLong returns the first length bits of k, for lengths from 64 on.
func maskLong(k long, length int) long {
	return long{k.hi, k.lo & (^uint64(0) << (128 - length))}
}
