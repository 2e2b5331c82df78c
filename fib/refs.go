package fib

import (
	"github.com/fibula-net/fibula/lookup/flat"
	"github.com/fibula-net/fibula/rules"
)

// lane is the way of flows that this host sends, without oif, that meet no rule with
// selectors, and whose destination is not in any of the small tables that are asked first: they
// come to one table, where many can be looked up together.
type lane struct {
	sieve *sieve      // of the small tables
	table *flat.Table // nil: there is no such way
	// What of a flow has to do with rules that have selectors: anything, more than addresses, the source alone.
	screens, others, bySource bool
	ref                       Ref // what the answers have in common
}

// makeLane finds the lane, where the rules are as mode has it.
func (c *familyCuts) makeLane(f Family, mode Mode, open bool) {
	c.lane = lane{bySource: true}
	l := &c.lane
	l.sieve = &noSieve
	to := func(t *table, how refHow, by ruleName) bool {
		switch {
		case t == nil:
		case t.sieve != nil:
			l.sieve = l.sieve.and(t.sieve)
		default:
			l.table, l.ref = t.flat, Ref{how: how, rule: by.index}
			return false
		}
		return true
	}
	switch {
	case open:
	case mode == ModeMerged && f == Inet:
		if c.local == nil || c.local.sieve != nil {
			_ = to(c.local, refMerged, c.localRule) && to(c.main, refMerged, c.mainRule)
		}
	case mode == ModeMerged:
		if c.local == nil || c.local.sieve != nil {
			_ = to(c.local, refLocal, c.localRule) && to(c.main, refMain, c.mainRule)
		}
	default:
		l.screens, l.others = !c.screen.IsOpen(), c.screen.ComparesOthers()
		l.bySource = !l.others && !c.screen.ComparesDestinations()
		for i := range c.steps[:c.n] {
			st := &c.steps[i]
			if st.rule.Action != rules.ActLookup || st.rule.SuppressPrefixLength.Set || st.rule.SuppressIfGroup.Set {
				return
			}
			if !to(st.t, refRuled, st.ruleName) {
				return
			}
		}
	}
}

var noSieve sieve // never changed: of no table

// and is the sieve of two tables, of which the first may be none.
func (s *sieve) and(o *sieve) *sieve {
	if s == &noSieve {
		return o
	}
	c := *s
	for i := range c {
		c[i] |= o[i]
	}
	return &c
}

// card is what of a ready answer to a flow in the lane is looked at.
type card struct {
	link  int32
	errno uint8
	ok    bool // it stands ready, and nothing else counts
}

func (r *ready) card() card {
	if r == nil || r.several || r.gated || r.fan != nil {
		return card{}
	}
	return card{r.d.Link, uint8(r.d.Errno), true}
}

// cardOf is the card of the leaf that a lookup found.
func (s *Snapshot) cardOf(i uint32) *card {
	if i == flat.NoMatch {
		return &noCard
	}
	return &s.leaves[i/leafPageSize].cards[i%leafPageSize]
}

var noCard card // never changed

// answer makes r of what leaf i has. It sets fields one by one: a literal would be made aside and
// copied, and the copy wait for it.
func (l *lane) answer(r *Ref, i uint32, c *card) {
	r.Link, r.leaf, r.rule, r.leg, r.errno, r.how = c.link, i, l.ref.rule, 0, c.errno, l.ref.how
}

// refBurst is how many flows are answered together.
const refBurst = 256

// common is what the flow before has in common with the next one.
type common struct {
	src     [2]uint64
	known   bool      // there was one
	asks    bool      // the source is one that ready answers are for
	classed bool      // class is that of others
	others  [3]uint64 // what rules may compare beside addresses
	class   rules.Class
}

