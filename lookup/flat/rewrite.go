package flat

import "github.com/fibula-net/fibula/lookup"

// Rewrite gives every IPv4 prefix, whose index is i, the index that fn(i) returns, and deletes it where that is
// not kept. It tells how many changed. It goes over the tree once, so that it is the way to change a large
// part of a table; by Insert and Delete each prefix costs a way down. It is false, and nothing has
// changed, where the table shares another's prefixes.
func (e *Editor) Rewrite(fn func(i lookup.Index) (to lookup.Index, kept bool)) (changed int, ok bool) {
	e.settle()
	t := &e.next
	if t.under != nil {
		return 0, false
	}
	before := t.four.size()
	t.four = rewriteTree(t.four, e.epoch, func(x *entry[lookup.Index]) (to lookup.Index, kept bool) {
		to, kept = fn(x.value)
		if !kept {
			to = 0
		}
		if !kept || to != x.value {
			changed++
			e.note(change4{uint32(x.key >> 32), x.length, true, kept, x.value, to})
		}
		return to, kept
	})
	t.n += t.four.size() - before
	return changed, true
}

// rewriteTree returns the root of a tree in which fn has decided about each entry: n itself, if
// nothing changed.
func rewriteTree(n *node[lookup.Index], epoch uint64, fn func(*entry[lookup.Index]) (lookup.Index, bool)) *node[lookup.Index] {
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
			all := &node[lookup.Index]{list: list, kids: &kids, depth: n.depth, first: n.first}
			list = make([]entry[lookup.Index], 0, size+1)
			all.walk(0, 0, func(e *entry[lookup.Index]) bool { list = append(list, *e); return true })
		}
		return &node[lookup.Index]{epoch: epoch, list: list, n: size, first: n.first, depth: n.depth}
	}
	c := &inner[lookup.Index]{node: *n, beside: kids}
	c.epoch, c.list, c.shared, c.kids, c.n = epoch, list, !own, &c.beside, size
	return &c.node
}

// rewritten is list itself as long as fn changes nothing, then a copy.
func rewritten(list []entry[lookup.Index], fn func(*entry[lookup.Index]) (lookup.Index, bool)) (out []entry[lookup.Index], changed bool) {
	for i := range list {
		v, kept := fn(&list[i])
		switch {
		case !changed && kept && v == list[i].value:
			continue
		case !changed:
			changed, out = true, append(make([]entry[lookup.Index], 0, len(list)+1), list[:i]...)
		}
		if kept {
			out = append(out, entry[lookup.Index]{list[i].key, list[i].length, v})
		}
	}
	if !changed {
		return list, false
	}
	return out, true
}
