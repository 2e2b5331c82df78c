// Package lookup is the contract of longest-prefix match: what a routing table
// must answer about prefixes, whatever structure lies underneath.
//
// It knows prefixes and small integers and nothing of routes. A table maps a
// prefix to an [Index]; package fib keeps, at that index, the routes configured
// under the prefix. When none of them fits a flow (wrong TOS, dead nexthop …),
// the walk falls back with [Table.Shorter] to the next shorter match.
//
// Start with [Table], what readers hold, then [Editor], how a writer derives the
// next version, then [Engine], how the two begin. The engines:
//
//   - linear: the golden model, a scan that can be checked by eye
//   - trie: a popcount-compressed multibit trie; small
//   - hashzone: one hash table per prefix length, searched from the longest
//   - flat: trees, and for large tables arrays compiled from them; searched in batches
//     too, and the default
//
// Every engine passes the suite in package lookuptest, and so agrees with linear.
//
// # Addresses and prefixes
//
// These rules hold for every method of every engine:
//
//   - IPv4 and IPv6 are apart: 0.0.0.0/0 covers no IPv6 address and ::/0 no IPv4 one.
//   - A 4-in-6 address (::ffff:192.0.2.1) is an IPv6 address and is not unmapped. It
//     matches IPv6 prefixes only, ::ffff:0:0/96 among them.
//   - The zone of an address is ignored: fe80::1%eth0 is looked up as fe80::1.
//   - A prefix given with host bits set means its masked form: 10.1.2.3/8 is 10.0.0.0/8.
//   - An invalid address or prefix matches nothing, covers nothing and is never stored.
//
// # Order
//
// Iterators run in the order of [netip.Prefix.Compare]: IPv4 before IPv6, ascending
// by address, and of two prefixes with the same address the shorter first.
package lookup
