package flat

import (
	"net/netip"
	"runtime"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"

	"github.com/fibula-net/fibula/internal/fulltable"
	"github.com/fibula-net/fibula/lookup"
	"github.com/fibula-net/fibula/lookup/lookuptest"
)

// TestSizes pins what there are millions of.
func TestSizes(t *testing.T) {
	assert.EqualValues(t, 8, unsafe.Sizeof(lookup.Match{}))
	assert.EqualValues(t, 16, unsafe.Sizeof(entry[lookup.Index]{}))
	assert.EqualValues(t, 64, unsafe.Sizeof(node[lookup.Index]{}))
	assert.EqualValues(t, 64+8*fan, unsafe.Sizeof(inner[lookup.Index]{}))
	assert.EqualValues(t, 256*5, unsafe.Sizeof(cell4{}))
	assert.EqualValues(t, 64, 4*unitWords, "a cache line")
}

// TestSmallTablesAreSmall: a thousand tables of a hundred routes each, as a host of many
// customers has them.
func TestSmallTablesAreSmall(t *testing.T) {
	const tables = 1000
	prefixes := append(fulltable.Synthetic4(60, 1), fulltable.Synthetic6(40, 1)...)
	before := int64(heap())
	all := make([]lookup.Table, tables)
	for k := range all {
		all[k] = Engine{}.Build(lookuptest.Indexed(prefixes))
	}
	used := int64(heap()) - before
	t.Logf("%d bytes a table", used/tables)
	assert.Less(t, used, int64(32<<20))
	runtime.KeepAlive(all)
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestReadersAllocateNothing(t *testing.T) {
	prefixes := append(fulltable.Synthetic4(300, 1), fulltable.Synthetic6(300, 1)...)
	addrs := lookuptest.Matching(prefixes, 100, 2)
	engines := []Engine{{}}
	for _, e := range Variants() {
		e.Direct4, e.Direct6 = 1, 1
		engines = append(engines, e)
	}
	for _, e := range engines {
		table := e.Build(lookuptest.Indexed(prefixes))
		assert.Zero(t, testing.AllocsPerRun(5, func() {
			for k, a := range addrs {
				table.Lookup(a)
				table.Shorter(a, a.BitLen()-8)
				table.Get(netip.PrefixFrom(prefixes[k].Addr(), prefixes[k].Bits()))
			}
		}))
	}
}
