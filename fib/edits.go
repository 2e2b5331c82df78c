package fib

import (
	"net/netip"

	"github.com/fibula-net/fibula/lookup"
)

// edits are the tables that a transaction changes, in the order in which it came to them.
type edits struct {
	list  []tableEdit
	first [1]tableEdit // of most transactions all
	byKey map[tableKey]lookup.Editor
}

type tableEdit struct {
	key tableKey
	ed  lookup.Editor
}

// searched is how many edits are compared one by one.
const searched = 8

// of is the editor of a table, or nil.
func (e *edits) of(k tableKey) lookup.Editor {
	if e.byKey != nil {
		return e.byKey[k]
	}
	for i := range e.list {
		if e.list[i].key == k {
			return e.list[i].ed
		}
	}
	return nil
}

func (e *edits) add(k tableKey, ed lookup.Editor) {
	if e.list == nil {
		e.list = e.first[:0]
	}
	e.list = append(e.list, tableEdit{k, ed})
	switch {
	case e.byKey != nil:
		e.byKey[k] = ed
	case len(e.list) > searched:
		e.byKey = map[tableKey]lookup.Editor{}
		for _, x := range e.list {
			e.byKey[x.key] = x.ed
		}
	}
}

// scratch is room that one transaction after the other uses.
type scratch struct {
	refs []refChange
	zero []uint32
	legs []Nexthop

	prefixes []netip.Prefix
	seen     uint64 // see flat.Table.Expect
}

// scratchKept bounds what a large transaction leaves behind.
const scratchKept = 1 << 16

// begin makes in that of tx, until its end.
func (in *intern) begin(tx *Txn) {
	in.epoch++
	in.fresh = in.fresh[:0]
	tx.unlike()
	tx.refs, tx.zero, tx.legs = in.scratch.refs[:0], in.scratch.zero[:0], in.scratch.legs[:0]
}

func (in *intern) end(tx *Txn) {
	if cap(tx.refs) <= scratchKept && cap(tx.legs) <= scratchKept {
		in.scratch.refs, in.scratch.zero, in.scratch.legs = tx.refs, tx.zero, tx.legs
	}
	tx.refs, tx.zero, tx.legs = nil, nil, nil
}
