// Package rebuild turns a [fib.State] into what makes it in an empty network
// namespace: a list of steps, each a netlink request or a setting, with the words
// of ip or sysctl that do the same. It computes only; who runs the steps has the
// sockets. Start at [Plan].
package rebuild
