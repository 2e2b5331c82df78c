package fulltable

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
)

// share is how many prefixes in a hundred thousand have a length.
type share struct{ bits, weight int }

// The lengths of a full table in 2026; those below one in a hundred thousand are
// left out.
var (
	lengths4 = []share{{8, 2}, {9, 1}, {10, 4}, {11, 11}, {12, 33}, {13, 64}, {14, 133}, {15, 233}, {16, 1496}, {17, 913},
		{18, 1530}, {19, 2758}, {20, 4725}, {21, 5627}, {22, 12044}, {23, 10701}, {24, 59619}, {25, 2}, {28, 2}, {29, 2}, {32, 98}}
	lengths6 = []share{{20, 10}, {22, 4}, {24, 19}, {28, 121}, {29, 2729}, {30, 406}, {31, 177}, {32, 14080}, {33, 1827},
		{34, 1625}, {35, 651}, {36, 3744}, {37, 550}, {38, 1010}, {39, 860}, {40, 8379}, {41, 564}, {42, 1437}, {43, 625},
		{44, 8970}, {45, 970}, {46, 1898}, {47, 1969}, {48, 47137}, {49, 7}, {56, 15}, {58, 12}, {64, 115}, {112, 2},
		{124, 6}, {126, 12}, {127, 26}, {128, 4}}
)

// most bounds a family's size: beyond it the common lengths fill up, and the table
// no longer looks like the internet's.
const most = 4_000_000

// Synthetic is [Synthetic4] and [Synthetic6], one after the other.
func Synthetic(n4, n6 int, seed uint64) []netip.Prefix {
	return append(Synthetic4(n4, seed), Synthetic6(n6, seed)...)
}

// Synthetic4 returns n IPv4 prefixes, at most four million, all different and in
// ascending order, with the lengths of a full table and crowded into part of the
// address space as real ones are. The same arguments give the same prefixes.
func Synthetic4(n int, seed uint64) []netip.Prefix {
	r := rand.New(rand.NewPCG(seed, 0x66756c6c34))
	return draw(n, lengths4, 16, r, func() netip.Addr {
		w := r.Uint32()
		return netip.AddrFrom4([4]byte{1 + byte(w>>24)%223, byte(w >> 16), byte(w >> 8), byte(w)})
	})
}

// Synthetic6 is Synthetic4 for IPv6, within 2000::/3.
func Synthetic6(n int, seed uint64) []netip.Prefix {
	r := rand.New(rand.NewPCG(seed, 0x66756c6c36))
	return draw(n, lengths6, 32, r, func() netip.Addr {
		b := words(r)
		b[0] = 0x20 | b[0]&0x1f
		return netip.AddrFrom16(b)
	})
}

func words(r *rand.Rand) (b [16]byte) {
	binary.BigEndian.PutUint64(b[:8], r.Uint64())
	binary.BigEndian.PutUint64(b[8:], r.Uint64())
	return b
}

// draw draws n prefixes by length. Two thirds of the longer ones lie in the block of
// crowd bits of an earlier one, as networks announce parts of what they own.
func draw(n int, lengths []share, crowd int, r *rand.Rand, anywhere func() netip.Addr) []netip.Prefix {
	n = min(n, most)
	total := 0
	for _, s := range lengths {
		total += s.weight
	}
	seen := make(map[netip.Prefix]struct{}, n)
	all := make([]netip.Prefix, 0, n)
	for len(all) < n {
		bits, left := 0, r.IntN(total)
		for _, s := range lengths {
			bits = s.bits
			if left -= s.weight; left < 0 {
				break
			}
		}
		addr := anywhere()
		if len(all) > 0 && bits > crowd && r.IntN(3) > 0 {
			addr = beside(all[r.IntN(len(all))].Addr(), addr, crowd)
		}
		p := netip.PrefixFrom(addr, bits).Masked()
		if _, ok := seen[p]; !ok {
			seen[p] = struct{}{}
			all = append(all, p)
		}
	}
	slices.SortFunc(all, netip.Prefix.Compare)
	return all
}

// beside is other with the first bits, whole bytes, of first.
func beside(first, other netip.Addr, bits int) netip.Addr {
	b := other.AsSlice()
	copy(b[:bits/8], first.AsSlice())
	a, _ := netip.AddrFromSlice(b)
	return a
}
