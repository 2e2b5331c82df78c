//go:build !linux

package flat

// hugeWords returns n zero words.
func hugeWords(n int) []uint32 { return make([]uint32, n) }
