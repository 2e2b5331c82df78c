package ksync

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/internal/netnstest"
)

func TestMirrorFollows(t *testing.T) {
	t.Parallel()
	ns := netnstest.New(t, netnstest.LoUp, netnstest.Quiet)
	ns.Batch("link add d0 type veth peer p0", "link set d0 up", "link set p0 up", "addr add 10.0.0.1/24 dev d0", "addr add 2001:db8::1/64 dev d0 nodad",
		"route add 10.9.0.0/16 via 10.0.0.2", "route add 2001:db8:9::/48 via 2001:db8::2", "rule add pref 100 lookup 7")
	m := mirrored(t, ns, MirrorOptions{})
	requireSame(t, m, Named(ns.Name()))
	for _, line := range []string{"route add 10.8.0.0/16 via 10.0.0.3", "route append 10.8.0.0/16 via 10.0.0.4", "route prepend 10.8.0.0/16 via 10.0.0.5",
		"route replace 10.8.0.0/16 via 10.0.0.6", "route del 10.8.0.0/16 via 10.0.0.4", "rule add pref 50 from 10.0.0.0/8 lookup 9",
		"route append 2001:db8:9::/48 via 2001:db8::3", "route add 2001:db8:8::/48 nexthop via 2001:db8::2 nexthop via 2001:db8::3",
		"nexthop add id 7 via 10.0.0.9 dev d0", "route add 10.7.0.0/16 nhid 7", "nexthop del id 7", "addr add 10.0.7.1/24 dev d0",
		"link set p0 down", "link set p0 up", "addr del 10.0.0.1/24 dev d0", "link set d0 down", "link set d0 name x0", "rule del pref 50", "link set x0 up", "link del x0"} {
		ns.IP(line)
		if diff := sameAsKernel(t, m, Named(ns.Name())); diff != "" {
			t.Errorf("after %s:\n%s", line, diff)
		}
	}
	s := m.Stats()
	t.Logf("%+v", s)
	assert.Zero(t, s.Overruns)
	assert.Zero(t, s.Drift)
	c, err := m.Audit(t.Context())
	require.NoError(t, err)
	assert.True(t, c.Equal())
	t.Logf("%+v", c)
}
