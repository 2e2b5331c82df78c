package lookup

import (
	"iter"
	"net/netip"
)

// Change is a prefix that two tables have not alike.
type Change struct {
	Prefix   netip.Prefix
	Old, New Index
	Had, Has bool // whether the older and the newer table have the prefix
}

// DiffTable is a [Table] that can be compared with another version at the cost of what
// differs. It is an optional upgrade, as [BatchTable] is; [Diff] uses it.
type DiffTable interface {
	Table

	// Diff yields what differs from an older table, in any order. An index that both tables have
	// under a prefix counts as different as well where same says so; but of versions that
	// one was made from the other by few changes, same is asked about few prefixes only, those
	// that a change came near. ok is false, and nothing yielded, if older is of another kind or has another past.
	Diff(older Table, same func(Index) bool, yield func(Change) bool) (ok bool)
}

// Diff yields what differs between two tables, as [DiffTable] says, or if they cannot do
// that by going over all of both.
func Diff(older, newer Table, same func(Index) bool) iter.Seq[Change] {
	return func(yield func(Change) bool) {
		if d, is := newer.(DiffTable); is && d.Diff(older, same, yield) {
			return
		}
		DiffAll(older, newer, same)(yield)
	}
}

// DiffAll yields what differs between two tables, in order. It asks same about every index
// that both have under a prefix.
func DiffAll(older, newer Table, same func(Index) bool) iter.Seq[Change] {
	return func(yield func(Change) bool) {
		next, stop := iter.Pull2(older.All())
		defer stop()
		p, i, more := next()
		for q, j := range newer.All() {
			for more && p.Compare(q) < 0 {
				if !yield(Change{Prefix: p, Old: i, Had: true}) {
					return
				}
				p, i, more = next()
			}
			switch {
			case !more || p != q:
				if !yield(Change{Prefix: q, New: j, Has: true}) {
					return
				}
				continue
			case i != j || !same(i):
				if !yield(Change{q, i, j, true, true}) {
					return
				}
			}
			p, i, more = next()
		}
		for ; more; p, i, more = next() {
			if !yield(Change{Prefix: p, Old: i, Had: true}) {
				return
			}
		}
	}
}
