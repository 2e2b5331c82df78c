package ksync

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/internal/rtnl"
)

// hear reads until nothing is left and tells the messages, and how often one was lost.
func hear(t testing.TB, s *subscription) (heard []rtnl.Header, lost int) {
	t.Helper()
	for {
		more, err := s.read(0, func(m rtnl.Message) error { heard = append(heard, m.Header); return nil })
		switch {
		case errors.Is(err, errLost):
			lost++
		case err != nil:
			t.Fatal(err)
		case !more:
			return heard, lost
		}
	}
}

func subscribed(t testing.TB, ns *netnstest.NS, opt subscribeOptions) *subscription {
	t.Helper()
	s, err := subscribe(t.Context(), Named(ns.Name()), opt)
	require.NoError(t, err)
	t.Cleanup(s.close)
	return s
}

func TestSubscriptionHearsInOrder(t *testing.T) {
	ns := netnstest.New(t, netnstest.LoUp, netnstest.Quiet)
	s := subscribed(t, ns, subscribeOptions{groups: configGroups})
	ns.Batch("link add d0 type veth peer p0", "link set d0 up", "link set p0 up", "addr add 10.0.0.1/24 dev d0", "route add 10.9.0.0/16 via 10.0.0.2",
		"rule add pref 100 lookup 7", "nexthop add id 5 via 10.0.0.3 dev d0")
	heard, lost := hear(t, s)
	assert.Zero(t, lost)
	var kinds []uint16
	for _, h := range heard {
		if !slices.Contains(kinds, h.Type) {
			kinds = append(kinds, h.Type)
		}
	}
	assert.Subset(t, kinds, []uint16{rtnl.RTM_NEWLINK, rtnl.RTM_NEWADDR, rtnl.RTM_NEWROUTE, rtnl.RTM_NEWRULE, rtnl.RTM_NEWNEXTHOP})
	assert.Less(t, slices.Index(kinds, rtnl.RTM_NEWADDR), slices.Index(kinds, rtnl.RTM_NEWRULE))
	s.close()
	_, err := s.read(0, nil)
	assert.ErrorIs(t, err, net.ErrClosed)
}

// What is lost is told, with a buffer so small that little fits, and what comes after
// the socket was read empty is whole again.
func TestSubscriptionTellsOfLoss(t *testing.T) {
	ns := netnstest.New(t, netnstest.LoUp, netnstest.Quiet)
	ns.Batch("link add d0 type veth peer p0", "link set d0 up", "link set p0 up", "addr add 10.0.0.1/24 dev d0")
	ns.Settle()
	s := subscribed(t, ns, subscribeOptions{groups: configGroups, buffer: 1})
	var add, del []string
	for i := range 500 {
		add = append(add, fmt.Sprintf("route add 10.9.%d.%d via 10.0.0.2", i/256, i%256))
		del = append(del, fmt.Sprintf("route del 10.9.%d.%d", i/256, i%256))
	}
	for range 3 {
		ns.Batch(add...)
		heard, lost := hear(t, s)
		assert.Less(t, len(heard), 500)
		assert.NotZero(t, lost)
		ns.Batch(del...)
		_, lost = hear(t, s)
		assert.NotZero(t, lost)
		ns.Batch(add[0], del[0])
		heard, lost = hear(t, s)
		assert.Len(t, heard, 2)
		assert.Zero(t, lost)
	}
}

func TestSubscriptionWaitsAndEnds(t *testing.T) {
	ns := netnstest.New(t, netnstest.LoUp, netnstest.Quiet)
	ctx, cancel := context.WithCancel(t.Context())
	s, err := subscribe(ctx, Named(ns.Name()), subscribeOptions{groups: configGroups})
	require.NoError(t, err)
	defer s.close()
	more, err := s.read(time.Millisecond, nil)
	require.NoError(t, err)
	assert.False(t, more)
	news := make(chan uint16)
	ended := make(chan error)
	go func() {
		for {
			_, err := s.read(-1, func(m rtnl.Message) error { news <- m.Type; return nil })
			if err != nil {
				ended <- err
				return
			}
		}
	}()
	ns.IP("rule add pref 100 lookup 7")
	assert.EqualValues(t, rtnl.RTM_NEWRULE, <-news)
	cancel()
	assert.ErrorIs(t, <-ended, context.Canceled)
	_, err = subscribe(t.Context(), Named("there is none"), subscribeOptions{})
	assert.Error(t, err)
}

