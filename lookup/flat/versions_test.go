package flat

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/fibula-net/fibula/internal/fulltable"
	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/lookup"
	"github.com/fibula-net/fibula/lookup/lookuptest"
)

// TestVersionsStayWhatTheyAre lets readers ask versions, the newest and ones of a
// while ago, while the arrays that they share change under them: the answers must be
// those of the versions' own trees.
func TestVersionsStayWhatTheyAre(t *testing.T) {
	for _, e := range Variants() {
		e.Direct4, e.Direct6 = 1, 1
		t.Run(e.Name(), func(t *testing.T) { versionsStay(t, e) })
	}
}

func versionsStay(t *testing.T, engine Engine) {
	seed := lookuptest.Seed(t)
	prefixes := append(fulltable.Synthetic4(1000, seed), fulltable.Synthetic6(1000, seed)...)
	for i := range prefixes { // all in a few regions, and some very short
		if i%50 == 0 {
			prefixes[i], _ = prefixes[i].Addr().Prefix(3 + i%13)
		}
	}
	addrs := lookuptest.Matching(prefixes, 4096, seed)
	first := engine.Build(lookuptest.Indexed(prefixes)).(*Table)
	var current atomic.Pointer[Table]
	current.Store(first)
	var done atomic.Bool
	var wait sync.WaitGroup
	for reader := range 3 {
		wait.Go(func() {
			held := current.Load()
			dst4, dst6, out := make([]uint32, 64), make([][2]uint64, 64), make([]lookup.Index, 64)
			for k := 0; !done.Load(); k++ {
				if k%(1+reader*20) == 0 {
					held = current.Load()
				}
				for i := range dst4 {
					hi, lo := words(addrs[(k*64+i)%len(addrs)])
					dst4[i], dst6[i] = uint32(hi>>32), [2]uint64{hi, lo}
				}
				held.LookupBatch4(dst4, out)
				for i, addr := range dst4 {
					if want := indexOf(held.walk(true, uint64(addr)<<32, 0, 32)); want != out[i] || want != held.Lookup4(addr) {
						t.Errorf("%x is %d, got %d", addr, want, out[i])
						return
					}
				}
				held.LookupBatch6(dst6, out)
				for i := range dst6 {
					if want := indexOf(held.walk(false, dst6[i][0], dst6[i][1], 128)); want != out[i] || want != held.Lookup6(dst6[i]) {
						t.Errorf("%x is %d, got %d", dst6[i], want, out[i])
						return
					}
				}
				a := addrs[k%len(addrs)]
				m, _ := held.Lookup(a)
				if want, _ := held.Shorter(a, 129); !assert.Equal(t, want, m) {
					return
				}
			}
		})
	}
	e := first.Edit()
	for k := range randtest.Fewer(500) {
		for i := range 1 + k%7 {
			if p := prefixes[(k*31+i*7)%len(prefixes)]; (k+i)%2 == 0 {
				e.Delete(p)
			} else {
				e.Insert(p, lookup.Index(k+i))
			}
		}
		current.Store(e.Table().(*Table))
	}
	done.Store(true)
	wait.Wait()
}
