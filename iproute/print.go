package iproute

import (
	"net/netip"
	"strconv"

	"github.com/fibula-net/fibula/fib"
)

// Printer writes replies as ip does. Its zero value prints text with the
// built-in names and numbers for links. It is safe for concurrent use.
type Printer struct {
	Names *Names
	Links Links // to name links; nil: all are "if7"

	JSON    bool // ip -j
	Pretty  bool // ip -p, with JSON
	Oneline bool // ip -o: a backslash for each line feed within a reply

	// StrictIP leaves out the JSON keys that ip does not have.
	StrictIP bool
}

// AppendReply appends the whole output for one reply: with JSON an array of one
// object and a line feed, as "ip -j route get"; else the text of "ip route get".
// It allocates only to let b grow.
func (p *Printer) AppendReply(b []byte, r *Reply) []byte { return p.appendReply(b, r, nil) }

// AppendReplyOf appends the reply of an answer without errno, in JSON with its
// candidates.
func (p *Printer) AppendReplyOf(b []byte, a *Answer) []byte {
	return p.appendReply(b, &a.Reply, a.Candidates)
}

// AppendRoute appends a stored route as "ip route" lists it: a line of text, or with JSON
// an object alone.
func (p *Printer) AppendRoute(b []byte, r *fib.Route) []byte {
	reply := StoredReply(r)
	if !p.JSON {
		return p.appendText(b, &reply)
	}
	w := ipJSON{b: b, pretty: p.Pretty}
	p.object(&w, &reply, nil)
	return w.b
}

func (p *Printer) appendReply(b []byte, r *Reply, others []Answer) []byte {
	if !p.JSON {
		return p.appendText(b, r)
	}
	w := ipJSON{b: b, pretty: p.Pretty}
	w.openArray()
	p.object(&w, r, others)
	w.closeArray()
	return append(w.b, '\n')
}

// Reading order of the flags that ip names.
var replyFlags = [...]struct {
	bit  uint32
	name string
}{
	{rtnhDead, "dead"}, {uint32(fib.FlagOnlink), "onlink"}, {uint32(fib.FlagPervasive), "pervasive"},
	{uint32(fib.FlagOffload), "offload"}, {uint32(fib.FlagTrap), "trap"}, {rtmNotify, "notify"},
	{rtnhLinkdown, "linkdown"}, {uint32(fib.FlagUnresolved), "unresolved"},
	{0x4000, "rt_offload"}, {0x8000, "rt_trap"},
	// The same bit as "multicast" in an IPv4 lookup: ip says so of every multicast answer (C13).
	{0x20000000, "rt_offload_failed"},
}

var cacheFlags = [...]struct {
	bit  uint32
	name string
}{
	{rtcfLocal, "local"}, {rtcfMulticast, "mc"}, {rtcfBroadcast, "brd"}, {rtcfDoRedirect, "redirect"}, {rtcfNotify, "notify"},
}

// The names of the metrics by RTAX_ number.
var metricWords = [...]string{2: "mtu", "window", "rtt", "rttvar", "ssthresh", "cwnd", "advmss", "reordering", "hoplimit",
	"initcwnd", "features", "rto_min", "initrwnd", "quickack", "congctl", "fastopen_no_cookie"}

// Metrics that need more than their number.
const (
	metricRTT    = 4
	metricRTTVar = 5
	metricRTOMin = 13
	metricCC     = 16
)

// shownMetric returns metric i as ip shows it, and whether it does.
func shownMetric(m *fib.Metrics, i int) (v uint32, locked, ok bool) {
	v = m.Values[i]
	locked = m.Values[fib.MetricLock]&(1<<i) != 0
	ok = v != 0 || locked || i == metricCC && m.CongCtl != ""
	switch i {
	case fib.MetricHopLimit:
		ok = ok && v != 1<<32-1
	case metricRTT:
		v /= 8
	case metricRTTVar:
		v /= 4
	}
	return v, locked, ok
}

func (p *Printer) appendText(b []byte, r *Reply) []byte {
	n := p.Names.get()
	word := func(key, value string) {
		b = append(append(append(append(b, key...), ' '), value...), ' ')
	}
	if r.Type != fib.TypeUnicast {
		b = append(append(b, n.TypeName(r.Type)...), ' ')
	}
	b = append(appendPrefix(b, r.Dst), ' ')
	if r.From.IsValid() {
		b = append(b, "from "...)
		b = append(appendPrefix(b, r.From), ' ')
	}
	if r.NexthopID != 0 {
		b = appendNumber(b, "nhid ", r.NexthopID)
	}
	b = appendEncapText(b, r.Encap)
	if r.TOS != 0 {
		word("tos", n.DSFieldName(r.TOS))
	}
	b = appendVia(b, r.Family, r.Gateway)
	if r.Dev != 0 {
		word("dev", linkText(p.Links, r.Dev))
	}
	if r.Table != 0 && r.Table != fib.TableMain {
		word("table", n.TableName(uint32(r.Table)))
	}
	if r.Flags&rtmCloned == 0 {
		if r.Protocol != fib.ProtoBoot {
			word("proto", n.ProtocolName(uint8(r.Protocol)))
		}
		if r.Scope != fib.ScopeUniverse {
			word("scope", n.ScopeName(uint8(r.Scope)))
		}
	}
	if r.PrefSrc.IsValid() {
		b = append(appendAddr(append(b, "src "...), r.PrefSrc), ' ')
	}
	if r.HasMetric {
		b = appendNumber(b, "metric ", r.Metric)
	}
	b = appendFlags(b, r.Flags)
	if r.Mark >= 16 {
		b = append(strconv.AppendUint(append(b, "mark 0x"...), uint64(r.Mark), 16), ' ')
	} else if r.Mark != 0 {
		b = appendNumber(b, "mark ", r.Mark)
	}
	if r.Realms != 0 {
		word(realmsText(n, r.Realms))
	}
	if r.HasUID {
		b = appendNumber(b, "uid ", r.UID)
	}
	if r.Family == fib.Inet && r.Flags&rtmCloned != 0 {
		b = appendCache(append(p.appendBreak(b), "    cache "...), r.Flags)
	}
	if r.Expires != 0 {
		b = append(strconv.AppendUint(append(b, "expires "...), uint64(r.Expires), 10), "sec "...)
	}
	b = appendMetrics(b, r.Metrics)
	if r.Iif != 0 {
		word("iif", linkText(p.Links, r.Iif))
	}
	if r.Family == fib.Inet6 {
		b = append(append(b, "pref "...), r.Pref.String()...)
	}
	for i := range r.Nexthops {
		b = p.appendNexthop(p.appendBreak(b), n, r.Family, &r.Nexthops[i])
	}
	return append(b, '\n')
}

