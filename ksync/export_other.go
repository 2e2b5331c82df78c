//go:build !linux

package ksync

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/ksync/plan"
)

// Exporter needs Linux.
type Exporter struct{}

// OpenExporter needs Linux.
func OpenExporter(ExportOptions) (*Exporter, error) {
	return nil, fmt.Errorf("export to a kernel on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

// Close does nothing.
func (*Exporter) Close() {}

// Links returns none.
func (*Exporter) Links() []fib.Link { return nil }

// Plan needs Linux.
func (*Exporter) Plan(context.Context, *fib.Snapshot) (*plan.Plan, error) {
	return nil, unsupported("plan an export")
}

// Sync needs Linux.
func (*Exporter) Sync(context.Context, *fib.Snapshot) (ExportReport, error) {
	return ExportReport{}, unsupported("export to a kernel")
}

// Withdraw needs Linux.
func (*Exporter) Withdraw(context.Context) (ExportReport, error) {
	return ExportReport{}, unsupported("export to a kernel")
}

// Export needs Linux.
func Export(context.Context, Source, ExportOptions) error { return unsupported("export to a kernel") }
