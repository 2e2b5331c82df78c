package iproute

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/internal/rtnl"
	"github.com/fibula-net/fibula/rules"
)

// richNamespace has a route for everything that ip prints in words of its own.
func richNamespace(t *testing.T) *netnstest.NS {
	ns := netnstest.New(t, netnstest.Quiet, netnstest.LoUp)
	ns.Batch(
		"link add d0 type veth peer name d0p", "link add d1 type veth peer name d1p",
		"link set d0p up", "link set d1p up", "link set d0 up", "link set d1 up",
		"addr add 10.1.0.1/24 dev d0", "addr add 10.2.0.1/24 dev d1",
		"addr add 2001:db8:1::1/64 dev d0 nodad", "addr add 2001:db8:2::1/64 dev d1 nodad",
		"route add 10.10.0.0/16 via 10.1.0.2 metric 5 proto static src 10.2.0.1",
		"route add 10.11.0.0/16 via 10.1.0.2 mtu lock 1300 advmss 1200 realms 3/7 features ecn rto_min 1500ms congctl reno initcwnd 10 rtt 3s rttvar 20ms hoplimit 44 quickack 1 window 1000 cwnd 5 ssthresh 9 reordering 4 initrwnd 8 fastopen_no_cookie 1",
		"route add 10.12.0.0/16 via inet6 2001:db8:1::9 dev d0 realms 4 proto 55",
		"route add 10.13.0.0/16 nexthop via 10.1.0.2 dev d0 weight 3 nexthop via 10.2.0.2 dev d1 onlink",
		"route add 10.14.0.0/16 tos 0x10 via 10.1.0.2", "route add 10.14.0.0/16 tos 0x28 via 10.2.0.2",
		"route add 10.15.0.0/16 via 10.77.0.1 dev d0 onlink",
		"route add broadcast 10.16.0.0/16 dev d0", "route add anycast 10.17.0.0/16 dev d0", "route add multicast 10.18.0.0/16 dev d0",
		"route add 10.19.0.0/16 encap ip id 5 dst 1.2.3.4 via 10.1.0.2", "route add 10.20.0.0/16 dev d0 scope 77",
		"route add local 10.21.0.0/16 dev lo", "route add unreachable 10.22.0.0/16",
		"route add table 100 default via 10.2.0.2", "rule add fwmark 0x64 table 100",
		"nexthop add id 5 via 10.1.0.2 dev d0", "nexthop add id 6 via 10.2.0.2 dev d1", "nexthop add id 10 group 5,2/6",
		"route add 10.23.0.0/16 nhid 5", "route add 10.24.0.0/16 nhid 10",
		// An IPv6 object keeps one copy for all its routes (D22a): none is shared here.
		"nexthop add id 7 via 2001:db8:1::2 dev d0", "nexthop add id 8 via 2001:db8:2::2 dev d1",
		"nexthop add id 9 via 2001:db8:1::2 dev d0", "nexthop add id 11 group 8/9",
		"-6 route add 2001:db8:10::/48 via 2001:db8:1::2 mtu 1400 metric 7 proto bird pref high",
		"-6 route add 2001:db8:11::/48 nexthop via 2001:db8:1::2 dev d0 weight 2 nexthop via 2001:db8:2::2 dev d1",
		"-6 route add 2001:db8:12::/48 from 2001:db8:1::/64 via 2001:db8:1::2",
		"-6 route add 2001:db8:13::/48 via 2001:db8:1::2 src 2001:db8:2::1 hoplimit 9 pref low",
		"-6 route add 2001:db8:14::/48 encap seg6 mode encap segs fc00::1,fc00::2 dev d0",
		"-6 route add 2001:db8:15::/48 nhid 7", "-6 route add 2001:db8:16::/48 nhid 11",
		"-6 route add 2001:db8:17::/48 dev d0 table 200", "-6 rule add fwmark 0x64 table 200",
		"-6 route add default via 2001:db8:2::2 expires 3600",
		"-6 route add 2001:db8:18::/48 encap ip6 id 9 dst fc00::5 hoplimit 3 dev d0",
		"route add default via 10.1.0.9",
	)
	for _, dev := range []string{"d0", "d1"} {
		ns.Sysctl("net.ipv4.conf."+dev+".forwarding", "1")
	}
	return ns
}

