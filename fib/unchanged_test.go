package fib_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
)

func TestTheSameAgainPublishesNothing(t *testing.T) {
	f := fib.New(fib.Config{})
	own4, own6 := prefixOf("10.0.0.1/24"), prefixOf("2001:db8::1/64")
	again := func(tx *fib.Txn) error {
		for _, p := range []netip.Prefix{own4, own6} {
			if err := tx.ReplaceAddress(fib.Address{Link: 2, Local: p.Addr(), Prefix: p}); err != nil {
				return err
			}
		}
		o := fib.NexthopObject{ID: 1, Family: fib.Inet, Nexthop: fib.Nexthop{Link: 2, Gateway: addrOf("10.0.0.2")}}
		if _, err := tx.AddNexthop(o, fib.OpReplace); err != nil {
			return err
		}
		_, err := tx.AddNexthop(fib.NexthopObject{ID: 2, Group: []fib.GroupMember{{ID: 1}}}, fib.OpReplace)
		return err
	}
	_, err := f.Update(func(tx *fib.Txn) error {
		if err := tx.SetLink(fib.Link{Index: 2, Name: "d0", Flags: fib.LinkUp | fib.LinkRunning | fib.LinkLowerUp}); err != nil {
			return err
		}
		return again(tx)
	})
	require.NoError(t, err)
	res, err := f.Update(again)
	require.NoError(t, err)
	assert.False(t, res.Changed)
}
