package flat

import "math/bits"

// A tree is a persistent burst trie over the first 64 bits of addresses (IPv4 addresses
// left-aligned). A leaf is one sorted list of prefixes; when it outgrows burstAt
// it becomes a node with a child for each value of the next four bits, and keeps
// those prefixes that end within these. A change copies the short lists and the
// child arrays on its path, once for each epoch (see Editor), and nothing else.
type node[V any] struct {
	epoch  uint64
	list   []entry[V] // by key, then by length
	kids   *kids[V]   // nil: a leaf
	n      int        // entries here and below
	first  uint64     // the least key that can be here
	depth  uint8      // bits that all keys here have in common with it: 0, 4 … 64
	shared bool       // list is another version's as well
}

// Steps of four bits keep the copies of a change small; docs/benchmarks.md tells what
// eight cost.
const (
	step = 4
	fan  = 1 << step
)

type kids[V any] [fan]*node[V]

// inner is a node beside its kids.
type inner[V any] struct {
	node[V]
	beside kids[V]
}

// Leaves beside their lists.
type (
	leaf6[V any] struct {
		node[V]
		beside [6]entry[V]
	}
	leaf12[V any] struct {
		node[V]
		beside [12]entry[V]
	}
	leaf18[V any] struct {
		node[V]
		beside [18]entry[V]
	}
	leafMax[V any] struct {
		node[V]
		beside [burstAt + 1]entry[V]
	}
)

type entry[V any] struct {
	key    uint64 // masked to length
	length uint8  // 0–64
	value  V
}

// A leaf bursts when it exceeds burstAt, and a node becomes a leaf again when no more
// than mergeAt are left. The gap keeps one route that flaps from doing either each time.
const (
	burstAt = 24
	mergeAt = 12
)

func maskOf(length int) uint64 { return ^uint64(0) << (64 - length) } // 0 for length 0

// digit is what tells the children of n apart.
func (n *node[V]) digit(key uint64) int { return int(key>>(64-step-n.depth)) & (fan - 1) }

// keeps reports whether a prefix of this length belongs into n's own list.
func (n *node[V]) keeps(length int) bool { return n.kids == nil || length < int(n.depth)+step }

// search returns where key/length is, or belongs, in a list.
func search[V any](list []entry[V], key uint64, length int) (at int, found bool) {
	lo, hi := 0, len(list)
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		if e := &list[mid]; e.key < key || e.key == key && int(e.length) < length {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < len(list) && list[lo].key == key && int(list[lo].length) == length
}

// get returns the entry of exactly key/length.
func (n *node[V]) get(key uint64, length int) *entry[V] {
	for n != nil {
		if n.keeps(length) {
			if at, ok := search(n.list, key, length); ok {
				return &n.list[at]
			}
			return nil
		}
		n = n.kids[n.digit(key)]
	}
	return nil
}

// longest returns the entry of the longest prefix of key that is no longer than limit.
func (n *node[V]) longest(key uint64, limit int) *entry[V] {
	var best *entry[V]
	for n != nil {
		if e := longestIn(n.list, key, limit); e != nil {
			best = e
		}
		if n.kids == nil || limit < int(n.depth)+step {
			break
		}
		n = n.kids[n.digit(key)]
	}
	return best
}

// longestIn searches one list: whatever covers key is, or lies before, the last entry
// that is not greater than key/limit. An entry there that does not cover key bounds
// the length of what does.
func longestIn[V any](list []entry[V], key uint64, limit int) *entry[V] {
	for len(list) > 0 {
		at, found := search(list, key&maskOf(limit), limit)
		if found {
			return &list[at]
		}
		if at == 0 {
			return nil
		}
		e := &list[at-1]
		common := bits.LeadingZeros64(e.key ^ key)
		if common >= int(e.length) {
			return e
		}
		list, limit = list[:at-1], common
	}
	return nil
}

func (n *node[V]) size() int {
	if n == nil {
		return 0
	}
	return n.n
}

// walk yields the entries inside key/length in order, and reports whether it came to
// the end.
func (n *node[V]) walk(key uint64, length int, yield func(*entry[V]) bool) bool {
	return n.between(key, length, key|^maskOf(length), yield)
}

// between yields in order what is not before key/length and begins no later than last.
func (n *node[V]) between(key uint64, length int, last uint64, yield func(*entry[V]) bool) bool {
	if n == nil {
		return true
	}
	at, _ := search(n.list, key, length)
	rest := n.list[at:]
	own := func(upTo uint64) bool {
		for len(rest) > 0 && rest[0].key <= upTo {
			if !yield(&rest[0]) {
				return false
			}
			rest = rest[1:]
		}
		return true
	}
	if n.kids != nil {
		// What lies before or after may be all of n: the path to it bounds both sides.
		lo, hi := 0, fan-1
		if n.holds(key) {
			lo = n.digit(key)
		}
		if n.holds(last) {
			hi = n.digit(last)
		}
		for b := lo; b <= hi; b++ {
			kid := n.kids[b]
			if kid == nil {
				continue
			}
			if !own(min(kid.first, last)) || !kid.between(key, length, last, yield) {
				return false
			}
		}
	}
	return own(last)
}

// lists yields all entries in order, some at a time, which costs a fraction of walk. It reports whether it
// came to the end.
func (n *node[V]) lists(yield func([]entry[V]) bool) bool {
	if n == nil {
		return true
	}
	rest := n.list
	if n.kids != nil {
		for _, kid := range n.kids {
			if kid == nil {
				continue
			}
			at := 0
			for at < len(rest) && rest[at].key <= kid.first {
				at++
			}
			if at > 0 && !yield(rest[:at]) || !kid.lists(yield) {
				return false
			}
			rest = rest[at:]
		}
	}
	return len(rest) == 0 || yield(rest)
}

// holds reports whether key begins as all keys of n do.
func (n *node[V]) holds(key uint64) bool { return (key^n.first)&maskOf(int(n.depth)) == 0 }
