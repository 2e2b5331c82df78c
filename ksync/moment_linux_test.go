package ksync

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/conformance"
	"github.com/fibula-net/fibula/internal/netnstest"
)

// The mode of each family (A8–A10).
func TestScanFindsOutWhetherRulesAreWalked(t *testing.T) {
	conformance.Covers(t, "A8", "A9", "A10", "J4")
	t.Parallel()
	modes := func(ns *netnstest.NS) [2]fib.Mode {
		st := scanned(t, ns, Options{})
		return [2]fib.Mode{st.Mode4, st.Mode6}
	}
	ns := netnstest.New(t)
	assert.Equal(t, [2]fib.Mode{fib.ModeUnknown, fib.ModeUnknown}, modes(ns), "nothing answers, nothing tells")
	ns.IP("link set lo up")
	ns.Settle()
	assert.Equal(t, [2]fib.Mode{fib.ModeMerged, fib.ModeUnknown}, modes(ns))

	ns.Batch("link add d0 type veth peer p0", "link set d0 up", "link set p0 up", "addr add 2001:db8::1/64 dev d0 nodad", "-6 route add 2001:db8:5::/48 via 2001:db8::9")
	ns.Settle()
	ns.IP("-6 rule del pref 32766")
	assert.Equal(t, fib.ModeMerged, modes(ns)[1], "a delete alone does not switch IPv6")
	ns.Batch("-6 rule add pref 5 table 9", "-6 rule del pref 5")
	assert.Equal(t, fib.ModeRules, modes(ns)[1])
	ns.IP("-6 rule del pref 0")
	assert.Equal(t, fib.ModeRules, modes(ns)[1])

	ns.Batch("rule add pref 5 table 9", "rule del pref 5")
	assert.Equal(t, fib.ModeRules, modes(ns)[0], "sticky, although the rules are the initial ones again")

	ns = netnstest.New(t, netnstest.LoUp)
	ns.IP("rule del pref 32767")
	assert.Equal(t, fib.ModeRules, modes(ns)[0])
}

// On a router the first address of a connected network is an anycast address, which
// table local answers for in either mode.
func TestScanFindsTheIPv6ModeOfARouter(t *testing.T) {
	conformance.Covers(t, "A9", "A10")
	t.Parallel()
	mode := func(ns *netnstest.NS) fib.Mode { return scanned(t, ns, Options{}).Mode6 }
	ns := netnstest.New(t, netnstest.LoUp)
	ns.Sysctl("net/ipv6/conf/all/forwarding", "1")
	ns.Batch("link add d0 type veth peer p0", "link set d0 up", "link set p0 up",
		"addr add 2001:db8:1::1/64 dev d0 nodad", "addr add 2001:db8:2::1/64 dev d0 nodad")
	ns.Settle()
	ns.IP("-6 rule del pref 32766")
	assert.Equal(t, fib.ModeMerged, mode(ns))
	ns.Batch("-6 rule add pref 5 table 9", "-6 rule del pref 5")
	assert.Equal(t, fib.ModeRules, mode(ns))

	ns = netnstest.New(t, netnstest.LoUp)
	ns.IP("-6 rule del pref 32766")
	assert.Equal(t, fib.ModeUnknown, mode(ns), "main has nothing to answer")
}

func TestScanFindsLocalRoutesAddedByHand(t *testing.T) {
	conformance.Covers(t, "C31")
	t.Parallel()
	ns := netnstest.New(t, netnstest.LoUp)
	assert.Equal(t, fib.FactUnknown, scanned(t, ns, Options{}).UserLocalRoutes)
	ns.IP("route add local 10.5.0.0/16 dev lo table 77")
	assert.Equal(t, fib.FactYes, scanned(t, ns, Options{}).UserLocalRoutes)
	assert.Equal(t, fib.FactYes, scanned(t, ns, Options{Tables: []fib.TableID{254}}).UserLocalRoutes, "whatever tables are read")
}

func TestNamespacesAreFound(t *testing.T) {
	ns := netnstest.New(t)
	ns.IP("link add only-here type veth peer p")
	cmd := ns.Command("sleep", "600")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	ns.WaitFor("the process to enter the namespace", func() string {
		a, _ := os.Stat(fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid))
		b, _ := os.Stat(ns.Path())
		if a == nil || b == nil || !os.SameFile(a, b) {
			return "not there yet"
		}
		return ""
	})
	for _, n := range []NetNS{Named(ns.Name()), Path(ns.Path()), PID(cmd.Process.Pid)} {
		st, _, err := Scan(t.Context(), Options{NetNS: n})
		require.NoError(t, err, n)
		assert.Contains(t, links(st), "only-here", n)
	}
	require.NoError(t, ns.Do(func() error {
		st, _, err := Scan(t.Context(), Options{})
		assert.Contains(t, links(st), "only-here", "the current namespace is the thread's")
		return err
	}))
	st, _, err := Scan(t.Context(), Options{})
	require.NoError(t, err)
	assert.NotContains(t, links(st), "only-here", "the caller stays where it was")
}

