package daemon

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/ksync"
)

// mirrorOf is a mirror of a namespace.
func mirrorOf(t *testing.T, ns *netnstest.NS, opt ksync.MirrorOptions) *ksync.Mirrored {
	t.Helper()
	opt.NetNS = ksync.Named(ns.Name())
	m, err := ksync.Mirror(t.Context(), fib.New(fib.Config{}), opt)
	require.NoError(t, err)
	t.Cleanup(m.Close)
	return m
}

// running runs a daemon with a web address until the test ends.
func running(t *testing.T, m Mirror, opt Options) (base string, d *Daemon, stop func() error) {
	t.Helper()
	ready := make(chan net.Addr, 1)
	opt.Listen, opt.Ready = "127.0.0.1:0", func(a net.Addr) { ready <- a }
	d = New(m, opt)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { _ = stop() })
	select {
	case a := <-ready:
		return "http://" + a.String(), d, stop
	case err := <-ended:
		t.Fatal(err)
		return
	}
}

func page(t *testing.T, url string) (int, string) {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := c.Get(url)
	require.NoError(t, err)
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return r.StatusCode, string(b)
}

func TestMetricsCountWhatTheKernelHas(t *testing.T) {
	ns := netnstest.New(t, netnstest.Quiet, netnstest.LoUp)
	ns.Batch("link add d0 type veth peer p0", "link set d0 up", "link set p0 up", "addr add 10.0.0.1/24 dev d0", "route add 10.1.0.0/16 via 10.0.0.2 proto static",
		"route add 10.2.0.0/16 via 10.0.0.2 proto static", "route add blackhole 10.3.0.0/16 table 7", "route add 10.4.0.0/16 nexthop via 10.0.0.2 nexthop via 10.0.0.3",
		"nexthop add id 3 via 10.0.0.9 dev d0", "nexthop add id 4 blackhole", "route add 10.5.0.0/16 nhid 4", "rule add pref 5 lookup 7",
		"addr add 2001:db8::1/64 dev d0 nodad", "route add 2001:db8:8::/48 nexthop via 2001:db8::2 nexthop via 2001:db8::3")
	ns.Settle()
	m := mirrorOf(t, ns, ksync.MirrorOptions{})
	ops := NewOperations()
	ops.Count("add", "route", "EEXIST", 3)
	base, d, stop := running(t, m, Options{Build: Build{"v1.2", "go1", "linux/none"}, Metrics: []Collector{ops}, TableName: func(id fib.TableID) string {
		switch id {
		case fib.TableMain:
			return "main"
		case 7:
			return "b\xfcro"
		}
		return strconv.Itoa(int(id))
	}})
	_, err := m.Audit(t.Context())
	require.NoError(t, err)
	code, text := page(t, base+"/metrics")
	require.Equal(t, http.StatusOK, code, text)
	for _, line := range []string{
		`fibula_routes{family="inet",protocol="4",table="main",type="unicast"} 2`, `fibula_routes{family="inet",protocol="3",table="main",type="unicast"} 1`,
		`fibula_routes{family="inet",protocol="3",table="main",type="blackhole"} 1`, `fibula_routes{family="inet6",protocol="3",table="main",type="unicast"} 1`,
		`fibula_rules{family="inet"} 4`, `fibula_rules{family="inet6"} 2`, "fibula_nexthops 2", `fibula_routes{family="inet",protocol="3",table="b�ro",type="blackhole"} 1`, "fibula_links 3", "fibula_netlink_overruns_total 0", `fibula_netlink_receive_buffer_bytes{size="granted"} 6.7108864e+07`, `fibula_resync_total{reason="start"} 1`,
		"fibula_audits_total 1", `fibula_operations_total{object="route",op="add",result="EEXIST"} 3`, "fibula_audit_mismatch_total 0", "fibula_drift_total 0", "fibula_mirror_lockstep 1", `fibula_build_info{goversion="go1",platform="linux/none",version="v1.2"} 1`, `fibula_memory_bytes{class="heap"} `,
		"fibula_mirror_age_seconds ", "fibula_mirror_lag_seconds ", "fibula_generation ",
	} {
		assert.Contains(t, text, "\n"+line)
	}
	total := 0
	for _, c := range m.FIB().Snapshot().CountRoutes() {
		total += c.Routes
	}
	assert.Equal(t, m.Stats().LastAudit.Routes, total)
	code, text = page(t, base+"/healthz")
	assert.Equal(t, http.StatusOK, code)
	assert.Contains(t, text, "equal to the kernel at generation")
	code, _ = page(t, base+"/else")
	assert.Equal(t, http.StatusNotFound, code)
	require.NoError(t, d.Health())
	assert.NoError(t, stop())
}

// TestRoutesAreCountedSeldom: whatever the number of scrapes.
func TestRoutesAreCountedSeldom(t *testing.T) {
	m := newMetrics(New(nil, Options{}))
	f := fib.New(fib.Config{})
	add := func(table fib.TableID) *fib.Snapshot {
		_, err := f.Update(func(tx *fib.Txn) error {
			return tx.AddRoute(fib.Route{Table: table, Type: fib.TypeBlackhole, Dst: netip.MustParsePrefix("10.0.0.0/8"), Protocol: fib.ProtoStatic}, fib.Create)
		})
		require.NoError(t, err)
		return f.Snapshot()
	}
	now := time.Now()
	assert.Len(t, m.routes(add(1), now), 1)
	second := add(2)
	assert.Len(t, m.routes(second, now.Add(time.Second)), 1, "it is too early for another count")
	assert.Len(t, m.routes(second, now.Add(24*time.Hour)), 2, "whatever the first count took")
}

