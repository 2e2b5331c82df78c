//go:build !race

package flat

import "golang.org/x/sys/cpu"

// best is the widest set that the machine has.
var best = func() isa {
	switch {
	case cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VL:
		return avx512
	case cpu.X86.HasAVX2:
		return avx2
	}
	return plain
}()

// vectors does as many of the addresses as it can, the first done, with n odd ones.
func (d *direct4) vectors(on isa, dst, out []uint32, none uint32, odd *[chunk + 16]uint32) (done, n int) {
	at := len(dst) &^ 15
	direct := d.book.indexes == nil || d.book.displaced.Load() == 0
	switch {
	case at == 0 || on == plain:
		return 0, 0
	case direct && on == avx512:
		n = lookup4Plain(&d.codes[0], &dst[0], &out[0], at, uint32(d.width), d.deep, none, odd)
	case direct:
		n = lookup4PlainAVX2(&d.codes[0], &dst[0], &out[0], at, uint32(d.width), d.deep, none, odd)
	case on == avx512:
		n = lookup4Decode(&d.codes[0], &dst[0], &out[0], at, uint32(d.width), d.deep, none, odd, &d.book.indexes[0])
	default:
		n = lookup4DecodeAVX2(&d.codes[0], &dst[0], &out[0], at, uint32(d.width), d.deep, none, odd, &d.book.indexes[0])
	}
	return at, n
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

//go:noescape
func lookup4PlainAVX2(codes, dst, out *uint32, n int, width, deep, none uint32, odd *[chunk + 16]uint32) int

//go:noescape
func lookup4DecodeAVX2(codes, dst, out *uint32, n int, width, deep, none uint32, odd *[chunk + 16]uint32, indexes *uint32) int

// vectors does as many of the addresses as it can. With AVX2, too, that is worth it: measured, about twice
// as many a second as the plain code.
func (d *direct6) vectors(on isa, dst [][2]uint64, out []uint32, none uint32, s *scratch6) (done, n int) {
	done = len(dst) &^ 15
	switch {
	case done == 0 || on == plain:
		return 0, 0
	case on == avx512:
		n = lookup6(&d.root[0], &d.arena[0], &d.book.indexes[0], &dst[0], &out[0], done, none, s)
	default:
		n = lookup6AVX2(&d.root[0], &d.arena[0], &d.book.indexes[0], &dst[0], &out[0], done, none, s, &lanes[0])
	}
	return done, n
}

// lookup6 looks up n addresses, a multiple of 16.
//
//go:noescape
func lookup6(root, arena, indexes *uint32, dst *[2]uint64, out *uint32, n int, none uint32, s *scratch6) int

// lanes are the numbers of the lanes that are in a set of eight, a byte each.
var lanes = func() (all [256]uint64) {
	for set := range all {
		n := 0
		for lane := range 8 {
			if set>>lane&1 != 0 {
				all[set] |= uint64(lane) << n
				n += 8
			}
		}
	}
	return all
}()

//go:noescape
func lookup6AVX2(root, arena, indexes *uint32, dst *[2]uint64, out *uint32, n int, none uint32, s *scratch6, lanes *uint64) int

// find is code, as fast as the machine can: measured, 1.5 times as many a second, and as many where most end at the root.
func (d *direct6) find(hi uint64, on isa) uint32 {
	if on >= avx2 {
		return code6(&d.root[0], &d.arena[0], hi)
	}
	return d.code(hi)
}

// code6 finds one code.
//
//go:noescape
func code6(root, arena *uint32, hi uint64) uint32
