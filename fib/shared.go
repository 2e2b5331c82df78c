package fib

import "github.com/fibula-net/fibula/lookup/flat"

// shareTables lets large tables that are new, or other than they were, refer to what they have in common with
// another one of their family.
func (tx *Txn) shareTables() {
	for k, ed := range tx.edits {
		if e, ok := ed.(*flat.Editor); ok && e.Large() {
			tx.share(k, e)
		}
	}
}

func (tx *Txn) share(k tableKey, e *flat.Editor) {
	for _, other := range tx.s.sortedTables() {
		if other == k || other.fam != k.fam || !e.Like(tx.s.tables[other].lpm) {
			continue
		}
		if o, ok := tx.edit(other, false).(*flat.Editor); ok && e.Share(o) {
			return
		}
	}
}
