package ksync

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/rules"
)

// fake is a source that a test writes the script of: what there is to see, what is
// announced, and what goes wrong.
type fake struct {
	mu      sync.Mutex
	there   map[netip.Prefix]fib.Route
	queue   fakeBatch
	lost    error
	storms  int // how often restart fails
	breaks  int // how often a dump is interrupted
	gone    error
	ill     error       // of looks at surroundings
	during  func(*fake) // called in the middle of each look at routes, unlocked
	rules   []rules.Rule
	looks   int
	ready   chan struct{}
	closed  bool
	learned int
}

type fakeBatch []event

func (b fakeBatch) len() int { return len(b) }

func (b fakeBatch) each(fn func(*event) error) error {
	for i := range b {
		if err := fn(&b[i]); err != nil {
			return err
		}
	}
	return nil
}

func newFake() *fake {
	return &fake{there: map[netip.Prefix]fib.Route{}, ready: make(chan struct{}, 1)}
}

func (k *fake) news() <-chan struct{}          { return k.ready }
func (k *fake) barrier() error                 { return nil }
func (k *fake) finished(context.Context) error { return nil }
func (k *fake) report() *Report                { return new(Report) }
func (k *fake) families() []fib.Family         { return []fib.Family{fib.Inet} }
func (k *fake) listen(*part) error             { return nil }

func (k *fake) say() {
	select {
	case k.ready <- struct{}{}:
	default:
	}
}

func (k *fake) take() (batch, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.lost != nil {
		return nil, k.lost
	}
	b := k.queue
	k.queue = nil
	return b, nil
}

func (k *fake) restart() (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.storms > 0 {
		k.storms--
		return false, nil
	}
	k.lost, k.queue = nil, nil
	return true, nil
}

func (k *fake) surroundings(context.Context) (*fib.State, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ill != nil {
		return nil, k.ill
	}
	d := fib.DefaultSysctls()
	return &fib.State{Rules: slices.Clone(k.rules), Sysctls: d, AddrLabels: fib.DefaultAddrLabels(), Links: []fib.Link{
		{Index: 1, Name: "lo", Flags: fib.LinkUp | fib.LinkRunning | fib.LinkLowerUp | fib.LinkLoopback, MTU: 65536},
		{Index: 2, Name: "d0", Flags: fib.LinkUp | fib.LinkRunning | fib.LinkLowerUp, MTU: 1500},
	}}, nil
}

func (k *fake) complete(context.Context, *fib.State, bool) error { return nil }

func (k *fake) routes(_ context.Context, _ fib.Family, _ fib.TableID, fn func(*fib.Route) error) error {
	k.mu.Lock()
	var all []fib.Route
	for _, r := range k.there {
		all = append(all, r)
	}
	k.looks++
	broken := k.breaks > 0
	if broken {
		k.breaks--
	}
	during := k.during
	k.mu.Unlock()
	slices.SortFunc(all, func(a, b fib.Route) int { return a.Dst.Compare(b.Dst) })
	for i := range all {
		if err := fn(&all[i]); err != nil {
			return err
		}
		if during != nil && i == len(all)/2 {
			during(k)
		}
	}
	if broken {
		return errInterrupted
	}
	return nil
}

func (k *fake) routesBy(ctx context.Context, f fib.Family, link int32, fn func(*fib.Route) error) (bool, error) {
	return true, k.routes(ctx, f, 0, func(r *fib.Route) error {
		if len(r.Nexthops) == 0 || r.Nexthops[0].Link != link {
			return nil
		}
		return fn(r)
	})
}

func (k *fake) room() (granted, asked int) { return 0, 0 }

func (k *fake) learn(f *fib.FIB) (fib.Result, error) {
	k.learned++
	return f.Update(func(tx *fib.Txn) error {
		return tx.SetNeighbour(fib.Neighbour{Link: 2, Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(k.learned)}), State: fib.NeighReachable})
	})
}

func (k *fake) alive() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.gone
}

func (k *fake) close() { k.closed = true }

func fakeRoute(i int) fib.Route {
	p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24)
	return fib.Route{Table: fib.TableMain, Dst: p, Type: fib.TypeUnicast, Scope: fib.ScopeLink, Protocol: fib.ProtoStatic, Nexthops: []fib.Nexthop{{Link: 2, Weight: 1}}}
}

