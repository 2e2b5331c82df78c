package fib_test

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/flowgen"
	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/lookup"
	"github.com/fibula-net/fibula/lookup/flat"
	"github.com/fibula-net/fibula/lookup/hashzone"
	"github.com/fibula-net/fibula/lookup/trie"
	"github.com/fibula-net/fibula/rules"
)

// hostileGen makes requests that no client should send, among many that it may.
type hostileGen struct {
	stateGen
	txnRun
}

// txnRun says how much one run of checkTxns does.
type txnRun struct {
	size            stateSize
	txns, ops       int
	flows, midFlows int // answers compared of each snapshot, and in the middle of a transaction
}

// addr is an address of the small universe, or none that belongs there.
func (g hostileGen) addr() netip.Addr {
	link, host := int32(1+g.IntN(genLinks)), byte(pick(g.stateGen, 0, 1, 2, 9, 10, 255))
	switch g.IntN(16) {
	case 0:
		return netip.Addr{}
	case 1:
		return netip.AddrFrom16(gw4(link, host).As16()) // 4-in-6
	case 2:
		return gw6(link, host).WithZone("d0")
	case 3:
		return pick(g.stateGen, netip.IPv4Unspecified(), netip.IPv6Unspecified(), netip.IPv6Loopback(), netip.MustParseAddr("127.0.0.1"),
			netip.MustParseAddr("255.255.255.255"), netip.MustParseAddr("224.0.0.1"), netip.MustParseAddr("ff02::1"), netip.MustParseAddr("fe80::9"))
	case 4, 5, 6, 7, 8:
		return gw6(link, host)
	}
	return gw4(link, host)
}

func (g hostileGen) prefix() netip.Prefix {
	a := g.addr()
	p := netip.PrefixFrom(a, pick(g.stateGen, 0, 4, 8, 16, 24, 24, 31, 32, 48, 64, 127, 128, -1, 129))
	if g.one(4) {
		return p
	}
	return p.Masked()
}

func (g hostileGen) nexthop() fib.Nexthop {
	if !g.one(4) {
		n := g.leg(pick(g.stateGen, fib.Inet, fib.Inet6))
		if !g.one(4) {
			n.Flags = 0
		}
		return n
	}
	return fib.Nexthop{Link: g.link(), Gateway: g.addr(), Weight: uint16(g.Uint32()), Flags: fib.NexthopFlags(g.Uint32()),
		Realms: g.Uint32() & 3, Encap: fib.Encap{Type: uint16(g.IntN(2)), Data: pick(g.stateGen, "", "x")},
		Scope: fib.Scope(g.Uint32()), ScopeSet: g.one(2)}
}

func (g hostileGen) link() int32 {
	return pick[int32](g.stateGen, 0, 1, 2, 3, 4, 5, 6, 99, -1, -1<<31)
}

func (g hostileGen) id() uint32 {
	return pick[uint32](g.stateGen, 0, 1, 201, 202, 209, 1001, 1002, 1009, 7, 8, 1<<32-1)
}

func (g hostileGen) route() fib.Route {
	var r fib.Route
	switch g.IntN(8) {
	case 0, 1, 2:
		r = g.route4()
	case 3, 4, 5:
		r = g.route6()
	case 6:
		r = fib.Route{Type: fib.TypeUnicast}
	}
	for range pick(g.stateGen, 0, 0, 1, 2) {
		switch g.IntN(12) {
		case 0:
			r.Dst = g.prefix()
		case 1:
			r.Src = g.prefix()
		case 2:
			r.PrefSrc = g.addr()
		case 3:
			r.Type = fib.RouteType(g.Uint32())
		case 4:
			r.Scope = fib.Scope(g.Uint32())
		case 5:
			r.TOS = uint8(g.Uint32())
		case 6:
			r.NexthopID = g.id()
		case 7:
			r.Nexthops = append(slices.Clone(r.Nexthops), g.nexthop())
		case 8:
			r.Nexthops = nil
		case 9:
			r.Flags = fib.RouteFlags(g.Uint32())
		case 10:
			r.Table = pick[fib.TableID](g.stateGen, 0, 50, 254, 255, 1<<32-1)
		case 11:
			r.Metrics.CongCtl, r.Expires, r.Pref = "bbr", g.Uint32(), fib.RouterPref(g.Uint32())
		}
	}
	return r
}

