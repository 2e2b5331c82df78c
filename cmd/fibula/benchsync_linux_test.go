package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/bench/goals"
	"github.com/fibula-net/fibula/bench/lockstep"
	"github.com/fibula-net/fibula/bench/results"
	"github.com/fibula-net/fibula/internal/netnstest"
)

// Everything is measured once, with a small table; what comes out means nothing but that it does,
// and that nothing was wrong.
func TestBenchSync(t *testing.T) {
	netnstest.Require(t)
	t.Setenv(asCommand, "1") // of the processes that it starts
	file := filepath.Join(t.TempDir(), "goals.json")
	code, out, errs := runBench(t, "sync", "--runs", "1", "--table", "synthetic:10000,0", "-j", "--goals", file)
	require.Zero(t, code, errs)
	var r results.Run
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	assert.Empty(t, r.Wrong)
	for _, s := range r.Skips {
		assert.Contains(t, []string{lockstep.BIRD, lockstep.Zebra}, s.What, s.Why)
	}
	for _, load := range []string{lockstep.Start, lockstep.StartCPU, lockstep.Memory, lockstep.Heap, lockstep.AuditCPU, lockstep.PauseIdle,
		lockstep.PauseAudit, lockstep.PauseIdleAll, lockstep.PauseAuditAll, lockstep.Storm, lockstep.DeadLink, lockstep.DeadNexthop, lockstep.Export, lockstep.ByID, lockstep.Withdraw, lockstep.Idle,
		lockstep.Overflows, lockstep.Resyncs, lockstep.Repair1, lockstep.Repair1k, lockstep.Killed} {
		f, ok := r.Find(results.Figure{Suite: "sync", Engine: lockstep.Fibula, Load: load})
		assert.True(t, ok && len(f.Value.Runs) > 0 && f.Unit != "", load)
		if f.Unit == lockstep.Count {
			assert.Zero(t, f.Value.High, load)
		}
	}
	for _, load := range []string{lockstep.Export, lockstep.ByID, lockstep.Withdraw} {
		f, _ := r.Find(results.Figure{Suite: "sync", Engine: lockstep.Raw, Load: load})
		assert.Positive(t, f.Value.Median, load)
	}
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	rows, err := goals.ReadJSON(strings.NewReader(string(b)))
	require.NoError(t, err)
	assert.Equal(t, goals.Sync(&r), rows)
}
