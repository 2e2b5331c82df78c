package fib

import (
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/internal/randtest"
)

// TestLoadedLikeIsLoadedAnew: routes that are like others come to what each comes to by itself, in any order, with
// what depends on the destination among them, and between other changes.
func TestLoadedLikeIsLoadedAnew(t *testing.T) {
	r := rand.New(rand.NewPCG(randtest.Seed(t), 0))
	known := 0
	for range randtest.Fewer(60) {
		st := twoLinks()
		st.Nexthops = []NexthopObject{{ID: 7, Family: Inet, Nexthop: Nexthop{Link: 2, Gateway: netip.MustParseAddr("10.1.0.9")}}, {ID: 8, Blackhole: true}}
		shapes := make([]Route, 1+r.IntN(12))
		for i := range shapes {
			x := &shapes[i]
			*x = randomRoute(r)
			x.Table = []TableID{TableUnspec, TableMain, TableLocal, 50}[r.IntN(4)]
			x.Metrics.Values[MetricMTU] = uint32(r.IntN(2)) * 1300
			switch r.IntN(8) {
			case 0:
				x.NexthopID = uint32(7 + r.IntN(2))
			case 1:
				x.Type = []RouteType{TypeLocal, TypeBlackhole, TypeThrow}[r.IntN(3)]
			case 2: // our own address, or one that a route of the table may make ours
				if x.Family() == Inet && len(x.Nexthops) > 0 {
					x.Nexthops[0] = Nexthop{Link: 2, Gateway: netip.MustParseAddr("10.1.0.1")}
				}
			case 3:
				x.Protocol, x.Learned = ProtoRA, Fact(r.IntN(3))
			case 4:
				if x.Family() == Inet6 && r.IntN(2) == 0 {
					x.Src = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
				}
			}
		}
		routes := make([]Route, r.IntN(600))
		for i := range routes {
			routes[i] = shapes[r.IntN(len(shapes))]
			if dst := randomRoute(r).Dst; dst.Addr().Is4() == (routes[i].Family() == Inet) {
				routes[i].Dst = dst.Masked()
			} else {
				routes[i].Dst = routes[i].Dst.Masked()
			}
		}
		if r.IntN(2) == 0 {
			slices.SortStableFunc(routes, func(a, b Route) int { return CompareDumped(a.Family(), a.Dst, b.Dst) })
		}
		load := func(f *FIB, anew bool) {
			r := rand.New(rand.NewPCG(uint64(len(routes)), 1)) // the same for both
			_, err := f.Update(func(tx *Txn) error {
				if err := tx.Load(st); err != nil {
					return err
				}
				for i := range routes {
					if anew {
						tx.unlike()
					} else if _, ok := tx.like(&routes[i], 0); ok {
						known++
					}
					if err := tx.LoadRoute(&routes[i]); err != nil {
						return err
					}
					if r.IntN(200) == 0 {
						if err := tx.DeleteLink(3); err != nil {
							_ = tx.AddRoute(routes[i], OpReplace)
						}
					}
				}
				return nil
			})
			require.NoError(t, err)
			require.NoError(t, f.CheckWriter())
		}
		one, other := New(Config{}), New(Config{})
		load(one, false)
		load(other, true)
		require.Equal(t, other.Snapshot().State(), one.Snapshot().State())
	}
	require.Greater(t, known, randtest.Fewer(60)*50)
}

// TestLikenessComparesEveryField: no field of a route is left out.
func TestLikenessComparesEveryField(t *testing.T) {
	for i := range reflect.TypeFor[Route]().NumField() {
		a := Route{Dst: netip.MustParsePrefix("10.0.0.0/8"), Nexthops: []Nexthop{{Link: 1}}}
		b := a
		f := reflect.ValueOf(&b).Elem().Field(i)
		name := reflect.TypeFor[Route]().Field(i).Name
		switch name {
		case "Dst":
			continue
		case "Nexthops":
			b.Nexthops = []Nexthop{{Link: 2}}
		case "Src":
			b.Src = netip.MustParsePrefix("2001:db8::/32")
		case "PrefSrc":
			b.PrefSrc = netip.IPv4Unspecified()
		case "Metrics":
			b.Metrics.CongCtl = "reno"
		default:
			f.SetUint(1)
		}
		_, err := New(Config{}).Update(func(tx *Txn) error {
			tx.liken(&a, 0, tableKey{}, 0)
			_, known := tx.like(&a, 0)
			require.True(t, known)
			l, _ := tx.like(&b, 0)
			*l = likeness{epoch: tx.likely, route: a, leg: &a.Nexthops[0], fam: Inet} // wherever it is looked for
			_, known = tx.like(&b, 0)
			require.False(t, known, name)
			return nil
		})
		require.NoError(t, err)
	}
}

