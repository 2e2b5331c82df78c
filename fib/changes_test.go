package fib_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/lookup"
	"github.com/fibula-net/fibula/lookup/flat"
	"github.com/fibula-net/fibula/lookup/trie"
	"github.com/fibula-net/fibula/rules"
)

// TestChangedRoutesAreThoseOfAWalk compares snapshots near and far, after random changes, with a walk
// over both.
func TestChangedRoutesAreThoseOfAWalk(t *testing.T) {
	for _, engine := range []lookup.Engine{flat.Engine{}, trie.Engine{}} {
		for seed := range uint64(40) {
			r := rand.New(rand.NewPCG(seed, 2))
			f := fib.New(fib.Config{Engine: engine})
			require.NoError(t, update(f, func(tx *fib.Txn) error {
				for i := range int32(3) {
					l := fib.Link{Index: i + 1, Name: fmt.Sprint("l", i), Flags: fib.LinkUp | fib.LinkRunning | fib.LinkLowerUp, MTU: 1500}
					if err := tx.SetLink(l); err != nil {
						return err
					}
					a := netip.AddrFrom4([4]byte{10, byte(i), 0, 1})
					if err := tx.AddAddress(fib.Address{Link: i + 1, Local: a, Prefix: netip.PrefixFrom(a, 24)}); err != nil {
						return err
					}
				}
				return nil
			}))
			kept := []*fib.Snapshot{f.Snapshot()}
			for range 30 {
				_ = update(f, func(tx *fib.Txn) error {
					for range 1 + r.IntN(4) {
						changeSomething(tx, r)
					}
					return nil
				})
				kept = append(kept, f.Snapshot())
			}
			for range 60 {
				i := r.IntN(len(kept))
				a, b := kept[i], kept[min(i+1+r.IntN(1+r.IntN(10)), len(kept)-1)]
				want, got := walkedChanges(a, b), map[fib.TablePrefix]fib.RouteChange{}
				for c := range b.ChangedRoutes(a) {
					if _, twice := got[c.TablePrefix]; twice {
						t.Fatalf("%s seed %d: %v comes twice", engine.Name(), seed, c.TablePrefix)
					}
					got[c.TablePrefix] = c
				}
				if !reflect.DeepEqual(want, got) {
					t.Fatalf("%s seed %d, generations %d to %d:\nwant %+v\ngot  %+v", engine.Name(), seed, a.Generation(), b.Generation(), want, got)
				}
			}
		}
	}
}

func update(f *fib.FIB, fn func(*fib.Txn) error) error { _, err := f.Update(fn); return err }

// changeSomething does something at random; what is refused is no matter.
func changeSomething(tx *fib.Txn, r *rand.Rand) {
	link := int32(1 + r.IntN(3))
	gw := netip.AddrFrom4([4]byte{10, byte(link - 1), 0, byte(2 + r.IntN(3))})
	rt := fib.Route{Table: fib.TableID(7 + r.IntN(3)), Dst: netip.PrefixFrom(netip.AddrFrom4([4]byte{20, byte(r.IntN(12)), 0, 0}), 16), Type: fib.TypeUnicast,
		Nexthops: []fib.Nexthop{{Gateway: gw, Link: link}}}
	switch r.IntN(9) {
	case 0, 1, 2:
		_ = tx.AddRoute(rt, fib.OpReplace)
	case 3:
		rt.Priority = uint32(r.IntN(3))
		_ = tx.AddRoute(rt, fib.OpAppend)
	case 4, 5:
		_ = tx.DeleteRoute(fib.Route{Table: rt.Table, Dst: rt.Dst})
	case 6:
		o := fib.NexthopObject{ID: uint32(1 + r.IntN(2)), Family: fib.Inet, Nexthop: fib.Nexthop{Gateway: gw, Link: link}}
		_, _ = tx.AddNexthop(o, fib.OpReplace)
	case 7:
		rt.Nexthops, rt.NexthopID = nil, uint32(1+r.IntN(2))
		_ = tx.AddRoute(rt, fib.OpReplace)
	case 8:
		if l, ok := tx.Snapshot().Link(link); ok {
			if l.Flags ^= fib.LinkRunning | fib.LinkLowerUp; r.IntN(3) == 0 {
				l.Flags ^= fib.LinkUp
			}
			_ = tx.SetLink(l)
		}
	}
}

func walkedChanges(a, b *fib.Snapshot) map[fib.TablePrefix]fib.RouteChange {
	before, after, out := byPrefix(a), byPrefix(b), map[fib.TablePrefix]fib.RouteChange{}
	for p := range maps.Keys(before) {
		after[p] = append([]fib.Route(nil), after[p]...)
	}
	for p, is := range after {
		if was := before[p]; !slices.EqualFunc(was, is, func(x, y fib.Route) bool { return reflect.DeepEqual(x, y) }) {
			out[p] = fib.RouteChange{TablePrefix: p, Before: was, After: is}
			if len(is) == 0 {
				out[p] = fib.RouteChange{TablePrefix: p, Before: was}
			}
		}
	}
	return out
}

func byPrefix(s *fib.Snapshot) map[fib.TablePrefix][]fib.Route {
	out := map[fib.TablePrefix][]fib.Route{}
	for r := range s.Routes() {
		p := fib.TablePrefix{Table: r.Table, Dst: r.Dst}
		out[p] = append(out[p], r)
	}
	return out
}

func TestChangesBesideRoutes(t *testing.T) {
	f := fib.New(fib.Config{})
	addr := netip.MustParseAddr("10.0.0.1")
	must := func(fn func(*fib.Txn) error) *fib.Snapshot {
		t.Helper()
		require.NoError(t, update(f, fn))
		return f.Snapshot()
	}
	empty := f.Snapshot()
	one := must(func(tx *fib.Txn) error {
		if err := tx.SetLink(fib.Link{Index: 2, Name: "d0", Flags: fib.LinkUp | fib.LinkRunning, MTU: 1500}); err != nil {
			return err
		}
		return tx.AddAddress(fib.Address{Link: 2, Local: addr, Prefix: netip.PrefixFrom(addr, 24)})
	})
	c := one.Changes(empty)
	require.Len(t, c.Links, 1)
	assert.Nil(t, c.Links[0].Before)
	assert.Equal(t, "d0", c.Links[0].After.Name)
	require.Len(t, c.Addresses, 1)
	assert.Equal(t, addr, c.Addresses[0].After.Local)

	two := must(func(tx *fib.Txn) error {
		_, err := tx.AddNexthop(fib.NexthopObject{ID: 9, Family: fib.Inet, Nexthop: fib.Nexthop{Link: 2}}, fib.OpAdd)
		if err != nil {
			return err
		}
		_, err = tx.AddRule(rules.RequestOf(rules.Rule{Family: fib.Inet, Priority: 7, Action: rules.ActLookup, Table: 9}), fib.OpAdd)
		return err
	})
	c = two.Changes(one)
	assert.Empty(t, c.Links)
	assert.Empty(t, c.Addresses)
	require.Len(t, c.Nexthops, 1)
	assert.Nil(t, c.Nexthops[0].Before)
	require.Len(t, c.Rules, 1)
	assert.Equal(t, uint32(7), c.Rules[0].After.Priority)
	back := one.Changes(two)
	assert.Equal(t, c.Rules[0].After, back.Rules[0].Before)
	assert.Nil(t, back.Nexthops[0].After)
	assert.Equal(t, fib.Changes{}, two.Changes(two))
}
