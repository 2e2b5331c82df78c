package fib

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// Bits of Multipath.Fields (B25); 6 to 11 are the inner headers', which a query
// does not have.
const (
	hashSrc uint32 = 1 << iota
	hashDst
	hashProto
	hashFlowLabel
	hashSport
	hashDport
	hashOuter = 1<<iota - 1
)

// hash returns the 31-bit hash by which the flow is spread over legs, bit for bit
// the kernel's (B25). Where the seed is random and so unreadable, known is false
// and h is 0. It is computed once per lookup.
func (w *walk) hash() (h uint32, known bool) {
	if !w.hashed {
		w.hashed = true
		w.hashValue, w.hashKnown = w.s.hashOf(&w.f, w.fam, w.source())
	}
	return w.hashValue, w.hashKnown
}

// hashOf is the hash of a flow from a source, which matters for IPv6 alone.
func (s *Snapshot) hashOf(f *Flow, fam Family, src netip.Addr) (uint32, bool) {
	w := hashing{s, f, fam, src}
	m := w.s.sysctls.Multipath4
	if w.fam == Inet6 {
		m = w.s.sysctls.Multipath6
	}
	fields := hashSrc | hashDst
	switch m.Policy {
	case 1:
		fields |= hashProto | hashSport | hashDport
	case 3:
		fields = m.Fields & hashOuter
	default:
		if w.fam == Inet6 {
			fields |= hashProto | hashFlowLabel
		}
	}
	seed := w.s.sysctls.HashSeed
	if !w.s.kernel.AtLeast(6, 11) {
		seed = 0 // no such setting
	}
	var v uint32
	if fields != 0 {
		if seed == 0 {
			return 0, false
		}
		v = w.hashFields(fields, seed)
	}
	if m.Policy == 3 && w.fam == Inet {
		v = jenkins(v, 0)
	}
	return v >> 1, true
}

// hashing is a flow that is hashed.
type hashing struct {
	s   *Snapshot
	f   *Flow
	fam Family
	src netip.Addr // of IPv6
}

// hashFields hashes the block of a flow that has only the given fields.
func (w *hashing) hashFields(fields, seed uint32) uint32 {
	// The block as it lies in memory: 28 bytes of protocol and flow label, ports,
	// 4 bytes of nothing, the addresses, 4 bytes of nothing.
	var b [72]byte
	le := binary.LittleEndian
	proto, sport, dport := w.f.IPProto, w.f.Sport, w.f.Dport
	if w.fam == Inet {
		// IPv4 hashes the packet that the query stands for, not the flow key.
		if proto == 0 {
			proto = protoUDP
		}
		if proto == protoICMP {
			sport, dport = 0, 0
		}
	}
	if fields&hashProto != 0 {
		b[2] = proto
	}
	if fields&hashFlowLabel != 0 && w.fam == Inet6 {
		binary.BigEndian.PutUint32(b[4:], w.f.FlowLabel)
	}
	if fields&hashSport != 0 {
		binary.BigEndian.PutUint16(b[28:], sport)
	}
	if fields&hashDport != 0 {
		binary.BigEndian.PutUint16(b[30:], dport)
	}
	// Both directions of a connection hash alike: the smaller port, as the machine
	// loads it, comes first.
	if s, d := le.Uint16(b[28:]), le.Uint16(b[30:]); d < s {
		le.PutUint16(b[28:], d)
		le.PutUint16(b[30:], s)
	}
	n := 48
	if w.fam == Inet {
		w.hashAddrs4(b[36:44], fields)
	} else {
		n = 72
		w.hashAddrs6(b[36:68], fields)
	}
	key := uint64(seed)<<32 | uint64(seed)
	h := uint32(siphash24(key, key, b[:n]))
	if h == 0 {
		return 1
	}
	return h
}

func (w *hashing) hashAddrs4(b []byte, fields uint32) {
	if fields&hashSrc != 0 && w.f.Src.Is4() {
		a := w.f.Src.As4()
		copy(b, a[:])
	}
	if fields&hashDst != 0 {
		a := w.f.Dst.As4()
		copy(b[4:], a[:])
	}
	le := binary.LittleEndian
	if s, d := le.Uint32(b), le.Uint32(b[4:]); d < s {
		le.PutUint32(b, d)
		le.PutUint32(b[4:], s)
	}
}

func (w *hashing) hashAddrs6(b []byte, fields uint32) {
	var src, dst netip.Addr = netip.IPv6Unspecified(), netip.IPv6Unspecified()
	if s := w.src; fields&hashSrc != 0 && s.IsValid() {
		src = s.WithZone("")
	}
	if fields&hashDst != 0 {
		dst = w.f.Dst.WithZone("")
	}
	if dst.Less(src) {
		src, dst = dst, src
	}
	s, d := src.As16(), dst.As16()
	copy(b, s[:])
	copy(b[16:], d[:])
}

// jenkins is the final mix of Bob Jenkins' lookup3 over two words (B25), as
// published at burtleburtle.net/bob/c/lookup3.c.
func jenkins(a, b uint32) uint32 {
	const iv = 0xdeadbeef + 8
	a, b, c := a+iv, b+iv, uint32(iv)
	c = (c ^ b) - bits.RotateLeft32(b, 14)
	a = (a ^ c) - bits.RotateLeft32(c, 11)
	b = (b ^ a) - bits.RotateLeft32(a, 25)
	c = (c ^ b) - bits.RotateLeft32(b, 16)
	a = (a ^ c) - bits.RotateLeft32(c, 4)
	b = (b ^ a) - bits.RotateLeft32(a, 14)
	return (c ^ b) - bits.RotateLeft32(b, 24)
}

// siphash24 is SipHash-2-4 of Aumasson and Bernstein (2012).
func siphash24(k0, k1 uint64, msg []byte) uint64 {
	s := sipState{k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573}
	last := uint64(len(msg)) << 56
	for ; len(msg) >= 8; msg = msg[8:] {
		s.word(binary.LittleEndian.Uint64(msg))
	}
	for i, c := range msg {
		last |= uint64(c) << (8 * i)
	}
	s.word(last)
	s.v2 ^= 0xff
	for range 4 {
		s.round()
	}
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3
}

type sipState struct{ v0, v1, v2, v3 uint64 }

func (s *sipState) word(m uint64) {
	s.v3 ^= m
	s.round()
	s.round()
	s.v0 ^= m
}

func (s *sipState) round() {
	s.v0 += s.v1
	s.v1 = bits.RotateLeft64(s.v1, 13) ^ s.v0
	s.v0 = bits.RotateLeft64(s.v0, 32)
	s.v2 += s.v3
	s.v3 = bits.RotateLeft64(s.v3, 16) ^ s.v2
	s.v0 += s.v3
	s.v3 = bits.RotateLeft64(s.v3, 21) ^ s.v0
	s.v2 += s.v1
	s.v1 = bits.RotateLeft64(s.v1, 17) ^ s.v2
	s.v2 = bits.RotateLeft64(s.v2, 32)
}