func (g hostileGen) object() fib.NexthopObject {
	o := fib.NexthopObject{ID: g.id(), Family: pick(g.stateGen, fib.Inet, fib.Inet6, 0, 0, 99), Nexthop: g.nexthop()}
	switch g.IntN(5) {
	case 0:
		o.Nexthop, o.Family = fib.Nexthop{}, 0
		for range 1 + g.IntN(3) {
			o.Group = append(o.Group, fib.GroupMember{ID: g.id(), Weight: uint16(g.Uint32())})
		}
		if o.Resilient = g.one(2); o.Resilient {
			o.Buckets = []uint32{g.id(), g.id(), 0, 7}
		}
	case 1:
		o.Blackhole, o.Nexthop = true, fib.Nexthop{}
	case 2:
		o.Blackhole, o.FDB, o.Resilient = g.one(2), g.one(2), g.one(2)
	}
	return o
}

func (g hostileGen) address() fib.Address {
	a := g.addr()
	return fib.Address{Link: g.link(), Local: a, Prefix: pick(g.stateGen, netip.PrefixFrom(a, 24), netip.PrefixFrom(a, 24), netip.PrefixFrom(a, 64), g.prefix(), netip.Prefix{}),
		Broadcast: pick(g.stateGen, netip.Addr{}, g.addr()), Scope: pick(g.stateGen, 0, 0, fib.ScopeLink, fib.Scope(g.Uint32())),
		Flags: fib.AddrFlags(pick(g.stateGen, 0, 0, g.Uint32())), Metric: pick[uint32](g.stateGen, 0, 7),
		ValidLft: pick[uint32](g.stateGen, 0, 0, 5, 1<<32-1), PreferredLft: pick[uint32](g.stateGen, 0, 0, 5, 1<<32-1), Created: pick(g.stateGen, 0, 1<<32-1, g.Uint32())}
}

// linkChange is a link of the state with something else, or a new one.
func (g hostileGen) linkChange(s *fib.Snapshot) fib.Link {
	l, ok := s.Link(g.link())
	if !ok {
		l = fib.Link{Index: g.link(), Name: pick(g.stateGen, "n1", "d0", "", "lo", "a name too long for a link", "red"), MTU: 1500}
	}
	for range 1 + g.IntN(2) {
		switch g.IntN(9) {
		case 0, 1:
			l.Flags ^= fib.LinkUp
		case 2:
			l.Flags ^= fib.LinkLowerUp
		case 3:
			l.Master = g.link()
		case 4:
			l.MTU = pick[uint32](g.stateGen, 0, 60, 1000, 1500)
			l.NoInet, l.NoInet6 = false, false
		case 5:
			l.Conf6.Forwarding, l.Conf6.DisableIPv6, l.Conf6.KeepAddrOnDown = g.one(2), g.one(2), int32(g.IntN(3)-1)
		case 6:
			l.Flags = fib.LinkFlags(g.Uint32())
		case 7:
			l.Kind, l.VRFTable = pick(g.stateGen, "", "vrf"), pick[fib.TableID](g.stateGen, 0, 100, 254, 255)
		case 8:
			l.Groups4 = []netip.Addr{g.addr()}
			l.Conf4.PromoteSecondaries, l.Conf4.IgnoreRoutesWithLinkdown = g.one(2), g.one(2)
		}
	}
	return l
}

