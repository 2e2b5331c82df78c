package fib

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"github.com/fibula-net/fibula/lookup"
	"github.com/fibula-net/fibula/lookup/flat"
	"github.com/fibula-net/fibula/rules"
)

// shortcuts are what quick reads in place of maps; every commit makes them anew. A
// transaction's own state has none and is walked.
type shortcuts struct {
	inet, inet6 familyCuts
	links       []linkSlot   // by index
	own4        []uint32     // the keys of owner4
	own6        []netip.Addr // all IPv6 addresses, unless there are many
	many6       bool
	domains     bool // there is an L3 domain
	failing     bool // there is a neighbour that is not valid
	on          bool
}

// maxOwn6 is how many addresses are compared one by one.
const maxOwn6 = 32

type familyCuts struct {
	local, main *table
	// Of the initial rules to these tables, for answers without a walk of the rules.
	localRule, mainRule ruleName

	// screen tells the flows that meet only the first rules without selectors, which are steps.
	// Complete: there is no other such rule.
	screen   *rules.Screen
	steps    [maxSteps]ruleStep
	n        int
	complete bool

	lane lane
}

const maxSteps = 4

// ruleStep is a rule on the walk that most flows share.
type ruleStep struct {
	ruleName
	rule *rules.Entry
	t    *table // nil: there is none
}

// ruleName is how a decision names a rule; index -1: there is none.
type ruleName struct {
	priority uint32
	index    int32
}

var noRule = ruleName{index: -1}

// linkSlot is one of a hash table of links, which is half empty: 0 is no link.
type linkSlot struct {
	index int32
	*link
}

// makeCuts makes the shortcuts of a snapshot that is about to be published in place of base.
func (tx *Txn) makeCuts() {
	s, base := tx.s, tx.base
	for _, f := range [...]Family{Inet, Inet6} {
		c, l := s.cuts.of(f), s.rulesOf(f)
		c.local, c.main = s.table(f, TableLocal), s.table(f, TableMain)
		mode, _ := s.modeOf(f)
		before, _ := base.modeOf(f)
		fresh := base.gen == 0 || l != base.rulesOf(f)
		if fresh || mode != before {
			c.localRule, c.mainRule = s.initialRule(f, TableLocal), s.initialRule(f, TableMain)
		}
		if fresh || s.profile != base.profile {
			c.screen = l.Screen(s.profile)
			c.listSteps(l)
		}
		for i := range c.steps[:c.n] {
			if st := &c.steps[i]; st.rule.Action == rules.ActLookup {
				st.t = s.table(f, TableID(st.rule.Table))
			}
		}
		_, open := s.modeOf(f)
		c.makeLane(f, mode, open)
	}
	if tx.owned.links {
		s.listLinks()
		s.listOwn6()
	}
	if tx.owned.owner4 {
		s.listOwn4()
	}
	if tx.owned.neighs {
		s.cuts.failing = s.anyFailing()
	}
	s.cuts.on = true
}

// listSteps lists the first rules without selectors.
func (c *familyCuts) listSteps(l *rules.List) {
	c.n, c.complete = 0, false
	for _, e := range c.screen.Open() {
		at := l.Position(e)
		if e.Action == rules.ActGoto {
			if _, ok := l.Target(at); ok {
				return
			}
			continue
		}
		if c.n == maxSteps {
			return
		}
		c.steps[c.n] = ruleStep{ruleName: ruleName{e.Priority, int32(at)}, rule: e}
		c.n++
	}
	c.complete = true
}

func (s *Snapshot) listLinks() {
	s.cuts.domains = false
	slots := make([]linkSlot, 2<<bits.Len(uint(len(s.links))))
	for i, l := range s.links {
		at := linkHash(i, len(slots))
		for slots[at].link != nil {
			at = (at + 1) & (len(slots) - 1)
		}
		slots[at] = linkSlot{i, l}
		s.cuts.domains = s.cuts.domains || l.IsL3Master()
	}
	s.cuts.links = slots
}

func linkHash(index int32, slots int) int { return int(uint32(index)*0x9e3779b1>>8) & (slots - 1) }

