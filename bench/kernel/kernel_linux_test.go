package kernel

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/bench/engines"
	"github.com/fibula-net/fibula/bench/rulesets"
	"github.com/fibula-net/fibula/bench/streams"
	"github.com/fibula-net/fibula/bench/tables"
	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/ksync"
)

func TestKernelAnswersAsTheTable(t *testing.T) {
	if testing.Short() {
		t.Skip("asks the kernel")
	}
	if os.Getuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
	table := tables.Synthetic(5000, 2000, 1)
	k, err := New(t.Context(), &table, func(string, int) {})
	require.NoError(t, err)
	defer k.Close()
	set, err := rulesets.Named("miss-50")
	require.NoError(t, err)
	for _, withRules := range []bool{false, true} {
		if withRules {
			require.NoError(t, k.AddRules(t.Context(), set.Rules))
		}
		f, err := ksync.Load(t.Context(), ksync.Options{NetNS: k.NetNS()})
		require.NoError(t, err)
		q, err := ksync.OpenQuerier(k.NetNS())
		require.NoError(t, err)
		defer q.Close()
		for _, family := range []fib.Family{fib.Inet, fib.Inet6} {
			one := table.Only(family)
			s, err := streams.Make(streams.Matching, family, &one, 1<<12, 1)
			require.NoError(t, err)
			var flows []fib.Flow
			for i := range s.Len() {
				flows = append(flows, fib.Flow{Dst: s.Addr(i)})
			}
			differ, first, err := Compare(q, f.Snapshot(), flows)
			require.NoError(t, err)
			assert.Zero(t, differ, "%v: %s", family, first)

			p, err := k.NewProber(s)
			require.NoError(t, err)
			defer p.Close()
			got, err := p.Answers(family)
			require.NoError(t, err)
			bare := engines.FillWith(engines.Named("trie"), one.All())
			for i, a := range got {
				require.Equal(t, bare.Scalar.One(s, i), a, "%v: query %d, %v", family, i, s.Addr(i))
			}
			took, err := p.Run(1 << 12)
			require.NoError(t, err)
			assert.Positive(t, took)
		}
	}
}
