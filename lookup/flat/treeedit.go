package flat

import "slices"

// own returns n for the editor of this epoch to change: n itself, or a copy. A nil n is
// a new leaf.
func (n *node[V]) own(epoch uint64, depth uint8, key uint64) *node[V] {
	switch {
	case n == nil:
		return &node[V]{epoch: epoch, depth: depth, first: key & maskOf(int(depth))}
	case n.epoch == epoch:
		return n
	}
	if n.kids == nil {
		return n.copied(epoch)
	}
	c := &inner[V]{node: *n, beside: *n.kids}
	c.epoch, c.shared, c.kids = epoch, true, &c.beside
	return &c.node
}

// copied is a copy of a leaf with a list of its own beside it, that has room for one more.
func (n *node[V]) copied(epoch uint64) *node[V] {
	var c *node[V]
	var list []entry[V]
	switch k := len(n.list) + 1; {
	case k <= 6:
		x := new(leaf6[V])
		c, list = &x.node, x.beside[:]
	case k <= 12:
		x := new(leaf12[V])
		c, list = &x.node, x.beside[:]
	case k <= 18:
		x := new(leaf18[V])
		c, list = &x.node, x.beside[:]
	default:
		x := new(leafMax[V])
		c, list = &x.node, x.beside[:]
	}
	*c = *n
	c.epoch, c.list, c.shared = epoch, list[:copy(list, n.list)], false
	return c
}

// ownList makes the list of a node that is owned its own, with room for one more.
func (n *node[V]) ownList() {
	if n.shared {
		n.list, n.shared = append(make([]entry[V], 0, len(n.list)+1), n.list...), false
	}
}

// put stores v under key/length in a tree and returns the tree's next root. old is
// what was there.
func (n *node[V]) put(epoch uint64, depth uint8, key uint64, length int, v V) (root *node[V], old V, replaced bool) {
	n = n.own(epoch, depth, key)
	if !n.keeps(length) {
		kid := &n.kids[n.digit(key)]
		*kid, old, replaced = (*kid).put(epoch, n.depth+step, key, length, v)
	} else if at, found := search(n.list, key, length); found {
		n.ownList()
		old, replaced = n.list[at].value, true
		n.list[at].value = v
	} else {
		n.ownList()
		n.list = slices.Insert(n.list, at, entry[V]{key, uint8(length), v})
	}
	if !replaced {
		n.n++
	}
	if n.kids == nil && len(n.list) > burstAt && n.depth < 64 {
		n = n.burst()
	}
	return n, old, replaced
}

// burst makes a node of a leaf that is owned.
func (n *node[V]) burst() *node[V] {
	all := n.list
	c := &inner[V]{node: *n}
	c.kids, c.list, c.shared = &c.beside, nil, false
	n = &c.node
	for i := 0; i < len(all); {
		if n.keeps(int(all[i].length)) {
			n.list = append(n.list, all[i])
			i++
			continue
		}
		b, from := n.digit(all[i].key), i
		for i < len(all) && n.digit(all[i].key) == b && !n.keeps(int(all[i].length)) {
			i++
		}
		kid := n.kids[b]
		if kid == nil {
			kid = kid.own(n.epoch, n.depth+step, all[from].key)
			n.kids[b] = kid
		}
		kid.list = append(kid.list, all[from:i]...)
		kid.n = len(kid.list)
	}
	for i, kid := range n.kids {
		if kid != nil && len(kid.list) > burstAt && kid.depth < 64 {
			n.kids[i] = kid.burst()
		}
	}
	return n
}

// remove deletes key/length, which is there, and returns the next root, nil if nothing
// is left.
func (n *node[V]) remove(epoch uint64, key uint64, length int) *node[V] {
	if n.n == 1 {
		return nil
	}
	n = n.own(epoch, n.depth, key)
	n.n--
	if n.keeps(length) {
		n.ownList()
		at, _ := search(n.list, key, length)
		n.list = slices.Delete(n.list, at, at+1)
	} else {
		kid := &n.kids[n.digit(key)]
		*kid = (*kid).remove(epoch, key, length)
	}
	if n.kids != nil && n.n <= mergeAt {
		list := make([]entry[V], 0, n.n+1)
		n.walk(0, 0, func(e *entry[V]) bool { list = append(list, *e); return true })
		// Another node: this one may lie beside the kids that are gone, and would keep them.
		return &node[V]{epoch: epoch, list: list, n: n.n, first: n.first, depth: n.depth}
	}
	return n
}
