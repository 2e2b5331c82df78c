package fib

import (
	"net/netip"

	"github.com/fibula-net/fibula/lookup"
	"github.com/fibula-net/fibula/rules"
)

// pick is an answer that stands ready, and what of it the flow has decided.
//
// It holds no pointers, nor does a quickly any that it was not made with: the compiler
// would believe that the flow must be allocated.
type pick struct {
	routed bool // else the rules alone refuse the flow
	m      lookup.Match
	table  TableID
	by     ruleName
	realms uint32 // of the rule
	errno  Errno  // in place of the ready answer's; 0: that
	leg    int32  // position in the fan
}

// readyAt is the ready answer of leaf i, or nil.
func (s *Snapshot) readyAt(i uint32) *ready { return s.leaves[i/leafPageSize].ready[i%leafPageSize] }

// wayOf is the ready answer of the leg.
func (s *Snapshot) wayOf(p *pick) *ready {
	r := s.readyAt(p.m.Index)
	if r.fan != nil {
		return &r.fan.legs[p.leg].ready
	}
	return r
}

// quickly is one quick answer in the making.
type quickly struct {
	s     *Snapshot
	f     *Flow
	fam   Family
	given bool      // IPv4: a source
	dst   [2]uint64 // of IPv4 the second number
	in    received  // the link that received the flow, if any
	oif   int32     // that was asked for
	ahead *ahead
}

// ahead is what was looked up in table main before it was known to be needed.
type ahead struct {
	match lookup.Match
	found bool
	known bool
}

// quick answers a flow with what stands ready, and reports whether it could. It says
// what a walk would say.
func (s *Snapshot) quick(f *Flow, d *Decision, ahead *ahead) bool {
	q := quickly{s: s, f: f, ahead: ahead}
	var p pick
	if !q.seek(&p) {
		return false
	}
	q.fill(d, &p)
	return true
}

// seek finds the ready answer to a flow, and reports whether there is one.
func (q *quickly) seek(p *pick) bool {
	s := q.s
	if !s.cuts.on {
		return false
	}
	if q.f.Dst.Is4() {
		q.fam = Inet
		return !s.open4 && q.asks4() && q.find(p, nil) && q.settle4(p)
	}
	q.fam = Inet6
	return !s.open6 && q.asks6() && q.find(p, nil) && q.settle6(p)
}

// quickTable is quick for one table in place of the rules.
func (s *Snapshot) quickTable(id TableID, f *Flow, d *Decision) bool {
	q := quickly{s: s, f: f, fam: f.Family()}
	if !s.cuts.on || q.fam == Inet && !q.asks4() || q.fam == Inet6 && !q.asks6() {
		return false
	}
	p := pick{table: id, by: noRule}
	var ok bool
	if p.m, ok = s.table(q.fam, id).longest(f.Dst); !ok {
		*d = Decision{Errno: ENETUNREACH, RuleIndex: -1}
		return true
	}
	if p.routed = q.readyFor(p.m) != nil; !p.routed || !q.chooseLeg(&p) {
		return false
	}
	q.fill(d, &p)
	return true
}

// asks4 reports whether an IPv4 flow is one of those that ready answers are for.
func (q *quickly) asks4() bool {
	s, f := q.s, q.f
	dst := number4(f.Dst)
	if hi := dst >> 24; hi == 0 || hi >= 224 {
		return false
	}
	q.dst[1] = uint64(dst)
	src := uint32(0)
	if f.Src.IsValid() {
		if !f.Src.Is4() {
			return false
		}
		src = number4(f.Src)
	}
	hi := src >> 24
	if f.Iif != 0 {
		q.in.set(s.cuts.link(f.Iif))
		// Which table a domain has, and what realms lead back, is for the walk.
		return q.in.index != 0 && !q.in.noInet && !s.cuts.domains && !s.legRealms && !s.rules4.HasRealms() &&
			hi != 0 && hi != 127 && hi < 224 && dst>>24 != 127
	}
	if q.oif = f.Oif; q.oif != 0 {
		l := s.cuts.link(q.oif)
		if l == nil || !l.Up() || l.NoInet || s.cuts.domains || f.IPProto == protoIGMP {
			return false
		}
	}
	if f.Src.IsValid() {
		q.given = true
		return hi != 0 && hi != 127 && hi < 224 && s.cuts.owns4(src)
	}
	return true
}

