package rtnl

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/rules"
)

// fuzz feeds bytes to a decoder as a whole message and as a stream of messages:
// no panic, and no attribute read beyond its own bytes, which the race and bounds
// checks of the runtime would tell. After success, decode must give the same
// again from a copy: nothing depends on leftovers.
func fuzz(f *testing.F, typ uint16, seeds [][]byte, decode func(Message, *Report) error) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		var one, two Report
		m := Message{Header: Header{Type: typ}, Data: data}
		err := decode(m, &one)
		m.Data = append([]byte(nil), data...)
		require.Equal(t, err, decode(m, &two))
		require.Equal(t, one.Sorted(), two.Sorted())
	})
}

// body strips the head of each message.
func body(b []byte, err error) []byte {
	if err != nil || len(b) < headerLen {
		return nil
	}
	return b[headerLen:]
}

func FuzzRoute(f *testing.F) {
	g := gen{randtest.Rand(f)}
	var seeds [][]byte
	for range 20 {
		r := g.route()
		seeds = append(seeds, body(AppendRoute(nil, Header{}, &r)))
	}
	fuzz(f, RTM_NEWROUTE, seeds, decodeRoute)
}

// A decoder that saw other messages leaves what one without a memory does.
func FuzzRouteDecoder(f *testing.F) {
	g := gen{randtest.Rand(f)}
	for range 20 {
		r := g.route()
		one, two := body(AppendRoute(nil, Header{}, &r)), body(AppendRoute(nil, Header{}, &r))
		inKernelsOrder(one)
		f.Add(one, two, g.Uint32(), uint8(g.IntN(40)))
	}
	f.Fuzz(func(t *testing.T, first, second []byte, dst uint32, bits uint8) {
		var d RouteDecoder
		kinds := map[uint64]string{}
		var got fib.Route
		var ours, theirs Report
		decode := func(data []byte) {
			m := Message{Header: Header{Type: RTM_NEWROUTE}, Data: data}
			var want fib.Route
			want.Nexthops = []fib.Nexthop{}
			wantErr := DecodeRoute(m, &want, &theirs)
			if kind, dst := d.Kind(m); kind != 0 {
				require.NoError(t, wantErr)
				require.Equal(t, want.Dst, dst)
				like := want
				like.Dst = netip.Prefix{}
				if kinds[kind] == "" {
					kinds[kind] = fmt.Sprintf("%+v", like)
				}
				require.Equal(t, kinds[kind], fmt.Sprintf("%+v", like))
			}
			require.Equal(t, wantErr, d.Decode(m, &got, &ours))
			if wantErr != nil {
				return
			}
			if got.Nexthops == nil {
				got.Nexthops = []fib.Nexthop{}
			}
			require.Equal(t, want, got)
			require.Equal(t, theirs.Sorted(), ours.Sorted())
			for _, u := range theirs.Sorted() {
				require.Equal(t, theirs.Count(u), ours.Count(u))
			}
			for i := range got.Nexthops { // whatever the caller does with it
				got.Nexthops[i] = fib.Nexthop{}
			}
			got.Table, got.Metrics = 7, fib.Metrics{CongCtl: "x"}
		}
		decode(first)
		decode(second)
		for _, data := range [][]byte{first, second} {
			if len(data) >= dstEnd { // another destination
				data = append([]byte(nil), data...)
				ne.PutUint32(data[dstAt:], dst)
				data[1] = bits
				decode(data)
				decode(first)
			}
		}
	})
}

