package fib_test

import (
	"encoding/binary"
	"errors"
	"fmt"
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

// kernel is a namespace that takes the same operations as a FIB.
type kernel struct {
	t   testing.TB
	ns  *netnstest.NS
	fd  int
	seq uint32
}

func newKernel(t testing.TB, ns *netnstest.NS) *kernel {
	k := &kernel{t: t, ns: ns}
	require.NoError(t, ns.Do(func() (err error) {
		k.fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
		return err
	}))
	t.Cleanup(func() { unix.Close(k.fd) })
	require.NoError(t, unix.SetsockoptInt(k.fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1))
	require.NoError(t, unix.SetsockoptTimeval(k.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 10}))
	require.NoError(t, unix.Bind(k.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}))
	return k
}

// exchange sends a request and calls fn for what comes back until it is complete.
func (k *kernel) exchange(msg []byte, fn func(rtnl.Message)) fib.Errno {
	require.NoError(k.t, unix.Sendto(k.fd, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}))
	buf := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(k.fd, buf, 0)
		require.NoError(k.t, err)
		for b := buf[:n]; len(b) > 0; {
			var m rtnl.Message
			m, b, err = rtnl.Next(b)
			require.NoError(k.t, err)
			if m.Seq != k.seq {
				continue
			}
			if m.Type == rtnl.NLMSG_ERROR || m.Type == rtnl.NLMSG_DONE {
				e, _ := rtnl.DecodeError(m)
				return e
			}
			fn(m)
		}
	}
}

func (k *kernel) head(typ uint16, flags fib.AddFlags) rtnl.Header {
	k.seq++
	return rtnl.Header{Type: typ, Flags: rtnl.NLM_F_REQUEST | rtnl.NLM_F_ACK | uint16(flags), Seq: k.seq}
}

func (k *kernel) do(msg []byte, err error) fib.Errno {
	require.NoError(k.t, err)
	return k.exchange(msg, func(rtnl.Message) {})
}

func (k *kernel) route(typ uint16, r fib.Route, flags fib.AddFlags) fib.Errno {
	return k.do(rtnl.AppendRoute(nil, k.head(typ, flags), &r))
}

func (k *kernel) rule(typ uint16, q rules.Request, flags fib.AddFlags) fib.Errno {
	return k.do(rtnl.AppendRule(nil, k.head(typ, flags), &q))
}

func (k *kernel) nexthop(typ uint16, o fib.NexthopObject, flags fib.AddFlags) fib.Errno {
	return k.do(rtnl.AppendNexthop(nil, k.head(typ, flags), &o))
}

// message builds a request that package rtnl has no use for.
func message(h rtnl.Header, body []byte, attrs ...any) []byte {
	ne := binary.NativeEndian
	for i := 0; i < len(attrs); i += 2 {
		v := attrs[i+1].([]byte)
		body = ne.AppendUint16(body, uint16(4+len(v)))
		body = ne.AppendUint16(body, uint16(attrs[i].(int)))
		body = append(body, v...)
		body = append(body, make([]byte, -len(v)&3)...)
	}
	b := ne.AppendUint32(nil, uint32(16+len(body)))
	b = ne.AppendUint16(b, h.Type)
	b = ne.AppendUint16(b, h.Flags)
	b = ne.AppendUint32(b, h.Seq)
	b = ne.AppendUint32(b, 0)
	return append(b, body...)
}

func u32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

func (k *kernel) address(typ uint16, a fib.Address, flags fib.AddFlags) fib.Errno {
	family := byte(unix.AF_INET)
	if a.Local.Is6() {
		family = unix.AF_INET6
	}
	body := append([]byte{family, byte(a.Prefix.Bits()), 0, byte(a.Scope)}, u32(uint32(a.Link))...)
	attrs := []any{unix.IFA_LOCAL, a.Local.AsSlice(), unix.IFA_ADDRESS, a.Prefix.Addr().AsSlice(), unix.IFA_FLAGS, u32(uint32(a.Flags))}
	if a.Broadcast.IsValid() {
		attrs = append(attrs, unix.IFA_BROADCAST, a.Broadcast.AsSlice())
	}
	if a.Metric != 0 {
		attrs = append(attrs, unix.IFA_RT_PRIORITY, u32(a.Metric))
	}
	return k.do(message(k.head(typ, flags), body, attrs...), nil)
}

