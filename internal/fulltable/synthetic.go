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
// ascending order, with the lengths of a full table and as crowded as real ones are.
// The same arguments give the same prefixes.
func Synthetic4(n int, seed uint64) []netip.Prefix {
	r := rand.New(rand.NewPCG(seed, 0x66756c6c34))
	return draw(n, lengths4, near4, short4, r, func() netip.Addr {
		w := r.Uint32()
		return netip.AddrFrom4([4]byte{1 + byte(w>>24)%223, byte(w >> 16), byte(w >> 8), byte(w)})
	})
}

// Synthetic6 is Synthetic4 for IPv6, within 2000::/3.
func Synthetic6(n int, seed uint64) []netip.Prefix {
	r := rand.New(rand.NewPCG(seed, 0x66756c6c36))
	return draw(n, lengths6, near6, short6, r, func() netip.Addr {
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

// near says how close to an earlier prefix the next one lies: below share[i].weight in
// a thousand, they have fewer than share[i].bits bits in common.
//
// It was fitted to the real table: how many blocks of /12, /16, /20 and /24 (IPv6: /24
// to /48) hold a prefix, how many the fullest has, and how many prefixes lie in another.
// Since the neighbour is any earlier prefix, full blocks grow faster, as they did.
var (
	near4 = []share{{8, 5}, {12, 20}, {16, 60}, {20, 280}, {24, 1000}}
	near6 = []share{{20, 2}, {24, 40}, {28, 80}, {32, 110}, {36, 200}, {40, 350}, {44, 500}, {48, 1000}}
)

const (
	// The first prefixes, and all up to a length (old, large networks), lie anywhere.
	roots          = 200
	short4, short6 = 16, 28
	nesting        = 5  // of so many that meet a shorter neighbour one is a part of it
	patience       = 20 // neighbourhoods to try before another place is as good
)

// draw draws n prefixes by length, the short ones first, the others near earlier ones.
func draw(n int, lengths, near []share, short int, r *rand.Rand, anywhere func() netip.Addr) []netip.Prefix {
	n = min(n, most)
	seen := make(map[netip.Prefix]struct{}, n)
	all := make([]netip.Prefix, 0, n)
	taken := map[netip.Prefix]struct{}{} // blocks of the short length inside a short prefix
	for _, bits := range drawLengths(n, lengths, r) {
		for tries := 0; ; tries++ {
			addr := anywhere()
			if len(all) >= roots && bits > short && tries < patience {
				first, k := all[r.IntN(len(all))], common(near, r)
				if k >= first.Bits() && r.IntN(nesting) > 0 { // beside the neighbour, not a part of it
					k = first.Bits() - 1 - r.IntN(4)
				}
				addr = beside(first.Addr(), addr, min(k, bits-1))
			}
			p := netip.PrefixFrom(addr, bits).Masked()
			block, _ := addr.Prefix(short)
			_, again := seen[p]
			_, parted := taken[block]
			if again || !isUnicast(addr) || parted && bits > short && r.IntN(nesting) > 0 {
				continue
			}
			if bits <= short {
				take(taken, p, short)
			}
			seen[p] = struct{}{}
			all = append(all, p)
			break
		}
	}
	slices.SortFunc(all, netip.Prefix.Compare)
	return all
}

// drawLengths draws n lengths and sorts them: what is allocated comes before its parts.
func drawLengths(n int, lengths []share, r *rand.Rand) []int {
	total := 0
	for _, s := range lengths {
		total += s.weight
	}
	all := make([]int, n)
	for i := range all {
		left := r.IntN(total)
		for _, s := range lengths {
			all[i] = s.bits
			if left -= s.weight; left < 0 {
				break
			}
		}
	}
	slices.Sort(all)
	// Of short prefixes there are few: what exceeds half of them becomes longer.
	for from := 0; from < n; {
		bits, to := all[from], from
		for to < n && all[to] == bits {
			to++
		}
		if room := 1 << min(bits-1, 40); bits < crowded && to-from > room {
			for i := from + room; i < to; i++ {
				all[i]++
			}
			to = from + room
		}
		from = to
	}
	return all
}

// crowded is below which length a table of four million can need more prefixes than
// half of those that exist.
const crowded = 24

// take notes every block of a length inside p.
func take(taken map[netip.Prefix]struct{}, p netip.Prefix, bits int) {
	b, _ := netip.AddrFromSlice(p.Addr().AsSlice())
	for range 1 << (bits - p.Bits()) {
		block := netip.PrefixFrom(b, bits)
		taken[block] = struct{}{}
		b = following(block)
	}
}

// following is the first address behind p.
func following(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	carry := 1 << ((8 - p.Bits()%8) % 8)
	for i := (p.Bits() - 1) / 8; i >= 0 && carry > 0; i-- {
		sum := int(b[i]) + carry
		b[i], carry = byte(sum), sum>>8
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// isUnicast refuses what no table has: IPv4 0/8, 127/8 and from 224/3 on.
func isUnicast(a netip.Addr) bool {
	if !a.Is4() {
		return true
	}
	first := a.As4()[0]
	return first != 0 && first != 127 && first < 224
}

// common draws how many bits a prefix shares with its neighbour.
func common(near []share, r *rand.Rand) int {
	from, x := 3, r.IntN(1000) // the first three bits of IPv6 are 001
	for _, s := range near {
		if x < s.weight {
			return from + r.IntN(s.bits-from)
		}
		from = s.bits
	}
	return from
}

// beside is other with exactly the first bits, not one more, of first.
func beside(first, other netip.Addr, bits int) netip.Addr {
	a, b := first.AsSlice(), other.AsSlice()
	whole, rest := bits/8, bits%8
	copy(b[:whole], a)
	mask := byte(0xff) << (8 - rest)
	b[whole] = a[whole]&mask | b[whole]&^mask
	next := byte(0x80) >> rest // the first bit in which they differ
	b[whole] = b[whole]&^next | ^a[whole]&next
	joined, _ := netip.AddrFromSlice(b)
	return joined
}
