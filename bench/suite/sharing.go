package suite

import (
	"context"
	"math/rand/v2"
	"runtime"

	"github.com/fibula-net/fibula/bench"
	"github.com/fibula-net/fibula/bench/engines"
	"github.com/fibula-net/fibula/bench/measure"
	"github.com/fibula-net/fibula/bench/results"
	"github.com/fibula-net/fibula/bench/tables"
	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/lookup"
	"github.com/fibula-net/fibula/lookup/flat"
)

// manyTables measures what many small tables take, and many large ones.
func (b *Bench) manyTables(ctx context.Context) error {
	const small = 1000
	before := bench.Heap()
	all := make([]lookup.Table, small)
	for k := range all {
		t := tables.Synthetic(60, 40, b.Seed+uint64(k))
		all[k] = flat.Engine{}.Build(t.All())
	}
	b.whole("1000 small tables", bench.Heap()-before)
	runtime.KeepAlive(all)
	return b.sharing(ctx)
}

// whole notes the memory of tables.
func (b *Bench) whole(what string, bytes uint64) {
	f := b.figure("memory", engines.Compiled, fib.Inet, &b.Table, results.Bytes, measure.Of([]float64{float64(bytes)}))
	f.Family = what
	b.Run.Add(f)
}

// sharing measures 64 tables of which each has one of a hundred routes of its own: absent, or by
// another next hop.
func (b *Bench) sharing(ctx context.Context) error {
	const sharers = 64
	before := bench.Heap()
	all := make([]*flat.Table, 0, sharers)
	for k := range sharers {
		if err := ctx.Err(); err != nil {
			return err
		}
		b.progress("filling tables that share")
		rng := rand.New(rand.NewPCG(b.Seed, uint64(k)))
		next := flat.Engine{}.New().Edit().(*flat.Editor)
		for p := range b.Table.All() {
			hop := tables.NextHop(p)
			if k > 0 && rng.IntN(100) == 0 {
				if hop ^= 1; rng.IntN(4) == 0 {
					continue
				}
			}
			next.Insert(p, hop)
		}
		if k > 0 {
			first := all[0].Edit().(*flat.Editor)
			if next.Like(all[0]) && next.Share(first) {
				all[0] = first.Table().(*flat.Table)
			}
		}
		all = append(all, next.Table().(*flat.Table))
		if k == 0 {
			b.whole("1 table", bench.Heap()-before)
		}
	}
	b.whole("64 tables", bench.Heap()-before)
	runtime.KeepAlive(all)
	return nil
}
