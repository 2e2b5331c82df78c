//go:build freebsd && (amd64 || arm64 || riscv64)

package ksync

import (
	"net/netip"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/route"
	"golang.org/x/sys/unix"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtsock"
)

// The recorded messages mean the same to golang.org/x/net/route, as far as it reads them.
func TestRTMessagesBySystemDecoder(t *testing.T) {
	for _, file := range []string{"links", "routes4", "routes6", "old", "events"} {
		names, msgs := rtMessages(t, file)
		for _, name := range names {
			t.Run(file+"/"+name, func(t *testing.T) { sameAsSystem(t, msgs[name]) })
		}
	}
}

func sameAsSystem(t *testing.T, b []byte) {
	list, err := route.ParseRIB(route.RIBTypeInterface, b)
	require.NoError(t, err)
	m, _, err := rtsock.Next(b)
	require.NoError(t, err)
	var e rtsock.Event
	if m.Type == rtsock.RTM_GET { // a dump's
		m.Type = rtsock.RTM_ADD
	}
	err = new(rtsock.Decoder).Event(m, func(int32) fib.LinkFlags { return 0 }, &e)
	if err != nil {
		require.ErrorIs(t, err, rtsock.ErrSkip)
		return
	}
	if e.Kind == rtsock.KindLink && e.Link.Name == "" {
		return // which it leaves out
	}
	require.Len(t, list, 1)
	switch x := list[0].(type) {
	case *route.RouteMessage:
		if x.Type == unix.RTM_REDIRECT {
			return
		}
		require.Equal(t, rtsock.KindRoute, e.Kind)
		assert.EqualValues(t, x.Index, m.Link())
		dst, zone := netipOf(t, x.Addrs[unix.RTAX_DST])
		assert.Equal(t, e.Route.Dst.Addr(), dst)
		assert.Equal(t, e.Route.Zone, zone)
		if gw, _ := netipOf(t, x.Addrs[unix.RTAX_GATEWAY]); gw.IsValid() && len(e.Route.Nexthops) > 0 {
			assert.Equal(t, e.Route.Nexthops[0].Gateway, gw)
		}
	case *route.InterfaceMessage:
		assert.Equal(t, x.Name, e.Link.Name)
		assert.EqualValues(t, x.Index, e.Link.Index)
	case *route.InterfaceAddrMessage:
		a, _ := netipOf(t, x.Addrs[unix.RTAX_IFA])
		assert.Equal(t, a, e.Address.Local)
		assert.EqualValues(t, x.Index, e.Address.Link)
	case *route.InterfaceAnnounceMessage:
		assert.Equal(t, x.Name, e.Link.Name)
		assert.Equal(t, x.What == unix.IFAN_DEPARTURE, e.Gone)
	}
}

func netipOf(t *testing.T, a route.Addr) (netip.Addr, int32) {
	switch x := a.(type) {
	case *route.Inet4Addr:
		return netip.AddrFrom4(x.IP), 0
	case *route.Inet6Addr:
		return netip.AddrFrom16(x.IP), int32(x.ZoneID)
	}
	return netip.Addr{}, 0
}

// The heads are as long as this system's.
func TestRTLayout(t *testing.T) {
	assert.EqualValues(t, 152, unsafe.Sizeof(unix.RtMsghdr{}))
	assert.EqualValues(t, 20, unsafe.Sizeof(unix.IfaMsghdr{}))
	assert.EqualValues(t, 24, unsafe.Sizeof(unix.IfAnnounceMsghdr{}))
}

// What this system has can be read, all of it, and makes a FIB; nothing is changed.
func TestRTThisSystem(t *testing.T) {
	st, rep, err := Scan(t.Context(), Options{})
	require.NoError(t, err)
	t.Logf("%d links, %d addresses, %d routes; not modelled: %s", len(st.Links), len(st.Addresses), len(st.Routes), &rep)
	names := map[string]bool{}
	for _, l := range st.Links {
		names[l.Name] = true
	}
	assert.True(t, names["lo0"], "%v", names)
	f, err := Load(t.Context(), Options{})
	require.NoError(t, err)
	assert.NotEmpty(t, f.Snapshot().Surroundings().Links)

	m, err := Mirror(t.Context(), fib.New(fib.Config{}), MirrorOptions{})
	require.NoError(t, err)
	defer m.Close()
	require.NoError(t, m.Sync(t.Context()))
	b, err := freebsd{}.links()
	require.NoError(t, err)
	_, err = route.ParseRIB(route.RIBTypeInterface, b)
	require.NoError(t, err)
}