// set changes what there is, and announces it unless it is silent.
func (k *fake) set(i int, there, silent bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r := fakeRoute(i)
	if there {
		k.there[r.Dst] = r
	} else {
		delete(k.there, r.Dst)
	}
	if !silent && k.lost == nil {
		k.queue = append(k.queue, event{kind: eventRoute, gone: !there, flags: fib.OpAdd, route: r})
		k.say()
	}
}

func (k *fake) lose() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lost, k.queue = errLost, nil
	k.say()
}

func fakeMirror(t *testing.T, k *fake) *Mirrored {
	return mirrorOf(t, k, MirrorOptions{MaxDelay: time.Millisecond, Poll: 5 * time.Millisecond})
}

// mirrorOf is a mirror of any source.
func mirrorOf(t *testing.T, src source, opt MirrorOptions) *Mirrored {
	t.Helper()
	return mirrorUntil(t, t.Context(), src, opt)
}

func mirrorUntil(t *testing.T, ctx context.Context, src source, opt MirrorOptions) *Mirrored {
	t.Helper()
	ctx, stop := context.WithCancelCause(ctx)
	m := newMirror(fib.New(fib.Config{}), src, opt, time.Now)
	m.stop = stop
	require.NoError(t, m.begin(ctx))
	go m.run(ctx)
	t.Cleanup(m.Close)
	return m
}

func requireFake(t *testing.T, m *Mirrored, k *fake) {
	t.Helper()
	require.NoError(t, m.Sync(t.Context()))
	k.mu.Lock()
	defer k.mu.Unlock()
	n := 0
	for r := range m.FIB().Snapshot().Routes() {
		require.Contains(t, k.there, r.Dst)
		n++
	}
	require.Len(t, k.there, n)
}

