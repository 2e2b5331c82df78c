//go:build !amd64 || race

package flat

import "sync/atomic"

// store writes a word that readers may be loading.
func store(p *uint32, v uint32) { atomic.StoreUint32(p, v) }

// byteAt returns byte i.
func byteAt(words *[blocks >> 2]uint32, i uint32) uint32 {
	return atomic.LoadUint32(&words[i>>2]) >> (i & 3 * 8) & 255
}
