// Package flat is the engine for the packet path: longest-prefix match by arrays in the
// order of addresses, for single addresses and, faster, for batches.
//
// A [Table] has two parts. Persistent trees (tree.go) hold the prefixes and answer all that the
// contract asks; versions share what is equal, and a change copies one short path. Where a
// family has prefixes enough, arrays compiled from the trees answer Lookup and the batches:
// direct4 by the first 24 bits of an address, direct6 by the first 48 in four steps. Smaller
// tables have sorted lists of ranges instead, one (ranges.go) or one for each /8 (spread.go), so that a hundred
// routes cost kilobytes.
//
// The arrays describe the newest version only, and are changed in place as it is
// published; direct4 tells why older versions stay right nevertheless, and no reader
// waits. A held version loses speed where the newest differs from it, nothing else: readers
// of the packet path take the newest for each burst.
//
// A large table that differs little from another can share it ([Editor.Share], shared.go): it is then that one
// and a small table of differences.
//
// Batches of packed addresses, [Table.LookupBatch4] and [Table.LookupBatch6], run in vectors
// where the machine has AVX-512 or AVX2 (kernel*_amd64.s), and so do single IPv6 addresses, with AVX2
// (find6_amd64.s); the plain Go code beside them does the same, is what other machines run, and is
// what the vectors are tested against.
//
// Limits: a table with an index above 1<<32-3 has no IPv4 arrays, and one with more than 65,534
// different pairs of index and length no IPv6 arrays. Of prefixes shorter than /8,
// a change repaints up to half of the array (0.0.0.0/0 and ::/0 excepted, which cost nothing).
package flat
