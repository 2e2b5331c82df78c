package flat

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/internal/fulltable"
	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/lookup"
	"github.com/fibula-net/fibula/lookup/lookuptest"
)

// kinds are sets of indexes that lead to each width of codes, and to codes that need the table.
var kinds = map[string]func(k int) lookup.Index{
	"one byte":           func(k int) lookup.Index { return lookup.Index(k % 64) },
	"one byte, decoded":  func(k int) lookup.Index { return lookup.Index(k%64) * 1_000_003 },
	"two bytes":          func(k int) lookup.Index { return lookup.Index(k % 3000) },
	"two bytes, decoded": func(k int) lookup.Index { return lookup.Index(k%3000) * 1_000_003 },
	"four bytes":         func(k int) lookup.Index { return lookup.Index(k) },
	"beyond":             func(k int) lookup.Index { return NoMatch - lookup.Index(k) },
}

// TestBatchIsLookup: every way to ask a version gives what its trees say, of the newest
// version and of one that the arrays have left behind.
func TestBatchIsLookup(t *testing.T) {
	prefixes4, prefixes6 := fulltable.Synthetic4(4000, 1), fulltable.Synthetic6(4000, 1)
	for _, p := range prefixes6[:500] { // what is longer than the arrays can tell
		for _, bits := range []int{49, 56, 64, 65, 96, 128} {
			prefixes6 = append(prefixes6, netip.PrefixFrom(lookuptest.Matching([]netip.Prefix{p}, 1, uint64(bits))[0], bits))
		}
	}
	all := append(prefixes4, prefixes6...)
	addrs := append(lookuptest.Matching(all, 5000, 2), lookuptest.Uniform(4, 1000, 3)...)
	addrs = append(addrs, lookuptest.Uniform(6, 1000, 3)...)
	for k := 0; k < len(all); k += 20 {
		addrs = append(addrs, all[k].Addr(), all[k].Addr().Prev())
	}
	for _, p := range prefixes6[len(prefixes6)-3000:] {
		addrs = append(addrs, p.Addr())
	}
	addrs = append(addrs, netip.Addr{}, netip.MustParseAddr("fe80::1%eth0"), netip.MustParseAddr("255.255.255.255"),
		netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), netip.IPv4Unspecified(), netip.IPv6Unspecified())
	for name, index := range kinds {
		if randtest.Fewer(10) == 1 && name != "one byte" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			e := Engine{Direct4: 1, Direct6: 1}.New().Edit()
			for k, p := range all {
				e.Insert(p, index(k))
			}
			old := e.Table().(*Table)
			for k, p := range all {
				switch {
				case k%20 == 0:
					e.Delete(p)
				case k%20 == 1:
					e.Insert(p, index(k+1))
				case k%20 == 2 && p.Bits() > 20:
					e.Insert(netip.PrefixFrom(p.Addr(), p.Bits()-1), index(k))
				}
			}
			next := e.Table().(*Table)
			require.True(t, name == "beyond" || next.direct == old.direct, "the arrays were made anew")
			for _, bits := range []int{6, 12, 0} {
				e.Insert(netip.PrefixFrom(netip.MustParseAddr("8.0.0.0"), bits), index(bits))
				e.Insert(netip.PrefixFrom(netip.MustParseAddr("2000::"), bits), index(bits))
			}
			for version, table := range map[string]*Table{"old": old, "next": next, "last": e.Table().(*Table), "branch": branch(old, all)} {
				batchIsLookup(t, version, table, addrs)
			}
		})
	}
}

// branch changes a version that is not the newest any more.
func branch(old *Table, all []netip.Prefix) *Table {
	e := old.Edit()
	for k := 0; k < len(all); k += 7 {
		e.Delete(all[k])
	}
	return e.Table().(*Table)
}

