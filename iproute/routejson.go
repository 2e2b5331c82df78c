package iproute

import (
	"encoding/hex"
	"net/netip"
	"strconv"

	"github.com/fibula-net/fibula/fib"
)

// Routes have the keys of "ip -j -d route show". A single nexthop stands in the route
// itself, several in "nexthops", as there. Keys of our own: "nhscope" (scope of a gateway
// where it is known), "lock" in "metrics" (names of locked metrics), "encap" as an object.

var (
	lwtWord  = wordIn[uint16](lwtNames[:])
	prefWord = wordIn[uint8]([]string{"medium", "high", "", "low"})
	typeWord = func() func(string) (uint8, error) {
		var words []string
		for t := fib.TypeUnspec; t <= fib.TypeXResolve; t++ {
			words = append(words, t.String())
		}
		return wordIn[uint8](words)
	}()
)

var legFlags = []bit{
	{uint32(fib.FlagDead), "dead"},
	{uint32(fib.FlagPervasive), "pervasive"},
	{uint32(fib.FlagOnlink), "onlink"},
	{uint32(fib.FlagOffload), "offload"},
	{uint32(fib.FlagLinkdown), "linkdown"},
	{uint32(fib.FlagUnresolved), "unresolved"},
	{uint32(fib.FlagTrap), "trap"},
}

// routeFlags are the RTM_F_* flags. They lie above the flags of a nexthop.
var routeFlags = []bit{
	{flagNotify, "notify"},
	{0x200, "cloned"},
	{0x4000, "rt_offload"},
	{0x8000, "rt_trap"},
	{0x20000000, "rt_offload_failed"},
}

const (
	flagNotify    = 0x100 // of the message, not of the route
	legFlagMask   = 0x7f  // the flags in legFlags
	lowRouteFlags = 0xff  // the bits of rtm_flags that belong to a nexthop
)

func routeFlagNamed(word string) (uint32, bool) {
	if v, ok := bitNamed(legFlags)(word); ok {
		return v, true
	}
	return bitNamed(routeFlags)(word)
}

// rtaxNames and lwtNames are iproute2's words by RTAX_* and LWTUNNEL_ENCAP_* number.
var (
	rtaxNames = [...]string{2: "mtu", "window", "rtt", "rttvar", "ssthresh", "cwnd", "advmss", "reordering", "hoplimit",
		"initcwnd", "features", "rto_min", "initrwnd", "quickack", "congctl", "fastopen_no_cookie"}
	lwtNames = [...]string{1: "mpls", "ip", "ila", "ip6", "seg6", "bpf", "seg6local", "rpl", "ioam6", "xfrm"}
)

// features are the bits of RTAX_FEATURES; iproute2 prints each as a flag.
var features = []bit{{1, "ecn"}, {1 << 4, "tcp_usec_ts"}}

// metricUnits: iproute2 prints these in milliseconds, the kernel keeps fractions of them.
var metricUnits = map[int]uint32{4: 8, 5: 4}

