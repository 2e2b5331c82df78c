// Package deps holds no code: its test keeps the direction of imports that
// docs/design.md draws, so that an embedder of fib gets pure computation that
// builds on every system, and nothing else.
package deps
