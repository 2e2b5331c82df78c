package fib

import (
	"net/netip"

	"github.com/fibula-net/fibula/lookup"
	"github.com/fibula-net/fibula/lookup/flat"
	"github.com/fibula-net/fibula/rules"
)

// shortcuts are what quick reads in place of maps; every commit makes them anew. A
// transaction's own state has none and is walked.
type shortcuts struct {
	inet, inet6 familyCuts
	own6        []netip.Addr // all IPv6 addresses, unless there are many
	many6       bool
	on          bool
}

// maxOwn6 is how many addresses are compared one by one.
const maxOwn6 = 32

type familyCuts struct {
	local, main *table
	// Of the initial rules to these tables, for answers without a walk of the rules.
	localRule, mainRule ruleName
}

// ruleName is how a decision names a rule; index -1: there is none.
type ruleName struct {
	priority uint32
	index    int32
}

// makeCuts makes the shortcuts of a snapshot that is about to be published in place of base.
func (s *Snapshot) makeCuts(base *Snapshot) {
	for _, f := range [...]Family{Inet, Inet6} {
		c := s.cuts.of(f)
		c.local, c.main = s.table(f, TableLocal), s.table(f, TableMain)
		mode, _ := s.modeOf(f)
		before, _ := base.modeOf(f)
		if mode != before || s.rulesOf(f) != base.rulesOf(f) || base.gen == 0 {
			c.localRule, c.mainRule = s.initialRule(f, TableLocal), s.initialRule(f, TableMain)
		}
	}
	s.cuts.on = true
}

// listOwn6 makes the list of IPv6 addresses anew, after links changed.
func (s *Snapshot) listOwn6() {
	s.cuts.own6, s.cuts.many6 = nil, false
	for _, l := range s.links {
		for i := range l.addrs6 {
			s.cuts.own6 = append(s.cuts.own6, l.addrs6[i].Local)
		}
	}
	if len(s.cuts.own6) > maxOwn6 {
		s.cuts.own6, s.cuts.many6 = nil, true
	}
}

func (c *shortcuts) of(f Family) *familyCuts {
	if f == Inet {
		return &c.inet
	}
	return &c.inet6
}

// initialRule is the first rule that leads to a table.
func (s *Snapshot) initialRule(f Family, id TableID) ruleName {
	if m, _ := s.modeOf(f); m != ModeMerged {
		return ruleName{index: -1}
	}
	w := walk{s: s, fam: f}
	h := hit{from: id}
	if w.nameRule(&h); h.rule == nil {
		return ruleName{index: -1}
	}
	return ruleName{h.rule.Priority, int32(s.rulesOf(f).Position(h.rule))}
}

// owns6 reports whether an IPv6 address is, or may be, ours.
func (s *Snapshot) owns6(a netip.Addr) bool {
	c := &s.cuts
	if c.many6 {
		return true
	}
	for i := range c.own6 {
		if c.own6[i] == a {
			return true
		}
	}
	return false
}

// longest is the longest match in t, which may be nil.
func (t *table) longest(dst netip.Addr) (lookup.Match, bool) {
	switch {
	case t == nil:
		return lookup.Match{}, false
	case t.flat != nil:
		return t.flat.Lookup(dst)
	}
	return t.lpm.Lookup(dst)
}

// newTable is a table as it is published.
func newTable(k tableKey, lpm lookup.Table) *table {
	t := &table{id: k.id, fam: k.fam, lpm: lpm}
	t.flat, _ = lpm.(*flat.Table)
	return t
}

// quick answers a flow with what stands ready, and reports whether it could. It says
// what a walk would say.
func (s *Snapshot) quick(f *Flow, d *Decision, ahead *ahead) bool {
	if !s.cuts.on || f.Iif|f.Oif != 0 {
		return false
	}
	c, mode, open := &s.cuts.inet6, s.mode6, s.open6
	var q quickly
	q.s, q.f, q.fam, q.ahead = s, f, Inet6, ahead
	if f.Dst.Is4() {
		q.fam, c, mode, open = Inet, &s.cuts.inet, s.mode4, s.open4
		if !q.asks4() {
			return false
		}
	} else if !q.asks6() {
		return false
	}
	switch {
	case open:
		return false
	case mode != ModeMerged:
		return q.rules(d)
	case q.fam == Inet:
		return q.merged4(c, d)
	}
	return q.merged6(c, d)
}

// quickTable is quick for one table in place of the rules.
func (s *Snapshot) quickTable(id TableID, f *Flow, d *Decision) bool {
	q := quickly{s: s, f: f, fam: f.Family()}
	if !s.cuts.on || q.fam == Inet && !q.asks4() || q.fam == Inet6 && !q.asks6() {
		return false
	}
	m, ok := s.table(q.fam, id).longest(f.Dst)
	if !ok {
		*d = Decision{Errno: ENETUNREACH, RuleIndex: -1}
		return true
	}
	r := q.readyAt(m)
	if r != nil {
		q.fill(d, r, m, id, ruleName{index: -1})
	}
	return r != nil
}

