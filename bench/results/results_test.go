package results

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/bench/measure"
)

func sample() *Run {
	r := &Run{Machine: Here(), Settings: Settings{Core: 1, CPUTime: true, Runs: 2, Each: 0.1, Queries: 8, Seed: 1}}
	r.Tables = []Input{{Name: "real", Len: 5, Origin: "test"}}
	r.Add(Figure{Suite: "lookup", Engine: "trie", Family: "inet", Stream: "uniform", Unit: NsLookup, Value: measure.Of([]float64{10, 20})})
	r.Add(Figure{Suite: "lookup", Engine: "hashzone", Family: "inet", Stream: "zipf", Unit: NsLookup, Value: measure.Of([]float64{5})})
	r.Add(Figure{Suite: "size", Engine: "trie", Table: "real/10", Routes: 1500, Unit: NsLookup, Value: measure.Of([]float64{10})})
	r.Add(Figure{Suite: "memory", Engine: "trie", Family: "inet", Unit: BytesEach, Value: measure.Of([]float64{22.5})})
	r.Skip("kernel", "no root")
	r.Skip("kernel", "no root")
	return r
}

func TestText(t *testing.T) {
	var b strings.Builder
	r := sample()
	r.Disagree("%d answers", 3)
	require.NoError(t, r.WriteText(&b))
	for _, want := range []string{"core 1, processor time", "table real: 5 prefixes, test", "inet uniform", "75.0 ±33", "1.5k", "22.5",
		"not measured: kernel: no root", "WRONG: 3 answers"} {
		assert.Contains(t, b.String(), want)
	}
	assert.Equal(t, 1, strings.Count(b.String(), "no root"))
}

func TestGoFormat(t *testing.T) {
	var b strings.Builder
	require.NoError(t, sample().WriteGo(&b))
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	require.Len(t, lines, 3+5)
	valid := regexp.MustCompile(`^Benchmark[A-Z]\S* 1 [0-9.e+-]+ \S+$`)
	for _, l := range lines[3:] {
		assert.Regexp(t, valid, l)
	}
	assert.Equal(t, "BenchmarkLookup/engine=trie/family=inet/stream=uniform 1 10 ns/op", lines[3])
	assert.Contains(t, lines[6], "table=real:10")
}

func TestJSON(t *testing.T) {
	var b bytes.Buffer
	r := sample()
	require.NoError(t, r.WriteJSON(&b, " "))
	var back Run
	require.NoError(t, json.Unmarshal(b.Bytes(), &back))
	assert.Equal(t, *r, back)
}

func TestFind(t *testing.T) {
	r := sample()
	f, ok := r.Find(Figure{Suite: "lookup", Engine: "hashzone"})
	require.True(t, ok)
	assert.Equal(t, "zipf", f.Stream)
	_, ok = r.Find(Figure{Suite: "lookup", Engine: "flat"})
	assert.False(t, ok)
}
