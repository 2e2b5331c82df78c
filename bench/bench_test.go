package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/fulltable"
	"github.com/fibula-net/fibula/lookup"
	"github.com/fibula-net/fibula/lookup/flat"
	"github.com/fibula-net/fibula/lookup/hashzone"
	"github.com/fibula-net/fibula/lookup/trie"
)

var engines = []lookup.Engine{flat.Engine{}, trie.Engine{}, hashzone.Engine{}}

// router is a state with two links, each with an address of both families and two
// routers beyond it.
func router() (*fib.State, []Uplink) {
	st := fib.New(fib.Config{}).Snapshot().State()
	var ups []Uplink
	for i := range 2 {
		link := int32(i + 2)
		a4, a6 := netip.AddrFrom4([4]byte{192, 0, 2, byte(64*i + 1)}), netip.MustParseAddr(fmt.Sprintf("2001:db8:%d::1", i+1))
		st.Links = append(st.Links, fib.Link{Index: link, Name: fmt.Sprint("wan", i), MTU: 1500,
			Flags: fib.LinkUp | fib.LinkRunning | fib.LinkLowerUp, Conf4: st.Sysctls.Default4, Conf6: st.Sysctls.Default6})
		for _, p := range []netip.Prefix{netip.PrefixFrom(a4, 26), netip.PrefixFrom(a6, 64)} {
			st.Addresses = append(st.Addresses, fib.Address{Link: link, Local: p.Addr(), Prefix: p,
				ValidLft: 1<<32 - 1, PreferredLft: 1<<32 - 1})
			st.Routes = append(st.Routes, fib.Route{Table: fib.TableMain, Dst: p.Masked(), Type: fib.TypeUnicast,
				Nexthops: []fib.Nexthop{{Link: link, Weight: 1}}})
		}
		ups = append(ups, Uplink{Link: link, Routers4: []netip.Addr{a4.Next(), a4.Next().Next()},
			Routers6: []netip.Addr{a6.Next(), a6.Next().Next()}})
	}
	return st, ups
}

func loadInto(tb testing.TB, engine lookup.Engine, prefixes []netip.Prefix) *fib.FIB {
	st, ups := router()
	f := fib.New(fib.Config{Engine: engine})
	_, err := f.Update(func(tx *fib.Txn) error {
		if err := tx.Load(st); err != nil {
			return err
		}
		for r := range Routes(prefixes, fib.TableMain, ups) {
			if err := tx.LoadRoute(r); err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(tb, err)
	return f
}

func TestEnginesAnswerAlike(t *testing.T) {
	prefixes := fulltable.Synthetic(20_000, 5_000, 3)
	a, b := loadInto(t, engines[0], prefixes).Snapshot(), loadInto(t, engines[1], prefixes).Snapshot()
	routed := 0
	for _, f := range append(Flows(a, 5000, 1), Inside(prefixes, 5000, 2)...) {
		d := a.Resolve(f)
		require.Equal(t, d, b.Resolve(f), "%+v", f)
		if d.HasRoute && d.Protocol == bgp {
			routed++
		}
	}
	assert.Greater(t, routed, 5000, "too few flows met the table")
}

func TestInsideIsInside(t *testing.T) {
	for _, p := range fulltable.Synthetic(200, 200, 5) {
		for _, f := range Inside([]netip.Prefix{p}, 20, 1) {
			require.True(t, p.Contains(f.Dst), "%v in %v", f.Dst, p)
		}
	}
}

func TestRoutesSkipsWhatNoRouterServes(t *testing.T) {
	_, ups := router()
	ups[0].Routers6, ups[1].Routers6 = nil, nil
	n := 0
	for r := range Routes(fulltable.Synthetic(10, 10, 1), 7, ups) {
		assert.True(t, r.Dst.Addr().Is4())
		assert.EqualValues(t, 7, r.Table)
		n++
	}
	assert.Equal(t, 10, n)
}

var full = sync.OnceValues(func() ([]netip.Prefix, string) { return fulltable.Get(context.Background()) })

// BenchmarkFIBLoad fills a FIB with a full table, without a kernel.
func BenchmarkFIBLoad(b *testing.B) {
	prefixes, origin := full()
	b.Log(len(prefixes), "prefixes:", origin)
	for _, e := range engines {
		b.Run("engine="+e.Name(), func(b *testing.B) {
			before := Heap()
			var f *fib.FIB
			for b.Loop() {
				f = loadInto(b, e, prefixes)
			}
			perLoad := b.Elapsed().Seconds() / float64(b.N)
			b.ReportMetric(perLoad, "s/load")
			b.ReportMetric(float64(len(prefixes))/perLoad, "routes/s")
			b.ReportMetric(float64(Heap()-before)/float64(len(prefixes)), "B/route")
			runtime.KeepAlive(f)
		})
	}
}

// BenchmarkChange replaces random routes of a full table: in a transaction each, ten thousand in one after the
// other or at once; and sets the link of half of them down.
func BenchmarkChange(b *testing.B) {
	prefixes := slices.DeleteFunc(slices.Clone(first(full())), func(p netip.Prefix) bool { return p.Addr().Is6() })
	const many = 10_000
	_, ups := router()
	random := rand.New(rand.NewPCG(1, 0))
	some := make([]fib.Route, many)
	draw := func() {
		for i := range some {
			up := &ups[random.IntN(len(ups))]
			some[i] = fib.Route{Table: fib.TableMain, Dst: prefixes[random.IntN(len(prefixes))], Type: fib.TypeUnicast,
				Nexthops: []fib.Nexthop{{Link: up.Link, Gateway: up.Routers4[random.IntN(2)], Flags: fib.FlagOnlink, Weight: 1}}}
		}
	}
	f := loadInto(b, engines[0], prefixes)
	update := func(fn func(*fib.Txn) error) {
		_, err := f.Update(fn)
		require.NoError(b, err)
	}
	for _, c := range []struct {
		name string
		all  func()
	}{
		{"transactions", func() {
			for i := range some {
				update(func(tx *fib.Txn) error { return tx.AddRoute(some[i], fib.OpReplace) })
			}
		}},
		{"AddRoute", func() {
			update(func(tx *fib.Txn) error {
				for i := range some {
					if err := tx.AddRoute(some[i], fib.OpReplace); err != nil {
						return err
					}
				}
				return nil
			})
		}},
		{"AddRoutes", func() {
			update(func(tx *fib.Txn) error { _, err := tx.AddRoutes(some, fib.OpReplace); return err })
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				draw()
				b.StartTimer()
				c.all()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/many, "ns/route")
		})
	}
	b.Run("link down", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			f = loadInto(b, engines[0], prefixes)
			l, _ := f.Snapshot().Link(ups[0].Link)
			l.Flags &^= fib.LinkUp | fib.LinkRunning
			b.StartTimer()
			update(func(tx *fib.Txn) error { return tx.SetLink(l) })
		}
	})
}

func first[A, B any](a A, _ B) A { return a }

// BenchmarkResolve answers flows over a full table: a million different ones, to
// addresses inside its prefixes.
func BenchmarkResolve(b *testing.B) {
	prefixes, _ := full()
	const n = 1 << 20
	flows := Inside(prefixes, n, 1)
	for _, e := range engines {
		s := loadInto(b, e, prefixes).Snapshot()
		b.Run("engine="+e.Name(), func(b *testing.B) {
			b.ReportAllocs()
			i, sum := 0, int32(0)
			for b.Loop() {
				d := s.Resolve(flows[i&(n-1)])
				sum += d.Link
				i++
			}
			unused.Store(sum)
		})
	}
}
