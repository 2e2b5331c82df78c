package fib_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/conformance"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/internal/rtnl"
	"github.com/fibula-net/fibula/rules"
)

// Section F: what a mirror hears.
func TestMirrorHears(t *testing.T) {
	table := []string{"+route", "-route", "+addr", "-addr"}
	objects := append(table, "+nexthop", "-nexthop")
	nine, nine6 := unicast("10.9.0.0/16", "10.1.0.2"), unicast("2001:db8:9::/48", "2001:db8:1::2")
	other, other6 := unicast("10.9.0.0/16", "10.2.0.2"), unicast("2001:db8:9::/48", "2001:db8:2::2")
	used := func(w *twin) {
		w.addObject(object(1, "10.1.0.2"), fib.OpAdd)
		w.addObject(object(2, "2001:db8:1::2"), fib.OpAdd)
		w.addObject(fib.NexthopObject{ID: 5, Group: []fib.GroupMember{{ID: 1, Weight: 1}}}, fib.OpAdd)
		w.route(by(nine, 1), fib.OpAdd)
		w.route(by(unicast("10.8.0.0/16", "10.1.0.2"), 5), fib.OpAdd)
		w.route(by(nine6, 2), fib.OpAdd)
	}
	compat := func(v string) []string { return []string{"net.ipv4.nexthop_compat_mode=" + v} }
	runEvents(t, []event{
		{name: "F2 IPv4 routes go silently with their link", before: func(w *twin) { w.route(nine, fib.OpAdd) },
			do: func(w *twin) { w.linkUp(0, false) }, kinds: []string{"+route main 10", "-route main 10", "-route local 10"}},
		{name: "F2 and with the last address", before: func(w *twin) { w.route(nine, fib.OpAdd) },
			do: func(w *twin) { w.unaddr(0, "10.1.0.1/24") }, kinds: table, want: []string{
				"-addr 10.1.0.1 d0",
				"-route main 10.1.0.0/24 dev d0 src 10.1.0.1",
				"-route local 10.1.0.255/32 broadcast dev d0 src 10.1.0.1",
				"-route local 10.1.0.1/32 local dev d0 src 10.1.0.1",
			}},
		{name: "F2 dead and linkdown marks", before: func(w *twin) { w.route(unicast("10.9.0.0/16", "10.1.0.2", "10.2.0.2"), fib.OpAdd) },
			do: func(w *twin) { w.carrier(0, false); w.linkUp(1, false) }, kinds: []string{"+route", "-route main 10"}},
		{name: "F2 IPv4 routes of a deleted object", sysctl: compat("1"), before: used, do: func(w *twin) { w.dropObject(1); w.dropObject(2) }, kinds: objects, want: []string{
			"-nexthop 1",
			"-nexthop 5 1",
			"-nexthop 2",
			"-route main 2001:db8:9::/48 nhid 2 via 2001:db8:1::2 dev d0",
		}},
		{name: "F2 and without compat mode IPv6 ones too", sysctl: compat("0"), before: used, do: func(w *twin) { w.dropObject(1); w.dropObject(2) }, kinds: objects, want: []string{
			"-nexthop 1",
			"-nexthop 5 1",
			"-nexthop 2",
		}},
		{name: "F3 a replaced object tells of the routes that use it", sysctl: compat("1"), before: used,
			do: func(w *twin) { w.addObject(object(1, "10.1.0.9"), fib.OpReplace) }, kinds: objects, want: []string{
				"+nexthop 1",
				"+route main 10.9.0.0/16 nhid 1 via 10.1.0.9 dev d0 0x100",
				"+route main 10.8.0.0/16 nhid 5 via 10.1.0.9 dev d0 0x100",
			}},
		{name: "F3 and without compat mode of itself alone", sysctl: compat("0"), before: used,
			do: func(w *twin) { w.addObject(object(1, "10.1.0.9"), fib.OpReplace) }, kinds: objects, want: []string{
				"+nexthop 1",
			}},
		{name: "F4 flags tell where an alias went", do: func(w *twin) {
			w.route(nine, fib.OpAdd)
			w.route(other, fib.OpPrepend)
			w.route(unicast("10.9.0.0/16", "10.3.0.2"), fib.OpAppend)
			w.route(unicast("10.9.0.0/16", "10.1.0.9"), fib.OpReplace)
			w.route(unicast("10.9.0.0/16", "10.1.0.9"), fib.OpReplace)
			w.unroute(nine)
		}, kinds: table, want: []string{
			"+route main 10.9.0.0/16 via 10.1.0.2 dev d0 0x600",
			"+route main 10.9.0.0/16 via 10.2.0.2 dev d1 0x400",
			"+route main 10.9.0.0/16 via 10.3.0.2 dev d2 0xc00",
			"+route main 10.9.0.0/16 via 10.1.0.9 dev d0 0x100",
			"-route main 10.9.0.0/16 via 10.1.0.2 dev d0",
		}},
		{name: "F5 an appended leg tells the whole route", before: func(w *twin) { w.route(nine6, fib.OpAdd) }, do: func(w *twin) {
			w.route(other6, fib.OpAppend)
			w.unroute(nine6)
			w.route(nine6, fib.OpAppend)
			bare := nine6
			bare.Nexthops = nil
			w.unroute(bare)
		}, kinds: table, want: []string{
			"+route main 2001:db8:9::/48 via 2001:db8:2::2 dev d1 via 2001:db8:1::2 dev d0 0xc00",
			"-route main 2001:db8:9::/48 via 2001:db8:1::2 dev d0",
			"+route main 2001:db8:9::/48 via 2001:db8:1::2 dev d0 via 2001:db8:2::2 dev d1 0xc00",
			"-route main 2001:db8:9::/48 via 2001:db8:2::2 dev d1 via 2001:db8:1::2 dev d0",
		}},
		{name: "F7 an address before its IPv4 routes, IPv6 routes before it", do: func(w *twin) {
			w.addr(0, "10.7.0.1/24")
			a := addressOn(0, "2001:db8:7::1/64")
			a.Flags = fib.AddrNoDAD
			w.same("address add", w.k.address(rtnl.RTM_NEWADDR, a, fib.OpAdd), w.update(func(tx *fib.Txn) error { return tx.AddAddress(a) }))
		}, kinds: table, want: []string{
			"+addr 10.7.0.1 d0",
			"+route local 10.7.0.1/32 local dev d0 src 10.7.0.1 0x600",
			"+route main 10.7.0.0/24 dev d0 src 10.7.0.1 0x600",
			"+route local 10.7.0.255/32 broadcast dev d0 src 10.7.0.1 0x600",
			"+route main 2001:db8:7::/64 dev d0 0x600",
			"+addr 2001:db8:7::1 d0",
			"+route local 2001:db8:7::1/128 local dev d0 0x600",
		}},
		{name: "F7 a link after its routes and addresses", do: func(w *twin) {
			w.ns.IP("link delete d0")
			w.same("link delete d0", 0, w.update(func(tx *fib.Txn) error { return tx.DeleteLink(firstLink) }))
		}, kinds: append(table, "-link", "-netconf"), want: []string{
			"-route main 2001:db8:1::/64 dev d0",
			"-route local 2001:db8:1::1/128 local dev d0",
			"-route local ff00::/8 multicast dev d0",
			"-addr 2001:db8:1::1 d0",
			"-addr 10.1.0.1 d0",
			"-route local 10.1.0.1/32 local dev d0 src 10.1.0.1",
			"-netconf inet d0",
			"-netconf inet6 d0",
			"-link d0 down",
		}},
	})
}

