package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/internal/randtest"
)

func syncNS(t *testing.T) *netnstest.NS {
	ns := netnstest.New(t, netnstest.LoUp, netnstest.Quiet)
	ns.Batch("link add d0 type veth peer p0", "link set d0 up", "link set p0 up", "addr add 10.0.0.1/24 dev d0")
	ns.Settle()
	return ns
}

func write(t *testing.T, file, text string) string {
	t.Helper()
	require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	return file
}

func TestSyncOnceAndDryRun(t *testing.T) {
	ns := syncNS(t)
	file := write(t, filepath.Join(t.TempDir(), "want.yaml"), `
routes:
  - {to: 20.0.0.0/8, via: 10.0.0.9, dev: d0, table: 100}
rules:
  - {priority: 1000, to: 20.0.0.0/8, lookup: 100}
`)
	args := []string{"-n", ns.Name(), "--from", file, "--table", "100", "--rules", "1000-1999"}
	run := func(more ...string) result {
		return fibula(t, "", append(append([]string{"sync"}, more...), args...)...)
	}
	dry := run("--dry-run")
	assert.Equal(t, "route add 20.0.0.0/8 table 100 proto 70 via 10.0.0.9 dev d0\nrule add pref 1000 to 20.0.0.0/8 lookup 100 proto 70\n", dry.stdout)
	assert.Empty(t, ns.IP("route show table all proto 70"))
	first := run("--once")
	assert.Equal(t, 0, first.code, first.stderr)
	assert.Contains(t, ns.IP("route show table 100"), "20.0.0.0/8 via 10.0.0.9 dev d0 proto 70")
	var report syncReport
	second := run("--once", "-j")
	require.NoError(t, json.Unmarshal([]byte(second.stdout), &report))
	assert.Zero(t, report.Done)
	assert.True(t, report.InSync)
	ns.IP("route del 20.0.0.0/8 table 100")
	ns.IP("route add 20.0.0.0/8 dev d0 table 100 proto 4") // another's
	third := run("--once")
	assert.Equal(t, exitDisagree, third.code)
	assert.Contains(t, third.stdout, "in the way: ")
	assert.Contains(t, ns.IP("route show table 100"), "20.0.0.0/8 dev d0 proto static")
}

func TestSyncRefusesWhatCannotBe(t *testing.T) {
	netnstest.Require(t)
	file := write(t, filepath.Join(t.TempDir(), "bad"), "route add 10.0.0.0/8 dev d0 table 7\n")
	for _, c := range []struct{ args, want string }{
		{"sync --once --table 100", "give the desired state"},
		{"sync --once --from x --from-netns y --table 100", "either --from FILE or"},
		{"sync --once --from " + file, "no tables, rules or nexthops are owned"},
		{"sync --once --from " + file + " --table 100", "bad:1:35: table 7 is not among"},
		{"sync --once --from /nowhere --table 100", "no such file"},
		{"sync --once --from " + file + " --table 100 --rules 9-1", "give two numbers"},
		{"sync --once --from " + file + " --table 100 --protocol kernel", "the kernel's own"},
		{"sync --once --from " + file + " --table 100 --nexthops objects", "needs --nexthop-ids"},
		{"sync --once --from " + file + " --table 100 --nexthops some", "use as-given, objects or inline"},
		{"sync --once --dry-run --from " + file + " --table 100", "exclude each other"},
		{"sync --once --from " + file + " --table 100 --max-delete 101", "percentage"},
		{"sync --state f --from " + file + " --table 100", "leave out --state"},
	} {
		r := fibula(t, "", strings.Fields(c.args)...)
		assert.NotZero(t, r.code, c.args)
		assert.Contains(t, r.stderr, c.want, c.args)
	}
}

// syncProcess starts sync as a process; lines has its output.
func syncProcess(t *testing.T, args ...string) (cmd *exec.Cmd, lines *bufio.Reader, stderr fmt.Stringer) {
	cmd, errs := process(t, append([]string{"sync", "-j"}, args...)...)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	return cmd, bufio.NewReader(out), errs
}

// event reads events until one is wanted.
func event(t *testing.T, lines *bufio.Reader, stderr fmt.Stringer, fits func(map[string]any) bool) map[string]any {
	t.Helper()
	for {
		line, err := lines.ReadBytes('\n')
		require.NoError(t, err, "%v", stderr)
		var e map[string]any
		require.NoError(t, json.Unmarshal(line, &e), "%s", line)
		if fits(e) {
			return e
		}
	}
}

