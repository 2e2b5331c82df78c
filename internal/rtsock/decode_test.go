package rtsock

import (
	"bufio"
	"encoding/hex"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtnl"
	"github.com/fibula-net/fibula/rules"
)

// recorded reads a file of testdata: each message by itself.
func recorded(t testing.TB, name string) (msgs [][]byte) {
	t.Helper()
	f, err := os.Open("testdata/" + name + ".hex")
	require.NoError(t, err)
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if strings.HasPrefix(s.Text(), "#") {
			msgs = append(msgs, nil)
			continue
		}
		b, err := hex.DecodeString(s.Text())
		require.NoError(t, err)
		msgs[len(msgs)-1] = append(msgs[len(msgs)-1], b...)
	}
	require.NotEmpty(t, msgs)
	return msgs
}

func join(msgs [][]byte) (b []byte) {
	for _, m := range msgs {
		b = append(b, m...)
	}
	return b
}

func routesOf(t *testing.T, d *Decoder, name string) (out []fib.Route) {
	t.Helper()
	require.NoError(t, d.Routes(join(recorded(t, name)), func(r *fib.Route) error {
		c := *r
		c.Nexthops = append([]fib.Nexthop(nil), r.Nexthops...)
		out = append(out, c)
		return nil
	}))
	return out
}

var (
	prefix = netip.MustParsePrefix
	ip     = netip.MustParseAddr
)

func TestLinks(t *testing.T) {
	var rep rtnl.Report
	var st fib.State
	require.NoError(t, (&Decoder{Report: &rep}).Links(join(recorded(t, "links")), &st))
	up := fib.LinkUp | fib.LinkMulticast
	running := up | fib.LinkRunning | fib.LinkLowerUp
	assert.Equal(t, []fib.Link{
		{Index: 1, Name: "em0", Flags: running | fib.LinkBroadcast, MTU: 1500},
		{Index: 2, Name: "lo0", Flags: running | fib.LinkLoopback, MTU: 16384},
		{Index: 3, Name: "em1", Flags: up | fib.LinkBroadcast, MTU: 9000},
		{Index: 4, Name: "gif0", Flags: running | fib.LinkPointo, MTU: 1280},
	}, st.Links)
	address := func(link int32, local, p, brd string, scope fib.Scope) fib.Address {
		a := fib.Address{Link: link, Local: ip(local), Prefix: prefix(p), Scope: scope, Flags: fib.AddrPermanent,
			ValidLft: 1<<32 - 1, PreferredLft: 1<<32 - 1}
		if brd != "" {
			a.Broadcast = ip(brd)
		}
		return a
	}
	assert.Equal(t, []fib.Address{
		address(1, "192.0.2.2", "192.0.2.2/24", "192.0.2.255", 0),
		address(1, "2001:db8::2", "2001:db8::2/64", "", 0),
		address(1, "fe80::5a9c:fcff:fe00:1", "fe80::5a9c:fcff:fe00:1/64", "", fib.ScopeLink),
		address(2, "127.0.0.1", "127.0.0.1/8", "", fib.ScopeHost),
		address(2, "::1", "::1/128", "", fib.ScopeHost),
		address(4, "10.9.0.1", "10.9.0.2/32", "", 0),
	}, st.Addresses)
	assert.Zero(t, rep.Len(), "%s", &rep)
}

