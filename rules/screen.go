package rules

import "math/bits"

// Screen tells the flows that meet no rule but those without selectors, which nearly
// all flows of most hosts are: they share one walk. It is made of one list and
// profile, immutable, and safe for concurrent use.
//
// It is a filter. That a flow may meet a rule says nothing; that it meets none is certain,
// for flows outside L3 domains (L3Master 0).
type Screen struct {
	open       []*Entry
	addressed  tuples // shapes that compare an address
	rest       tuples
	used       uint16 // words that shapes compare, or a walk does
	family     Family
	profile    Profile
	exhaustive bool // no rule has selectors
	// others: some shape compares more than addresses, or nothing.
	others bool
	// destinations: some shape compares the destination.
	destinations bool
}

// Screen makes the screen of l under a profile. It costs the number of shapes and of rules without
// selectors.
func (l *List) Screen(p Profile) *Screen {
	s := &Screen{profile: p, family: l.Family()}
	var acts tuples
	switch {
	case l == nil:
	case l.index != nil:
		s.open, acts, s.used = l.index.open, l.index.acts, l.index.used
	default:
		var some []*Entry
		for _, e := range l.rules.all(0) {
			switch {
			case e.Action == ActNop:
			case e.open:
				s.open = append(s.open, e)
			default:
				some = append(some, e)
			}
		}
		acts = tuplesOf(some)
	}
	for _, t := range acts {
		s.used |= t.used
		s.others = s.others || t.used>>wMark != 0 || t.used == 0
		s.destinations = s.destinations || t.used&(1<<wDstHi|1<<wDstLo) != 0
		if t.used&(1<<wMark-1) != 0 {
			s.addressed = append(s.addressed, t)
		} else {
			s.rest = append(s.rest, t)
		}
	}
	s.exhaustive = len(acts) == 0
	return s
}

// Open are the rules without selectors that do something, in list order. The caller must
// not change them.
func (s *Screen) Open() []*Entry { return s.open }

// IsOpen reports whether no rule has selectors.
func (s *Screen) IsOpen() bool { return s.exhaustive }

// ComparesOthers reports whether any rule compares more than addresses.
func (s *Screen) ComparesOthers() bool { return s.others }

// ComparesAddresses reports whether any rule compares an address.
func (s *Screen) ComparesAddresses() bool { return len(s.addressed) > 0 }

// ComparesDestinations reports whether any rule with an address compares the destination.
func (s *Screen) ComparesDestinations() bool { return s.destinations }

// Class is what flows have in common that differ in their addresses alone. Its zero
// value is of no flow: see [Screen.Classify].
type Class struct {
	words words
	meets bool
}

// Classify makes c the class of f.
func (s *Screen) Classify(c *Class, f *Flow) {
	c.meets = false
	if !s.ComparesOthers() {
		return
	}
	c.words.set(f, s.family, s.profile, s.used)
	c.meets = anyHas(s.rest, &c.words)
}

// MayMeet reports whether a flow of the class with these addresses (the first bits first; of IPv4 the
// low half of the second number) may meet a rule with selectors. It changes the class for
// its own purposes, and does not allocate.
func (s *Screen) MayMeet(c *Class, src, dst [2]uint64) bool {
	if c.meets {
		return true
	}
	if len(s.addressed) == 0 {
		return false
	}
	w := &c.words
	w[wSrcHi], w[wSrcLo], w[wDstHi], w[wDstLo] = src[0], src[1], dst[0], dst[1]
	return anyHas(s.addressed, w)
}

// MayMeetAddresses is MayMeet for every class, where no rule compares more than addresses.
func (s *Screen) MayMeetAddresses(src, dst [2]uint64) bool {
	w := [4]uint64{src[0], src[1], dst[0], dst[1]}
	for _, t := range s.addressed {
		h := uint64(hashStart)
		for used := t.used; used != 0; used &= used - 1 {
			i := bits.TrailingZeros16(used) & 3
			h = mix(h, w[i]&t.mask[i])
		}
		if (t.rules.leafAt|t.rules.nodeAt)&digit(h) != 0 && t.rules.get(h) != nil {
			return true
		}
	}
	return false
}

// MayMeetFlow is Classify and MayMeet at once. It prepares c, a cursor that stands before the first rule, for
// the walk of the flow.
func (s *Screen) MayMeetFlow(c *Cursor, f *Flow) bool {
	if s.exhaustive {
		return false
	}
	c.words.set(f, s.family, s.profile, s.used)
	c.ready = true
	return anyHas(s.addressed, &c.words) || anyHas(s.rest, &c.words)
}

// anyHas reports whether any shape has a rule under what the words have of it.
func anyHas(ts tuples, w *words) bool {
	for _, t := range ts {
		if t.rules.get(t.hash(w, t.used)) != nil {
			return true
		}
	}
	return false
}
