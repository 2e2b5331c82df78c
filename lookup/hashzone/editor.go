package hashzone

import (
	"net/netip"
	"sync/atomic"

	"github.com/fibula-net/fibula/lookup"
)

// epochs numbers the stretches of work between an editor's start or publication and the
// next one. Whatever carries the number of the running stretch was made in it, and so is
// seen by nobody else. It is a number and not a pointer to the editor because a page
// holds no pointers; it is global because tables may be edited from anywhere.
var epochs atomic.Uint64

// Editor is a next version.
type Editor struct {
	next  Table
	epoch uint64
}

var _ lookup.Editor = (*Editor)(nil)

// Len returns the number of prefixes.
func (e *Editor) Len() int { return e.next.Len() }

// Get returns the index stored under exactly p.
func (e *Editor) Get(p netip.Prefix) (lookup.Index, bool) { return e.next.Get(p) }

// Lookup returns the longest prefix that contains dst.
func (e *Editor) Lookup(dst netip.Addr) (lookup.Match, bool) { return e.next.Lookup(dst) }

// Shorter returns the longest prefix that contains dst and is shorter than bits.
func (e *Editor) Shorter(dst netip.Addr, bits int) (lookup.Match, bool) {
	return e.next.Shorter(dst, bits)
}

// own returns the family for this editor to change.
func (e *Editor) own(is4 bool) *family {
	f := &e.next.six
	if is4 {
		f = &e.next.four
	}
	if (*f).epoch != e.epoch {
		owned := **f
		owned.epoch = e.epoch
		*f = &owned
	}
	return *f
}

// Insert stores i under p. It copies at most one page of the zone and one of its
// counter, and the directories above them, where this editor has not copied them yet.
func (e *Editor) Insert(p netip.Prefix, i lookup.Index) (old lookup.Index, replaced bool) {
	if !p.IsValid() {
		return 0, false
	}
	return e.own(p.Addr().Is4()).insert(words(p.Addr()), p.Bits(), i)
}

// Delete removes p, at the cost of Insert.
func (e *Editor) Delete(p netip.Prefix) (old lookup.Index, existed bool) {
	old, existed = e.next.Get(p)
	if existed {
		e.own(p.Addr().Is4()).delete(words(p.Addr()), p.Bits())
	}
	return old, existed
}

// View is Table.
func (e *Editor) View() lookup.Table { return e.Table() }

// Table publishes what the editor holds now, at no cost; the next change pays.
func (e *Editor) Table() lookup.Table {
	table := e.next
	e.epoch = epochs.Add(1)
	return &table
}
