package rules

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// words are the values that selectors compare under a mask, side by side: of a flow
// what it has, of a rule what it wants and under which mask.
//
//	srcHi, srcLo, dstHi, dstLo   addresses; of IPv4 the low half of the Lo words
//	wMark                        fwmark, flow label
//	wLinks, wDomains             iif and oif by index, and by L3 master (L16)
//	wPorts                       uid, sport, dport
//	wSmall                       ipproto, tos, dscp, whether there is an L3 master
//	wTunnel                      tun_id
type words [16]uint64

const (
	wSrcHi = iota
	wSrcLo
	wDstHi
	wDstLo
	wMark
	wLinks
	wDomains
	wPorts
	wSmall
	wTunnel
)

// shape is what rules have in common that one hash table can hold: which bits of
// which words they compare, and when they need to be looked at. Tuple space search
// (Srinivasan, Suri, Varghese 1999) visits one table per shape.
type shape struct {
	mask words
	when when
}

// when tells which flows can meet the rules of a shape (A16, A17).
type when uint8

const (
	always when = iota
	withSource
	withoutSource // from is not compared yet
)

// two packs numbers of 32 bits into a word, hi first.
func two(hi, lo uint32) uint64 { return uint64(hi)<<32 | uint64(lo) }

func wordsOf(a netip.Addr) (hi, lo uint64) {
	b := a.As16()
	return binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
}

// masksOf returns the masks of a prefix as wordsOf arranges addresses. Those of IPv4
// leave out what all IPv4 addresses have in common, and so read the unset address as
// 0.0.0.0 (A16).
func masksOf(p netip.Prefix) (hi, lo uint64) {
	n := p.Bits()
	if p.Addr().Is4() {
		return 0, uint64(^uint32(0)) &^ (1<<(32-n) - 1)
	}
	if n <= 64 {
		return ^uint64(0) << (64 - n), 0
	}
	return ^uint64(0), ^uint64(0) << (128 - n)
}

// set fills those words of a flow that are used.
func (w *words) set(f *Flow, family Family, p Profile, used uint16) {
	if used&(1<<wSrcHi|1<<wSrcLo) != 0 {
		w[wSrcHi], w[wSrcLo] = wordsOf(f.Src)
	}
	if used&(1<<wDstHi|1<<wDstLo) != 0 {
		w[wDstHi], w[wDstLo] = wordsOf(f.Dst)
	}
	if used>>wMark == 0 {
		return
	}
	w[wMark] = two(f.Mark, f.FlowLabel)
	w[wLinks] = two(uint32(f.Iif), uint32(f.Oif))
	w[wDomains] = w[wLinks]
	if p.L3MDevByDomain {
		w[wDomains] = two(uint32(f.L3Master), 0)
		if f.L3FromOif {
			w[wDomains] = two(0, uint32(f.L3Master))
		}
	}
	w[wPorts] = two(f.UID, uint32(f.Sport)<<16|uint32(f.Dport))
	tos := f.TOS >> 2
	if family == Inet {
		tos = f.TOS & tosMask
	}
	w[wSmall] = two(uint32(f.IPProto), uint32(tos)<<16|uint32(f.TOS>>2)<<8)
	if f.L3Master != 0 {
		w[wSmall] |= 1
	}
	w[wTunnel] = f.TunID
}

// shapes calls fn for each shape in which e must be found, with what it wants there.
// There are two for a rule that is met with and without a source (A17), none for one
// that no flow matches because its link does not exist.
//
// Words may say less than the rule: what they do not tell apart, a tree or Match does.
func (e *Entry) shapes(fn func(*shape, *words)) {
	var s shape
	var v words
	if e.Not {
		fn(&s, &v) // it matches nearly everything
		return
	}
	if e.IifDetached() || e.OifDetached() {
		return
	}
	if e.To.Bits() > 0 {
		v[wDstHi], v[wDstLo] = wordsOf(e.To.Addr())
		s.mask[wDstHi], s.mask[wDstLo] = masksOf(e.To)
	}
	want := func(word, shift int, value, mask uint64) {
		v[word] |= value << shift
		s.mask[word] |= mask << shift
	}
	const full = 1<<32 - 1
	links := func(master bool) int {
		if master {
			return wDomains
		}
		return wLinks
	}
	if e.Iif != "" {
		want(links(e.IifMaster), 32, uint64(uint32(e.IifIndex)), full)
	}
	if e.Oif != "" {
		want(links(e.OifMaster), 0, uint64(uint32(e.OifIndex)), full)
	}
	want(wMark, 32, uint64(e.Mark), uint64(e.MarkMask))
	if e.HasUIDs && e.UIDs.Start == e.UIDs.End {
		want(wPorts, 32, uint64(e.UIDs.Start), full)
	}
	if e.Sport.IsSet() {
		want(wPorts, 16, uint64(e.Sport.Start), uint64(e.Sport.Mask))
	}
	if e.Dport.IsSet() {
		want(wPorts, 0, uint64(e.Dport.Start), uint64(e.Dport.Mask))
	}
	if e.IPProto != 0 {
		want(wSmall, 32, uint64(e.IPProto), 0xff)
	}
	want(wSmall, 8, uint64(e.DSCP), uint64(e.DSCPMask))
	if e.L3MDev {
		want(wSmall, 0, 1, 1)
	}
	if e.TunID != 0 {
		want(wTunnel, 0, e.TunID, 1<<64-1)
	}
	if e.Family == Inet {
		if e.TOS != 0 {
			want(wSmall, 16, uint64(e.TOS), 0xff)
		}
	} else {
		if e.TOS != 0 {
			want(wSmall, 16, uint64(e.TOS>>2), 0xff)
		}
		want(wMark, 0, uint64(e.FlowLabel), uint64(e.FlowLabelMask))
	}
	if e.From.Bits() <= 0 {
		fn(&s, &v)
		return
	}
	if e.Family == Inet6 {
		if e.FindSaddr {
			s.when = withoutSource
			fn(&s, &v)
		}
		s.when = withSource
	}
	v[wSrcHi], v[wSrcLo] = wordsOf(e.From.Addr())
	s.mask[wSrcHi], s.mask[wSrcLo] = masksOf(e.From)
	fn(&s, &v)
}

// mix adds a word to a hash.
func mix(h, word uint64) uint64 {
	hi, lo := bits.Mul64(h^word, 0x9fb21c651e98df25)
	return hi ^ lo
}

const hashStart = 0xe7037ed1a0b428db

// hash is that of what the words have under the mask; used tells which have one.
func (s *shape) hash(w *words, used uint16) uint64 {
	h := uint64(hashStart)
	for ; used != 0; used &= used - 1 {
		i := bits.TrailingZeros16(used) & 15
		h = mix(h, w[i]&s.mask[i])
	}
	return h
}
