package rtnl

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/conformance"
	"github.com/fibula-net/fibula/rules"
)

// message builds one from its head and a function that appends attributes.
func message(t testing.TB, typ uint16, head []byte, attrs func(*encoder)) Message {
	t.Helper()
	e := begin(nil, Header{Type: typ})
	e.bytes(head...)
	if attrs != nil {
		attrs(e)
	}
	return ended(t, e)
}

func ended(t testing.TB, e *encoder) Message {
	t.Helper()
	b, err := e.end()
	require.NoError(t, err)
	return only(t, b)
}

func routeHead(fam fib.Family, dstLen byte, typ fib.RouteType, flags uint32) []byte {
	return ne.AppendUint32([]byte{byte(fam), dstLen, 0, 0, 254, 3, 0, byte(typ)}, flags)
}

func TestStateOfASingleLegIsInTheRouteFlags(t *testing.T) {
	m := message(t, RTM_NEWROUTE, routeHead(fib.Inet, 0, fib.TypeUnicast, 0x15|RTM_F_OFFLOAD), func(e *encoder) { e.u32(rtaOif, 4) })
	var r fib.Route
	require.NoError(t, DecodeRoute(m, &r, nil))
	assert.Equal(t, fib.FlagDead|fib.FlagOnlink|fib.FlagLinkdown, r.Nexthops[0].Flags)
	assert.Equal(t, fib.RouteFlags(RTM_F_OFFLOAD), r.Flags)
	assert.Equal(t, netip.MustParsePrefix("0.0.0.0/0"), r.Dst)
}

// IPv6 shows reject routes on lo (D16, D52).
func TestRejectRouteHasNoNexthop(t *testing.T) {
	for typ := fib.TypeBlackhole; typ <= fib.TypeThrow; typ++ {
		m := message(t, RTM_NEWROUTE, routeHead(fib.Inet6, 0, typ, 0), func(e *encoder) { e.u32(rtaOif, 1) })
		var r fib.Route
		require.NoError(t, DecodeRoute(m, &r, nil))
		assert.Empty(t, r.Nexthops, typ)
	}
}

func TestExpiryComesFromCacheInformation(t *testing.T) {
	for ticks, want := range map[int32]uint32{0: 0, 1: 1, 100: 1, 199: 1, 200: 2, 18000: 180} {
		m := message(t, RTM_NEWROUTE, routeHead(fib.Inet6, 0, fib.TypeUnicast, 0), func(e *encoder) {
			v := make([]byte, 32)
			ne.PutUint32(v[8:], uint32(ticks))
			e.raw(rtaCacheInfo, v)
		})
		var r fib.Route
		require.NoError(t, DecodeRoute(m, &r, nil))
		assert.Equal(t, want, r.Expires, ticks)
	}
	m := message(t, RTM_NEWROUTE, routeHead(fib.Inet6, 0, fib.TypeUnicast, 0), func(e *encoder) {
		v := make([]byte, 32)
		ne.PutUint32(v[8:], 1<<32-1)
		e.raw(rtaCacheInfo, v)
	})
	var r fib.Route
	require.ErrorIs(t, DecodeRoute(m, &r, nil), ErrSkip)
}

func TestWhatIsNoRouteIsSkipped(t *testing.T) {
	conformance.CoversEngine(t, "F6")
	var r fib.Route
	var rep Report
	require.ErrorIs(t, DecodeRoute(message(t, RTM_NEWROUTE, routeHead(28, 0, 1, 0), nil), &r, &rep), ErrSkip)
	assert.Equal(t, 1, rep.Count(Unknown{"RTM_NEWROUTE", KindValue, "family", 28}))
	require.ErrorIs(t, DecodeRoute(message(t, RTM_NEWROUTE, routeHead(fib.Inet6, 0, 1, RTM_F_CLONED), nil), &r, &rep), ErrSkip)
	assert.Equal(t, 1, rep.Len(), "a cached exception is no news")
}

