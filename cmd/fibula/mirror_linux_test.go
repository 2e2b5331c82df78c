package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
)

func TestMirrorCommand(t *testing.T) {
	ns := verifiable(t)
	cmd, stderr := process(t, "-j", "mirror", "-n", ns.Name(), "--every", "1ms")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := json.NewDecoder(bufio.NewReader(out))
	var first, s mirrorStatus
	require.NoError(t, lines.Decode(&first))
	assert.Equal(t, map[string]uint64{"start": 1}, first.Resyncs)
	assert.Equal(t, 2, first.Links-1)
	ns.IP("route add 10.9.0.0/16 via 10.0.0.2")
	for s.Routes <= first.Routes {
		require.NoError(t, lines.Decode(&s))
	}
	assert.Equal(t, first.Routes+1, s.Routes)
	assert.EqualValues(t, 1, s.Events["route"])
	assert.Greater(t, s.Generation, first.Generation)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, cmd.Wait(), stderr.String())
	assert.Empty(t, stderr.String())

	cmd, stderr = process(t, "mirror", "-n", ns.Name(), "--table", "100")
	out, err = cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	assert.Contains(t, line, ": 1 routes, ")
	require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
	require.NoError(t, cmd.Wait(), stderr.String())

	ns.Batch("route add 10.8.0.0/16 via 10.0.0.2 proto 99", "route add 10.8.0.0/16 via 10.0.0.2 proto 99 table 101", "-6 route add blackhole 2001:db8:8::/48 proto 99")
	for n, args := range map[int][]string{2: {"-4", "--protocol", "99"}, 1: {"-6", "--protocol", "99"}, 0: {"--protocol", "99", "--dev", "nosuch"}} {
		r := fibula(t, "", append([]string{"-j", "audit", "-n", ns.Name()}, args...)...)
		require.Zero(t, r.code, r.stderr)
		assert.Contains(t, r.stdout, fmt.Sprintf(`"routes":%d,`, n))
	}
}

func TestAudit(t *testing.T) {
	ns := verifiable(t)
	r := fibula(t, "", "audit", "-n", ns.Name())
	require.Zero(t, r.code, r.stderr)
	assert.True(t, strings.HasPrefix(r.stdout, "equal at generation "), r.stdout)
	assert.Contains(t, r.stdout, "inet   100                     1 routes ")
	r = fibula(t, "", "audit", "-n", ns.Name(), "-j", "--table", "100,main")
	require.Zero(t, r.code, r.stderr)
	var c struct {
		Equal  bool
		Tables []struct{ Table, Digest string }
	}
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &c))
	assert.True(t, c.Equal)
	require.Len(t, c.Tables, 2)
	assert.Len(t, c.Tables[0].Digest, 32)

	var out, errs bytes.Buffer
	a := &app{in: strings.NewReader(""), out: &out, errs: &errs, spoil: func(f *fib.FIB) {
		_, err := f.Update(func(tx *fib.Txn) error {
			return tx.DeleteRoute(fib.Route{Dst: netip.MustParsePrefix("10.7.0.0/16"), Table: 100, Scope: fib.ScopeNowhere})
		})
		require.NoError(t, err)
	}}
	root := a.command()
	root.SetArgs([]string{"audit", "-n", ns.Name()})
	assert.Equal(t, exitDisagree, a.exit(root.ExecuteContext(t.Context())))
	assert.Contains(t, out.String(), "1 differ at generation ")
	assert.Contains(t, out.String(), "table 100 10.7.0.0/16\n  fibula: no route\n  kernel: prohibit 10.7.0.0/16 table 100 proto ")
}

func TestMirrorOfWhatIsNotThere(t *testing.T) {
	for _, verb := range []string{"mirror", "audit"} {
		r := fibula(t, "", verb, "-n", "no-such-one")
		assert.Equal(t, 255, r.code)
		assert.Contains(t, r.stderr, `network namespace "no-such-one"`)
		for _, wrong := range [][]string{{"--state", "x"}, {"--table", "no-such-table"}, {"--protocol", "no-such-protocol"}} {
			r := fibula(t, "", append([]string{verb}, wrong...)...)
			assert.NotZero(t, r.code)
			assert.Contains(t, r.stderr, strings.TrimPrefix(wrong[0], "--")[:2])
		}
	}
}
