package fib

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/lookup/hashzone"
)

// Routes that differ in nothing but their prefix share all but that, of both
// families. The engine is the one that hardly allocates itself.
func TestLoadRouteAllocatesNothingForAPlainRoute(t *testing.T) {
	for _, tc := range []struct {
		gateway string
		dst     func(i uint32) netip.Prefix
	}{
		{"10.1.0.9", func(i uint32) netip.Prefix {
			var b [4]byte
			binary.BigEndian.PutUint32(b[:], 20<<24+i<<8)
			return netip.PrefixFrom(netip.AddrFrom4(b), 24)
		}},
		{"2001:db8:1::9", func(i uint32) netip.Prefix {
			b := [16]byte{0: 0x20, 1: 1}
			binary.BigEndian.PutUint32(b[2:], i)
			return netip.PrefixFrom(netip.AddrFrom16(b), 48)
		}},
	} {
		f := New(Config{Engine: hashzone.Engine{}})
		_, err := f.Update(func(tx *Txn) error {
			require.NoError(t, tx.Load(twoLinks()))
			r := Route{Table: 100, Type: TypeUnicast, Nexthops: []Nexthop{{Link: 2, Gateway: netip.MustParseAddr(tc.gateway), Weight: 1}}}
			n := uint32(0)
			load := func(routes int) {
				for range routes {
					r.Dst = tc.dst(n)
					n++
					if err := tx.LoadRoute(&r); err != nil {
						t.Fatal(err)
					}
				}
			}
			load(50_000) // the table has room now
			const routes = 1000
			perRoute := testing.AllocsPerRun(5, func() { load(routes) }) / routes
			assert.Less(t, perRoute, 0.2, "%s: the pages of the table, one for a hundred routes, and nothing besides", tc.gateway)
			return nil
		})
		require.NoError(t, err)
	}
}
