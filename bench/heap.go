package bench

import (
	"runtime"
	"sync/atomic"
)

// unused receives results that nobody wants, so that they must be computed.
var unused atomic.Int32

// Heap returns the bytes of live objects, after a full collection.
func Heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // also frees what the first one found
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
