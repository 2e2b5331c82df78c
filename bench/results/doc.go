// Package results is what benchmarks found, as data, and its forms: a table for
// people, JSON, and Go's benchmark format for benchstat. Start at [Run].
package results
