package fib

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
)

// What a dump, or a notification, shows of routes: all but the scope of gateways (B30),
// how a route was learned, and the attributes of the further legs of an IPv6
// multipath route (D4a). What is hardware's, and how much of a lifetime is left, means
// nothing here.

// shownMarks says whether the states of legs count.
type shownMarks bool

const (
	withMarks    shownMarks = true
	withoutMarks shownMarks = false // which route it is
)

const hardware = FlagOffload | FlagTrap

// routeAttrs are the attributes of a route as shown, but for prefix, table and legs.
type routeAttrs struct {
	typ      RouteType
	scope    Scope
	protocol Protocol
	tos      uint8
	pref     RouterPref
	flags    RouteFlags
	priority uint32
	expires  bool
	prefSrc  netip.Addr
	nhid     uint32
	metrics  *Metrics
}

func (s *Snapshot) attrsOf(a *alias) routeAttrs {
	typ := a.typ
	if s.isBlackhole(a) {
		typ = TypeBlackhole
	}
	return routeAttrs{typ, a.scope, a.protocol, a.tos, a.pref, a.flags, a.priority, a.expires != 0, a.prefSrc, a.nhid, a.metrics}
}

func (s *Snapshot) attrsOfRoute(r *Route) routeAttrs {
	typ := r.Type
	if o := s.objects[r.NexthopID]; r.NexthopID != 0 && o != nil && o.blackhole {
		typ = TypeBlackhole
	}
	m := &r.Metrics
	if m.IsZero() {
		m = nil
	}
	return routeAttrs{typ, r.Scope, r.Protocol, r.TOS, r.Pref, r.Flags, r.Priority, r.Expires != 0, r.PrefSrc, r.NexthopID, m}
}

