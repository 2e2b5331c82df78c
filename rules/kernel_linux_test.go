package rules_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/fibula-net/fibula/internal/conformance"
	"github.com/fibula-net/fibula/internal/errno"
	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/rules"
)

// Attribute numbers that package unix does not have yet.
const (
	fraDSCP          = 25
	fraFlowLabel     = 26
	fraFlowLabelMask = 27
	fraSportMask     = 28
	fraDportMask     = 29
	fraDSCPMask      = 30
)

// kernel speaks rtnetlink in a network namespace of its own, which lives as
// long as the thread that the test is locked to.
type kernel struct {
	fd  int
	buf [1 << 16]byte
}

// skip skips the test, and fails it where it must run.
func skip(t *testing.T, why error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}

func newKernel(t *testing.T) *kernel {
	t.Helper()
	if testing.Short() {
		t.Skip("asks the kernel, which takes long")
	}
	// Never unlocked: the runtime ends the thread, and with it the namespace.
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		skip(t, fmt.Errorf("a network namespace needs root: unshare: %w", err))
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	require.NoError(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	return &kernel{fd: fd}
}

func (k *kernel) send(t *testing.T, kind, flags uint16, body []byte) {
	t.Helper()
	msg := binary.NativeEndian.AppendUint32(nil, uint32(unix.NLMSG_HDRLEN+len(body)))
	msg = binary.NativeEndian.AppendUint16(msg, kind)
	msg = binary.NativeEndian.AppendUint16(msg, flags|unix.NLM_F_REQUEST)
	msg = append(msg, make([]byte, 8)...)
	require.NoError(t, unix.Sendto(k.fd, append(msg, body...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}))
}

// receive calls each with every message until an acknowledgement, an error or
// the end of a dump, and returns the errno.
func (k *kernel) receive(t *testing.T, each func(body []byte)) errno.Errno {
	t.Helper()
	for {
		n, _, err := unix.Recvfrom(k.fd, k.buf[:], 0)
		require.NoError(t, err)
		for rest := k.buf[:n]; len(rest) >= unix.NLMSG_HDRLEN; {
			size := binary.NativeEndian.Uint32(rest)
			body := rest[unix.NLMSG_HDRLEN:size]
			switch binary.NativeEndian.Uint16(rest[4:]) {
			case unix.NLMSG_ERROR:
				return errno.Errno(-int32(binary.NativeEndian.Uint32(body)))
			case unix.NLMSG_DONE:
				return 0
			}
			each(body)
			rest = rest[min(len(rest), int(size+3)&^3):]
		}
	}
}

func (k *kernel) request(t *testing.T, kind, flags uint16, q rules.Request) errno.Errno {
	t.Helper()
	k.send(t, kind, flags|unix.NLM_F_ACK, encode(q))
	return k.receive(t, func([]byte) {})
}

func (k *kernel) dump(t *testing.T, f rules.Family) []rules.Rule {
	t.Helper()
	header := make([]byte, 12)
	header[0] = uint8(f)
	k.send(t, unix.RTM_GETRULE, unix.NLM_F_DUMP, header)
	var rs []rules.Rule
	require.Zero(t, k.receive(t, func(body []byte) { rs = append(rs, decode(t, body)) }))
	return rs
}

// encode writes exactly the attributes that the request carries.
func encode(q rules.Request) []byte {
	header := make([]byte, 12)
	header[0], header[3], header[7] = uint8(q.Family), q.TOS, uint8(q.Action)
	header[1], header[2] = uint8(max(q.To.Bits(), 0)), uint8(max(q.From.Bits(), 0))
	var flags uint32
	if q.Not {
		flags |= 2
	}
	if q.FindSaddr {
		flags |= 0x10000
	}
	binary.NativeEndian.PutUint32(header[8:], flags)
	attr := func(has bool, kind uint16, value []byte) {
		if has {
			header = binary.NativeEndian.AppendUint16(header, uint16(4+len(value)))
			header = binary.NativeEndian.AppendUint16(header, kind)
			header = append(header, value...)
			header = append(header, make([]byte, -len(value)&3)...)
		}
	}
	u32 := func(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }
	be32 := func(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }
	u16 := func(vs ...uint16) (b []byte) {
		for _, v := range vs {
			b = binary.NativeEndian.AppendUint16(b, v)
		}
		return b
	}
	has := func(a rules.Attr) bool { return q.Present&a != 0 }
	attr(q.From.IsValid(), unix.FRA_SRC, q.From.Addr().AsSlice())
	attr(q.To.IsValid(), unix.FRA_DST, q.To.Addr().AsSlice())
	attr(q.Iif != "", unix.FRA_IIFNAME, append([]byte(q.Iif), 0))
	attr(q.Oif != "", unix.FRA_OIFNAME, append([]byte(q.Oif), 0))
	attr(has(rules.AttrPriority), unix.FRA_PRIORITY, u32(q.Priority))
	attr(q.Mark != 0, unix.FRA_FWMARK, u32(q.Mark))
	attr(has(rules.AttrMarkMask), unix.FRA_FWMASK, u32(q.MarkMask))
	attr(has(rules.AttrDSCP), fraDSCP, []byte{q.DSCP})
	attr(has(rules.AttrDSCPMask), fraDSCPMask, []byte{q.DSCPMask})
	attr(has(rules.AttrFlowLabel), fraFlowLabel, be32(q.FlowLabel))
	attr(has(rules.AttrFlowLabelMask), fraFlowLabelMask, be32(q.FlowLabelMask))
	attr(q.HasUIDs, unix.FRA_UID_RANGE, append(u32(q.UIDs.Start), u32(q.UIDs.End)...))
	attr(q.IPProto != 0, unix.FRA_IP_PROTO, []byte{q.IPProto})
	attr(has(rules.AttrSport), unix.FRA_SPORT_RANGE, u16(q.Sport.Start, q.Sport.End))
	attr(has(rules.AttrSportMask), fraSportMask, u16(q.Sport.Mask))
	attr(has(rules.AttrDport), unix.FRA_DPORT_RANGE, u16(q.Dport.Start, q.Dport.End))
	attr(has(rules.AttrDportMask), fraDportMask, u16(q.Dport.Mask))
	attr(q.TunID != 0, unix.FRA_TUN_ID, binary.BigEndian.AppendUint64(nil, q.TunID))
	attr(q.L3MDev, unix.FRA_L3MDEV, []byte{1})
	attr(has(rules.AttrRealms), unix.FRA_FLOW, u32(q.Realms))
	attr(q.Table != 0, unix.FRA_TABLE, u32(q.Table))
	attr(has(rules.AttrGoto), unix.FRA_GOTO, u32(q.Goto))
	attr(q.SuppressPrefixLength.Set, unix.FRA_SUPPRESS_PREFIXLEN, u32(q.SuppressPrefixLength.V))
	attr(q.SuppressIfGroup.Set, unix.FRA_SUPPRESS_IFGROUP, u32(q.SuppressIfGroup.V))
	attr(q.Protocol != 0, unix.FRA_PROTOCOL, []byte{q.Protocol})
	return header
}

func decode(t *testing.T, body []byte) rules.Rule {
	t.Helper()
	flags := binary.NativeEndian.Uint32(body[8:])
	r := rules.Rule{
		Family: rules.Family(body[0]), TOS: body[3], Action: rules.Action(body[7]),
		Not: flags&2 != 0, FindSaddr: flags&0x10000 != 0,
	}
	for rest := body[12:]; len(rest) >= 4; {
		size, kind := binary.NativeEndian.Uint16(rest), binary.NativeEndian.Uint16(rest[2:])
		v := rest[4:size]
		rest = rest[min(len(rest), int(size+3)&^3):]
		u32 := func() uint32 { return binary.NativeEndian.Uint32(v) }
		u16 := func(i int) uint16 { return binary.NativeEndian.Uint16(v[2*i:]) }
		prefix := func(bits uint8) netip.Prefix {
			a, _ := netip.AddrFromSlice(v)
			return netip.PrefixFrom(a, int(bits))
		}
		switch kind {
		case unix.FRA_SRC:
			r.From = prefix(body[2])
		case unix.FRA_DST:
			r.To = prefix(body[1])
		case unix.FRA_IIFNAME:
			r.Iif = unix.ByteSliceToString(v)
		case unix.FRA_OIFNAME:
			r.Oif = unix.ByteSliceToString(v)
		case unix.FRA_PRIORITY:
			r.Priority = u32()
		case unix.FRA_FWMARK:
			r.Mark = u32()
		case unix.FRA_FWMASK:
			r.MarkMask = u32()
		case fraDSCP:
			r.DSCP = v[0]
		case fraDSCPMask:
			r.DSCPMask = v[0]
		case fraFlowLabel:
			r.FlowLabel = binary.BigEndian.Uint32(v)
		case fraFlowLabelMask:
			r.FlowLabelMask = binary.BigEndian.Uint32(v)
		case unix.FRA_UID_RANGE:
			r.HasUIDs, r.UIDs = true, rules.UIDRange{Start: u32(), End: binary.NativeEndian.Uint32(v[4:])}
		case unix.FRA_IP_PROTO:
			r.IPProto = v[0]
		case unix.FRA_SPORT_RANGE:
			r.Sport.Start, r.Sport.End = u16(0), u16(1)
		case fraSportMask:
			r.Sport.Mask = u16(0)
		case unix.FRA_DPORT_RANGE:
			r.Dport.Start, r.Dport.End = u16(0), u16(1)
		case fraDportMask:
			r.Dport.Mask = u16(0)
		case unix.FRA_TUN_ID:
			r.TunID = binary.BigEndian.Uint64(v)
		case unix.FRA_L3MDEV:
			r.L3MDev = v[0] != 0
		case unix.FRA_FLOW:
			r.Realms = u32()
		case unix.FRA_TABLE:
			r.Table = u32()
		case unix.FRA_GOTO:
			r.Goto = u32()
		case unix.FRA_SUPPRESS_PREFIXLEN:
			r.SuppressPrefixLength = rules.Some(u32())
		case unix.FRA_SUPPRESS_IFGROUP:
			r.SuppressIfGroup = rules.Some(u32())
		case unix.FRA_PROTOCOL:
			r.Protocol = v[0]
		case unix.FRA_PAD:
		default:
			t.Fatalf("rule attribute %d: not known to this test", kind)
		}
	}
	return r
}

// profile finds out which attributes of rules the kernel does not know: they are gone from the rule it made (section I).
func (k *kernel) profile(t *testing.T) (p rules.Profile) {
	t.Helper()
	q := rules.RequestOf(rules.Rule{Family: rules.Inet6, Priority: 1, Action: rules.ActNop, FlowLabel: 1, FlowLabelMask: 1, DSCP: 8, DSCPMask: 8,
		Sport: rules.PortRange{Start: 0x100, End: 0x100, Mask: 0xff00}, Dport: rules.PortRange{Start: 0x100, End: 0x100, Mask: 0xff00}})
	require.Zero(t, k.request(t, unix.RTM_NEWRULE, unix.NLM_F_CREATE, q))
	made := k.dump(t, rules.Inet6)[1]
	require.Zero(t, k.request(t, unix.RTM_DELRULE, 0, rules.RequestOf(rules.Rule{Family: rules.Inet6, Priority: 1})))
	for _, a := range []struct {
		name string
		lost bool
		attr rules.Attr
	}{
		{"dscp (Linux 6.12)", made.DSCPMask == 0, rules.AttrDSCP},
		{"flow label (Linux 6.14)", made.FlowLabelMask == 0, rules.AttrFlowLabel | rules.AttrFlowLabelMask},
		{"dscp mask (Linux 6.15)", made.DSCPMask != 8, rules.AttrDSCPMask},
		{"port masks (Linux 6.15)", made.Sport.Mask != 0xff00 || made.Dport.Mask != 0xff00, rules.AttrSportMask | rules.AttrDportMask},
	} {
		if a.lost {
			t.Logf("this kernel ignores the attribute %s", a.name)
			p.Unknown |= a.attr
		}
	}
	return p
}

// TestEditsEqualTheKernel sends the same random requests, faulty ones too, to a
// list and to the kernel, and compares each errno and then the whole dump.
func TestEditsEqualTheKernel(t *testing.T) {
	conformance.Covers(t, "A1", "A2", "A4", "A5", "A6", "A7", "A13", "A28")
	rnd := randtest.Rand(t)
	k := newKernel(t)
	p := k.profile(t)
	outcomes := map[string]int{}
	lists := map[rules.Family]*rules.List{rules.Inet: rules.Initial(rules.Inet), rules.Inet6: rules.Initial(rules.Inet6)}
	tables := uint32(0) // an IPv4 table 0 creates 1, 2 ... in turn; IPv4 rules create no others
	free := func() (uint32, bool) { tables++; return tables, true }
	var last rules.Request
	for range 4000 {
		f := pick(rnd, rules.Inet, rules.Inet6)
		q, a := randomRequest(rnd, f, pick(rnd, 1, 3, 10), true)
		if chance(rnd, 50) && last.Family == f {
			q, a = perturb(rnd, last, attributes{})
		}
		last = q
		l, add := lists[f], chance(rnd, 55)
		var want errno.Errno
		var next *rules.List
		var err error
		if add {
			var excl uint16
			if chance(rnd, 70) {
				excl = unix.NLM_F_EXCL
			}
			want = k.request(t, unix.RTM_NEWRULE, unix.NLM_F_CREATE|excl, q)
			next, _, err = l.Add(p.Heard(q), rules.AddFlags{Excl: excl != 0, FreeTable: free})
		} else {
			if chance(rnd, 50) && l.Len() > 0 {
				q = rules.RequestOf(l.At(rnd.IntN(l.Len())).Rule)
			}
			q, _ = thinOut(rnd, q, a)
			want = k.request(t, unix.RTM_DELRULE, 0, q)
			next, _, err = l.Delete(p.Heard(q))
		}
		got, _ := errno.Of(err)
		require.Equal(t, want.Name(), got.Name(), "add=%v rule %v\n%+v\npresent %b\nours: %v", add, q, q.Rule, q.Present, err)
		outcomes[fmt.Sprintf("add=%v %s", add, want.Name())]++
		if want == 0 {
			lists[f] = next
			if dump := rules.Load(f, k.dump(t, f)); !dump.Equal(next) {
				require.Equal(t, snapshot(dump), snapshot(next), "add=%v rule %v\n%+v", add, q, q.Rule)
			}
		}
	}
	t.Log(outcomes)
	if p.Unknown&rules.AttrDSCP == 0 {
		require.NotZero(t, outcomes["add=true ERANGE"], "no request had a dscp above 63")
	}
	for _, o := range []string{"add=true ", "add=true EEXIST", "add=true EINVAL", "add=false ", "add=false ENOENT", "add=false EINVAL"} {
		require.NotZero(t, outcomes[o], "the requests never led to %q", o)
	}
}