func (p *Printer) appendBreak(b []byte) []byte {
	if p.Oneline {
		return append(b, '\\')
	}
	return append(b, '\n')
}

func (p *Printer) appendNexthop(b []byte, n *Names, fam fib.Family, leg *fib.Nexthop) []byte {
	b = append(b, "\tnexthop "...)
	b = appendEncapText(b, leg.Encap)
	b = appendVia(b, fam, leg.Gateway)
	if leg.Realms != 0 {
		key, value := realmsText(n, leg.Realms)
		b = append(append(append(append(b, key...), ' '), value...), ' ')
	}
	b = append(append(append(b, "dev "...), linkText(p.Links, leg.Link)...), ' ')
	b = appendNumber(b, "weight ", uint32(max(leg.Weight, 1)))
	return appendFlags(b, uint32(leg.Flags))
}

// appendPrefix writes "default", an address, or a prefix.
func appendPrefix(b []byte, p netip.Prefix) []byte {
	switch {
	case !p.IsValid() || p.Bits() == 0:
		return append(b, "default"...)
	case p.IsSingleIP():
		return appendAddr(b, p.Addr())
	}
	b = append(appendAddr(b, p.Addr()), '/')
	return strconv.AppendInt(b, int64(p.Bits()), 10)
}

// appendAddr writes an address as the C library does, on which ip relies: of an IPv6
// one whose first six words are zero, but not the seventh, the end in dots.
func appendAddr(b []byte, a netip.Addr) []byte {
	x := a.As16()
	if !a.Is6() || a.Is4In6() || x[12] == 0 && x[13] == 0 || [12]byte(x[:12]) != [12]byte{} {
		return a.AppendTo(b)
	}
	return netip.AddrFrom4([4]byte(x[12:])).AppendTo(append(b, "::"...))
}

// appendNumber writes the key, which ends in a blank, the number, and a blank.
func appendNumber(b []byte, key string, v uint32) []byte {
	return append(strconv.AppendUint(append(b, key...), uint64(v), 10), ' ')
}

func appendVia(b []byte, fam fib.Family, gw netip.Addr) []byte {
	if !gw.IsValid() {
		return b
	}
	b = append(b, "via "...)
	if other := addrFamily(gw); other != fam {
		b = append(append(b, other.String()...), ' ')
	}
	return append(appendAddr(b, gw), ' ')
}

func appendFlags(b []byte, flags uint32) []byte {
	for i := range replyFlags {
		if f := &replyFlags[i]; flags&f.bit != 0 {
			b = append(append(b, f.name...), ' ')
		}
	}
	return b
}

func appendCache(b []byte, flags uint32) []byte {
	first := true
	for i := range cacheFlags {
		c := &cacheFlags[i]
		if flags&c.bit == 0 {
			continue
		}
		if first {
			b = append(b, '<')
		} else {
			b = append(b, ',')
		}
		first = false
		b = append(b, c.name...)
	}
	if !first {
		b = append(b, "> "...)
	}
	return b
}

func realmsText(n *Names, realms uint32) (key, value string) {
	to := n.RealmName(uint16(realms))
	if from := uint16(realms >> 16); from != 0 {
		return "realms", n.RealmName(from) + "/" + to
	}
	return "realm", to
}

func appendMetrics(b []byte, m *fib.Metrics) []byte {
	if m == nil {
		return b
	}
	for i := 2; i < len(metricWords); i++ {
		v, locked, ok := shownMetric(m, i)
		if !ok {
			continue
		}
		b = append(append(b, metricWords[i]...), ' ')
		if locked {
			b = append(b, "lock "...)
		}
		switch i {
		case fib.MetricFeatures:
			if v&featureECN != 0 {
				b = append(b, "ecn "...)
			}
			if v&^featureECN != 0 {
				b = append(strconv.AppendUint(append(b, "0x"...), uint64(v), 16), ' ')
			}
		case metricRTT, metricRTTVar, metricRTOMin:
			b = appendMilliseconds(b, v)
		case metricCC:
			b = append(append(b, printable(m.CongCtl)...), ' ')
		default:
			b = append(strconv.AppendUint(b, uint64(v), 10), ' ')
		}
	}
	return b
}

const featureECN = 1

// appendMilliseconds writes seconds from 1000 ms on, with six significant digits.
func appendMilliseconds(b []byte, v uint32) []byte {
	if v < 1000 {
		return append(strconv.AppendUint(b, uint64(v), 10), "ms "...)
	}
	s := strconv.AppendFloat(nil, float64(v)/1e3, 'g', 6, 64)
	// %g, unlike 'g', drops trailing zeros; parsing anew does the same.
	f, _ := strconv.ParseFloat(string(s), 64)
	return append(strconv.AppendFloat(b, f, 'g', -1, 64), "s "...)
}
