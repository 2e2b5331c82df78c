package rebuild

import (
	"net/netip"
	"slices"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtnl"
)

// Split tells the routes of st that nobody made for its links and addresses by
// position, and returns those that the kernel made but are gone.
func Split(st *fib.State) (extra []int, gone []fib.Route) {
	made := Derived(st)
	left := map[routeKey]int{}
	for i := range made {
		left[keyOf(&made[i])]++
	}
	for i := range st.Routes {
		if k := keyOf(&st.Routes[i]); left[k] > 0 {
			left[k]--
		} else {
			extra = append(extra, i)
		}
	}
	for i := range made {
		if k := keyOf(&made[i]); left[k] > 0 {
			left[k]--
			gone = append(gone, made[i])
		}
	}
	return extra, gone
}

// Same reports whether two routes are one, but for what links and neighbours do
// to it.
func Same(a, b *fib.Route) bool { return keyOf(a) == keyOf(b) }

// routes enters those that do not come with links and addresses by themselves, and
// deletes those that do but are not wanted.
func (p *planner) routes() error {
	extra, gone := Split(p.st)
	for i := range gone {
		if err := send(p, rtnl.AppendRoute, rtnl.RTM_DELROUTE, changeFlags, &gone[i], p.routeText("del", &gone[i])); err != nil {
			return err
		}
	}
	taken := map[aliasKey]bool{}
	others := map[int]bool{}
	for _, i := range extra {
		others[i] = true
	}
	for i := range p.st.Routes {
		if !others[i] {
			taken[aliasOf(&p.st.Routes[i])] = true
		}
	}
	for _, i := range extra {
		r := &p.st.Routes[i]
		verb, flags := "add", uint16(addFlags)
		if k := aliasOf(r); taken[k] {
			verb, flags = "append", appendFlags
		} else {
			taken[k] = true
		}
		if err := send(p, rtnl.AppendRoute, rtnl.RTM_NEWROUTE, flags, r, p.routeText(verb, r)); err != nil {
			return err
		}
		p.last().Retry = true
	}
	return nil
}

// aliasKey is what two routes of one place have in common: a second one is
// appended.
type aliasKey struct {
	table    fib.TableID
	dst, src netip.Prefix
	tos      uint8
	priority uint32
}

func aliasOf(r *fib.Route) aliasKey {
	k := aliasKey{r.Table, r.Dst, r.Src, r.TOS, r.Priority}
	if r.Family() == fib.Inet6 && k.priority == 0 {
		k.priority = 1024 // the kernel's default
	}
	return k
}

type routeKey struct {
	aliasKey
	typ     fib.RouteType
	scope   fib.Scope
	proto   fib.Protocol
	prefsrc netip.Addr
	link    int32
	gateway netip.Addr
	legs    int
}

func keyOf(r *fib.Route) routeKey {
	k := routeKey{aliasKey: aliasOf(r), typ: r.Type, scope: r.Scope, proto: r.Protocol, prefsrc: r.PrefSrc, legs: len(r.Nexthops)}
	if len(r.Nexthops) > 0 {
		k.link, k.gateway = r.Nexthops[0].Link, r.Nexthops[0].Gateway
	}
	return k
}

// Derived are the routes that a kernel makes for the links and addresses of st: the
// model tells.
func Derived(st *fib.State) []fib.Route {
	f := fib.New(fib.Config{Kernel: st.Kernel})
	_, err := f.Update(func(tx *fib.Txn) error {
		for i := range st.Links {
			if err := tx.SetLink(st.Links[i]); err != nil {
				return err
			}
		}
		for i := range st.Addresses {
			if err := tx.AddAddress(st.Addresses[i]); err != nil {
				continue // refused now, so nothing comes with it
			}
		}
		return nil
	})
	if err != nil {
		return nil
	}
	return slices.Collect(f.Snapshot().Routes())
}
