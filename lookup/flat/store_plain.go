//go:build amd64 && !race

package flat

import "unsafe"

// store writes a word that readers may be loading. Here ordinary stores are seen in the
// order in which they are made, at a twentieth of the price of an exchange.
func store(p *uint32, v uint32) { *p = v }

// byteAt returns byte i. A load of it costs less to work out than one of its word.
func byteAt(words *[blocks >> 2]uint32, i uint32) uint32 {
	return uint32((*[blocks]uint8)(unsafe.Pointer(words))[i&(blocks-1)])
}
