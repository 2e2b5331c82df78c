package flat

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/internal/randtest"
)

// TestExpectReadsWhatIsThere: prefixes of both families, present or not, are found on the way down and
// nothing is allocated.
func TestExpectReadsWhatIsThere(t *testing.T) {
	r := rand.New(rand.NewPCG(randtest.Seed(t), 0))
	prefix := func() netip.Prefix {
		var b [16]byte
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		if r.IntN(2) == 0 {
			return netip.PrefixFrom(netip.AddrFrom4([4]byte(b[:4])), r.IntN(33)).Masked()
		}
		return netip.PrefixFrom(netip.AddrFrom16(b), r.IntN(129)).Masked()
	}
	e := Engine{}.New().(*Table).edit()
	var asked []netip.Prefix
	for i := range 5000 {
		p := prefix()
		e.Insert(p, uint32(i))
		if asked = append(asked, prefix()); r.IntN(2) == 0 {
			asked[i] = p
		}
	}
	before := e.View()
	first := e.Expect(asked)
	require.NotZero(t, first)
	require.Equal(t, first, e.Expect(asked))
	table := e.table()
	require.Zero(t, testing.AllocsPerRun(5, func() { table.Expect(asked) }))
	require.Equal(t, before.Len(), table.Len())
	require.Zero(t, table.fresh().Expect(asked))
}