func (x *routeAttrs) appendTo(b []byte) []byte {
	le := binary.LittleEndian
	b = append(b, byte(x.typ), byte(x.scope), byte(x.protocol), x.tos, byte(x.pref))
	b = le.AppendUint32(b, uint32(x.flags&RouteFlags(0x800))) // RTM_F_PREFIX; the others are hardware's
	b = le.AppendUint32(b, x.priority)
	b = le.AppendUint32(b, x.nhid)
	if x.expires {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	b = appendAddr(b, x.prefSrc)
	if x.metrics == nil {
		return append(b, 0)
	}
	b = append(b, 1)
	for _, v := range x.metrics.Values {
		b = le.AppendUint32(b, v)
	}
	return appendString(b, x.metrics.CongCtl)
}

// appendLeg writes a leg as it is shown. Where links without carrier are ignored, a
// dump calls their legs dead as well (F11): that is the setting, not the leg.
func (s *Snapshot) appendLeg(b []byte, f Family, n *Nexthop, m shownMarks) []byte {
	flags := n.Flags &^ hardware
	if m == withoutMarks {
		flags &^= stateMarks
	} else {
		flags = s.settledMarks(f, n.Link, flags)
	}
	le := binary.LittleEndian
	b = append(b, 0xff, byte(flags))
	b = le.AppendUint32(b, uint32(n.Link))
	b = le.AppendUint16(b, max(n.Weight, 1))
	b = le.AppendUint32(b, n.Realms)
	b = appendAddr(b, n.Gateway)
	b = le.AppendUint16(b, n.Encap.Type)
	return appendString(b, n.Encap.Data)
}

// settledMarks are the flags of a leg of a route of family f without a dead mark that
// stands for a link without carrier only. That of a link which has its carrier is its own:
// so is a leg dead when the last address of its link is gone (E5).
func (s *Snapshot) settledMarks(f Family, link int32, flags NexthopFlags) NexthopFlags {
	if flags&stateMarks != stateMarks {
		return flags
	}
	const carrier = LinkRunning | LinkLowerUp
	l := s.link(link)
	if l == nil || !l.Up() || l.Flags&carrier == carrier {
		return flags
	}
	if f == Inet && s.ignoreLinkdown4(l) || f == Inet6 && s.ignoreLinkdown6(l) {
		return flags &^ FlagDead
	}
	return flags
}

// showIgnored marks legs as dead as a kernel shows them where links without carrier are
// ignored (E8).
func (s *Snapshot) showIgnored(f Family, legs []Nexthop) {
	for i := range legs {
		n := &legs[i]
		if l := s.link(n.Link); n.Flags&FlagLinkdown != 0 && (f == Inet && s.ignoreLinkdown4(l) || f == Inet6 && s.ignoreLinkdown6(l)) {
			n.Flags |= FlagDead
		}
	}
}

// appendRoute writes r as it is shown.
func (s *Snapshot) appendRoute(b []byte, r *Route, m shownMarks) []byte {
	x := s.attrsOfRoute(r)
	b = x.appendTo(b)
	if r.NexthopID == 0 && !r.Rejects() {
		for i := range r.Nexthops {
			b = s.appendLeg(b, r.Family(), &r.Nexthops[i], m)
		}
	}
	return b
}

// appendAlias writes one alias as it is shown.
func (s *Snapshot) appendAlias(b []byte, a *alias, m shownMarks) []byte {
	x := s.attrsOf(a)
	b = x.appendTo(b)
	if a.fam == Inet && a.typ.IsReject() || a.fam == Inet6 && a.typ.rejects6() {
		return b
	}
	for i := range a.legs {
		b = s.appendLeg(b, a.fam, &a.legs[i], m)
	}
	return b
}

// appendList writes a list as a dump shows it. Of the legs of an IPv6 multipath route
// the first gives the attributes, and what stands between them is not shown.
func (s *Snapshot) appendList(b []byte, list []*alias) []byte {
	for i := 0; i < len(list); i++ {
		b = s.appendAlias(b, list[i], withMarks)
		last := shownUpTo(list, i)
		for j := i + 1; j <= last; j++ {
			if list[j].ecmpAble() {
				b = s.appendLeg(b, list[j].fam, &list[j].legs[0], withMarks)
			}
		}
		i = last
	}
	return b
}

// shownUpTo is the last alias that a dump shows as one route with list[i], or passes over.
func shownUpTo(list []*alias, i int) (last int) {
	last = i
	if list[i].fam == Inet || !list[i].ecmpAble() {
		return last
	}
	for j := i + 1; j < len(list) && list[j].priority == list[i].priority; j++ {
		if list[j].ecmpAble() {
			last = j
		}
	}
	return last
}

// shownRoutes is how many routes a dump shows of l.
func (l *leaf) shownRoutes() (n int) {
	count := func(list []*alias) {
		for i := 0; i < len(list); i++ {
			i = shownUpTo(list, i)
			n++
		}
	}
	count(l.plain)
	for _, s := range l.bySrc {
		count(s.list)
	}
	return n
}

// appendLeaf writes all routes of a prefix as they are shown.
func (s *Snapshot) appendLeaf(b []byte, l *leaf) []byte {
	b = s.appendList(b, l.plain)
	for i := range l.bySrc {
		b = appendShownSrc(b, l.bySrc[i].src)
		b = s.appendList(b, l.bySrc[i].list)
	}
	return b
}

func appendShownSrc(b []byte, src netip.Prefix) []byte {
	return append(appendAddr(append(b, 0xfe), src.Addr()), byte(src.Bits()))
}

// shownIn is the position in list of the alias that is shown like a, -1 if there is none.
func (tx *Txn) shownIn(list []*alias, a *alias) int {
	same := func(x *alias) bool { return x.priority == a.priority && x.tos == a.tos }
	if !slices.ContainsFunc(list, same) {
		return -1
	}
	tx.wanted = tx.s.appendAlias(tx.wanted[:0], a, withoutMarks)
	return slices.IndexFunc(list, func(x *alias) bool {
		if !same(x) {
			return false
		}
		tx.found = tx.s.appendAlias(tx.found[:0], x, withoutMarks)
		return bytes.Equal(tx.found, tx.wanted)
	})
}
