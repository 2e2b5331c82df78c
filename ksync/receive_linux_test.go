package ksync

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/internal/rtnl"
)

// What another process sends to the socket of a dump is passed over, however large it is.
func TestADumpPassesOverWhatOthersSend(t *testing.T) {
	t.Parallel()
	ns := netnstest.New(t, netnstest.LoUp)
	var c, other *conn
	require.NoError(t, ns.Do(func() (err error) {
		if c, err = dial(); err == nil {
			other, err = dial()
		}
		return err
	}))
	defer c.close()
	defer other.close()
	for _, size := range []int{100, dumped, dumped + 1} {
		require.NoError(t, unix.Sendto(other.fd, make([]byte, size), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Pid: c.port}))
		n := 0
		err := c.stream(t.Context(), rtnl.Dump{Type: rtnl.RTM_GETROUTE, Family: fib.Inet}, func(rtnl.Message) error { n++; return nil })
		require.NoError(t, err, "%d bytes", size)
		assert.NotZero(t, n)
	}
}
