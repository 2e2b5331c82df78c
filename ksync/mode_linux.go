package ksync

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtnl"
	"github.com/fibula-net/fibula/rules"
)

// modes finds out whether the rules of each family are walked (A8–A10) and
// whether local routes were added by hand (C31). What cannot be found out stays
// unknown.
func (s *scan) modes(ctx context.Context, st *fib.State) error {
	q := &Querier{conn: s.conn, buf: s.buf}
	var err error
	if st.Mode4, err = s.mode4(q, st); err != nil {
		return fmt.Errorf("probe the IPv4 rules of %v: %w", s.opt.NetNS, err)
	}
	if st.Mode4 != fib.ModeRules {
		found, err := s.userLocal(ctx)
		if err != nil {
			return fmt.Errorf("read IPv4 local routes of %v: %w", s.opt.NetNS, err)
		}
		if found {
			st.UserLocalRoutes = fib.FactYes
		}
	}
	if len(s.families) < 2 {
		return nil
	}
	if st.Mode6, err = s.mode6(ctx, q, st); err != nil {
		return fmt.Errorf("probe the IPv6 rules of %v: %w", s.opt.NetNS, err)
	}
	return nil
}

// enoughProbes bounds the addresses tried: one of them answers unless no link is up.
const enoughProbes = 16

// mode4 asks for the way to our own addresses: the kernel names table main for
// them while local and main are one, table local once rules are walked (A10).
// Other rules than the initial ones need no question.
func (s *scan) mode4(q *Querier, st *fib.State) (fib.Mode, error) {
	if !rules.Load(fib.Inet, st.Rules).IsInitial() {
		return fib.ModeRules, nil
	}
	probes := []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	for _, a := range st.Addresses {
		if a.Local.Is4() && len(probes) < enoughProbes {
			probes = append(probes, a.Local)
		}
	}
	for _, p := range probes {
		reply, errno, err := q.Get(fib.Flow{Dst: p}, LookupTable)
		switch {
		case err != nil:
			return 0, err
		case errno != 0 || reply.Route.Type != fib.TypeLocal:
		case reply.Route.Table == fib.TableMain:
			return fib.ModeMerged, nil
		case reply.Route.Table == fib.TableLocal:
			return fib.ModeRules, nil
		}
	}
	return fib.ModeUnknown, nil
}

// mode6: a rule that is not initial tells that one was added. With exactly the
// initial ones the two modes answer alike, so it stays unknown. If one of them is
// missing, what only its table can answer tells (A9, A10).
func (s *scan) mode6(ctx context.Context, q *Querier, st *fib.State) (fib.Mode, error) {
	initial := rules.Initial(fib.Inet6)
	missing := map[fib.TableID]bool{}
	for _, r := range initial.All() {
		missing[fib.TableID(r.Table)] = true
	}
	for _, r := range st.Rules {
		if r.Family != fib.Inet6 {
			continue
		}
		known := false
		for _, i := range initial.All() {
			known = known || i == r
		}
		if !known || !missing[fib.TableID(r.Table)] {
			return fib.ModeRules, nil
		}
		delete(missing, fib.TableID(r.Table))
	}
	if len(missing) == 0 {
		return fib.ModeUnknown, nil
	}
	for table := range missing {
		probes, err := s.probes6(ctx, table)
		if err != nil {
			return 0, err
		}
		for _, p := range probes {
			reply, errno, err := q.Get(fib.Flow{Dst: p}, 0)
			if err != nil {
				return 0, err
			}
			if errno == 0 && reply.Route.Table == table {
				return fib.ModeMerged, nil
			}
		}
		if len(probes) > 0 {
			return fib.ModeRules, nil
		}
	}
	return fib.ModeUnknown, nil
}

// probes6 are some destinations of plain routes of a table.
func (s *scan) probes6(ctx context.Context, table fib.TableID) ([]netip.Addr, error) {
	var found []netip.Addr
	err := s.conn.dumpAll(ctx, rtnl.Dump{Type: rtnl.RTM_GETROUTE, Family: fib.Inet6, Table: table}, s.buf,
		func() { found = nil }, func(m rtnl.Message) error {
			var r fib.Route
			if err := rtnl.DecodeRoute(m, &r, nil); err != nil {
				return err
			}
			a := r.Dst.Addr()
			usable := r.Type == fib.TypeUnicast || r.Type == fib.TypeLocal
			dead := slices.ContainsFunc(r.Nexthops, func(n fib.Nexthop) bool { return n.Flags&fib.FlagDead != 0 })
			if usable && !dead && !r.Src.IsValid() && !a.IsMulticast() && !a.IsLinkLocalUnicast() && len(found) < enoughProbes {
				found = append(found, a)
			}
			return nil
		})
	return found, err
}

// userLocal looks for IPv4 local routes that the kernel did not make, through a
// dump of local routes only.
func (s *scan) userLocal(ctx context.Context) (found bool, err error) {
	err = s.conn.dumpAll(ctx, rtnl.Dump{Type: rtnl.RTM_GETROUTE, Family: fib.Inet, RouteType: fib.TypeLocal}, s.buf,
		func() { found = false }, func(m rtnl.Message) error {
			var r fib.Route
			if err := rtnl.DecodeRoute(m, &r, nil); err != nil {
				return err
			}
			if r.Type == fib.TypeLocal && (r.Table != fib.TableLocal || r.Protocol != fib.ProtoKernel) {
				found = true
			}
			return nil
		})
	return found, err
}
