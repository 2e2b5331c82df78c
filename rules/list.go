package rules

import (
	"cmp"
	"iter"
	"slices"
)

// List is the rule list of one family in the order in which a kernel walks it:
// by priority, and among equal priorities by age (A1).
//
// A List is immutable: Add, Delete, Bind and Rebind return another that shares what
// is equal. It is safe for concurrent use. A nil *List and the zero value are empty.
type List struct {
	family  Family
	rules   sequence // sorted by order; entries are never changed once here
	age     uint32   // of the rule that is added next
	dissect int      // rules that require dissection, for which every IPv4 input lookup asks
	realms  int      // rules with realms
	index   *index   // nil: too short for one
}

// Entry is a rule in a list, with the links to which its names are bound.
type Entry struct {
	Rule
	IifIndex, OifIndex   int32 // 0: no such link, or no name
	IifMaster, OifMaster bool  // the link is an L3 master (L16)

	open bool // no selector: every flow matches

	// order is the priority and, below it, an age that grows from rule to rule (A1).
	// Unlike the position it stays when other rules come and go.
	order uint64
}

// IifDetached reports whether the rule names an input interface that does not
// exist, so that the selector never matches (A18).
func (e *Entry) IifDetached() bool { return e.Iif != "" && e.IifIndex == 0 }

// OifDetached is IifDetached for the output interface (A19).
func (e *Entry) OifDetached() bool { return e.Oif != "" && e.OifIndex == 0 }

// Initial returns the rules of a new network namespace (A3), protocol kernel:
// 0 local, 32766 main and, for IPv4, 32767 default.
func Initial(f Family) *List {
	initial := []Rule{
		{Family: f, Priority: 0, Action: ActLookup, Table: TableLocal, Protocol: protocolKernel},
		{Family: f, Priority: 32766, Action: ActLookup, Table: TableMain, Protocol: protocolKernel},
		{Family: f, Priority: 32767, Action: ActLookup, Table: TableDefault, Protocol: protocolKernel},
	}
	if f == Inet6 {
		initial = initial[:2]
	}
	return Load(f, initial)
}

// Load returns the list that a dump describes. Rules of other families are
// left out; the rest is normalised and sorted by priority, equal priorities in
// the order given. Nothing is checked: a kernel has accepted these rules.
// All names are detached until Bind. The slice is not kept. O(n log n).
func Load(f Family, rs []Rule) *List {
	entries := make([]*Entry, 0, len(rs))
	for _, r := range rs {
		if r.Family == f {
			entries = append(entries, &Entry{Rule: r.normal()})
		}
	}
	slices.SortStableFunc(entries, func(a, b *Entry) int { return cmp.Compare(a.Priority, b.Priority) })
	return made(f, entries)
}

// Family returns the family of the list; 0 for an empty list made without one.
func (l *List) Family() Family {
	if l == nil {
		return 0
	}
	return l.family
}

// Len returns the number of rules.
func (l *List) Len() int {
	if l == nil {
		return 0
	}
	return l.rules.n
}

// At returns rule i, which the caller must not change. It panics unless
// 0 ≤ i < Len.
func (l *List) At(i int) *Entry { return l.rules.at(i) }

// All yields position and rule in list order, which is dump order.
func (l *List) All() iter.Seq2[int, Rule] {
	return func(yield func(int, Rule) bool) {
		if l == nil {
			return
		}
		for i, e := range l.rules.all(0) {
			if !yield(i, e.Rule) {
				return
			}
		}
	}
}

// Equal reports whether both lists hold the same rules in the same order.
// Bindings are not compared.
func (l *List) Equal(o *List) bool {
	if l.Len() != o.Len() {
		return false
	}
	for i := range l.Len() {
		if l.At(i).Rule != o.At(i).Rule {
			return false
		}
	}
	return true
}

// IsInitial reports whether the list is as in a new namespace of its family.
func (l *List) IsInitial() bool { return l.Family() != 0 && l.Equal(Initial(l.family)) }

// IsPartOfInitial reports whether the list has initial rules only, each once, if not all of them.
func (l *List) IsPartOfInitial() bool {
	i := 0
	for _, r := range Initial(l.family).All() {
		if i < l.Len() && l.At(i).Rule == r {
			i++
		}
	}
	return i == l.Len()
}

// RequiresDissection reports whether IPv4 input lookups carry protocol and
// ports (0.3): whether any rule requires it. O(1).
func (l *List) RequiresDissection() bool { return l != nil && l.dissect > 0 }

// HasRealms reports whether any rule has realms (A27). O(1).
func (l *List) HasRealms() bool { return l != nil && l.realms > 0 }

// Target returns the position at which the walk goes on when rule i, a goto,
// matches: the first rule with the priority it names (A13). It is false if
// there is none, and the rule then does nothing, and if rule i is no goto. The
// target is always behind i, so that no walk is endless. O(log n).
func (l *List) Target(i int) (j int, ok bool) { return l.target(l.At(i)) }

func (l *List) target(e *Entry) (j int, ok bool) {
	if e.Action != ActGoto || e.Goto <= e.Priority {
		return 0, false
	}
	j = l.lowerBound(e.Goto)
	return j, j < l.Len() && l.At(j).Priority == e.Goto
}

// lowerBound returns the position of the first rule with priority ≥ p.
func (l *List) lowerBound(p uint32) int {
	if l == nil {
		return 0
	}
	return l.rules.position(two(p, 0))
}

// upperBound returns the position of the first rule with priority > p.
func (l *List) upperBound(p uint32) int {
	if p == 1<<32-1 {
		return l.Len()
	}
	return l.lowerBound(p + 1)
}
