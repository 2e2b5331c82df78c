package iproute

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/fibula-net/fibula/fib"
)

// routeTypes are the words in front of a prefix.
var routeTypes = func() map[string]fib.RouteType {
	m := map[string]fib.RouteType{}
	for t := fib.TypeUnicast; t <= fib.TypeXResolve; t++ {
		m[t.String()] = t
	}
	return m
}()

// prefix reads "default", an address, or a prefix.
func (p *wordReader) prefix(key string, fam fib.Family) netip.Prefix {
	w := p.value(key)
	if p.err != nil {
		return netip.Prefix{}
	}
	if w.text == "default" || w.text == "any" || w.text == "all" {
		if fam == 0 {
			return netip.Prefix{} // as the rest tells
		}
		return netip.PrefixFrom(unspecified(fam), 0)
	}
	s, length, cut := strings.Cut(w.text, "/")
	a, ok := parseAddr(s)
	bits := 0
	if ok {
		if bits = a.BitLen(); cut {
			bits, ok = parsePrefixLen(length, bits)
		}
	}
	if !ok || fam != 0 && addrFamily(a) != fam {
		p.badAddr(w, fam)
		return netip.Prefix{}
	}
	return netip.PrefixFrom(a, bits)
}

func (p *wordReader) addr(key string, fam fib.Family) netip.Addr {
	w := p.value(key)
	if p.err != nil {
		return netip.Addr{}
	}
	a, ok := parseAddr(w.text)
	if !ok || fam != 0 && addrFamily(a) != fam {
		p.badAddr(w, fam)
	}
	return a
}

// badAddr refuses what is no address or prefix of a family.
func (p *wordReader) badAddr(w wordAt, fam fib.Family) {
	what, example := "address or prefix", "192.0.2.0/24 or 2001:db8::/32"
	if fam != 0 {
		what = fam.String() + " " + what
		example = map[fib.Family]string{fib.Inet: "192.0.2.0/24", fib.Inet6: "2001:db8::/32"}[fam]
	}
	p.fail(w, expected(ExitInput, w.text, `"`+clip(w.text)+`" is no `+what+`, such as `+example))
}

// dev takes the name of a link.
func (p *wordReader) dev() int32 {
	w := p.value("dev")
	if p.err == nil && (w.text == "" || len(w.text) > 15) {
		p.fail(w, badValue("dev", w.text, "the name of a link, at most 15 bytes"))
	}
	if p.err != nil {
		return 0
	}
	return p.d.link(w.text)
}

