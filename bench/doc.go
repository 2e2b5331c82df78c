// Package bench has the workloads by which fibula is measured, for "fibula demo"
// and for "make bench": routes of a full table ([Routes]), flows ([Flows],
// [Inside]) and how many answers per second there are for them ([PerSecond]).
//
// Start at bench_test.go, which prints time and heap for a full table in a FIB of
// each engine, and the answers per second. The same with a kernel behind it is in
// the tests of cmd/fibula.
package bench
