package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// question is a query and the answer that a kernel gave to it.
type question struct {
	Name   string `json:"name"`
	Query  string `json:"query"`
	Expect struct {
		JSON          map[string]any `json:"json"`
		Fibmatch      map[string]any `json:"fibmatch"`
		Errno         string         `json:"errno"`
		FibmatchErrno *string        `json:"fibmatch_errno"`
		NL            []string       `json:"nl"`
	} `json:"expect"`
}

// caseStates holds what the kernel showed of each case's namespace when it was
// replayed: lines {"name", "state"}, the state as a state file. To record it anew:
// CASES_RECORD=1 go test -run '^TestCases$' ./cmd/fibula.
const caseStates = "testdata/cases-states.jsonl.gz"

// recordedState is one line of it.
type recordedState struct {
	Name  string          `json:"name"`
	State json.RawMessage `json:"state"`
}

// TestRecordedCases answers the acceptance cases from their recorded states: what
// TestCases does, wherever there is no such kernel.
func TestRecordedCases(t *testing.T) {
	states := readStates(t)
	file := filepath.Join(t.TempDir(), "state.json")
	for _, q := range readCases[question](t, caseFiles...) {
		if q.Query == "" {
			continue
		}
		t.Run(q.Name, func(t *testing.T) {
			state := states[q.Name]
			require.NotNil(t, state, "%s lacks the case: record it anew", caseStates)
			require.NoError(t, os.WriteFile(file, state, 0o600))
			if failure := q.compare([]string{"--state", file}, nil); failure != "" {
				t.Error(failure)
			}
		})
	}
}

func readStates(t *testing.T) map[string]json.RawMessage {
	f, err := os.Open(caseStates)
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	out := map[string]json.RawMessage{}
	for d := json.NewDecoder(z); ; {
		var r recordedState
		if err := d.Decode(&r); err == io.EOF {
			return out
		} else {
			require.NoError(t, err)
		}
		out[r.Name] = r.State
	}
}

// compare asks fibula with a source given by flags, plain and with fibmatch, and
// returns what was not as expected, or "". After each answer that was as expected it
// calls then, if that is not nil.
func (q *question) compare(source []string, then func(fibmatch bool, want map[string]any, wantErrno string)) string {
	matchErrno := q.Expect.Errno
	if q.Expect.FibmatchErrno != nil {
		matchErrno = *q.Expect.FibmatchErrno
	}
	for _, ask := range []struct {
		fibmatch bool
		want     map[string]any
		errno    string
	}{{false, q.Expect.JSON, q.Expect.Errno}, {true, q.Expect.Fibmatch, matchErrno}} {
		if f := q.compareAnswer(source, ask.fibmatch, ask.want, ask.errno); f != "" {
			return f
		}
		if then != nil {
			then(ask.fibmatch, ask.want, ask.errno)
		}
	}
	return ""
}

// ownKeys are the keys that fibula adds to ip's.
var ownKeys = []string{"prefix", "rule", "scope", "tos", "metric", "protocol", "nhid", "type", "undetermined", "candidates"}

// volatileKeys depend on time.
var volatileKeys = []string{"used", "age", "expires"}

func (q *question) compareAnswer(source []string, fibmatch bool, want map[string]any, wantErrno string) string {
	args := append([]string{"-j"}, source...)
	words := strings.Fields(q.Query)
	if words[0] == "-6" || words[0] == "-4" {
		args, words = append(args, words[0]), words[1:]
	}
	args = append(args, "get")
	if fibmatch {
		args = append(args, "fibmatch")
	}
	args = append(args, words...)
	what := strings.Join(args[3:], " ")
	var stdout, stderr bytes.Buffer
	code := run(context.Background(), args, strings.NewReader(""), &stdout, &stderr)
	got, err := firstObject(stdout.Bytes())
	if err != nil {
		return fmt.Sprintf("%s: %v in %q, stderr %q", what, err, stdout.String(), stderr.String())
	}
	if code != 0 && code != 2 {
		return fmt.Sprintf("%s: exit %d %s", what, code, stderr.String())
	}
	difference := ""
	for _, one := range candidatesOf(got) {
		d := answerDiffers(one, want, wantErrno)
		if d == "" {
			return ""
		}
		if difference == "" {
			difference = d
		}
	}
	return what + ": " + difference
}

// candidatesOf are the answers that got leaves possible: itself, unless it says that it
// is undetermined.
func candidatesOf(got map[string]any) []map[string]any {
	list, ok := got["candidates"].([]any)
	if !ok {
		return []map[string]any{got}
	}
	var out []map[string]any
	for _, c := range list {
		out = append(out, c.(map[string]any))
	}
	return out
}

func answerDiffers(got, want map[string]any, wantErrno string) string {
	if got["error"] != nil || wantErrno != "" {
		if got["error"] != wantErrno {
			return fmt.Sprintf("want %v %s, got %v", want, wantErrno, got)
		}
		return ""
	}
	for k, v := range got {
		if _, ok := want[k]; !ok && !slices.Contains(ownKeys, k) && !slices.Contains(volatileKeys, k) {
			return fmt.Sprintf("key %q (%v) is not expected\n want %v\n got  %v", k, v, want, got)
		}
	}
	for k, v := range want {
		if !slices.Contains(volatileKeys, k) && !reflect.DeepEqual(got[k], v) {
			return fmt.Sprintf("%q is not as expected\n want %v\n got  %v", k, want, got)
		}
	}
	return ""
}

// firstObject takes the object out of ip's array, or a lone one.
func firstObject(b []byte) (map[string]any, error) {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return nil, err
	}
	if a, ok := v.([]any); ok && len(a) > 0 {
		v = a[0]
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("no JSON object")
	}
	return m, nil
}

// caseFiles hold the cases recorded on 6.18: those that came first, and those that were
// recorded since because no test noticed a mistake (make mutants).
var caseFiles = []string{"cases.jsonl", "cases-more.jsonl"}

// readCases reads files of acceptance cases, as much of each case as T holds.
func readCases[T any](t *testing.T, files ...string) (cases []T) {
	for _, name := range files {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		require.NoError(t, err)
		for line := range bytes.Lines(b) {
			var c T
			require.NoError(t, json.Unmarshal(line, &c), name)
			cases = append(cases, c)
		}
	}
	return cases
}
