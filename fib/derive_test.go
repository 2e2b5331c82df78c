package fib

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/internal/conformance"
	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/lookup/hashzone"
	"github.com/fibula-net/fibula/rules"
)

const running = LinkUp | LinkRunning | LinkLowerUp

func ethernet(index int32, flags LinkFlags) Link {
	return Link{Index: index, Name: fmt.Sprintf("d%d", index-2), MTU: 1500, Flags: LinkBroadcast | LinkMulticast | flags}
}

func lo(flags LinkFlags) Link {
	return Link{Index: 1, Name: "lo", MTU: 65536, Flags: LinkLoopback | flags}
}

func vrf(index int32, name string, table TableID) Link {
	return Link{Index: index, Name: name, Kind: "vrf", VRFTable: table, MTU: 65575, Flags: LinkMaster | LinkNoARP | running}
}

func address(link int32, p string) Address {
	own := netip.MustParsePrefix(p)
	return Address{Link: link, Local: own.Addr(), Prefix: own}
}

func mustUpdate(t testing.TB, f *FIB, fn func(tx *Txn) error) {
	t.Helper()
	_, err := f.Update(fn)
	require.NoError(t, err)
}

// twoUp has lo and two running links, d0 and d1 (2 and 3), with an address of each
// family, made by operations only.
func twoUp(t testing.TB) *FIB {
	f := New(Config{})
	mustUpdate(t, f, func(tx *Txn) error {
		errs := []error{tx.SetLink(lo(running))}
		for i := range int32(2) {
			errs = append(errs, tx.SetLink(ethernet(2+i, running)),
				tx.AddAddress(address(2+i, fmt.Sprintf("10.%d.0.1/24", i+1))),
				tx.AddAddress(address(2+i, fmt.Sprintf("2001:db8:%d::1/64", i+1))))
		}
		return errors.Join(errs...)
	})
	return f
}

// listing is the routes of a family and table, briefly.
func listing(s *Snapshot, f Family, id TableID) (out []string) {
	for r := range s.RoutesOf(f, id) {
		line := fmt.Sprintf("%v %v", r.Type, r.Dst)
		for _, n := range r.Nexthops {
			line += fmt.Sprintf(" dev %d", n.Link)
			if n.Gateway.IsValid() {
				line += " via " + n.Gateway.String()
			}
			if n.Flags&FlagDead != 0 {
				line += " dead"
			}
			if n.Flags&FlagLinkdown != 0 {
				line += " linkdown"
			}
		}
		out = append(out, line)
	}
	return out
}

