package fib_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
)

// BenchmarkAddressTxn adds an address and deletes it again, beside 65,000 routes of which no two are
// alike: what is worked out anew for all of them.
func BenchmarkAddressTxn(b *testing.B) {
	f := fib.New(fib.Config{})
	address := func(s string) fib.Address {
		p := netip.MustParsePrefix(s)
		return fib.Address{Link: 2, Local: p.Addr(), Prefix: p}
	}
	_, err := f.Update(func(tx *fib.Txn) error {
		up := fib.LinkUp | fib.LinkRunning | fib.LinkLowerUp
		if err := tx.SetLink(fib.Link{Index: 2, Name: "d0", Flags: up, MTU: 1500}); err != nil {
			return err
		}
		if err := tx.AddAddress(address("10.0.0.1/8")); err != nil {
			return err
		}
		for i := range 65_000 {
			r := fib.Route{Dst: netip.PrefixFrom(netip.AddrFrom4([4]byte{20, byte(i >> 8), byte(i)}), 24), Type: fib.TypeUnicast,
				Priority: uint32(i + 1), Nexthops: []fib.Nexthop{{Gateway: netip.MustParseAddr("10.0.0.2")}}}
			if err := tx.AddRoute(r, fib.OpAdd); err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(b, err)
	for b.Loop() {
		_, err := f.Update(func(tx *fib.Txn) error { return tx.AddAddress(address("172.16.0.1/24")) })
		require.NoError(b, err)
		_, err = f.Update(func(tx *fib.Txn) error { return tx.DeleteAddress(address("172.16.0.1/24")) })
		require.NoError(b, err)
	}
}