func TestRoutes(t *testing.T) {
	mtu := fib.Metrics{}
	mtu.Values[fib.MetricMTU] = 1400
	leg := func(link int32, gw string, weight uint16) fib.Nexthop {
		n := fib.Nexthop{Link: link, Weight: weight}
		if gw != "" {
			n.Gateway = ip(gw)
		}
		return n
	}
	used := func(legs []fib.Nexthop) []fib.Nexthop {
		for i := range legs {
			legs[i].Scope, legs[i].ScopeSet = fib.ScopeLink, true
		}
		return legs
	}
	one := func(link int32, gw string) []fib.Nexthop { return []fib.Nexthop{leg(link, gw, 1)} }
	var rep rtnl.Report
	d := &Decoder{Report: &rep, Now: 1700000000}
	main, unicast, src := fib.TableMain, fib.TypeUnicast, ip("192.0.2.2")
	assert.Equal(t, []fib.Route{
		{Table: main, Dst: prefix("0.0.0.0/0"), Type: unicast, Protocol: fib.ProtoStatic, PrefSrc: src, Nexthops: used(one(1, "192.0.2.1"))},
		{Table: main, Dst: prefix("10.1.0.0/16"), Type: fib.TypeBlackhole, Protocol: fib.ProtoStatic},
		{Table: main, Dst: prefix("10.2.0.0/16"), Type: fib.TypeUnreachable, Protocol: fib.ProtoStatic},
		{Table: main, Dst: prefix("10.3.0.0/16"), Type: unicast, Protocol: ProtoFlag1,
			Nexthops: used([]fib.Nexthop{leg(1, "192.0.2.7", 2), leg(3, "198.51.100.7", 1)})},
		{Table: main, Dst: prefix("10.4.0.1/32"), Type: unicast, Protocol: fib.ProtoStatic, PrefSrc: src, Metrics: mtu, Nexthops: used(one(1, "192.0.2.8"))},
		{Table: main, Dst: prefix("127.0.0.1/32"), Type: unicast, Scope: fib.ScopeLink, PrefSrc: ip("127.0.0.1"), Nexthops: one(2, "")},
		{Table: main, Dst: prefix("192.0.2.0/24"), Type: unicast, Scope: fib.ScopeLink, Protocol: fib.ProtoKernel, PrefSrc: src, Nexthops: one(1, "")},
		{Table: main, Dst: prefix("192.0.2.2/32"), Type: fib.TypeLocal, Scope: fib.ScopeHost, Protocol: fib.ProtoKernel, PrefSrc: src, Nexthops: one(1, "")},
		{Table: main, Dst: prefix("10.6.0.0/16"), Type: unicast, Protocol: fib.ProtoStatic, PrefSrc: src, Nexthops: used(one(1, "fe80::1"))},
	}, routesOf(t, d, "routes4"))
	assert.Equal(t, []fib.Route{
		{Table: main, Dst: prefix("::/96"), Type: fib.TypeUnreachable, Protocol: fib.ProtoStatic},
		{Table: main, Dst: prefix("::/0"), Type: unicast, Nexthops: one(1, "fe80::1")},
		{Table: main, Dst: prefix("2001:db8::/64"), Type: unicast, Protocol: fib.ProtoKernel, Nexthops: one(1, "")},
		{Table: main, Dst: prefix("2001:db8::2/128"), Type: fib.TypeLocal, Protocol: fib.ProtoKernel, Nexthops: one(1, "")},
		{Table: main, Dst: prefix("2001:db8:9::1/128"), Type: unicast, Protocol: fib.ProtoRedirect, Expires: 600, Nexthops: one(1, "fe80::2")},
		{Table: main, Dst: prefix("fe80::/64"), Type: unicast, Protocol: fib.ProtoKernel, Nexthops: one(1, "")},
		{Table: main, Dst: prefix("fe80::/64"), Type: unicast, Protocol: fib.ProtoKernel, Nexthops: one(3, "")},
		{Table: main, Dst: prefix("fe80::5a9c:fcff:fe00:1/128"), Type: fib.TypeLocal, Protocol: fib.ProtoKernel, Nexthops: one(1, "")},
	}, routesOf(t, d, "routes6"))
	assert.Zero(t, rep.Len(), "%s", &rep)
}

func TestOldKernels(t *testing.T) {
	var rep rtnl.Report
	var got []string
	for _, r := range routesOf(t, &Decoder{Report: &rep, FIB: 3}, "old") {
		assert.Equal(t, fib.TableID(3), r.Table)
		got = append(got, r.Dst.String()+" via "+r.Nexthops[0].Gateway.String())
	}
	assert.Equal(t, []string{"0.0.0.0/0 via 192.0.2.1", "10.0.0.0/8 via 192.0.2.1", "192.0.2.0/23 via invalid IP",
		"fe80::/64 via invalid IP", "ff02::/32 via fe80::1"}, got)
	assert.Zero(t, rep.Len(), "%s", &rep)
}

