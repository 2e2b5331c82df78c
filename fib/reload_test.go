package fib_test

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/flowgen"
	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/lookup"
	"github.com/fibula-net/fibula/lookup/flat"
	"github.com/fibula-net/fibula/lookup/hashzone"
	"github.com/fibula-net/fibula/lookup/trie"
)

// What a snapshot holds gives, loaded into another FIB, the same answers with the
// same stories, whichever engine is under either.
func TestReloadedStateAnswersAlike(t *testing.T) {
	seed := randtest.Seed(t)
	engines := []lookup.Engine{trie.Engine{}, hashzone.Engine{}, flat.Engine{}}
	rounds, compared := randtest.Fewer(300), 0
	for i := range rounds {
		g := hostileGen{stateGen{rand.New(rand.NewPCG(seed, uint64(i)))}, txnRun{size: usualSize}}
		f := fib.New(fib.Config{Engine: engines[i%len(engines)]})
		_, err := f.Update(func(tx *fib.Txn) error { return tx.Load(g.state()) })
		require.NoError(t, err)
		for range 4 {
			_, err := f.Update(func(tx *fib.Txn) error {
				for range 10 {
					_ = g.op(tx) // what is refused is refused
				}
				return nil
			})
			require.NoError(t, err)
			s := f.Snapshot()
			if s.LoadsOtherwise() {
				continue
			}
			compared++
			for _, e := range engines {
				other := fib.New(fib.Config{Engine: e})
				_, err := other.Update(func(tx *fib.Txn) error { return tx.Load(s.State()) })
				require.NoError(t, err)
				o := other.Snapshot()
				fg := flowgen.New(s, g.Uint64(), flowgen.Options{Input: true})
				for range 40 {
					fl := fg.Next()
					if a, b := s.Resolve(fl), o.Resolve(fl); a != b {
						require.Equal(t, a, b)
					}
					a, b := s.Explain(fl), o.Explain(fl)
					for _, e := range []*fib.Explanation{&a, &b} {
						e.Steps = slices.DeleteFunc(e.Steps, ofATable)
					}
					if !reflect.DeepEqual(a, b) {
						require.Equal(t, a, b)
					}
				}
			}
		}
	}
	require.Greater(t, compared, rounds*3, "states that load as they are")
}

// ofATable: a state has no tables without routes, of which a story tells.
func ofATable(st fib.Step) bool { return st.Kind == fib.StepTable }
