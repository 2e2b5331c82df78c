package ksync

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/internal/rtsock"
)

func TestRTScan(t *testing.T) {
	k := newFakeBSD(t)
	k.forward = true
	k.fib[1] = k.fib[0][:1]
	st, rep, err := rtScan(t.Context(), k, Options{})
	require.NoError(t, err)
	assert.Zero(t, rep.Len(), "%s", &rep)
	assert.Len(t, st.Links, 4)
	assert.Len(t, st.Addresses, 6)
	assert.True(t, st.Links[0].Conf4.Forwarding && st.Sysctls.All4.Forwarding)
	count := map[fib.TableID]int{}
	for i := range st.Routes {
		count[st.Routes[i].Table]++
	}
	assert.Equal(t, map[fib.TableID]int{fib.TableMain: 17, 1: 1}, count)

	st, _, err = rtScan(t.Context(), k, Options{Tables: []fib.TableID{1, 77}})
	require.NoError(t, err)
	assert.Len(t, st.Routes, 1)

	f, err := rtLoad(t.Context(), k, Options{})
	require.NoError(t, err)
	d := f.Snapshot().Resolve(fib.Flow{Dst: netip.MustParseAddr("198.18.0.1")})
	assert.Equal(t, "192.0.2.1", d.Gateway.String())
	assert.Empty(t, k.socks, "sockets are closed")

	_, _, err = rtScan(t.Context(), k, Options{NetNS: Named("blue")})
	assert.ErrorIs(t, err, errors.ErrUnsupported)
	_, events := rtMessages(t, "events")
	k.list = append(k.list, events["RTM_IFINFO em0: line down"]) // without a name
	_, _, err = rtScan(t.Context(), k, Options{})
	assert.EqualError(t, err, "current network namespace: read links and addresses: RTM_IFINFO: link 1 has no name")
}

// A scan during which something changes starts over.
func TestRTScanMoved(t *testing.T) {
	_, events := rtMessages(t, "events")
	k := newFakeBSD(t)
	k.during = func() {
		k.change(0, events["RTM_DELETE 203.0.113.0/24 192.0.2.9"], func() { k.fib[0] = k.fib[0][:1] })
	}
	st, _, err := rtScan(t.Context(), k, Options{})
	require.NoError(t, err)
	assert.Len(t, st.Routes, 1+8)

	k = newFakeBSD(t) // links never rest
	var again func()
	again = func() {
		k.change(-1, events["RTM_IFINFO em0: line down"], func() { k.during = again })
	}
	k.during = again
	_, _, err = rtScan(t.Context(), k, Options{})
	assert.ErrorIs(t, err, ErrChanging)

	k = newFakeBSD(t) // routes never rest
	again = func() {
		k.change(0, events["RTM_DELETE 203.0.113.0/24 192.0.2.9"], func() { k.during = again })
	}
	k.during = again
	_, _, err = rtScan(t.Context(), k, Options{})
	assert.NoError(t, err)
}

// rtMirror mirrors a fake.
func rtMirror(t *testing.T, k *fakeBSD) *Mirrored {
	t.Helper()
	src, err := openRT(t.Context(), k, Current(), nil, 0)
	require.NoError(t, err)
	return mirrorOf(t, src, MirrorOptions{Poll: time.Hour})
}

// rtSame checks that a mirror has what a scan finds.
func rtSame(t *testing.T, k *fakeBSD, m *Mirrored) {
	t.Helper()
	require.NoError(t, m.Sync(t.Context()))
	f, err := rtLoad(t.Context(), k, Options{})
	require.NoError(t, err)
	require.Equal(t, slices.Collect(f.Snapshot().Routes()), slices.Collect(m.FIB().Snapshot().Routes()))
	want, got := f.Snapshot().Surroundings(), m.FIB().Snapshot().Surroundings()
	require.Equal(t, want, got)
}

