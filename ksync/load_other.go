//go:build !linux && !(freebsd && (amd64 || arm64 || riscv64))

package ksync

import (
	"context"

	"github.com/fibula-net/fibula/fib"
)

// Load needs Linux or FreeBSD.
func Load(context.Context, Options) (*fib.FIB, error) { return nil, unsupported("load a namespace") }

// Scan needs Linux or FreeBSD.
func Scan(context.Context, Options) (fib.State, Report, error) {
	return fib.State{}, Report{}, unsupported("scan a namespace")
}

func openMirrorSource(context.Context, *MirrorOptions) (source, error) {
	return nil, unsupported("mirror a namespace")
}
