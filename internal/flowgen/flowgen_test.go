package flowgen

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/rules"
)

func snapshot(t *testing.T) *fib.Snapshot {
	t.Helper()
	f := fib.New(fib.Config{})
	_, err := f.Update(func(tx *fib.Txn) error {
		st := f.Snapshot().State()
		st.Links = []fib.Link{{Index: 1, Name: "lo"}, {Index: 7, Name: "d0"}}
		st.Addresses = []fib.Address{{Link: 7, Local: netip.MustParseAddr("10.1.2.3"), Prefix: netip.MustParsePrefix("10.1.2.3/24")}}
		st.Routes = []fib.Route{
			{Table: 9, Dst: netip.MustParsePrefix("10.9.0.0/16"), Type: fib.TypeThrow},
			{Table: 9, Dst: netip.MustParsePrefix("2001:db8:9::/48"), Type: fib.TypeThrow},
		}
		st.Rules = append(st.Rules, rules.Rule{Family: fib.Inet, Priority: 5, Action: rules.ActLookup, Table: 9, Mark: 0x40, MarkMask: 0xf0,
			UIDs: rules.UIDRange{Start: 50, End: 60}, HasUIDs: true, Dport: rules.Ports(8000, 8080)})
		return tx.Load(st)
	})
	require.NoError(t, err)
	return f.Snapshot()
}

func draw(s *fib.Snapshot, seed uint64, o Options, n int) (out []fib.Flow) {
	g := New(s, seed, o)
	for range n {
		out = append(out, g.Next())
	}
	return out
}

func TestSameSeedSameFlows(t *testing.T) {
	s := snapshot(t)
	assert.Equal(t, draw(s, 3, Options{Input: true}, 500), draw(s, 3, Options{Input: true}, 500))
	assert.NotEqual(t, draw(s, 3, Options{}, 500), draw(s, 4, Options{}, 500))
}

// The neighbourhood of everything that decides is met.
func TestFlowsAimAtBoundaries(t *testing.T) {
	met := map[any]bool{}
	for _, f := range draw(snapshot(t), 1, Options{Input: true}, 20_000) {
		met[f.Dst], met[[2]any{"src", f.Src}], met[[2]any{"mark", f.Mark}] = true, true, true
		met[[2]any{"uid", f.UID}], met[[2]any{"dport", f.Dport}] = true, true
		met[[2]any{"iif", f.Iif}], met[[2]any{"oif", f.Oif}] = true, true
	}
	for _, want := range []string{"10.9.0.0", "10.9.255.255", "10.8.255.255", "10.10.0.0", "2001:db8:9::", "2001:db8:8:ffff:ffff:ffff:ffff:ffff",
		"2001:db8:a::", "10.1.2.3", "224.0.0.1", "ff02::1"} {
		assert.True(t, met[netip.MustParseAddr(want)], want)
	}
	for _, want := range [][2]any{{"src", netip.MustParseAddr("10.1.2.3")}, {"src", netip.Addr{}}, {"mark", uint32(0x40)}, {"mark", uint32(0xb0)},
		{"uid", uint32(49)}, {"uid", uint32(50)}, {"uid", uint32(60)}, {"uid", uint32(61)}, {"dport", uint16(7999)}, {"dport", uint16(8081)},
		{"iif", int32(7)}, {"oif", int32(7)}, {"iif", int32(0)}} {
		assert.True(t, met[want], "%v", want)
	}
}

func TestOptionsRestrict(t *testing.T) {
	for _, f := range draw(snapshot(t), 2, Options{Family: fib.Inet6, NoOif: true}, 2000) {
		assert.Equal(t, fib.Inet6, f.Family())
		assert.Zero(t, f.Oif)
		assert.Zero(t, f.Iif)
	}
}

// Where there is room, each edge is tried, the same ones for every seed.
func TestFlowsTryEachEdgeOnce(t *testing.T) {
	s := snapshot(t)
	for seed := range uint64(20) {
		met := map[fib.Flow]bool{}
		n := 0
		for f := range New(s, seed, Options{Input: true}).Flows(5000) {
			n++
			// What the rule does not ask about is left to chance.
			met[fib.Flow{Dst: f.Dst}] = true
			met[fib.Flow{Mark: f.Mark, UID: f.UID, UIDSet: f.UIDSet, Dport: f.Dport}] = true
			met[fib.Flow{Dst: f.Dst, Iif: f.Iif, Oif: f.Oif}] = true
		}
		require.Equal(t, 5000, n)
		for _, dst := range []string{"10.9.0.0", "10.9.255.255", "10.8.255.255", "10.10.0.0", "2001:db8:9::", "2001:db8:a::"} {
			assert.True(t, met[fib.Flow{Dst: netip.MustParseAddr(dst)}], "seed %d: %s", seed, dst)
		}
		on := fib.Flow{Mark: 0x40, UID: 50, UIDSet: true, Dport: 8080}
		for bit := range 32 {
			off := on
			off.Mark ^= 1 << bit
			assert.True(t, met[off], "seed %d: mark %#x", seed, off.Mark)
		}
		for _, uid := range []uint32{49, 50, 60, 61} {
			off := on
			off.UID = uid
			assert.True(t, met[off], "seed %d: uid %d", seed, uid)
		}
		for _, port := range []uint16{7999, 8000, 8080, 8081} {
			off := on
			off.Dport = port
			assert.True(t, met[off], "seed %d: dport %d", seed, port)
		}
		for _, dst := range special[fib.Inet6] {
			assert.True(t, met[fib.Flow{Dst: dst, Iif: 7}] && met[fib.Flow{Dst: dst, Oif: 7}], "seed %d: %v", seed, dst)
		}
	}
}

// Where there is none, flows are still spread over all, and as many as asked for.
func TestFewFlowsAreSpread(t *testing.T) {
	s := snapshot(t)
	for _, n := range []int{0, 1, 10, 100} {
		families := map[fib.Family]int{}
		got := 0
		for f := range New(s, 1, Options{Input: true}).Flows(n) {
			got++
			families[f.Family()]++
		}
		assert.Equal(t, n, got)
		if n == 100 {
			assert.Greater(t, families[fib.Inet], 20)
			assert.Greater(t, families[fib.Inet6], 20)
		}
	}
	for f := range New(s, 1, Options{Family: fib.Inet, NoOif: true}).Flows(1000) {
		assert.Zero(t, f.Iif|f.Oif)
		assert.Equal(t, fib.Inet, f.Family())
	}
}
