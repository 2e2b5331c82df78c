package rtnl

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/rules"
)

const rounds = 20000

// only cuts the one message that b must hold.
func only(t testing.TB, b []byte) Message {
	t.Helper()
	m, rest, err := Next(b)
	require.NoError(t, err)
	require.Empty(t, rest)
	return m
}

func TestRouteSurvivesEncoding(t *testing.T) {
	g := gen{randtest.Rand(t)}
	var got fib.Route // storage is used again on purpose
	var rep Report
	for range rounds {
		want := g.route()
		b, err := AppendRoute(nil, Header{Type: RTM_NEWROUTE, Seq: 7}, &want)
		require.NoError(t, err)
		require.NoError(t, DecodeRoute(only(t, b), &got, &rep), "%+v", want)
		if len(got.Nexthops) == 0 {
			got.Nexthops = nil
		}
		require.Equal(t, want, got)
	}
	assert.Empty(t, rep.String())
}

func TestRouteThatNoMessageHoldsIsRefused(t *testing.T) {
	gw4 := netip.MustParseAddr("10.0.0.1")
	for want, r := range map[string]fib.Route{
		"cannot have an IPv4 gateway": {Dst: netip.MustParsePrefix("::/0"), Nexthops: []fib.Nexthop{{Link: 1, Gateway: gw4}}},
		"nexthop 2 has weight 257":    {Dst: netip.MustParsePrefix("10.0.0.0/8"), Nexthops: []fib.Nexthop{{Link: 1}, {Link: 2, Weight: 257}}},
		"do not fit, 65531 would":     {Dst: netip.MustParsePrefix("10.0.0.0/8"), Nexthops: make([]fib.Nexthop, 9000)},
	} {
		b, err := AppendRoute([]byte("kept"), Header{}, &r)
		require.ErrorContains(t, err, want)
		assert.Equal(t, "kept", string(b))
	}
}

func TestRuleSurvivesEncoding(t *testing.T) {
	g := gen{randtest.Rand(t)}
	var rep Report
	for range rounds {
		want := g.rule()
		q := rules.RequestOf(want)
		b, err := AppendRule(nil, Header{Type: RTM_NEWRULE}, &q)
		require.NoError(t, err)
		var got rules.Request
		require.NoError(t, DecodeRule(only(t, b), &got, &rep), "%+v", want)
		require.Equal(t, want, got.Rule)

		// What was present stays present when the request is sent on.
		b2, err := AppendRule(nil, Header{Type: RTM_NEWRULE}, &got)
		require.NoError(t, err)
		var again rules.Request
		require.NoError(t, DecodeRule(only(t, b2), &again, &rep))
		require.Equal(t, got, again)
	}
	assert.Empty(t, rep.String())
}

func TestNexthopSurvivesEncoding(t *testing.T) {
	g := gen{randtest.Rand(t)}
	var rep Report
	for range rounds {
		want := g.nexthop()
		b, err := AppendNexthop(nil, Header{Type: RTM_NEWNEXTHOP}, &want)
		require.NoError(t, err)
		var got fib.NexthopObject
		require.NoError(t, DecodeNexthop(only(t, b), &got, &rep), "%+v", want)
		require.Equal(t, want, got)
	}
	assert.Empty(t, rep.String())
}

// A query comes back as the same flow from the decoder of replies, which reads
// the same attributes.
func TestQueryCarriesTheFlow(t *testing.T) {
	g := gen{randtest.Rand(t)}
	for range rounds {
		fam := g.family()
		f := fib.Flow{Dst: g.addr(fam), Iif: int32(g.IntN(3)), Oif: int32(g.IntN(3)), Mark: uint32(g.IntN(3)), TOS: uint8(g.IntN(256)),
			UID: g.num32(), UIDSet: g.half(), IPProto: uint8(g.IntN(3)), Sport: uint16(g.IntN(70000)), Dport: uint16(g.IntN(300)),
			FlowLabel: uint32(g.IntN(1 << 20))}
		if g.half() {
			f.Src = g.addr(fam)
		}
		b, err := AppendRouteQuery(nil, 9, &f, RTM_F_LOOKUP_TABLE)
		require.NoError(t, err)
		m := only(t, b)
		require.Equal(t, Header{Type: RTM_GETROUTE, Flags: NLM_F_REQUEST, Seq: 9}, m.Header)
		m.Type = RTM_NEWROUTE
		var r Reply
		var rep Report
		require.NoError(t, DecodeReply(m, &r, &rep))
		assert.Empty(t, rep.String())
		require.Equal(t, netip.PrefixFrom(f.Dst, fam.Bits()), r.Route.Dst)
		require.Equal(t, f.Src, r.Route.Src.Addr())
		require.Equal(t, []any{f.Iif, f.Oif, f.Mark, f.TOS &^ 3, f.IPProto, f.Sport, f.Dport, f.FlowLabel},
			[]any{r.Iif, r.Oif, r.Mark, r.Route.TOS, r.IPProto, r.Sport, r.Dport, r.FlowLabel})
		require.Equal(t, f.UIDSet || f.Iif == 0, r.HasUID)
		if r.HasUID {
			require.Equal(t, f.UID, r.UID)
		}
		want := uint32(RTM_F_LOOKUP_TABLE)
		if fam == fib.Inet6 {
			want = 0 // refused there, and not needed
		}
		require.Equal(t, want, r.Flags)
	}
}

