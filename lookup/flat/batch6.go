package flat

import (
	"sync/atomic"

	"github.com/fibula-net/fibula/lookup"
)

// scratch6 holds a chunk of IPv6 addresses between the stages of a batch. Each stage
// takes one step for all of them, so that their accesses to memory overlap.
type scratch6 struct {
	// Entries; and for the vectors bits 32–47 of the addresses, byte offsets of leaves (0: none), codes;
	// for the plain code which addresses have mids, leaves and rows.
	stages [4][chunk]uint32
	odd    [chunk + 16]uint32
}

// LookupBatch6 sets out[k] to the index of the longest match of the IPv6 address dst[k],
// two numbers in host order, the first bits first, for every k < len(dst); [NoMatch] is
// none. It does not allocate. Out must be at least as long as dst; otherwise
// LookupBatch6 panics before it writes.
func (t *Table) LookupBatch6(dst [][2]uint64, out []lookup.Index) {
	out = out[:len(dst)]
	d, version := t.direct6, t.version6
	if t.over6 != nil {
		d, version = t.under.direct6, t.under.version6
	}
	if d == nil {
		for k := range dst {
			out[k] = t.slow6(&dst[k])
		}
		return
	}
	var s scratch6
	for len(dst) > 0 {
		n := min(len(dst), chunk)
		for _, k := range s.odd[:d.batch(t.vectors, dst[:n], out[:n], t.none6, &s)] {
			out[k] = t.slow6(&dst[k])
		}
		if d.now.Load() != version {
			for k := range dst[:n] {
				if !d.current(dst[k][0], version) {
					out[k] = t.slow6(&dst[k])
				}
			}
		}
		if t.over6 != nil {
			for k := range dst[:n] {
				switch m := t.over6.at(dst[k][0]); m.Bits {
				case bitsSame:
				case bitsDeep:
					out[k] = t.slow6(&dst[k])
				default:
					out[k] = indexOr(m, t.none6)
				}
			}
		}
		dst, out = dst[n:], out[n:]
	}
}

// Lookup6 is Lookup4 for an IPv6 address as in LookupBatch6.
func (t *Table) Lookup6(addr [2]uint64) lookup.Index {
	if d := t.direct6; d != nil {
		code := d.find(addr[0], t.vectors)
		i := atomic.LoadUint32(&d.book.indexes[code&deep6])
		if code != deep6 && d.current(addr[0], t.version6) {
			if code == 0 {
				return t.none6
			}
			return i
		}
	}
	return t.slow6(&addr)
}

func (t *Table) slow6(addr *[2]uint64) lookup.Index {
	m, ok := t.lookup6(addr[0], addr[1])
	return indexOf(m, ok)
}

// batch is that of direct4.
func (d *direct6) batch(on isa, dst [][2]uint64, out []lookup.Index, none uint32, s *scratch6) int {
	done, n := d.vectors(on, dst, out, none, s)
	return d.batchGo(dst, out, done, none, s, n)
}

// batchGo is the plain twin of vectors. Lists of those that have a step to take spare it
// branches, of which every other one would be mispredicted.
func (d *direct6) batchGo(dst [][2]uint64, out []lookup.Index, done int, none uint32, s *scratch6, n int) int {
	dst, out = dst[:min(len(dst), chunk)], out[:min(len(dst), chunk)]
	entries, mids, leaves, rows := &s.stages[0], s.stages[1][:0], s.stages[2][:0], s.stages[3][:0]
	for k := done; k < len(dst); k++ {
		hi := dst[k][0]
		e := atomic.LoadUint32(&d.root[hi>>48])
		if e>>30 == isFan {
			e = atomic.LoadUint32(d.at(e, hi>>32&0xffff))
		}
		entries[k] = e
		mids = noted(mids, k, e>>31)
	}
	for _, k := range mids {
		entries[k] = atomic.LoadUint32(d.at(entries[k], dst[k][0]>>24&255))
	}
	for k := done; k < len(dst); k++ {
		leaves = noted(leaves, k, entries[k]>>30&isLeaf)
		rows = noted(rows, k, entries[k]>>31)
	}
	for _, k := range leaves {
		entries[k] = d.leafCode(entries[k], uint32(dst[k][0]>>16&0xffff))
	}
	for _, k := range rows {
		entries[k] = half(d.at(entries[k], dst[k][0]>>17&127), uint32(dst[k][0]>>16&1))
	}
	for k := done; k < len(dst); k++ {
		code := entries[k]
		i := atomic.LoadUint32(&d.book.indexes[code&deep6])
		if code == 0 { // a move, not a branch
			i = none
		}
		out[k] = i
		if code == deep6 {
			s.odd[n&(chunk-1)] = uint32(k)
			n++
		}
	}
	return n
}

// noted appends k to a list with room, if yes is 1 and not 0.
func noted(list []uint32, k int, yes uint32) []uint32 {
	list = list[:len(list)+1]
	list[len(list)-1] = uint32(k)
	return list[:len(list)-1+int(yes)]
}