// A route that can be decoded and sent again is the same route.
func FuzzRouteAgain(f *testing.F) {
	g := gen{randtest.Rand(f)}
	for range 20 {
		r := g.route()
		f.Add(body(AppendRoute(nil, Header{}, &r)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var r, again fib.Route
		if DecodeRoute(Message{Header: Header{Type: RTM_NEWROUTE}, Data: data}, &r, nil) != nil || r.NexthopID != 0 {
			return
		}
		for i := range r.Nexthops {
			r.Nexthops[i].Flags &= fib.FlagOnlink | fib.FlagPervasive
			if len(r.Nexthops) == 1 {
				r.Nexthops[i].Weight = 1
			}
			if r.Nexthops[i].Encap.Type == 0 {
				r.Nexthops[i].Encap.Data = ""
			}
		}
		r.Flags &= RTM_F_PREFIX
		b, err := AppendRoute(nil, Header{Type: RTM_NEWROUTE}, &r)
		if err != nil {
			return // an encapsulation that does not fit a second time
		}
		require.NoError(t, DecodeRoute(only(t, b), &again, nil))
		if len(r.Nexthops) == 1 && r.Nexthops[0].Link == 0 && !r.Nexthops[0].Gateway.IsValid() {
			return // a leg with nothing but flags or realms cannot be told from none
		}
		require.Equal(t, r, again)
	})
}

func FuzzReply(f *testing.F) {
	g := gen{randtest.Rand(f)}
	var seeds [][]byte
	for range 10 {
		fl := fib.Flow{Dst: g.addr(g.family()), Mark: 1, Sport: 5, IPProto: 6, FlowLabel: 7}
		seeds = append(seeds, body(AppendRouteQuery(nil, 1, &fl, 0)))
	}
	fuzz(f, RTM_NEWROUTE, seeds, decodeReply)
}

func FuzzRule(f *testing.F) {
	g := gen{randtest.Rand(f)}
	for range 20 {
		q := rules.RequestOf(g.rule())
		f.Add(body(AppendRule(nil, Header{}, &q)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var q, again rules.Request
		if DecodeRule(Message{Header: Header{Type: RTM_NEWRULE}, Data: data}, &q, nil) != nil {
			return
		}
		b, err := AppendRule(nil, Header{Type: RTM_NEWRULE}, &q)
		if err != nil {
			return // a name that no link can have
		}
		require.NoError(t, DecodeRule(only(t, b), &again, nil))
		// Explicit attributes that say what absence says may vanish or appear.
		q.Present, again.Present = 0, 0
		require.Equal(t, q, again)
	})
}

func FuzzNexthop(f *testing.F) {
	g := gen{randtest.Rand(f)}
	var seeds [][]byte
	for range 20 {
		o := g.nexthop()
		seeds = append(seeds, body(AppendNexthop(nil, Header{}, &o)))
	}
	fuzz(f, RTM_NEWNEXTHOP, seeds, decodeNexthop)
}

func FuzzBucket(f *testing.F)    { fuzz(f, RTM_NEWNEXTHOPBUCKET, nil, decodeBucket) }
func FuzzLink(f *testing.F)      { fuzz(f, RTM_NEWLINK, [][]byte{linkSeed(f)}, decodeLink) }
func FuzzAddress(f *testing.F)   { fuzz(f, RTM_NEWADDR, nil, decodeAddress) }
func FuzzNeighbour(f *testing.F) { fuzz(f, RTM_NEWNEIGH, nil, decodeNeighbour) }
func FuzzAddrLabel(f *testing.F) { fuzz(f, RTM_NEWADDRLABEL, nil, decodeAddrLabel) }
func FuzzNetconf(f *testing.F)   { fuzz(f, RTM_NEWNETCONF, nil, decodeNetconf) }

func linkSeed(f *testing.F) []byte {
	return message(f, RTM_NEWLINK, make([]byte, linkHeadLen), func(e *encoder) {
		e.str(iflaIfName, "red")
		open := e.nest(iflaLinkInfo)
		e.str(iflaInfoKind, "vrf")
		data := e.nest(iflaInfoData)
		e.u32(iflaVRFTable, 100)
		e.close(data)
		e.close(open)
		open = e.nest(iflaAFSpec)
		inet := e.nest(2)
		e.raw(iflaInetConf, make([]byte, 132))
		e.close(inet)
		e.close(open)
	}).Data
}

// FuzzStream cuts bytes into messages: each lies within the buffer, in order,
// and the walk ends.
func FuzzStream(f *testing.F) {
	f.Add(body(AppendDump(nil, 1, Dump{Type: RTM_GETLINK})))
	b, _ := AppendDump(nil, 1, Dump{Type: RTM_GETLINK})
	f.Add(append(b, b...))
	f.Fuzz(func(t *testing.T, data []byte) {
		for rest := data; len(rest) > 0; {
			m, next, err := Next(rest)
			if err != nil {
				require.Nil(t, next)
				return
			}
			require.Less(t, len(next), len(rest))
			require.LessOrEqual(t, len(m.Data)+headerLen, len(rest))
			DecodeError(m) // must not panic, whatever it says
			rest = next
		}
	})
}
