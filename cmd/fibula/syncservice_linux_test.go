package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/internal/netnstest"
)

// httpPage reads a page of a service that logged where it listens.
func httpPage(t *testing.T, log string, path string) (int, string) {
	t.Helper()
	at := regexp.MustCompile(`listen=(\S+)`).FindStringSubmatch(log)
	require.NotNil(t, at, "%s", log)
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := c.Get("http://" + at[1] + path)
	require.NoError(t, err)
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return r.StatusCode, string(b)
}

func TestSyncServes(t *testing.T) {
	ns := configured(t)
	file := write(t, filepath.Join(t.TempDir(), "want"), `route add 20.0.0.0/16 via 10.0.0.2 dev lan0 table 100
route add 20.1.0.0/16 via 10.0.0.255 dev lan0 table 100
route add 20.2.0.0/16 dev lan0 table 100
rule add pref 1000 to 20.0.0.0/8 lookup 100
`)
	socket, log, stop := runService(t, "sync", "-n", ns.Name(), "--from", file, "--table", "100", "--rules", "1000-1999", "--listen", "127.0.0.1:0")
	for _, line := range append([]string{"get 20.0.0.1", "explain 20.0.0.1", "-j get 20.2.0.1"}, askedLines...) {
		words := strings.Fields(line)
		live := fibula(t, "", append(words, "-n", ns.Name())...)
		asked := fibula(t, "", append(words, "--socket", socket)...)
		assert.Equal(t, live, asked, line)
	}
	assert.Contains(t, fibula(t, "", "get", "20.0.0.1", "--socket", socket).stdout, "via 10.0.0.2 dev lan0 table 100", "what it wrote")
	assert.Contains(t, fibula(t, "", "audit", "--socket", socket).stdout, "equal at generation")
	saved := filepath.Join(t.TempDir(), "saved.json")
	require.Zero(t, fibula(t, "", "state", "save", "--socket", socket, saved).code)
	assert.Contains(t, fibula(t, "", "get", "--state", saved, "20.0.0.1").stdout, "via 10.0.0.2 dev lan0 table 100")

	_, page := httpPage(t, log.String(), "/metrics")
	for _, line := range []string{
		`fibula_operations_total{object="route",op="add",result="ok"} 2`, `fibula_operations_total{object="rule",op="add",result="ok"} 1`,
		`fibula_export_unequal{cause="waits"} 1`, `fibula_export_unequal{cause="refused"} 0`, `fibula_export_comparisons_total{scope="whole"} 1`, "fibula_mirror_lockstep 1",
		`fibula_operations_total{object="route",op="add",result="EINVAL"} `,
	} {
		assert.Contains(t, page, "\n"+line)
	}
	code, _ := httpPage(t, log.String(), "/healthz")
	assert.Equal(t, http.StatusOK, code, "what is refused may come yet")
	assert.Contains(t, log.String(), `msg=refused op="add route 20.1.0.0/16 via 10.0.0.255 dev 3 table 100" cause="EINVAL: Nexthop has invalid gateway`)
	assert.Zero(t, stop(), "%s", log)
	assert.NotContains(t, ns.IP("route show table 100"), "20.", "withdrawn")
	assert.Contains(t, ns.IP("route show table 100"), "default", "another's")
}

// manager is a service manager's socket.
type manager struct {
	conn *net.UnixConn
	path string
}

func newManager(t *testing.T) *manager {
	path := filepath.Join(shortDir(t), "n")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return &manager{conn, path}
}

// next is the next news that begins so.
func (m *manager) next(t *testing.T, begin string) string {
	t.Helper()
	buf := make([]byte, 4096)
	for {
		n, err := m.conn.Read(buf)
		require.NoError(t, err)
		if s := string(buf[:n]); strings.HasPrefix(s, begin) {
			return s
		}
	}
}