func batchIsLookup(t *testing.T, version string, table *Table, addrs []netip.Addr) {
	t.Helper()
	var dst4 []uint32
	var dst6 [][2]uint64
	var want4, want6 []lookup.Index
	want, got := make([]lookup.Match, len(addrs)), make([]lookup.Match, len(addrs))
	for k, a := range addrs {
		m, ok := table.Shorter(a, a.BitLen()+1)
		index := m.Index
		if !ok {
			index, m.Bits = NoMatch, -1
		}
		want[k] = m
		hi, lo := uint64(0), uint64(0)
		switch {
		case a.Is4():
			hi, _ = words(a)
			dst4, want4 = append(dst4, uint32(hi>>32)), append(want4, index)
		case a.Is6():
			hi, lo = words(a)
			dst6, want6 = append(dst6, [2]uint64{hi, lo}), append(want6, index)
		}
	}
	for how := plain; how <= best; how++ {
		table := *table
		table.vectors = how
		table.LookupBatch(addrs, got)
		for k, a := range addrs {
			m, ok := table.Lookup(a)
			if !ok {
				m.Bits = -1
			}
			if want[k] != m || want[k] != got[k] {
				t.Fatalf("%s, %d: %v is %v, got %v and %v", version, how, a, want[k], m, got[k])
			}
		}
		got4, got6 := make([]lookup.Index, len(dst4)), make([]lookup.Index, len(dst6)+5)
		table.LookupBatch4(dst4, got4)
		table.LookupBatch6(dst6, got6)
		for k := range dst4 {
			if want4[k] != got4[k] || want4[k] != table.Lookup4(dst4[k]) {
				t.Fatalf("%s, %d: %x is %d, got %d and %d", version, how, dst4[k], want4[k], got4[k], table.Lookup4(dst4[k]))
			}
		}
		for k := range dst6 {
			if want6[k] != got6[k] || want6[k] != table.Lookup6(dst6[k]) {
				t.Fatalf("%s, %d: %x is %d, got %d and %d", version, how, dst6[k], want6[k], got6[k], table.Lookup6(dst6[k]))
			}
		}
		assert.Equal(t, make([]lookup.Index, 5), got6[len(dst6):], "written beyond the end")
	}
}

func TestBatchesAllocateNothing(t *testing.T) {
	prefixes := append(fulltable.Synthetic4(20_000, 1), fulltable.Synthetic6(5000, 1)...)
	addrs := lookuptest.Matching(prefixes, 1000, 2)
	dst4, dst6, out, matches := make([]uint32, 1000), make([][2]uint64, 1000), make([]lookup.Index, 1000), make([]lookup.Match, 1000)
	for _, e := range Variants() {
		table := e.Build(lookuptest.Indexed(prefixes)).(*Table)
		require.NotNil(t, table.direct)
		require.NotNil(t, table.direct6)
		assert.Zero(t, testing.AllocsPerRun(20, func() {
			table.LookupBatch(addrs, matches)
			table.LookupBatch4(dst4, out)
			table.LookupBatch6(dst6, out)
			table.Lookup4(dst4[0])
			table.Lookup6(dst6[0])
		}))
	}
}

func TestBatchPanicsBeforeItWrites(t *testing.T) {
	table := Engine{}.New().(*Table)
	out := []lookup.Index{7}
	assert.Panics(t, func() { table.LookupBatch4(make([]uint32, 2), out) })
	assert.Panics(t, func() { table.LookupBatch6(make([][2]uint64, 2), out) })
	assert.Panics(t, func() { table.LookupBatch(make([]netip.Addr, 2), make([]lookup.Match, 1)) })
	assert.EqualValues(t, 7, out[0])
}

// FuzzBatches: every set of instructions gives what the trees say, whatever the prefixes.
// Eight bytes are a prefix of either family, or one that goes again.
func FuzzBatches(f *testing.F) {
	f.Add([]byte{10, 0, 0, 0, 8, 1, 0, 0, 10, 0, 0, 0, 32, 2, 0, 0, 10, 0, 1, 0, 25, 3, 0, 0})
	f.Add([]byte{0x20, 1, 0xd, 0xb8, 48, 1, 0, 1, 0x20, 1, 0xd, 0xb8, 49, 2, 0, 1, 0x20, 1, 0xd, 0xb8, 128, 2, 0, 1, 0x20, 1, 0xd, 0xb8, 48, 1, 0, 3})
	f.Fuzz(func(t *testing.T, data []byte) {
		e := Engine{Direct4: 1, Direct6: 1}.New().Edit()
		e.Insert(netip.MustParsePrefix("8.0.0.0/7"), 1) // so that there are arrays
		e.Insert(netip.MustParsePrefix("2400::/12"), 2)
		addrs := []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
		table := e.Table().(*Table)
		for len(data) >= 8 && len(addrs) < 400 {
			var b [16]byte
			copy(b[:], data[:4])
			b[7], b[15] = data[6], data[6]
			a := netip.AddrFrom16(b)
			if data[7]&1 == 0 {
				a = netip.AddrFrom4([4]byte(b[:4]))
			}
			p := netip.PrefixFrom(a, int(data[4])%(a.BitLen()+1)).Masked()
			if data[7]&2 != 0 {
				e.Delete(p)
			} else {
				e.Insert(p, lookup.Index(data[5])*3)
			}
			if data[7]&4 != 0 { // a version of its own
				table = e.Table().(*Table)
			}
			addrs = append(addrs, a, p.Addr(), p.Addr().Prev())
			data = data[8:]
		}
		for len(addrs) < 64 { // whole vectors
			addrs = append(addrs, addrs...)
		}
		batchIsLookup(t, "last", e.Table().(*Table), addrs)
		batchIsLookup(t, "old", table, addrs)
	})
}