// Settings and rules that change silently, and settings that do not.
func TestMirrorHearsOfSettings(t *testing.T) {
	ns := netnstest.New(t, netnstest.Quiet, netnstest.LoUp)
	ns.Batch("link add d0 type veth peer name p0", "rule add pref 100 iif d0 table 50", "rule add pref 101 oif d9 table 50")
	ns.Settle()
	k := newKernel(t, ns)
	l := listen(t, ns, k)
	all := []string{"+", "-", "other"}
	t.Run("silent", func(t *testing.T) {
		conformance.Covers(t, "F2", "F10", "F11", "A18", "D42")
		for _, key := range []string{"net.ipv4.fib_multipath_hash_policy", "net.ipv4.fib_multipath_use_neigh", "net.ipv4.conf.d0.accept_local",
			"net.ipv4.conf.d0.route_localnet", "net.ipv4.conf.d0.src_valid_mark", "net.ipv4.conf.d0.promote_secondaries", "net.ipv4.conf.d0.send_redirects",
			"net.ipv6.conf.d0.use_oif_addrs_only", "net.ipv6.conf.d0.use_tempaddr", "net.ipv6.conf.d0.optimistic_dad", "net.ipv6.conf.d0.keep_addr_on_down",
			"net.ipv4.ip_nonlocal_bind", "net.ipv6.route.skip_notify_on_dev_down", "net.ipv6.fib_multipath_hash_policy"} {
			ns.Sysctl(key, "1")
		}
		ns.Sysctl("net.ipv4.nexthop_compat_mode", "0")
		ns.IP("-6 addrlabel add prefix 2001:db8::/32 label 99")
		ns.IP("link set d0 name d9") // the rules lose and find their link
		assert.Equal(t, []string{
			"+link d9 down",
			"-netconf inet d9",
			"+netconf inet d9 forwarding 0 rp_filter 0 ignore_routes_with_linkdown 0 bc_forwarding 0 mc_forwarding 0",
			"-netconf inet6 d9",
			"+netconf inet6 d9 forwarding 0 ignore_routes_with_linkdown 0 mc_forwarding 0",
		}, l.heard(all...), "of the new name, and of nothing else")
		assert.Contains(t, ns.IP("rule show"), "iif d0 [detached]")
		assert.NotContains(t, ns.IP("rule show"), "oif d9 [detached]")
	})
	t.Run("told", func(t *testing.T) {
		conformance.Covers(t, "F10", "F11")
		for _, x := range []struct{ key, value, want string }{
			{"net.ipv4.conf.d9.forwarding", "1", "+netconf inet d9 forwarding 1"},
			{"net.ipv4.conf.d9.rp_filter", "2", "+netconf inet d9 rp_filter 2"},
			{"net.ipv4.conf.d9.ignore_routes_with_linkdown", "1", "+netconf inet d9 ignore_routes_with_linkdown 1"},
			{"net.ipv6.conf.d9.forwarding", "1", "+netconf inet6 d9 forwarding 1"},
			{"net.ipv6.conf.d9.ignore_routes_with_linkdown", "1", "+netconf inet6 d9 ignore_routes_with_linkdown 1"},
			{"net.ipv4.conf.default.rp_filter", "1", "+netconf inet default rp_filter 1"},
		} {
			ns.Sysctl(x.key, x.value)
			heard := l.heard(all...)
			if old := !netnstest.Kernel(t).AtLeast(6, 18); old && x.key == "net.ipv6.conf.d9.ignore_routes_with_linkdown" && len(heard) == 0 {
				t.Logf("this kernel tells nothing of %s", x.key)
				continue
			}
			assert.Equal(t, []string{x.want}, heard, x.key)
		}
		ns.Sysctl("net.ipv4.conf.all.forwarding", "1")
		heard := l.heard(all...)
		assert.Contains(t, heard, "+netconf inet all forwarding 1")
		assert.Contains(t, heard, "+netconf inet p0 forwarding 1", "one message for each link that changes")
	})
}

