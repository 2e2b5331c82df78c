// Package peers asks an engine that is not Go's: DPDK's rte_fib, in a program of our
// own (dpdk/driver.c) that "make bench-peers" builds, on the stream files of package streams.
// Start at Open.
package peers