func TestMirrorOfAFake(t *testing.T) {
	t.Run("events", func(t *testing.T) {
		k := newFake()
		k.set(1, true, true)
		m := fakeMirror(t, k)
		for i := range 300 {
			k.set(i%7, i%3 != 0, false)
		}
		requireFake(t, m, k)
		assert.Zero(t, m.Stats().Drift)
	})
	t.Run("losses in a row", func(t *testing.T) {
		k := newFake()
		m := fakeMirror(t, k)
		for i := range 5 {
			k.mu.Lock()
			k.storms = 3
			k.mu.Unlock()
			k.lose()
			for j := range 50 {
				k.set(i*50+j, true, false)
			}
		}
		requireFake(t, m, k)
		assert.NotZero(t, m.Stats().Overruns)
		assert.NotZero(t, m.Stats().Resyncs["overrun"])
		assert.Zero(t, m.Stats().Drift)
	})
	t.Run("dumps that are interrupted", func(t *testing.T) {
		k := newFake()
		k.set(1, true, true)
		k.breaks = 3
		m := fakeMirror(t, k)
		requireFake(t, m, k)
		assert.Zero(t, k.breaks)
	})
	t.Run("news during a dump", func(t *testing.T) {
		k := newFake()
		for i := range 20 {
			k.set(i, true, true)
		}
		n := 0
		k.during = func(k *fake) {
			if n++; n < 10 {
				k.set(n%20, n%2 == 0, false) // which the dump does not show
			}
		}
		m := fakeMirror(t, k)
		requireFake(t, m, k)
		c, err := m.Audit(t.Context())
		require.NoError(t, err)
		assert.True(t, c.Equal(), "%+v", c)
		requireFake(t, m, k)
	})
	t.Run("silence is drift", func(t *testing.T) {
		k := newFake()
		for i := range 20 {
			k.set(i, true, true)
		}
		m := fakeMirror(t, k)
		k.set(5, false, true)
		k.set(30, true, true)
		c, err := m.Audit(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 2, c.Differing)
		require.Len(t, c.Differences, 2)
		for _, d := range c.Differences {
			assert.Equal(t, len(d.Ours), 1-len(d.Theirs))
		}
		assert.EqualValues(t, 2, m.Stats().Drift)
		requireFake(t, m, k)
		c, err = m.Audit(t.Context())
		require.NoError(t, err)
		assert.True(t, c.Equal())
		assert.Equal(t, 20, c.Routes)
	})
	t.Run("an audit beside a prefix that never rests", func(t *testing.T) {
		k := newFake()
		for i := range 20 {
			k.set(i, true, true)
		}
		m := mirrorOf(t, k, MirrorOptions{MaxDelay: time.Millisecond, Poll: time.Hour, AuditWithin: 50 * time.Millisecond})
		k.set(7, false, true)
		k.during = func(k *fake) { // it is announced again and again, and never seen
			k.mu.Lock()
			defer k.mu.Unlock()
			k.queue = append(k.queue, event{kind: eventRoute, flags: fib.OpAdd, route: fakeRoute(7)})
		}
		c, err := m.Audit(t.Context())
		require.NoError(t, err)
		assert.False(t, c.Equal())
		assert.Zero(t, c.Differing)
		assert.Equal(t, []Open{{TablePrefix: fib.TablePrefix{Table: fib.TableMain, Dst: fakeRoute(7).Dst}}}, c.Open)
		assert.Equal(t, 1, c.Uncertain)
		assert.Equal(t, 20, c.Routes)
	})
	t.Run("a dump between two news of a prefix", func(t *testing.T) {
		k := newFake()
		for i := range 20 {
			k.set(i, true, true)
		}
		m := mirrorOf(t, k, MirrorOptions{MaxDelay: time.Millisecond, Poll: time.Hour})
		k.set(7, false, true) // what the dump shows is neither the first nor the last
		k.during = func(k *fake) {
			k.mu.Lock()
			defer k.mu.Unlock()
			r := fakeRoute(7)
			k.queue = append(k.queue, event{kind: eventRoute, gone: true, route: r}, event{kind: eventRoute, flags: fib.OpAdd, route: r})
			k.there[r.Dst], k.during = r, nil
		}
		before := k.looks
		c, err := m.Audit(t.Context())
		require.NoError(t, err)
		assert.True(t, c.Equal(), "%+v", c)
		assert.Equal(t, 1, k.looks-before, "the news account for it")
	})
	t.Run("news in the middle of a look at a link", func(t *testing.T) {
		k := newFake()
		for i := range 5 {
			k.set(i, true, true)
		}
		rule := rules.Rule{Family: fib.Inet, Priority: 5, Action: rules.ActLookup, Table: 254}
		k.rules = []rules.Rule{rule}
		m := mirrorOf(t, k, MirrorOptions{Poll: time.Hour})
		k.mu.Lock()
		l := fib.Link{Index: 2, Name: "d0", Flags: fib.LinkUp | fib.LinkRunning | fib.LinkLowerUp, MTU: 1400}
		back := l
		back.MTU = 1500
		k.queue = append(k.queue, event{kind: eventLink, link: l}, event{kind: eventLink, link: back})
		k.during = func(k *fake) {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.during = nil
			k.rules = append(k.rules, rule) // once more
			k.queue = append(k.queue, event{kind: eventRule, rule: rules.RequestOf(rule)})
		}
		k.mu.Unlock()
		k.say()
		c, err := m.Audit(t.Context())
		require.NoError(t, err)
		assert.True(t, c.Equal(), "%+v", c)
		assert.Zero(t, m.Stats().Drift)
		assert.Len(t, m.FIB().Snapshot().Rules(fib.Inet), 2)
	})
	t.Run("news of a prefix that differs beside a link", func(t *testing.T) {
		k := newFake()
		for i := range 5 {
			k.set(i, true, true)
		}
		m := mirrorOf(t, k, MirrorOptions{Poll: time.Hour})
		k.set(2, false, true) // as what follows from the link's changes
		k.mu.Lock()
		k.during = func(k *fake) {
			k.mu.Lock()
			defer k.mu.Unlock()
			r := fakeRoute(2)
			r.Priority = 5
			k.queue = append(k.queue, event{kind: eventRoute, flags: fib.OpAdd, route: r})
			k.there[r.Dst], k.during = r, nil
		}
		l := fib.Link{Index: 2, Name: "d0", Flags: fib.LinkUp | fib.LinkRunning | fib.LinkLowerUp, MTU: 1400}
		back := l
		back.MTU = 1500
		k.queue = append(k.queue, event{kind: eventLink, link: l}, event{kind: eventLink, link: back})
		k.mu.Unlock()
		k.say()
		requireFake(t, m, k)
	})
	t.Run("an audit beside doubts without end", func(t *testing.T) {
		k := newFake()
		k.set(1, true, true)
		m := mirrorOf(t, k, MirrorOptions{Poll: time.Hour, AuditWithin: 50 * time.Millisecond})
		k.mu.Lock()
		k.during = func(k *fake) {
			k.mu.Lock()
			defer k.mu.Unlock()
			r := fakeRoute(1)
			r.Protocol = 77
			e := event{kind: eventRoute, flags: fib.OpReplace, route: r}
			k.queue = append(k.queue, e, e, event{kind: eventRoute, vague: true, route: r})
		}
		k.queue = append(k.queue, event{kind: eventRoute, vague: true, route: fakeRoute(1)})
		k.mu.Unlock()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		c, err := m.Audit(ctx)
		require.NoError(t, err)
		assert.Equal(t, []Open{{TablePrefix: fib.TablePrefix{Table: fib.TableMain, Dst: fakeRoute(1).Dst}}}, c.Open)
		assert.False(t, c.Equal())
	})
	t.Run("a kernel that cannot answer for a while", func(t *testing.T) {
		k := newFake()
		m := fakeMirror(t, k)
		k.mu.Lock()
		k.ill = fmt.Errorf("%w: ENOMEM", errLook)
		k.mu.Unlock()
		for m.Stats().Failures < 3 {
			runtime.Gosched()
		}
		k.set(1, true, false)
		k.mu.Lock()
		k.ill = nil
		k.mu.Unlock()
		requireFake(t, m, k)
		require.NoError(t, m.Err())
	})
	t.Run("the namespace goes", func(t *testing.T) {
		k := newFake()
		m := fakeMirror(t, k)
		k.mu.Lock()
		k.gone = fmt.Errorf("blue: %w", ErrNamespaceGone)
		k.mu.Unlock()
		<-m.Done()
		require.ErrorIs(t, m.Err(), ErrNamespaceGone)
		assert.True(t, k.closed)
		assert.ErrorIs(t, m.Sync(t.Context()), ErrNamespaceGone)
	})
	t.Run("closed", func(t *testing.T) {
		k := newFake()
		m := fakeMirror(t, k)
		m.Close()
		assert.ErrorIs(t, m.Err(), net.ErrClosed)
		_, err := m.Audit(t.Context())
		assert.ErrorIs(t, err, net.ErrClosed)
		assert.True(t, k.closed)
	})
	t.Run("its context ends", func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		m := mirrorUntil(t, ctx, newFake(), MirrorOptions{MaxDelay: time.Millisecond})
		stop()
		<-m.Done()
		assert.ErrorIs(t, m.Err(), context.Canceled)
		assert.NotErrorIs(t, m.Err(), net.ErrClosed)
	})
	t.Run("a source that fails", func(t *testing.T) {
		k := newFake()
		m := fakeMirror(t, k)
		broken := errors.New("broken")
		k.mu.Lock()
		k.lost = broken
		k.mu.Unlock()
		k.say()
		<-m.Done()
		assert.ErrorIs(t, m.Err(), broken)
	})
}