// route reads one route into r. What a missing key means is what "ip -j route show" leaves
// out. family is what "default" stands for; 0: the other keys tell.
func (d *decoder) route(r *fib.Route, family fib.Family) {
	const object = "route"
	*r = fib.Route{Type: fib.TypeUnicast, Table: fib.TableMain, Protocol: fib.ProtoBoot}
	leg := fib.Nexthop{Weight: 1}
	var flags uint32
	hasLeg, isDefault, six, encap := false, false, false, false
	for it := d.object(); it.next(); {
		key := d.key()
		encap = encap || string(key) == "encap"
		if d.legKey(&leg, key) {
			hasLeg = true
			continue
		}
		switch string(key) {
		case "type":
			r.Type = fib.RouteType(word(d, "type", 8, typeWord))
		case "dst":
			if encap && r.Dst.IsValid() {
				d.skip() // the tunnel's
			} else if f := family; f != 0 || !d.capture {
				r.Dst = d.prefix("dst", f)
			} else {
				r.Dst, isDefault = d.maybeDefault()
			}
		case "from":
			r.Src = d.prefix("from", fib.Inet6)
			if d.capture && r.Src.Bits() == 0 {
				r.Src = netip.Prefix{}
			}
		case "nhid":
			r.NexthopID = d.u32()
		case "tos":
			if encap && d.peek() != '"' {
				d.skip() // the tunnel's
			} else {
				r.TOS = word(d, "tos", 8, d.names.DSField)
			}
		case "table":
			r.Table = fib.TableID(word(d, "table", 32, d.names.Table))
		case "protocol":
			r.Protocol = fib.Protocol(word(d, "protocol", 8, d.names.Protocol))
		case "scope":
			r.Scope = d.scope()
		case "prefsrc":
			r.PrefSrc = d.address("prefsrc")
		case "metric":
			r.Priority = d.u32()
		case "flags":
			if encap && d.peek() != '[' {
				d.skip() // the tunnel's
			} else {
				flags = d.bitNames("route flag", routeFlagNamed)
			}
		case "metrics":
			for it := d.array(); it.next(); {
				d.metrics(&r.Metrics)
			}
		case "pref":
			six = true
			r.Pref = d.pref()
		case "expires":
			r.Expires = d.u32()
		case "lost":
			r.Lost = d.fact()
		case "learned":
			r.Learned = d.fact()
		case "nexthops":
			for it := d.array(); it.next(); {
				r.Nexthops = append(r.Nexthops, d.leg())
			}
		case "nh_info", "cache", "uid", "users", "age", "used", "error", "hoplimit":
			d.skipKnown(object, key) // nh_info repeats the nexthop object
		default:
			if encap && d.capture {
				d.skip()
			} else {
				d.unknown(object, key)
			}
		}
	}
	if isDefault {
		r.Dst = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if six {
			r.Dst = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
	}
	if d.err == nil && !r.Dst.IsValid() && d.capture {
		d.fail("route without dst")
	}
	d.finishRoute(r, &leg, hasLeg, flags)
}

// finishRoute puts leg and flags where they belong.
func (d *decoder) finishRoute(r *fib.Route, leg *fib.Nexthop, hasLeg bool, flags uint32) {
	if hasLeg && r.Nexthops != nil {
		d.fail("route %s: has \"nexthops\" and a gateway or dev beside it", r.Dst)
	}
	if d.capture {
		flags &^= flagNotify
		if r.Rejects() {
			r.Nexthops, hasLeg = nil, false // a dump hangs those of IPv6 on lo (D52)
		}
	}
	if hasLeg {
		leg.Flags |= fib.NexthopFlags(flags & legFlagMask)
		flags &^= legFlagMask
		r.Nexthops = d.newLeg(leg)
	} else if d.capture && len(r.Nexthops) == 0 {
		flags &^= lowRouteFlags
	}
	r.Flags = fib.RouteFlags(flags)
}

// newLeg returns a slice of just leg, cut from a larger one: a million routes have a
// million of them.
func (d *decoder) newLeg(leg *fib.Nexthop) []fib.Nexthop {
	if len(d.legs) == cap(d.legs) {
		d.legs = make([]fib.Nexthop, 0, min(4096, 2*cap(d.legs)+8))
	}
	n := len(d.legs)
	d.legs = append(d.legs, *leg)
	return d.legs[n : n+1 : n+1]
}

func (d *decoder) maybeDefault() (netip.Prefix, bool) {
	const word = `"default"`
	for d.pos+len(word) > d.end && d.fill() {
	}
	if d.pos+len(word) <= d.end && string(d.buf[d.pos:d.pos+len(word)]) == word {
		d.str()
		return netip.Prefix{}, true
	}
	return d.prefix("dst", 0), false
}

// legKey reads a key that describes a nexthop and reports whether it was one.
func (d *decoder) legKey(n *fib.Nexthop, key []byte) bool {
	switch string(key) {
	case "gateway":
		n.Gateway = d.gateway()
	case "via":
		d.via(n)
	case "dev":
		n.Link = d.dev()
	case "weight":
		n.Weight = d.u16()
	case "flow":
		n.Realms = d.realms()
	case "nhscope":
		n.Scope, n.ScopeSet = d.scope(), true
	case "encap":
		d.encap(n)
	default:
		return false
	}
	return true
}

// leg reads one element of "nexthops".
func (d *decoder) leg() fib.Nexthop {
	n := fib.Nexthop{Weight: 1}
	encap := false
	for it := d.object(); it.next(); {
		key := d.key()
		encap = encap || string(key) == "encap"
		if d.legKey(&n, key) {
			continue
		}
		switch {
		case string(key) == "flags" && d.peek() == '[':
			v := d.bitNames("nexthop flag", bitNamed(legFlags))
			if v > 0xff {
				d.fail("nexthop flags %#x: expected at most 8 bits", v)
			}
			n.Flags = fib.NexthopFlags(v)
		case encap && d.capture:
			d.skip()
		default:
			d.unknown("nexthop of a route", key)
		}
	}
	return n
}

func (d *decoder) via(n *fib.Nexthop) {
	for it := d.object(); it.next(); {
		switch key := d.key(); string(key) {
		case "host":
			n.Gateway = d.address("via")
		case "family":
			d.str() // the address tells
		default:
			d.unknown("via", key)
		}
	}
}

func (d *decoder) realms() uint32 {
	var from, to uint32
	for it := d.object(); it.next(); {
		switch key := d.key(); string(key) {
		case "from":
			from = uint32(word(d, "realm", 16, d.names.Realm))
		case "to":
			to = uint32(word(d, "realm", 16, d.names.Realm))
		default:
			d.unknown("flow", key)
		}
	}
	return from<<16 | to
}

// encap reads {"type","data"} as we write it, or the word that iproute2 writes, which
// is followed by keys of the tunnel that do not make up the bytes again.
func (d *decoder) encap(n *fib.Nexthop) {
	if d.peek() == '"' {
		n.Encap.Type = word(d, "encap", 16, lwtWord)
		d.notes.add("%s: the parameters of encap %s cannot be kept from JSON; ip route save has them", d.name, encapTypeName(n.Encap.Type))
		return
	}
	for it := d.object(); it.next(); {
		switch key := d.key(); string(key) {
		case "type":
			n.Encap.Type = word(d, "encap", 16, lwtWord)
		case "data":
			s := d.str()
			b, err := hex.DecodeString(string(s))
			if err != nil {
				d.fail("encap data %q: expected pairs of hexadecimal digits", s)
			}
			n.Encap.Data = string(b)
		default:
			d.unknown("encap", key)
		}
	}
}

func (d *decoder) pref() fib.RouterPref {
	return fib.RouterPref(word(d, "pref", 8, prefWord))
}

func (d *decoder) metrics(m *fib.Metrics) {
	for it := d.object(); it.next(); {
		key := d.key()
		switch string(key) {
		case "congestion":
			m.CongCtl = string(d.str())
			continue
		case "lock":
			m.Values[fib.MetricLock] = d.bitNames("locked metric", func(w string) (uint32, bool) {
				i := metricNumber(w)
				return 1 << max(i, 0), i > 0
			})
			continue
		}
		if v, ok := bitNamed(features)(string(key)); ok {
			if d.flag() {
				m.Values[fib.MetricFeatures] |= v
			}
			continue
		}
		i := metricNumber(string(key))
		switch {
		case i < 0:
			d.unknown("metrics", key)
		case i == fib.MetricFeatures:
			m.Values[i] |= d.u32()
		case metricUnits[i] != 0:
			m.Values[i] = d.scaled(metricUnits[i])
		default:
			m.Values[i] = d.u32()
		}
	}
}

// metricNumber is the RTAX_* number of a name or of "metricN", -1 for any other word.
func metricNumber(word string) int {
	for i := range (fib.Metrics{}).Values {
		if word == metricName(i) {
			return i
		}
	}
	return -1
}

func metricName(i int) string {
	if i < len(rtaxNames) && rtaxNames[i] != "" {
		return rtaxNames[i]
	}
	return "metric" + strconv.Itoa(i)
}

func encapTypeName(t uint16) string {
	if t > 0 && int(t) < len(lwtNames) {
		return lwtNames[t]
	}
	return strconv.Itoa(int(t))
}
