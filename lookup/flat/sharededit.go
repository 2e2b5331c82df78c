package flat

import (
	"net/netip"

	"github.com/fibula-net/fibula/lookup"
)

// samples are the prefixes by which tables are compared before all are.
const samples = 128

// Large reports whether the next version would have arrays of its own that the last one has not, since
// the table has become large, or other than what it shared. Such an editor can [Editor.Share].
func (e *Editor) Large() bool {
	e.settle()
	if e.outgrown() {
		return true
	}
	t := &e.next
	return t.under == nil && (t.direct == nil && t.refused4 == 0 && t.four.size() >= t.direct4From ||
		t.direct6 == nil && t.refused6 == 0 && t.size6() >= t.direct6From)
}

// Like reports whether a table may be worth sharing with: it has about as many prefixes, and most of a few
// that are compared are equal. It costs some hundred lookups.
func (e *Editor) Like(other lookup.Reader) bool {
	e.settle()
	if e.next.tooMuch(other.Len()-e.Len()) || e.next.tooMuch(e.Len()-other.Len()) {
		return false
	}
	if e.next.under != nil {
		return true // a look at all will tell
	}
	asked, differ := 0, 0
	for _, is4 := range [...]bool{true, false} {
		tree := e.next.trees(is4).short
		for i := 0; i < tree.size(); i += max(1, tree.size()/samples) {
			entry := tree.pick(i)
			if j, ok := other.Get(prefixOf(is4, entry.key, 0, int(entry.length))); !ok || j != entry.value {
				differ++
			}
			asked++
		}
	}
	return differ*50 <= asked*e.next.differTo // twice as many may be chance
}

// pick returns one of the entries, each i below the size another one.
func (n *node[V]) pick(i int) *entry[V] {
	for i >= len(n.list) {
		i -= len(n.list)
		for _, kid := range n.kids {
			if i < kid.size() {
				n = kid
				break
			}
			i -= kid.size()
		}
	}
	return &n.list[i]
}

// Share lets both tables refer, from their next versions on, to what they have in common, and reports
// whether it is enough, see [Engine]. Both hold what they did. It costs a look at every prefix,
// and the next version of other, whose earlier versions may be slower afterwards.
func (e *Editor) Share(other *Editor) bool {
	if e == other {
		return false
	}
	e.settle()
	other.settle()
	if e.outgrown() {
		e.detach()
	}
	under := other.next.under
	if under == nil {
		under = &other.next
	}
	t := &e.next
	if t.under != nil {
		return false
	}
	diff, ok := t.differencesFrom(under)
	if !ok {
		return false
	}
	if other.next.under == nil {
		under = other.table()
		other.next.four, other.next.six, other.next.long = nil, nil, nil
		other.refer(under, under.fresh().edit())
	}
	t.four, t.six, t.long = nil, nil, nil
	t.line = epochs.Add(1)
	t.forget()
	e.refer(under, diff)
	e.changes, e.changes6 = nil, nil
	e.rebuild, e.rebuild6, e.changed4, e.changed6 = true, true, true, true
	return true
}

func (e *Editor) refer(under *Table, diff *Editor) {
	e.next.under, e.diff, e.next.diff = under, diff, &diff.next
}

// fresh is an empty table of the same kind.
func (t *Table) fresh() *Table {
	return &Table{direct4From: t.direct4From, direct6From: t.direct6From, rangesTo: t.rangesTo, differTo: t.differTo, vectors: t.vectors, none: NoMatch, none6: NoMatch}
}

// differencesFrom returns what t, which is not shared, has that under has not, and what it has not. It is
// false if that is too much.
func (t *Table) differencesFrom(under *Table) (diff *Editor, ok bool) {
	diff = under.fresh().edit()
	found := 0
	enough := t.each(func(is4 bool, hi, lo uint64, length int, i lookup.Index) bool {
		e := under.at(is4, hi, lo, length)
		if e != nil {
			found++
		}
		if e == nil || e.value != i {
			diff.Insert(prefixOf(is4, hi, lo, length), i)
		}
		return i != gone && !under.tooMuch(diff.Len())
	})
	if enough && found < under.n {
		enough = under.each(func(is4 bool, hi, lo uint64, length int, i lookup.Index) bool {
			if t.at(is4, hi, lo, length) == nil {
				diff.Insert(prefixOf(is4, hi, lo, length), gone)
			}
			return i != gone && !under.tooMuch(diff.Len())
		})
	}
	return diff, enough
}