func TestRTMirror(t *testing.T) {
	_, events := rtMessages(t, "events")
	k := newFakeBSD(t)
	m := rtMirror(t, k)
	rtSame(t, k, m)

	_, routes := rtMessages(t, "routes4")
	one := slices.Clone(routes["10.4.0.1 192.0.2.8 UGHS em0, MTU 1400 given"])
	k.change(1, events["RTM_ADD 203.0.113.0/24 192.0.2.1 UGS em0"], func() {
		b := slices.Clone(one)
		copy(b[152+4:], []byte{203, 0, 113, 0}) // with a mask it would not be a host's
		k.fib[1] = [][]byte{b}
	})
	rtSame(t, k, m)
	k.change(-1, events["RTM_IFINFO em0: line down"], func() { k.list[0][16+4] = 1 })
	rtSame(t, k, m)
	l, _ := m.FIB().Snapshot().Link(1)
	assert.False(t, l.Carrier())
	assert.EqualValues(t, 1, m.Stats().Resyncs["change"])

	k.change(-1, nil, func() { k.fib6[0], k.dropped = k.fib6[0][1:], k.dropped+1 })
	rtSame(t, k, m)
	assert.EqualValues(t, 1, m.Stats().Overruns)

	k.change(-1, nil, func() { k.fib = append(k.fib, nil) })
	assert.ErrorContains(t, m.src.alive(), "net.fibs was 2 and is 3")
}

// An answer that does not come was dropped, and with it perhaps more.
func TestRTMute(t *testing.T) {
	k := newFakeBSD(t)
	s, err := openRT(t.Context(), k, Current(), nil, 0)
	require.NoError(t, err)
	defer s.close()
	k.change(-1, nil, func() { k.socks[0].mute = true })
	require.NoError(t, s.barrier())
	_, err = s.take()
	assert.ErrorIs(t, err, errLost)
	ok, err := s.restart()
	require.NoError(t, err)
	assert.True(t, ok)
	_, err = s.take()
	assert.NoError(t, err)
}

// At every pause the mirror is as the fake, whatever was announced, overflowed or was
// dropped on its way; and nothing is found that no announcement and no loss explains.
func TestRTMirrorModel(t *testing.T) {
	rnd := randtest.Rand(t)
	k := newFakeBSD(t)
	m := rtMirror(t, k)
	_, events := rtMessages(t, "events")
	names, whole := rtMessages(t, "routes4")
	has := [2]map[string]bool{{}, {}}
	for _, name := range names {
		has[0][name] = true
	}
	// toggle adds or removes a leg; it is called under the fake's lock.
	toggle := func() (n int, announce []byte) {
		n, name := rnd.IntN(2), names[rnd.IntN(len(names))]
		announce = slices.Clone(whole[name])
		if announce[3] = rtsock.RTM_ADD; has[n][name] {
			announce[3] = rtsock.RTM_DELETE
		}
		has[n][name] = !has[n][name]
		k.fib[n] = nil
		for _, x := range names {
			if has[n][x] {
				k.fib[n] = append(k.fib[n], whole[x])
			}
		}
		return n, announce
	}
	met := func() bool {
		s := m.Stats()
		return s.Overruns > 0 && s.Looks > 0 && s.Resyncs["change"] > 0
	}
	for i := 0; i < randtest.Fewer(200) || i < 200 && !met(); i++ {
		for range rnd.IntN(2 * fakeRoom) {
			switch k.mu.Lock(); rnd.IntN(20) {
			case 0:
				toggle()
				k.dropped++
			case 1:
				k.forward = !k.forward // never announced
			case 2:
				k.list[0] = slices.Clone(k.list[0])
				k.list[0][16+4] = byte(1 + rnd.IntN(2))
				k.announce(-1, events["RTM_IFINFO em0: line down"])
			case 3:
				for range rnd.IntN(3 * fakeRoom) {
					k.announce(toggle())
				}
			default:
				k.announce(toggle())
			}
			k.mu.Unlock()
		}
		rtSame(t, k, m)
	}
	s := m.Stats()
	assert.NotZero(t, s.Overruns)
	assert.NotZero(t, s.Looks)
	assert.NotZero(t, s.Resyncs["change"])
	assert.Zero(t, s.Drift)
}
