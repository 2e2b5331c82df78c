package rtnl

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
)

// An answer without room for its errno is no success.
func TestErrorCutShortIsAnError(t *testing.T) {
	for n := range 4 {
		m := Message{Header: Header{Type: NLMSG_ERROR}, Data: make([]byte, n)}
		errno, remark := DecodeError(m)
		assert.NotZero(t, errno, "%d bytes", n)
		assert.Contains(t, remark, "cut short")
	}
	errno, _ := DecodeError(Message{Header: Header{Type: NLMSG_DONE}})
	assert.Zero(t, errno, "the end of a dump may come without a number")
}

// What a nexthop group costs must not grow with how often it is announced in one
// message.
func TestManyBucketCountsCostOne(t *testing.T) {
	m := message(t, RTM_NEWNEXTHOP, make([]byte, nexthopHeadLen), func(e *encoder) {
		e.u32(nhaID, 7)
		for range 1000 {
			open := e.nest(nhaResGroup)
			e.u16(nhaResGroupBuckets, 1<<16-1)
			e.close(open)
		}
	})
	var o fib.NexthopObject
	allocs := testing.AllocsPerRun(3, func() { require.NoError(t, DecodeNexthop(m, &o, nil)) })
	assert.LessOrEqual(t, allocs, 4.0)
	assert.Len(t, o.Buckets, 1<<16-1)
}

func TestNexthopWithoutIDIsMalformed(t *testing.T) {
	m := message(t, RTM_NEWNEXTHOP, make([]byte, nexthopHeadLen), func(e *encoder) { e.raw(nhaBlackhole, nil) })
	var o fib.NexthopObject
	require.ErrorContains(t, DecodeNexthop(m, &o, nil), "NHA_ID")
}

func TestMetricCutShortIsNamed(t *testing.T) {
	m := message(t, RTM_NEWROUTE, routeHead(fib.Inet, 0, fib.TypeUnicast, 0), func(e *encoder) {
		open := e.nest(rtaMetrics)
		e.raw(uint16(fib.MetricMTU), []byte{1, 2})
		e.close(open)
	})
	var r fib.Route
	require.ErrorContains(t, DecodeRoute(m, &r, nil), "RTAX_MTU has 2 bytes")
}

// Attributes have 16 bits for their length; what does not fit must not be sent as
// something else.
func TestOverlongValuesAreRefused(t *testing.T) {
	long := strings.Repeat("x", 1<<16)
	dst := netip.MustParsePrefix("10.0.0.0/8")
	h := Header{Type: RTM_NEWROUTE}
	for name, send := range map[string]func(b []byte) ([]byte, error){
		"congestion control": func(b []byte) ([]byte, error) {
			return AppendRoute(b, h, &fib.Route{Dst: dst, Metrics: fib.Metrics{CongCtl: long}})
		},
		"route's encapsulation": func(b []byte) ([]byte, error) {
			return AppendRoute(b, h, &fib.Route{Dst: dst, Nexthops: []fib.Nexthop{{Encap: fib.Encap{Type: 1, Data: long}}}})
		},
		"one of two encapsulations": func(b []byte) ([]byte, error) {
			leg := fib.Nexthop{Encap: fib.Encap{Type: 1, Data: long[:1<<15+1<<14]}}
			return AppendRoute(b, h, &fib.Route{Dst: dst, Nexthops: []fib.Nexthop{leg, leg}})
		},
		"object's encapsulation": func(b []byte) ([]byte, error) {
			return AppendNexthop(b, h, &fib.NexthopObject{ID: 1, Family: fib.Inet, Nexthop: fib.Nexthop{Encap: fib.Encap{Type: 1, Data: long}}})
		},
		"group": func(b []byte) ([]byte, error) {
			return AppendNexthop(b, h, &fib.NexthopObject{ID: 1, Group: make([]fib.GroupMember, 9000)})
		},
	} {
		b, err := send([]byte("kept"))
		assert.ErrorContains(t, err, "not fit", name)
		assert.Equal(t, "kept", string(b), name)
	}
}

func TestARequestSaysItsDestination(t *testing.T) {
	for _, dst := range []netip.Prefix{{}, netip.PrefixFrom(netip.MustParseAddr("10.1.0.0"), 0), netip.PrefixFrom(netip.MustParseAddr("10.1.0.0"), 33)} {
		b, err := AppendRoute([]byte{1}, Header{Type: RTM_NEWROUTE}, &fib.Route{Dst: dst})
		require.Error(t, err, dst)
		assert.Equal(t, []byte{1}, b)
	}
}