func (q *quickly) asks6() bool {
	f := q.f
	if !f.Dst.Is6() || f.Dst.Zone() != "" || f.Src.IsValid() && (!f.Src.Is6() || f.Src.Zone() != "") {
		return false
	}
	q.dst = numbers6(f.Dst)
	if needsLink(q.dst) {
		return false
	}
	if f.Iif != 0 {
		q.in.set(q.s.cuts.link(f.Iif))
		return q.in.index != 0 && !q.s.cuts.domains
	}
	q.oif = f.Oif
	return q.oif == 0 || !q.s.cuts.domains && q.s.cuts.link(q.oif) != nil
}

// needsLink reports whether an IPv6 address is unspecified or has meaning on one link alone.
func needsLink(a [2]uint64) bool {
	return a[0]>>56 == 0xff || a[0]>>54 == 0xfe80>>6 || a[0] == 0 && a[1] <= 1
}

// find finds the route of a flow, or of the way back to where it came from. It reports whether what
// it found stands ready; it puts no leg and no error into place.
func (q *quickly) find(p *pick, back *reverse) bool {
	mode := q.s.mode4
	if q.fam == Inet6 {
		mode = q.s.mode6
	}
	c := q.s.cuts.of(q.fam)
	dst, packed := q.f.Dst, q.dst
	if back != nil {
		dst, packed = q.f.Src, [2]uint64{0, uint64(number4(q.f.Src))}
	}
	switch {
	case mode != ModeMerged:
		var key rules.Flow
		if !c.screen.IsOpen() {
			q.key(&key, back)
			var at rules.Cursor
			if c.screen.MayMeetFlow(&at, &key) {
				return q.rules(p, &at, &key, back != nil)
			}
		}
		for i := range c.steps[:c.n] {
			st := &c.steps[i]
			if st.rule.Action != rules.ActLookup {
				*p = pick{by: st.ruleName, errno: actionErrno(st.rule.Action)}
				return true
			}
			if !q.mayHave(st.t, packed) {
				continue
			}
			m, ok := q.longest(c, st.t, dst, back != nil)
			if !ok {
				continue
			}
			if done, ok := q.take(p, m, TableID(st.rule.Table), st.rule); !ok || done {
				p.by = st.ruleName
				return ok
			}
		}
		*p = pick{by: noRule, errno: ENETUNREACH}
		return c.complete
	case q.fam == Inet:
		return q.merged4(c, p, dst, packed, back != nil)
	}
	return q.merged6(c, p)
}

// key is what the rules see of the flow.
func (q *quickly) key(key *rules.Flow, back *reverse) {
	s, f := q.s, q.f
	s.outputKey(key, f, q.fam)
	if q.in.index == 0 {
		return
	}
	key.Iif, key.Oif = f.Iif, 0
	if q.fam == Inet6 {
		if !f.UIDSet {
			key.UID = 1<<32 - 1
		}
		return
	}
	key.UID = 0
	s.dissect(key)
	if back != nil {
		back.turn(key)
	}
}

