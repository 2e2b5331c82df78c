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
	"github.com/fibula-net/fibula/bench/results"
)

// quick measures next to nothing, of everything.
var quick = []string{"bench", "--runs", "2", "--time", "1ms", "--queries", "512"}

func runBench(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	code = run(t.Context(), append(append([]string{}, quick...), args...), strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

func TestBenchMeasuresWhatItIsAskedFor(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out", "goals.json")
	code, out, errs := runBench(t, "lookup", "rules", "--table", "synthetic:500,200", "-j", "--rules", "none,miss-10,cni-100", "--goals", file)
	require.Zero(t, code, errs)
	var r results.Run
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	assert.Empty(t, r.Wrong)
	assert.Equal(t, 700, r.Tables[0].Len)
	sums := map[string]string{} // equal for all engines on a stream
	engines := map[string]bool{}
	for _, f := range r.Figures {
		if f.Suite == "lookup" {
			key := f.Family + f.Stream
			if sums[key] == "" {
				sums[key] = f.Checksum
			}
			assert.Equal(t, sums[key], f.Checksum, "%s on %s", f.Engine, key)
			engines[f.Engine] = true
		}
		assert.NotEmpty(t, f.Value.Runs)
		assert.NotEmpty(t, f.Unit)
	}
	assert.Len(t, sums, 8)
	for _, e := range []string{"linear", "hashzone", "trie", "bart", "bart-fast", "critbitgo", "cidranger"} {
		assert.True(t, engines[e], e)
	}
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	rows, err := goals.ReadJSON(f)
	require.NoError(t, err)
	assert.NotEmpty(t, rows)
}

func TestBenchReadsFilesAndStates(t *testing.T) {
	list := filepath.Join(t.TempDir(), "list.txt")
	require.NoError(t, os.WriteFile(list, []byte("10.0.0.0/8\n192.0.2.0/24\n"), 0o600))
	code, out, errs := runBench(t, "lookup", "--table", list, "--engines", "trie,linear", "--streams", "zipf", "--format", "go")
	require.Zero(t, code, errs)
	assert.Contains(t, out, "BenchmarkLookup/engine=linear/family=inet/table=list.txt/stream=zipf 1 ")
	code, out, errs = runBench(t, "size", "--state", "testdata/router.json", "--engines", "trie", "-4")
	require.Zero(t, code, errs)
	assert.Contains(t, out, "routes of a FIB")
}

func TestBenchRefuses(t *testing.T) {
	for words, want := range map[string]string{
		"--table synthetic:5000001,0":                       "at most 4000000",
		"--table synthetic:0,0":                             "synthetic:N4,N6",
		"--table no-such-file":                              "no such file",
		"--engines nonsense --table synthetic:10,10":        "nonsense",
		"lookup --streams nonsense --table synthetic:10,10": "nonsense",
		"rules --rules nonsense --table synthetic:10,10":    "nonsense",
		"--format xml":                                      "--format",
		"--runs 0":                                          "--runs",
		"--time 0s":                                         "--time",
		"--queries 0":                                       "--queries",
		"--sizes 0":                                         "--sizes",
		"--table real --state x.json":                       "one of them",
		"nonsense":                                          "nonsense",
		"lookup -6 --table synthetic:10,0":                  "no prefix of the families",
		"lookup --pcap no-such-file --table synthetic:10,0 -j -p": "",
	} {
		code, out, errs := runBench(t, strings.Fields(words)...)
		if want == "" { // told, and the rest is measured
			assert.Contains(t, out, "no such file")
			continue
		}
		assert.NotZero(t, code, words)
		assert.Contains(t, errs, want, words)
	}
}
