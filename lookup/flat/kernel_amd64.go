//go:build !race

package flat

import "golang.org/x/sys/cpu"

var avx512 = cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VL

// vectors does as many of the addresses as it can, the first done, with n odd ones.
func (d *direct4) vectors(dst, out []uint32, none uint32, odd *[chunk + 16]uint32) (done, n int) {
	done = len(dst) &^ 15
	switch {
	case done == 0:
		return 0, 0
	case d.book.indexes == nil || d.book.displaced.Load() == 0:
		n = lookup4Plain(&d.codes[0], &dst[0], &out[0], done, uint32(d.width), d.deep, none, odd)
	default:
		n = lookup4Decode(&d.codes[0], &dst[0], &out[0], done, uint32(d.width), d.deep, none, odd, &d.book.indexes[0])
	}
	return done, n
}

// lookup4Plain looks up n addresses, a multiple of 16, whose codes are all one above
// their indexes.
//
//go:noescape
func lookup4Plain(codes, dst, out *uint32, n int, width, deep, none uint32, odd *[chunk + 16]uint32) int

// lookup4Decode is lookup4Plain with a table of what the codes mean.
//
//go:noescape
func lookup4Decode(codes, dst, out *uint32, n int, width, deep, none uint32, odd *[chunk + 16]uint32, indexes *uint32) int

func (d *direct6) vectors(dst [][2]uint64, out []uint32, none uint32, s *scratch6) (done, n int) {
	if done = len(dst) &^ 15; done == 0 {
		return 0, 0
	}
	return done, lookup6(&d.root[0], &d.arena[0], &d.book.indexes[0], &dst[0], &out[0], done, none, s)
}

// lookup6 looks up n addresses, a multiple of 16.
//
//go:noescape
func lookup6(root, arena, indexes *uint32, dst *[2]uint64, out *uint32, n int, none uint32, s *scratch6) int

// find is code, as fast as the machine can.
func (d *direct6) find(hi uint64, vectors bool) uint32 {
	if vectors {
		return code6(&d.root[0], &d.arena[0], hi)
	}
	return d.code(hi)
}

// code6 finds one code.
//
//go:noescape
func code6(root, arena *uint32, hi uint64) uint32