// rules walks the rules from a cursor before the first.
func (q *quickly) rules(p *pick, at *rules.Cursor, key *rules.Flow, back bool) bool {
	s := q.s
	c := s.cuts.of(q.fam)
	l := s.rulesOf(q.fam)
	packed := q.dst
	if back {
		packed = [2]uint64{0, uint64(number4(key.Dst))}
	}
	for {
		e, deferred, noted := l.Next(at, key, s.profile)
		if e == nil {
			*p = pick{by: noRule, errno: ENETUNREACH}
			return true
		}
		switch e.Action {
		case rules.ActLookup:
		case rules.ActGoto:
			l.Jump(at, e)
			continue
		default:
			*p = pick{by: ruleName{e.Priority, int32(l.Position(e))}, errno: actionErrno(e.Action)}
			return true
		}
		if deferred || noted || e.L3MDev || e.SuppressIfGroup.Set {
			return false
		}
		var t *table
		switch id := TableID(e.Table); id {
		case TableMain:
			t = c.main
		case TableLocal:
			t = c.local
		default:
			t = s.table(q.fam, id)
		}
		if !q.mayHave(t, packed) {
			continue
		}
		m, ok := q.longest(c, t, key.Dst, back)
		if !ok {
			continue
		}
		if done, ok := q.take(p, m, TableID(e.Table), e); !ok || done {
			p.by = ruleName{e.Priority, int32(l.Position(e))}
			return ok
		}
	}
}

// take takes the match that a rule has led to. It is not done if a suppressor drops it, and not ok
// if it does not stand ready.
func (q *quickly) take(p *pick, m lookup.Match, id TableID, e *rules.Entry) (done, ok bool) {
	r := q.readyFor(m)
	if r == nil || e.SuppressIfGroup.Set {
		return false, false
	}
	if e.SuppressPrefixLength.Set && r.d.Errno == 0 && e.Suppresses(int(m.Bits), 1<<32-1) {
		// What the reply describes may be this one (D22a).
		return false, r.d.NexthopID == 0
	}
	*p = pick{routed: true, m: m, table: id, realms: e.Realms}
	return true, true
}

// mayHave reports whether t may have a prefix for an address.
func (q *quickly) mayHave(t *table, a [2]uint64) bool {
	if q.fam == Inet {
		return t.mayHave4(uint32(a[1]))
	}
	return t.mayHave6(a[0])
}

// longest is the longest match in t.
func (q *quickly) longest(c *familyCuts, t *table, dst netip.Addr, back bool) (lookup.Match, bool) {
	if a := q.ahead; a != nil && a.known && t == c.main && !back {
		return a.match, a.found
	}
	return t.longest(dst)
}

// merged4 looks at local and main as one table (B1).
func (q *quickly) merged4(c *familyCuts, p *pick, dst netip.Addr, packed [2]uint64, back bool) bool {
	var local, main lookup.Match
	var ok, inMain bool
	if q.mayHave(c.local, packed) {
		local, ok = c.local.longest(dst)
	}
	if q.mayHave(c.main, packed) {
		main, inMain = q.longest(c, c.main, dst, back)
	}
	m, by := main, c.mainRule
	switch {
	case ok && (!inMain || local.Bits >= main.Bits):
		m, by = local, c.localRule
	case !inMain:
		return false // table default may have it
	}
	*p = pick{routed: true, m: m, table: TableMain, by: by}
	return q.readyFor(m) != nil
}

// merged6 looks at local, then at main (A9).
func (q *quickly) merged6(c *familyCuts, p *pick) bool {
	dst := q.f.Dst
	if q.mayHave(c.local, q.dst) {
		if m, ok := c.local.longest(dst); ok {
			*p = pick{routed: true, m: m, table: TableLocal, by: c.localRule}
			return q.readyFor(m) != nil
		}
	}
	if q.mayHave(c.main, q.dst) {
		if m, ok := q.longest(c, c.main, dst, false); ok {
			*p = pick{routed: true, m: m, table: TableMain, by: c.mainRule}
			return q.readyFor(m) != nil
		}
	}
	*p = pick{by: noRule, errno: ENETUNREACH}
	return true
}

