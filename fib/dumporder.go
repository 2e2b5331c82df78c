package fib

import (
	"cmp"
	"iter"
	"net/netip"
)

// CompareDumped is the order in which a kernel's dump of one table shows prefixes. An
// IPv4 trie is gone through by network address, and of those with one address the
// longest prefix comes first; an IPv6 tree from its leaves to its root, so that a
// prefix comes after all that it contains.
func CompareDumped(f Family, a, b netip.Prefix) int {
	if f == Inet6 {
		switch {
		case a.Bits() < b.Bits() && a.Contains(b.Addr()):
			return 1
		case b.Bits() < a.Bits() && b.Contains(a.Addr()):
			return -1
		}
	}
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(b.Bits(), a.Bits()))
}

// entry is a prefix and the leaf under it.
type entry struct {
	p netip.Prefix
	i uint32
}

// dumpOrder yields what all yields, in the order of [netip.Prefix.Compare], in that of
// a dump.
func dumpOrder(f Family, all iter.Seq2[netip.Prefix, uint32]) iter.Seq2[netip.Prefix, uint32] {
	return func(yield func(netip.Prefix, uint32) bool) {
		var held []entry // each contains, or has the address of, those behind it
		pop := func() bool {
			e := held[len(held)-1]
			held = held[:len(held)-1]
			return yield(e.p, e.i)
		}
		for p, i := range all {
			for len(held) > 0 {
				last := held[len(held)-1].p
				if f == Inet && last.Addr() == p.Addr() || f == Inet6 && last.Contains(p.Addr()) {
					break
				}
				if !pop() {
					return
				}
			}
			held = append(held, entry{p, i})
		}
		for len(held) > 0 {
			if !pop() {
				return
			}
		}
	}
}
