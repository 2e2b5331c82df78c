package rules

import (
	"cmp"
	"slices"
)

// index finds rules of a long List without looking at each. It is immutable and
// derived from that of the list before at the cost of a few paths.
type index struct {
	open  []*Entry // of the rules that do something where they match, those that match always, in order
	acts  tuples   // and the others
	used  uint16   // the words that any shape compares
	notes tuples   // what l3mdev rules compare before they note the L3 table (A26)
	named hashTrie // every rule under each value that it names, see values
}

// scanned is how many rules are walked one by one rather than through an index: with
// 8 that is faster for most flows, with 12 for few (BenchmarkNext).
const scanned = 10

// indexOf returns an index of all rules, nil if they are few. O(n log n).
func indexOf(es []*Entry) *index {
	if len(es) <= scanned {
		return nil
	}
	var x index
	var acts, notes []*Entry
	var named []hashed
	for _, e := range es {
		switch {
		case e.Action == ActNop:
		case e.open:
			x.open = append(x.open, e)
		default:
			acts = append(acts, e)
		}
		if e.L3MDev {
			notes = append(notes, e.noter())
		}
		e.values(func(hash uint64) { named = append(named, hashed{hash, e}) })
	}
	x.acts, x.notes, x.named = tuplesOf(acts), tuplesOf(notes), hashTrieOf(named)
	x.sum()
	return &x
}

func (x *index) with(e *Entry) *index {
	c := *x
	switch {
	case e.Action == ActNop:
	case e.open:
		c.open = inserted(x.open, x.firstOpen(e.order), e)
	default:
		c.acts = x.acts.with(e)
	}
	if e.L3MDev {
		c.notes = x.notes.with(e.noter())
	}
	e.values(func(hash uint64) { c.named = c.named.with(hash, e) })
	c.sum()
	return &c
}

func (x *index) without(e *Entry) *index {
	c := *x
	switch {
	case e.Action == ActNop:
	case e.open:
		c.open = removed(x.open, x.firstOpen(e.order))
	default:
		c.acts = x.acts.without(e)
	}
	if e.L3MDev {
		c.notes = x.notes.without(e.noter())
	}
	e.values(func(hash uint64) { c.named = c.named.without(hash, e) })
	c.sum()
	return &c
}

// sum notes which words are compared.
func (x *index) sum() {
	x.used = 0
	for _, ts := range [...]tuples{x.acts, x.notes} {
		for _, t := range ts {
			x.used |= t.used
		}
	}
}

// firstOpen returns where in open the first rule is whose order is not below.
func (x *index) firstOpen(order uint64) int {
	if len(x.open) > 8 {
		i, _ := slices.BinarySearchFunc(x.open, order, func(e *Entry, order uint64) int { return cmp.Compare(e.order, order) })
		return i
	}
	for i, e := range x.open {
		if e.order >= order {
			return i
		}
	}
	return len(x.open)
}

// noter returns a rule that matches where the test of e, an l3mdev rule, gets as far
// as l3mdev: see [Rule.NotesL3Table].
func (e *Entry) noter() *Entry {
	return &Entry{
		Rule: Rule{
			Family: e.Family, Action: ActLookup, Iif: e.Iif, Oif: e.Oif, Mark: e.Mark, MarkMask: e.MarkMask, TunID: e.TunID,
		},
		IifIndex: e.IifIndex, OifIndex: e.OifIndex, IifMaster: e.IifMaster, OifMaster: e.OifMaster,
		order: e.order,
	}
}
