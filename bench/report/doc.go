// Package report draws what benchmarks found: a page that needs nothing beside it,
// with plots as SVG, which are files of their own as well. Start at [Write].
package report
