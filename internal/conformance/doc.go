// Package conformance joins the numbered statements of docs/kernel-semantics.md
// with the tests that prove them.
//
// A test says which statements it proves:
//
//	conformance.Covers(t, "B10", "B14")       // the kernel was asked
//	conformance.CoversEngine(t, "L7")         // only fibula was
//
// and, where the environment names a file in CONFORMANCE_OUT, notes there that it
// passed and on which kernel. "make conformance" runs all tests that way, keeps
// the results of each kernel in docs/conformance/ and renders docs/conformance.md
// from them.
package conformance
