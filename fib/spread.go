package fib

import (
	"encoding/binary"
	"net/netip"

	"github.com/fibula-net/fibula/lookup"
)

// place is a prefix of an IPv4 table, the leaf that stands there and the number of its first route.
type place struct {
	addr  uint32
	leaf  lookup.Index
	first uint32
	bits  uint8
}

// EachRouteSpread calls fn for routes of one IPv4 table with their numbers, which count from 0 in the
// order of [Snapshot.EachRoute], until fn returns false. They do not come in that order: each
// step-th prefix comes first, then those behind them, and so on. So a kernel's trie takes
// them with the least work, where neighbours in order would make it resize its nodes
// again and again. The routes of one prefix stay together. Prefixes are left out of whose routes
// some says false by number.
//
// A route is valid, and may be changed, only during the call. It takes 16 bytes for each prefix
// while it works.
func (s *Snapshot) EachRouteSpread(id TableID, step int, some func(n int) bool, fn func(n int, r *Route) bool) {
	t := s.table(Inet, id)
	if t == nil {
		return
	}
	var scratch Route
	var places []place
	n, picked := 0, false
	count := func(*Route) bool {
		picked = picked || some(n)
		n++
		return true
	}
	for p, i := range t.version().All() {
		first := n
		picked = false
		if l := s.leaves.at(i); len(l.plain) == 1 && len(l.bySrc) == 0 {
			count(nil)
		} else {
			s.yieldLeaf(t, p, l, asDumped, &scratch, count)
		}
		if picked {
			a := p.Addr().As4()
			places = append(places, place{binary.BigEndian.Uint32(a[:]), i, uint32(first), uint8(p.Bits())})
		}
	}
	numbered := func(r *Route) bool {
		n++
		return fn(n-1, r)
	}
	for from := range min(step, len(places)) {
		for k := from; k < len(places); k += step {
			x := &places[k]
			var a [4]byte
			binary.BigEndian.PutUint32(a[:], x.addr)
			n = int(x.first)
			if !s.yieldLeaf(t, netip.PrefixFrom(netip.AddrFrom4(a), int(x.bits)), s.leaves.at(x.leaf), asDumped, &scratch, numbered) {
				return
			}
		}
	}
}
