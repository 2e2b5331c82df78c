package netnstest

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNamespaceIsApartAndGoesWithItsTest(t *testing.T) {
	var path string
	t.Run("inside", func(t *testing.T) {
		a, b := New(t, Quiet, LoUp), New(t)
		path = a.Path()
		require.FileExists(t, path)
		require.NotEqual(t, a.Name(), b.Name())

		a.IP("link add dum0 type veth peer name dum1")
		assert.Contains(t, a.IP("-o link show"), "dum0")
		assert.NotContains(t, b.IP("-o link show"), "dum0")
		assert.Contains(t, a.IP("-o link show lo"), "LOWER_UP")
		assert.NotContains(t, b.IP("-o link show lo"), "LOWER_UP")

		v, err := a.ReadSysctl("net.ipv6.conf.dum0.addr_gen_mode")
		require.NoError(t, err)
		assert.Equal(t, "1", v, "a link made after Quiet inherits it")
	})
	if path != "" {
		assert.NoFileExists(t, path)
	}
}

func TestDoRunsInsideAndComesBack(t *testing.T) {
	ns := New(t)
	ns.IP("link add dum0 type veth peer name dum1")
	links := func() string {
		b, err := os.ReadFile("/proc/thread-self/net/dev")
		require.NoError(t, err)
		return string(b)
	}
	runtime.LockOSThread() // so that "before" and "after" are one thread
	defer runtime.UnlockOSThread()
	assert.NotContains(t, links(), "dum0:")
	boom := errors.New("boom")
	assert.ErrorIs(t, ns.Do(func() error {
		assert.Contains(t, links(), "dum0:")
		return boom
	}), boom)
	assert.NotContains(t, links(), "dum0:")

	assert.Panics(t, func() { _ = ns.Do(func() error { panic(boom) }) })
	assert.NotContains(t, links(), "dum0:", "a panic must not leave the thread inside")

	out, err := ns.Command("ip", "-o", "link", "show").Output()
	require.NoError(t, err)
	assert.Contains(t, string(out), "dum0")
}

func TestIPReportsFailure(t *testing.T) {
	ns := New(t)
	_, stderr, code := ns.TryIP("route add 192.0.2.0/24 dev nosuch")
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "nosuch")
	_, stderr, code = ns.TryIP("route get 192.0.2.1")
	assert.Equal(t, 2, code)
	assert.Contains(t, stderr, "RTNETLINK answers: Network is unreachable")
}

func TestBatchKeepsOrderAcrossFamilies(t *testing.T) {
	ns := New(t, LoUp)
	ns.Batch(
		"route add blackhole 192.0.2.0/24",
		"-6 rule add priority 7 fwmark 1 lookup 9",
		"route add blackhole 2001:db8::/32",
		"-4 rule add priority 8 fwmark 2 lookup 9",
		"route del blackhole 192.0.2.0/24",
	)
	assert.NotContains(t, ns.IP("route show"), "192.0.2.0/24")
	assert.Contains(t, ns.IP("-6 route show"), "2001:db8::/32")
	assert.Contains(t, ns.IP("-6 rule show"), "\n7:")
	assert.NotContains(t, ns.IP("-4 rule show"), "\n7:")
	assert.Contains(t, ns.IP("-4 rule show"), "\n8:")
}

func TestSysctl(t *testing.T) {
	ns := New(t)
	ns.IP("link add d.5 type veth peer name d.6")
	for _, key := range []string{"net/ipv4/conf/d.5/rp_filter", "net.ipv4.conf.d/5.rp_filter", "net.ipv4.conf.default.rp_filter"} {
		ns.Sysctl(key, "2")
		v, err := ns.ReadSysctl(key)
		require.NoError(t, err)
		assert.Equal(t, "2", v, key)
	}
	assert.ErrorIs(t, ns.TrySysctl("net.ipv4.no_such_key", "1"), fs.ErrNotExist)
}