// asker asks a kernel through its own socket.
type asker struct {
	t   *testing.T
	fd  int
	seq uint32
}

func newAsker(t *testing.T, ns *netnstest.NS) *asker {
	a := &asker{t: t}
	require.NoError(t, ns.Do(func() (err error) {
		a.fd, err = syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, syscall.NETLINK_ROUTE)
		return err
	}))
	t.Cleanup(func() { assert.NoError(t, syscall.Close(a.fd)) })
	return a
}

func (a *asker) ask(f *fib.Flow, flags uint32) (rtnl.Reply, fib.Errno) {
	a.seq++
	req, err := rtnl.AppendRouteQuery(nil, a.seq, f, flags)
	require.NoError(a.t, err)
	require.NoError(a.t, syscall.Sendto(a.fd, req, 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}))
	buf := make([]byte, 1<<16)
	n, _, err := syscall.Recvfrom(a.fd, buf, 0)
	require.NoError(a.t, err)
	m, _, err := rtnl.Next(buf[:n])
	require.NoError(a.t, err)
	if m.Type == rtnl.NLMSG_ERROR {
		e, _ := rtnl.DecodeError(m)
		return rtnl.Reply{}, e
	}
	var r rtnl.Reply
	require.NoError(a.t, rtnl.DecodeReply(m, &r, &rtnl.Report{}))
	return r, 0
}

// kernelLinks reads the names of the links.
func kernelLinks(t *testing.T, ns *netnstest.NS) testLinks {
	var links testLinks
	for line := range strings.Lines(ns.IP("-o link")) {
		var index int32
		var name string
		_, err := fmt.Sscanf(line, "%d: %s", &index, &name)
		require.NoError(t, err)
		name, _, _ = strings.Cut(strings.TrimSuffix(name, ":"), "@")
		links = append(links, fib.Link{Index: index, Name: name})
	}
	return links
}

var printedQueries = func() []string {
	qs := []string{"10.1.0.1", "127.0.0.1", "10.1.0.255", "255.255.255.255 oif d0", "239.1.1.1 oif d0", "0.0.0.0", "10.1.0.9", "1.2.3.4 mark 0x64",
		"1.2.3.4 mark 5", "1.2.3.4 uid 7 from 10.1.0.1", "1.2.3.4 from 0.0.0.0", "10.14.1.1 tos 0x10", "10.14.1.1 tos AF11", "10.11.0.1 from 10.2.0.9 iif d1",
		"10.1.0.1 from 10.2.0.9 iif d1", "10.23.0.1 from 10.1.0.9 iif d0", "255.255.255.255 from 10.1.0.9 iif d0", "224.0.0.1 iif d0", "10.9 uid 4294967295",
		"99.0.0.1 from 10.2.0.9 iif d1 uid 5", "::1", "2001:db8:1::1", "2001:db8:1::9", "ff02::1 oif d0", "fe80::1 oif d0", "2001:db8:17::1 mark 0x64",
		"2001:db8:99::1", "2001:db8:99::1 from 2001:db8:1::1", "2001:db8:12::1 from 2001:db8:1::1", "2001:db8:10::1 from 2001:db8:2::9 iif d1", "::", "2001:db8:13::1 iif d0",
		"::ffff:1.2.3.4"}
	for i := 10; i <= 24; i++ {
		qs = append(qs, fmt.Sprintf("10.%d.1.1", i))
	}
	for i := 10; i <= 18; i++ {
		qs = append(qs, fmt.Sprintf("2001:db8:%d::1", i))
	}
	return qs
}()

