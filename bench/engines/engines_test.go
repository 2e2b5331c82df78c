package engines

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/bench/rulesets"
	"github.com/fibula-net/fibula/bench/streams"
	"github.com/fibula-net/fibula/bench/tables"
	"github.com/fibula-net/fibula/fib"
)

var families = []fib.Family{fib.Inet, fib.Inet6}

// Every engine and every FIB without rules that decide gives the same answers on
// every stream: those of the golden model.
func TestAllAnswerAlike(t *testing.T) {
	table := tables.Synthetic(1500, 400, 1)
	var filled []*Filled
	for _, e := range LPM {
		filled = append(filled, FillWith(e, table.All()))
	}
	require.Equal(t, "linear", filled[0].Engine.Name)
	for _, f := range families {
		for _, name := range streams.Names {
			s, err := streams.Make(name, f, &table, 1<<12, 3)
			require.NoError(t, err)
			want := filled[0].Scalar.Checksum(s)
			for _, e := range filled {
				for _, form := range e.All() {
					assert.Equal(t, want, form.Checksum(s), "%s: %s %v", form.Name, name, f)
					if form.One != nil {
						assertOneIsAnswer(t, form, s)
					}
				}
			}
		}
	}
}

// assertOneIsAnswer compares the two functions of a form.
func assertOneIsAnswer(t *testing.T, form *Form, s *streams.Stream) {
	t.Helper()
	out := make([]uint32, 100)
	form.Answer(s, 50, out)
	for k, a := range out {
		require.Equal(t, a, form.One(s, 50+k), "%s: query %d", form.Name, 50+k)
	}
}

func TestResolveUnderAnyRulesIsWhatExplainTells(t *testing.T) {
	table := tables.Synthetic(3000, 1000, 1)
	bare := FillWith(Named("trie"), table.All())
	for _, name := range []string{"none", "miss-10", "wg-quick", "multi-uplink", "tailscale", "cni-100"} {
		set, err := rulesets.Named(name)
		require.NoError(t, err)
		f, err := set.Load(&table, fib.Config{})
		require.NoError(t, err)
		snap := f.Snapshot()
		form := Resolve("fib", snap, set)
		for _, fam := range families {
			for _, stream := range []string{streams.Uniform, streams.Matching} {
				s, err := streams.Make(stream, fam, &table, 1<<12, 3)
				require.NoError(t, err)
				if set.Bare {
					assert.Equal(t, bare.Scalar.Checksum(s), form.Checksum(s), "%s %s %v", name, stream, fam)
				}
				if b := ResolveBatch("fib", snap, set); b != nil {
					assert.Equal(t, form.Checksum(s), b.Checksum(s), "%s %s %v: batch", name, stream, fam)
				}
				for _, refs := range ResolveRefs("fib", snap, set) {
					assert.Equal(t, form.Checksum(s), refs.Checksum(s), "%s %s %v: %s", name, stream, fam, refs.Name)
					if refs.One != nil {
						assertOneIsAnswer(t, refs, s)
					}
				}
				answers := map[uint32]int{}
				for i := range 500 {
					flow := set.Flows[fam][i&(len(set.Flows[fam])-1)]
					flow.Dst = s.Addr(i)
					d := snap.Explain(flow).Decision
					got := form.One(s, i)
					require.Equal(t, rulesets.NextHop(&d), got, "%s %v: %+v", name, fam, flow)
					answers[got]++
				}
				if stream == streams.Matching {
					assert.Greater(t, len(answers), 3, "%s %v: the rules decide nothing: %v", name, fam, answers)
					assert.Less(t, answers[Miss], 100, "%s %v: too many have no way", name, fam)
				}
			}
		}
	}
}

func TestForms(t *testing.T) {
	assert.Nil(t, Named("nonsense"))
	table := tables.Synthetic(2500, 0, 1)
	assert.False(t, Named("linear").Suits(&table))
	assert.True(t, Named("trie").Suits(&table))
}
