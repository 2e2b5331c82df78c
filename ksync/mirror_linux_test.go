package ksync

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/conformance"
	"github.com/fibula-net/fibula/internal/netnstest"
)

func TestMirrorFollows(t *testing.T) {
	t.Parallel()
	ns := netnstest.New(t, netnstest.LoUp, netnstest.Quiet)
	ns.Batch("link add d0 type veth peer p0", "link set d0 up", "link set p0 up", "addr add 10.0.0.1/24 dev d0", "addr add 2001:db8::1/64 dev d0 nodad",
		"route add 10.9.0.0/16 via 10.0.0.2", "route add 2001:db8:9::/48 via 2001:db8::2", "rule add pref 100 lookup 7")
	m := mirrored(t, ns, MirrorOptions{})
	requireSame(t, m, Named(ns.Name()))
	for _, line := range []string{"route add 10.8.0.0/16 via 10.0.0.3", "route append 10.8.0.0/16 via 10.0.0.4", "route prepend 10.8.0.0/16 via 10.0.0.5",
		"route replace 10.8.0.0/16 via 10.0.0.6", "route del 10.8.0.0/16 via 10.0.0.4", "rule add pref 50 from 10.0.0.0/8 lookup 9",
		"route append 2001:db8:9::/48 via 2001:db8::3", "route add 2001:db8:8::/48 nexthop via 2001:db8::2 nexthop via 2001:db8::3",
		"nexthop add id 7 via 10.0.0.9 dev d0", "route add 10.7.0.0/16 nhid 7", "nexthop del id 7", "addr add 10.0.7.1/24 dev d0",
		"link set p0 down", "link set p0 up", "addr del 10.0.0.1/24 dev d0", "link set d0 down", "link set d0 name x0", "rule del pref 50", "link set x0 up", "link del x0"} {
		ns.IP(line)
		if diff := atRest(t, m, Named(ns.Name())); diff != "" {
			t.Errorf("after %s:\n%s", line, diff)
		}
	}
	s := m.Stats()
	assert.Zero(t, s.Overruns)
	assert.Zero(t, s.Drift)
	assert.NotZero(t, s.Events["route"])
	c, err := m.Audit(t.Context())
	require.NoError(t, err)
	assert.True(t, c.Equal())
	assert.Equal(t, m.FIB().Snapshot().Generation(), c.Generation)
}

// What the kernel does without a word (F2), one by one: the mirror has it as soon as the
// event that causes it is applied, without looking.
func TestMirrorDerivesWhatIsSilent(t *testing.T) {
	routes := []string{"route add 10.9.0.0/16 via 10.0.0.2", "route add 10.8.0.0/16 via 10.0.0.2 table 100",
		"route add 10.7.0.0/16 nexthop via 10.0.0.2 nexthop via 10.1.0.2", "route add 2001:db8:7::/48 nexthop via 2001:db8::2 nexthop via 2001:db8:1::2"}
	objects := []string{"nexthop add id 1 via 10.0.0.2 dev d0", "nexthop add id 2 via 10.1.0.2 dev d1", "nexthop add id 5 group 1/2",
		"nexthop add id 6 via 2001:db8::2 dev d0", "route add 10.6.0.0/16 nhid 1", "route add 10.5.0.0/16 nhid 5", "route add 2001:db8:6::/48 nhid 6"}
	for _, c := range []struct {
		name   string
		sysctl [2]string
		before []string
		do     []string
	}{
		{name: "F2.1 IPv4 routes of a link set down", before: routes, do: []string{"link set d0 down"}},
		{name: "F2.1 IPv4 routes of a link deleted", before: routes, do: []string{"link del d0"}},
		{name: "F2.1 IPv4 routes with the last address", before: routes, do: []string{"addr del 10.0.0.1/24 dev d0"}},
		{name: "F2.2 legs without carrier", before: routes, do: []string{"link set p0 down"}},
		{name: "F2.2 legs whose carrier is back", before: append([]string{"link set p0 down"}, routes...), do: []string{"link set p0 up"}},
		{name: "F2.3 routes of a deleted object", before: objects, do: []string{"nexthop del id 1"}},
		{name: "F2.3 routes of a deleted object, not expanded", sysctl: [2]string{"net.ipv4.nexthop_compat_mode", "0"}, before: objects, do: []string{"nexthop del id 1", "nexthop del id 6"}},
		{name: "F2.4 objects of a link set down", before: objects, do: []string{"link set d0 down"}},
		{name: "F2.4 objects of a link without carrier", before: objects, do: []string{"link set p0 down"}},
		{name: "F2.5 rules that name a link", before: []string{"rule add iif x0 lookup 100"}, do: []string{"link set d0 name x0"}},
		{name: "F2.8 IPv6 preferred sources", before: []string{"route add 2001:db8:9::/48 via 2001:db8:1::2 src 2001:db8::1"}, do: []string{"addr del 2001:db8::1/64 dev d0"}},
		{name: "F2.10 IPv6 routes of a link set down", sysctl: [2]string{"net.ipv6.route.skip_notify_on_dev_down", "1"}, before: routes, do: []string{"link set d0 down"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			conformance.Covers(t, conformance.NumbersIn(c.name)...)
			ns := netnstest.New(t, netnstest.LoUp, netnstest.Quiet)
			if c.sysctl[0] != "" {
				ns.Sysctl(c.sysctl[0], c.sysctl[1])
			}
			ns.Batch("link add d0 type veth peer p0", "link add d1 type veth peer p1", "link set d0 up", "link set p0 up", "link set d1 up", "link set p1 up",
				"addr add 10.0.0.1/24 dev d0", "addr add 10.1.0.1/24 dev d1", "addr add 2001:db8::1/64 dev d0 nodad", "addr add 2001:db8:1::1/64 dev d1 nodad")
			ns.Settle()
			ns.Batch(c.before...)
			ns.Settle()
			m := mirrored(t, ns, MirrorOptions{})
			require.NoError(t, m.Sync(t.Context()))
			ns.Batch(c.do...)
			if diff := atRest(t, m, Named(ns.Name())); diff != "" {
				t.Fatal(diff)
			}
			audit, err := m.Audit(t.Context())
			require.NoError(t, err)
			assert.True(t, audit.Equal(), "%+v", audit)
			assert.Zero(t, m.Stats().Drift, "what was derived is what the kernel did")
		})
	}
}

