// Package rtsend enters many routes or rules into a kernel, or takes them out, fast: many messages in a
// system call, one confirmation for all of them. Linux only. Start at Routes.
package rtsend