// route reads the words after "route add".
func (p *wordReader) route(fam fib.Family, verb wordAt) {
	r := fib.Route{Type: fib.TypeUnicast, Table: fib.TableMain, Protocol: p.d.opt.Protocol}
	var leg fib.Nexthop
	hasLeg, hasScope, hasTable := false, false, false
	begin := p.last
	if len(p.words) > 0 {
		begin = p.words[0]
		if t, ok := routeTypes[begin.text]; ok {
			r.Type = t
			p.next("")
		}
	}
	if p.is("to") {
		p.next("")
	}
	var dst netip.Prefix
	haveDst := false
	if len(p.words) > 0 {
		dst, haveDst = p.prefix("to", fam), true
		if dst.IsValid() && fam == 0 {
			fam = addrFamily(dst.Addr())
		}
	}
	if p.err == nil && !haveDst {
		p.fail(p.last, expected(ExitUsage, "", "a route needs a destination, such as 192.0.2.0/24 or default"))
	}
	tell := func(a netip.Addr) { // the family, where the destination does not
		if fam == 0 && a.IsValid() {
			fam = addrFamily(a)
		}
	}
	for p.err == nil && len(p.words) > 0 {
		w := p.next("")
		switch w.text {
		case "via":
			via := fam
			if p.is("inet") || p.is("inet6") {
				via = fib.Inet
				if p.next("").text == "inet6" {
					via = fib.Inet6
				}
				if fam == 0 {
					fam = fib.Inet
				}
			}
			leg.Gateway, hasLeg = p.addr("via", via), true
			tell(leg.Gateway)
		case "dev", "oif":
			leg.Link, hasLeg = p.dev(), true
		case "onlink":
			leg.Flags |= fib.FlagOnlink
		case "pervasive":
			leg.Flags |= fib.FlagPervasive
		case "table":
			at := p.peek()
			r.Table, hasTable = fib.TableID(named(p, "table", p.d.names.Table)), true
			p.mayTable(at, r.Table)
		case "metric", "priority", "preference":
			r.Priority = p.number(w.text, 32)
		case "proto", "protocol":
			r.Protocol = p.protocol()
		case "scope":
			r.Scope, hasScope = fib.Scope(named(p, "scope", p.d.names.Scope)), true
		case "src":
			r.PrefSrc = p.addr("src", fam)
			tell(r.PrefSrc)
		case "from":
			r.Src = p.prefix("from", fib.Inet6)
		case "tos", "dsfield":
			r.TOS = named(p, "tos", p.d.names.DSField)
		case "pref":
			r.Pref = p.pref()
		case "realm", "realms":
			leg.Realms = p.realms()
		case "nhid":
			r.NexthopID = p.number("nhid", 32)
		case "nexthop":
			r.Nexthops = append(r.Nexthops, p.leg(&fam))
		case "encap", "expires":
			p.fail(w, fmt.Errorf("%q cannot be given in a file yet", w.text))
		default:
			if !p.metric(&r.Metrics, w) {
				p.unknown(w, "route")
			}
		}
	}
	if p.err != nil {
		return
	}
	if fam == 0 {
		fam = fib.Inet
	}
	if !dst.IsValid() {
		dst = netip.PrefixFrom(unspecified(fam), 0)
	}
	r.Dst = dst
	if hasLeg {
		leg.Weight = 1
		r.Nexthops = append([]fib.Nexthop{leg}, r.Nexthops...)
	}
	p.settleRoute(&r, begin, hasScope, hasTable)
	if p.err != nil {
		return
	}
	if verb.text != "append" && verb.text != "prepend" {
		p.d.once(p, begin, fmt.Sprintf("route %v from %v tos %#x metric %d table %d", r.Dst, r.Src, r.TOS, r.Priority, r.Table))
	}
	if p.err == nil {
		p.d.st.Routes = append(p.d.st.Routes, r)
	}
}

func (p *wordReader) peek() wordAt {
	if len(p.words) > 0 {
		return p.words[0]
	}
	return p.last
}

func (p *wordReader) mayTable(at wordAt, t fib.TableID) {
	if may := p.d.opt.Table; p.err == nil && may != nil && !may(t) {
		p.fail(at, fmt.Errorf("table %s is not among the tables that are ours", p.d.names.TableName(uint32(t))))
	}
}

// settleRoute fills in what ip does by itself, and refuses what a kernel would.
func (p *wordReader) settleRoute(r *fib.Route, begin wordAt, hasScope, hasTable bool) {
	if r.Family() == fib.Inet {
		switch {
		case r.Dst.Masked() != r.Dst:
			p.fail(begin, badValue("to", r.Dst.String(), "a prefix without host bits, such as "+r.Dst.Masked().String()))
		case r.Src.IsValid():
			p.fail(begin, fmt.Errorf("from %v: only IPv6 routes have a source prefix", r.Src))
		}
	} else if r.Dst = r.Dst.Masked(); r.TOS != 0 {
		p.fail(begin, fmt.Errorf("tos %#x: IPv6 routes have none", r.TOS))
	}
	for i := range r.Nexthops {
		if g := r.Nexthops[i].Gateway; g.IsValid() && r.Family() == fib.Inet6 && g.Is4() {
			p.fail(begin, fmt.Errorf("via %v: an IPv6 route cannot have an IPv4 gateway", g))
		}
	}
	switch {
	case r.NexthopID != 0 && len(r.Nexthops) > 0:
		p.fail(begin, fmt.Errorf("nhid %d: a route through a nexthop object has no other nexthops", r.NexthopID))
	case r.Rejects() && len(r.Nexthops) > 0:
		p.fail(begin, fmt.Errorf("a route of type %v has no nexthop", r.Type))
	case !r.Rejects() && r.NexthopID == 0 && len(r.Nexthops) == 0:
		p.fail(begin, expected(ExitUsage, "", fmt.Sprintf("a route of type %v needs via, dev, nexthop or nhid", r.Type)))
	}
	if !hasTable {
		switch r.Type {
		case fib.TypeLocal, fib.TypeBroadcast, fib.TypeAnycast, fib.TypeNAT:
			r.Table = fib.TableLocal
		}
		p.mayTable(begin, r.Table)
	}
	if !hasScope && r.Family() == fib.Inet {
		switch r.Type {
		case fib.TypeLocal, fib.TypeNAT:
			r.Scope = fib.ScopeHost
		case fib.TypeBroadcast, fib.TypeMulticast, fib.TypeAnycast:
			r.Scope = fib.ScopeLink
		case fib.TypeUnicast:
			if r.NexthopID == 0 && len(r.Nexthops) == 1 && !r.Nexthops[0].Gateway.IsValid() {
				r.Scope = fib.ScopeLink
			}
		}
	}
}

