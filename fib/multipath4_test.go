package fib_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/conformance"
)

// threeLegs has a route through three links with weights 1, 2 and 1, plain or by
// nexthop objects, and the given neighbour states of the gateways.
func threeLegs(k fib.KernelVersion, objects bool, neigh ...fib.NeighState) *fib.State {
	st := &fib.State{Kernel: k, Sysctls: fib.DefaultSysctls(), Mode4: fib.ModeMerged}
	st.Links = []fib.Link{{Index: 1, Name: "lo", Flags: fib.LinkUp | fib.LinkLoopback, MTU: 65536}}
	r := fib.Route{Table: fib.TableMain, Dst: netip.MustParsePrefix("10.9.0.0/16"), Type: fib.TypeUnicast}
	group := fib.NexthopObject{ID: 9}
	for i := range int32(3) {
		l, weight := i+2, uint16(1+i%2)
		st.Links = append(st.Links, fib.Link{Index: l, Name: string(rune('a' + i)), Flags: fib.LinkUp | fib.LinkLowerUp, MTU: 1500})
		st.Addresses = append(st.Addresses, fib.Address{Link: l, Local: gw4(l, 1), Prefix: netip.PrefixFrom(gw4(l, 1), 24)})
		n := fib.Nexthop{Link: l, Gateway: gw4(l, 9), Weight: weight}
		r.Nexthops = append(r.Nexthops, n)
		st.Nexthops = append(st.Nexthops, fib.NexthopObject{ID: uint32(l), Family: fib.Inet, Scope: fib.ScopeLink, Nexthop: n})
		group.Group = append(group.Group, fib.GroupMember{ID: uint32(l), Weight: weight})
		if int(i) < len(neigh) && neigh[i] != fib.NeighNone {
			st.Neighbours = append(st.Neighbours, fib.Neighbour{Link: l, Addr: gw4(l, 9), State: neigh[i]})
		}
	}
	if objects {
		st.Nexthops = append(st.Nexthops, group)
		r.NexthopID, r.Nexthops = 9, nil
	}
	st.Routes = []fib.Route{r}
	return st
}

func sharesOf(e fib.Explanation) []float64 {
	var out []float64
	for _, l := range e.Legs {
		out = append(out, l.Share)
	}
	return out
}

func TestSharesOfLegs(t *testing.T) {
	const failed = fib.NeighFailed
	old := fib.KernelVersion{Major: 6, Minor: 1}
	for _, c := range []struct {
		name    string
		kernel  fib.KernelVersion
		objects bool
		neigh   []fib.NeighState
		use     bool // fib_multipath_use_neigh
		src     string
		want    []float64
	}{
		{name: "by weight", want: []float64{0.25, 0.5, 0.25}},
		{name: "neighbours do not count (B23)", neigh: []fib.NeighState{failed}, want: []float64{0.25, 0.5, 0.25}},
		{name: "neighbours count", use: true, neigh: []fib.NeighState{failed}, want: []float64{0, 0.75, 0.25}},
		{name: "the last one failed", use: true, neigh: []fib.NeighState{0, 0, failed}, want: []float64{0.5, 0.5, 0}},
		{name: "all failed: the first stands", use: true, neigh: []fib.NeighState{failed, failed, failed}, want: []float64{1, 0, 0}},
		{name: "the source's leg (B21)", src: "10.4.0.1", want: []float64{0, 0, 1}},
		{name: "no source preference before 6.16", kernel: old, src: "10.4.0.1", want: []float64{0.25, 0.5, 0.25}},
		{name: "group (B24)", objects: true, neigh: []fib.NeighState{failed}, want: []float64{0, 0.75, 0.25}},
		{name: "group, all failed", objects: true, neigh: []fib.NeighState{failed, failed, failed}, want: []float64{1, 0, 0}},
		{name: "group before 6.6: a failed last member keeps its share", kernel: old, objects: true, neigh: []fib.NeighState{0, 0, failed}, want: []float64{0.25, 0.5, 0.25}},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := threeLegs(c.kernel, c.objects, c.neigh...)
			st.Sysctls.MultipathUseNeigh = c.use
			s := loaded(t, st)
			f := fib.Flow{Dst: netip.MustParseAddr("10.9.1.5")}
			if c.src != "" {
				f.Src = netip.MustParseAddr(c.src)
			}
			checkFlow(t, s, f)
			e := s.Explain(f)
			assert.InDeltaSlice(t, c.want, sharesOf(e), 1e-6)
			certain := false
			for _, share := range c.want {
				certain = certain || share == 1
			}
			assert.Equal(t, certain, e.Decision.Undetermined == 0, "the seed is unknown: %+v", e.Decision)
		})
	}
}

