package lookuptest_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/internal/fulltable"
	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/lookup"
	"github.com/fibula-net/fibula/lookup/hashzone"
	"github.com/fibula-net/fibula/lookup/lookuptest"
	"github.com/fibula-net/fibula/lookup/trie"
)

// TestEnginesAgreeOnTheFullTable compares the two engines where the golden model would
// take too long, by everything they hold and all the matches of many addresses.
func TestEnginesAgreeOnTheFullTable(t *testing.T) {
	var prefixes []netip.Prefix
	if size := randtest.Fewer(1_000_000); size < 1_000_000 {
		prefixes = fulltable.Synthetic(size*9/10, size/10, 1)
	} else {
		var origin string
		prefixes, origin = fulltable.Get(t.Context())
		t.Logf("%d prefixes: %s", len(prefixes), origin)
	}
	seed := lookuptest.Seed(t)
	engines := []lookup.Engine{trie.Engine{}, hashzone.Engine{}}
	tables := make([]lookup.Table, len(engines))
	for k, engine := range engines {
		tables[k] = engine.Build(lookuptest.Indexed(prefixes))
		require.Equal(t, len(prefixes), tables[k].Len(), engine.Name())
		i := 0
		for p, index := range tables[k].All() {
			if p != prefixes[i] || index != lookup.Index(i) {
				require.Failf(t, "All", "%s: at %d: got %v %d, want %v", engine.Name(), i, p, index, prefixes[i])
			}
			i++
		}
		require.Equal(t, len(prefixes), i, engine.Name())
	}
	for _, addrs := range [][]netip.Addr{
		lookuptest.Matching(prefixes, randtest.Fewer(100_000), seed),
		lookuptest.Uniform(4, randtest.Fewer(20_000), seed), lookuptest.Uniform(6, randtest.Fewer(20_000), seed),
	} {
		for _, dst := range addrs {
			for bits := dst.BitLen() + 1; bits > 0; {
				want, wantOK := tables[0].Shorter(dst, bits)
				got, gotOK := tables[1].Shorter(dst, bits)
				if want != got || wantOK != gotOK {
					require.Failf(t, "Shorter", "%v before %d: %s %v %t, %s %v %t", dst, bits,
						engines[0].Name(), want, wantOK, engines[1].Name(), got, gotOK)
				}
				if bits = 0; gotOK {
					bits = int(got.Bits)
				}
			}
		}
	}
}
