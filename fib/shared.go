package fib

import "github.com/fibula-net/fibula/lookup/flat"

// shareTables lets large tables that are new, or other than they were, refer to what they have in common with
// another one of their family. One that found none to share with is not compared again before it has grown or
// shrunk: later tables are compared with it.
func (tx *Txn) shareTables() {
	for _, one := range tx.edits.list {
		k := one.key
		if e, ok := one.ed.(*flat.Editor); ok && e.Large() && tx.alone[k] != e.Len() && !tx.share(k, e) {
			if tx.alone == nil {
				tx.alone = map[tableKey]int{}
			}
			tx.alone[k] = e.Len()
		}
	}
}

// looks bounds the tables of which every prefix is compared with those of another one.
const looks = 4

func (tx *Txn) share(k tableKey, e *flat.Editor) bool {
	n := 0
	for _, other := range tx.s.sortedTables() {
		if other == k || other.fam != k.fam || !e.Like(tx.s.tables[other].lpm) {
			continue
		}
		if o, ok := tx.edit(other, false).(*flat.Editor); ok && e.Share(o) {
			return true
		}
		if n++; n == looks {
			break
		}
	}
	return false
}