// ipBatch is what ip prints for several queries with the given options.
func ipBatch(t *testing.T, ns *netnstest.NS, options string, queries []string) string {
	args := append([]string{"-n", ns.Name()}, strings.Fields(options)...)
	cmd := exec.Command("ip", append(args, "-batch", "-")...)
	cmd.Stdin = strings.NewReader("route get " + strings.Join(queries, "\nroute get ") + "\n")
	out, err := cmd.Output()
	require.NoError(t, err, "%s", cmd)
	return string(out)
}

// A kernel's answer prints as ip prints it, byte for byte, in every form.
func TestPrintsAsIP(t *testing.T) {
	ns := richNamespace(t)
	links, kernel := kernelLinks(t, ns), newAsker(t, ns)
	names, _ := LoadNames(rootFS())
	var queries []string
	var answers []rtnl.Reply
	for _, query := range printedQueries {
		for _, mode := range []string{"", "fibmatch "} {
			q, err := parseLine(mode+query, Env{Names: names})
			require.NoError(t, err)
			f, err := q.Flow(links)
			require.NoError(t, err, query)
			flags := uint32(0)
			if q.Family == fib.Inet {
				flags = rtnl.RTM_F_LOOKUP_TABLE
			}
			if q.FibMatch {
				flags |= rtnl.RTM_F_FIB_MATCH
			}
			answer, e := kernel.ask(&f, flags)
			if e == 0 {
				queries, answers = append(queries, mode+query), append(answers, answer)
				continue
			}
			_, stderr, code := ns.TryIP("route get " + mode + query)
			assert.Equal(t, Answers(e)+"\n", stderr, query)
			assert.Equal(t, ExitRefused, code, query)
		}
	}
	assert.Greater(t, len(answers), 80)
	for form, p := range map[string]Printer{"": {}, "-N": {}, "-o": {Oneline: true}, "-j": {JSON: true}, "-j -p": {JSON: true, Pretty: true}, "-j -N": {JSON: true}} {
		p.Links, p.StrictIP, p.Names = links, true, names
		if strings.Contains(form, "-N") {
			p.Names = &Names{Numeric: true}
		}
		var ours []byte
		for i := range answers {
			r := KernelReply(&answers[i], strings.HasPrefix(queries[i], "fibmatch "))
			ours = p.AppendReply(ours, &r)
		}
		assert.Equal(t, lifetime(ipBatch(t, ns, form, queries)), lifetime(string(ours)), "ip %s route get", form)
	}
}

var seconds = regexp.MustCompile(`expires("?:? ?)\d+`)

// lifetime hides how long routes will live, which runs while the test does.
func lifetime(s string) string { return seconds.ReplaceAllString(s, "expires$1#") }

