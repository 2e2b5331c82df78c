package ksync

import (
	"context"
	"errors"
	"net/netip"
	"reflect"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtnl"
)

// watch hears of changes in a namespace. What the kernel changes silently it does
// not hear; two scans tell that.
type watch struct{ *subscription }

// openWatch joins what can change answers, but for neighbours: they change all the
// time, and those that matter are compared.
func openWatch(ctx context.Context, ns NetNS) (*watch, error) {
	s, err := subscribe(ctx, ns, subscribeOptions{groups: configGroups})
	if err != nil {
		return nil, err
	}
	return &watch{s}, nil
}

// changed reports whether there was news since the last call.
func (w *watch) changed() (news bool, err error) {
	for {
		more, err := w.read(0, func(m rtnl.Message) error {
			news = news || !cached(m)
			return nil
		})
		switch {
		case errors.Is(err, errLost):
			news = true
		case err != nil || !more:
			return news, err
		}
	}
}

// cached reports whether a message is about an exception that the kernel learned,
// which is no configuration.
func cached(m rtnl.Message) bool {
	var r fib.Route
	return m.Type == rtnl.RTM_NEWROUTE && errors.Is(rtnl.DecodeRoute(m, &r, nil), rtnl.ErrSkip)
}

// gracePeriod waits until the kernel has let go of what was deleted, or refused: until
// then it still counts, for one, the routes with realms (C31).
func gracePeriod() {
	const global = 1                                          // MEMBARRIER_CMD_GLOBAL
	_, _, _ = unix.Syscall(unix.SYS_MEMBARRIER, global, 0, 0) // a kernel without it waits for nothing
}

// sameAnswers reports whether two scans found the same, as far as answers depend
// on it.
func sameAnswers(a, b *fib.State) bool {
	return sameMoment(a, b) && reflect.DeepEqual(a.Nexthops, b.Nexthops) && a.Mode4 == b.Mode4 && a.Mode6 == b.Mode6 &&
		slices.EqualFunc(a.Routes, b.Routes, sameRoute) && reflect.DeepEqual(routers(a), routers(b))
}

func sameRoute(a, b fib.Route) bool {
	a.Expires, b.Expires = min(a.Expires, 1), min(b.Expires, 1)
	return reflect.DeepEqual(a, b)
}

// routers are the states of the neighbours that are gateways.
func routers(st *fib.State) map[fib.Neighbour]bool {
	gateways := map[netip.Addr]bool{}
	for i := range st.Routes {
		for j := range st.Routes[i].Nexthops {
			gateways[st.Routes[i].Nexthops[j].Gateway] = true
		}
	}
	for i := range st.Nexthops {
		gateways[st.Nexthops[i].Nexthop.Gateway] = true
	}
	out := map[fib.Neighbour]bool{}
	for _, n := range st.Neighbours {
		if gateways[n.Addr] {
			out[n] = true
		}
	}
	return out
}