func TestMissingNamespaceIsNamed(t *testing.T) {
	for n, want := range map[NetNS]string{
		Named("no-such-one"): `network namespace "no-such-one": there is no /`,
		Named("a/b"):         "without slash",
		PID(1 << 30):         "there is no such process",
		PID(-1):              "positive",
		Path("/no/such"):     "network namespace /no/such: ",
	} {
		_, err := Load(t.Context(), Options{NetNS: n})
		require.ErrorContains(t, err, want)
		require.Equal(t, 1, strings.Count(err.Error(), n.String()), "%v is named once", err)
		if n.kind != netnsNamed || n.text != "a/b" {
			if n.pid >= 0 {
				assert.ErrorIs(t, err, fs.ErrNotExist, n)
			}
		}
		_, err = OpenQuerier(n)
		require.ErrorContains(t, err, want)
	}
	_, err := Load(t.Context(), Options{NetNS: Path("/proc/self/status")})
	require.ErrorContains(t, err, "network namespace /proc/self/status")
}

func TestLoadEndsWithItsContext(t *testing.T) {
	ns := netnstest.New(t, netnstest.LoUp)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Load(ctx, Options{NetNS: Named(ns.Name())})
	require.ErrorIs(t, err, context.Canceled)
}

// Whoever is in a namespace may read it.
func TestScanNeedsNoPrivilege(t *testing.T) {
	t.Parallel()
	ns := rich(t)
	ns.IP("rule add pref 5 table 9")
	var st fib.State
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: this thread is nobody's now and ends with the goroutine
		err := func() error {
			f, err := os.Open(ns.Path())
			if err != nil {
				return err
			}
			defer f.Close()
			if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
				return err
			}
			const nobody = 65534
			// The raw call changes this thread alone.
			if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody); e != 0 {
				return e
			}
			st, _, err = Scan(t.Context(), Options{})
			return err
		}()
		done <- err
	}()
	require.NoError(t, <-done)
	want := scanned(t, ns, Options{})
	assert.True(t, sameMoment(&want, &st))
	assert.Equal(t, want.Routes, st.Routes)
	assert.Equal(t, want.Mode4, st.Mode4)
}

// A change between the two looks at the small things starts the scan again, and
// what comes out is the later moment.
func TestScanStartsOverWhenTheNamespaceChanges(t *testing.T) {
	t.Parallel()
	ns := netnstest.New(t, netnstest.LoUp, netnstest.Quiet)
	ns.Batch("link add d0 type veth peer p0", "link set d0 up", "link set p0 up")
	ns.Settle()
	for name, change := range map[string]func(int){
		"address": func(n int) { ns.IP(fmt.Sprintf("addr add 10.0.%d.1/24 dev d0", n)) },
		"rule":    func(n int) { ns.IP(fmt.Sprintf("-6 rule add pref %d table 9", n+100)) },
		"nexthop": func(n int) { ns.IP(fmt.Sprintf("nexthop add id %d dev d0", n+100)) },
		"setting": func(n int) { ns.Sysctl("net.ipv4.conf.d0.rp_filter", fmt.Sprint(1+n%2)) },
	} {
		left, seen := 3, 0
		progress := func(stage string, _ int) {
			if stage == "routes" && left > 0 {
				left--
				change(seen)
				seen++
			}
		}
		st, _, err := Scan(t.Context(), Options{NetNS: Named(ns.Name()), Progress: progress})
		require.NoError(t, err, name)
		require.Equal(t, 3, seen)
		want := scanned(t, ns, Options{})
		assert.True(t, sameMoment(&want, &st), name)
		assert.Equal(t, want.Routes, st.Routes, name)

		left = 1000
		_, err = Load(t.Context(), Options{NetNS: Named(ns.Name()), Progress: progress})
		require.ErrorIs(t, err, ErrChanging, name)
		require.ErrorContains(t, err, ns.Name())
		assert.Equal(t, 3+attempts, seen)
	}
}
