package ksync

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/randtest"
)

// countingSource is a source that counts the routes that were read.
type countingSource struct {
	source
	whole, read atomic.Int64 // dumps that no link filters; routes of all dumps
}

func (c *countingSource) counting(fn func(*fib.Route) error) func(*fib.Route) error {
	return func(r *fib.Route) error { c.read.Add(1); return fn(r) }
}

func (c *countingSource) routes(ctx context.Context, f fib.Family, t fib.TableID, fn func(*fib.Route) error) error {
	c.whole.Add(1)
	return c.source.routes(ctx, f, t, c.counting(fn))
}

func (c *countingSource) routesBy(ctx context.Context, f fib.Family, l int32, fn func(*fib.Route) error) (bool, error) {
	return c.source.routesBy(ctx, f, l, c.counting(fn))
}

// What happens to a link has its own routes read, not those of a full table beside it.
func TestMirrorLooksAtTheRoutesOfALink(t *testing.T) {
	t.Parallel()
	const own = 5
	beside := 500 + randtest.Fewer(2500)
	ns, _ := filled(t, beside)
	ns.Batch("link add e0 type veth peer q0", "link set e0 up", "link set q0 up", "addr add 10.77.0.1/24 dev e0", "addr add 2001:db8:77::1/64 dev e0 nodad",
		"nexthop add id 9 via 10.77.0.9 dev e0", "route add 10.78.9.0/24 nhid 9")
	for i := range own {
		ns.IP(fmt.Sprintf("route add 10.78.%d.0/24 via 10.77.0.2 table 100", i))
		ns.IP(fmt.Sprintf("route add 2001:db8:78:%d::/64 via 2001:db8:77::2", i))
	}
	ns.Settle()
	k, err := openSource(t.Context(), &MirrorOptions{NetNS: Named(ns.Name())})
	require.NoError(t, err)
	src := &countingSource{source: k}
	m := mirrorOf(t, src, MirrorOptions{NetNS: Named(ns.Name()), Poll: time.Hour})
	requireSame(t, m, Named(ns.Name()))
	// A busy kernel shows a change some time before it announces it: then everything is looked at.
	busy := 5
	for _, do := range []string{"link set e0 promisc on", "link set q0 down", "link set q0 up", "addr add 10.77.0.5/24 dev e0", "addr del 10.77.0.5/24 dev e0", "link set e0 mtu 1400",
		"link set e0 down", "link set e0 up", "link set e0 name e1", "nexthop add id 8 via 10.77.0.8 dev e1", "nexthop del id 8", "addr del 10.77.0.1/24 dev e1", "link del e1",
		"link add e0 type veth peer q0", "link set e0 up"} {
		src.whole.Store(0)
		src.read.Store(0)
		ns.IP(do)
		if diff := atRest(t, m, Named(ns.Name())); diff != "" {
			t.Fatalf("after %s:\n%s", do, diff)
		}
		if src.whole.Load() > 0 && busy > 0 {
			busy--
			continue
		}
		assert.Zero(t, src.whole.Load(), do)
		assert.LessOrEqual(t, src.read.Load(), int64(20*(2*own+10)), do)
	}
	assert.Zero(t, m.Stats().Drift)
	src.read.Store(0)
	for range 20 { // nothing that means anything to routing
		ns.Batch("link set q0 promisc on", "link set q0 promisc off")
	}
	ns.Settle()
	require.Empty(t, atRest(t, m, Named(ns.Name())))
	assert.Zero(t, src.read.Load())
	c, err := m.Audit(t.Context())
	require.NoError(t, err)
	assert.True(t, c.Equal(), "%+v", c)
	assert.True(t, slices.ContainsFunc(c.Tables, func(d fib.TableDigest) bool { return d.Routes >= beside }))
	m.Close()
	assert.NotZero(t, k.scan.decoder, "what routes have in common is decoded once")
}
