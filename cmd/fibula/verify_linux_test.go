package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/iproute"
)

func verifiable(t *testing.T) *netnstest.NS {
	ns := netnstest.New(t, netnstest.Quiet, netnstest.LoUp)
	ns.Batch("link add d0 type veth peer p0", "link set p0 up", "link set d0 up", "addr add 10.0.0.1/24 dev d0")
	ns.Settle()
	ns.Batch("route add default via 10.0.0.9", "route add prohibit 10.7.0.0/16 table 100", "rule add pref 100 fwmark 7 lookup 100")
	return ns
}

// wrongly runs a command whose FIB does not know the rules of priority 100.
func wrongly(t *testing.T, args ...string) result {
	var out, errs bytes.Buffer
	a := &app{in: strings.NewReader(""), out: &out, errs: &errs, alter: func(st *fib.State) {
		st.Routes = slices.DeleteFunc(st.Routes, func(r fib.Route) bool { return r.Table == 100 })
	}}
	root := a.command()
	root.SetArgs(args)
	root.SetErr(&errs)
	code := a.exit(root.ExecuteContext(t.Context()))
	return result{out.String(), errs.String(), code}
}

func TestVerify(t *testing.T) {
	ns := verifiable(t)
	words := []string{"verify", "-n", ns.Name(), "--flows", "3000", "--seed", "1"}
	r := fibula(t, "", words...)
	require.Zero(t, r.code, r.stderr)
	for _, want := range []string{"seed 1\n", "3,000 flows", "inet   out  EACCES", "inet6", " agree"} {
		assert.Contains(t, r.stdout, want)
	}
	assert.NotContains(t, r.stdout, "differ:")

	report := filepath.Join(t.TempDir(), "report.json")
	r = wrongly(t, append(words, "-4", "--report", report)...)
	assert.Equal(t, exitDisagree, r.code, r.stderr)
	for _, want := range []string{"ip -n repro rule add pref 100 lookup 100\n", "ip -n repro route get 10.7.", "fibula: RTNETLINK answers: Network is unreachable\n",
		"kernel: RTNETLINK answers: Permission denied\n", "ip -n repro route add prohibit 10.7.0.0/16 table 100\n"} {
		assert.Contains(t, r.stdout, want)
	}
	b, err := os.ReadFile(report)
	require.NoError(t, err)
	var file struct {
		Format        string
		Version       int
		Seed          uint64
		Flows, Differ int
		Coverage      map[string]int
		Rows          []map[string]any
		Disagreements []struct {
			Query, Ours, Kernel string
			State               json.RawMessage
			Explanation         map[string]any
			Repro               struct {
				Commands []string
				State    json.RawMessage
			}
		}
	}
	require.NoError(t, json.Unmarshal(b, &file))
	assert.Equal(t, []any{verifyFormat, verifyVersion, uint64(1), 3000}, []any{file.Format, file.Version, file.Seed, file.Flows})
	assert.Positive(t, file.Differ)
	assert.NotEmpty(t, file.Coverage)
	require.NotEmpty(t, file.Disagreements)
	d := file.Disagreements[0]
	assert.NotEmpty(t, d.Explanation)
	assert.NotEmpty(t, d.Repro.Commands)
	for _, state := range []json.RawMessage{d.State, d.Repro.State} {
		_, warnings, err := iproute.ReadState(bytes.NewReader(state))
		require.NoError(t, err)
		assert.Empty(t, warnings)
	}

	r = wrongly(t, append(words, "-j", "-4", "--no-shrink")...)
	assert.Equal(t, exitDisagree, r.code)
	assert.True(t, json.Valid([]byte(r.stdout)))
	assert.Contains(t, r.stdout, `"no_repro":"none was looked for"`)

	r = wrongly(t, append(words, "-4", "--no-shrink")...)
	assert.Contains(t, r.stdout, "none was looked for; why fibula says so:")
	assert.Contains(t, r.stdout, "rule 100: from all fwmark 0x7 lookup 100")
}

func TestVerifyOfWhatIsNotThere(t *testing.T) {
	netnstest.Require(t)
	r := fibula(t, "", "verify", "-n", "no-such-one")
	assert.Equal(t, 255, r.code)
	assert.Contains(t, r.stderr, `network namespace "no-such-one"`)
}
