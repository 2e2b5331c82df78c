package main

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/internal/netnstest"
)

// TestGetIsLikeIP asks ip and fibula the same in a namespace: exit code and
// standard output must be equal, and what the kernel refuses in standard error too.
func TestGetIsLikeIP(t *testing.T) {
	ns := netnstest.New(t, netnstest.Quiet, netnstest.LoUp)
	ns.Sysctl("net.ipv4.ip_forward", "1")
	ns.Batch("link add v0 type veth peer name v1", "link set v1 up", "link set v0 up",
		"addr add 192.0.2.2/24 dev v0", "addr add 2001:db8::2/64 dev v0")
	ns.Settle()
	ns.Batch("route add default via 192.0.2.1 mtu 1400", "route add blackhole 10.1.0.0/16", "route add unreachable 10.2.0.0/16",
		"route add prohibit 10.3.0.0/16", "rule add pref 10 fwmark 7 unreachable", "rule add pref 11 uidrange 70-71 blackhole",
		"-6 route add default via 2001:db8::1", "-6 route add prohibit fc00::/7", "-6 rule add pref 10 fwmark 7 prohibit")
	for _, words := range []string{
		"198.51.100.1", "to 198.51.100.1", "198.51.100.1 from 192.0.2.2", "198.51.100.1 oif v0", "192.0.2.2", "192.0.2.255", "127.0.0.1",
		"fibmatch 198.51.100.1", "fibmatch 192.0.2.2", "connected 198.51.100.1", "connected 127.0.0.1", "connected 198.51.100.1 from 192.0.2.2",
		"198.51.100.1 from 203.0.113.7 iif v0", "198.51.100.1 iif v0", "198.51.100.1/24",
		"10.1.2.3", "10.2.2.3", "10.3.2.3", "198.51.100.1 mark 7", "198.51.100.1 uid 70", "198.51.100.1 from 203.0.113.7",
		"2001:db8:1::1", "2001:db8::2", "::1", "fc00::1", "2001:db8:1::1 mark 7", "fibmatch 2001:db8:1::1", "connected 2001:db8:1::1",
		"", "nonsense", "198.51.100.1 nonsense", "198.51.100.1 oif nowhere", "198.51.100.1 iif nowhere", "198.51.100.1 vrf v0",
		"198.51.100.1 mark", "198.51.100.1 mark zz", "198.51.100.1 tos zz", "198.51.100.1 ipproto zz", "198.51.100.1 sport 70000",
		"198.51.100.1 uid zz", "198.51.100.1 from nonsense", "from 192.0.2.2", "300.0.0.1",
	} {
		for _, opts := range []string{"", "-o", "-j", "-4", "-6", "-j -p"} {
			line := strings.TrimSpace(opts + " route get " + words)
			stdout, stderr, code := ns.TryIP(line)
			args := append([]string{"-n", ns.Name(), "get"}, strings.Fields(opts)...)
			var out, errs strings.Builder
			got := run(context.Background(), append(args, strings.Fields(words)...), strings.NewReader(""), &out, &errs)
			assert.Equal(t, code, got, "ip %s: %s%s; fibula: %s", line, stdout, stderr, errs.String())
			if !strings.Contains(opts, "-j") {
				assert.Equal(t, stdout, out.String(), "ip %s", line)
			}
			if code == 2 {
				assert.Contains(t, errs.String(), strings.TrimSpace(stderr), "ip %s", line)
			}
		}
	}
}

func TestMissingNamespaceIsLikeIP(t *testing.T) {
	netnstest.Require(t)
	r := fibula(t, "", "-n", "fibtest-no-such-namespace", "get", "192.0.2.1")
	assert.Equal(t, 255, r.code)
	assert.Contains(t, r.stderr, "fibtest-no-such-namespace")
}

func TestNamespaceByNameOrPath(t *testing.T) {
	ns := netnstest.New(t, netnstest.Quiet, netnstest.LoUp)
	ns.Batch("addr add 192.0.2.9/32 dev lo")
	named := fibula(t, "", "-n", ns.Name(), "get", "192.0.2.9")
	require.Zero(t, named.code, named.stderr)
	assert.Equal(t, named, fibula(t, "", "-n", "/run/netns/"+ns.Name(), "get", "192.0.2.9"))
	for _, path := range []string{"/no/such/file", "/dev/null"} {
		r := fibula(t, "", "-n", path, "get", "192.0.2.9")
		assert.NotZero(t, r.code, path)
		assert.Contains(t, r.stderr, path)
	}
}
