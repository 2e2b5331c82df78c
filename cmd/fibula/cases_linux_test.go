package main

import (
	"fmt"
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
	question
	Sysctl map[string]any `json:"sysctl"`
	Setup  []string       `json:"setup"`
	NL     []rawRequest   `json:"nl"`

	live string // why the answer of the running kernel is asked for; "": the one recorded counts
}

// TestCases replays the acceptance cases through `fibula -j -n NS get` and their
// raw requests through transactions. Where nobody outside the kernel can know the
// answer it must be among the candidates.
func TestCases(t *testing.T) {
	netnstest.Require(t)
	if recording.on() {
		t.Cleanup(func() { recording.write(t) }) // after the last case
	}
	cases := recordedCases(t)
	if netnstest.Has(t, netnstest.VRF) {
		cases = append(cases, vrfCases(t)...)
	}
	replayAll(t, cases)
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
	kept := false
	for k := range c.Sysctl {
		kept = kept || strings.HasSuffix(k, "keep_addr_on_down")
	}
	for lines := slices.Concat([]string{"link set lo up"}, c.Setup); len(lines) > 0; {
		// The peer of a link that goes down loses its carrier later.
		n := 1 + slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "link set") && strings.HasSuffix(l, " down") })
		if n == 0 {
			n = len(lines)
		}
		if kept {
			n = 1
		}
		ns.Batch(lines[:n]...)
		ns.Settle()
		if kept {
			ns.SettleKept()
		}
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
	failure := c.compare([]string{"-n", ns.Name()}, func(fibmatch bool, want map[string]any, wantErrno string) {
		kernelAgrees(t, ns, c, fibmatch, want, wantErrno)
	})
	if recording.on() {
		recording.add(t, c.Name, ns)
	}
	return failure
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
