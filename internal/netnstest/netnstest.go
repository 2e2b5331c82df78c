package netnstest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// NS is one network namespace that lives as long as its test. Its methods may be
// called from several goroutines; those that fail the test must be called from
// the test's own, as testing.TB.FailNow asks.
type NS struct {
	t    testing.TB
	name string
}

// Option prepares a namespace before [New] returns it.
type Option func(*NS)

// LoUp sets the loopback link up.
func LoUp(ns *NS) { ns.IP("link set lo up") }

// quiet are the sysctls of [Quiet].
var quiet = [...][2]string{
	{"net.ipv6.conf.default.addr_gen_mode", "1"},
	{"net.ipv6.conf.default.accept_dad", "0"},
	{"net.ipv6.conf.default.router_solicitations", "0"},
	{"net.ipv4.conf.default.rp_filter", "0"},
	{"net.ipv4.conf.all.rp_filter", "0"},
}

// Quiet leaves only what the test configures: links made after it get no
// link-local address by themselves, addresses need no duplicate detection, no
// router is solicited and no source is filtered by reverse path.
func Quiet(ns *NS) {
	for _, kv := range quiet {
		ns.Sysctl(kv[0], kv[1])
	}
}

// serial numbers the namespaces of this process.
var serial atomic.Uint64

// New makes a namespace with a name of its own, applies opts in order and removes
// the namespace when t ends. It skips or fails t as [Require] does, also where the
// machine forbids namespaces (a container without CAP_SYS_ADMIN, say).
func New(t testing.TB, opts ...Option) *NS {
	t.Helper()
	Require(t)
	ns := &NS{t: t}
	for {
		ns.name = fmt.Sprintf("fibtest-%d-%d", os.Getpid(), serial.Add(1))
		if _, err := os.Lstat(ns.Path()); err == nil {
			continue // left by a killed process that had our pid
		}
		if out, err := exec.Command("ip", "netns", "add", ns.name).CombinedOutput(); err != nil {
			unavailable(t, fmt.Sprintf("ip netns add %s: %v: %s", ns.name, err, bytes.TrimSpace(out)))
		}
		break
	}
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "del", ns.name).CombinedOutput(); err != nil {
			t.Errorf("ip netns del %s: %v: %s", ns.name, err, bytes.TrimSpace(out))
		}
	})
	for _, opt := range opts {
		opt(ns)
	}
	return ns
}

// Require skips t, or fails it under CI=true, where namespaces cannot be made:
// not on Linux, not root, no ip command. With "go test -short" it always skips.
func Require(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("asks the kernel, which takes long")
	}
	if why := missing(); why != "" {
		unavailable(t, why)
	}
}

func unavailable(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("kernel test cannot run, which CI=true forbids: %s", why)
	}
	t.Skipf("kernel test skipped: %s", why)
}

// Name is what "ip -n" and "fibula -n" take.
func (ns *NS) Name() string { return ns.name }

// Path is the file that holds the namespace open.
func (ns *NS) Path() string { return filepath.Join("/run/netns", ns.name) }

// IP runs one "ip" command line in the namespace, split at white space, such as
// "-6 route add default via fe80::1 dev v0". It returns what ip printed and stops
// the test if ip failed.
func (ns *NS) IP(line string) string {
	ns.t.Helper()
	stdout, stderr, code := ns.TryIP(line)
	if code != 0 {
		ns.t.Fatalf("ip -n %s %s: exit %d: %s%s", ns.name, line, code, stderr, stdout)
	}
	return stdout
}

// TryIP is [NS.IP] for commands that may fail: it returns what ip said and its
// exit code.
func (ns *NS) TryIP(line string) (stdout, stderr string, code int) {
	ns.t.Helper()
	return ns.run("", strings.Fields(line)...)
}

// Batch feeds command lines without the leading "ip" to "ip -batch", which is far
// faster than [NS.IP] for many. Lines run in order, may start with -4 or -6, and
// the first that fails stops the test, which then names it.
func (ns *NS) Batch(lines ...string) {
	ns.t.Helper()
	for len(lines) > 0 {
		family, n := splitFamily(lines)
		var in strings.Builder
		for _, line := range lines[:n] {
			_, rest := cutFamily(line)
			in.WriteString(rest + "\n")
		}
		args := append(family, "-batch", "-")
		if stdout, stderr, code := ns.run(in.String(), args...); code != 0 {
			ns.t.Fatalf("ip -n %s %s: exit %d: %s%sthe failing line: %s",
				ns.name, strings.Join(args, " "), code, stderr, stdout, failedLine(stderr, lines[:n]))
		}
		lines = lines[n:]
	}
}

// splitFamily counts the leading lines that share one family option: ip takes
// -4 and -6 for a whole batch only.
func splitFamily(lines []string) (family []string, n int) {
	first, _ := cutFamily(lines[0])
	for n = 1; n < len(lines); n++ {
		if f, _ := cutFamily(lines[n]); f != first {
			break
		}
	}
	if first != "" {
		family = []string{first}
	}
	return family, n
}

func cutFamily(line string) (family, rest string) {
	line = strings.TrimSpace(line)
	for _, f := range [...]string{"-4", "-6"} {
		if rest, ok := strings.CutPrefix(line, f+" "); ok {
			return f, rest
		}
	}
	return "", line
}

// failedLine finds the line that ip named by number ("Command failed -:17").
func failedLine(stderr string, lines []string) string {
	var n int
	if _, after, ok := strings.Cut(stderr, "Command failed -:"); ok {
		fmt.Sscanf(after, "%d", &n)
	}
	if n < 1 || n > len(lines) {
		return "not named by ip"
	}
	return lines[n-1]
}

// run starts ip in the namespace. An ip that cannot be started stops the test.
func (ns *NS) run(stdin string, args ...string) (stdout, stderr string, code int) {
	ns.t.Helper()
	cmd := exec.Command("ip", append([]string{"-n", ns.name}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		ns.t.Fatalf("%s: %v", strings.Join(cmd.Args, " "), err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// Command prepares a program to be run inside the namespace through "ip netns
// exec", which also gives it the namespace's own /sys.
func (ns *NS) Command(name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ns.t.Context(), "ip", append([]string{"netns", "exec", ns.name, name}, args...)...)
}
