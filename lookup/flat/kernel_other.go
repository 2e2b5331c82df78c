//go:build !amd64 || race

package flat

const best = plain

// vectors leaves all to the plain code.
func (d *direct4) vectors(_ isa, _, _ []uint32, _ uint32, _ *[chunk + 16]uint32) (done, n int) {
	return 0, 0
}

func (d *direct6) vectors(_ isa, _ [][2]uint64, _ []uint32, _ uint32, _ *scratch6) (done, n int) {
	return 0, 0
}

func (d *direct6) find(hi uint64, _ isa) uint32 { return d.code(hi) }
