package plan_test

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/ksync/plan"
	"github.com/fibula-net/fibula/ksync/plan/plantest"
)

// Many routes come each once, neighbours far from each other, and those of one prefix in their order.
func TestManyRoutesComeSpread(t *testing.T) {
	want := base(t)
	unwanted := map[netip.Prefix]bool{}
	_, err := want.Update(func(tx *fib.Txn) error {
		for i := range 3000 {
			r := fib.Route{Table: 10, Type: fib.TypeUnicast, Dst: netip.PrefixFrom(netip.AddrFrom4([4]byte{50, byte(i >> 8), byte(i), 0}), 24), Nexthops: []fib.Nexthop{{Link: plantest.FirstLink, Weight: 1}}}
			switch {
			case i%100 == 99:
				r.Protocol = fib.ProtoKernel // with a number for all that
				unwanted[r.Dst] = true
			case i%100 == 50:
				for range 2 {
					if _, err := tx.TellRoute(&r, fib.OpAppend); err != nil {
						return err
					}
					r.Nexthops = []fib.Nexthop{{Link: plantest.FirstLink, Weight: 1, Flags: fib.FlagOnlink, Gateway: netip.AddrFrom4([4]byte{50, 0, 0, byte(i)})}}
				}
				continue
			}
			if _, err := tx.TellRoute(&r, fib.OpAdd); err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(t, err)
	actual := actualOf(base(t), true)
	d, _, err := plan.From(&plan.Source{Owner: owner, FIB: want.Snapshot(), Actual: &actual})
	require.NoError(t, err)
	p, err := plan.New(d, actual)
	require.NoError(t, err)
	seen := map[string]bool{}
	var order []netip.Prefix
	for op := range p.Ops() {
		name := op.Name()
		require.False(t, seen[name], name)
		require.False(t, unwanted[op.Route.Dst], name)
		seen[name] = true
		if op.Verb == plan.Append {
			require.Contains(t, order, op.Route.Dst, "behind another")
		}
		order = append(order, op.Route.Dst)
	}
	assert.Len(t, seen, p.Counts[plan.Route].Added)
	assert.Equal(t, 3000, p.Counts[plan.Route].Added, "30 are not wanted, 30 are two")
	assert.Equal(t, []netip.Prefix{netip.MustParsePrefix("50.0.0.0/24"), netip.MustParsePrefix("50.0.8.0/24"), netip.MustParsePrefix("50.0.16.0/24")}, order[:3])
}

// A route without metric is told from others of ours where there are any, and else by its key.
func TestAKeyIsEnoughToDeleteWhatIsAlone(t *testing.T) {
	have := base(t)
	leg := []fib.Nexthop{{Link: plantest.FirstLink, Weight: 1}}
	_, err := have.Update(func(tx *fib.Txn) error {
		return errors.Join(
			tx.AddRoute(fib.Route{Table: 10, Protocol: plantest.Ours, Type: fib.TypeUnicast, Dst: netip.MustParsePrefix("50.0.0.0/16"), Nexthops: leg}, fib.OpAdd),
			tx.AddRoute(fib.Route{Table: 10, Protocol: plantest.Ours, Type: fib.TypeUnicast, Dst: netip.MustParsePrefix("50.1.0.0/16"), Nexthops: leg}, fib.OpAdd),
			tx.AddRoute(fib.Route{Table: 10, Protocol: plantest.Ours, Type: fib.TypeUnicast, Dst: netip.MustParsePrefix("50.1.0.0/16"), Priority: 5, Nexthops: leg}, fib.OpAdd))
	})
	require.NoError(t, err)
	p, err := plan.New(plan.Desired{Owner: owner}, actualOf(have, true))
	require.NoError(t, err)
	legs := map[string]int{}
	for op := range p.Ops() {
		legs[fmt.Sprint(op.Route.Dst, " ", op.Route.Priority)] = len(op.Route.Nexthops)
		assert.Equal(t, plantest.Ours, op.Route.Protocol)
	}
	assert.Equal(t, map[string]int{"50.0.0.0/16 0": 0, "50.1.0.0/16 0": 1, "50.1.0.0/16 5": 0}, legs)
}
