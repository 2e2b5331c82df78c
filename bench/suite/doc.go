// Package suite runs the benchmarks: each suite fills engines with the same table,
// compares the checksums of their answers to the same streams, and measures them in
// turn. Start at [New].
package suite
