package fib

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/internal/conformance"
	"github.com/fibula-net/fibula/rules"
)

// enslaved is twoUp with d0 in the VRF red, which has table 100.
func enslaved(t testing.TB) *FIB {
	f := twoUp(t)
	mustUpdate(t, f, func(tx *Txn) error {
		d0 := ethernet(2, running)
		d0.Master = 9
		return errors.Join(tx.SetLink(vrf(9, "red", 100)), tx.SetLink(d0))
	})
	return f
}

func TestFirstVRFBringsItsRules(t *testing.T) {
	conformance.CoversEngine(t, "L2", "L3")
	count := func(f *FIB) (n int) {
		for _, r := range append(f.Snapshot().Rules(Inet), f.Snapshot().Rules(Inet6)...) {
			if r.L3MDev {
				n++
			}
		}
		return n
	}
	f := twoUp(t)
	mustUpdate(t, f, func(tx *Txn) error { return tx.SetLink(vrf(9, "red", 100)) })
	require.Equal(t, 2, count(f))
	require.Equal(t, ModeRules, f.Snapshot().mode4)
	require.Equal(t, ModeRules, f.Snapshot().mode6)
	mustUpdate(t, f, func(tx *Txn) error {
		for _, fam := range []Family{Inet, Inet6} {
			if _, err := tx.DeleteRule(rules.RequestOf(rules.Rule{Family: fam, Priority: 1000, Action: rules.ActLookup, L3MDev: true})); err != nil {
				return err
			}
		}
		return tx.SetLink(vrf(8, "blue", 200))
	})
	require.Zero(t, count(f), "a rule that was deleted does not come back")
}

func TestEnslavingMovesAddressRoutes(t *testing.T) {
	conformance.CoversEngine(t, "L25", "F13")
	f := enslaved(t)
	s := f.Snapshot()
	require.Equal(t, []string{"local 10.1.0.1/32 dev 2", "unicast 10.1.0.0/24 dev 2", "broadcast 10.1.0.255/32 dev 2"}, sortedByLength(listing(s, Inet, 100)))
	require.NotContains(t, listing(s, Inet, TableLocal), "local 10.1.0.1/32 dev 2")
	require.Equal(t, []string{"multicast ff00::/8 dev 2"}, listing(s, Inet6, 100), "IPv6 addresses do not survive")
	mustUpdate(t, f, func(tx *Txn) error { return tx.SetLink(ethernet(2, running)) })
	s = f.Snapshot()
	require.Empty(t, listing(s, Inet, 100))
	require.Contains(t, listing(s, Inet, TableMain), "unicast 10.1.0.0/24 dev 2")
	require.Contains(t, listing(s, Inet, TableLocal), "local 10.1.0.1/32 dev 2")
}

// sortedByLength puts /32 local before the network before the broadcast, whatever
// the order of addresses.
func sortedByLength(in []string) []string {
	rank := map[byte]int{'l': 0, 'u': 1, 'b': 2}
	slices.SortFunc(in, func(a, b string) int { return rank[a[0]] - rank[b[0]] })
	return in
}

func TestEnslavingADownLinkLeavesNoLocalRoute(t *testing.T) {
	conformance.CoversEngine(t, "L27")
	f := twoUp(t)
	d0 := ethernet(2, 0)
	mustUpdate(t, f, func(tx *Txn) error {
		if err := errors.Join(tx.SetLink(d0), tx.SetLink(vrf(9, "red", 100))); err != nil {
			return err
		}
		d0.Master = 9
		return tx.SetLink(d0)
	})
	require.Empty(t, listing(f.Snapshot(), Inet, 100))
	d0.Flags |= running
	mustUpdate(t, f, func(tx *Txn) error { return tx.SetLink(d0) })
	require.Contains(t, listing(f.Snapshot(), Inet, 100), "local 10.1.0.1/32 dev 2")
}

