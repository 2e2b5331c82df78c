package fib

import "github.com/fibula-net/fibula/lookup"

// rewriter is an editor that can change every IPv4 prefix in one pass, as that of flat.
type rewriter interface {
	lookup.Editor
	Rewrite(about int, fn func(lookup.Index, int) (to lookup.Index, kept bool)) (changed int, ok bool)
}

// rewriteAtOnce is rewrite for one IPv4 table. It is false, and has done nothing, where the table must be
// changed prefix by prefix.
func (tx *Txn) rewriteAtOnce(k tableKey, hits map[uint32]bool, fn func([]*alias) []*alias) bool {
	own := tx.edits.of(k)
	ed := own
	if ed == nil {
		ed = tx.s.tables[k].version().Edit()
	}
	r, ok := ed.(rewriter)
	if !ok {
		return false
	}
	type change struct {
		to    lookup.Index
		known bool
		kept  bool
		n     int32 // prefixes
	}
	about := 0 // in all tables
	for i, n := range tx.in.leafRefs {
		if l := tx.s.leaves.at(uint32(i)); n > 0 && l != nil && l.hasAny(hits) {
			about += int(n)
		}
	}
	changes := make([]change, len(tx.s.leaves)*leafPageSize)
	changed, ok := r.Rewrite(about, func(i lookup.Index, n int) (lookup.Index, bool) {
		c := &changes[i]
		if !c.known {
			*c = change{to: i, known: true, kept: true}
			if n := tx.s.leaves.at(i).rewrite(hits, fn); n != nil {
				if c.kept = !n.empty(); c.kept {
					c.to = tx.in.leaf(&tx.s.leaves, n)
				}
			}
		}
		c.n += int32(n)
		return c.to, c.kept
	})
	if !ok || changed == 0 {
		return ok
	}
	for i := range changes {
		c := &changes[i]
		if !c.known || c.kept && c.to == lookup.Index(i) {
			continue
		}
		before, after := tx.s.leaves.at(uint32(i)).len(), 0
		if c.kept {
			after = tx.s.leaves.at(c.to).len()
			tx.count(c.to, c.n)
		}
		tx.count(uint32(i), -c.n)
		tx.res.RoutesRemoved += (before - after) * int(c.n)
	}
	if own == nil {
		tx.register(k, ed)
	}
	return true
}