// each calls fn for every prefix in the trees, until it returns false.
func (t *Table) each(fn func(is4 bool, hi, lo uint64, length int, i lookup.Index) bool) bool {
	return t.four.walk(0, 0, func(e *entry[lookup.Index]) bool { return fn(true, e.key, 0, int(e.length), e.value) }) &&
		t.six.walk(0, 0, func(e *entry[lookup.Index]) bool { return fn(false, e.key, 0, int(e.length), e.value) }) &&
		t.long.walk(0, 0, func(s *entry[*node[lookup.Index]]) bool {
			return s.value.walk(0, 0, func(e *entry[lookup.Index]) bool {
				return fn(false, s.key, e.key, 64+int(e.length), e.value)
			})
		})
}

// outgrown reports whether a shared table differs too much to be one.
func (e *Editor) outgrown() bool { return e.diff != nil && e.next.under.tooMuch(e.diff.Len()) }

// tooMuch reports whether n differences are more than what a table may share that differs from t.
func (t *Table) tooMuch(n int) bool { return n*100 > t.n*t.differTo }

// detach makes the table stand alone.
func (e *Editor) detach() {
	alone := e.next.fresh().edit()
	alone.runs = true
	for p, i := range e.next.All() {
		alone.Insert(p, i)
	}
	alone.settle()
	*e = *alone
	e.next.line = epochs.Add(1)
}

func (e *Editor) insertShared(p netip.Prefix, i lookup.Index) (old lookup.Index, replaced bool) {
	old, replaced = e.next.Get(p)
	// What came back stays among the differences, for Diff: its index may mean another thing by now.
	_, other := e.diff.Get(p)
	if below, ok := e.next.under.Get(p); other || !ok || below != i {
		e.diff.Insert(p, i)
	}
	e.noteShared(p, i, true)
	return old, replaced
}

func (e *Editor) deleteShared(p netip.Prefix) {
	if _, ok := e.next.under.Get(p); ok {
		e.diff.Insert(p, gone)
	} else {
		e.diff.Delete(p)
	}
	e.noteShared(p, 0, false)
}

func (e *Editor) noteShared(p netip.Prefix, i lookup.Index, is bool) {
	hi, _ := words(p.Addr())
	if p.Addr().Is4() {
		e.note(change4{addr: uint32(hi >> 32), length: uint8(p.Bits()), is: is, index: i})
	} else {
		e.note6(change6{hi: hi, length: uint8(min(p.Bits(), 65)), is: is, index: i})
	}
}

// publishShared is Table of a shared table: it makes the lists of the differences anew, where there are
// new ones.
func (e *Editor) publishShared() *Table {
	t := &e.next
	table := *t
	table.diff = e.diff.view()
	under := table.under
	if e.changed4 {
		before := t.over4
		if e.rebuild {
			before = nil
		}
		table.over4, table.small4, table.mid4, table.direct = table.over(true, before, e.parts4()), nil, nil, nil
		if table.over4 == nil {
			table.small4, table.mid4, table.direct, table.version = under.small4, under.mid4, under.direct, under.version
		}
	}
	if e.changed6 {
		before := t.over6
		if e.rebuild6 {
			before = nil
		}
		table.over6, table.small6, table.mid6, table.direct6 = table.over(false, before, e.parts6()), nil, nil, nil
		if table.over6 == nil {
			table.small6, table.mid6, table.direct6, table.version6 = under.small6, under.mid6, under.direct6, under.version6
		}
	}
	if table.over4.crowded() || table.over6.crowded() {
		e.detach()
		return e.table()
	}
	e.next = table
	e.next.diff = &e.diff.next
	e.settled()
	return &table
}
