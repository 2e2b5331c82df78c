package lookuptest

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/fibula-net/fibula/internal/fulltable"
	"github.com/fibula-net/fibula/lookup"
)

// streamLength is the number of different addresses looked up in turn: far more than
// fit in a cache, so that a benchmark does not measure one hot path.
const streamLength = 1 << 20

// fullTable is read once; callers share the slice and must not change it.
var fullTable = sync.OnceValues(func() ([]netip.Prefix, error) { return fulltable.Real(context.Background()) })

// benchTable returns the prefixes of one family and what to call them: the real table
// where it is at hand, else a synthetic one of the same size.
func benchTable(family int) (name string, prefixes []netip.Prefix) {
	all, err := fullTable()
	switch {
	case err == nil:
		return "full", slices.DeleteFunc(slices.Clone(all), func(p netip.Prefix) bool { return p.Addr().Is4() != (family == 4) })
	case family == 4:
		return "synthetic", fulltable.Synthetic4(900_000, 1)
	default:
		return "synthetic", fulltable.Synthetic6(160_000, 1)
	}
}

// BenchLookup measures Lookup and the step back, Shorter, on streams of a million
// addresses.
func BenchLookup(b *testing.B, engine lookup.Engine) {
	for _, family := range []int{4, 6} {
		name, prefixes := benchTable(family)
		table := engine.Build(Indexed(prefixes))
		for _, stream := range []string{"uniform", "matching"} {
			addrs := Uniform(family, streamLength, 2)
			if stream == "matching" {
				addrs = Matching(prefixes, streamLength, 3)
			}
			labels := fmt.Sprintf("engine=%s/family=%d/table=%s/stream=%s", engine.Name(), family, name, stream)
			b.Run("op=lookup/"+labels, func(b *testing.B) {
				b.ReportAllocs()
				k := 0
				for b.Loop() {
					table.Lookup(addrs[k&(streamLength-1)])
					k++
				}
			})
			bits := make([]int, streamLength)
			for k, dst := range addrs {
				m, _ := table.Lookup(dst)
				bits[k] = int(m.Bits)
			}
			b.Run("op=shorter/"+labels, func(b *testing.B) {
				b.ReportAllocs()
				k := 0
				for b.Loop() {
					table.Shorter(addrs[k&(streamLength-1)], bits[k&(streamLength-1)])
					k++
				}
			})
		}
	}
}

// BenchEdit measures a transaction on a full table, by number of changes, half of
// them deletions and half insertions; and the load of the table, with its memory.
func BenchEdit(b *testing.B, engine lookup.Engine) {
	for _, family := range []int{4, 6} {
		name, prefixes := benchTable(family)
		labels := fmt.Sprintf("engine=%s/family=%d/table=%s", engine.Name(), family, name)
		b.Run("op=build/"+labels, func(b *testing.B) {
			before := heap()
			var table lookup.Table
			for b.Loop() {
				table = engine.Build(Indexed(prefixes))
			}
			b.ReportMetric(float64(len(prefixes))*float64(b.N)/b.Elapsed().Seconds(), "routes/s")
			b.ReportMetric(float64(heap()-before)/float64(len(prefixes)), "B/route")
			runtime.KeepAlive(table)
		})
		random := source(4)
		shuffled := slices.Clone(prefixes)
		random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		b.Run("op=insert/order=random/"+labels, func(b *testing.B) {
			for b.Loop() {
				e := engine.New().Edit()
				for i, p := range shuffled {
					e.Insert(p, lookup.Index(i))
				}
				e.Table()
			}
			b.ReportMetric(float64(len(prefixes))*float64(b.N)/b.Elapsed().Seconds(), "routes/s")
		})
		table := engine.Build(Indexed(prefixes))
		for _, changes := range []int{1, 100, 10_000} {
			b.Run(fmt.Sprintf("op=edit/changes=%d/%s", changes, labels), func(b *testing.B) {
				k := 0
				for b.Loop() {
					e := table.Edit()
					for range changes {
						p := shuffled[k/2%len(shuffled)]
						if k%2 == 0 {
							e.Delete(p)
						} else {
							e.Insert(p, lookup.Index(k))
						}
						k++
					}
					table = e.Table()
				}
				b.ReportMetric(float64(changes)*float64(b.N)/b.Elapsed().Seconds(), "changes/s")
			})
		}
	}
}

// heap returns the bytes of live objects.
func heap() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC() // finishes the sweep of the first
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