// ResolveRefs4 sets out[k] to the answer to keys[k], for every k < len(keys): what
// [Snapshot.Resolve] answers to their flows, in short. It is the fastest way to decide, above all for
// flows that this host sends and no rule with selectors concerns: those are looked up together.
//
// It is safe for concurrent use, takes no lock, waits for nobody and does not allocate. Out must be
// at least as long as keys; otherwise ResolveRefs4 panics before it writes.
func (s *Snapshot) ResolveRefs4(keys []Key4, out []Ref) {
	out = out[:len(keys)]
	var c common
	var dst, index [refBurst]uint32
	var at [refBurst]uint8
	l := &s.cuts.inet.lane
	sieve, bySource := l.sieve, l.bySource
	last, same := uint32(0), false // the source before, and whether others with it are in the lane
	for len(keys) > 0 {
		m, n := min(len(keys), refBurst), 0
		if s.cuts.on && l.table != nil {
			for k := range keys[:m] {
				key := &keys[k]
				d := key.Dst
				in := key.Iif|key.Oif == 0 && d-1<<24 < 223<<24 && !sieve.has(d>>19)
				if in && (key.Src != last || !same) {
					in, last = s.screened4(key, &c), key.Src
					same = in && bySource
				}
				if !in {
					s.walked4(key, &out[k])
					continue
				}
				dst[n&(refBurst-1)], at[n&(refBurst-1)] = d, uint8(k)
				n++
			}
			l.table.LookupBatch4(dst[:n], index[:n])
		} else {
			for k := range keys[:m] {
				s.walked4(&keys[k], &out[k])
			}
		}
		for j, i := range index[:n] {
			k := at[j&(refBurst-1)]
			if c := s.cardOf(i); c.ok {
				l.answer(&out[k], i, c)
				continue
			}
			s.walked4(&keys[k], &out[k])
		}
		keys, out = keys[m:], out[m:]
	}
}

// ResolveRef4 is ResolveRefs4 for one flow.
func (s *Snapshot) ResolveRef4(k *Key4) (r Ref) {
	if l := &s.cuts.inet.lane; s.cuts.on && l.table != nil {
		if s.inLane4(k) {
			i := l.table.Lookup4(k.Dst)
			if c := s.cardOf(i); c.ok {
				l.answer(&r, i, c)
				return r
			}
		}
	}
	s.walked4(k, &r)
	return r
}

//go:noinline
func (s *Snapshot) walked4(k *Key4, r *Ref) {
	f := k.Flow()
	*r = s.refOf(&f)
}

// inLane4 reports whether a flow is in the lane.
func (s *Snapshot) inLane4(k *Key4) bool {
	l := &s.cuts.inet.lane
	if k.Iif|k.Oif != 0 || k.Dst-1<<24 >= 223<<24 || l.sieve.has(k.Dst>>19) || k.Src != 0 && !s.cuts.asks4(k.Src) {
		return false
	}
	if !l.others {
		return !l.screens || !s.cuts.inet.screen.MayMeetAddresses([2]uint64{1: uint64(k.Src)}, [2]uint64{1: uint64(k.Dst)})
	}
	return s.classed4(k)
}

//go:noinline
func (s *Snapshot) classed4(k *Key4) bool {
	var c common
	return s.screened4(k, &c)
}

// asks4 reports whether ready answers are for flows from a source that is given.
func (c *shortcuts) asks4(src uint32) bool {
	hi := src >> 24
	return hi != 0 && hi != 127 && hi < 224 && c.owns4(src)
}

// screened4 reports whether a flow is in the lane that goes to its table. C is of the flow before;
// the zero value is of none.
func (s *Snapshot) screened4(k *Key4, c *common) bool {
	cut := &s.cuts.inet
	l := &cut.lane
	src := [2]uint64{1: uint64(k.Src)}
	if !c.known || c.src != src {
		c.asks = k.Src == 0 || s.cuts.asks4(k.Src)
		c.known, c.src = true, src
	}
	switch {
	case !c.asks || !l.screens:
		return c.asks
	case !l.others:
		return !cut.screen.MayMeetAddresses(src, [2]uint64{1: uint64(k.Dst)})
	}
	others := [3]uint64{uint64(k.Mark)<<32 | uint64(k.UID), uint64(k.Sport)<<32 | uint64(k.Dport)<<16 | uint64(k.TOS)<<8 | uint64(k.IPProto)}
	if !c.classed || others != c.others {
		s.classify4(k, c)
		c.others, c.classed = others, true
	}
	return !cut.screen.MayMeet(&c.class, src, [2]uint64{1: uint64(k.Dst)})
}

