// Package alternatives has ways of longest-prefix match that were measured beside
// lookup/flat and not taken, so that anyone can measure them again: [Ranges], [Rank] and
// [Poptrie]. They are built once and never changed; docs/benchmarks.md tells what came out.
package alternatives
