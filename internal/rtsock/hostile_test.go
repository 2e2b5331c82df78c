package rtsock

import (
	"math/bits"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtnl"
)

// edited is a recorded message with changed bytes.
func edited(t testing.TB, file string, n int, edit func([]byte) []byte) []byte {
	b := append([]byte(nil), recorded(t, file)[n]...)
	b = edit(b)
	le.PutUint16(b, uint16(len(b)))
	return b
}

func TestHostileMessages(t *testing.T) {
	set := func(at int, v ...byte) func([]byte) []byte {
		return func(b []byte) []byte { copy(b[at:], v); return b }
	}
	cut := func(n int) func([]byte) []byte { return func(b []byte) []byte { return b[:n] } }
	for name, c := range map[string]struct {
		b    []byte
		want string
	}{
		"empty":     {[]byte{1, 0}, "routing message cut short: 2 bytes, its head has 4"},
		"version":   {edited(t, "events", 0, set(2, 6)), "RTM_ADD is of version 6; only 5 is known"},
		"length":    {recorded(t, "events")[0][:60], "RTM_ADD says it has 200 bytes, 60 are there"},
		"zero":      {[]byte{0, 0, 5, 1}, "RTM_ADD says it has 0 bytes, 4 are there"},
		"head":      {edited(t, "events", 0, cut(100)), "RTM_ADD: cut short: 100 bytes, its head has 152"},
		"sockaddr":  {edited(t, "events", 0, set(152, 200)), "RTM_ADD: RTA_DST says it has 200 bytes, 48 are there"},
		"missing":   {edited(t, "events", 0, cut(184)), "RTM_ADD: RTA_NETMASK is announced, but not there"},
		"short dst": {edited(t, "events", 0, set(152, 7)), "RTM_ADD: RTA_DST of family 2 has 7 bytes"},
		"no dst":    {edited(t, "events", 0, set(12, 0)), "RTM_ADD: there is no RTA_DST"},
		"gateway":   {edited(t, "events", 0, set(169, 99)), "RTM_ADD: RTF_GATEWAY is set, and RTA_GATEWAY is of family 99"},
		"if_data":   {edited(t, "events", 8, set(22, 144)), "RTM_IFINFO: if_data of 144 bytes; FreeBSD 11 and newer have 152"},
		"index":     {edited(t, "events", 8, set(12, 0)), "RTM_IFINFO: the link has no index"},
		"name":      {edited(t, "links", 0, set(168+5, 60)), "RTM_IFINFO: RTA_IFP has 54 bytes, its name alone has 60"},
		"what":      {edited(t, "events", 11, set(22, 2)), "RTM_IFANNOUNCE: link gif1 neither came nor went: what is 2"},
		"families":  {edited(t, "events", 9, set(20+16+56+16+1, 28, 0, 0, 0, 0)), "RTM_NEWADDR: RTA_BRD of family 28 has 16 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			m, _, err := Next(c.b)
			if err == nil {
				var e Event
				err = new(Decoder).Event(m, func(int32) fib.LinkFlags { return fib.LinkBroadcast }, &e)
			}
			assert.EqualError(t, err, c.want)
		})
	}
}

func TestUnknownsAreReported(t *testing.T) {
	var rep rtnl.Report
	d := &Decoder{Report: &rep}
	see := func(b []byte) error {
		m, _, err := Next(b)
		require.NoError(t, err)
		var e Event
		return d.Event(m, func(int32) fib.LinkFlags { return 0 }, &e)
	}
	require.NoError(t, see(edited(t, "events", 0, func(b []byte) []byte { b[8+3] |= 0x12; b[12+1] = 1; return b })))
	require.NoError(t, see(edited(t, "routes4", 0, func(b []byte) []byte { b[3] = RTM_ADD; le.PutUint64(b[64:], 1<<40); return b })))
	require.NoError(t, see(edited(t, "routes4", 0, func(b []byte) []byte { b[3] = RTM_ADD; le.PutUint64(b[120:], 1<<16); return b })))
	require.ErrorIs(t, see(edited(t, "events", 0, func(b []byte) []byte { b[184+6] = 1; return b })), ErrSkip)
	require.ErrorIs(t, see(edited(t, "events", 0, func(b []byte) []byte { b[152+1] = 17; return b })), ErrSkip)
	require.ErrorIs(t, see(edited(t, "events", 0, func(b []byte) []byte { b[3] = 99; return b })), ErrSkip)
	require.NoError(t, see(edited(t, "events", 8, func(b []byte) []byte { b[11] = 0x80; b[16+12] = 5; return b })))
	assert.Equal(t, `RTM_ADD attribute RTA_0x100 (8): 1 times
RTM_ADD flag rtm_flags (0x2000000): 1 times
RTM_ADD flag rtm_flags (0x10000000): 1 times
RTM_ADD value netmask with holes (0): 1 times
RTM_ADD value family (17): 1 times
RTM_ADD value rmx_weight (65536): 1 times
RTM_ADD value rmx_expire (4294967295): 1 times
RTM_IFINFO flag ifm_flags (0x80000000): 1 times
RTM_IFINFO value ifi_metric (5): 1 times
message 99 value type (99): 1 times
`, rep.String())
}

