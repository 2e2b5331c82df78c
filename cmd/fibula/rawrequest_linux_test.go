package main

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/errno"
	"github.com/fibula-net/fibula/internal/rtnl"
	"github.com/fibula-net/fibula/rules"
)

// rawRequest is a netlink request spelt out, for what the ip command cannot say.
type rawRequest struct {
	Msg    string           `json:"msg"`
	Flags  []string         `json:"flags"`
	Family string           `json:"family"`
	Hdr    map[string]int64 `json:"hdr"`
	Attrs  [][3]any         `json:"attrs"`
}

var (
	rawMessages = map[string]uint16{"RTM_NEWROUTE": 24, "RTM_DELROUTE": 25, "RTM_GETROUTE": 26, "RTM_NEWRULE": 32,
		"RTM_DELRULE": 33, "RTM_NEWNEXTHOP": 104, "RTM_DELNEXTHOP": 105}
	rawFlags = map[string]uint16{"REPLACE": 0x100, "EXCL": 0x200, "CREATE": 0x400, "APPEND": 0x800}
	rawAttrs = map[string]uint16{
		"RTA_DST": 1, "RTA_SRC": 2, "RTA_IIF": 3, "RTA_OIF": 4, "RTA_GATEWAY": 5, "RTA_PRIORITY": 6, "RTA_PREFSRC": 7,
		"RTA_METRICS": 8, "RTA_MULTIPATH": 9, "RTA_FLOW": 11, "RTA_TABLE": 15, "RTA_MARK": 16, "RTA_VIA": 18, "RTA_PREF": 20,
		"RTA_ENCAP_TYPE": 21, "RTA_EXPIRES": 23, "RTA_UID": 25, "RTA_TTL_PROPAGATE": 26, "RTA_IP_PROTO": 27, "RTA_SPORT": 28,
		"RTA_DPORT": 29, "RTA_NH_ID": 30, "RTA_FLOWLABEL": 31,
		"FRA_DST": 1, "FRA_SRC": 2, "FRA_IIFNAME": 3, "FRA_GOTO": 4, "FRA_PRIORITY": 6, "FRA_FWMARK": 10, "FRA_FLOW": 11,
		"FRA_TUN_ID": 12, "FRA_SUPPRESS_IFGROUP": 13, "FRA_SUPPRESS_PREFIXLEN": 14, "FRA_TABLE": 15, "FRA_FWMASK": 16,
		"FRA_OIFNAME": 17, "FRA_L3MDEV": 19, "FRA_UID_RANGE": 20, "FRA_PROTOCOL": 21, "FRA_IP_PROTO": 22, "FRA_SPORT_RANGE": 23,
		"FRA_DPORT_RANGE": 24, "FRA_DSCP": 25, "FRA_FLOWLABEL": 26, "FRA_FLOWLABEL_MASK": 27, "FRA_SPORT_MASK": 28,
		"FRA_DPORT_MASK": 29, "FRA_DSCP_MASK": 30,
		"NHA_ID": 1, "NHA_GROUP": 2, "NHA_GROUP_TYPE": 3, "NHA_BLACKHOLE": 4, "NHA_OIF": 5, "NHA_GATEWAY": 6,
	}
)

// build returns the whole message, header included.
func (q rawRequest) build(t *testing.T, index func(string) int32) []byte {
	h := func(key string, def int64) byte {
		if v, ok := q.Hdr[key]; ok {
			return byte(v)
		}
		return byte(def)
	}
	fam := map[string]byte{"": unix.AF_INET, "inet": unix.AF_INET, "inet6": unix.AF_INET6, "unspec": 0}[q.Family]
	ne := binary.NativeEndian
	var body []byte
	switch {
	case strings.HasSuffix(q.Msg, "ROUTE"):
		body = []byte{fam, h("dst_len", 0), h("src_len", 0), h("tos", 0), h("table", 0), h("protocol", 3), h("scope", 0), h("type", 1)}
	case strings.HasSuffix(q.Msg, "RULE"):
		body = []byte{fam, h("dst_len", 0), h("src_len", 0), h("tos", 0), h("table", 0), 0, 0, h("action", 1)}
	default:
		body = []byte{fam, 0, h("protocol", 3), 0}
	}
	body = ne.AppendUint32(body, uint32(q.Hdr["flags"]))
	for _, a := range q.Attrs {
		v := rawValue(t, a[1].(string), a[2], index)
		n, ok := rawAttrs[a[0].(string)]
		require.True(t, ok, "attribute %v", a[0])
		body = ne.AppendUint16(ne.AppendUint16(body, uint16(4+len(v))), n)
		body = append(append(body, v...), make([]byte, -len(v)&3)...)
	}
	flags := uint16(unix.NLM_F_REQUEST | unix.NLM_F_ACK)
	for _, f := range q.Flags {
		flags |= rawFlags[f]
	}
	msg := ne.AppendUint32(nil, uint32(16+len(body)))
	msg = ne.AppendUint16(ne.AppendUint16(msg, rawMessages[q.Msg]), flags)
	msg = ne.AppendUint32(ne.AppendUint32(msg, 1), 0)
	return append(msg, body...)
}

