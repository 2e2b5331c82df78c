package lookup_test

import (
	"fmt"
	"net/netip"

	"github.com/fibula-net/fibula/lookup/trie"
)

// A table finds the longest match, and falls back from one that did not fit. To change
// it is to publish another; whoever holds the old one sees no difference.
func Example() {
	e := trie.Engine{}.New().Edit()
	e.Insert(netip.MustParsePrefix("0.0.0.0/0"), 0)
	e.Insert(netip.MustParsePrefix("192.0.2.0/24"), 1)
	old := e.Table()
	e.Insert(netip.MustParsePrefix("192.0.2.128/25"), 2)
	table := e.Table()

	dst := netip.MustParseAddr("192.0.2.200")
	m, ok := table.Lookup(dst)
	for ok {
		fmt.Println(m.Prefix(dst), m.Index)
		m, ok = table.Shorter(dst, int(m.Bits))
	}
	m, _ = old.Lookup(dst)
	fmt.Println("before:", m.Prefix(dst), m.Index)
	// Output:
	// 192.0.2.128/25 2
	// 192.0.2.0/24 1
	// 0.0.0.0/0 0
	// before: 192.0.2.0/24 1
}
