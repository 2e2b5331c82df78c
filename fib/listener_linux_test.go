package fib_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/internal/rtnl"
	"github.com/fibula-net/fibula/rules"
)

// groups are those that a mirror joins (F1).
var groups = []int{unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV4_RULE,
	unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV6_IFINFO, unix.RTNLGRP_IPV6_PREFIX, unix.RTNLGRP_IPV6_RULE,
	unix.RTNLGRP_NSID, unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF, unix.RTNLGRP_NEXTHOP}

// listener hears what the kernel tells of a namespace.
type listener struct {
	t    testing.TB
	k    *kernel // for the marker
	fd   int
	name map[int32]string
}

func listen(t testing.TB, ns *netnstest.NS, k *kernel) *listener {
	l := &listener{t: t, k: k, name: map[int32]string{}}
	require.NoError(t, ns.Do(func() (err error) {
		l.fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
		return err
	}))
	t.Cleanup(func() { unix.Close(l.fd) })
	require.NoError(t, unix.Bind(l.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}))
	require.NoError(t, unix.SetsockoptTimeval(l.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 10}))
	require.NoError(t, unix.SetsockoptInt(l.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20))
	for _, g := range groups {
		require.NoError(t, unix.SetsockoptInt(l.fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, g), "group %d", g)
	}
	for _, x := range k.links() {
		l.name[x.Index] = x.Name
	}
	return l
}

// marker is the id of a nexthop object that no test has another use for.
const marker = 9999

// heard returns the messages since the last call, those that begin with one of
// kinds. A marker, a change of its own, ends the list: one socket gets the
// messages of all groups in the order in which they were sent.
func (l *listener) heard(kinds ...string) (out []string) {
	l.t.Helper()
	o := fib.NexthopObject{ID: marker, Family: fib.Inet6, Blackhole: true}
	require.Zero(l.t, l.k.nexthop(rtnl.RTM_NEWNEXTHOP, o, fib.OpAdd))
	require.Zero(l.t, l.k.nexthop(rtnl.RTM_DELNEXTHOP, o, 0))
	buf := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(l.fd, buf, 0)
		require.NoError(l.t, err)
		for b := buf[:n]; len(b) > 0; {
			var m rtnl.Message
			m, b, err = rtnl.Next(b)
			require.NoError(l.t, err)
			text := l.text(m)
			if text == fmt.Sprintf("-nexthop %d", marker) {
				return out
			}
			if !strings.Contains(text, fmt.Sprint(marker)) && slices.ContainsFunc(kinds, func(k string) bool { return strings.HasPrefix(text, k) }) {
				out = append(out, text)
			}
		}
	}
}

// text is one message in few words: "+" what is new or changed, "-" what goes.
func (l *listener) text(m rtnl.Message) string {
	sign := "+"
	switch m.Type {
	case rtnl.RTM_DELLINK, rtnl.RTM_DELADDR, rtnl.RTM_DELROUTE, rtnl.RTM_DELRULE, rtnl.RTM_DELNEXTHOP, rtnl.RTM_DELNETCONF:
		sign = "-"
	}
	switch m.Type {
	case rtnl.RTM_NEWLINK, rtnl.RTM_DELLINK:
		var x fib.Link
		if rtnl.DecodeLink(m, &x, nil) != nil || x.Name == "" {
			break // of a family of its own
		}
		l.name[x.Index] = x.Name
		state := "down"
		if x.Up() {
			state = "up"
			if !x.Carrier() {
				state = "no carrier"
			}
		}
		return fmt.Sprintf("%slink %s %s", sign, x.Name, state)
	case rtnl.RTM_NEWADDR, rtnl.RTM_DELADDR:
		var a fib.Address
		require.NoError(l.t, rtnl.DecodeAddress(m, &a, nil))
		return fmt.Sprintf("%saddr %v %s", sign, a.Local, l.name[a.Link])
	case rtnl.RTM_NEWROUTE, rtnl.RTM_DELROUTE:
		var r fib.Route
		require.NoError(l.t, rtnl.DecodeRoute(m, &r, nil))
		return sign + "route " + l.route(&r) + flagText(m)
	case rtnl.RTM_NEWRULE, rtnl.RTM_DELRULE:
		var q rules.Request
		if rtnl.DecodeRule(m, &q, nil) != nil {
			break
		}
		return fmt.Sprintf("%srule %d", sign, q.Priority)
	case rtnl.RTM_NEWNEXTHOP, rtnl.RTM_DELNEXTHOP:
		var o fib.NexthopObject
		require.NoError(l.t, rtnl.DecodeNexthop(m, &o, nil))
		text := fmt.Sprintf("%snexthop %d", sign, o.ID)
		for _, x := range o.Group {
			text += fmt.Sprintf(" %d", x.ID)
		}
		return text
	case rtnl.RTM_NEWNETCONF, rtnl.RTM_DELNETCONF:
		var c rtnl.Netconf
		require.NoError(l.t, rtnl.DecodeNetconf(m, &c, nil))
		return sign + "netconf " + l.netconf(&c)
	}
	return "other " + rtnl.MessageName(m.Type)
}

func flagText(m rtnl.Message) string {
	if m.Type != rtnl.RTM_NEWROUTE {
		return ""
	}
	return fmt.Sprintf(" %#x", m.Flags&(rtnl.NLM_F_REPLACE|rtnl.NLM_F_EXCL|rtnl.NLM_F_CREATE|rtnl.NLM_F_APPEND))
}

func (l *listener) route(r *fib.Route) string {
	b := &strings.Builder{}
	fmt.Fprintf(b, "%v %v", r.Table, r.Dst)
	if r.Type != fib.TypeUnicast {
		fmt.Fprintf(b, " %v", r.Type)
	}
	if r.NexthopID != 0 {
		fmt.Fprintf(b, " nhid %d", r.NexthopID)
	}
	for _, n := range r.Nexthops {
		if n.Gateway != (netip.Addr{}) {
			fmt.Fprintf(b, " via %v", n.Gateway)
		}
		fmt.Fprintf(b, " dev %s", l.name[n.Link])
		if n.Flags&fib.FlagDead != 0 {
			b.WriteString(" dead")
		}
		if n.Flags&fib.FlagLinkdown != 0 {
			b.WriteString(" linkdown")
		}
	}
	if r.PrefSrc.IsValid() {
		fmt.Fprintf(b, " src %v", r.PrefSrc)
	}
	if r.Priority != 0 && r.Priority != 1024 && (r.Priority != 256 || r.Family() == fib.Inet) {
		fmt.Fprintf(b, " metric %d", r.Priority)
	}
	return b.String()
}

func (l *listener) netconf(c *rtnl.Netconf) string {
	b := &strings.Builder{}
	name := l.name[c.Link]
	switch c.Link {
	case rtnl.NetconfAll:
		name = "all"
	case rtnl.NetconfDefault:
		name = "default"
	}
	fmt.Fprintf(b, "%v %s", c.Family, name)
	for _, x := range []struct {
		name string
		v    int32
	}{{"forwarding", c.Forwarding}, {"rp_filter", c.RPFilter}, {"ignore_routes_with_linkdown", c.IgnoreRoutesWithLinkdown},
		{"bc_forwarding", c.BcForwarding}, {"mc_forwarding", c.McForwarding}, {"force_forwarding", c.ForceForwarding}} {
		if x.v >= 0 {
			fmt.Fprintf(b, " %s %d", x.name, x.v)
		}
	}
	return b.String()
}
