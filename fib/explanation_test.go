package fib_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/rules"
)

func TestAnExplanationIsItsReadersOwn(t *testing.T) {
	f := fib.New(fib.Config{})
	_, err := f.Update(func(tx *fib.Txn) error {
		if err := tx.SetLink(fib.Link{Index: 2, Name: "d0", Flags: fib.LinkUp | fib.LinkRunning | fib.LinkLowerUp}); err != nil {
			return err
		}
		for _, p := range []string{"10.0.0.0/8", "2001:db8::/32"} {
			if err := tx.AddRoute(fib.Route{Dst: prefixOf(p), Nexthops: []fib.Nexthop{{Link: 2}}}, fib.OpAdd); err != nil {
				return err
			}
		}
		_, err := tx.AddRule(rules.RequestOf(rules.Rule{Family: fib.Inet, Priority: 5, Action: rules.ActLookup, Table: 254}), fib.OpAdd)
		return err
	})
	require.NoError(t, err)
	s := f.Snapshot()
	before := s.State()
	for _, dst := range []string{"10.0.0.1", "2001:db8::1"} {
		flow := fib.Flow{Dst: addrOf(dst)}
		want := s.Explain(flow)
		e := s.Explain(flow)
		scribble := func(r *fib.Route) {
			for i := range r.Nexthops {
				r.Nexthops[i].Link = 99
			}
			r.Type = fib.TypeBlackhole
		}
		scribble(e.Route)
		for _, st := range e.Steps {
			if st.Rule != nil {
				st.Rule.Table = 99
			}
			if st.Nexthop != nil {
				st.Nexthop.Link = 99
			}
			if st.Route != nil {
				scribble(st.Route)
			}
		}
		assert.Equal(t, want, s.Explain(flow))
	}
	assert.Equal(t, before, s.State())
}