// link is the link of an index, or nil.
func (c *shortcuts) link(index int32) *link {
	n := len(c.links)
	if n == 0 {
		return nil
	}
	for at := linkHash(index, n); ; at = (at + 1) & (n - 1) {
		if sl := &c.links[at&(n-1)]; sl.index == index || sl.link == nil {
			return sl.link
		}
	}
}

func (s *Snapshot) listOwn4() {
	slots := make([]uint32, 2<<bits.Len(uint(len(s.owner4))))
	for a := range s.owner4 {
		v := number4(a)
		at := linkHash(int32(v), len(slots))
		for slots[at] != 0 {
			at = (at + 1) & (len(slots) - 1)
		}
		slots[at] = v
	}
	s.cuts.own4 = slots
}

// owns4 reports whether an IPv4 address, not 0.0.0.0, is one of owner4.
func (c *shortcuts) owns4(a uint32) bool {
	n := len(c.own4)
	if n == 0 {
		return false
	}
	for at := linkHash(int32(a), n); ; at = (at + 1) & (n - 1) {
		if v := c.own4[at&(n-1)]; v == a || v == 0 {
			return v != 0
		}
	}
}

// number4 is an IPv4 address as a number.
func number4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

// numbers6 is an IPv6 address as two numbers, the first bits first.
func numbers6(a netip.Addr) [2]uint64 {
	b := a.As16()
	return [2]uint64{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
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

func (s *Snapshot) anyFailing() bool {
	for _, n := range s.neighs {
		if !n.State.Valid() {
			return true
		}
	}
	return false
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
		return noRule
	}
	w := walk{s: s, fam: f}
	h := hit{from: id}
	if w.nameRule(&h); h.rule == nil {
		return noRule
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

// publish makes t, which nobody reads yet, the table of a snapshot.
func (t *table) publish(lpm lookup.Table) {
	t.lpm = lpm
	t.flat, _ = lpm.(*flat.Table)
	switch {
	case lpm.Len() == 0: // a table stays when its last route goes, as in the kernel
		t.sieve = &noSieve
	case t.flat != nil && lpm.Len() <= sieved:
		t.sieve = sieveOf(t.fam, lpm)
	}
}

// sieved is the number of prefixes up to which a table has a sieve, which each change makes anew.
const sieved = 256

// sieve lets pass the addresses that no prefix of a small table contains: one bit for each
// /13 of IPv4, or by a hash for the first 64 bits of IPv6. It knows only of the IPv6
// addresses that asks6 lets pass.
type sieve [8192 / 64]uint64

// sieveOf is the sieve of a table, nil if some prefix is too short for one.
func sieveOf(f Family, t lookup.Table) *sieve {
	var s sieve
	for p := range t.All() {
		if f == Inet {
			if p.Bits() == 0 {
				return nil
			}
			first := number4(p.Addr()) >> 19
			for i := range uint32(1) << max(13-p.Bits(), 0) {
				s.set(first + i)
			}
			continue
		}
		switch {
		case isMulticast6(p.Addr()) && p.Bits() >= 8:
		case p.Bits() < 64:
			return nil
		default:
			s.set(sieveHash6(numbers6(p.Addr())[0]))
		}
	}
	return &s
}

func sieveHash6(hi uint64) uint32 {
	h, _ := bits.Mul64(hi, 0x9e3779b97f4a7c15)
	return uint32(h^hi) & 8191
}

func (s *sieve) set(bit uint32) { s[bit>>6&127] |= 1 << (bit & 63) }

func (s *sieve) has(bit uint32) bool { return s[bit>>6&127]>>(bit&63)&1 != 0 }

// mayHave4 reports whether t, which may be nil, may have a prefix for a.
func (t *table) mayHave4(a uint32) bool {
	return t != nil && (t.sieve == nil || t.sieve.has(a>>19))
}

// mayHave6 is mayHave4 for the first half of an address.
func (t *table) mayHave6(hi uint64) bool {
	return t != nil && (t.sieve == nil || t.sieve.has(sieveHash6(hi)))
}
