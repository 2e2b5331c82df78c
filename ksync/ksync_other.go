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

func unsupported(what string) error {
	return fmt.Errorf("%s on %s: %w (read a captured state instead)", what, runtime.GOOS, errors.ErrUnsupported)
}

// Load needs Linux.
func Load(context.Context, Options) (*fib.FIB, error) { return nil, unsupported("load a namespace") }

// Scan needs Linux.
func Scan(context.Context, Options) (fib.State, Report, error) {
	return fib.State{}, Report{}, unsupported("scan a namespace")
}

// Querier needs Linux.
type Querier struct{}

// OpenQuerier needs Linux.
func OpenQuerier(NetNS) (*Querier, error) { return nil, unsupported("query a kernel") }

// Close does nothing.
func (*Querier) Close() {}

// Report is empty.
func (*Querier) Report() *Report { return new(Report) }

// Get needs Linux.
func (*Querier) Get(fib.Flow, uint32) (Reply, fib.Errno, error) {
	return Reply{}, 0, unsupported("query a kernel")
}

// GetBatch needs Linux.
func (*Querier) GetBatch([]fib.Flow, uint32, func(int, *Reply, fib.Errno)) error {
	return unsupported("query a kernel")
}

// Verify needs Linux.
func Verify(context.Context, VerifyOptions) (VerifyReport, error) {
	return VerifyReport{}, unsupported("verify a namespace")
}

func openMirrorSource(context.Context, *MirrorOptions) (source, error) {
	return nil, unsupported("mirror a namespace")
}

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
