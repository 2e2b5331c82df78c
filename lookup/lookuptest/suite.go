package lookuptest

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fibula-net/fibula/internal/fulltable"
	"github.com/fibula-net/fibula/lookup"
	"github.com/fibula-net/fibula/lookup/linear"
)

// TestEngine requires that engine keeps the contract of package lookup.
func TestEngine(t *testing.T, engine lookup.Engine) {
	seed := Seed(t)
	t.Run("Name", func(t *testing.T) { assert.NotEmpty(t, engine.Name()) })
	t.Run("Empty", func(t *testing.T) { testEmpty(t, engine) })
	t.Run("EveryLength", func(t *testing.T) { testEveryLength(t, engine) })
	t.Run("FourInSix", func(t *testing.T) { testFourInSix(t, engine) })
	t.Run("Zone", func(t *testing.T) { testZone(t, engine) })
	t.Run("Unmasked", func(t *testing.T) { testUnmasked(t, engine) })
	t.Run("Invalid", func(t *testing.T) { testInvalid(t, engine) })
	t.Run("IteratorsStop", func(t *testing.T) { testIteratorsStop(t, engine) })
	t.Run("EqualsGolden", func(t *testing.T) { rapid.Check(t, equalsGolden(engine)) })
	t.Run("BuildIsInserts", func(t *testing.T) { rapid.Check(t, buildIsInserts(engine)) })
	t.Run("OrderIsIrrelevant", func(t *testing.T) { rapid.Check(t, orderIsIrrelevant(engine)) })
	t.Run("DeleteReversesInsert", func(t *testing.T) { rapid.Check(t, deleteReversesInsert(engine)) })
	t.Run("Internet", func(t *testing.T) { testInternet(t, engine, seed) })
	t.Run("ReadersWhileEditing", func(t *testing.T) { testReadersWhileEditing(t, engine, seed) })
	t.Run("NoAllocs", func(t *testing.T) { testNoAllocs(t, engine, seed) })
}

// Fuzz adds the golden-model property to a native fuzz target.
func Fuzz(f *testing.F, engine lookup.Engine) {
	f.Fuzz(rapid.MakeFuzz(equalsGolden(engine)))
}

func testEmpty(t *testing.T, engine lookup.Engine) {
	want := linear.Engine{}.New()
	probes := []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("192.0.2.1/32"),
		netip.MustParsePrefix("::/0"), netip.MustParsePrefix("2001:db8::1/128"),
	}
	sameTables(t, want, engine.New(), probes)
	sameTables(t, want, engine.Build(sequence(nil)), probes)
	sameTables(t, want, engine.New().Edit().Table(), probes)
}

// testEveryLength stores one address at each length, so that each is the longest match
// of the address that leaves it one bit further on.
func testEveryLength(t *testing.T, engine lookup.Engine) {
	e := engine.New().Edit()
	addrs := []netip.Addr{netip.MustParseAddr("203.0.113.77"), netip.MustParseAddr("2001:db8:85a3:1234:5678:8a2e:370:7334")}
	for _, addr := range addrs {
		for bits := addr.BitLen(); bits >= 0; bits-- {
			_, replaced := e.Insert(netip.PrefixFrom(addr, bits), lookup.Index(bits))
			require.False(t, replaced, "%v/%d", addr, bits)
		}
	}
	table := e.Table()
	require.Equal(t, 33+129, table.Len())
	for _, addr := range addrs {
		chainIsCovering(t, table, addr)
		for bits := 0; bits < addr.BitLen(); bits++ {
			leaves := window{addr, bits, bits + 1}.addr(1)
			m, ok := table.Lookup(leaves)
			require.True(t, ok)
			require.Equal(t, lookup.Match{Index: lookup.Index(bits), Bits: int16(bits)}, m, "%v", leaves)
			m, ok = table.Shorter(addr, bits+1)
			require.True(t, ok)
			require.Equal(t, lookup.Match{Index: lookup.Index(bits), Bits: int16(bits)}, m, "%v before %d", addr, bits+1)
		}
		require.Len(t, collect(table.Covered(netip.PrefixFrom(addr, 1))), addr.BitLen())
	}
}