// The shares that Explain states are those that flows get.
func TestSharesAreWhatFlowsGet(t *testing.T) {
	conformance.CoversEngine(t, "K19", "K21")
	st := threeLegs(fib.KernelVersion{}, false)
	st.Sysctls.HashSeed = 12345
	s := loaded(t, st)
	const flows = 20000
	count := map[int32]int{}
	for i := range flows {
		d := s.Resolve(fib.Flow{Dst: netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)})})
		require.Zero(t, d.Undetermined)
		count[d.Link]++
	}
	for i, share := range []float64{0.25, 0.5, 0.25} {
		assert.InDelta(t, share, float64(count[int32(i+2)])/flows, 0.02)
	}
}

func TestDefaultRouters(t *testing.T) {
	conformance.CoversEngine(t, "B18", "J2")
	for _, c := range []struct {
		name  string
		neigh []fib.NeighState
		link  int32
		open  bool // the outcome depends on earlier lookups
	}{
		{"no entries", nil, 2, false},
		{"reachable", []fib.NeighState{fib.NeighReachable}, 2, false},
		{"failed", []fib.NeighState{fib.NeighFailed}, 3, false},
		{"stale", []fib.NeighState{fib.NeighStale}, 2, true},
		{"stale, the others failed", []fib.NeighState{fib.NeighStale, fib.NeighFailed, fib.NeighFailed}, 2, false},
		{"all incomplete", []fib.NeighState{fib.NeighIncomplete, fib.NeighIncomplete, fib.NeighIncomplete}, 2, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := threeLegs(fib.KernelVersion{}, false, c.neigh...)
			st.Routes = nil
			for l := int32(2); l <= 4; l++ {
				st.Routes = append(st.Routes, route4("0.0.0.0/0", fib.TableMain, gw4(l, 9).String(), l))
			}
			s := loaded(t, st)
			f := fib.Flow{Dst: netip.MustParseAddr("9.9.9.9")}
			checkFlow(t, s, f)
			d := s.Resolve(f)
			assert.Equal(t, c.link, d.Link)
			assert.Equal(t, c.open, d.Undetermined&fib.UndeterminedDefaultRouter != 0)
		})
	}
}

// A gateway of which nobody knows whether it is used may be none of the routers, and the
// state of its neighbour may not count.
func TestOpenGatewaysAreNoCertainRouters(t *testing.T) {
	conformance.CoversEngine(t, "B18", "B23", "B30", "J9")
	links := func(s *fib.Snapshot, f fib.Flow) (out []int32) {
		for _, d := range s.Candidates(f) {
			if !slices.Contains(out, d.Link) {
				out = append(out, d.Link)
			}
		}
		require.Equal(t, s.Resolve(f).Link, out[0])
		slices.Sort(out)
		return out
	}
	covered := fib.Route{Table: fib.TableLocal, Dst: netip.MustParsePrefix("10.3.0.0/16"), Type: fib.TypeLocal, Scope: fib.ScopeHost,
		Nexthops: []fib.Nexthop{{Link: 3}}}
	st := threeLegs(fib.KernelVersion{}, false, fib.NeighFailed)
	st.Sysctls.HashSeed, st.Sysctls.MultipathUseNeigh = 7, true
	st.Routes = append(st.Routes, covered)
	for l := int32(2); l <= 4; l++ {
		st.Routes = append(st.Routes, route4("0.0.0.0/0", fib.TableMain, gw4(l, 9).String(), l))
	}
	for dst, gateway := range map[string]bool{"9.9.9.9": true, "224.0.0.1": false} {
		s, f := loaded(t, st), fib.Flow{Dst: netip.MustParseAddr(dst)}
		checkFlow(t, s, f)
		d := s.Resolve(f)
		assert.Equal(t, int32(3), d.Link, "the first failed")
		assert.Equal(t, gateway, d.Gateway.IsValid())
		assert.Equal(t, fib.UndeterminedGateway, d.Undetermined)
		assert.Equal(t, []int32{3, 4}, links(s, f))
	}
	st.Neighbours = append(st.Neighbours, fib.Neighbour{Link: 4, Addr: gw4(4, 9), State: fib.NeighFailed})
	assert.Equal(t, []int32{2, 3, 4}, links(loaded(t, st), fib.Flow{Dst: netip.MustParseAddr("9.9.9.9")}), "the last resort is one of the others")

	st.Neighbours[1] = fib.Neighbour{Link: 3, Addr: gw4(3, 9), State: fib.NeighReachable}
	s, open := loaded(t, st), 0
	for i := range 100 {
		f := fib.Flow{Dst: netip.AddrFrom4([4]byte{10, 9, 0, byte(i)})}
		require.NotContains(t, links(s, f), int32(2), "failed")
		open += len(links(s, f)) - 1
	}
	assert.Zero(t, open, "where the neighbour is good it does not matter")
	st.Neighbours[1].State = fib.NeighFailed
	s = loaded(t, st)
	for i := range 100 {
		f := fib.Flow{Dst: netip.AddrFrom4([4]byte{10, 9, 0, byte(i)})}
		checkFlow(t, s, f)
		require.Contains(t, links(s, f), int32(4))
		open += len(links(s, f)) - 1
	}
	assert.Positive(t, open, "a leg without gateway has no neighbour that may fail")
}