// chaos applies random operations, most of which could well fail, and checks that
// each one that fails leaves no trace.
func chaos(t testing.TB, tx *Txn, r *rand.Rand, n int) {
	gw := func(dev int32, six bool) netip.Addr {
		if six {
			return netip.MustParseAddr(fmt.Sprintf("2001:db8:%d::%d", dev-1, 5+r.IntN(3)))
		}
		return netip.AddrFrom4([4]byte{10, byte(dev - 1), 0, byte(5 + r.IntN(3))})
	}
	dev := func() int32 { return 2 + int32(r.IntN(3)) }
	leg := func(six bool) Nexthop {
		d := dev()
		return Nexthop{Link: d, Gateway: gw(d, six), Weight: uint16(1 + r.IntN(3))}
	}
	op := func() error {
		switch r.IntN(12) {
		case 0:
			l := ethernet(dev(), 0)
			if r.IntN(4) != 0 {
				l.Flags |= LinkUp
				if r.IntN(3) != 0 {
					l.Flags |= running
				}
			}
			l.Master = []int32{0, 0, 0, 9, 77}[r.IntN(5)]
			l.Conf6.Forwarding, l.Conf4.PromoteSecondaries = r.IntN(2) == 0, r.IntN(2) == 0
			l.MTU = []uint32{1500, 1500, 1500, 1200, 60}[r.IntN(5)]
			return tx.SetLink(l)
		case 1:
			if r.IntN(3) != 0 {
				return tx.SetLink(vrf(9, "red", 100))
			}
			return tx.DeleteLink([]int32{dev(), 9, 1}[r.IntN(3)])
		case 2, 3:
			d := dev()
			a := address(d, fmt.Sprintf("10.%d.0.%d/%d", d-1, 1+r.IntN(4), []int{24, 24, 25, 32}[r.IntN(4)]))
			if r.IntN(2) == 0 {
				a = address(d, fmt.Sprintf("2001:db8:%d::%d/64", d-1, 1+r.IntN(4)))
			}
			if r.IntN(4) == 0 {
				return tx.ReplaceAddress(a)
			}
			return tx.AddAddress(a)
		case 4:
			if all := tx.Snapshot().State().Addresses; len(all) > 0 {
				return tx.DeleteAddress(all[r.IntN(len(all))])
			}
		case 5, 6:
			o := NexthopObject{ID: uint32(1 + r.IntN(5))}
			switch r.IntN(5) {
			case 0:
				return tx.DeleteNexthop(o.ID)
			case 1:
				for range 1 + r.IntN(2) {
					o.Group = append(o.Group, GroupMember{ID: uint32(1 + r.IntN(5)), Weight: 1})
				}
				if o.Resilient = r.IntN(2) == 0; o.Resilient {
					o.Buckets = make([]uint32, 8)
				}
			case 2:
				o.Blackhole = true
			default:
				o.Nexthop = leg(r.IntN(2) == 0)
			}
			_, err := tx.AddNexthop(o, []AddFlags{OpAdd, OpReplace}[r.IntN(2)])
			return err
		case 7:
			return tx.SetNeighbour(Neighbour{Link: dev(), Addr: gw(2, r.IntN(2) == 0), State: NeighFailed})
		case 8:
			return tx.DeleteNeighbour(dev(), gw(2, r.IntN(2) == 0))
		case 9:
			_, err := tx.AddRule(rules.RequestOf(rules.Rule{Family: Inet, Priority: uint32(r.IntN(3)), Action: rules.ActLookup, Table: 100, Iif: "d0"}), OpAdd)
			return err
		default:
			six := r.IntN(2) == 0
			rt := Route{Dst: netip.MustParsePrefix([]string{"10.9.0.0/16", "10.9.1.0/24"}[r.IntN(2)])}
			if six {
				rt.Dst = netip.MustParsePrefix([]string{"2001:db8:9::/48", "::/0"}[r.IntN(2)])
			}
			rt.Table = []TableID{TableMain, 100}[r.IntN(2)]
			switch r.IntN(3) {
			case 0:
				rt.NexthopID = uint32(1 + r.IntN(5))
			case 1:
				rt.Nexthops = []Nexthop{leg(six), leg(six)}
			default:
				rt.Nexthops = []Nexthop{leg(six)}
			}
			return tx.AddRoute(rt, []AddFlags{OpAdd, OpReplace, OpAppend}[r.IntN(3)])
		}
		return nil
	}
	for range n {
		before := tx.Snapshot().State()
		if op() != nil {
			require.Equal(t, before, tx.Snapshot().State(), "a failed operation must leave no trace")
		}
	}
}

func TestFailedTransactionsOfAllOperationsLeaveNoTrace(t *testing.T) {
	r := rand.New(rand.NewPCG(randtest.Seed(t), 1))
	f := twoUp(t)
	for range randtest.Fewer(200) {
		before, in, state := f.Snapshot(), f.in.internState(), f.Snapshot().State()
		_, err := f.Update(func(tx *Txn) error {
			chaos(t, tx, r, r.IntN(15))
			return errors.New("no")
		})
		require.EqualError(t, err, "no")
		require.Same(t, before, f.Snapshot())
		require.Equal(t, state, f.Snapshot().State())
		require.Equal(t, in, f.in.internState())
		mustUpdate(t, f, func(tx *Txn) error { chaos(t, tx, r, r.IntN(6)); return nil })
	}
}

func TestOldSnapshotsOfAllOperationsStay(t *testing.T) {
	r := rand.New(rand.NewPCG(randtest.Seed(t), 2))
	flows := []Flow{{Dst: netip.MustParseAddr("10.9.1.5")}, {Dst: netip.MustParseAddr("2001:db8:9::5")}, {Dst: netip.MustParseAddr("10.1.0.1"), Oif: 2}}
	type kept struct {
		s       *Snapshot
		state   *State
		answers []Decision
	}
	resolve := func(s *Snapshot) (out []Decision) {
		for _, fl := range flows {
			out = append(out, s.Resolve(fl))
		}
		return out
	}
	var old []kept
	f := twoUp(t)
	for range randtest.Fewer(150) {
		mustUpdate(t, f, func(tx *Txn) error { chaos(t, tx, r, 1+r.IntN(8)); return nil })
		s := f.Snapshot()
		old = append(old, kept{s, s.State(), resolve(s)})
	}
	for _, k := range old {
		require.Equal(t, k.state, k.s.State())
		require.Equal(t, k.answers, resolve(k.s))
	}
}

