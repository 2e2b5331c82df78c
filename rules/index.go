package rules

// index finds rules of a long List without looking at each. It is immutable and
// derived from that of the list before at the cost of a few paths.
type index struct {
	acts  tuples   // the rules that do something where they match
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
	var acts, notes []*Entry
	var named []hashed
	for _, e := range es {
		if e.Action != ActNop {
			acts = append(acts, e)
		}
		if e.L3MDev {
			notes = append(notes, e.noter())
		}
		e.values(func(hash uint64) { named = append(named, hashed{hash, e}) })
	}
	return &index{acts: tuplesOf(acts), notes: tuplesOf(notes), named: hashTrieOf(named)}
}

func (x *index) with(e *Entry) *index {
	c := *x
	if e.Action != ActNop {
		c.acts = x.acts.with(e)
	}
	if e.L3MDev {
		c.notes = x.notes.with(e.noter())
	}
	e.values(func(hash uint64) { c.named = c.named.with(hash, e) })
	return &c
}

func (x *index) without(e *Entry) *index {
	c := *x
	if e.Action != ActNop {
		c.acts = x.acts.without(e)
	}
	if e.L3MDev {
		c.notes = x.notes.without(e.noter())
	}
	e.values(func(hash uint64) { c.named = c.named.without(hash, e) })
	return &c
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