func (g hostileGen) hostileRule() rules.Request {
	q := rules.RequestOf(g.rule(pick(g.stateGen, fib.Inet, fib.Inet6)))
	switch g.IntN(12) {
	case 0:
		q.From, q.To = g.prefix(), g.prefix()
	case 1:
		q.Family = fib.Family(g.Uint32())
	case 2:
		q.Goto, q.Action = g.Uint32()&63, rules.ActGoto
	case 3:
		q.Present = rules.Attr(g.Uint32())
	case 4:
		q.Rule = rules.Rule{}
	case 5:
		q.Table = 0
	case 6:
		q.SuppressPrefixLength, q.SuppressIfGroup = rules.Some(g.Uint32()), rules.Some(g.Uint32())
	}
	return q
}

// hostileState is a state as a file may hold it: dangling, twice, of no family.
func (g hostileGen) hostileState() *fib.State {
	st := g.stateUpTo(g.size)
	for range g.IntN(6) {
		switch g.IntN(9) {
		case 0:
			st.Routes = append(st.Routes, g.route())
		case 1:
			st.Nexthops = append(st.Nexthops, g.object())
		case 2:
			st.Addresses = append(st.Addresses, g.address())
		case 3:
			st.Neighbours = append(st.Neighbours, fib.Neighbour{Link: g.link(), Addr: g.addr(), State: fib.NeighState(g.Uint32())})
		case 4:
			st.AddrLabels = append(st.AddrLabels, fib.AddrLabel{Prefix: g.prefix(), Link: g.link(), Label: g.Uint32()})
		case 5:
			st.Rules = append(st.Rules, g.hostileRule().Rule)
		case 6:
			st.Links[g.IntN(len(st.Links))].Master = g.link()
		case 7:
			st.Nexthops = st.Nexthops[:g.IntN(len(st.Nexthops)+1)]
		case 8:
			st.Mode4, st.Mode6 = fib.Mode(g.Uint32()), fib.Mode(g.Uint32())
		}
	}
	return st
}

var allFlags = []fib.AddFlags{fib.OpAdd, fib.OpAdd, fib.OpReplace, fib.OpAppend, fib.OpPrepend, fib.OpChange, 0, 1<<16 - 1}

// op does one operation.
func (g hostileGen) op(tx *fib.Txn) error { return g.operation(tx.Snapshot)(tx) }

// operation makes one, which may be done again elsewhere.
func (g hostileGen) operation(now func() *fib.Snapshot) func(*fib.Txn) error {
	flags := pick(g.stateGen, allFlags...)
	switch g.IntN(18) {
	case 0, 1, 2, 3:
		r := g.route()
		return func(tx *fib.Txn) error { return tx.AddRoute(r, flags) }
	case 4, 5:
		r := g.route()
		return func(tx *fib.Txn) error { return tx.DeleteRoute(r) }
	case 6:
		r := g.route()
		return func(tx *fib.Txn) error { return tx.LoadRoute(&r) }
	case 7, 8:
		l := g.linkChange(now())
		return func(tx *fib.Txn) error { return tx.SetLink(l) }
	case 9:
		i := g.link()
		return func(tx *fib.Txn) error { return tx.DeleteLink(i) }
	case 10:
		a, replace := g.address(), g.one(2)
		return func(tx *fib.Txn) error {
			if replace {
				return tx.ReplaceAddress(a)
			}
			return tx.AddAddress(a)
		}
	case 11:
		a := g.address()
		return func(tx *fib.Txn) error { return tx.DeleteAddress(a) }
	case 12:
		o := g.object()
		return func(tx *fib.Txn) error { _, err := tx.AddNexthop(o, flags); return err }
	case 13:
		id := g.id()
		return func(tx *fib.Txn) error { return tx.DeleteNexthop(id) }
	case 14:
		r := g.hostileRule()
		if g.one(2) {
			return func(tx *fib.Txn) error { _, err := tx.AddRule(r, flags); return err }
		}
		return func(tx *fib.Txn) error { _, err := tx.DeleteRule(r); return err }
	case 15:
		n := fib.Neighbour{Link: g.link(), Addr: g.addr(), State: fib.NeighState(g.Uint32())}
		if g.one(2) {
			return func(tx *fib.Txn) error { return tx.SetNeighbour(n) }
		}
		return func(tx *fib.Txn) error { return tx.DeleteNeighbour(n.Link, n.Addr) }
	case 16:
		switch g.IntN(4) {
		case 0:
			i, a := g.link(), g.addr()
			return func(tx *fib.Txn) error { return tx.ConfirmAddress(i, a) }
		case 1:
			c := fib.DefaultSysctls()
			c.HashSeed, c.Multipath4.Policy, c.Multipath6.Fields, c.All4.RPFilter = g.Uint32()&1, uint8(g.Uint32()), g.Uint32(), uint8(g.Uint32())
			return func(tx *fib.Txn) error { return tx.SetSysctls(c) }
		case 2:
			labels := []fib.AddrLabel{{Prefix: g.prefix(), Label: 7}, {Prefix: g.prefix(), Link: g.link()}}
			return func(tx *fib.Txn) error { return tx.SetAddrLabels(labels) }
		}
	case 17:
		if g.one(10) {
			st := g.hostileState()
			return func(tx *fib.Txn) error { return tx.Load(st) }
		}
	}
	return func(*fib.Txn) error { return nil }
}