// quickly is one quick answer in the making.
type quickly struct {
	s     *Snapshot
	f     *Flow
	fam   Family
	given bool // IPv4: a source
	ahead *ahead
}

// ahead is what was looked up in table main before it was known to be needed.
type ahead struct {
	match lookup.Match
	found bool
	known bool
}

// main is the longest match in table main.
func (q *quickly) main(c *familyCuts) (lookup.Match, bool) {
	if a := q.ahead; a != nil && a.known {
		return a.match, a.found
	}
	return c.main.longest(q.f.Dst)
}

// asks4 reports whether an IPv4 flow is one of those that ready answers are for.
func (q *quickly) asks4() bool {
	if hi := q.f.Dst.As4()[0]; hi == 0 || hi >= 224 {
		return false
	}
	if q.f.Src.IsValid() {
		src := q.f.Src
		_, own := q.s.owner4[src]
		q.given = true
		return own && !src.IsLoopback() && !src.IsMulticast() && src != lbcast
	}
	return true
}

func (q *quickly) asks6() bool {
	f := q.f
	return f.Dst.Is6() && f.Dst.Zone() == "" && !needsLink6(f.Dst) && !f.Dst.IsUnspecified() &&
		(!f.Src.IsValid() || f.Src.Is6() && f.Src.Zone() == "")
}

// rules walks the rules.
func (q *quickly) rules(d *Decision) bool {
	s, f := q.s, q.f
	var key rules.Flow
	s.outputKey(&key, f, q.fam)
	c := s.cuts.of(q.fam)
	l := s.rulesOf(q.fam)
	var at rules.Cursor
	for {
		e, deferred, noted := l.Next(&at, &key, s.profile)
		if e == nil {
			*d = Decision{Errno: ENETUNREACH, RuleIndex: -1}
			return true
		}
		switch e.Action {
		case rules.ActLookup:
		case rules.ActGoto:
			l.Jump(&at, e)
			continue
		default:
			*d = Decision{Errno: actionErrno(e.Action), HasRule: true, Rule: e.Priority, RuleIndex: int32(l.Position(e))}
			return true
		}
		if deferred || noted || e.L3MDev || e.SuppressIfGroup.Set {
			return false
		}
		var m lookup.Match
		var ok bool
		switch id := TableID(e.Table); id {
		case TableMain:
			m, ok = q.main(c)
		case TableLocal:
			m, ok = c.local.longest(f.Dst)
		default:
			m, ok = s.table(q.fam, id).longest(f.Dst)
		}
		if !ok {
			continue
		}
		r := q.readyAt(m)
		if r == nil {
			return false
		}
		if e.SuppressPrefixLength.Set && r.d.Errno == 0 && e.Suppresses(int(m.Bits), 1<<32-1) {
			if r.d.NexthopID != 0 {
				return false // what the reply describes may be this one (D22a)
			}
			continue
		}
		q.fill(d, r, m, TableID(e.Table), ruleName{e.Priority, int32(l.Position(e))})
		if q.fam == Inet && d.Errno == 0 {
			d.Realms = fillRealms(d.Realms, e.Realms)
		}
		return true
	}
}

// merged4 looks at local and main as one table (B1).
func (q *quickly) merged4(c *familyCuts, d *Decision) bool {
	local, ok := c.local.longest(q.f.Dst)
	main, inMain := q.main(c)
	m, by := main, c.mainRule
	switch {
	case ok && (!inMain || local.Bits >= main.Bits):
		m, by = local, c.localRule
	case !inMain:
		return false // table default may have it
	}
	r := q.readyAt(m)
	if r == nil {
		return false
	}
	q.fill(d, r, m, TableMain, by)
	return true
}

// merged6 looks at local, then at main (A9).
func (q *quickly) merged6(c *familyCuts, d *Decision) bool {
	id, by := TableLocal, c.localRule
	m, ok := c.local.longest(q.f.Dst)
	if !ok {
		id, by = TableMain, c.mainRule
		if m, ok = q.main(c); !ok {
			*d = Decision{Errno: ENETUNREACH, RuleIndex: -1}
			return true
		}
	}
	r := q.readyAt(m)
	if r == nil {
		return false
	}
	q.fill(d, r, m, id, by)
	return true
}

// readyAt is the ready answer of the leaf that m leads to, if it counts for the flow.
func (q *quickly) readyAt(m lookup.Match) *ready {
	r := q.s.leaves[m.Index/leafPageSize].ready[m.Index%leafPageSize]
	if r == nil || r.several && m.Bits == 0 {
		return nil
	}
	if r.gated {
		if st, ok := q.s.neigh(r.d.NexthopLink, r.d.Gateway); ok && st&NeighFailed != 0 {
			return nil
		}
	}
	return r
}

// fill makes d of a ready answer.
func (q *quickly) fill(d *Decision, r *ready, m lookup.Match, id TableID, by ruleName) {
	s := q.s
	*d = r.d
	d.Table, d.Prefix = id, m.Prefix(q.f.Dst)
	d.HasRule, d.Rule, d.RuleIndex = by.index >= 0, by.priority, by.index
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