func TestHealthIsLostAndFound(t *testing.T) {
	ns := netnstest.New(t, netnstest.Quiet, netnstest.LoUp)
	m := mirrorOf(t, ns, ksync.MirrorOptions{Poll: time.Hour})
	base, d, _ := running(t, m, Options{MaxAge: time.Millisecond})
	// Nothing is looked at for an hour, so its age grows, unless the kernel has something late to tell.
	until := func(path, want string) (code int) {
		for text := ""; !strings.Contains(text, want); {
			require.NoError(t, t.Context().Err())
			code, text = page(t, base+path)
		}
		return code
	}
	assert.Equal(t, http.StatusServiceUnavailable, until("/healthz", "not known to be equal to the kernel for "))
	until("/metrics", "\nfibula_mirror_lockstep 0\n")
	m.Close()
	assert.ErrorContains(t, d.Health(), "the mirror has ended")
	assert.ErrorIs(t, New(m, Options{}).Run(t.Context()), net.ErrClosed, "a daemon ends with its mirror")
}

// manager is a service manager's socket.
func manager(t *testing.T) (*Notifier, *net.UnixConn) {
	path := socketPath(t)
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	env := map[string]string{"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "30000"}
	return notifierFrom(func(k string) string { return env[k] }, 1), conn
}

func TestServiceManagerIsTold(t *testing.T) {
	ns := netnstest.New(t, netnstest.Quiet, netnstest.LoUp)
	m := mirrorOf(t, ns, ksync.MirrorOptions{})
	n, conn := manager(t)
	hup, reloaded := make(chan os.Signal), make(chan bool, 1)
	_, _, stop := running(t, m, Options{Notifier: n, Reloads: hup, Reload: func(context.Context) error { reloaded <- true; return nil }})
	told := make(chan string, 10_000) // read at once: a manager's queue is short
	go func() {
		buf := make([]byte, 1000)
		for {
			k, err := conn.Read(buf)
			if err != nil {
				return
			}
			told <- string(buf[:k])
		}
	}()
	next := func(skip string) string {
		for {
			if s := <-told; skip == "" || !strings.HasPrefix(s, skip) {
				return s
			}
		}
	}
	assert.Regexp(t, `^READY=1\nSTATUS=equal to the kernel at generation \d+$`, next(""))
	assert.Equal(t, "WATCHDOG=1", next(""))
	hup <- syscall.SIGHUP
	assert.Regexp(t, `^RELOADING=1\nMONOTONIC_USEC=\d+$`, next("WATCHDOG"))
	assert.True(t, <-reloaded)
	assert.Regexp(t, `^READY=1\n`, next("WATCHDOG"))
	require.NoError(t, stop())
	assert.Equal(t, "STOPPING=1", next("WATCHDOG"))
}

// A manager that reads nothing does not keep a service from its end.
func TestManagerThatDoesNotRead(t *testing.T) {
	n, _ := manager(t)
	var err error
	for err == nil { // until its queue is full
		err = n.Notify("X=1")
	}
	assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

func TestNotifierWithoutManager(t *testing.T) {
	n := notifierFrom(func(k string) string { return map[string]string{"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "2"}[k] }, 1)
	assert.Zero(t, n.every, "the watchdog is another process's")
	assert.NoError(t, n.Ready("x"))
	assert.NoError(t, (*Notifier)(nil).Stopping())
	n.Watchdog(t.Context(), func() bool { return true }) // returns at once
	n.socket = filepath.Join(t.TempDir(), "none")
	assert.ErrorContains(t, n.Ready("x"), "service manager")
}

func TestNothingIsLeftBehind(t *testing.T) {
	ns := netnstest.New(t, netnstest.Quiet, netnstest.LoUp)
	m := mirrorOf(t, ns, ksync.MirrorOptions{})
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	for range 5 {
		path := socketPath(t)
		base, _, stop := running(t, m, Options{Socket: path, Handler: echo})
		page(t, base+"/metrics")
		_, err := asked(t, path, Request{Verb: "get"}, nil)
		require.NoError(t, err)
		require.NoError(t, stop())
	}
	waitGoroutines(t, goroutines)
	for end := time.Now().Add(10 * time.Second); openFiles(t) > files; runtime.Gosched() {
		require.True(t, time.Now().Before(end), "%d open files where there were %d", openFiles(t), files)
	}
}

func openFiles(t *testing.T) int {
	e, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(e)
}

func TestUnitFilesAreValid(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("no systemd-analyze; install systemd")
	}
	for _, name := range []string{"fibula-mirror.service", "fibula-sync.service"} {
		text, err := os.ReadFile(filepath.Join("../../contrib/systemd", name))
		require.NoError(t, err)
		// What is verified must be there to be run.
		text = []byte(strings.ReplaceAll(string(text), "/usr/bin/fibula", "/bin/true"))
		file := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(file, text, 0o600))
		out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", "--recursive-errors=no", file).CombinedOutput()
		assert.NoError(t, err, "%s", out)
		assert.Empty(t, strings.TrimSpace(string(out)), name)
	}
}