func TestQueryOfTwoFamiliesIsRefused(t *testing.T) {
	f := fib.Flow{Dst: netip.MustParseAddr("10.0.0.1"), Src: netip.MustParseAddr("::1")}
	b, err := AppendRouteQuery([]byte("kept"), 1, &f, 0)
	require.ErrorContains(t, err, "two families")
	assert.Equal(t, "kept", string(b))
}

func TestDumpRequestNamesTheTable(t *testing.T) {
	for _, table := range []fib.TableID{0, 254, 255, 256, 1<<32 - 1} {
		b, err := AppendDump(nil, 3, Dump{Type: RTM_GETROUTE, Family: fib.Inet6, Table: table})
		require.NoError(t, err)
		m := only(t, b)
		require.Equal(t, Header{Type: RTM_GETROUTE, Flags: NLM_F_REQUEST | NLM_F_DUMP, Seq: 3}, m.Header)
		var r fib.Route
		require.NoError(t, DecodeRoute(m, &r, nil))
		assert.Equal(t, table, r.Table)
		assert.Equal(t, netip.MustParsePrefix("::/0"), r.Dst)
	}
	_, err := AppendDump(nil, 3, Dump{Type: RTM_NEWROUTE})
	require.ErrorContains(t, err, "RTM_NEWROUTE cannot be dumped")
}

func TestPlainRouteCostsNoAllocation(t *testing.T) {
	r := fib.Route{Table: 254, Dst: netip.MustParsePrefix("10.1.0.0/16"), Type: fib.TypeUnicast, Protocol: 4,
		Nexthops: []fib.Nexthop{{Link: 2, Gateway: netip.MustParseAddr("10.0.0.1"), Weight: 1}}}
	b, err := AppendRoute(nil, Header{Type: RTM_NEWROUTE}, &r)
	require.NoError(t, err)
	var got fib.Route
	var rep Report
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		m, _, err := Next(b)
		if err == nil {
			err = DecodeRoute(m, &got, &rep)
		}
		if err != nil {
			panic(err)
		}
	}))
	assert.Equal(t, r, got)
}

// inKernelsOrder moves the table of an encoded IPv4 route before its destination.
func inKernelsOrder(data []byte) {
	for at := routeHeadLen; at+8 <= len(data); at += int(align(int(ne.Uint16(data[at:])))) {
		if ne.Uint16(data[at+2:]) == rtaTable {
			table := slices.Clone(data[at : at+8])
			copy(data[routeHeadLen+8:at+8], data[routeHeadLen:at])
			copy(data[routeHeadLen:], table)
			return
		}
	}
}

func BenchmarkDecodeRoute(b *testing.B) {
	b.Run("alone", func(b *testing.B) { benchmarkDecode(b, DecodeRoute) })
	b.Run("decoder", func(b *testing.B) { benchmarkDecode(b, new(RouteDecoder).Decode) })
}

