package flat

import "net/netip"

// together is how many prefixes go down a tree side by side: as many as a processor can wait for at a time.
const together = 16

// Expect says that these prefixes are about to be read or changed, in that order. It goes the ways to
// many of them at once, so that they wait for the memory together. It is of use where there are more routes
// than the cache holds, and for some hundreds of prefixes at a time: what is read too early is gone
// again. It does not allocate. What it returns means nothing, but a compiler would leave out reads that lead to nothing.
func (t *Table) Expect(prefixes []netip.Prefix) (seen uint64) {
	if t.under != nil {
		t = t.under
	}
	for len(prefixes) > 0 {
		n := min(len(prefixes), together)
		seen += t.expect(prefixes[:n])
		prefixes = prefixes[n:]
	}
	return seen
}

// Expect is [Table.Expect] of what the editor holds.
func (e *Editor) Expect(prefixes []netip.Prefix) (seen uint64) {
	e.settle()
	return e.next.Expect(prefixes)
}

func (t *Table) expect(prefixes []netip.Prefix) (seen uint64) {
	var at [together]descent
	for i := range prefixes[:min(len(prefixes), together)] {
		d := &at[i]
		hi, _ := words(prefixes[i].Addr())
		d.key, d.length = hi, min(prefixes[i].Bits(), 64)
		if d.node = t.six; prefixes[i].Addr().Is4() {
			d.node = t.four
		}
	}
	for more := true; more; {
		more = false
		for i := range at {
			if n := at[i].node; n != nil && !n.keeps(at[i].length) {
				at[i].node, more = n.kids[n.digit(at[i].key)], true
			}
		}
	}
	for i := range at {
		n := at[i].node
		if n == nil {
			continue
		}
		for k := 0; k < len(n.list); k += 4 { // a cache line
			seen += n.list[k].key
		}
	}
	return seen
}

type descent struct {
	node   *node[uint32]
	key    uint64
	length int
}
