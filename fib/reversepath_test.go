package fib_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/fibula-net/fibula/fib"
)

// A packet that rp_filter drops was EXDEV up to Linux 6.12; a martian was EINVAL
// always (C31, section I).
func TestErrnoOfReversePath(t *testing.T) {
	for _, c := range []struct {
		kernel            fib.KernelVersion
		filtered, martian fib.Errno
	}{
		{fib.KernelVersion{Major: 6, Minor: 1}, fib.EXDEV, fib.EINVAL},
		{fib.KernelVersion{Major: 6, Minor: 12}, fib.EXDEV, fib.EINVAL},
		{fib.KernelVersion{Major: 6, Minor: 13}, fib.EINVAL, fib.EINVAL},
		{fib.KernelVersion{}, fib.EINVAL, fib.EINVAL},
	} {
		st := vrfState(c.kernel)
		st.Links[vrfD0-1].Master = 0
		for i := range st.Routes {
			if st.Routes[i].Table == 100 {
				st.Routes[i].Table = fib.TableMain
				if st.Routes[i].Type == fib.TypeLocal {
					st.Routes[i].Table = fib.TableLocal
				}
			}
		}
		st.Links[vrfD0-1].Conf4 = fib.Conf4{Forwarding: true, RPFilter: 1}
		s := loaded(t, st)
		ask := func(src string) fib.Errno {
			f := fib.Flow{Dst: netip.MustParseAddr("10.2.0.5"), Src: netip.MustParseAddr(src), Iif: vrfD0}
			checkFlow(t, s, f)
			return s.Resolve(f).Errno
		}
		assert.Equal(t, fib.Errno(0), ask("10.1.0.9"), "kernel %v", c.kernel)
		assert.Equal(t, c.filtered, ask("192.0.2.9"), "kernel %v: reached through d1", c.kernel)
		assert.Equal(t, c.martian, ask("10.2.0.1"), "kernel %v: an address of this host", c.kernel)
	}
}