func testFourInSix(t *testing.T, engine lookup.Engine) {
	four, mapped := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("::ffff:192.0.2.1")
	e := engine.New().Edit()
	e.Insert(netip.MustParsePrefix("192.0.2.0/24"), 4)
	_, ok := e.Lookup(mapped)
	assert.False(t, ok, "an IPv4 prefix matches no 4-in-6 address")

	e.Insert(netip.PrefixFrom(mapped, 120), 6)
	assert.Equal(t, 2, e.Len(), "the 4-in-6 prefix is another one")
	m, ok := e.Lookup(mapped)
	assert.True(t, ok)
	assert.Equal(t, lookup.Match{Index: 6, Bits: 120}, m)
	m, ok = e.Lookup(four)
	assert.True(t, ok)
	assert.Equal(t, lookup.Match{Index: 4, Bits: 24}, m)

	e.Insert(netip.MustParsePrefix("::/0"), 7)
	m, ok = e.Shorter(mapped, 120)
	assert.True(t, ok)
	assert.Equal(t, lookup.Match{Index: 7, Bits: 0}, m)
	assert.Equal(t, []route{
		{netip.MustParsePrefix("192.0.2.0/24"), 4},
		{netip.MustParsePrefix("::/0"), 7},
		{netip.PrefixFrom(netip.MustParseAddr("::ffff:192.0.2.0"), 120), 6},
	}, collect(e.Table().All()))
}

func testZone(t *testing.T, engine lookup.Engine) {
	table := engine.Build(sequence([]route{
		{netip.MustParsePrefix("fe80::/64"), 1}, {netip.MustParsePrefix("fe80::1/128"), 2},
	}))
	for _, text := range []string{"fe80::1", "fe80::1%eth0"} {
		dst := netip.MustParseAddr(text)
		m, ok := table.Lookup(dst)
		assert.True(t, ok, text)
		assert.Equal(t, lookup.Match{Index: 2, Bits: 128}, m, text)
		m, ok = table.Shorter(dst, 128)
		assert.True(t, ok, text)
		assert.Equal(t, lookup.Match{Index: 1, Bits: 64}, m, text)
	}
}

func testUnmasked(t *testing.T, engine lookup.Engine) {
	unmasked, masked := netip.MustParsePrefix("10.1.2.3/8"), netip.MustParsePrefix("10.0.0.0/8")
	table := engine.Build(sequence([]route{{unmasked, 1}}))
	want := []route{{masked, 1}}
	assert.Equal(t, want, collect(table.All()))
	assert.Equal(t, want, collect(table.Covering(unmasked)))
	assert.Equal(t, want, collect(table.Covered(unmasked)))
	i, ok := table.Get(unmasked)
	assert.True(t, ok)
	assert.EqualValues(t, 1, i)

	e := table.Edit()
	old, replaced := e.Insert(unmasked, 2)
	assert.True(t, replaced)
	assert.EqualValues(t, 1, old)
	old, existed := e.Delete(unmasked)
	assert.True(t, existed)
	assert.EqualValues(t, 2, old)
	assert.Zero(t, e.Len())
}

func testInvalid(t *testing.T, engine lookup.Engine) {
	invalid := []netip.Prefix{
		{}, netip.PrefixFrom(netip.MustParseAddr("192.0.2.1"), 33), netip.PrefixFrom(netip.Addr{}, 0),
		netip.PrefixFrom(netip.MustParseAddr("::"), -1), netip.PrefixFrom(netip.MustParseAddr("::"), 129),
	}
	e := engine.Build(sequence([]route{
		{netip.MustParsePrefix("0.0.0.0/0"), 1}, {netip.Prefix{}, 2}, {netip.MustParsePrefix("::/0"), 3},
	})).Edit()
	for _, p := range invalid {
		_, replaced := e.Insert(p, 9)
		assert.False(t, replaced, "%v", p)
		_, existed := e.Delete(p)
		assert.False(t, existed, "%v", p)
		_, ok := e.Get(p)
		assert.False(t, ok, "%v", p)
	}
	table := e.Table()
	assert.Equal(t, 2, table.Len())
	for _, p := range invalid {
		assert.Empty(t, collect(table.Covering(p)), "%v", p)
		assert.Empty(t, collect(table.Covered(p)), "%v", p)
	}
	_, ok := table.Lookup(netip.Addr{})
	assert.False(t, ok)
	_, ok = table.Shorter(netip.Addr{}, 32)
	assert.False(t, ok)
}

func testIteratorsStop(t *testing.T, engine lookup.Engine) {
	table := engine.Build(Indexed(append(fulltable.Synthetic4(100, 1), netip.MustParsePrefix("0.0.0.0/0"),
		netip.MustParsePrefix("::/0"), netip.MustParsePrefix("2000::/3"))))
	dst := netip.MustParsePrefix("2001:db8::/32")
	for name, routes := range map[string]func() []route{
		"All":      func() []route { return firstOf(table.All()) },
		"Covering": func() []route { return firstOf(table.Covering(dst)) },
		"Covered":  func() []route { return firstOf(table.Covered(netip.MustParsePrefix("0.0.0.0/0"))) },
	} {
		assert.Len(t, routes(), 1, name)
	}
}

func firstOf(routes func(yield func(netip.Prefix, lookup.Index) bool)) (first []route) {
	for p, i := range routes {
		return []route{{p, i}}
	}
	return nil
}
