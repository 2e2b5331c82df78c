package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/internal/daemon"
	"github.com/fibula-net/fibula/internal/netnstest"
)

// lockedBuffer is a buffer that a running service writes to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// mirrorService runs "fibula mirror" until the test ends, and returns its socket and log.
func mirrorService(t *testing.T, ns *netnstest.NS, args ...string) (socket string, log *lockedBuffer, stop func() int) {
	t.Helper()
	return runService(t, append([]string{"mirror", "-n", ns.Name(), "--log-level", "debug"}, args...)...)
}

// runService runs a command with a socket until the test ends.
func runService(t *testing.T, args ...string) (socket string, log *lockedBuffer, stop func() int) {
	t.Helper()
	socket, log = filepath.Join(shortDir(t), "s"), &lockedBuffer{}
	ctx, cancel := context.WithCancel(context.Background())
	var code int
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		code = run(ctx, append(args, "--socket", socket), strings.NewReader(""), log, log)
	}()
	stop = sync.OnceValue(func() int { cancel(); <-ended; return code })
	t.Cleanup(func() { stop() })
	for !strings.Contains(log.String(), "msg=ready") && !strings.Contains(log.String(), `"msg":"ready"`) {
		select {
		case <-ended:
			t.Fatalf("the service ended with %d: %s", code, log)
		default:
		}
	}
	return socket, log, stop
}

// shortDir is a directory for sockets, for which t.TempDir may be too long.
func shortDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "fibula")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// configured is a namespace with something of everything that answers show.
func configured(t *testing.T) *netnstest.NS {
	ns := netnstest.New(t, netnstest.Quiet, netnstest.LoUp)
	ns.Batch("link add lan0 type veth peer wan0", "link set lan0 up", "link set wan0 up", "addr add 10.0.0.1/24 dev lan0", "addr add 192.0.2.7/32 dev lo", "neigh add 10.0.0.99 dev lan0 lladdr 02:00:00:00:00:01", "neigh add 10.0.0.33 dev lan0 lladdr 02:00:00:00:00:02",
		"addr add 2001:db8::1/64 dev lan0 nodad", "route add default via 10.0.0.2", "route add 10.9.0.0/16 via 10.0.0.3 src 192.0.2.7 metric 7 mtu lock 1400",
		"route add 10.8.0.0/16 nexthop via 10.0.0.2 weight 2 nexthop via 10.0.0.3", "route add table 100 default via 10.0.0.4 proto static",
		"route add unreachable 10.7.0.0/16", "route add prohibit 10.6.0.0/16", "route add blackhole 10.5.0.0/16", "nexthop add id 7 via 10.0.0.9 dev lan0",
		"route add 10.4.0.0/16 nhid 7", "route add 2001:db8:9::/48 via 2001:db8::2", "route add 2001:db8:8::/48 nexthop via 2001:db8::2 nexthop via 2001:db8::3",
		"route add 2001:db8:7::/48 from 2001:db8::/64 via 2001:db8::2", "rule add pref 100 fwmark 7 lookup 100", "rule add pref 90 from 10.3.0.0/16 goto 200", "rule add pref 200 nop",
		"rule add pref 110 uidrange 1-65000 lookup 100", "rule add pref 120 iif lan0 ipproto tcp dport 443 prohibit")
	ns.Sysctl("net.ipv4.conf.all.forwarding", "1")
	ns.Sysctl("net.ipv6.conf.all.forwarding", "1")
	ns.Settle()
	return ns
}

// askedLines are what daemons and namespaces must answer alike.
var askedLines = []string{
	"get 192.0.2.1", "-j get 192.0.2.1", "-jp get 192.0.2.1", "get 10.9.1.1", "-o get 10.9.1.1", "get 10.8.1.1", "-j get 10.8.1.1", "get 10.7.0.1", "-j get 10.7.0.1",
	"get 10.6.0.1", "get 10.5.0.1", "get 10.4.0.1", "-N get 10.4.0.1", "get fibmatch 10.4.0.1", "-j get fibmatch 10.9.1.1", "get 192.0.2.1 mark 7", "get 192.0.2.1 uid 77",
	"get 192.0.2.1 from 10.0.0.9 iif lan0", "get 192.0.2.1 from 10.0.0.9 iif lan0 ipproto tcp dport 443", "get 2001:db8:9::1", "-j get 2001:db8:8::1", "-6 get 2001:db8:7::1 from 2001:db8::1",
	"get 2001:db9::1", "get connected 10.9.1.1", "get 224.0.0.1", "get 255.255.255.255", "get 127.0.0.1", "get", "get nonsense", "-j get nonsense", "get 10.0.0.1 oif nonsense",
	"-4 get 2001:db8::1", "get 192.0.2.1 mark zz", "get 192.0.2.1 vrf lan0", "explain 192.0.2.1", "explain 10.9.1.1 mark 7", "-j explain 10.8.1.1", "-jp explain 10.7.0.1", "explain 10.7.0.1",
	"--color always explain 192.0.2.1 from 10.3.0.1 iif lan0", "explain 2001:db8:9::1", "explain nonsense", "explain",
}

