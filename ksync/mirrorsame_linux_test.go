package ksync

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/netnstest"
)

// mirrored starts a mirror that ends with the test.
func mirrored(t testing.TB, ns *netnstest.NS, opt MirrorOptions) *Mirrored {
	t.Helper()
	opt.NetNS = Named(ns.Name())
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	m, err := Mirror(context.Background(), fib.New(fib.Config{}), opt)
	require.NoError(t, err)
	t.Cleanup(m.Close)
	return m
}

// kernelRoutes are the routes of a namespace as its dumps show them, and what surrounds
// them. It shares with the mirror no more than the decoding of messages.
func kernelRoutes(t testing.TB, ns NetNS, tables ...fib.TableID) (*fib.State, []string) {
	t.Helper()
	var st *fib.State
	var routes []string
	err := retry(t.Context(), Options{NetNS: ns, Tables: tables}, func(s *scan) error {
		routes = nil
		return s.pass(t.Context(), func(small *fib.State) error { st = small; return nil }, func(r *fib.Route) error {
			c := *r
			c.Nexthops = slices.Clone(r.Nexthops)
			routes = append(routes, shownText(&c, st))
			return nil
		})
	})
	require.NoError(t, err)
	slices.SortStableFunc(routes, func(a, b string) int { // of one prefix they keep their order
		return comparePrefixText(a, b)
	})
	return st, routes
}

func comparePrefixText(a, b string) int {
	var ka, kb [4]string
	fmt.Sscan(a, &ka[0], &ka[1], &ka[2])
	fmt.Sscan(b, &kb[0], &kb[1], &kb[2])
	return slices.Compare(ka[:], kb[:])
}

// shownText is all that a dump shows of a route.
func shownText(r *fib.Route, st *fib.State) string {
	src := "-"
	if r.Src.IsValid() {
		src = r.Src.String()
	}
	s := fmt.Sprintf("%v %v %s tos %d metric %d type %v scope %v proto %v src %v pref %v nhid %d expires %t metrics %v", r.Table, r.Dst, src,
		r.TOS, r.Priority, r.Type, r.Scope, r.Protocol, r.PrefSrc, r.Pref, r.NexthopID, r.Expires != 0, r.Metrics)
	if r.NexthopID != 0 {
		return s
	}
	for _, n := range r.Nexthops {
		flags := n.Flags & (fib.FlagDead | fib.FlagLinkdown | fib.FlagOnlink)
		for i := range st.Links {
			l := &st.Links[i]
			ignored := l.Conf4.IgnoreRoutesWithLinkdown || st.Sysctls.All4.IgnoreRoutesWithLinkdown
			if r.Family() == fib.Inet6 {
				ignored = l.Conf6.IgnoreRoutesWithLinkdown || l.NoInet6
			}
			if l.Index == n.Link && l.Up() && ignored && l.Flags&(fib.LinkRunning|fib.LinkLowerUp) != fib.LinkRunning|fib.LinkLowerUp && flags&fib.FlagLinkdown != 0 {
				flags &^= fib.FlagDead // a setting, not a state
			}
		}
		s += fmt.Sprintf(" [dev %d via %v weight %d flags %d realms %d encap %v]", n.Link, n.Gateway, max(n.Weight, 1), flags, n.Realms, n.Encap)
	}
	return s
}

// ourRoutes are the routes of a FIB as a dump of a kernel would show them.
func ourRoutes(s *fib.Snapshot) []string {
	st := s.Surroundings()
	var out []string
	var last *fib.Route
	var group []fib.Route
	flush := func() {
		for i := 0; i < len(group); i++ {
			r := group[i]
			leg := func(x *fib.Route) bool {
				return x.Family() == fib.Inet6 && x.NexthopID == 0 && len(x.Nexthops) > 0 && x.Nexthops[0].Gateway.IsValid() && x.Learned != fib.FactYes
			}
			if leg(&r) { // the legs after it, and nothing of what stands between them
				end := i
				for j := i + 1; j < len(group) && group[j].Priority == r.Priority; j++ {
					if leg(&group[j]) {
						r.Nexthops = append(slices.Clone(r.Nexthops), group[j].Nexthops...)
						end = j
					}
				}
				i = end
			}
			out = append(out, shownText(&r, st))
		}
		group = nil
	}
	for r := range s.Routes() {
		if last != nil && (last.Table != r.Table || last.Dst != r.Dst || last.Src != r.Src) {
			flush()
		}
		group = append(group, r)
		last = &r
	}
	flush()
	slices.SortStableFunc(out, comparePrefixText)
	return out
}

// requireSame requires that a mirror holds what the kernel does.
func requireSame(t testing.TB, m *Mirrored, ns NetNS, tables ...fib.TableID) {
	t.Helper()
	if diff := sameAsKernel(t, m, ns, tables...); diff != "" {
		t.Fatal(diff)
	}
}

func sameAsKernel(t testing.TB, m *Mirrored, ns NetNS, tables ...fib.TableID) string {
	t.Helper()
	require.NoError(t, m.Sync(t.Context()))
	st, theirs := kernelRoutes(t, ns, tables...)
	require.NoError(t, m.Sync(t.Context()))
	s := m.FIB().Snapshot()
	ours := ourRoutes(s)
	diff := ""
	for _, x := range theirs {
		if !slices.Contains(ours, x) {
			diff += "kernel: " + x + "\n"
		}
	}
	for _, x := range ours {
		if !slices.Contains(theirs, x) {
			diff += "mirror: " + x + "\n"
		}
	}
	if diff == "" && !slices.Equal(ours, theirs) {
		for i := range ours {
			if ours[i] != theirs[i] {
				diff += "order: kernel: " + theirs[i] + "\n       mirror: " + ours[i] + "\n"
			}
		}
	}
	a, b := plain(s.Surroundings()), plain(st)
	if x, y := fmt.Sprintf("%+v", a), fmt.Sprintf("%+v", b); x != y {
		diff += "surroundings:\nkernel: " + y + "\nmirror: " + x + "\n"
	}
	return diff
}

var _ netip.Addr
