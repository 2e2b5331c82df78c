package rules

import "net/netip"

// values calls fn with a hash of each value for which r can be looked up: those that
// a request which carries them must find equal (A4, A5). Different selectors hash
// differently; values of one selector hash alike where they are equal.
func (r *Rule) values(fn func(hash uint64)) {
	prefix := func(s Selector, p netip.Prefix) {
		if p.Bits() > 0 {
			hi, lo := wordsOf(p.Addr())
			fn(mix(mix(mix(hashStart, uint64(s)<<8|uint64(p.Bits())), hi), lo))
		}
	}
	number := func(s Selector, has bool, v uint64) {
		if has {
			fn(mix(mix(hashStart, uint64(s)), v))
		}
	}
	prefix(SelFrom, r.From)
	prefix(SelTo, r.To)
	if r.Iif != "" {
		fn(hashOfName(SelIif, r.Iif))
	}
	if r.Oif != "" {
		fn(hashOfName(SelOif, r.Oif))
	}
	number(SelMark, r.Mark != 0, uint64(r.Mark))
	number(SelUID, r.HasUIDs, two(r.UIDs.Start, r.UIDs.End))
	number(SelSport, r.Sport != PortRange{}, r.Sport.number())
	number(SelDport, r.Dport != PortRange{}, r.Dport.number())
	number(SelTunID, r.TunID != 0, r.TunID)
}

func (p PortRange) number() uint64 {
	return uint64(p.Start)<<32 | uint64(p.End)<<16 | uint64(p.Mask)
}

func hashOfName(s Selector, name string) uint64 {
	h := mix(hashStart, uint64(s))
	for i := range len(name) {
		h = mix(h, uint64(name[i]))
	}
	return h
}

// first returns the position of the first rule from to before to for which ok holds,
// which must hold for no rule that lacks one of r's values. O(rules that share the
// rarest of r's values), all of them if r has none.
func (l *List) first(from, to int, r *Rule, ok func(*Rule) bool) (int, bool) {
	var few *leaf
	if l != nil && l.index != nil {
		least := to - from
		r.values(func(hash uint64) {
			if found := l.index.named.get(hash); found == nil {
				few, least = nil, 0
			} else if found.size() < least {
				few, least = found, found.size()
			}
		})
		if least == 0 {
			return 0, false
		}
	}
	if few == nil {
		for i := from; i < to; i++ {
			if ok(&l.rules.at(i).Rule) {
				return i, true
			}
		}
		return 0, false
	}
	at := to
	few.each(func(e *Entry) bool {
		if i := l.rules.position(e.order); i >= from && i < at && ok(&e.Rule) {
			at = i
		}
		return true
	})
	return at, at < to
}
