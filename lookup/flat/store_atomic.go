//go:build !amd64 || race

package flat

import "sync/atomic"

// store writes a word that readers may be loading.
func store(p *uint32, v uint32) { atomic.StoreUint32(p, v) }
