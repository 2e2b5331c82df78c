// Package streams makes the queries by which engines are compared: the same
// addresses, in the same order, for every one of them. Start at [Make].
//
// A stream is a power of two of destinations, far more than fit into a cache, made
// from a seed and told apart by a checksum. [WriteFile] stores one for a program in
// another language.
package streams