// Each kind of message comes through a group of the list.
func TestGroupsOfAMirror(t *testing.T) {
	conformance.Covers(t, "F1")
	ns := netnstest.New(t, netnstest.LoUp)
	k := newKernel(t, ns)
	l := listen(t, ns, k)
	ns.Batch("link add d0 type veth peer name p0", "link set d0 up", "link set p0 up", "addr add 10.1.0.1/24 dev d0", "addr add 2001:db8:1::1/64 dev d0 nodad",
		"neigh add 10.1.0.2 dev d0 lladdr 02:00:00:00:00:01", "rule add pref 100 table 50", "-6 rule add pref 100 table 50",
		"nexthop add id 7 blackhole", "route add 10.9.0.0/16 via 10.1.0.2", "-6 route add 2001:db8:9::/48 via 2001:db8:1::2")
	ns.Settle() // the IPv6 address is announced when it is ready
	heard := fmt.Sprint(l.heard("+", "other"))
	for _, want := range []string{"+link d0", "+addr 10.1.0.1", "+addr 2001:db8:1::1", "other RTM_NEWNEIGH", "+rule 100", "+nexthop 7", "+netconf inet ", "+netconf inet6 ",
		"+route main 10.9.0.0/16", "+route main 2001:db8:9::/48"} {
		assert.Contains(t, heard, want)
	}
}

// A socket whose buffer is full says so once, and the mirror must dump anew.
func TestLostMessagesAreReported(t *testing.T) {
	conformance.Covers(t, "F9", "J8")
	ns := netnstest.New(t, netnstest.LoUp)
	l := listen(t, ns, newKernel(t, ns))
	require.NoError(t, unix.SetsockoptInt(l.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4096))
	var lines []string
	for i := range 200 {
		lines = append(lines, fmt.Sprintf("route add blackhole 10.9.%d.0/24", i))
	}
	ns.Batch(lines...)
	heard, lost := 0, 0
	buf := make([]byte, 64<<10)
	for range 400 {
		_, _, err := unix.Recvfrom(l.fd, buf, unix.MSG_DONTWAIT)
		switch err {
		case nil:
			heard++
		case unix.ENOBUFS:
			lost++
		default:
			require.ErrorIs(t, err, unix.EAGAIN)
		}
	}
	assert.Equal(t, 1, lost, "lost messages are reported")
	assert.Less(t, heard, len(lines))
	require.NoError(t, unix.SetsockoptInt(l.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20))
	ns.IP("route add blackhole 10.8.0.0/16")
	assert.Equal(t, []string{"+route main 10.8.0.0/16 blackhole 0x600"}, l.heard("+route"), "later ones arrive")
}