// What a repair published is told, even if announcements are lost again right behind it.
func TestEveryTransactionIsTold(t *testing.T) {
	k := newFake()
	var last, gaps atomic.Uint64
	m := mirrorOf(t, k, MirrorOptions{Poll: time.Hour, Changed: func(r fib.Result) {
		if was := last.Swap(r.Generation); was != 0 && r.Generation != was+1 {
			gaps.Add(1)
		}
	}})
	k.set(1, true, true)
	k.mu.Lock()
	k.lost = errLost
	k.during = func(k *fake) {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.lost, k.during = errLost, nil
	}
	k.mu.Unlock()
	k.say()
	requireFake(t, m, k)
	assert.NotZero(t, k.learned)
	assert.Equal(t, m.FIB().Snapshot().Generation(), last.Load())
	assert.Zero(t, gaps.Load())
}

func TestMirrorEndsItsGoroutines(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 10 {
		m := fakeMirror(t, newFake())
		m.Close()
	}
	for end := time.Now().Add(time.Minute); runtime.NumGoroutine() > before && time.Now().Before(end); {
		runtime.Gosched()
	}
	assert.LessOrEqual(t, runtime.NumGoroutine(), before)
}

func TestPaceKeepsToItsShare(t *testing.T) {
	p := pace{least: time.Millisecond}
	at := time.Unix(0, 0)
	p.spent(at, at.Add(100*time.Millisecond), true)
	assert.Equal(t, at.Add(time.Second), p.next)
	p.spent(at, at.Add(100*time.Millisecond), false)
	assert.Greater(t, p.next.Sub(at), time.Second)
	for range 20 {
		p.spent(at, at.Add(time.Second), false)
	}
	assert.Equal(t, at.Add(time.Second+longestWait), p.next)
	p.spent(at, at, true)
	assert.Equal(t, at.Add(time.Millisecond), p.next)
	p = pace{least: time.Minute}
	p.spent(at, at, true)
	assert.Equal(t, at.Add(time.Minute), p.next, "as seldom as was asked for")
}