//go:noinline
func (s *Snapshot) classify4(k *Key4, c *common) {
	f := k.Flow()
	var key rules.Flow
	s.outputKey(&key, &f, Inet)
	s.cuts.inet.screen.Classify(&c.class, &key)
}

// ResolveRefs6 is ResolveRefs4 for IPv6.
func (s *Snapshot) ResolveRefs6(keys []Key6, out []Ref) {
	out = out[:len(keys)]
	var c common
	var dst [refBurst][2]uint64
	var index [refBurst]uint32
	var at [refBurst]uint8
	l := &s.cuts.inet6.lane
	sieve, bySource := l.sieve, l.bySource
	last, same := [2]uint64{}, false
	for len(keys) > 0 {
		m, n := min(len(keys), refBurst), 0
		if s.cuts.on && l.table != nil {
			for k := range keys[:m] {
				key := &keys[k]
				in := key.Iif|key.Oif == 0 && !needsLink(key.Dst) && !sieve.has(sieveHash6(key.Dst[0]))
				if in && (key.Src != last || !same) {
					in, last = s.screened6(key, &c), key.Src
					same = in && bySource
				}
				if !in {
					s.walked6(key, &out[k])
					continue
				}
				dst[n&(refBurst-1)], at[n&(refBurst-1)] = key.Dst, uint8(k)
				n++
			}
			l.table.LookupBatch6(dst[:n], index[:n])
		} else {
			for k := range keys[:m] {
				s.walked6(&keys[k], &out[k])
			}
		}
		for j, i := range index[:n] {
			k := at[j&(refBurst-1)]
			if c := s.cardOf(i); c.ok {
				l.answer(&out[k], i, c)
				continue
			}
			s.walked6(&keys[k], &out[k])
		}
		keys, out = keys[m:], out[m:]
	}
}

// ResolveRef6 is ResolveRefs6 for one flow.
func (s *Snapshot) ResolveRef6(k *Key6) (r Ref) {
	if l := &s.cuts.inet6.lane; s.cuts.on && l.table != nil {
		if s.inLane6(k) {
			i := l.table.Lookup6(k.Dst)
			if c := s.cardOf(i); c.ok {
				l.answer(&r, i, c)
				return r
			}
		}
	}
	s.walked6(k, &r)
	return r
}

//go:noinline
func (s *Snapshot) walked6(k *Key6, r *Ref) {
	f := k.Flow()
	*r = s.refOf(&f)
}

// inLane6 is inLane4; any source will do.
func (s *Snapshot) inLane6(k *Key6) bool {
	l := &s.cuts.inet6.lane
	if k.Iif|k.Oif != 0 || needsLink(k.Dst) || l.sieve.has(sieveHash6(k.Dst[0])) {
		return false
	}
	if !l.others {
		return !l.screens || !s.cuts.inet6.screen.MayMeetAddresses(k.Src, k.Dst)
	}
	return s.classed6(k)
}

//go:noinline
func (s *Snapshot) classed6(k *Key6) bool {
	var c common
	return s.screened6(k, &c)
}

func (s *Snapshot) screened6(k *Key6, c *common) bool {
	cut := &s.cuts.inet6
	switch l := &cut.lane; {
	case !l.screens:
		return true
	case !l.others:
		return !cut.screen.MayMeetAddresses(k.Src, k.Dst)
	}
	others := [3]uint64{uint64(k.Mark)<<32 | uint64(k.UID), uint64(k.Sport)<<32 | uint64(k.Dport)<<16 | uint64(k.TOS)<<8 | uint64(k.IPProto), uint64(k.FlowLabel)}
	if !c.classed || others != c.others {
		s.classify6(k, c)
		c.others, c.classed = others, true
	}
	return !cut.screen.MayMeet(&c.class, k.Src, k.Dst)
}

//go:noinline
func (s *Snapshot) classify6(k *Key6, c *common) {
	f := k.Flow()
	var key rules.Flow
	s.outputKey(&key, &f, Inet6)
	s.cuts.inet6.screen.Classify(&c.class, &key)
}
