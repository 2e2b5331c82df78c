package fib_test

import (
	"cmp"
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

// dumpOf is a snapshot's routes of a family as a kernel dumps them: in its order, and of
// an IPv6 multipath route the attributes of the first leg, without what stands between.
func dumpOf(s *fib.Snapshot, f fib.Family) []fib.Route {
	var out []fib.Route
	leg := func(r *fib.Route) bool {
		return f == fib.Inet6 && r.NexthopID == 0 && len(r.Nexthops) > 0 && r.Nexthops[0].Gateway.IsValid() && r.Learned != fib.FactYes
	}
	for t := range s.Tables(f) {
		var list []fib.Route
		all := slices.Collect(s.RoutesOf(f, t))
		for i := 0; i < len(all); i++ {
			r := all[i]
			if leg(&r) {
				end := i
				for j := i + 1; j < len(all) && all[j].Dst == r.Dst && all[j].Src == r.Src && all[j].Priority == r.Priority; j++ {
					if leg(&all[j]) {
						r.Nexthops = append(slices.Clone(r.Nexthops), all[j].Nexthops...)
						end = j
					}
				}
				i = end
			}
			list = append(list, r)
		}
		slices.SortStableFunc(list, func(a, b fib.Route) int { return dumpedBefore(f, &a, &b) })
		out = append(out, list...)
	}
	return out
}

// dumpedBefore: an IPv4 table goes by address and the longest prefix first; in IPv6 the
// routes with a source come before what their destination contains, the others after.
func dumpedBefore(f fib.Family, a, b *fib.Route) int {
	if f == fib.Inet {
		return cmp.Or(a.Dst.Addr().Compare(b.Dst.Addr()), cmp.Compare(b.Dst.Bits(), a.Dst.Bits()))
	}
	within := func(outer, inner netip.Prefix) bool {
		return outer.Bits() < inner.Bits() && outer.Contains(inner.Addr())
	}
	side := func(outer *fib.Route) int {
		if outer.Src.IsValid() {
			return -1
		}
		return 1
	}
	switch {
	case within(a.Dst, b.Dst):
		return side(a)
	case within(b.Dst, a.Dst):
		return -side(b)
	case a.Dst != b.Dst:
		return a.Dst.Addr().Compare(b.Dst.Addr())
	case a.Src.IsValid() != b.Src.IsValid():
		return side(a)
	}
	return 0
}

func shownRoutes(s *fib.Snapshot) (out []string) {
	for _, f := range []fib.Family{fib.Inet, fib.Inet6} {
		for _, r := range dumpOf(s, f) {
			r.Lost, r.Learned, r.Expires = 0, 0, min(r.Expires, 1)
			r.Flags &= 0x800
			if r.NexthopID != 0 || r.Rejects() {
				r.Nexthops = nil
			}
			r.Nexthops = slices.Clone(r.Nexthops)
			for i := range r.Nexthops {
				n := &r.Nexthops[i]
				n.Scope, n.ScopeSet = 0, false
				n.Flags &= fib.FlagDead | fib.FlagLinkdown | fib.FlagOnlink | fib.FlagPervasive
				const carrier = fib.LinkRunning | fib.LinkLowerUp
				l, ok := s.Link(n.Link)
				ignored := l.Conf4.IgnoreRoutesWithLinkdown || s.Sysctls().All4.IgnoreRoutesWithLinkdown
				if f == fib.Inet6 {
					ignored = l.NoInet6 || l.Conf6.IgnoreRoutesWithLinkdown
				}
				if ok && l.Up() && l.Flags&carrier != carrier && ignored && n.Flags&fib.FlagLinkdown != 0 {
					n.Flags &^= fib.FlagDead
				}
			}
			out = append(out, fmt.Sprintf("%+v", r))
		}
	}
	return out
}

// A FIB that a dump of another is merged into shows the same, whatever it held before and
// whatever the order of the dump; and one that shows the same already is left alone.
func TestMergeMakesEqual(t *testing.T) {
	seed := randtest.Seed(t)
	changed, total := 0, 0
	for i := range randtest.Fewer(400) {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		g := hostileGen{stateGen{r}, txnRun{size: usualSize}}
		ours, theirs := fib.New(fib.Config{}), fib.New(fib.Config{})
		st := g.state()
		for _, f := range []*fib.FIB{ours, theirs} {
			_, err := f.Update(func(tx *fib.Txn) error { return tx.Load(st) })
			require.NoError(t, err)
		}
		if r.IntN(4) == 0 {
			_, err := theirs.Update(func(tx *fib.Txn) error { return tx.Load(g.state()) })
			require.NoError(t, err)
		}
		for _, f := range []*fib.FIB{ours, theirs} {
			_, err := f.Update(func(tx *fib.Txn) error {
				for range r.IntN(12) {
					_ = g.op(tx)
				}
				return nil
			})
			require.NoError(t, err)
		}
		to := theirs.Snapshot()
		shuffled := r.IntN(3) == 0
		before := shownRoutes(ours.Snapshot())
		n := 0
		merge := func(tx *fib.Txn) error {
			if err := tx.Reload(to.Surroundings()); err != nil {
				return err
			}
			for _, f := range []fib.Family{fib.Inet, fib.Inet6} {
				dump := dumpOf(to, f)
				if shuffled {
					shuffle(r, dump)
				}
				m := tx.Merge(f)
				for j := range dump {
					if err := m.Route(&dump[j]); err != nil {
						return err
					}
				}
				m.Finish(fib.TableUnspec)
				n += m.Changed()
				total += len(dump)
			}
			return nil
		}
		_, err := ours.Update(merge)
		require.NoError(t, err)
		changed += n
		want := shownRoutes(to)
		require.Equal(t, want, shownRoutes(ours.Snapshot()), "state %d, shuffled %t\nbefore:\n%v", i, shuffled, before)
		require.NoError(t, ours.CheckWriter())
		requireNoDifference(t, ours.Snapshot(), to)

		n, shuffled = 0, false
		_, err = ours.Update(merge)
		require.NoError(t, err)
		require.Zero(t, n, "state %d", i)
		if !slices.ContainsFunc(slices.Collect(to.Routes()), func(r fib.Route) bool { return r.Protocol == fib.ProtoRA }) { // no dump shows which are legs
			require.Equal(t, to.Digest(), ours.Snapshot().Digest())
		}
	}
	assert.NotZero(t, changed)
	t.Logf("%d routes of dumps, %d prefixes differed", total, changed)
}

// shuffle mixes prefixes; routes of one keep their order.
func shuffle(r *rand.Rand, dump []fib.Route) {
	rank := map[fib.TablePrefix]int{}
	for i := range dump {
		rank[fib.TablePrefix{Table: dump[i].Table, Dst: dump[i].Dst}] = r.Int()
	}
	slices.SortStableFunc(dump, func(a, b fib.Route) int {
		return cmp.Compare(rank[fib.TablePrefix{Table: a.Table, Dst: a.Dst}], rank[fib.TablePrefix{Table: b.Table, Dst: b.Dst}])
	})
}

func requireNoDifference(t *testing.T, ours, to *fib.Snapshot) {
	t.Helper()
	for _, f := range []fib.Family{fib.Inet, fib.Inet6} {
		c := ours.Compare(f, func(d fib.Difference) { t.Fatalf("%+v", d) })
		for _, r := range dumpOf(to, f) {
			c.Route(&r)
		}
		c.Finish(fib.TableUnspec)
	}
}

// A merge whose changes are taken back leaves the routes as they were.
func TestMergeUndoes(t *testing.T) {
	seed := randtest.Seed(t)
	for i := range randtest.Fewer(200) {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		g := hostileGen{stateGen{r}, txnRun{size: usualSize}}
		f, other := fib.New(fib.Config{}), fib.New(fib.Config{})
		for _, x := range []*fib.FIB{f, other} {
			_, err := x.Update(func(tx *fib.Txn) error { return tx.Load(g.state()) })
			require.NoError(t, err)
		}
		before := shownRoutes(f.Snapshot())
		_, err := f.Update(func(tx *fib.Txn) error {
			for _, fam := range []fib.Family{fib.Inet, fib.Inet6} {
				m := tx.Merge(fam)
				for _, r := range dumpOf(other.Snapshot(), fam) {
					if err := m.Route(&r); err != nil {
						return err
					}
				}
				m.Finish(fib.TableUnspec)
				assert.Equal(t, m.Changed(), m.Undo(func(fib.TablePrefix) bool { return true }))
			}
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, before, shownRoutes(f.Snapshot()))
		require.NoError(t, f.CheckWriter())
	}
}