func rawValue(t *testing.T, kind string, v any, index func(string) int32) []byte {
	num := func(v any) uint64 {
		f := v.(float64)
		if f < 0 {
			return uint64(int64(f))
		}
		require.Less(t, f, math.Exp2(53))
		return uint64(f)
	}
	ne, be := binary.NativeEndian, binary.BigEndian
	switch kind {
	case "u8":
		return []byte{byte(num(v))}
	case "u16":
		return ne.AppendUint16(nil, uint16(num(v)))
	case "be16":
		return be.AppendUint16(nil, uint16(num(v)))
	case "u32":
		return ne.AppendUint32(nil, uint32(num(v)))
	case "be32":
		return be.AppendUint32(nil, uint32(num(v)))
	case "u64":
		return ne.AppendUint64(nil, num(v))
	case "be64":
		return be.AppendUint64(nil, num(v))
	case "u16pair":
		p := v.([]any)
		return ne.AppendUint16(ne.AppendUint16(nil, uint16(num(p[0]))), uint16(num(p[1])))
	case "u32pair":
		p := v.([]any)
		return ne.AppendUint32(ne.AppendUint32(nil, uint32(num(p[0]))), uint32(num(p[1])))
	case "addr":
		a := netip.MustParseAddr(v.(string))
		return a.AsSlice()
	case "dev":
		return ne.AppendUint32(nil, uint32(index(v.(string))))
	case "str":
		return append([]byte(v.(string)), 0)
	case "hex":
		b, err := hex.DecodeString(v.(string))
		require.NoError(t, err)
		return b
	}
	t.Fatalf("attribute type %q", kind)
	return nil
}

// sendRaw makes the request to the kernel of the thread's namespace and returns
// the name of the errno, or "".
func sendRaw(t *testing.T, msg []byte) string {
	s, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	require.NoError(t, err)
	defer unix.Close(s)
	require.NoError(t, unix.Sendto(s, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}))
	buf := make([]byte, 1<<16)
	for {
		n, _, err := unix.Recvfrom(s, buf, 0)
		require.NoError(t, err)
		for b := buf[:n]; len(b) >= 20; b = b[(binary.NativeEndian.Uint32(b)+3)&^3:] {
			if binary.NativeEndian.Uint16(b[4:]) == unix.NLMSG_ERROR {
				if e := -int32(binary.NativeEndian.Uint32(b[16:])); e != 0 {
					return errno.Errno(e).Name()
				}
				return ""
			}
		}
	}
}

// apply does in a transaction what the kernel would for the request, and returns
// the name of the errno, or "".
func (q rawRequest) apply(t *testing.T, tx *fib.Txn, index func(string) int32) string {
	flags := fib.AddFlags(0)
	for _, f := range q.Flags {
		flags |= fib.AddFlags(rawFlags[f])
	}
	var err error
	switch q.Msg {
	case "RTM_NEWRULE":
		var r rules.Request
		if rtnl.DecodeRule(q.message(t, index), &r, &rtnl.Report{}) != nil {
			return fib.EINVAL.Name() // malformed: a prefix length without a prefix, for one
		}
		_, err = tx.AddRule(r, flags)
	case "RTM_NEWROUTE":
		err = tx.AddRoute(q.route(t, index), flags)
	case "RTM_DELROUTE":
		err = tx.DeleteRoute(q.route(t, index))
	case "RTM_GETROUTE":
		if d := tx.Snapshot().Resolve(q.flow(t, index)); d.Errno != 0 {
			err = d.Errno
		}
	default:
		t.Fatalf("no operation for %s", q.Msg)
	}
	if err == nil {
		return ""
	}
	var e fib.Errno
	require.True(t, errors.As(err, &e), "%v carries no errno", err)
	return e.Name()
}

