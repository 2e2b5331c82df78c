package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/internal/netnstest"
)

// recorder collects the states of the namespaces in which cases are replayed, if
// CASES_RECORD is set.
type recorder struct {
	mu     sync.Mutex
	states []recordedState
}

var recording recorder

func (r *recorder) on() bool { return os.Getenv("CASES_RECORD") != "" }

func (r *recorder) add(t *testing.T, name string, ns *netnstest.NS) {
	var state, stderr, compact bytes.Buffer
	require.Zero(t, run(context.Background(), []string{"-n", ns.Name(), "state", "save"}, strings.NewReader(""), &state, &stderr), stderr.String())
	require.NoError(t, json.Compact(&compact, state.Bytes()))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.states = append(r.states, recordedState{name, compact.Bytes()})
}

// write puts the states into their file, in order of their names.
func (r *recorder) write(t *testing.T) {
	slices.SortFunc(r.states, func(a, b recordedState) int { return strings.Compare(a.Name, b.Name) })
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	require.NoError(t, err)
	for _, s := range r.states {
		require.NoError(t, json.NewEncoder(z).Encode(s))
	}
	require.NoError(t, z.Close())
	require.NoError(t, os.WriteFile(caseStates, b.Bytes(), 0o644))
}