// The same mistake ends with ip's exit code.
func TestExitCodesAreThoseOfIP(t *testing.T) {
	ns := netnstest.New(t, netnstest.Quiet, netnstest.LoUp)
	ns.Batch("link add d0 type veth peer name d0p", "link set d0 up", "link set d0p up", "addr add 10.1.0.1/24 dev d0",
		"addr add 2001:db8:1::1/64 dev d0 nodad", "route add default via 10.1.0.2", "-6 route add default via 2001:db8:1::2")
	links := kernelLinks(t, ns)
	for _, line := range []string{"", "foo", "10.0.0.1", "10.0.0.1 mark", "10.0.0.1 mark x", "10.0.0.1 mark 0x100000000", "10.0.0.1 mark 4294967295",
		"10.0.0.1 tos 100", "10.0.0.1 tos", "10.0.0.1 tos zz", "10.0.0.1 d 8", "10.0.0.1 oif nope", "10.0.0.1 iif nope", "10.0.0.1 vrf d0", "10.0.0.1 vrf nope",
		"10.0.0.1 uid x", "10.0.0.1 uid 0x10", "10.0.0.1 sport 65536", "10.0.0.1 sport 0x50", "10.0.0.1 dport 010", "10.0.0.1 dport 09",
		"10.0.0.1 ipproto x", "10.0.0.1 ipproto 256", "10.0.0.1 ipproto 0x6", "10.0.0.1 ipproto tcp", "10.0.0.1 ipproto 47", "10.0.0.1 ipproto ipv6-icmp",
		"::1 ipproto icmp", "2001:db8::1 ipproto ipv6-icmp", "10.0.0.1 as 1.1.1.1", "10.0.0.1 as ::1", "10.0.0.1 as", "10.0.0.1 from 10.0.0.0/8", "10.0.0.1 from x",
		"10.0.0.1 from default", "10.0.0.1 from any", "10.0.0.1 from ::1", "10.0.0.1/24", "10.0.0.1/33", "10.0.0.1/x", "10.0.0.1/255.0.255.0", "10.0.0.1/255.0.0.0",
		"::1/129", "::1/64", "::1%lo", "10.0.0.1.2", "10.0.0.256", "10", "10.", "0x0a.1", "08.1", "to 10.0.0.1", "to", "help", "h", "connected 10.0.0.1", "co", "fibmatch 10.0.0.1",
		"fibma 10.0.0.1", "10.0.0.1 fromx 1.1.1.1", "10.0.0.1 dev d0", "10.0.0.1 de d0", "10.0.0.1 10.1.0.9", "default", "any", "all", "10.0.0.1 oif if9999", "10.0.0.1 oif",
		"to help", "10.0.0.1 from help"} {
		_, stderr, want := ns.TryIP("route get " + line)
		q, err := ParseGet(strings.Fields(line), Env{})
		if err == nil {
			_, err = q.Flow(links)
		}
		if err == nil && strings.Contains(line, "if9999") {
			err = fib.ENODEV // for the walk to find
		}
		assert.Equal(t, want, ExitCode(err), "%q: ip says %s; we say %v", line, stderr, err)
		if err == nil {
			assert.Equal(t, strings.TrimSpace(stderr), q.Warning(), line)
		}
	}
}

func TestRulesPrintAsIP(t *testing.T) {
	ns := netnstest.New(t)
	lines := []string{"from 10.0.0.0/8 to 10.1.1.1 tos 0x10 fwmark 0x1/0xff iif d0 oif d1 uidrange 5-9 ipproto tcp sport 5 dport 10-20 table 100 suppress_prefixlength 0 suppress_ifgroup 5 realms 3/4",
		"not from 10.0.0.1 fwmark 0x5 goto 30000", "unreachable", "prohibit", "blackhole", "nop", "from all tun_id 77 table default", "from all fwmark 0/0xff lookup main protocol static", "l3mdev", "realms 5 table 9"}
	for i, line := range lines {
		ns.IP(fmt.Sprintf("rule add pref %d %s", 100+i, line))
	}
	names, _ := LoadNames(rootFS())
	list := strings.Split(strings.TrimSpace(ns.IP("rule")), "\n")
	dump, err := exec.Command("ip", "-n", ns.Name(), "rule", "save").Output()
	require.NoError(t, err)
	i := 0
	for rest := dump[4:]; len(rest) > 0; i++ {
		var m rtnl.Message
		m, rest, err = rtnl.Next(rest)
		require.NoError(t, err)
		var q rules.Request
		require.NoError(t, rtnl.DecodeRule(m, &q, &rtnl.Report{}))
		detached := bytes.Contains([]byte(list[i]), []byte("[detached]"))
		got := names.AppendRule(fmt.Appendf(nil, "%d:\t", q.Priority), &q.Rule, detached, detached, strings.Contains(list[i], "[unresolved]"))
		assert.Equal(t, list[i], string(got))
	}
	assert.Equal(t, len(list), i)
	assert.Len(t, list, len(lines)+3)
}

func rootFS() fs.FS { return os.DirFS("/") }
