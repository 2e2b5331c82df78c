package fib_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/randtest"
)

// A comparison that is told which routes differ in their destination only finds the same differences, whatever
// a dump lacks, has twice, has beside or has in another order.
func TestComparisonByKind(t *testing.T) {
	seed := randtest.Seed(t)
	passed, found := 0, 0
	for i := range randtest.Fewer(2000) {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		route := func() fib.Route {
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(r.IntN(4)), byte(r.IntN(4)) << 6}), 23+r.IntN(6)).Masked()
			return fib.Route{Table: fib.TableMain + fib.TableID(r.IntN(8)/7), Dst: p, Type: fib.TypeUnicast, Protocol: 4, Priority: uint32(r.IntN(10) / 9),
				Nexthops: []fib.Nexthop{{Link: 2, Weight: 1, Gateway: netip.AddrFrom4([4]byte{10, 0, 0, byte(1 + r.IntN(12)/11)})}}}
		}
		f := fib.New(fib.Config{})
		_, err := f.Update(func(tx *fib.Txn) error {
			for range r.IntN(30) {
				x := route()
				if err := tx.LoadRoute(&x); err != nil {
					return err
				}
			}
			return nil
		})
		require.NoError(t, err)
		s := f.Snapshot()
		dump := dumpOf(s, fib.Inet)
		for range r.IntN(4) {
			switch at := r.IntN(len(dump) + 1); {
			case at == len(dump):
				dump = append(dump, route())
			case r.IntN(4) == 0:
				dump = slices.Delete(dump, at, at+1)
			case r.IntN(3) == 0:
				dump = slices.Insert(dump, at, dump[at])
			case r.IntN(2) == 0:
				x := route()
				x.Dst = dump[at].Dst
				dump = slices.Insert(dump, at, x)
			default:
				dump[at] = route()
			}
		}
		var want, got []string
		note := func(to *[]string) func(fib.Difference) {
			return func(d fib.Difference) { *to = append(*to, fmt.Sprintf("%+v", d)) }
		}
		plain, byKind := s.Compare(fib.Inet, note(&want)), s.Compare(fib.Inet, note(&got))
		kinds := map[string]uint64{}
		for j := range dump {
			plain.Route(&dump[j])
			x := dump[j]
			x.Dst = netip.Prefix{}
			text := fmt.Sprintf("%+v", x)
			if kinds[text] == 0 {
				kinds[text] = uint64(len(kinds) + 1)
			}
			if byKind.Same(kinds[text], dump[j].Dst) {
				passed++
			} else {
				byKind.RouteOf(kinds[text], &dump[j])
			}
		}
		require.Equal(t, plain.Routes(), byKind.Routes())
		for _, c := range []*fib.Comparison{plain, byKind} {
			c.Finish(fib.TableMain)
			c.Finish(fib.TableMain + 1)
		}
		found += len(want)
		require.Equal(t, want, got, "round %d: %v", i, dump)
	}
	assert.NotZero(t, passed)
	assert.NotZero(t, found)
}
