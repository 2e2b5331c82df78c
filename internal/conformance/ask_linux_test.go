package conformance_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/conformance"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/iproute"
	"github.com/fibula-net/fibula/ksync"
)

// row proves the statements whose numbers its name has: a configuration, and
// queries with the answer that both the kernel and fibula must give.
type row struct {
	name   string
	sysctl []string // "key=value", set after the links are made
	setup  []string // lines of ip(8), after those of the host
	asks   []ask
}

// ask is the words of "ip route get" and the answer as [tell] puts it.
type ask struct{ query, want string }

// The host of every row: two links with one address of each family, and what
// routing needs to be the same on every kernel.
var host = []string{
	"link add d0 type veth peer name p0", "link add d1 type veth peer name p1",
	"link set d0 up", "link set p0 up", "link set d1 up", "link set p1 up",
	"addr add 10.1.0.1/24 dev d0", "addr add 2001:db8:1::1/64 dev d0",
	"addr add 10.2.0.1/24 dev d1", "addr add 2001:db8:2::1/64 dev d1",
}

func newHost(t *testing.T, sysctl []string, setup ...string) *netnstest.NS {
	t.Helper()
	ns := netnstest.New(t, netnstest.Quiet, netnstest.LoUp)
	ns.Batch(host...)
	for _, kv := range sysctl {
		k, v, _ := strings.Cut(kv, "=")
		if err := ns.TrySysctl(k, v); errors.Is(err, fs.ErrNotExist) {
			t.Skipf("this kernel has no %s", k)
		} else {
			require.NoError(t, err, kv)
		}
	}
	ns.Settle()
	if len(setup) > 0 {
		ns.Batch(setup...)
		ns.Settle()
	}
	return ns
}

// client is a namespace as both see it: fibula's snapshot and the kernel itself.
type client struct {
	t *testing.T
	s *fib.Snapshot
	q *ksync.Querier
}

func load(t *testing.T, ns *netnstest.NS) *client {
	t.Helper()
	name := ksync.Named(ns.Name())
	f, err := ksync.Load(t.Context(), ksync.Options{NetNS: name})
	require.NoError(t, err)
	q, err := ksync.OpenQuerier(name)
	require.NoError(t, err)
	t.Cleanup(q.Close)
	return &client{t, f.Snapshot(), q}
}

func (c *client) flow(query string) fib.Flow {
	c.t.Helper()
	q, err := iproute.ParseGet(strings.Fields(query), iproute.Env{})
	require.NoError(c.t, err, query)
	f, err := q.Flow(c.s)
	require.NoError(c.t, err, query)
	return f
}

// kernel is the kernel's answer to a query, asked plain and then with fibmatch.
func (c *client) kernel(query string) string {
	c.t.Helper()
	f := c.flow(query)
	reply, errno, err := c.q.Get(f, ksync.LookupTable)
	require.NoError(c.t, err, query)
	match, matchErrno, err := c.q.Get(f, ksync.LookupTable|ksync.FibMatch)
	require.NoError(c.t, err, query)
	return tell(c.s, &reply, errno, &match, matchErrno)
}

// agree requires the wanted answer of the kernel, and of fibula the kernel's
// answer in every field, by both of its walks.
func (c *client) agree(query, want string) {
	c.t.Helper()
	f := c.flow(query)
	d := c.s.Resolve(f)
	stored, route, found := c.s.FibMatch(f)
	reply, errno, err := c.q.Get(f, ksync.LookupTable)
	require.NoError(c.t, err, query)
	match, matchErrno, err := c.q.Get(f, ksync.LookupTable|ksync.FibMatch)
	require.NoError(c.t, err, query)
	assert.Equal(c.t, want, tell(c.s, &reply, errno, &match, matchErrno), "the kernel, %s", query)
	assert.Zero(c.t, d.Undetermined, "fibula is not certain of %s", query)
	assert.Empty(c.t, ksync.Differences(f, d, route.Metrics, &reply, errno), query)
	assert.Empty(c.t, ksync.MatchDifferences(f, stored, route, found, &match, matchErrno), query)
	assert.True(c.t, d == c.s.Explain(f).Decision, "Explain, %s", query)
}

// tell is the kernel's answer in one line: the reply's type, table and way, and the
// prefix of the route behind it ("-" where there is none).
func tell(s *fib.Snapshot, reply *ksync.Reply, errno fib.Errno, match *ksync.Reply, matchErrno fib.Errno) string {
	if errno != 0 {
		return errno.Name()
	}
	r := &reply.Route
	b := &strings.Builder{}
	table, prefix := "-", "-"
	if r.Table != 0 {
		table = r.Table.String()
	}
	if matchErrno == 0 {
		prefix = match.Route.Dst.String()
		if match.Route.Src.IsValid() && match.Route.Src.Bits() > 0 {
			prefix += " from " + match.Route.Src.String()
		}
	}
	fmt.Fprintf(b, "%v %s %s", r.Type, table, prefix)
	if reply.Gateway.IsValid() {
		fmt.Fprintf(b, " via %v", reply.Gateway)
	}
	l, _ := s.Link(reply.Oif)
	fmt.Fprintf(b, " dev %s", l.Name)
	if r.PrefSrc.IsValid() {
		fmt.Fprintf(b, " src %v", r.PrefSrc)
	}
	if r.TOS != 0 {
		fmt.Fprintf(b, " tos %#x", r.TOS)
	}
	if m := r.Metrics.Values[fib.MetricMTU]; m != 0 {
		fmt.Fprintf(b, " mtu %d", m)
	}
	return b.String()
}

func runRows(t *testing.T, rows []row) {
	netnstest.Require(t)
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			numbers := conformance.NumbersIn(r.name)
			require.NotEmpty(t, numbers, "a row names its statements")
			conformance.Covers(t, numbers...)
			c := load(t, newHost(t, r.sysctl, r.setup...))
			for _, a := range r.asks {
				c.agree(a.query, a.want)
			}
		})
	}
}

// scan is the namespace as plain data.
func scan(t *testing.T, ns *netnstest.NS) fib.State {
	t.Helper()
	st, _, err := ksync.Scan(t.Context(), ksync.Options{NetNS: ksync.Named(ns.Name())})
	require.NoError(t, err)
	return st
}

// prefixes are the destinations of a table's routes, as dumped.
func prefixes(st *fib.State, f fib.Family, table fib.TableID) (out []netip.Prefix) {
	for _, r := range st.Routes {
		if r.Family() == f && r.Table == table {
			out = append(out, r.Dst)
		}
	}
	return slices.Clip(out)
}

// onOneCPU runs fn with its thread on one processor: entries that the kernel keeps
// are kept by processor.
func onOneCPU(t *testing.T, fn func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all, one unix.CPUSet
	require.NoError(t, unix.SchedGetaffinity(0, &all))
	for i := range 1024 {
		if all.IsSet(i) {
			one.Set(i)
			break
		}
	}
	require.NoError(t, unix.SchedSetaffinity(0, &one))
	defer func() { require.NoError(t, unix.SchedSetaffinity(0, &all)) }()
	fn()
}

// fileHas returns an error unless n lines of a file begin with a text.
func fileHas(file, begin string, n int) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	found := 0
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, begin) {
			found++
		}
	}
	if found != n {
		return fmt.Errorf("%s has %d lines %q, want %d:\n%s", file, found, begin, n, b)
	}
	return nil
}