func benchmarkDecode(b *testing.B, decode func(Message, *fib.Route, *Report) error) {
	g := gen{randtest.Rand(b)}
	var buf []byte
	n := 0
	for n < 1000 { // as a dump of a table with 64 gateways
		r := fib.Route{Table: 254, Dst: netip.PrefixFrom(g.addr(fib.Inet), 24).Masked(), Type: fib.TypeUnicast, Protocol: 12,
			Nexthops: []fib.Nexthop{{Link: 2, Gateway: netip.AddrFrom4([4]byte{10, 0, 0, byte(n % 64)}), Weight: 1}}}
		if next, err := AppendRoute(buf, Header{Type: RTM_NEWROUTE}, &r); err == nil {
			inKernelsOrder(next[len(buf)+headerLen:])
			buf = next
			n++
		}
	}
	var r fib.Route
	for b.Loop() {
		for rest := buf; len(rest) > 0; {
			m, next, err := Next(rest)
			if err == nil {
				err = decode(m, &r, nil)
			}
			if err != nil {
				b.Fatal(err)
			}
			rest = next
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/route")
}

func TestAddressSurvivesEncoding(t *testing.T) {
	g := gen{randtest.Rand(t)}
	var rep Report
	for range rounds {
		f := g.family()
		a := g.addr(f)
		want := fib.Address{Link: int32(g.IntN(9) + 1), Local: a, Prefix: netip.PrefixFrom(a, g.bits(f)), Scope: fib.Scope(g.IntN(256)),
			Flags: fib.AddrNoDAD | fib.AddrNoPrefixRoute, Metric: g.num32(), ValidLft: 1<<32 - 1, PreferredLft: 1<<32 - 1}
		if g.half() {
			want.Prefix = netip.PrefixFrom(g.addr(f), g.bits(f)) // a peer
		}
		if g.half() {
			want.ValidLft, want.PreferredLft = 1+g.num32()/2, g.num32()
		}
		if f == fib.Inet && g.half() {
			want.Label, want.Broadcast = "d0:1", g.addr(f)
		}
		b, err := AppendAddress(nil, Header{Type: RTM_NEWADDR}, &want)
		require.NoError(t, err)
		var got fib.Address
		require.NoError(t, DecodeAddress(only(t, b), &got, &rep))
		require.Equal(t, want, got)
	}
	assert.Empty(t, rep.String())
}

func TestNeighbourAndLabelSurviveEncoding(t *testing.T) {
	g := gen{randtest.Rand(t)}
	var rep Report
	for range rounds {
		f := g.family()
		n := fib.Neighbour{Link: int32(g.IntN(9) + 1), Addr: g.addr(f), State: fib.NeighState(g.IntN(256))}
		if g.half() {
			n.LLAddr = "02:00:5e:10:00:ff"
		}
		b, err := AppendNeighbour(nil, Header{Type: RTM_NEWNEIGH}, &n)
		require.NoError(t, err)
		var gotN fib.Neighbour
		require.NoError(t, DecodeNeighbour(only(t, b), &gotN, &rep))
		require.Equal(t, n, gotN)

		l := fib.AddrLabel{Prefix: netip.PrefixFrom(g.addr(fib.Inet6), g.bits(fib.Inet6)).Masked(), Link: int32(g.IntN(3)), Label: g.num32()}
		b, err = AppendAddrLabel(nil, Header{Type: RTM_NEWADDRLABEL}, &l)
		require.NoError(t, err)
		var gotL fib.AddrLabel
		require.NoError(t, DecodeAddrLabel(only(t, b), &gotL, &rep))
		require.Equal(t, l, gotL)
	}
	assert.Empty(t, rep.String())
	_, err := AppendNeighbour(nil, Header{}, &fib.Neighbour{Addr: netip.MustParseAddr("10.0.0.1"), LLAddr: "zz"})
	assert.Error(t, err)
}

func TestLinkRequestIsAMessage(t *testing.T) {
	b, err := AppendLink(nil, Header{Type: RTM_NEWLINK}, &LinkRequest{Index: 7, Name: "red", Kind: "vrf", VRFTable: 100, MTU: 1400, Group: 3,
		Flags: fib.LinkUp, SetFlags: fib.LinkUp})
	require.NoError(t, err)
	var l fib.Link
	require.NoError(t, DecodeLink(only(t, b), &l, nil))
	assert.Equal(t, fib.Link{Index: 7, Name: "red", Kind: "vrf", VRFTable: 100, MTU: 1400, Group: 3, Flags: fib.LinkUp, NoInet: true, NoInet6: true}, l)
	for _, wrong := range []LinkRequest{{Name: "a-name-that-is-too-long"}, {Name: "d0", Kind: "dummy", Peer: "p0"}} {
		_, err := AppendLink(nil, Header{}, &wrong)
		assert.Error(t, err)
	}
}