func TestEnslavingRevivesMultipathLegs(t *testing.T) {
	conformance.CoversEngine(t, "L26")
	f := twoUp(t)
	gw := func(s string) Nexthop { return Nexthop{Gateway: netip.MustParseAddr(s)} }
	mustUpdate(t, f, func(tx *Txn) error {
		_, err := tx.AddNexthop(NexthopObject{ID: 1, Nexthop: Nexthop{Link: 2, Gateway: netip.MustParseAddr("10.1.0.2")}}, OpAdd)
		return errors.Join(err,
			tx.AddRoute(Route{Dst: netip.MustParsePrefix("10.6.0.0/16"), Nexthops: []Nexthop{gw("10.1.0.2"), gw("10.2.0.2")}}, OpAdd),
			tx.AddRoute(Route{Dst: netip.MustParsePrefix("10.7.0.0/16"), NexthopID: 1}, OpAdd),
			tx.AddRoute(Route{Dst: netip.MustParsePrefix("10.8.0.0/16"), Nexthops: []Nexthop{gw("10.1.0.2")}}, OpAdd),
			tx.SetLink(vrf(9, "red", 100)))
	})
	d0 := ethernet(2, running)
	d0.Master = 9
	mustUpdate(t, f, func(tx *Txn) error { return tx.SetLink(d0) })
	require.Equal(t, []string{"unicast 10.2.0.0/24 dev 3", "unicast 10.6.0.0/16 dev 2 via 10.1.0.2 dev 3 via 10.2.0.2"}, listing(f.Snapshot(), Inet, TableMain))
	require.Empty(t, f.Snapshot().State().Nexthops)
}

func TestDeletingAVRFKeepsItsRejects(t *testing.T) {
	conformance.CoversEngine(t, "L29")
	f := enslaved(t)
	mustUpdate(t, f, func(tx *Txn) error {
		return errors.Join(tx.AddRoute(Route{Table: 100, Dst: netip.MustParsePrefix("0.0.0.0/0"), Type: TypeUnreachable, Priority: 4278198272}, OpAdd),
			tx.AddAddress(address(9, "10.3.0.1/24")), tx.DeleteLink(9))
	})
	s := f.Snapshot()
	require.Equal(t, []string{"unreachable 0.0.0.0/0"}, listing(s, Inet, 100))
	require.Contains(t, listing(s, Inet, TableMain), "unicast 10.1.0.0/24 dev 2", "the slave is back")
	l, _ := s.Link(2)
	require.Zero(t, l.Master)
}

func TestMovingBetweenVRFs(t *testing.T) {
	conformance.CoversEngine(t, "L28")
	f := enslaved(t)
	d0 := ethernet(2, running)
	d0.Master = 8
	mustUpdate(t, f, func(tx *Txn) error { return errors.Join(tx.SetLink(vrf(8, "blue", 200)), tx.SetLink(d0)) })
	require.Empty(t, listing(f.Snapshot(), Inet, 100))
	require.Contains(t, listing(f.Snapshot(), Inet, 200), "unicast 10.1.0.0/24 dev 2")
}

func TestPreferredSourceFallsInTheVRFsTable(t *testing.T) {
	conformance.CoversEngine(t, "L30")
	f := enslaved(t)
	a := address(2, "10.1.5.1/24")
	mustUpdate(t, f, func(tx *Txn) error {
		return errors.Join(tx.AddAddress(a), tx.AddRoute(Route{Table: 100, Dst: netip.MustParsePrefix("10.9.0.0/16"), PrefSrc: a.Local,
			Nexthops: []Nexthop{{Gateway: netip.MustParseAddr("10.1.0.2")}}}, OpAdd))
	})
	require.Contains(t, listing(f.Snapshot(), Inet, 100), "unicast 10.9.0.0/16 dev 2 via 10.1.0.2")
	mustUpdate(t, f, func(tx *Txn) error { return tx.DeleteAddress(a) })
	require.NotContains(t, listing(f.Snapshot(), Inet, 100), "unicast 10.9.0.0/16 dev 2 via 10.1.0.2")
}

