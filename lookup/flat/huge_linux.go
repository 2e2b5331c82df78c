package flat

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugeWords returns n zero words, where the system allows in huge pages: with small
// ones, every access to a large array costs a walk of the page table too.
func hugeWords(n int) []uint32 {
	const hugePage = 2 << 20
	words := make([]uint32, n+hugePage/4)
	skip := (hugePage - int(uintptr(unsafe.Pointer(&words[0]))%hugePage)) % hugePage / 4
	words = words[skip : skip+n : skip+n]
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), 4*n)
	if len(bytes) >= hugePage {
		// It is a wish: without huge pages all works, more slowly.
		_ = unix.Madvise(bytes[:len(bytes)/hugePage*hugePage], unix.MADV_HUGEPAGE)
	}
	return words
}
