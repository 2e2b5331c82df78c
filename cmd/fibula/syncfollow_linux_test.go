package main

import (
	"context"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Who waits for a reload is not waited for when the export has ended by itself.
func TestReloadEndsWithTheExport(t *testing.T) {
	r := &reloading{changed: make(chan struct{}, 1)}
	failed := make(chan error, 1)
	stop := onReload(context.Background(), func(ctx context.Context) { failed <- r.again(ctx) })
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGHUP))
	<-r.changed
	stop()
	require.ErrorIs(t, <-failed, context.Canceled)
}