// held is a snapshot with what it said when it was new.
type held struct {
	snap    *fib.Snapshot
	state   *fib.State
	flows   []fib.Flow
	answers []fib.Decision
}

func hold(s *fib.Snapshot, seed uint64, flows int) held {
	h := held{snap: s, state: s.State()}
	g := flowgen.New(s, seed, flowgen.Options{Input: true})
	for range flows {
		f := g.Next()
		h.flows, h.answers = append(h.flows, f), append(h.answers, s.Resolve(f))
	}
	return h
}

func (h held) check(t testing.TB) {
	t.Helper()
	require.Equal(t, h.state, h.snap.State(), "a snapshot changed")
	for i, f := range h.flows {
		if d := h.snap.Resolve(f); d != h.answers[i] {
			t.Fatalf("flow %+v: was %+v, is %+v", f, h.answers[i], d)
		}
	}
}

// checkTxns plays hostile transactions and checks what must hold after each.
func checkTxns(t testing.TB, sg stateGen, run txnRun) {
	g := hostileGen{sg, run}
	e := pick[lookup.Engine](sg, trie.Engine{}, hashzone.Engine{}, flat.Engine{})
	f := fib.New(fib.Config{Engine: e})
	_, err := f.Update(func(tx *fib.Txn) error { return tx.Load(g.stateUpTo(run.size)) })
	require.NoError(t, err)
	old := []held{hold(f.Snapshot(), g.Uint64(), run.flows)}
	for range run.txns {
		h := old[len(old)-1]
		if now := checkTxn(t, g, f, h); now.snap != h.snap {
			old = append(old, now)
		}
	}
	for _, h := range old {
		h.check(t)
	}
	for _, fl := range hostile {
		checkFlow(t, f.Snapshot(), fl)
	}
}

