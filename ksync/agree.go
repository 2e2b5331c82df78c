package ksync

import (
	"fmt"
	"net/netip"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtnl"
)

// Difference is one field in which an answer of ours is not the kernel's.
type Difference struct {
	Field  string `json:"field"` // the field's name as in rtnetlink, without RTA_
	Ours   string `json:"ours"`
	Kernel string `json:"kernel"`
}

// String puts both values side by side.
func (d Difference) String() string {
	return fmt.Sprintf("%s: ours %s, kernel %s", d.Field, d.Ours, d.Kernel)
}

// The marks of a reply that a decision carries too (C13).
const (
	rtcfRedirect  = 0x01000000
	rtcfBroadcast = 0x10000000
	rtcfMulticast = 0x20000000
	rtcfLocal     = 0x80000000
)

const emsgsize fib.Errno = 90

// Unanswerable reports whether the kernel's answer says nothing about routing:
// IPv6 input flows to multicast addresses, whose reply RTM_GETROUTE leaves to
// multicast routing and which fails with EMSGSIZE.
func Unanswerable(f fib.Flow, errno fib.Errno) bool {
	return errno == emsgsize && f.Iif != 0 && f.Dst.Is6() && f.Dst.IsMulticast()
}

type differ []Difference

func differs[T comparable](d *differ, field string, ours, kernel T) {
	if ours != kernel {
		*d = append(*d, Difference{field, fmt.Sprint(ours), fmt.Sprint(kernel)})
	}
}

// Differences compares a decision with the kernel's reply to the same flow in
// every field that the reply has. The reply must have been asked for with
// RTM_F_LOOKUP_TABLE; it is nil when the kernel answered with an error.
//
// metrics are those of the route behind the decision, which a decision does not carry.
func Differences(f fib.Flow, d fib.Decision, metrics fib.Metrics, reply *rtnl.Reply, errno fib.Errno) []Difference {
	var out differ
	if Unanswerable(f, errno) {
		return nil
	}
	if differs(&out, "errno", errnoName(d.Errno), errnoName(errno)); len(out) > 0 || errno != 0 {
		return out
	}
	r := &reply.Route
	v4 := f.Family() == fib.Inet
	differs(&out, "type", d.Type, r.Type)
	differs(&out, "table", d.Table, r.Table)
	differs(&out, "oif", d.Link, reply.Oif)
	differs(&out, "gateway", d.Gateway, reply.Gateway)
	source := d.Source
	if v4 && f.Src.IsValid() && !f.Src.IsUnspecified() {
		source = netip.Addr{} // a given source is not repeated (C13)
	}
	differs(&out, "prefsrc", source, r.PrefSrc)
	differs(&out, "tos", d.TOS, r.TOS)
	if d.Flags&fib.DecisionNoMetrics != 0 || !d.HasRoute {
		metrics = fib.Metrics{}
	}
	differs(&out, "metrics", metrics, r.Metrics)
	if v4 {
		differs(&out, "flow", d.Realms, reply.Realms)
		for _, m := range []struct {
			name string
			ours fib.DecisionFlags
			bit  uint32
		}{{"local", fib.DecisionLocal, rtcfLocal}, {"brd", fib.DecisionBroadcast, rtcfBroadcast},
			{"mc", fib.DecisionMulticast, rtcfMulticast}, {"redirect", fib.DecisionRedirect, rtcfRedirect}} {
			differs(&out, m.name, d.Flags&m.ours != 0, reply.Flags&m.bit != 0)
		}
		return out
	}
	differs(&out, "priority", d.Priority, r.Priority)
	differs(&out, "protocol", d.Protocol, r.Protocol)
	differs(&out, "pref", d.Pref, r.Pref)
	return out
}

// MatchDifferences compares the route behind a decision with the kernel's reply to
// the same flow asked with RTM_F_FIB_MATCH. found is false where no route is
// behind the answer, which the kernel reports as EHOSTUNREACH (C14).
func MatchDifferences(f fib.Flow, d fib.Decision, route fib.Route, found bool, reply *rtnl.Reply, errno fib.Errno) []Difference {
	var out differ
	if Unanswerable(f, errno) {
		return nil
	}
	want := d.Errno
	if want == 0 && !found {
		want = fib.EHOSTUNREACH
	}
	if differs(&out, "fibmatch errno", errnoName(want), errnoName(errno)); len(out) > 0 || errno != 0 {
		return out
	}
	r := &reply.Route
	differs(&out, "prefix", route.Dst, r.Dst)
	differs(&out, "from", route.Src, r.Src)
	differs(&out, "stored table", route.Table, r.Table)
	differs(&out, "stored type", route.Type, r.Type)
	differs(&out, "stored tos", route.TOS, r.TOS)
	differs(&out, "stored priority", route.Priority, r.Priority)
	differs(&out, "stored scope", route.Scope, r.Scope)
	differs(&out, "stored protocol", route.Protocol, r.Protocol)
	differs(&out, "stored prefsrc", route.PrefSrc, r.PrefSrc)
	differs(&out, "stored pref", route.Pref, r.Pref)
	differs(&out, "stored metrics", route.Metrics, r.Metrics)
	differs(&out, "stored nhid", route.NexthopID, r.NexthopID)
	differs(&out, "legs", legsText(route.Nexthops), legsText(r.Nexthops))
	return out
}

func legsText(legs []fib.Nexthop) string {
	s := ""
	for i := range legs {
		n := &legs[i]
		s += fmt.Sprintf("[via %v dev %d weight %d onlink %t linkdown %t dead %t realms %#x]", n.Gateway, n.Link, max(n.Weight, 1),
			n.Flags&fib.FlagOnlink != 0, n.Flags&fib.FlagLinkdown != 0, n.Flags&fib.FlagDead != 0, n.Realms)
	}
	return s
}

func errnoName(e fib.Errno) string {
	if e == 0 {
		return "none"
	}
	return e.Name()
}
