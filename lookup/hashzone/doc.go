// Package hashzone is an engine of package lookup with one hash table, a zone, for each
// prefix length: longest-prefix match as in Linux's old fn_hash, where a lookup masks
// the address to one length after the other, from the longest, until a zone knows it.
//
// Two things make that fit for a full table:
//
//   - Zones are not probed blindly. A head is a short block that holds prefixes (an
//     IPv4 /8 or /16, an IPv6 /16, /32 or /64), and has a bitmap of the lengths that
//     occur inside it. A lookup first goes down the heads of its address, then up
//     through the zones that they name. See family.go.
//   - Versions share what is equal. A zone is an extendible hash table of small pages,
//     so a change copies one page and the directory above it, and growth splits one
//     page at a time. No change costs in proportion to the zone, and readers of published
//     versions never notice. See zone.go.
//
// Measured on a full table with addresses inside random prefixes, the bitmaps leave
// 1.6 zones to probe of the 25 lengths that IPv4 has there, and 1.4 of 46 for IPv6. Without
// heads it would be 10 and 21; one bitmap per /24 or /28 of IPv6 leaves 2.6 and 1.5, one
// per /44 leaves 4. More levels of heads save less than they cost. A binary search over
// the lengths with markers was not taken: falling back to a shorter match is then no
// longer the same simple step, and markers are hard to remove.
//
// Heads are hash tables too. Everything is found by hash, so All and Covered, which
// promise an order, must collect and sort; they are the price of this engine.
package hashzone
