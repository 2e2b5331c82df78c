package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/bench/goals"
	"github.com/fibula-net/fibula/bench/measure"
	"github.com/fibula-net/fibula/bench/report"
	"github.com/fibula-net/fibula/bench/results"
)

func TestPage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "plots")
	run := &results.Run{Machine: results.Here()}
	run.Add(results.Figure{Suite: "lookup", Engine: "trie", Family: "inet", Stream: "zipf", Unit: results.NsLookup, Value: measure.Of([]float64{50})})
	run.Add(results.Figure{Suite: "build", Engine: "flat", Family: "inet", Unit: results.Seconds, Value: measure.Of([]float64{0.5})})
	require.NoError(t, report.Write(dir, run))
	file := filepath.Join(dir, "goals.json")
	f, err := os.Create(file)
	require.NoError(t, err)
	require.NoError(t, goals.WriteJSON(f, goals.Rows(run)))
	require.NoError(t, f.Close())
	var b strings.Builder
	require.NoError(t, write(&b, "benchmarks", dir, file, "notes.md"))
	for _, want := range []string{"![throughput-inet](plots/throughput-inet.svg)", "| ≤ 0.25 s | 0.5 (0.5 – 0.5) | no |", "not measured: no", "## What the figures say", "20.0 ±0"} {
		assert.Contains(t, b.String(), want)
	}
	run.Disagree("one answer")
	require.NoError(t, report.Write(dir, run))
	require.ErrorContains(t, write(&b, "benchmarks", dir, file, "notes.md"), "one answer")
}

// TestTheCommittedPagesAreFresh: no figure or note of a page is there without its source.
func TestTheCommittedPagesAreFresh(t *testing.T) {
	for _, x := range []struct{ page, dir, goals, notes, file, target string }{
		{"benchmarks", "benchmarks", "goals.json", "notes.md", "benchmarks.md", "make benchmarks-page"},
		{"lockstep", "lockstep", "sync-goals.json", "lockstep-notes.md", "lockstep-figures.md", "make lockstep-page"},
	} {
		dir := filepath.Join("../../docs", x.dir)
		var b strings.Builder
		require.NoError(t, write(&b, x.page, dir, filepath.Join(dir, x.goals), x.notes))
		page, err := os.ReadFile(filepath.Join("../../docs", x.file))
		require.NoError(t, err)
		assert.Equal(t, b.String(), string(page), x.target)
	}
}