// The kernel's filter keeps back what it is told to, whatever the lists.
func TestEventFilterInTheKernel(t *testing.T) {
	ns := netnstest.New(t, netnstest.LoUp, netnstest.Quiet)
	ns.Batch("link add d0 type veth peer p0", "link set d0 up", "link set p0 up", "addr add 10.0.0.1/24 dev d0", "addr add 2001:db8::1/64 dev d0 nodad")
	ns.Settle()
	r := randtest.Rand(t)
	var many []fib.TableID
	for i := range 600 {
		many = append(many, fib.TableID(70_000+i))
	}
	for range 30 {
		f := eventFilter{}
		if r.IntN(3) > 0 {
			f.tables = subset(r, fib.TableMain, 7, 255+7, 70_000, 1<<31)
			if r.IntN(4) == 0 {
				f.tables = append(many[1:], f.tables...)
			}
		}
		if r.IntN(3) > 0 {
			f.protocols = subset(r, fib.ProtoStatic, 99, 255)
		}
		s := subscribed(t, ns, subscribeOptions{groups: configGroups, filter: f})
		want := 0
		for range 10 {
			table, proto := fib.TableID(oneof(r, 254, 7, 255+7, 70_000, 1<<31, 8)), fib.Protocol(oneof(r, 4, 99, 255, 3))
			to := oneof(r, "10.9.0.0/16 via 10.0.0.2", "2001:db8:9::/48 via 2001:db8::2")
			route := fmt.Sprintf("%s table %d proto %d metric 5", to, table, proto)
			replaced := r.IntN(2) == 0
			ns.IP("route add " + route)
			if replaced {
				ns.IP("route replace " + route + " mtu 1400")
			}
			ns.IP("route del " + route)
			inTable := len(f.tables) == 0 || slices.Contains(f.tables, table)
			inProtocol := len(f.protocols) == 0 || slices.Contains(f.protocols, proto)
			if inTable && inProtocol {
				want += 2
			}
			if inTable && replaced {
				want++
			}
		}
		ns.IP("rule add pref 100 lookup 7")
		ns.IP("rule del pref 100")
		heard, lost := hear(t, s)
		assert.Len(t, heard, want+2, "%+v", f)
		assert.Zero(t, lost)
		s.close()
	}
}

func TestEventFilterKeepsOwnEchoes(t *testing.T) {
	ns := netnstest.New(t, netnstest.LoUp, netnstest.Quiet)
	c, err := dialIn(Named(ns.Name()))
	require.NoError(t, err)
	defer c.close()
	s := subscribed(t, ns, subscribeOptions{groups: configGroups, filter: eventFilter{notFrom: []uint32{1, c.port}}})
	r := fib.Route{Table: 7, Dst: pfx("10.9.0.0/16"), Type: fib.TypeBlackhole, Protocol: fib.ProtoStatic}
	m, err := rtnl.AppendRoute(nil, create(rtnl.RTM_NEWROUTE), &r)
	require.NoError(t, err)
	require.NoError(t, c.request1(m))
	heard, _ := hear(t, s)
	assert.Empty(t, heard)
	ns.IP("route del blackhole 10.9.0.0/16 table 7")
	heard, _ = hear(t, s)
	assert.Len(t, heard, 1)
	require.NoError(t, s.setFilter(eventFilter{}))
	require.NoError(t, c.request1(m))
	heard, _ = hear(t, s)
	assert.Len(t, heard, 1)
}

func TestEventFilterFitsIntoAProgram(t *testing.T) {
	f := eventFilter{tables: make([]fib.TableID, 10_000), protocols: []fib.Protocol{1, 2}}
	assert.LessOrEqual(t, len(f.program()), maxProgram)
	assert.NotEmpty(t, f.program())
	f = eventFilter{tables: make([]fib.TableID, 10_000), links: make([]int32, 10_000), siblings: true}
	assert.LessOrEqual(t, len(f.program()), maxProgram, "of a VRF with many slaves")
	assert.Empty(t, new(eventFilter).program())
}

func TestSubscriptionFreesDescriptors(t *testing.T) {
	ns := netnstest.New(t)
	before := openDescriptors(t)
	for range 20 {
		s, err := subscribe(t.Context(), Named(ns.Name()), subscribeOptions{groups: configGroups})
		require.NoError(t, err)
		s.close()
		s.close()
	}
	assert.Equal(t, before, openDescriptors(t))
}

func subset[T any](r *rand.Rand, from ...T) (out []T) {
	for _, x := range from {
		if r.IntN(2) == 0 {
			out = append(out, x)
		}
	}
	return out
}

func oneof[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// openDescriptors counts this process's; tests that compare must not run in parallel.
func openDescriptors(t testing.TB) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(open)
}

// A kernel can have no room for a filter, or not for two at a time.
func TestSubscriptionWithoutRoomForAFilter(t *testing.T) {
	t.Parallel()
	netnstest.Need(t, netnstest.FilterRoom)
	ns := netnstest.New(t, netnstest.LoUp)
	ns.Sysctl("net.core.optmem_max", "8192")
	f := eventFilter{tables: make([]fib.TableID, 300)}
	for i := range f.tables {
		f.tables[i] = fib.TableID(1000 + i)
	}
	s := subscribed(t, ns, subscribeOptions{groups: configGroups, filter: f})
	ns.IP("route add blackhole 10.9.0.0/16 table 7")
	heard, _ := hear(t, s)
	assert.Empty(t, heard)
	require.NoError(t, s.setFilter(f), "in place of one that takes more than half of the room")
	ns.IP("route add blackhole 10.8.0.0/16 table 7")
	heard, _ = hear(t, s)
	assert.Empty(t, heard)
	f.tables = append(f.tables, make([]fib.TableID, 1000)...)
	require.NoError(t, s.setFilter(f))
	ns.IP("route add blackhole 10.7.0.0/16 table 7")
	heard, _ = hear(t, s)
	assert.Len(t, heard, 1)
}