// A namespace that loses its name, or is replaced under it, ends the mirror, which would
// hold it open otherwise.
func TestMirrorEndsWithItsNamespace(t *testing.T) {
	t.Parallel()
	ns := netnstest.New(t, netnstest.LoUp, netnstest.Quiet)
	name := ns.Name() + "x"
	ip := func(args ...string) { require.NoError(t, exec.Command("ip", args...).Run(), "%v", args) }
	ip("netns", "add", name)
	m, err := Mirror(t.Context(), fib.New(fib.Config{}), MirrorOptions{NetNS: Named(name), Poll: time.Millisecond})
	require.NoError(t, err)
	ip("netns", "del", name)
	<-m.Done()
	assert.ErrorIs(t, m.Err(), ErrNamespaceGone)
	ip("netns", "add", name)
	defer ip("netns", "del", name)
	m, err = Mirror(t.Context(), fib.New(fib.Config{}), MirrorOptions{NetNS: Named(name), Poll: time.Hour})
	require.NoError(t, err)
	ip("netns", "del", name)
	ip("netns", "add", name)
	require.ErrorIs(t, errors.Join(m.Sync(t.Context()), m.Err()), ErrNamespaceGone)
	_, err = Mirror(t.Context(), fib.New(fib.Config{}), MirrorOptions{NetNS: Named("there is none")})
	assert.ErrorIs(t, err, fs.ErrNotExist)
}

// Of other tables than those asked for nothing is kept, whatever is derived or announced.
func TestMirrorOfSomeTables(t *testing.T) {
	t.Parallel()
	ns := netnstest.New(t, netnstest.LoUp, netnstest.Quiet)
	ns.Batch("link add d0 type veth peer p0", "link set d0 up", "link set p0 up", "addr add 10.0.0.1/24 dev d0", "route add 10.9.0.0/16 via 10.0.0.2 table 100",
		"route add 10.9.0.0/16 via 10.0.0.2 table 1000", "route add 10.9.0.0/16 via 10.0.0.2")
	ns.Settle()
	m := mirrored(t, ns, MirrorOptions{Tables: []fib.TableID{1000, 100}})
	ns.Batch("route add 10.8.0.0/16 via 10.0.0.2 table 1000", "route add 10.8.0.0/16 via 10.0.0.2 table 101", "addr add 10.1.0.1/24 dev d0",
		"route add 10.7.0.0/16 via 10.1.0.2 table 100", "route add 10.8.0.0/16 via 10.0.0.2", "link set p0 down")
	ns.WaitFor("the carrier", func() string { return sameAsKernel(t, m, Named(ns.Name()), 100, 1000) })
	var tables []fib.TableID
	for r := range m.FIB().Snapshot().Routes() {
		tables = append(tables, r.Table)
	}
	assert.Equal(t, []fib.TableID{100, 1000}, slices.Compact(tables))
	assert.Len(t, tables, 4)
	assert.EqualValues(t, 2, m.Stats().Events["route"], "the kernel keeps other tables' news back")
	assert.Zero(t, m.Stats().Drift)
}