func (q rawRequest) message(t *testing.T, index func(string) int32) rtnl.Message {
	m, _, err := rtnl.Next(q.build(t, index))
	require.NoError(t, err)
	return m
}

// route is the request as an embedder would spell it. It does not go through the
// decoder, which is for what a kernel has accepted.
func (q rawRequest) route(t *testing.T, index func(string) int32) fib.Route {
	r := fib.Route{
		Table: fib.TableID(q.Hdr["table"]), TOS: uint8(q.Hdr["tos"]), Type: fib.TypeUnicast, Scope: fib.Scope(q.Hdr["scope"]),
		Protocol: fib.Protocol(q.Hdr["protocol"]),
	}
	if v, ok := q.Hdr["type"]; ok {
		r.Type = fib.RouteType(v)
	}
	var leg fib.Nexthop
	src, dst := netip.IPv4Unspecified(), netip.IPv4Unspecified()
	if q.Family == "inet6" {
		src, dst = netip.IPv6Unspecified(), netip.IPv6Unspecified()
	}
	for _, a := range q.Attrs {
		v := rawValue(t, a[1].(string), a[2], index)
		addr, _ := netip.AddrFromSlice(v)
		num := uint32(0)
		if len(v) == 4 {
			num = binary.NativeEndian.Uint32(v)
		}
		switch a[0] {
		case "RTA_DST":
			dst = addr
		case "RTA_SRC":
			src = addr
		case "RTA_GATEWAY":
			leg.Gateway = addr
		case "RTA_VIA":
			leg.Gateway, _ = netip.AddrFromSlice(v[2:])
		case "RTA_OIF":
			leg.Link = int32(num)
		case "RTA_PRIORITY":
			r.Priority = num
		case "RTA_PREFSRC":
			r.PrefSrc = addr
		case "RTA_TABLE":
			r.Table = fib.TableID(num)
		case "RTA_NH_ID":
			r.NexthopID = num
		case "RTA_MULTIPATH":
			r.Nexthops = rawLegs(v)
		default:
			t.Fatalf("attribute %v", a[0])
		}
	}
	leg.Flags = fib.NexthopFlags(q.Hdr["flags"])
	if leg != (fib.Nexthop{}) {
		r.Nexthops = append(r.Nexthops, leg)
	}
	r.Dst = netip.PrefixFrom(dst, int(q.Hdr["dst_len"]))
	if n := q.Hdr["src_len"]; n > 0 {
		r.Src = netip.PrefixFrom(src, int(n))
	}
	return r
}

// rawLegs reads the struct rtnexthop of RTA_MULTIPATH: link and gateway.
func rawLegs(b []byte) (legs []fib.Nexthop) {
	ne := binary.NativeEndian
	for len(b) >= 8 {
		n := int(ne.Uint16(b))
		leg := fib.Nexthop{Flags: fib.NexthopFlags(b[2]), Weight: uint16(b[3]) + 1, Link: int32(ne.Uint32(b[4:]))}
		for at := b[8:n]; len(at) >= 4; {
			l := int(ne.Uint16(at))
			if ne.Uint16(at[2:]) == rawAttrs["RTA_GATEWAY"] {
				leg.Gateway, _ = netip.AddrFromSlice(at[4:l])
			}
			at = at[(l+3)&^3:]
		}
		legs, b = append(legs, leg), b[(n+3)&^3:]
	}
	return legs
}

func (q rawRequest) flow(t *testing.T, index func(string) int32) (f fib.Flow) {
	for _, a := range q.Attrs {
		v := rawValue(t, a[1].(string), a[2], index)
		switch a[0] {
		case "RTA_DST":
			f.Dst, _ = netip.AddrFromSlice(v)
		case "RTA_FLOWLABEL":
			f.FlowLabel = binary.BigEndian.Uint32(v)
		default:
			t.Fatalf("attribute %v", a[0])
		}
	}
	return f
}