// What was read must be a state that a FIB takes, and that answers as its tables say.
func TestStateLoads(t *testing.T) {
	d := &Decoder{Now: 1700000000}
	st := fib.State{Sysctls: fib.DefaultSysctls(), Mode4: fib.ModeMerged, Mode6: fib.ModeMerged, AddrLabels: fib.DefaultAddrLabels()}
	require.NoError(t, d.Links(join(recorded(t, "links")), &st))
	for _, f := range []fib.Family{fib.Inet, fib.Inet6} {
		for _, r := range rules.Initial(f).All() {
			st.Rules = append(st.Rules, r)
		}
	}
	st.Routes = append(routesOf(t, d, "routes4"), routesOf(t, d, "routes6")...)
	f := fib.New(fib.Config{})
	_, err := f.Update(func(tx *fib.Txn) error { return tx.Load(&st) })
	require.NoError(t, err)
	for dst, want := range map[string]string{
		"198.18.0.1": "0.0.0.0/0 192.0.2.1", "10.4.0.1": "10.4.0.1/32 192.0.2.8", "192.0.2.77": "192.0.2.0/24 invalid IP",
		"192.0.2.2": "192.0.2.2/32 invalid IP", "2001:db8::9": "2001:db8::/64 invalid IP", "2001:4860::1": "::/0 fe80::1",
	} {
		got := f.Snapshot().Resolve(fib.Flow{Dst: ip(dst)})
		assert.Equal(t, want, got.Prefix.String()+" "+got.Gateway.String(), "%s: %+v", dst, got)
		assert.Zero(t, got.Undetermined, dst)
	}
	assert.Equal(t, fib.EINVAL, f.Snapshot().Resolve(fib.Flow{Dst: ip("10.1.2.3")}).Errno, "blackhole")
}

func TestEvents(t *testing.T) {
	var rep rtnl.Report
	d := &Decoder{Report: &rep}
	msgs := recorded(t, "events")
	var got []string
	for _, b := range msgs {
		m, rest, err := Next(b)
		require.NoError(t, err)
		require.Empty(t, rest)
		var e Event
		err = d.Event(m, func(int32) fib.LinkFlags { return fib.LinkBroadcast }, &e)
		if err != nil {
			require.ErrorIs(t, err, ErrSkip)
			got = append(got, "skip")
			continue
		}
		s := e.Kind.String()
		if e.Gone {
			s += " gone"
		}
		if e.Replace {
			s += " replace"
		}
		switch e.Kind {
		case KindRoute:
			s += " " + e.Route.Dst.String() + " via " + e.Route.Nexthops[0].Gateway.String()
		case KindAddress:
			s += " " + e.Address.Prefix.String()
		case KindLink:
			s += " " + e.Link.Name
			if e.Link.Carrier() {
				s += " carrier"
			}
		}
		got = append(got, s)
	}
	assert.Equal(t, []string{
		"route 203.0.113.0/24 via 192.0.2.1", "route replace 203.0.113.0/24 via 192.0.2.9", "route gone 203.0.113.0/24 via 192.0.2.9",
		"skip", "skip", "skip", "skip", "unclear", "link ", "address 192.0.2.3/24", "address gone fe80::5a9c:fcff:fe00:1/64",
		"link gif1", "link gone gif1",
	}, got)
	assert.Zero(t, rep.Len(), "%s", &rep)

	answers := 0
	for _, b := range msgs {
		m, _, err := Next(b)
		require.NoError(t, err)
		if m.Reply(4711, 8) {
			answers++
			assert.EqualValues(t, RTM_GET, m.Type)
		}
	}
	assert.Equal(t, 1, answers)
}

func TestTablesOfFIBs(t *testing.T) {
	seen := map[fib.TableID]bool{}
	for n := range 1 << 16 {
		table := Table(uint16(n))
		back, ok := FIB(table)
		require.True(t, ok)
		require.EqualValues(t, n, back)
		require.False(t, seen[table] || table == fib.TableUnspec || table == fib.TableLocal || table == fib.TableDefault)
		seen[table] = true
	}
	assert.Equal(t, fib.TableMain, Table(0))
	for _, table := range []fib.TableID{fib.TableUnspec, fib.TableLocal, fib.TableDefault, 256, 1 << 16, 1<<16 + 252, 1 << 31} {
		_, ok := FIB(table)
		assert.False(t, ok, "%v", table)
	}
}