func TestUnknownIsReportedByNameAndNumber(t *testing.T) {
	m := message(t, RTM_NEWROUTE, routeHead(fib.Inet, 0, 77, 1<<27|RTM_F_EQUALIZE), func(e *encoder) {
		e.u32(99, 1)
		e.u8(26, 1)
		open := e.nest(rtaMetrics)
		e.u32(40, 5)
		e.close(open)
	})
	var r fib.Route
	var rep Report
	for range 2 {
		require.NoError(t, DecodeRoute(m, &r, &rep))
	}
	want := []Unknown{
		{"RTM_NEWROUTE", KindAttribute, "RTA_TTL_PROPAGATE", 26},
		{"RTM_NEWROUTE", KindAttribute, "RTAX_40", 40},
		{"RTM_NEWROUTE", KindAttribute, "RTA_99", 99},
		{"RTM_NEWROUTE", KindFlag, "rtm_flags", RTM_F_EQUALIZE},
		{"RTM_NEWROUTE", KindFlag, "rtm_flags", 1 << 27},
		{"RTM_NEWROUTE", KindValue, "rtm_type", 77},
	}
	assert.Equal(t, want, rep.Sorted())
	for _, u := range want {
		assert.Equal(t, 2, rep.Count(u), u)
	}
	var sum Report
	sum.Add(&rep)
	sum.Add(&rep)
	assert.Equal(t, 4, sum.Count(want[0]))
	assert.Contains(t, sum.String(), "RTM_NEWROUTE attribute RTA_99 (99): 4 times\n")
}

// Every name space reports what it does not list.
func TestEveryDecoderReportsStrangers(t *testing.T) {
	const stranger = 0x3ff
	attr := func(e *encoder) { e.u32(stranger, 1) }
	in := func(types ...uint16) func(*encoder) {
		return func(e *encoder) {
			var open []int
			for _, typ := range types {
				open = append(open, e.nest(typ))
			}
			attr(e)
			for i := range open {
				e.close(open[len(open)-1-i])
			}
		}
	}
	vrf := func(e *encoder) {
		open := e.nest(iflaLinkInfo)
		e.str(iflaInfoKind, "vrf")
		in(iflaInfoData)(e)
		e.close(open)
	}
	inet := make([]byte, 12)
	inet[0] = byte(fib.Inet)
	addr4 := func(typ uint16, more func(*encoder)) func(*encoder) {
		return func(e *encoder) { e.raw(typ, []byte{10, 0, 0, 1}); more(e) }
	}
	object := func(more func(*encoder)) func(*encoder) {
		return func(e *encoder) { e.u32(nhaID, 1); more(e) }
	}
	for name, c := range map[string]struct {
		typ    uint16
		head   []byte
		attrs  func(*encoder)
		decode func(Message, *Report) error
	}{
		"RTA_1023":            {RTM_NEWROUTE, inet, attr, decodeRoute},
		"RTAX_1023":           {RTM_NEWROUTE, inet, in(rtaMetrics), decodeRoute},
		"FRA_1023":            {RTM_NEWRULE, inet, attr, decodeRule},
		"NHA_1023":            {RTM_NEWNEXTHOP, inet[:8], object(attr), decodeNexthop},
		"NHA_RES_GROUP_1023":  {RTM_NEWNEXTHOP, inet[:8], object(in(nhaResGroup)), decodeNexthop},
		"NHA_RES_BUCKET_1023": {RTM_NEWNEXTHOPBUCKET, inet[:8], in(nhaResBucket), decodeBucket},
		"IFLA_1023":           {RTM_NEWLINK, make([]byte, 16), attr, decodeLink},
		"IFLA_INFO_1023":      {RTM_NEWLINK, make([]byte, 16), in(iflaLinkInfo), decodeLink},
		"IFLA_VRF_1023":       {RTM_NEWLINK, make([]byte, 16), vrf, decodeLink},
		"IFLA_AF_SPEC/1023":   {RTM_NEWLINK, make([]byte, 16), in(iflaAFSpec), decodeLink},
		"IFLA_INET_1023":      {RTM_NEWLINK, make([]byte, 16), in(iflaAFSpec, 2), decodeLink},
		"IFLA_INET6_1023":     {RTM_NEWLINK, make([]byte, 16), in(iflaAFSpec, 10), decodeLink},
		"IFA_1023":            {RTM_NEWADDR, inet[:8], addr4(ifaLocal, attr), decodeAddress},
		"NDA_1023":            {RTM_NEWNEIGH, inet, addr4(ndaDst, attr), decodeNeighbour},
		"IFAL_1023":           {RTM_NEWADDRLABEL, inet, attr, decodeAddrLabel},
		"NETCONFA_1023":       {RTM_NEWNETCONF, inet[:4], attr, decodeNetconf},
	} {
		var rep Report
		require.NoError(t, c.decode(message(t, c.typ, c.head, c.attrs), &rep), name)
		assert.Equal(t, []Unknown{{MessageName(c.typ), KindAttribute, name, stranger}}, rep.Sorted())
	}
}

