package flat

import "github.com/fibula-net/fibula/lookup"

// Rewrite gives every IPv4 prefix, whose index is i, the index that fn(i, n) returns, and deletes it where that is
// not kept; n are how many in a row have i. It tells how many changed. It goes over the tree once, so that it is the
// way to change a large part of a table; by Insert and Delete each prefix costs a way down. What goes
// altogether allocates nothing. It is false, and nothing has changed, where the table shares another's prefixes.
//
// About is how many will change, as far as is known: from half of the table on, which changes these are need not
// be kept, since the arrays are made anew.
func (e *Editor) Rewrite(about int, fn func(i lookup.Index, n int) (to lookup.Index, kept bool)) (changed int, ok bool) {
	e.settle()
	t := &e.next
	if t.under != nil {
		return 0, false
	}
	before := t.four.size()
	if about > before/2 && t.direct != nil {
		e.changes, e.rebuild = nil, true
	}
	t.four = rewriteTree(t.four, e.epoch, func(run []entry[lookup.Index]) (to lookup.Index, kept bool) {
		old := run[0].value
		if to, kept = fn(old, len(run)); !kept {
			to = 0
		} else if to == old {
			return to, kept
		}
		changed += len(run)
		if e.changed4 = true; e.rebuild && run[0].length > 0 { // the default route comes first
			return to, kept
		}
		for i := range run {
			e.note(change4{uint32(run[i].key >> 32), run[i].length, true, kept, old, to})
		}
		return to, kept
	})
	t.n += t.four.size() - before
	return changed, true
}

// rewriting decides about entries that lie side by side and have the same value.
type rewriting func(run []entry[lookup.Index]) (to lookup.Index, kept bool)

// rewriteTree returns the root of a tree in which fn has decided about each entry: n itself, if
// nothing changed.
func rewriteTree(n *node[lookup.Index], epoch uint64, fn rewriting) *node[lookup.Index] {
	if n == nil {
		return nil
	}
	list, own := rewritten(n.list, fn)
	changed, size := own, len(list)
	var kids kids[lookup.Index]
	if n.kids != nil {
		for i, kid := range n.kids {
			kids[i] = rewriteTree(kid, epoch, fn)
			changed = changed || kids[i] != kid
			size += kids[i].size()
		}
	}
	switch {
	case !changed:
		return n
	case size == 0:
		return nil
	case n.kids == nil || size <= mergeAt:
		if n.kids != nil {
			left := kids // a copy, so that kids need no heap
			all := &node[lookup.Index]{list: list, kids: &left, depth: n.depth, first: n.first}
			list = make([]entry[lookup.Index], 0, size+1)
			all.walk(0, 0, func(e *entry[lookup.Index]) bool { list = append(list, *e); return true })
		}
		return &node[lookup.Index]{epoch: epoch, list: list, n: size, first: n.first, depth: n.depth}
	}
	c := &inner[lookup.Index]{node: *n, beside: kids}
	c.epoch, c.list, c.shared, c.kids, c.n = epoch, list, !own, &c.beside, size
	return &c.node
}

// rewritten is list itself as long as fn changes nothing, then a copy of what is kept. It allocates nothing
// if that is nothing.
func rewritten(list []entry[lookup.Index], fn rewriting) (out []entry[lookup.Index], changed bool) {
	for i := 0; i < len(list); {
		n, old := 1, list[i].value
		for i+n < len(list) && list[i+n].value == old {
			n++
		}
		run := list[i : i+n]
		v, kept := fn(run)
		if !changed && (!kept || v != old) {
			if changed = true; i > 0 {
				out = append(make([]entry[lookup.Index], 0, len(list)+1), list[:i]...)
			}
		}
		if changed && kept {
			if out == nil {
				out = make([]entry[lookup.Index], 0, len(list)+1)
			}
			for j := range run {
				out = append(out, entry[lookup.Index]{run[j].key, run[j].length, v})
			}
		}
		i += n
	}
	if !changed {
		return list, false
	}
	return out, true
}
