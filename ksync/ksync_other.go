//go:build !linux

package ksync

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/fibula-net/fibula/fib"
)

func unsupported(what string) error {
	return fmt.Errorf("%s on %s: %w (read a captured state instead)", what, runtime.GOOS, errors.ErrUnsupported)
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