func TestRouteRequestsInVRFs(t *testing.T) {
	conformance.CoversEngine(t, "L21", "L22")
	via := func(gateway string, link int32) Route {
		return Route{Dst: netip.MustParsePrefix("10.9.0.0/16"), Nexthops: []Nexthop{{Gateway: netip.MustParseAddr(gateway), Link: link}}}
	}
	in := func(id TableID, r Route) Route { r.Table = id; return r }
	from := func(src string, r Route) Route { r.PrefSrc = netip.MustParseAddr(src); return r }
	for what, tc := range map[string]struct {
		route Route
		want  Errno
	}{
		"gateway of the VRF, in its table":         {in(100, via("10.1.0.2", 0)), 0},
		"gateway of the VRF, in main":              {via("10.1.0.2", 0), ENETUNREACH},
		"with a slave":                             {via("10.1.0.2", 2), 0},
		"with the VRF device":                      {via("10.1.0.2", 9), 0},
		"gateway of the default VRF, in its table": {in(100, via("10.2.0.2", 3)), 0},
		"source of the VRF, in its table":          {in(100, from("10.1.0.1", via("10.1.0.2", 0))), 0},
		"source of the default VRF, in the VRF's":  {in(100, from("10.2.0.1", via("10.1.0.2", 0))), 0},
		"source of the VRF, in main":               {from("10.1.0.1", via("10.2.0.2", 0)), EINVAL},
		"source of the VRF, in another table":      {in(300, from("10.1.0.1", via("10.2.0.2", 0))), EINVAL},
	} {
		f := enslaved(t)
		_, err := f.Update(func(tx *Txn) error { return tx.AddRoute(tc.route, OpAdd) })
		if tc.want == 0 {
			require.NoError(t, err, what)
		} else {
			require.ErrorIs(t, err, tc.want, what)
		}
	}
}

func TestL3MDevRuleRequests(t *testing.T) {
	conformance.CoversEngine(t, "L4")
	f := enslaved(t)
	request := func(r rules.Rule) rules.Request {
		r.Family, r.Action, r.L3MDev = Inet, rules.ActLookup, true
		return rules.RequestOf(r)
	}
	add := func(q rules.Request) error {
		_, err := f.Update(func(tx *Txn) error { _, err := tx.AddRule(q, OpAdd); return err })
		return err
	}
	require.ErrorIs(t, add(request(rules.Rule{Priority: 500, Table: 100})), EINVAL, "with a table")
	zero := request(rules.Rule{Priority: 500})
	zero.L3MDev, zero.Present = false, zero.Present|rules.AttrL3MDev
	require.ErrorIs(t, add(zero), EINVAL, "l3mdev 0")
	require.NoError(t, add(request(rules.Rule{Priority: 500})))
	require.NoError(t, add(request(rules.Rule{Priority: 1000})), "no duplicate: the kernel's has a protocol")
	require.ErrorIs(t, add(request(rules.Rule{Priority: 500})), EEXIST)
}

// A dump shows the initial rules where the rule of the L3 domains was deleted, and yet they are walked: only then
// does a VRF as oif stand for its domain, here without a table of its own (L2, L3, L5).
func TestVRFTellsThatRulesAreWalked(t *testing.T) {
	f := enslaved(t)
	mustUpdate(t, f, func(tx *Txn) error {
		_, err := tx.DeleteRule(rules.RequestOf(rules.Rule{Family: Inet6, Priority: 1000, Action: rules.ActLookup, L3MDev: true}))
		return errors.Join(err, tx.AddRoute(Route{Dst: netip.MustParsePrefix("::/0"), Nexthops: []Nexthop{{Link: 3}}}, OpAdd))
	})
	st := f.Snapshot().State()
	st.Mode6 = ModeUnknown // exactly the initial rules are left
	again := New(Config{})
	mustUpdate(t, again, func(tx *Txn) error { return tx.Load(st) })
	d := again.Snapshot().Resolve(Flow{Dst: netip.MustParseAddr("2001:db8:9::5"), Oif: 9})
	require.Equal(t, []any{Errno(0), int32(3)}, []any{d.Errno, d.Link})
}

// Two VRFs got an address in the same hundredth of a second, d1 has had it for longer: it is not the owner, though its local
// route is the only one in table local (C4).
func TestOwnerOfAnAddressInSeveralDomains(t *testing.T) {
	f := enslaved(t)
	mustUpdate(t, f, func(tx *Txn) error {
		return errors.Join(tx.SetLink(vrf(8, "blue", 200)), tx.AddAddress(address(3, "10.7.0.1/24")), tx.AddAddress(address(8, "10.7.0.1/24")),
			tx.AddAddress(address(9, "10.7.0.1/24")))
	})
	st := f.Snapshot().State()
	for i := range st.Addresses {
		if a := &st.Addresses[i]; a.Local == netip.MustParseAddr("10.7.0.1") {
			a.Created = 50
			if a.Link == 3 {
				a.Created = 1
			}
		}
	}
	again := New(Config{})
	mustUpdate(t, again, func(tx *Txn) error { return tx.Load(st) })
	d := again.Snapshot().Resolve(Flow{Dst: netip.MustParseAddr("224.0.0.251"), Src: netip.MustParseAddr("10.7.0.1")})
	require.Contains(t, []int32{8, 9}, d.Link)
}
