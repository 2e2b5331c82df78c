package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/conformance"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/ksync"
)

// acceptanceCase is one line of testdata/cases.jsonl: a configuration, a query
// and the answer that the kernel gave, recorded on Linux 6.18 with iproute2 6.1.
// cases-6.1.jsonl has those that Linux 6.1 answers otherwise, with the reason, and
// cases-vrf.jsonl, recorded on 6.1 as well, those for which 6.18 had no VRF.
type acceptanceCase struct {
	Name   string         `json:"name"`
	Sysctl map[string]any `json:"sysctl"`
	Setup  []string       `json:"setup"`
	NL     []rawRequest   `json:"nl"`
	Query  string         `json:"query"`
	Expect struct {
		JSON          map[string]any `json:"json"`
		Fibmatch      map[string]any `json:"fibmatch"`
		Errno         string         `json:"errno"`
		FibmatchErrno *string        `json:"fibmatch_errno"`
		NL            []string       `json:"nl"`
	} `json:"expect"`

	live string // why the answer of the running kernel is asked for; "": the one recorded counts
}

// ownKeys are the keys that fibula adds to ip's.
var ownKeys = []string{"prefix", "rule", "scope", "tos", "metric", "protocol", "nhid", "type", "undetermined", "candidates"}

// volatileKeys depend on time.
var volatileKeys = []string{"used", "age", "expires"}

// TestCases replays the acceptance cases through `fibula -j -n NS get` and their
// raw requests through transactions. Where nobody outside the kernel can know the
// answer it must be among the candidates.
func TestCases(t *testing.T) {
	netnstest.Require(t)
	replayAll(t, recordedCases(t))
}

// TestVRFCases does the same with the cases about VRFs.
func TestVRFCases(t *testing.T) {
	netnstest.Need(t, netnstest.VRF)
	replayAll(t, vrfCases(t))
}

func replayAll(t *testing.T, cases []acceptanceCase) {
	live := map[string]int{}
	for _, c := range cases {
		live[c.live]++
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			if failure := replay(t, c); failure != "" {
				t.Error(failure)
				return
			}
			conformance.Covers(t, conformance.CitedBy(c.Name)...)
		})
	}
	t.Logf("%d cases, %d of them against the recorded answer", len(cases), live[""])
	delete(live, "")
	for why, n := range live {
		t.Logf("%d against this kernel's own answer: %s", n, why)
	}
}

// replay returns what was not as expected, or "".
func replay(t *testing.T, c acceptanceCase) string {
	ns := netnstest.New(t, netnstest.Quiet)
	var late []string
	for k, v := range c.Sysctl {
		if ns.TrySysctl(k, fmt.Sprint(v)) != nil {
			late = append(late, k) // of a link that the setup makes
		}
	}
	for lines := slices.Concat([]string{"link set lo up"}, c.Setup); len(lines) > 0; {
		// The peer of a link that goes down loses its carrier later.
		n := 1 + slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "link set") && strings.HasSuffix(l, " down") })
		if n == 0 {
			n = len(lines)
		}
		ns.Batch(lines[:n]...)
		ns.Settle()
		lines = lines[n:]
	}
	for _, k := range late {
		ns.Sysctl(k, fmt.Sprint(c.Sysctl[k]))
	}
	if len(c.NL) > 0 {
		if f := replayRequests(t, ns, c); f != "" {
			return f
		}
	}
	if c.Query == "" {
		return ""
	}
	if c.live != "" {
		return compareLive(t, ns, c)
	}
	if f := compareAnswer(ns, c, false, c.Expect.JSON, c.Expect.Errno); f != "" {
		return f
	}
	kernelAgrees(t, ns, c, false, c.Expect.JSON, c.Expect.Errno)
	want := c.Expect.Errno
	if c.Expect.FibmatchErrno != nil {
		want = *c.Expect.FibmatchErrno
	}
	f := compareAnswer(ns, c, true, c.Expect.Fibmatch, want)
	if f == "" {
		kernelAgrees(t, ns, c, true, c.Expect.Fibmatch, want)
	}
	return f
}

// replayRequests makes the requests in a transaction on the namespace as loaded
// and then to the kernel itself: each errno must be the recorded one.
func replayRequests(t *testing.T, ns *netnstest.NS, c acceptanceCase) string {
	f, err := ksync.Load(t.Context(), ksync.Options{NetNS: ksync.Named(ns.Name())})
	require.NoError(t, err)
	links := f.Snapshot()
	index := func(name string) int32 { l, _ := links.LinkByName(name); return l.Index }
	var got []string
	_, err = f.Update(func(tx *fib.Txn) error {
		for _, q := range c.NL {
			got = append(got, q.apply(t, tx, index))
		}
		return nil
	})
	require.NoError(t, err)
	want := slices.Clone(c.Expect.NL)
	require.NoError(t, ns.Do(func() error {
		for i, q := range c.NL {
			answer := sendRaw(t, q.build(t, index))
			if c.live == "" {
				require.Equal(t, want[i], answer, "the kernel's own answer to request %d", i+1)
			}
			want[i] = answer
		}
		return nil
	}))
	if !slices.Equal(got, want) {
		return fmt.Sprintf("requests: want %v\n              got  %v", want, got)
	}
	return ""
}

func compareAnswer(ns *netnstest.NS, c acceptanceCase, fibmatch bool, want map[string]any, wantErrno string) string {
	args := []string{"-j", "-n", ns.Name()}
	words := strings.Fields(c.Query)
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