// up sets a link up or down.
func (k *kernel) up(index int32, up bool) fib.Errno {
	body := append(make([]byte, 4), u32(uint32(index))...)
	flags := uint32(0)
	if up {
		flags = unix.IFF_UP
	}
	body = append(append(body, u32(flags)...), u32(unix.IFF_UP)...)
	return k.do(message(k.head(rtnl.RTM_NEWLINK, 0), body), nil)
}

func (k *kernel) dump(d rtnl.Dump, fn func(rtnl.Message) error) {
	k.seq++
	msg, err := rtnl.AppendDump(nil, k.seq, d)
	require.NoError(k.t, err)
	require.Zero(k.t, k.exchange(msg, func(m rtnl.Message) {
		if err := fn(m); err != nil && !errors.Is(err, rtnl.ErrSkip) {
			require.NoError(k.t, err)
		}
	}))
}

func (k *kernel) links() (out []fib.Link) {
	k.dump(rtnl.Dump{Type: rtnl.RTM_GETLINK}, func(m rtnl.Message) error {
		var l fib.Link
		err := rtnl.DecodeLink(m, &l, nil)
		out = append(out, l)
		return err
	})
	return out
}

// picture is everything that is compared, as lines of text.
func (k *kernel) picture() string {
	var p picture
	for _, l := range k.links() {
		p.link(&l)
	}
	for _, f := range []fib.Family{fib.Inet, fib.Inet6} {
		k.dump(rtnl.Dump{Type: rtnl.RTM_GETADDR, Family: f}, func(m rtnl.Message) error {
			var a fib.Address
			err := rtnl.DecodeAddress(m, &a, nil)
			p.address(&a)
			return err
		})
		k.dump(rtnl.Dump{Type: rtnl.RTM_GETRULE, Family: f}, func(m rtnl.Message) error {
			var q rules.Request
			err := rtnl.DecodeRule(m, &q, nil)
			p.rule(&q.Rule)
			return err
		})
		k.dump(rtnl.Dump{Type: rtnl.RTM_GETROUTE, Family: f}, func(m rtnl.Message) error {
			var r fib.Route
			err := rtnl.DecodeRoute(m, &r, nil)
			if err == nil {
				p.route(r)
			}
			return err
		})
	}
	buckets := map[uint32][]uint32{}
	k.dump(rtnl.Dump{Type: rtnl.RTM_GETNEXTHOPBUCKET}, func(m rtnl.Message) error {
		var b rtnl.Bucket
		err := rtnl.DecodeBucket(m, &b, nil)
		buckets[b.Group] = append(buckets[b.Group], b.Member)
		return err
	})
	k.dump(rtnl.Dump{Type: rtnl.RTM_GETNEXTHOP}, func(m rtnl.Message) error {
		var o fib.NexthopObject
		err := rtnl.DecodeNexthop(m, &o, nil)
		o.Buckets = buckets[o.ID]
		p.nexthop(&o)
		return err
	})
	return p.String()
}

// pictureOf is the same of a snapshot.
func pictureOf(s *fib.Snapshot) string {
	var p picture
	st := s.State()
	st.Routes = slices.Collect(s.Routes()) // as dumps show them
	slices.SortFunc(st.Links, func(a, b fib.Link) int { return int(a.Index - b.Index) })
	for i := range st.Links {
		p.link(&st.Links[i])
	}
	for i := range st.Addresses {
		p.address(&st.Addresses[i])
	}
	for i := range st.Rules {
		p.rule(&st.Rules[i])
	}
	for _, r := range asDumped(st.Routes) {
		p.route(r)
	}
	for i := range st.Nexthops {
		p.nexthop(&st.Nexthops[i])
	}
	return p.String()
}