func TestSocketAnswersAsTheNamespace(t *testing.T) {
	ns := configured(t)
	socket, log, stop := mirrorService(t, ns)
	for _, line := range askedLines {
		words := strings.Fields(line)
		live := fibula(t, "", append(words, "-n", ns.Name())...)
		asked := fibula(t, "", append(words, "--socket", socket)...)
		assert.Equal(t, live, asked, line)
	}
	info, err := os.Stat(socket)
	require.NoError(t, err)
	assert.Equal(t, os.ModeSocket|0o660, info.Mode())
	assert.Zero(t, stop(), "%s", log)
	_, err = os.Stat(socket)
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestSocketAnswersBatches(t *testing.T) {
	ns := configured(t)
	socket, _, _ := mirrorService(t, ns)
	lines := strings.Repeat("192.0.2.1\n10.7.0.1\n# nothing\n\n10.9.1.1 \\\n mark 7\nnonsense\n2001:db8:9::1\n10.8.0.1 oif lan0\n", 300) + strings.Repeat("x", 70_000) + "\n10.0.0.9"
	file := filepath.Join(t.TempDir(), "flows.txt")
	require.NoError(t, os.WriteFile(file, []byte(lines), 0o600))
	for _, flags := range [][]string{nil, {"-j"}, {"-o"}, {"-N", "-6"}} {
		for _, from := range []string{"-", file, "no/such/file"} {
			words := append([]string{"get", "--batch", from}, flags...)
			live := fibula(t, lines, append(words, "-n", ns.Name())...)
			asked := fibula(t, lines, append(words, "--socket", socket)...)
			assert.Equal(t, live, asked, "%q", words)
		}
	}
}

func TestSocketWritesStateFiles(t *testing.T) {
	bare := netnstest.New(t, netnstest.Quiet, netnstest.LoUp)
	bare.Batch("addr add 10.0.0.1/24 dev lo", "route add local 10.1.0.0/16 dev lo", "route add 10.2.0.0/16 dev lo")
	ruled := netnstest.New(t, netnstest.Quiet, netnstest.LoUp)
	ruled.Batch("rule add pref 7 lookup 7", "rule del pref 7", "-6 rule del pref 0", "-6 rule add pref 1 lookup local")
	socket := ""
	dir := t.TempDir()
	for _, ns := range []*netnstest.NS{bare, ruled, configured(t)} {
		socket, _, _ = mirrorService(t, ns)
		testStateFiles(t, ns, socket, dir)
	}
	r := fibula(t, "", "state", "save", "--socket", filepath.Join(dir, "none"), filepath.Join(dir, "b.json"))
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.stderr, "none: connect: no such file or directory; is the daemon running")
	assert.NoFileExists(t, filepath.Join(dir, "b.json"))
}

func testStateFiles(t *testing.T, ns *netnstest.NS, socket, dir string) {
	for _, name := range []string{"a.json", "a.json.gz"} {
		live, asked := filepath.Join(dir, "live-"+name), filepath.Join(dir, "asked-"+name)
		require.Zero(t, fibula(t, "", "state", "save", "-n", ns.Name(), live).code)
		r := fibula(t, "", "state", "save", "--socket", socket, asked)
		require.Zero(t, r.code, r.stderr)
		assert.Equal(t, stateText(t, live), stateText(t, asked), name)
	}
	live, asked := fibula(t, "", "state", "save", "-n", ns.Name()), fibula(t, "", "state", "save", "--socket", socket)
	assert.Equal(t, withoutGroups(live.stdout), withoutGroups(asked.stdout))
}