// leg reads the words after "nexthop".
func (p *wordReader) leg(fam *fib.Family) (n fib.Nexthop) {
	n.Weight = 1
	for p.err == nil && len(p.words) > 0 && !p.is("nexthop") {
		w := p.words[0]
		switch w.text {
		case "via", "dev", "oif", "weight", "onlink", "pervasive", "realm", "realms":
			p.next("")
		default:
			return n // the route's again
		}
		switch w.text {
		case "via":
			via := *fam
			if p.is("inet") || p.is("inet6") {
				via = fib.Inet
				if p.next("").text == "inet6" {
					via = fib.Inet6
				}
			}
			if n.Gateway = p.addr("via", via); *fam == 0 && n.Gateway.IsValid() {
				*fam = addrFamily(n.Gateway)
			}
		case "dev", "oif":
			n.Link = p.dev()
		case "weight":
			at := p.peek()
			v := p.number("weight", 16)
			if p.err == nil && (v == 0 || v > 256) {
				p.fail(at, badValue("weight", at.text, "a number from 1 to 256"))
			}
			n.Weight = uint16(v)
		case "onlink":
			n.Flags |= fib.FlagOnlink
		case "pervasive":
			n.Flags |= fib.FlagPervasive
		default:
			n.Realms = p.realms()
		}
	}
	return n
}

func (p *wordReader) pref() fib.RouterPref {
	w := p.value("pref")
	switch w.text {
	case "low":
		return fib.PrefLow
	case "medium":
		return fib.PrefMedium
	case "high":
		return fib.PrefHigh
	}
	p.fail(w, badValue("pref", w.text, "low, medium or high"))
	return 0
}

// realms reads FROM/TO or TO.
func (p *wordReader) realms() uint32 {
	w := p.value("realms")
	if p.err != nil {
		return 0
	}
	from, to, both := strings.Cut(w.text, "/")
	if !both {
		from, to = "0", from
	}
	f, err := p.d.names.Realm(from)
	if err == nil {
		var t uint16
		if t, err = p.d.names.Realm(to); err == nil {
			return uint32(f)<<16 | uint32(t)
		}
	}
	p.fail(w, err)
	return 0
}

// metric reads a path metric, if w is one.
func (p *wordReader) metric(m *fib.Metrics, w wordAt) bool {
	for i, name := range metricWords {
		if name == "" || name != w.text {
			continue
		}
		if p.lock() {
			m.Values[fib.MetricLock] |= 1 << i
		}
		switch i {
		case metricCC:
			m.CongCtl = p.value(name).text
		case fib.MetricFeatures:
			at := p.peek()
			if p.value(name).text != "ecn" {
				p.fail(at, badValue(name, at.text, "ecn"))
			}
			m.Values[i] = featureECN
		case metricRTT, metricRTTVar, metricRTOMin:
			m.Values[i] = p.milliseconds(name)
			switch i {
			case metricRTT:
				m.Values[i] *= 8
			case metricRTTVar:
				m.Values[i] *= 4
			}
		default:
			m.Values[i] = p.number(name, 32)
		}
		return true
	}
	return false
}

// milliseconds reads "5ms", "2s" or "1.5s".
func (p *wordReader) milliseconds(key string) uint32 {
	w := p.value(key)
	s, scale := w.text, uint64(0)
	if t, ok := strings.CutSuffix(s, "ms"); ok {
		s, scale = t, 1
	} else if t, ok := strings.CutSuffix(s, "s"); ok {
		s, scale = t, 1000
	}
	v, ok := parseUint(s, 10, 28)
	if !ok || scale == 0 || v*scale > 1<<28 {
		p.fail(w, badValue(key, w.text, "a time in whole ms or s, such as 250ms"))
	}
	return uint32(v * scale)
}