// Readers hold a snapshot while a writer goes on: the race detector looks on.
func TestReadersOfASnapshotMeetNoWriter(t *testing.T) {
	r := rand.New(rand.NewPCG(randtest.Seed(t), 3))
	f := twoUp(t)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				s := f.Snapshot()
				_ = s.State()
				_ = s.Resolve(Flow{Dst: netip.MustParseAddr("10.9.1.5")})
			}
		}
	}()
	for range 60 {
		mustUpdate(t, f, func(tx *Txn) error { chaos(t, tx, r, 5); return nil })
	}
	close(stop)
	<-done
}

func TestStateOfOperationsLoadsBack(t *testing.T) {
	r := rand.New(rand.NewPCG(randtest.Seed(t), 4))
	f := twoUp(t)
	for range randtest.Fewer(60) {
		mustUpdate(t, f, func(tx *Txn) error { chaos(t, tx, r, 6); return nil })
		st := f.Snapshot().State()
		again := New(Config{Engine: hashzone.Engine{}})
		mustUpdate(t, again, func(tx *Txn) error { return tx.Load(st) })
		got := again.Snapshot().State()
		got.Mode4, got.Mode6 = st.Mode4, st.Mode6
		require.Equal(t, len(st.Routes), len(got.Routes))
		for i := range st.Routes {
			for j := range got.Routes[i].Nexthops { // no dump shows it; loading guesses (B30)
				got.Routes[i].Nexthops[j].Scope, got.Routes[i].Nexthops[j].ScopeSet = 0, false
			}
			for j := range st.Routes[i].Nexthops {
				st.Routes[i].Nexthops[j].Scope, st.Routes[i].Nexthops[j].ScopeSet = 0, false
			}
		}
		require.Equal(t, st, got)
	}
}

func TestDeletingAnAddressReversesAddingIt(t *testing.T) {
	r := rand.New(rand.NewPCG(randtest.Seed(t), 5))
	f := twoUp(t)
	for range 200 {
		a := address(2, fmt.Sprintf("10.%d.0.%d/%d", 1+r.IntN(3), 2+r.IntN(5), 8+r.IntN(25)))
		if r.IntN(2) == 0 {
			// In a prefix of its own: with another metric than its neighbours' the
			// kernel leaves its connected route behind.
			a = address(2, fmt.Sprintf("2001:db8:%d::%d/%d", 5+r.IntN(3), 2+r.IntN(5), 64+r.IntN(65)))
		}
		a.Metric = uint32(r.IntN(2)) * 7
		before := f.Snapshot().State()
		mustUpdate(t, f, func(tx *Txn) error { return tx.AddAddress(a) })
		mustUpdate(t, f, func(tx *Txn) error { return tx.DeleteAddress(a) })
		require.Equal(t, before, f.Snapshot().State(), "%v", a.Prefix)
	}
}

func TestLoHasItsAddresses(t *testing.T) {
	s := twoUp(t).Snapshot()
	require.Subset(t, listing(s, Inet, TableLocal), []string{"local 127.0.0.0/8 dev 1", "local 127.0.0.1/32 dev 1", "broadcast 127.255.255.255/32 dev 1"})
	require.Contains(t, listing(s, Inet6, TableLocal), "local ::1/128 dev 1")
	require.Equal(t, TypeLocal, s.Resolve(Flow{Dst: netip.MustParseAddr("127.9.9.9")}).Type)
}

func TestTentativeAddressComesIntoUse(t *testing.T) {
	f := twoUp(t)
	a := address(2, "2001:db8:5::1/64")
	a.Flags = AddrTentative
	local := "local 2001:db8:5::1/128 dev 2"
	mustUpdate(t, f, func(tx *Txn) error { return tx.AddAddress(a) })
	require.Contains(t, listing(f.Snapshot(), Inet6, TableMain), "unicast 2001:db8:5::/64 dev 2")
	require.NotContains(t, listing(f.Snapshot(), Inet6, TableLocal), local)
	mustUpdate(t, f, func(tx *Txn) error { return tx.ConfirmAddress(2, a.Local) })
	require.Contains(t, listing(f.Snapshot(), Inet6, TableLocal), local)
	_, err := f.Update(func(tx *Txn) error { return tx.ConfirmAddress(2, netip.MustParseAddr("2001:db8::9")) })
	require.ErrorIs(t, err, EADDRNOTAVAIL)
}