// checkTxn plays one transaction on what h holds and returns what there is then.
func checkTxn(t testing.TB, g hostileGen, f *fib.FIB, h held) held {
	t.Helper()
	fails := g.one(3)
	var kept *fib.Txn
	var last held
	res, err := f.Update(func(tx *fib.Txn) error {
		kept = tx
		for range g.IntN(g.ops + 1) {
			if err := g.op(tx); err != nil {
				var oe *fib.OpError
				require.ErrorAs(t, err, &oe)
				require.NotEmpty(t, err.Error())
			}
			if g.one(8) {
				fg := flowgen.New(tx.Snapshot(), g.Uint64(), flowgen.Options{Input: true})
				for range g.midFlows {
					checkFlow(t, tx.Snapshot(), fg.Next())
				}
			}
		}
		if fails {
			return errors.New("no")
		}
		last = hold(tx.Snapshot(), g.Uint64(), g.flows)
		return nil
	})
	h.check(t)
	require.NoError(t, f.CheckWriter())
	require.ErrorIs(t, kept.AddRoute(fib.Route{}, 0), fib.ErrTxnDone)
	require.NotPanics(t, func() { kept.Snapshot().Resolve(h.flows[0]) })
	now := f.Snapshot()
	if fails {
		require.EqualError(t, err, "no")
		require.Same(t, h.snap, now)
		return h
	}
	require.NoError(t, err)
	require.Equal(t, res.Changed, h.snap != now)
	last.snap = now
	last.check(t) // within the transaction, then published
	for _, fl := range last.flows {
		checkFlow(t, now, fl)
	}
	copied := fib.New(fib.Config{})
	_, err = copied.Update(func(tx *fib.Txn) error { return tx.Load(last.state) })
	require.NoError(t, err, "what a snapshot holds can be loaded")
	require.Equal(t, last.state, copied.Snapshot().State())
	return last
}

func TestHostileTransactions(t *testing.T) {
	seed := randtest.Seed(t)
	run := txnRun{size: usualSize, txns: 6, ops: 11, flows: 15, midFlows: 5}
	for i := range randtest.Fewer(300) {
		checkTxns(t, stateGen{rand.New(rand.NewPCG(seed, uint64(i)))}, run)
		if t.Failed() {
			t.Fatalf("round %d", i)
		}
	}
}

// A transaction that goes on after operations that failed is the same transaction
// without them.
func TestFailedOperationsLeaveNoTrace(t *testing.T) {
	seed := randtest.Seed(t)
	failed := 0
	for i := range randtest.Fewer(600) {
		g := hostileGen{stateGen{rand.New(rand.NewPCG(seed, uint64(i)))}, txnRun{size: usualSize}}
		st := g.state()
		start := func() *fib.FIB {
			f := fib.New(fib.Config{})
			_, err := f.Update(func(tx *fib.Txn) error { return tx.Load(st) })
			require.NoError(t, err)
			return f
		}
		with, without := start(), start()
		var succeeded []func(*fib.Txn) error
		res, err := with.Update(func(tx *fib.Txn) error {
			for range 40 {
				if op := g.operation(with.Snapshot); op(tx) == nil {
					succeeded = append(succeeded, op)
				} else {
					failed++
				}
			}
			return nil
		})
		require.NoError(t, err)
		again, err := without.Update(func(tx *fib.Txn) error {
			for _, op := range succeeded {
				if err := op(tx); err != nil {
					return err
				}
			}
			return nil
		})
		require.NoError(t, err, "round %d", i)
		require.Equal(t, again, res, "round %d", i)
		require.Equal(t, without.Snapshot().State(), with.Snapshot().State(), "round %d", i)
		require.NoError(t, with.CheckWriter(), "round %d", i)
		fg := flowgen.New(with.Snapshot(), g.Uint64(), flowgen.Options{Input: true})
		for range 20 {
			fl := fg.Next()
			require.Equal(t, without.Snapshot().Resolve(fl), with.Snapshot().Resolve(fl), "round %d: flow %+v", i, fl)
		}
	}
	require.Greater(t, failed, 1000)
}

// FuzzTxn does little at a time, so that it does it often: a fuzzer finds more in many small
// states than in a few that TestHostileTransactions would make.
func FuzzTxn(f *testing.F) {
	run := txnRun{size: stateSize{neighs: 2, routes4: 4, routes6: 4, rules: 2}, txns: 2, ops: 4, flows: 2, midFlows: 1}
	for n := range 8 {
		f.Add(make([]byte, n*16))
	}
	f.Fuzz(func(t *testing.T, data []byte) { checkTxns(t, fuzzGen(data), run) })
}