func TestSettleWaitsForCarrier(t *testing.T) {
	ns := New(t, LoUp)
	ns.Batch("link add v0 type veth peer name v1", "link set v0 up", "link set v1 up",
		"address add 192.0.2.1/24 dev v0", "address add 2001:db8::1/64 dev v0")
	ns.Settle()
	assert.Contains(t, ns.IP("-o link show v0"), "state UP")
	assert.NotContains(t, ns.IP("-o -6 address show v0"), "tentative")
	ns.IP("link set v1 down")
	ns.Settle()
	assert.Contains(t, ns.IP("route show"), "linkdown", "the routes have heard of the lost carrier")
}

func TestUnsettledNamesWhatIsAmiss(t *testing.T) {
	for _, tc := range []struct{ links, amiss string }{
		{`[{"ifname":"a","flags":["BROADCAST"],"operstate":"UP"}]`, ""},
		{`[{"ifname":"a","flags":["UP","LOWER_UP"],"operstate":"UNKNOWN"}]`, ""},
		{`[{"ifname":"a","flags":["UP","LOWER_UP"],"operstate":"DOWN"}]`, "link a has carrier true but state DOWN"},
		{`[{"ifname":"a","flags":["NO-CARRIER","UP"],"operstate":"UP"}]`, "link a has carrier false but state UP"},
		{`[{"ifname":"a","flags":["NO-CARRIER","UP"],"operstate":"LOWERLAYERDOWN","addr_info":[{"local":"::1","tentative":true}]}]`, ""},
		{`[{"ifname":"a","flags":["UP","LOWER_UP"],"operstate":"UP","addr_info":[{"local":"::1","tentative":true}]}]`, "address ::1 on a is tentative"},
		{`[{"ifname":"a","flags":["UP","LOWER_UP"],"operstate":"UP","addr_info":[{"local":"::1","tentative":true,"dadfailed":true}]}]`, ""},
	} {
		links, err := parseLinks([]byte(tc.links))
		require.NoError(t, err)
		require.Len(t, links, 1)
		assert.Equal(t, tc.amiss, links[0].unsettled(), tc.links)
	}
}

func TestFailedLineIsFoundByNumber(t *testing.T) {
	lines := strings.Split("one two three", " ")
	assert.Equal(t, "two", failedLine("RTNETLINK answers: File exists\nCommand failed -:2\n", lines))
	assert.Equal(t, "not named by ip", failedLine("Command failed -:9\n", lines))
	assert.Equal(t, "not named by ip", failedLine("", lines))
}

func TestSysctlPath(t *testing.T) {
	assert.Equal(t, "/proc/sys/net/ipv4/ip_forward", sysctlPath("net.ipv4.ip_forward"))
	assert.Equal(t, "/proc/sys/net/ipv4/conf/eth0.5/forwarding", sysctlPath("net.ipv4.conf.eth0/5.forwarding"))
	assert.Equal(t, "/proc/sys/net/ipv4/conf/eth0.5/forwarding", sysctlPath("net/ipv4/conf/eth0.5/forwarding"))
}

// recorder is a testing.TB that remembers how unavailable ended the test.
type recorder struct {
	testing.TB
	end string
}

func (r *recorder) Helper()               {}
func (r *recorder) Skipf(string, ...any)  { r.end = "skipped"; runtime.Goexit() }
func (r *recorder) Fatalf(string, ...any) { r.end = "failed"; runtime.Goexit() }

func TestMissingKernelFailsOnlyUnderCI(t *testing.T) {
	for ci, want := range map[string]string{"": "skipped", "true": "failed"} {
		t.Setenv("CI", ci)
		var r recorder
		done := make(chan struct{})
		go func() {
			defer close(done)
			unavailable(&r, "no root")
		}()
		<-done
		assert.Equal(t, want, r.end, "CI=%q", ci)
	}
}

func TestFeatureIsTriedOutAndMissed(t *testing.T) {
	Require(t)
	assert.True(t, Has(t, Feature{"loopback", func(ns *NS) bool { return ns.IP("link show lo") != "" }}))
	absent := Feature{"a sysctl that no kernel has", func(ns *NS) bool { return ns.TrySysctl("net.ipv4.no_such_thing", "1") == nil }}
	assert.False(t, Has(t, absent))
	t.Setenv("CI", "true")
	var r recorder
	done := make(chan struct{})
	go func() {
		defer close(done)
		Need(&r, absent)
	}()
	<-done
	assert.Equal(t, "skipped", r.end, "under CI=true too")
}
