package flat

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/lookup"
)

// TestSharedDiffAsksAboutWhatCameBack: a prefix that went and came back under the same index, which may mean
// another thing by then, is asked about as in a table that shares nothing.
func TestSharedDiffAsksAboutWhatCameBack(t *testing.T) {
	p := netip.MustParsePrefix("10.1.0.0/16")
	changed := func(share bool) (n int) {
		engine := Engine{Differ: 50}
		e := engine.New().(*Table).edit()
		for i := range byte(40) {
			e.Insert(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, i, 0, 0}), 16), uint32(i))
		}
		first := e.table()
		if share {
			o := engine.Build(first.All()).(*Table).edit()
			e = first.edit()
			require.True(t, o.Share(e))
			first = e.table()
		}
		e = first.edit()
		i, _ := e.Delete(p)
		e = e.table().edit()
		e.Insert(p, i)
		last := e.table()
		for c := range lookup.Diff(first, last, func(j lookup.Index) bool { return j != i }) {
			require.Equal(t, p, c.Prefix)
			n++
		}
		return n
	}
	require.Equal(t, 1, changed(false))
	require.Equal(t, 1, changed(true))
}

// TestCrowdedDifferencesStandAlone: where a short prefix differs above many that do not, each change would make all of
// that part anew.
func TestCrowdedDifferencesStandAlone(t *testing.T) {
	engine := Engine{Direct4: 1 << 20}
	build := func(of uint32) *Editor {
		e := engine.New().(*Table).edit()
		e.Insert(netip.MustParsePrefix("10.0.0.0/8"), of)
		for i := range uint32(2 * crowded) {
			e.Insert(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 7), byte(i << 1), 0}), 24), 7)
		}
		return e
	}
	a, b := build(1), build(2)
	require.True(t, b.Share(a))
	next := b.table()
	require.Nil(t, next.under)
	require.Equal(t, collect(build(2).table()), collect(next))
	m, ok := next.Lookup(netip.MustParseAddr("10.0.1.1"))
	require.True(t, ok)
	require.Equal(t, lookup.Match{Index: 2, Bits: 8}, m)
	require.NotNil(t, a.table().under)
}
