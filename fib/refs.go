package fib

import (
	"github.com/fibula-net/fibula/lookup/flat"
	"github.com/fibula-net/fibula/rules"
)

// lane is the way of flows that this host sends, without oif, that meet no rule with
// selectors, and whose destination is not in any of the small tables that are asked first: they
// come to one table, where many can be looked up together.
type lane struct {
	small [maxSteps]*table
	n     int
	table *flat.Table // nil: there is no such way
	ref   Ref         // what the answers have in common
}

// makeLane finds the lane, where the rules are as mode has it.
func (c *familyCuts) makeLane(f Family, mode Mode, open bool) {
	c.lane = lane{}
	l := &c.lane
	to := func(t *table, how refHow, by ruleName) bool {
		switch {
		case t == nil:
		case t.sieve != nil && l.n < maxSteps:
			l.small[l.n] = t
			l.n++
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

// refBurst is how many flows are answered together.
const refBurst = 256

// common is what the last flow in a lane has in common with the next one.
type common struct {
	class  rules.Class
	others [4]uint64 // what rules may compare beside addresses
	src    [2]uint64
	known  bool
	asks   bool // the source is one that ready answers are for
	meets  bool // a rule may match, whatever the destination
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
	for len(keys) > 0 {
		m, n := min(len(keys), refBurst), 0
		if s.cuts.on && l.table != nil {
			for k := range keys[:m] {
				key := &keys[k]
				if s.inLane4(key, &c) {
					dst[n&(refBurst-1)], at[n&(refBurst-1)] = key.Dst, uint8(k)
					n++
				} else {
					s.walked4(key, &out[k])
				}
			}
			l.table.LookupBatch4(dst[:n], index[:n])
		} else {
			for k := range keys[:m] {
				s.walked4(&keys[k], &out[k])
			}
		}
		for j, i := range index[:n] {
			k := at[j&(refBurst-1)]
			if i != flat.NoMatch {
				if c := &s.leaves[i/leafPageSize].cards[i%leafPageSize]; c.ok {
					out[k] = Ref{Link: c.link, leaf: i, rule: l.ref.rule, errno: c.errno, how: l.ref.how}
					continue
				}
			}
			s.walked4(&keys[k], &out[k])
		}
		keys, out = keys[m:], out[m:]
	}
}

// ResolveRef4 is ResolveRefs4 for one flow.
func (s *Snapshot) ResolveRef4(k *Key4) (r Ref) {
	if l := &s.cuts.inet.lane; s.cuts.on && l.table != nil {
		var c common
		if s.inLane4(k, &c) {
			if i := l.table.Lookup4(k.Dst); i != flat.NoMatch {
				if c := &s.leaves[i/leafPageSize].cards[i%leafPageSize]; c.ok {
					return Ref{Link: c.link, leaf: i, rule: l.ref.rule, errno: c.errno, how: l.ref.how}
				}
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

// inLane4 reports whether a flow is in the lane. C is of the flow before; the zero value
// is of none.
func (s *Snapshot) inLane4(k *Key4, c *common) bool {
	if k.Iif|k.Oif != 0 || k.Dst-1<<24 >= 223<<24 {
		return false
	}
	cut := &s.cuts.inet
	l := &cut.lane
	for _, t := range l.small[:l.n] {
		if t.sieve.has(k.Dst >> 19) {
			return false
		}
	}
	screen := cut.screen
	src := [2]uint64{1: uint64(k.Src)}
	same := c.known && src == c.src
	if !same {
		hi := k.Src >> 24
		c.asks = k.Src == 0 || hi != 0 && hi != 127 && hi < 224 && s.cuts.owns4(k.Src)
	}
	if !c.asks {
		c.known, c.src = false, src
		return false
	}
	if s.mode4 == ModeMerged || screen.IsOpen() {
		c.known, c.src = true, src
		return true
	}
	if screen.ComparesOthers() {
		others := [4]uint64{uint64(k.Mark)<<32 | uint64(k.UID), uint64(k.Sport)<<32 | uint64(k.Dport)<<16 | uint64(k.TOS)<<8 | uint64(k.IPProto)}
		if !c.known || others != c.others {
			s.classify4(k, c)
			c.others, same = others, false
		}
	}
	if same && !screen.ComparesDestinations() {
		return !c.meets
	}
	c.known, c.src = true, src
	c.meets = screen.MayMeet(&c.class, src, [2]uint64{1: uint64(k.Dst)})
	return !c.meets
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
	for len(keys) > 0 {
		m, n := min(len(keys), refBurst), 0
		if s.cuts.on && l.table != nil {
			for k := range keys[:m] {
				key := &keys[k]
				if s.inLane6(key, &c) {
					dst[n&(refBurst-1)], at[n&(refBurst-1)] = key.Dst, uint8(k)
					n++
				} else {
					s.walked6(key, &out[k])
				}
			}
			l.table.LookupBatch6(dst[:n], index[:n])
		} else {
			for k := range keys[:m] {
				s.walked6(&keys[k], &out[k])
			}
		}
		for j, i := range index[:n] {
			k := at[j&(refBurst-1)]
			if i != flat.NoMatch {
				if c := &s.leaves[i/leafPageSize].cards[i%leafPageSize]; c.ok {
					out[k] = Ref{Link: c.link, leaf: i, rule: l.ref.rule, errno: c.errno, how: l.ref.how}
					continue
				}
			}
			s.walked6(&keys[k], &out[k])
		}
		keys, out = keys[m:], out[m:]
	}
}

// ResolveRef6 is ResolveRefs6 for one flow.
func (s *Snapshot) ResolveRef6(k *Key6) (r Ref) {
	if l := &s.cuts.inet6.lane; s.cuts.on && l.table != nil {
		var c common
		if s.inLane6(k, &c) {
			if i := l.table.Lookup6(k.Dst); i != flat.NoMatch {
				if c := &s.leaves[i/leafPageSize].cards[i%leafPageSize]; c.ok {
					return Ref{Link: c.link, leaf: i, rule: l.ref.rule, errno: c.errno, how: l.ref.how}
				}
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

// inLane6 is inLane4.
func (s *Snapshot) inLane6(k *Key6, c *common) bool {
	if k.Iif|k.Oif != 0 || needsLink(k.Dst) {
		return false
	}
	cut := &s.cuts.inet6
	l := &cut.lane
	for _, t := range l.small[:l.n] {
		if t.sieve.has(sieveHash6(k.Dst[0])) {
			return false
		}
	}
	screen := cut.screen
	if s.mode6 == ModeMerged || screen.IsOpen() {
		return true
	}
	same := c.known && k.Src == c.src
	if screen.ComparesOthers() {
		others := [4]uint64{uint64(k.Mark)<<32 | uint64(k.UID), uint64(k.Sport)<<32 | uint64(k.Dport)<<16 | uint64(k.TOS)<<8 | uint64(k.IPProto), uint64(k.FlowLabel)}
		if !c.known || others != c.others {
			s.classify6(k, c)
			c.others, same = others, false
		}
	}
	if same && !screen.ComparesDestinations() {
		return !c.meets
	}
	c.known, c.src = true, k.Src
	c.meets = screen.MayMeet(&c.class, k.Src, k.Dst)
	return !c.meets
}

//go:noinline
func (s *Snapshot) classify6(k *Key6, c *common) {
	f := k.Flow()
	var key rules.Flow
	s.outputKey(&key, &f, Inet6)
	s.cuts.inet6.screen.Classify(&c.class, &key)
}