// TestMergedLikeIsMergedAnew: so do routes that take another's place, with what is remembered of that.
func TestMergedLikeIsMergedAnew(t *testing.T) {
	r := rand.New(rand.NewPCG(randtest.Seed(t), 0))
	changed := 0
	for range randtest.Fewer(60) {
		shape := func() Route {
			x := randomRoute(r)
			for len(x.Nexthops) > 1 || x.Src.IsValid() {
				x = randomRoute(r)
			}
			x.Table = []TableID{TableMain, 50}[r.IntN(2)]
			for i := range x.Nexthops {
				n := &x.Nexthops[i]
				n.Link, n.Weight = 2, 1
				if x.Family() == Inet && r.IntN(2) == 0 {
					n.Scope, n.ScopeSet = []Scope{ScopeLink, ScopeHost}[r.IntN(2)], r.IntN(2) == 0
				}
			}
			if r.IntN(4) == 0 {
				x.Protocol, x.Learned = ProtoRA, Fact(r.IntN(3))
			}
			return x
		}
		var shapes [6]Route
		for i := range shapes {
			shapes[i] = shape()
		}
		st := twoLinks()
		seen := map[TablePrefix]bool{}
		for range 300 {
			x := shapes[r.IntN(len(shapes))]
			dst := randomRoute(r).Dst.Masked()
			for dst.Addr().Is4() != (x.Family() == Inet) {
				dst = randomRoute(r).Dst.Masked()
			}
			x.Dst = dst
			if at := (TablePrefix{x.Table, dst}); !seen[at] || r.IntN(4) == 0 {
				seen[at] = true
				st.Routes = append(st.Routes, x)
			}
		}
		one, other := loaded(t, Config{}, st), loaded(t, Config{}, st)
		dump := slices.Collect(one.Snapshot().Routes())
		for i := range dump {
			if x := shapes[r.IntN(len(shapes))]; r.IntN(3) > 0 && x.Family() == dump[i].Family() {
				x.Dst, x.Table = dump[i].Dst, dump[i].Table
				x.Nexthops = slices.Clone(x.Nexthops)
				for j := range x.Nexthops {
					x.Nexthops[j].Scope, x.Nexthops[j].ScopeSet = 0, false
				}
				dump[i] = x
			}
		}
		slices.SortStableFunc(dump, func(a, b Route) int { return CompareDumped(a.Family(), a.Dst, b.Dst) })
		undo := r.IntN(3)
		merge := func(f *FIB, anew bool) {
			_, err := f.Update(func(tx *Txn) error {
				for _, fam := range []Family{Inet, Inet6} {
					m := tx.Merge(fam)
					if undo == 0 {
						m.Forget()
					}
					for i := range dump {
						if anew {
							tx.unlike()
						}
						if dump[i].Family() != fam {
							continue
						}
						if err := m.Route(&dump[i]); err != nil {
							return err
						}
					}
					m.Finish(TableUnspec)
					changed += m.Changed()
					if undo == 1 {
						m.Undo(func(p TablePrefix) bool { return p.Dst.Addr().As16()[15]&1 == 0 })
					}
				}
				return nil
			})
			require.NoError(t, err)
			require.NoError(t, f.CheckWriter())
		}
		merge(one, false)
		merge(other, true)
		require.Equal(t, other.Snapshot().State(), one.Snapshot().State())
	}
	require.Greater(t, changed, randtest.Fewer(60)*50)
}
