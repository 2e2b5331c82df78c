package ksync_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/ksync"
	"github.com/fibula-net/fibula/rules"
)

// tally counts what came of comparing.
type tally struct {
	mu       sync.Mutex
	rows     map[row]*counts
	coverage ksync.Coverage
}

// row is a kind of flow: how it went, and how it ends.
type row struct{ family, direction, outcome string }

type counts struct{ flows, mismatches, undetermined int }

func newTally() *tally { return &tally{rows: map[row]*counts{}, coverage: ksync.Coverage{}} }

func (t *tally) add(e *fib.Explanation, known, differs bool) {
	k := row{"inet", "output", ksync.Outcome(&e.Decision)}
	if e.Flow.Family() == fib.Inet6 {
		k.family = "inet6"
	}
	if e.Flow.Iif != 0 {
		k.direction = "input"
	}
	c := t.rows[k]
	if c == nil {
		c = new(counts)
		t.rows[k] = c
	}
	c.flows++
	switch {
	case differs:
		c.mismatches++
	case !known:
		c.undetermined++
	default:
		t.coverage.Add(e) // what was not compared covers nothing
	}
}

func (t *tally) merge(o *tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, c := range o.rows {
		if t.rows[k] == nil {
			t.rows[k] = new(counts)
		}
		t.rows[k].flows += c.flows
		t.rows[k].mismatches += c.mismatches
		t.rows[k].undetermined += c.undetermined
	}
	t.coverage.Merge(o.coverage)
}

func (t *tally) total() (sum counts) {
	for _, c := range t.rows {
		sum.flows += c.flows
		sum.mismatches += c.mismatches
		sum.undetermined += c.undetermined
	}
	return sum
}

func (t *tally) keys() []row {
	return slices.SortedFunc(maps.Keys(t.rows), func(a, b row) int {
		return cmp.Or(cmp.Compare(a.family, b.family), cmp.Compare(b.direction, a.direction), cmp.Compare(a.outcome, b.outcome))
	})
}

func (t *tally) String() string {
	var b strings.Builder
	sum := t.total()
	fmt.Fprintf(&b, "%d flows, %d mismatches, %d undetermined\n", sum.flows, sum.mismatches, sum.undetermined)
	for _, k := range t.keys() {
		c := t.rows[k]
		fmt.Fprintf(&b, "  %-6s %-7s %-14s %10d %4d %7d\n", k.family, k.direction, k.outcome, c.flows, c.mismatches, c.undetermined)
	}
	for _, name := range slices.Sorted(maps.Keys(t.coverage)) {
		fmt.Fprintf(&b, "  %-40s %d\n", name, t.coverage[name])
	}
	return b.String()
}

// soakReport is docs/conformance/soak.json: no times in it, so that the same seed
// and kernel give the same file.
type soakReport struct {
	Format         string    `json:"format"`
	Version        int       `json:"version"`
	Kernel         string    `json:"kernel"`
	Seed           uint64    `json:"seed"`
	Configurations int       `json:"configurations"`
	Flows          int       `json:"flows"`
	Mismatches     int       `json:"mismatches"`
	Undetermined   int       `json:"undetermined"`
	Rows           []soakRow `json:"rows"`
}

type soakRow struct {
	Family       string `json:"family"`
	Direction    string `json:"direction"`
	Outcome      string `json:"outcome"`
	Flows        int    `json:"flows"`
	Mismatches   int    `json:"mismatches"`
	Undetermined int    `json:"undetermined"`
}

// write writes the report to a file.
func (t *tally) write(tb testing.TB, file string, seed uint64, configurations int) {
	f, err := ksync.Load(tb.Context(), ksync.Options{})
	require.NoError(tb, err)
	k, sum := f.Snapshot().Kernel(), t.total()
	r := soakReport{Format: "fibula-soak", Version: 1, Kernel: fmt.Sprintf("%d.%d.%d", k.Major, k.Minor, k.Patch), Seed: seed,
		Configurations: configurations, Flows: sum.flows, Mismatches: sum.mismatches, Undetermined: sum.undetermined}
	for _, key := range t.keys() {
		c := t.rows[key]
		r.Rows = append(r.Rows, soakRow{key.family, key.direction, key.outcome, c.flows, c.mismatches, c.undetermined})
	}
	b, err := json.MarshalIndent(&r, "", "  ")
	require.NoError(tb, err)
	require.NoError(tb, os.WriteFile(file, append(b, '\n'), 0o644))
}

// perFlows: in a run of n flows, everything that can decide must have decided
// n/perFlows answers.
const perFlows = 10_000

// excused are reasons and selectors that random configurations cannot meet, and why.
var excused = map[string]string{
	"reason none":                   "no reason",
	"reason linkdown":               "a dump marks such a leg as dead",
	"reason scope":                  "a query has scope universe, which every route fits",
	"reason no-inet":                "no link of these can have an MTU below 68",
	"reason link-scope":             "VRF only, see randomvrf_linux_test.go",
	"selector none failed":          "no selector",
	"selector none matched":         "no selector",
	"selector iif-detached matched": "never matches",
	"selector oif-detached matched": "never matches",
	"selector tun_id matched":       "no query carries a tunnel id",
	"selector l3mdev matched":       "VRF only",
}

// deciders are the names of all that can decide an answer.
func deciders() (names []string) {
	for r := fib.Reason(0); !strings.HasPrefix(r.String(), "reason("); r++ {
		names = append(names, "reason "+r.String())
	}
	for s := rules.Selector(0); !strings.HasPrefix(s.String(), "selector("); s++ {
		names = append(names, "selector "+s.String()+" failed", "selector "+s.String()+" matched")
	}
	for _, a := range []rules.Action{rules.ActLookup, rules.ActGoto, rules.ActNop, rules.ActBlackhole, rules.ActUnreachable, rules.ActProhibit} {
		names = append(names, "action "+a.String())
	}
	for t := fib.TypeUnicast; t <= fib.TypeThrow; t++ {
		names = append(names, "type "+t.String())
	}
	for _, e := range []fib.Errno{fib.ENETUNREACH, fib.EHOSTUNREACH, fib.EACCES, fib.EINVAL, fib.ENODEV} {
		names = append(names, "errno "+e.Name())
	}
	return append(names, "suppressor prefixlength", "suppressor ifgroup", "multipath")
}

// requireStrength fails a run in which something that can decide an answer did
// not do so often enough.
func (t *tally) requireStrength(tb testing.TB, flows int) {
	sum := t.total()
	require.Greater(tb, sum.flows, sum.undetermined*9, "too few answers were determined")
	for _, name := range deciders() {
		if excused[name] == "" {
			assert.GreaterOrEqual(tb, t.coverage[name], max(flows/perFlows, 1), "%s decided too few answers: the configurations are too weak", name)
		}
	}
}
