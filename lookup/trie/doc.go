// Package trie is the default engine of package lookup: a multibit trie with a stride
// of 8 bits and popcount-compressed nodes, as github.com/gaissmai/bart implements it.
//
// It takes few bytes per prefix and copes with any mix of lengths. A reader pays at
// most one node per byte of the address. What this package adds is in editor.go: when
// to copy the path of each change, and when to copy the whole trie once instead.
package trie