func decodeRoute(m Message, rep *Report) error { return DecodeRoute(m, new(fib.Route), rep) }
func decodeRule(m Message, rep *Report) error  { return DecodeRule(m, new(rules.Request), rep) }
func decodeNexthop(m Message, rep *Report) error {
	return DecodeNexthop(m, new(fib.NexthopObject), rep)
}
func decodeBucket(m Message, rep *Report) error  { return DecodeBucket(m, new(Bucket), rep) }
func decodeLink(m Message, rep *Report) error    { return DecodeLink(m, new(fib.Link), rep) }
func decodeAddress(m Message, rep *Report) error { return DecodeAddress(m, new(fib.Address), rep) }
func decodeNeighbour(m Message, rep *Report) error {
	return DecodeNeighbour(m, new(fib.Neighbour), rep)
}
func decodeAddrLabel(m Message, rep *Report) error {
	return DecodeAddrLabel(m, new(fib.AddrLabel), rep)
}
func decodeNetconf(m Message, rep *Report) error { return DecodeNetconf(m, new(Netconf), rep) }
func decodeReply(m Message, rep *Report) error   { return DecodeReply(m, new(Reply), rep) }

func TestRuleDefaults(t *testing.T) {
	head := []byte{byte(fib.Inet), 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}
	m := message(t, RTM_NEWRULE, head, func(e *encoder) {
		e.u32(fraFwMark, 5)
		e.u32(fraSuppressPrefixLen, ruleSuppressNone)
		e.u32(fraSuppressIfGroup, ruleSuppressNone)
		e.u8(fraDSCP, 0)
		e.raw(fraDportRange, ne.AppendUint16(ne.AppendUint16(nil, 53), 53))
	})
	var q rules.Request
	require.NoError(t, DecodeRule(m, &q, nil))
	assert.Equal(t, rules.Rule{Family: fib.Inet, Action: rules.ActLookup, Mark: 5, MarkMask: 0xffffffff, DSCPMask: 0x3f, Dport: rules.Port(53)}, q.Rule)

	// A mask of zero that is really there is no selector (A20).
	m = message(t, RTM_NEWRULE, head, func(e *encoder) { e.u32(fraFwMark, 5); e.u32(fraFwMask, 0) })
	require.NoError(t, DecodeRule(m, &q, nil))
	assert.Equal(t, uint32(0), q.MarkMask)
	assert.Equal(t, rules.AttrMarkMask, q.Present)

	m = message(t, RTM_NEWRULE, []byte{byte(fib.Inet), 8, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}, nil)
	assert.ErrorContains(t, DecodeRule(m, &q, nil), "no address for it")
	_, err := AppendRule(nil, Header{}, &rules.Request{Rule: rules.Rule{Iif: "a-name-that-is-too-long"}})
	assert.ErrorContains(t, err, "more than 15 bytes")
}

