// Package flowgen makes flows that aim at the boundaries of a FIB: the first, the
// last and the neighbouring addresses of its prefixes, selector values of its
// rules on and one off, its links as iif and oif, its addresses as sources, and
// the destinations that are special everywhere. Start at [New].
package flowgen
