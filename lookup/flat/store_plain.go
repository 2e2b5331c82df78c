//go:build amd64 && !race

package flat

// store writes a word that readers may be loading. Here ordinary stores are seen in the
// order in which they are made, at a twentieth of the price of an exchange.
func store(p *uint32, v uint32) { *p = v }