func TestAddress(t *testing.T) {
	m := message(t, RTM_NEWADDR, []byte{byte(fib.Inet), 24, 0x80, 253, 7, 0, 0, 0}, func(e *encoder) {
		e.raw(ifaAddress, []byte{10, 0, 0, 2})
		e.raw(ifaLocal, []byte{10, 0, 0, 1})
		e.raw(ifaBroadcast, []byte{10, 0, 0, 255})
		e.str(ifaLabel, "d0:1")
		e.u32(ifaFlags, 0x280|1<<20)
		e.u32(ifaRTPriority, 9)
		e.u8(ifaProto, 3)
		e.raw(ifaCacheInfo, ne.AppendUint32(ne.AppendUint32(ne.AppendUint32(ne.AppendUint32(nil, 10), 20), 30), 40))
	})
	var a fib.Address
	var rep Report
	require.NoError(t, DecodeAddress(m, &a, &rep))
	assert.Equal(t, fib.Address{Link: 7, Local: netip.MustParseAddr("10.0.0.1"), Prefix: netip.MustParsePrefix("10.0.0.2/24"),
		Broadcast: netip.MustParseAddr("10.0.0.255"), Scope: fib.ScopeLink, Flags: 0x280 | 1<<20, Label: "d0:1", Protocol: 3,
		Metric: 9, PreferredLft: 10, ValidLft: 20, Created: 30}, a)
	assert.Equal(t, []Unknown{{"RTM_NEWADDR", KindFlag, "ifa_flags", 1 << 20}}, rep.Sorted())

	m = message(t, RTM_NEWADDR, []byte{byte(fib.Inet6), 64, 0x80, 0, 7, 0, 0, 0}, func(e *encoder) { e.addr(ifaAddress, netip.MustParseAddr("2001:db8::1")) })
	require.NoError(t, DecodeAddress(m, &a, nil))
	assert.Equal(t, netip.MustParseAddr("2001:db8::1"), a.Local)
	assert.Equal(t, uint32(1<<32-1), a.ValidLft)
	assert.Error(t, DecodeAddress(message(t, RTM_NEWADDR, []byte{byte(fib.Inet6), 64, 0, 0, 0, 0, 0, 0}, nil), &a, nil))
}

func TestGroupWeightHasSixteenBits(t *testing.T) {
	var o fib.NexthopObject
	m := message(t, RTM_NEWNEXTHOP, make([]byte, 8), func(e *encoder) {
		e.u32(nhaID, 5)
		e.raw(nhaGroup, []byte{1, 0, 0, 0, 0xff, 0x01, 0, 0})
	})
	require.NoError(t, DecodeNexthop(m, &o, nil))
	assert.Equal(t, []fib.GroupMember{{ID: ne.Uint32([]byte{1, 0, 0, 0}), Weight: 512}}, o.Group)
	m = message(t, RTM_NEWNEXTHOP, make([]byte, 8), func(e *encoder) {
		e.u32(nhaID, 5)
		e.raw(nhaGroup, []byte{1, 0, 0, 0, 0xff, 0xff, 0, 0})
	})
	assert.ErrorContains(t, DecodeNexthop(m, &o, nil), "weight 65536")
}

func TestErrorCarriesTheRemark(t *testing.T) {
	e := begin(nil, Header{Type: NLMSG_ERROR, Flags: NLM_F_CAPPED | NLM_F_ACK_TLVS})
	e.num32(uint32(1<<32 - 22))
	e.b = append(e.b, make([]byte, headerLen)...)
	e.str(nlmsgerrAttrMsg, "Invalid prefix")
	errno, remark := DecodeError(ended(t, e))
	assert.Equal(t, "EINVAL", errno.Name())
	assert.Equal(t, "Invalid prefix", remark)
	e = begin(nil, Header{Type: NLMSG_DONE})
	e.num32(0)
	errno, _ = DecodeError(ended(t, e))
	assert.Zero(t, errno)
}

// The kernel refuses every other value (L4), and so does the request that is read from one.
func TestOnlyOneMakesAnL3Rule(t *testing.T) {
	for v, want := range map[byte]bool{0: false, 1: true, 2: false} {
		m := message(t, RTM_NEWRULE, []byte{byte(fib.Inet), 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}, func(e *encoder) { e.u8(fraL3MDev, v) })
		var q rules.Request
		require.NoError(t, DecodeRule(m, &q, nil))
		assert.Equal(t, want, q.L3MDev, v)
		_, _, err := rules.Initial(fib.Inet).Add(q, rules.AddFlags{})
		assert.Equal(t, want, err == nil, v)
	}
}
