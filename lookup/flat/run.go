package flat

// A run is what an editor enters into an empty tree in ascending order, as dumps and stored tables come.
// Nothing is searched for and nothing moved: the tree is made of it at once when somebody
// asks, and its leaves are pieces of the run.
type run[V any] struct {
	full [][]entry[V] // of runChunk each
	last []entry[V]
}

// runChunk is how many entries are allocated at a time: a chunk lives as long as any leaf that is a
// piece of it.
const (
	runBits  = 12
	runChunk = 1 << runBits
)

func (r *run[V]) len() int { return len(r.full)<<runBits + len(r.last) }

func (r *run[V]) at(i int) *entry[V] {
	if k := i >> runBits; k < len(r.full) {
		return &r.full[k][i&(runChunk-1)]
	}
	return &r.last[i&(runChunk-1)]
}

// add enters key/length. It is not ok, and has done nothing, where that belongs before another key. Prefixes with
// one key may come in any order: a kernel's dump has the longest of them first.
func (r *run[V]) add(key uint64, length int, v V) (old V, replaced, ok bool) {
	n := r.len()
	at := n
	for ; at > 0; at-- {
		e := r.at(at - 1)
		switch {
		case e.key > key:
			return old, false, false
		case e.key == key && int(e.length) == length:
			old, e.value = e.value, v
			return old, true, true
		}
		if e.key < key || int(e.length) < length {
			break
		}
	}
	if len(r.last) == runChunk {
		r.full, r.last = append(r.full, r.last), make([]entry[V], 0, runChunk)
	}
	r.last = append(r.last, entry[V]{key, uint8(length), v})
	for ; n > at; n-- {
		*r.at(n), *r.at(n - 1) = *r.at(n - 1), *r.at(n)
	}
	return old, false, true
}

// build makes a tree of the run, which is empty then. It costs a look at each node, not at each entry.
func (r *run[V]) build(epoch uint64) *node[V] {
	if r.len() == 0 {
		return nil
	}
	r.last = append(make([]entry[V], 0, len(r.last)), r.last...)
	b := builder[V]{run: r, epoch: epoch}
	root := b.node(0, r.len(), 0)
	*r = run[V]{}
	return root
}

// builder makes nodes of a run.
type builder[V any] struct {
	*run[V]
	epoch uint64
	spare []node[V] // leaves are allocated some at a time
}

// spareLeaves is how many, and so how many live as long as any of them.
const spareLeaves = 64

// node makes the node at depth of the entries from ≤ i < to, of which there are some.
func (b *builder[V]) node(from, to int, depth uint8) *node[V] {
	head := node[V]{epoch: b.epoch, n: to - from, depth: depth, first: b.at(from).key & maskOf(int(depth))}
	if to-from <= burstAt || depth == 64 {
		if len(b.spare) == 0 {
			b.spare = make([]node[V], min(spareLeaves, b.len()/burstAt+1))
		}
		n := &b.spare[0]
		b.spare = b.spare[1:]
		*n = head
		n.list, n.shared = b.piece(from, to)
		return n
	}
	c := &inner[V]{node: head}
	n := &c.node
	n.kids = &c.beside
	for from < to {
		digit := n.digit(b.at(from).key)
		for from < to && n.digit(b.at(from).key) == digit && n.keeps(int(b.at(from).length)) {
			n.list = append(n.list, *b.at(from)) // it lies before what it contains
			from++
		}
		if end := b.end(from, to, n, digit); end > from {
			n.kids[digit] = b.node(from, end, depth+step)
			from = end
		}
	}
	return n
}

// end is where the entries of a digit of n end that begin at from.
func (b *builder[V]) end(from, to int, n *node[V], digit int) int {
	if from == to || n.digit(b.at(from).key) != digit {
		return from
	}
	in, out := from, to
	for out-in > 1 {
		if mid := int(uint(in+out) / 2); n.digit(b.at(mid).key) == digit {
			in = mid
		} else {
			out = mid
		}
	}
	return out
}

// piece is a list of entries, of the run itself where they lie side by side.
func (b *builder[V]) piece(from, to int) (list []entry[V], shared bool) {
	if k := from >> runBits; k == (to-1)>>runBits {
		chunk := b.last
		if k < len(b.full) {
			chunk = b.full[k]
		}
		i, j := from&(runChunk-1), (to-1)&(runChunk-1)+1
		return chunk[i:j:j], true
	}
	for i := from; i < to; i++ {
		list = append(list, *b.at(i))
	}
	return list, false
}
