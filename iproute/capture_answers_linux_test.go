package iproute

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/flowgen"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/ksync"
)

// However a namespace is read, live, from a state file or from a capture, the answers are the
// same.
func TestCaptureAnswersAsLive(t *testing.T) {
	seed, flows := randtest.Seed(t), randtest.Fewer(5000)
	for name, build := range map[string]func(*testing.T) *netnstest.NS{"captured": capturedNamespace, "rich": richNamespace} {
		t.Run(name, func(t *testing.T) {
			ns := build(t)
			f, err := ksync.Load(t.Context(), ksync.Options{NetNS: ksync.Named(ns.Name())})
			require.NoError(t, err)
			live := f.Snapshot()
			st, _, err := Open(runCapture(t, ns))
			require.NoError(t, err)
			f = fib.New(fib.Config{})
			_, err = f.Update(func(tx *fib.Txn) error { return tx.Load(st) })
			require.NoError(t, err)
			captured := f.Snapshot()
			g := flowgen.New(live, seed, flowgen.Options{Input: true})
			answered, different := 0, 0
			for range flows {
				flow := g.Next()
				want, got := live.Resolve(flow), captured.Resolve(flow)
				if want.Errno == 0 {
					answered++
				}
				if !assert.Equal(t, want, got, "%+v", flow) {
					if different++; different == 5 {
						t.FailNow()
					}
				}
			}
			assert.Greater(t, answered, flows/10, "most flows have no answer; the test shows little")
		})
	}
}