func TestQueueDrops(t *testing.T) {
	entry := func(proto uint32, drops uint64) []byte {
		b := make([]byte, netisrLen)
		le.PutUint32(b, netisrLen)
		le.PutUint32(b[8:], proto)
		le.PutUint64(b[40:], 11)
		le.PutUint64(b[48:], drops)
		le.PutUint64(b[56:], 12)
		return b
	}
	n, err := QueueDrops(append(append(entry(netisrRoute, 3), entry(1, 5)...), entry(netisrRoute, 4)...))
	require.NoError(t, err)
	assert.EqualValues(t, 7, n)
	for _, b := range [][]byte{make([]byte, netisrLen), entry(3, 1)[:127]} {
		_, err := QueueDrops(b)
		assert.Error(t, err)
	}
}

// Every cut of every message is taken or refused, never more.
func TestCutMessages(t *testing.T) {
	for _, file := range []string{"links", "routes4", "routes6", "old", "events"} {
		for i := range recorded(t, file) {
			whole := recorded(t, file)[i]
			for n := headLen; n <= len(whole); n++ {
				everything(t, edited(t, file, i, func([]byte) []byte { return append([]byte(nil), whole[:n]...) }))
			}
		}
	}
}

// everything decodes b in each way, and checks what must hold of all results.
func everything(t testing.TB, b []byte) {
	var rep rtnl.Report
	d := &Decoder{Report: &rep, FIB: 7, Now: 1700000000}
	check := func(r *fib.Route) {
		require.True(t, r.Dst.IsValid() && r.Dst == r.Dst.Masked() && r.Dst.Addr().Zone() == "", "%v", r)
		require.Equal(t, fib.TableID(7), r.Table)
		require.Equal(t, r.Type.IsReject(), len(r.Nexthops) == 0)
		require.True(t, !r.PrefSrc.IsValid() || r.PrefSrc.Is4() && r.Family() == fib.Inet)
		require.True(t, r.Expires == 0 || r.Family() == fib.Inet6)
		for _, n := range r.Nexthops {
			require.NotZero(t, n.Weight)
		}
	}
	_ = d.Routes(b, func(r *fib.Route) error { check(r); return nil })
	var st fib.State
	_ = d.Links(b, &st)
	for _, l := range st.Links {
		require.True(t, l.Index > 0 && l.Name != "")
	}
	for _, a := range st.Addresses {
		require.True(t, a.Link > 0 && a.Prefix.IsValid() && a.Prefix.Addr().Is4() == a.Local.Is4())
	}
	for len(b) > 0 {
		m, rest, err := Next(b)
		if err != nil {
			return
		}
		b = rest
		m.Reply(1, 2)
		var e Event
		if d.Event(m, func(int32) fib.LinkFlags { return fib.LinkPointo | fib.LinkBroadcast }, &e) == nil && e.Kind == KindRoute {
			check(&e.Route.Route)
		}
	}
	for _, u := range rep.Sorted() {
		require.True(t, u.Kind != rtnl.KindFlag || bits.OnesCount32(u.Number) == 1)
	}
}

func FuzzDecode(f *testing.F) {
	for _, file := range []string{"links", "routes4", "routes6", "old", "events"} {
		f.Add(join(recorded(f, file)))
		for _, m := range recorded(f, file) {
			f.Add(m)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) { everything(t, b) })
}
