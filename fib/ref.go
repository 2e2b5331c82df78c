package fib

import (
	"encoding/binary"
	"net/netip"

	"github.com/fibula-net/fibula/rules"
)

// Key4 is an IPv4 [Flow] in 32 bytes: addresses are numbers in host order, a source of 0 is none. It
// has no tunnel id.
type Key4 struct {
	Dst, Src     uint32
	Iif, Oif     int32
	Mark, UID    uint32
	Sport, Dport uint16
	TOS, IPProto uint8
}

// Key6 is an IPv6 [Flow] in 64 bytes: addresses are two numbers in host order, the first bits first; a
// source of 0 is none. It has no tunnel id.
type Key6 struct {
	Dst, Src     [2]uint64
	Iif, Oif     int32
	Mark, UID    uint32
	FlowLabel    uint32
	Sport, Dport uint16
	TOS, IPProto uint8
	UIDSet       bool
}

// Flow is the flow that k stands for.
func (k *Key4) Flow() Flow {
	f := Flow{Dst: addr4(k.Dst), Iif: k.Iif, Oif: k.Oif, Mark: k.Mark, TOS: k.TOS, UID: k.UID,
		IPProto: k.IPProto, Sport: k.Sport, Dport: k.Dport}
	if k.Src != 0 {
		f.Src = addr4(k.Src)
	}
	return f
}

// Flow is the flow that k stands for.
func (k *Key6) Flow() Flow {
	f := Flow{Dst: addr6(k.Dst), Iif: k.Iif, Oif: k.Oif, Mark: k.Mark, TOS: k.TOS, UID: k.UID, UIDSet: k.UIDSet,
		IPProto: k.IPProto, Sport: k.Sport, Dport: k.Dport, FlowLabel: k.FlowLabel}
	if k.Src != [2]uint64{} {
		f.Src = addr6(k.Src)
	}
	return f
}

func addr4(a uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)})
}

func addr6(a [2]uint64) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a[0])
	binary.BigEndian.PutUint64(b[8:], a[1])
	return netip.AddrFrom16(b)
}

// Ref is the answer to one flow in 16 bytes: what a packet path needs at once, and what
// [Snapshot.Decision4] or [Snapshot.Decision6] makes the whole decision of. It means nothing to
// another snapshot or flow. Refs of one snapshot can be compared.
type Ref struct {
	Link  int32 // Decision.Link: the device of the answer
	leaf  uint32
	rule  int32 // position; -1: none
	leg   uint16
	errno uint8
	how   refHow
}

// refHow tells where an answer is from.
type refHow uint8

const (
	refWalked  refHow = iota // nothing stood ready: it was walked, and is again
	refRefused               // by the rules alone
	refRuled                 // the table of a rule
	refMerged                // local and main as one, no rules being in force (B1)
	refLocal                 // the same for IPv6, which looks at one after the other (A9)
	refMain
)

// Errno is that of the decision; 0: the flow has a way (or is delivered here).
func (r Ref) Errno() Errno { return Errno(r.errno) }

// RuleIndex is that of the decision: the position of the rule that decided, -1 for none.
func (r Ref) RuleIndex() int { return int(r.rule) }

// Way numbers what of the decision does not depend on the flow: link, gateway, MTU and all
// of the route but its prefix and table. Answers of one snapshot with the same two numbers, to flows that
// are all sent or all received, agree in them, so that a caller may keep what it needs for a packet in an array by
// route: the number of a route is less than how many different lists of routes prefixes have had
// at a time, and the leg is 0 but for a multipath route. It is false where none stands ready; [Ref.Errno] and
// Link are right for those as well.
func (r Ref) Way() (route uint32, leg int, ok bool) {
	return r.leaf, int(r.leg), r.how >= refRuled
}

// ref makes a Ref of what was picked.
func (q *quickly) ref(p *pick) Ref {
	if !p.routed {
		return Ref{rule: p.by.index, errno: uint8(p.errno), how: refRefused}
	}
	d := &q.s.wayOf(p).d
	r := Ref{Link: d.Link, leaf: p.m.Index, rule: p.by.index, leg: uint16(p.leg), errno: uint8(d.Errno), how: refRuled}
	if d.Errno != 0 && p.errno != 0 {
		r.errno = uint8(p.errno)
	}
	if mode, _ := q.s.modeOf(q.fam); mode == ModeMerged {
		switch {
		case q.fam == Inet:
			r.how = refMerged
		case p.table == TableLocal:
			r.how = refLocal
		default:
			r.how = refMain
		}
	}
	return r
}

// refOf answers any flow.
func (s *Snapshot) refOf(f *Flow) Ref {
	q := quickly{s: s, f: f}
	var p pick
	if q.seek(&p) {
		return q.ref(&p)
	}
	var d Decision
	s.walk(f, &d)
	return Ref{Link: d.Link, rule: d.RuleIndex, errno: uint8(d.Errno)}
}

// Decision4 is the whole decision that r is short for: what [Snapshot.Resolve] answers to k's
// flow. R must be an answer of this snapshot to k. It costs the longest match of one table, or a walk if
// nothing stood ready. Safe for concurrent use; it takes no lock and does not allocate.
func (s *Snapshot) Decision4(k *Key4, r Ref) Decision {
	f := k.Flow()
	return s.decision(&f, r)
}

// Decision6 is Decision4 for IPv6.
func (s *Snapshot) Decision6(k *Key6, r Ref) Decision {
	f := k.Flow()
	return s.decision(&f, r)
}

func (s *Snapshot) decision(f *Flow, r Ref) (d Decision) {
	q := quickly{s: s, f: f, fam: f.Family()}
	if s.cuts.on && q.expand(r, &d) {
		return d
	}
	s.walk(f, &d)
	return d
}

// expand makes the decision of r and reports whether it could.
func (q *quickly) expand(r Ref, d *Decision) bool {
	s := q.s
	l := s.rulesOf(q.fam)
	var e *rules.Entry
	p := pick{by: noRule, errno: Errno(r.errno), leg: int32(r.leg)}
	if r.rule >= 0 && int(r.rule) < l.Len() {
		e = l.At(int(r.rule))
		p.by = ruleName{e.Priority, r.rule}
	}
	if r.how == refRefused {
		q.fill(d, &p)
		return true
	}
	if q.fam == Inet && !q.asks4() || q.fam == Inet6 && !q.asks6() {
		return false
	}
	c := s.cuts.of(q.fam)
	var ok bool
	switch {
	case r.how == refRuled && e != nil:
		p.table, p.realms = TableID(e.Table), e.Realms
		p.m, ok = s.table(q.fam, p.table).longest(q.f.Dst)
	case r.how == refMerged && q.fam == Inet:
		m := p
		ok = q.merged4(c, &m, q.f.Dst, q.dst, false)
		p.m, p.table = m.m, TableMain
	case r.how == refLocal && q.fam == Inet6:
		p.table = TableLocal
		p.m, ok = c.local.longest(q.f.Dst)
	case r.how == refMain && q.fam == Inet6:
		p.table = TableMain
		p.m, ok = c.main.longest(q.f.Dst)
	}
	if p.routed = ok && p.m.Index == r.leaf; !p.routed {
		return false
	}
	way := s.readyAt(p.m.Index)
	if way == nil || way.fan != nil && int(p.leg) >= len(way.fan.legs) {
		return false
	}
	q.fill(d, &p)
	return true
}