// asDumped joins the legs of IPv6 multipath routes as the kernel's dump does: the
// first leg stands for all, and what lies between first and last is not shown (D4a).
func asDumped(in []fib.Route) (out []fib.Route) {
	sibling := func(a, b *fib.Route) bool {
		return a.Table == b.Table && a.Dst == b.Dst && a.Src == b.Src && a.Priority == b.Priority && ecmp(b)
	}
	for i := 0; i < len(in); i++ {
		r := in[i]
		if r.Family() == fib.Inet6 && ecmp(&r) {
			last := i
			for j := i + 1; j < len(in); j++ {
				if sibling(&r, &in[j]) {
					r.Nexthops = append(r.Nexthops, in[j].Nexthops...)
					last = j
				}
			}
			i = last
		}
		out = append(out, r)
	}
	return out
}

func ecmp(r *fib.Route) bool {
	return r.NexthopID == 0 && len(r.Nexthops) > 0 && r.Nexthops[0].Gateway.IsValid()
}

// picture groups lines by what their order means: lines of one group are in the
// order given, groups are sorted.
type picture struct{ lines map[string][]string }

func (p *picture) add(group, format string, args ...any) {
	if p.lines == nil {
		p.lines = map[string][]string{}
	}
	p.lines[group] = append(p.lines[group], fmt.Sprintf(format, args...))
}

func (p *picture) String() string {
	var out []string
	for g, lines := range p.lines {
		for i, l := range lines {
			out = append(out, fmt.Sprintf("%s #%d: %s", g, i, l))
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

func (p *picture) link(l *fib.Link) {
	p.add(fmt.Sprintf("link %d", l.Index), "%s %#x", l.Name, l.Flags&(fib.LinkUp|fib.LinkRunning|fib.LinkLowerUp))
}

func (p *picture) address(a *fib.Address) {
	p.add(fmt.Sprintf("address %v link %d", a.Local.Is4(), a.Link), "%v %v brd %v %v flags %#x metric %d", a.Local, a.Prefix, a.Broadcast, a.Scope, a.Flags, a.Metric)
}

func (p *picture) rule(r *rules.Rule) {
	p.add(fmt.Sprintf("rule %v", r.Family), "%v proto %d", r, r.Protocol)
}

func (p *picture) route(r fib.Route) {
	if r.NexthopID != 0 {
		r.Nexthops = nil
	}
	var legs []string
	for _, n := range r.Nexthops {
		legs = append(legs, fmt.Sprintf("[via %v dev %d weight %d flags %#x realms %d]", n.Gateway, n.Link, n.Weight, n.Flags, n.Realms))
	}
	p.add(fmt.Sprintf("route %v table %v from %v", r.Dst, r.Table, r.Src), "%v scope %v proto %d tos %#x metric %d src %v flags %#x pref %v metrics %v nhid %d %v",
		r.Type, r.Scope, r.Protocol, r.TOS, r.Priority, r.PrefSrc, r.Flags, r.Pref, r.Metrics, r.NexthopID, legs)
}

func (p *picture) nexthop(o *fib.NexthopObject) {
	p.add(fmt.Sprintf("nexthop %d", o.ID), "family %v scope %v proto %d blackhole %v fdb %v via %v dev %d flags %#x group %v resilient %v %v",
		o.Family, o.Scope, o.Protocol, o.Blackhole, o.FDB, o.Nexthop.Gateway, o.Nexthop.Link, o.Nexthop.Flags, o.Group, o.Resilient, o.Buckets)
}

// difference is the lines of two pictures that only one of them has.
func difference(kernel, ours string) string {
	a, b := strings.Split(kernel, "\n"), strings.Split(ours, "\n")
	var out []string
	for _, l := range a {
		if !slices.Contains(b, l) {
			out = append(out, "kernel: "+l)
		}
	}
	for _, l := range b {
		if !slices.Contains(a, l) {
			out = append(out, "fib:    "+l)
		}
	}
	return strings.Join(out, "\n")
}

func errnoOf(err error) fib.Errno {
	var e fib.Errno
	if err != nil && !errors.As(err, &e) {
		return 9999
	}
	return e
}