func TestStrictDumps(t *testing.T) {
	conformance.Covers(t, "F8")
	ns := netnstest.New(t, netnstest.LoUp)
	k := newKernel(t, ns) // asks strictly
	ns.Batch("route add blackhole 10.9.0.0/16 table 50", "route add blackhole 10.8.0.0/16 table 60", "-6 route add blackhole 2001:db8::/32 table 50")
	dump := func(f fib.Family, table fib.TableID) (out []netip.Prefix, e fib.Errno) {
		k.seq++
		msg, err := rtnl.AppendDump(nil, k.seq, rtnl.Dump{Type: rtnl.RTM_GETROUTE, Family: f, Table: table})
		require.NoError(t, err)
		e = k.exchange(msg, func(m rtnl.Message) {
			var r fib.Route
			require.NoError(t, rtnl.DecodeRoute(m, &r, nil))
			out = append(out, r.Dst)
		})
		return out, e
	}
	got, e := dump(fib.Inet, 50)
	assert.Zero(t, e)
	assert.Equal(t, []netip.Prefix{prefixOf("10.9.0.0/16")}, got, "the filter counts")
	_, e = dump(fib.Inet, 70)
	assert.Equal(t, fib.ENOENT, e, "a missing IPv4 table")
	require.NoError(t, unix.SetsockoptInt(k.fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 0))
	got, _ = dump(fib.Inet, 50)
	assert.Contains(t, got, prefixOf("10.8.0.0/16"), "without strict checks it does not")
}

// A link that leaves the namespace takes its routes as one that goes down.
func TestLinkThatLeavesTheNamespace(t *testing.T) {
	conformance.Covers(t, "F13")
	w := newTwin(t, nil)
	w.host()
	w.route(unicast("10.9.0.0/16", "10.1.0.2"), fib.OpAdd)
	w.route(unicast("2001:db8:9::/48", "2001:db8:1::2"), fib.OpAdd)
	l := listen(t, w.ns, w.k)
	w.ns.IP("link set d0 netns " + w.peers.Name())
	w.same("link d0 leaves", 0, w.update(func(tx *fib.Txn) error { return tx.DeleteLink(firstLink) }))
	heard := l.heard("-route", "-link")
	assert.Contains(t, heard, "-route main 2001:db8:9::/48 via 2001:db8:1::2 dev d0")
	assert.NotContains(t, heard, "-route main 10.9.0.0/16 via 10.1.0.2 dev d0")
	assert.Equal(t, "-link d0 down", heard[len(heard)-1])
}

// Rule requests, the deletion by attributes among them, are told by priority.
func TestRuleMessages(t *testing.T) {
	conformance.Covers(t, "A5", "F1")
	w := newTwin(t, nil)
	w.host()
	l := listen(t, w.ns, w.k)
	add := func(mark uint32, table fib.TableID) rules.Request {
		q := rules.RequestOf(rules.Rule{Family: fib.Inet, Priority: 100 + mark, Mark: mark, Action: rules.ActLookup, Table: uint32(table)})
		w.same("rule add", w.k.rule(rtnl.RTM_NEWRULE, q, fib.OpAdd), w.update(func(tx *fib.Txn) error { _, err := tx.AddRule(q, fib.OpAdd); return err }))
		return q
	}
	add(1, 50)
	add(2, 50)
	del := func(q rules.Request) fib.Errno {
		e := w.k.rule(rtnl.RTM_DELRULE, q, 0)
		w.same("rule delete", e, w.update(func(tx *fib.Txn) error { _, err := tx.DeleteRule(q); return err }))
		return e
	}
	assert.Zero(t, del(rules.Request{Rule: rules.Rule{Family: fib.Inet, Action: rules.ActLookup, Table: 50}}), "without a priority, the first")
	assert.Equal(t, fib.ENOENT, del(rules.Request{Rule: rules.Rule{Family: fib.Inet, Mark: 1}}))
	assert.Equal(t, []string{"+rule 101", "+rule 102", "-rule 101"}, l.heard("+rule", "-rule"))
}
