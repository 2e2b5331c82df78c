package fib_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
)

// What a request may say that IPv4 refuses and IPv6 forgets (B27, D50).
func TestMarksOfStateAreNoSettings(t *testing.T) {
	f := fib.New(fib.Config{})
	add := func(r fib.Route) error {
		_, err := f.Update(func(tx *fib.Txn) error { return tx.AddRoute(r, fib.OpAdd) })
		return err
	}
	_, err := f.Update(func(tx *fib.Txn) error {
		return tx.SetLink(fib.Link{Index: 2, Name: "d0", Flags: fib.LinkUp | fib.LinkRunning | fib.LinkLowerUp})
	})
	require.NoError(t, err)
	leg := []fib.Nexthop{{Link: 2}}
	for _, marks := range []fib.NexthopFlags{fib.FlagDead, fib.FlagLinkdown} {
		require.ErrorIs(t, add(fib.Route{Dst: prefixOf("10.0.0.0/8"), Flags: fib.RouteFlags(marks), Nexthops: leg}), fib.EINVAL)
		marked := []fib.Nexthop{{Link: 2, Flags: marks}}
		require.ErrorIs(t, add(fib.Route{Dst: prefixOf("10.0.0.0/8"), Nexthops: marked}), fib.EINVAL)
	}
	marked := []fib.Nexthop{{Link: 2, Flags: fib.FlagDead | fib.FlagLinkdown, Realms: 5}}
	require.NoError(t, add(fib.Route{Dst: prefixOf("2001:db8::/32"), Flags: fib.RouteFlags(fib.FlagDead), Nexthops: marked}))
	for r := range f.Snapshot().Routes() {
		if r.Dst == prefixOf("2001:db8::/32") {
			assert.Zero(t, r.Flags)
			assert.Equal(t, []fib.Nexthop{{Link: 2, Weight: 1}}, r.Nexthops)
		}
	}
	assert.Zero(t, f.Snapshot().Resolve(fib.Flow{Dst: addrOf("2001:db8::1")}).Errno)
}