func TestSyncTellsTheServiceManager(t *testing.T) {
	ns := syncNS(t)
	file := write(t, filepath.Join(t.TempDir(), "want"), "route add 20.0.0.0/8 dev d0 table 100\n")
	m := newManager(t)
	cmd, log := process(t, "sync", "-n", ns.Name(), "--from", file, "--table", "100", "--socket", filepath.Join(shortDir(t), "s"))
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+m.path)
	require.NoError(t, cmd.Start())
	m.next(t, "READY=1")
	assert.Contains(t, ns.IP("route show table 100"), "20.0.0.0/8", "ready means that it is there")
	reload := func(text string) {
		write(t, file, text)
		require.NoError(t, cmd.Process.Signal(syscall.SIGHUP))
		m.next(t, "RELOADING=1")
		m.next(t, "READY=1")
	}
	reload("route add 20.0.0.0/8 dev d0 table 100\nroute add 21.0.0.0/8 dev d0 table 100\n")
	assert.Contains(t, ns.IP("route show table 100"), "21.0.0.0/8")
	reload("route add nonsense\n")
	assert.Contains(t, ns.IP("route show table 100"), "21.0.0.0/8", "a mistake changes nothing")
	reload("route add 22.0.0.0/8 dev d0 table 100\n")
	assert.Contains(t, ns.IP("route show table 100"), "22.0.0.0/8")
	assert.NotContains(t, ns.IP("route show table 100"), "21.0.0.0/8")
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	m.next(t, "STOPPING=1")
	require.NoError(t, cmd.Wait(), "%s", log)
	assert.Contains(t, log.String(), "msg=\"reload failed\"")
	assert.Empty(t, ns.IP("route show table 100"))
}

// A namespace that is a source is followed; when it goes, all stays and that is told.
func TestSyncFollowsANamespace(t *testing.T) {
	ns, from := syncNS(t), syncNS(t)
	from.IP("route add 20.0.0.0/8 via 10.0.0.9 dev d0 table 100")
	name := filepath.Join(t.TempDir(), "from")
	require.NoError(t, os.Symlink(from.Path(), name))
	for _, service := range []bool{true, false} {
		args := []string{"sync", "-n", ns.Name(), "--from-netns", name, "--table", "100"}
		if service {
			args = append(args, "--listen", "127.0.0.1:0")
		}
		cmd, log := process(t, args...)
		require.NoError(t, cmd.Start())
		arrives := func(dst string) {
			ns.WaitFor(dst+" arrives", func() string {
				if s, _, _ := ns.TryIP("route show table 100"); !strings.Contains(s, dst) {
					return "not yet: " + s
				}
				return ""
			})
		}
		arrives("20.0.0.0/8")
		from.IP("route add 21.0.0.0/8 via 10.0.0.9 dev d0 table 100")
		arrives("21.0.0.0/8")
		require.NoError(t, os.Remove(name))
		require.Error(t, cmd.Wait())
		assert.NotZero(t, cmd.ProcessState.ExitCode())
		assert.Contains(t, log.String(), "the source of the desired state has ended")
		assert.Contains(t, log.String(), "the network namespace is gone")
		assert.Contains(t, log.String(), "what was written to network namespace "+`"`+ns.Name()+`"`+" stays")
		assert.Contains(t, ns.IP("route show table 100"), "21.0.0.0/8")
		require.NoError(t, os.Symlink(from.Path(), name))
		from.IP("route del 21.0.0.0/8 table 100")
		ns.IP("route flush table 100")
	}
}

func TestSyncServiceRefusesWhatCannotBe(t *testing.T) {
	netnstest.Require(t)
	file := write(t, filepath.Join(t.TempDir(), "want"), "route add 10.0.0.0/8 dev lo table 100\n")
	for _, c := range []struct{ args, want string }{
		{"--once --socket s", "leave out --once"}, {"--dry-run --listen 127.0.0.1:0", "leave out --once"}, {"--log-level loud", "use debug, info"},
	} {
		r := fibula(t, "", append([]string{"sync", "--from", file, "--table", "100"}, strings.Fields(c.args)...)...)
		assert.NotZero(t, r.code)
		assert.Contains(t, r.stderr, c.want)
	}
}