func TestRulesFollowNames(t *testing.T) {
	f := twoUp(t)
	bound := func() int32 { return f.Snapshot().rules4.At(1).IifIndex }
	mustUpdate(t, f, func(tx *Txn) error {
		_, err := tx.AddRule(rules.RequestOf(rules.Rule{Family: Inet, Priority: 5, Action: rules.ActLookup, Table: 7, Iif: "wan"}), OpAdd)
		return err
	})
	require.Zero(t, bound())
	l, _ := f.Snapshot().Link(3)
	l.Name = "wan"
	mustUpdate(t, f, func(tx *Txn) error { return tx.SetLink(l) })
	require.Equal(t, int32(3), bound())
	mustUpdate(t, f, func(tx *Txn) error { return tx.DeleteLink(3) })
	require.Zero(t, bound())
}

func TestNeighboursFallWithTheirLink(t *testing.T) {
	f := twoUp(t)
	left := func() (out []netip.Addr) {
		for _, n := range f.Snapshot().State().Neighbours {
			out = append(out, n.Addr)
		}
		return out
	}
	permanent, stale := netip.MustParseAddr("10.1.0.5"), netip.MustParseAddr("10.1.0.6")
	mustUpdate(t, f, func(tx *Txn) error {
		return errors.Join(tx.SetNeighbour(Neighbour{Link: 2, Addr: permanent, State: NeighPermanent}),
			tx.SetNeighbour(Neighbour{Link: 2, Addr: stale, State: NeighStale}))
	})
	mustUpdate(t, f, func(tx *Txn) error { return tx.SetLink(ethernet(2, LinkUp)) })
	require.Equal(t, []netip.Addr{permanent}, left(), "the carrier went")
	mustUpdate(t, f, func(tx *Txn) error { return tx.SetLink(ethernet(2, 0)) })
	require.Empty(t, left())
}

func TestLinkRequestsAreChecked(t *testing.T) {
	conformance.CoversEngine(t, "L1")
	renamed := func(name string) Link { l := ethernet(2, running); l.Name = name; return l }
	slave := func(index, master int32) Link { l := ethernet(index, running); l.Master = master; return l }
	isVRF := ethernet(2, running)
	isVRF.Kind, isVRF.VRFTable = "vrf", 5
	for what, tc := range map[string]struct {
		link Link
		want Errno
	}{
		"index":        {Link{Name: "x"}, EINVAL},
		"no name":      {renamed(""), EINVAL},
		"long name":    {renamed("sixteen-letters!"), EINVAL},
		"slash":        {renamed("a/b"), EINVAL},
		"taken":        {renamed("d1"), EEXIST},
		"master":       {slave(2, 55), EINVAL},
		"own master":   {slave(2, 2), EINVAL},
		"becomes VRF":  {isVRF, EOPNOTSUPP},
		"VRF no table": {vrf(8, "blue", 0), EINVAL},
		"VRF table":    {vrf(9, "red", 101), EOPNOTSUPP},
		"lo in VRF":    {Link{Index: 1, Name: "lo", Flags: LinkLoopback, Master: 9}, EOPNOTSUPP},
		"VRF in VRF":   {func() Link { l := vrf(8, "blue", 200); l.Master = 9; return l }(), EINVAL},
	} {
		f := twoUp(t)
		mustUpdate(t, f, func(tx *Txn) error { return tx.SetLink(vrf(9, "red", 100)) })
		before := f.Snapshot()
		_, err := f.Update(func(tx *Txn) error { return tx.SetLink(tc.link) })
		require.ErrorIs(t, err, tc.want, what)
		require.Same(t, before, f.Snapshot())
	}
}

func TestSettingALinkAgainChangesNothing(t *testing.T) {
	f := twoUp(t)
	before := f.Snapshot()
	for _, i := range before.linkOrder {
		l, _ := before.Link(i)
		res, err := f.Update(func(tx *Txn) error { return tx.SetLink(l) })
		require.NoError(t, err)
		require.False(t, res.Changed)
	}
}

func TestResilientBucketsStart(t *testing.T) {
	group := []GroupMember{{1, 1}, {2, 3}, {3, 2}}
	require.Equal(t, []uint32{3, 3, 3, 3, 2, 2, 2, 2, 2, 2, 1, 1}, migrateBuckets(nil, group, 12), "B24's example")
	require.Equal(t, []uint32{2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1}[:0], migrateBuckets(nil, group, 0))
	got := migrateBuckets([]uint32{3, 3, 3, 3, 2, 2, 2, 2, 2, 2, 1, 1}, group[:2], 12)
	require.Equal(t, []uint32{2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1, 1}, got, "only the buckets of the member that left move")
}