// readyFor is the ready answer of the leaf that m leads to, if it counts for the flow.
func (q *quickly) readyFor(m lookup.Match) *ready {
	r := q.s.readyAt(m.Index)
	if r == nil || r.several && m.Bits == 0 && q.choosesRouter() || r.several && q.fam == Inet6 && q.prefersLink() {
		return nil
	}
	if r.gated {
		if st, ok := q.s.neigh(r.d.NexthopLink, r.d.Gateway); ok && st&NeighFailed != 0 {
			return nil
		}
	}
	if q.oif != 0 && (r.fan != nil || r.d.NexthopLink != q.oif) {
		return nil
	}
	return r
}

// choosesRouter reports whether the flow chooses among default routers (B18).
func (q *quickly) choosesRouter() bool { return q.in.index == 0 && q.oif == 0 }

// prefersLink reports whether IPv6 routes through one link are preferred (D11).
func (q *quickly) prefersLink() bool { return q.in.index != 0 || q.oif != 0 }

// chooseLeg chooses among the legs, and reports whether it could.
func (q *quickly) chooseLeg(p *pick) bool {
	fan := q.s.readyAt(p.m.Index).fan
	if fan == nil {
		return true
	}
	s := q.s
	if fan.neighs && s.cuts.failing || fan.bySrc && q.given && s.kernel.AtLeast(6, 16) {
		return false
	}
	f := *q.f
	if !s.kernel.AtLeast(6, 14) {
		f.FlowLabel = 0
	}
	h, known := s.hashOf(&f, q.fam, f.Src)
	if !known {
		return false
	}
	p.leg = fan.at(h)
	return p.leg >= 0 && fan.legs[p.leg].ok
}

// at is the leg that a hash leads to; -1: none.
func (f *fan) at(h uint32) int32 {
	if n := len(f.buckets); n > 0 {
		return int32(f.buckets[h%uint32(n)])
	}
	for i := range f.legs {
		if int64(h) <= int64(f.legs[i].bound) {
			return int32(i)
		}
	}
	return -1
}

// settle4 settles what the tables do not decide of an IPv4 flow.
func (q *quickly) settle4(p *pick) bool {
	switch {
	case !p.routed || q.s.readyAt(p.m.Index).d.Errno != 0:
		if q.in.index != 0 && !q.in.forwarding {
			p.errno = EHOSTUNREACH
		}
		return q.oif == 0 // else it is answered without a route (C7)
	case !q.chooseLeg(p):
		return false
	}
	return q.in.index == 0 || q.receive4(p)
}

// settle6 is settle4 for IPv6.
func (q *quickly) settle6(p *pick) bool { return !p.routed || q.chooseLeg(p) }

// fill makes d of what was picked.
func (q *quickly) fill(d *Decision, p *pick) {
	s := q.s
	if !p.routed {
		*d = Decision{Errno: p.errno, HasRule: p.by.index >= 0, Rule: p.by.priority, RuleIndex: p.by.index}
		return
	}
	r := s.wayOf(p)
	*d = r.d
	d.Table, d.Prefix = p.table, p.m.Prefix(q.f.Dst)
	d.HasRule, d.Rule, d.RuleIndex = p.by.index >= 0, p.by.priority, p.by.index
	switch {
	case d.Errno != 0:
		if p.errno != 0 {
			d.Errno = p.errno
		}
		return
	case q.in.index != 0:
		q.fillReceived(d, r)
		return
	}
	if q.fam == Inet {
		d.Realms = fillRealms(d.Realms, p.realms)
	}
	switch {
	case q.given:
		d.Source = netip.Addr{}
	case r.toDst:
		d.Source = q.f.Dst
	case r.ranked:
		if r.usual.IsValid() && scopeOf6(q.f.Dst) == scopeGlobal6 && !s.owns6(q.f.Dst) {
			d.Source = r.usual
			return
		}
		w := walk{s: q.s}
		d.Source = w.source6(q.f.Dst, r.dev)
	}
}