func TestSyncReadsItsFileAgain(t *testing.T) {
	ns := syncNS(t)
	file := write(t, filepath.Join(t.TempDir(), "want"), "route add 20.0.0.0/8 dev d0 table 100\n")
	cmd, lines, stderr := syncProcess(t, "-n", ns.Name(), "--from", file, "--table", "100")
	synced := func(done float64) func(map[string]any) bool {
		return func(e map[string]any) bool { return e["event"] == "synced" && e["done"] == done }
	}
	event(t, lines, stderr, synced(1))
	write(t, file, "route add 20.0.0.0/8 dev d0 table 100\nroute add 21.0.0.0/8 dev d0 table 100\nroute add 22.0.0.0/8 dev d0 table 100\n")
	require.NoError(t, cmd.Process.Signal(syscall.SIGHUP))
	event(t, lines, stderr, synced(2))
	write(t, file, "route add 23.0.0.0/8 dev d0 table 100\nroute add nonsense\n")
	require.NoError(t, cmd.Process.Signal(syscall.SIGHUP))
	e := event(t, lines, stderr, func(e map[string]any) bool { return e["event"] == "refused" })
	assert.Contains(t, e["error"], "want:2:11: ")
	assert.Equal(t, 3, strings.Count(ns.IP("route show table 100"), "\n"), "a bad file changes nothing")
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	_, _ = io.ReadAll(lines)
	_ = cmd.Wait()
	assert.Equal(t, 0, cmd.ProcessState.ExitCode(), "%v", stderr)
	assert.Empty(t, ns.IP("route show table all proto 70"), "withdrawn")
}

// Standard input cannot be read again: what it gave stays, instead of nothing.
func TestSyncKeepsWhatStandardInputGave(t *testing.T) {
	s := &syncer{a: &app{in: strings.NewReader("route add 20.0.0.0/8 dev d0 table 100\n")}, from: "-"}
	b, err := s.read()
	require.NoError(t, err)
	assert.NotEmpty(t, b)
	_, err = s.read()
	assert.ErrorContains(t, err, "give a file to --from")
}

func TestKilledSyncConverges(t *testing.T) {
	ns := syncNS(t)
	rng := randtest.Rand(t)
	const n = 60_000
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "route add 20.%d.%d.%d/30 via 10.0.0.9 dev d0 table 100\n", i>>14, i>>6&255, i<<2&255)
	}
	dir := t.TempDir()
	full, half := write(t, filepath.Join(dir, "full"), b.String()), write(t, filepath.Join(dir, "half"), "")
	lines := strings.SplitAfter(b.String(), "\n")
	write(t, half, strings.Join(lines[:n/2], ""))
	ns.Batch("route add 99.0.0.0/8 dev d0 table 100 proto 4", "route add 20.0.0.0/30 dev d0 table 100 proto 4 metric 7")
	foreign := ns.IP("route show table 100 proto 4")
	args := []string{"sync", "--once", "-n", ns.Name(), "--table", "100", "--nexthop-ids", "1000-1999", "--force"}
	for i := range randtest.Fewer(10) {
		file := []string{full, half}[i%2]
		mode := []string{"inline", "objects"}[rng.IntN(2)]
		cmd, _ := process(t, append(args, "--from", file, "--nexthops", mode)...)
		require.NoError(t, cmd.Start())
		died := make(chan error, 1)
		go func() { died <- cmd.Wait() }()
		select {
		case <-died:
		case <-time.After(time.Duration(rng.Int64N(int64(700 * time.Millisecond)))): // whenever
			_ = cmd.Process.Kill()
			<-died
		}
		require.Equal(t, foreign, ns.IP("route show table 100 proto 4"))
	}
	r := fibula(t, "", append(args, "--from", full, "--nexthops", "objects")...)
	require.Equal(t, 0, r.code, r.stdout+r.stderr)
	assert.Equal(t, n, strings.Count(ns.IP("route show table 100 proto 70"), "\n"))
	assert.Equal(t, foreign, ns.IP("route show table 100 proto 4"))
	r = fibula(t, "", append(args, "-j", "--from", full, "--nexthops", "objects")...)
	var report syncReport
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &report))
	assert.Zero(t, report.Done, "nothing to do the second time")
	assert.Equal(t, 1, strings.Count(ns.IP("nexthop show"), "\n"), "nothing left behind")
}
