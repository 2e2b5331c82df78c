package fib

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/lookup/flat"
)

// TestTablesThatDoNotShareAreComparedOnce: many large tables, each somewhat unlike all others, load in a time
// that does not grow with the cube of their number.
func TestTablesThatDoNotShareAreComparedOnce(t *testing.T) {
	f := New(Config{Engine: flat.Engine{Direct4: 200}})
	const tables = 12
	_, err := f.Update(func(tx *Txn) error {
		for i := range int32(2) {
			if err := tx.SetLink(Link{Index: 1 + i, Name: string(rune('a' + i)), Flags: LinkUp | LinkRunning | LinkLowerUp, MTU: 1500}); err != nil {
				return err
			}
		}
		for table := range tables {
			for i := range 250 {
				r := Route{Table: TableID(1000 + table), Dst: netip.PrefixFrom(netip.AddrFrom4([4]byte{20, byte(i), 0, 0}), 16), Type: TypeUnicast,
					Scope: ScopeLink, Protocol: ProtoStatic, Nexthops: []Nexthop{{Link: 1, Weight: 1}}}
				if i%tables == table || i%tables == (table+5)%tables { // one in six, so that of two a third differs
					r.Nexthops[0].Link = 2
				}
				if err := tx.LoadRoute(&r); err != nil {
					return err
				}
			}
		}
		tx.shareTables()
		require.Zero(t, testing.AllocsPerRun(3, tx.shareTables))
		return nil
	})
	require.NoError(t, err)
}
