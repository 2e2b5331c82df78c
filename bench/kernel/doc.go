// Package kernel puts a table and rules into a kernel, in a network namespace of its
// own that goes with the process, and asks it: through netlink, and through
// bpf_fib_lookup, which is what packets cost. Linux, and root. Start at New.
package kernel
