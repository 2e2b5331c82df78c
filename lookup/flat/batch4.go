package flat

import (
	"net/netip"
	"sync/atomic"

	"github.com/fibula-net/fibula/lookup"
)

// NoMatch is what the packed batch calls answer for an address that no prefix contains. They can't tell
// it from the index of the same number.
const NoMatch lookup.Index = 1<<32 - 1

var _ lookup.BatchTable = (*Table)(nil)

// LookupBatch sets out[k] to the longest match of dst[k]; see [lookup.BatchTable].
func (t *Table) LookupBatch(dst []netip.Addr, out []lookup.Match) {
	out = out[:len(dst)]
	for k := range dst {
		m, ok := t.Lookup(dst[k])
		if !ok {
			m.Bits = -1
		}
		out[k] = m
	}
}

// chunk is how many addresses go through the arrays at a time; the positions of
// those that the arrays do not answer fit on the stack.
const chunk = 512

// LookupBatch4 sets out[k] to the index of the longest match of the IPv4 address dst[k],
// a number in host order, for every k < len(dst); [NoMatch] is none. It does not
// allocate. Out must be at least as long as dst; otherwise LookupBatch4 panics
// before it writes.
func (t *Table) LookupBatch4(dst []uint32, out []lookup.Index) {
	out = out[:len(dst)]
	d, version := t.direct, t.version
	if t.over4 != nil {
		d, version = t.under.direct, t.under.version
	}
	if d == nil {
		for k, addr := range dst {
			out[k] = t.slow4(addr)
		}
		return
	}
	var odd [chunk + 16]uint32
	for len(dst) > 0 {
		n := min(len(dst), chunk)
		for _, k := range odd[:d.batch(t.vectors, dst[:n], out[:n], t.none, &odd)] {
			out[k] = t.slow4(dst[k])
		}
		if d.now.Load() != version {
			for k, addr := range dst[:n] {
				if !d.current(addr, version) {
					out[k] = t.slow4(addr)
				}
			}
		}
		if t.over4 != nil {
			for k, addr := range dst[:n] {
				if m := t.over4.at(uint64(addr) << 32); m.Bits != bitsSame {
					out[k] = indexOr(m, t.none)
				}
			}
		}
		dst, out = dst[n:], out[n:]
	}
}

func indexOr(m lookup.Match, none lookup.Index) lookup.Index {
	if m.Bits < 0 {
		return none
	}
	return m.Index
}

// Lookup4 returns the index of the longest match of an IPv4 address, a number in host
// order; [NoMatch] is none. It does not allocate. It costs one access to distant memory where Lookup
// costs two, as it leaves out the length.
func (t *Table) Lookup4(addr uint32) lookup.Index {
	if d := t.direct; d != nil && d.bytes != nil {
		code := byteAt(d.bytes, addr>>8)
		i := atomic.LoadUint32(&d.book.meaning[code])
		if code == 0 { // a move, not a branch, so that misses are not mispredicted
			i = t.none
		}
		if code != d.deep && d.current(addr, t.version) {
			return i
		}
	}
	return t.slow4(addr)
}

func (t *Table) slow4(addr uint32) lookup.Index {
	m, ok := t.lookup4(addr)
	return indexOf(m, ok)
}

func indexOf(m lookup.Match, ok bool) lookup.Index {
	if !ok {
		return NoMatch
	}
	return m.Index
}

// batch looks up n ≤ chunk addresses, as if the version were the newest. It returns how many
// are in deep blocks, with their positions in odd.
func (d *direct4) batch(on isa, dst []uint32, out []lookup.Index, none uint32, odd *[chunk + 16]uint32) int {
	done, n := d.vectors(on, dst, out, none, odd)
	return d.batchGo(dst, out, done, none, odd, n)
}

// batchGo is the plain twin of vectors: from position done on, with n odd ones before.
func (d *direct4) batchGo(dst []uint32, out []lookup.Index, done int, none uint32, odd *[chunk + 16]uint32, n int) int {
	out = out[:len(dst)]
	if bytes := d.bytes; bytes != nil && d.book.displaced.Load() == 0 {
		for k := done; k < len(dst); k++ {
			code := byteAt(bytes, dst[k]>>8)
			i := code - 1
			if code == 0 { // a move, not a branch
				i = none
			}
			out[k] = i
			if code == 255 { // rare; what is there now is replaced
				odd[n&(chunk-1)] = uint32(k)
				n++
			}
		}
		return n
	}
	for k := done; k < len(dst); k++ {
		code := load(d.codes, d.width, dst[k]>>8)
		out[k] = none
		if code != 0 {
			out[k] = d.book.index(code)
		}
		if code == d.deep {
			odd[n&(chunk-1)] = uint32(k)
			n++
		}
	}
	return n
}
