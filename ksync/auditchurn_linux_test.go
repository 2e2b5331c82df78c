package ksync

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/netnstest"
)

// An audit beside routes and links that never rest ends; it names nothing but these, and
// readers see transactions go on meanwhile.
func TestAuditEndsBesideChanges(t *testing.T) {
	t.Parallel()
	ns, _ := filled(t, 3000)
	ns.Batch("link add e0 type veth peer q0", "link set e0 up", "link set q0 up", "addr add 10.77.0.1/24 dev e0", "route add 10.78.0.0/24 via 10.77.0.2")
	ns.Settle()
	m := mirrored(t, ns, MirrorOptions{Poll: time.Hour, AuditWithin: time.Second, Logger: slog.New(slog.DiscardHandler)})
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		churnFor(stop, ns)
	}()
	for range 3 {
		c, err := m.Audit(t.Context())
		require.NoError(t, err)
		assert.Zero(t, c.Differing, "%+v", c)
		assert.GreaterOrEqual(t, c.Routes, 3000)
		for _, o := range c.Open {
			changes := o.Object == "" && (strings.HasPrefix(o.Dst.String(), "10.7") || o.Table == fib.TableLocal || o.Dst.Addr().Is6()) ||
				strings.HasPrefix(o.Object, "routes by link ") || strings.HasPrefix(o.Object, "links, addresses")
			assert.True(t, changes, "%v", o)
		}
	}
	close(stop)
	<-done
	require.Empty(t, atRest(t, m, Named(ns.Name())))
	c, err := m.Audit(t.Context())
	require.NoError(t, err)
	assert.True(t, c.Equal(), "%+v", c)
}

// churnFor changes routes and a link until it is stopped.
func churnFor(stop chan struct{}, ns *netnstest.NS) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		var lines []string
		for j := range 20 {
			lines = append(lines, fmt.Sprintf("route replace 10.79.%d.0/24 via 10.77.0.%d", j, 2+(i+j)%9), fmt.Sprintf("route del 10.79.%d.0/24", (j+i)%20))
		}
		if i%3 == 0 {
			lines = append(lines, "link set q0 down", "link set q0 up")
		}
		for _, line := range lines {
			ns.TryIP(line)
		}
	}
}