func stateText(t *testing.T, file string) string {
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	if strings.HasSuffix(file, ".gz") {
		z, err := gzip.NewReader(bytes.NewReader(b))
		require.NoError(t, err)
		b, err = io.ReadAll(z)
		require.NoError(t, err)
	}
	return withoutGroups(string(b))
}

// withoutGroups leaves out the neighbour entries of multicast groups, which the kernel makes
// and drops without a word, and of which no answer depends.
func withoutGroups(state string) string {
	return regexp.MustCompile(`(?s)"neighbours":\[.*?\n\],\n`).ReplaceAllStringFunc(state, func(s string) string {
		s = regexp.MustCompile(`(?m)^\{"dst":"ff02::.*\n`).ReplaceAllString(s, "")
		return strings.ReplaceAll(s, "\"neighbours\":[\n],\n", "")
	})
}

func TestSocketAudits(t *testing.T) {
	ns := configured(t)
	socket, _, _ := mirrorService(t, ns)
	live, asked := fibula(t, "", "audit", "-n", ns.Name()), fibula(t, "", "audit", "--socket", socket)
	assert.Zero(t, live.code, live.stderr)
	assert.Zero(t, asked.code, asked.stderr)
	_, wantTables, _ := strings.Cut(live.stdout, "\n")
	_, tables, _ := strings.Cut(asked.stdout, "\n")
	assert.Equal(t, wantTables, tables)
	assert.Regexp(t, `^equal at generation \d+, .*Z, in .*: 24 routes in 5 tables, 10 rules, 1 nexthops, 3 links, 5 addresses\n`, asked.stdout)
	asked = fibula(t, "", "audit", "-j", "--socket", socket)
	assert.Contains(t, asked.stdout, `{"equal":true,"generation":`)
}

func TestSocketExcludesOtherSources(t *testing.T) {
	for line, says := range map[string]string{
		"get --socket a -n b 192.0.2.1": "--netns and --socket exclude each other", "explain --socket a --state b 192.0.2.1": "--state and --socket",
		"get --socket a --engine trie 192.0.2.1": "--socket and --engine", "get --socket= 192.0.2.1": "--socket is empty", "mirror --state x": "leave out --state",
		"mirror --log-level loud": "debug, info, warn or error", "mirror --log-format xml": "text or json", "mirror --max-age -1s": "above 0",
		"mirror --table nonsense": "nonsense", "audit --state x": "leave out --state",
	} {
		r := fibula(t, "", strings.Fields(line)...)
		assert.NotZero(t, r.code, line)
		assert.Contains(t, r.stderr, says, line)
	}
}

// stalled is a reader that takes nothing once it was told something, until it is let go.
type stalled struct {
	told, on chan struct{}
	once     sync.Once
}

func (s *stalled) Write(b []byte) (int, error) {
	s.once.Do(func() { close(s.told) })
	<-s.on
	return len(b), nil
}

func TestSlowClientDoesNotHoldUpAudits(t *testing.T) {
	ns := configured(t)
	var lines []string
	for i := range 10_000 {
		lines = append(lines, fmt.Sprintf("route add 30.%d.%d.0/24 via 10.0.0.2", i>>8, i&255))
	}
	ns.Batch(lines...)
	socket, _, _ := mirrorService(t, ns)
	slow, done := &stalled{told: make(chan struct{}), on: make(chan struct{})}, make(chan error, 1)
	go func() {
		_, err := daemon.Ask(t.Context(), socket, daemon.Request{Verb: "state save", Options: []byte("{}")}, nil, slow, io.Discard)
		done <- err
	}()
	<-slow.told // and more waits than a socket takes
	for range 3 {
		assert.Contains(t, fibula(t, "", "audit", "--socket", socket).stdout, "equal at generation")
	}
	close(slow.on)
	require.NoError(t, <-done)
}

func TestBriskWriterMindsTheReaderAlone(t *testing.T) {
	now := time.Unix(0, 0)
	var wait time.Duration
	b := &brisk{now: func() time.Time { return now }, w: writerFunc(func(p []byte) (int, error) { now = now.Add(wait); return len(p), nil })}
	mib := make([]byte, 1<<20)
	wait = time.Second
	for range 100 {
		now = now.Add(time.Hour) // what there is to write takes its time
		_, err := b.Write(mib)
		require.NoError(t, err)
	}
	wait = briskGrace
	_, err := b.Write(nil)
	require.NoError(t, err)
	_, err = b.Write(nil)
	assert.ErrorContains(t, err, "2m0s for 104857600 bytes is too slow")
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