// Readers see whole transactions only, at any time: of two routes that are always changed
// in one burst after the kernel was flooded, and never an empty table.
func TestMirrorReadersDuringChurn(t *testing.T) {
	t.Parallel()
	ns, link := filled(t, 2000)
	m := mirrored(t, ns, MirrorOptions{ReceiveBuffer: 1, Logger: slog.New(slog.DiscardHandler)})
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			last := uint64(0)
			for {
				select {
				case <-stop:
					return
				default:
				}
				s := m.FIB().Snapshot()
				n := 0
				for range s.RoutesOf(fib.Inet, 100) {
					n++
				}
				if n < 2000 || s.Generation() < last {
					t.Errorf("%d routes in generation %d after %d", n, s.Generation(), last)
					return
				}
				last = s.Generation()
				d := s.LookupTable(100, netip.MustParseAddr("20.0.1.1"))
				if !d.HasRoute {
					t.Error("a route that never went was not there")
					return
				}
				_, _ = m.Age(), m.Stats()
			}
		})
	}
	for range 3 {
		fill(t, ns, link, 101, 3000)
		ns.IP("route flush table 101")
	}
	requireSame(t, m, Named(ns.Name()))
	close(stop)
	readers.Wait()
	assert.NotZero(t, m.Stats().Overruns)
	assert.Zero(t, m.Stats().Drift)
}

// A route can take the place of another although one like it is there already.
func TestMirrorOfARouteThatReplacesAnother(t *testing.T) {
	t.Parallel()
	ns := netnstest.New(t, netnstest.LoUp, netnstest.Quiet)
	ns.Batch("link add d0 type veth peer name d1", "link set d0 up", "link set d1 up", "addr add 2001:db8:1::1/64 dev d0 nodad", "nexthop add id 8 via 2001:db8:1::2 dev d0",
		"-6 route add throw 2001:db8:9::/48 metric 1024", "-6 route append 2001:db8:9::/48 metric 1024 nhid 8")
	ns.Settle()
	m := mirrored(t, ns, MirrorOptions{Poll: time.Hour})
	requireSame(t, m, Named(ns.Name()))
	ns.IP("-6 route replace 2001:db8:9::/48 metric 1024 nhid 8") // the throw route goes
	requireSame(t, m, Named(ns.Name()))
	assert.NotContains(t, ns.IP("-6 route show"), "throw")
}

// Mirrors of several namespaces in one process leave nothing behind.
func TestMirrorsLeaveNothingBehind(t *testing.T) {
	a, b := netnstest.New(t, netnstest.LoUp, netnstest.Quiet), netnstest.New(t, netnstest.LoUp, netnstest.Quiet)
	files, goroutines := openDescriptors(t), runtime.NumGoroutine()
	for range 5 {
		var ms []*Mirrored
		for _, ns := range []*netnstest.NS{a, b, a} {
			m, err := Mirror(t.Context(), fib.New(fib.Config{}), MirrorOptions{NetNS: Named(ns.Name())})
			require.NoError(t, err)
			ms = append(ms, m)
		}
		a.IP("rule add pref 100 lookup 7")
		for i, m := range ms {
			require.NoError(t, m.Sync(t.Context()))
			assert.Len(t, m.FIB().Snapshot().Rules(fib.Inet), 3+[]int{1, 0, 1}[i])
			m.Close()
		}
		a.IP("rule del pref 100")
	}
	assert.Equal(t, files, openDescriptors(t))
	a.WaitFor("goroutines to end", func() string {
		if n := runtime.NumGoroutine(); n > goroutines {
			return fmt.Sprintf("%d goroutines, %d before", n, goroutines)
		}
		return ""
	})
}

// Of a kernel that keeps less news than it was asked to, the log and the statistics tell. A
// buffer above what the kernel can count stands for missing privilege here.
func TestMirrorTellsOfASmallBuffer(t *testing.T) {
	t.Parallel()
	ns := netnstest.New(t, netnstest.LoUp, netnstest.Quiet)
	for size, warns := range map[int]bool{0: false, 1 << 20: false, 1<<31 - 1: true} {
		var log strings.Builder
		m, err := Mirror(t.Context(), fib.New(fib.Config{}), MirrorOptions{NetNS: Named(ns.Name()), ReceiveBuffer: size, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		require.NoError(t, err)
		m.Close()
		s := m.Stats()
		assert.Equal(t, warns, s.ReceiveBuffer < s.BufferAsked, "%d of %d", s.ReceiveBuffer, s.BufferAsked)
		assert.Equal(t, warns, strings.Contains(log.String(), "net.core.rmem_max"), log.String())
		assert.NotZero(t, s.ReceiveBuffer)
	}
}
