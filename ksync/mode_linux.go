package ksync

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtnl"
	"github.com/fibula-net/fibula/rules"
)

// modes finds out whether the rules of each family are walked (A8–A10), and, unless every IPv4 route is
// looked at anyhow, whether local routes were added by hand (C31). What cannot be found out stays unknown.
func (s *scan) modes(ctx context.Context, st *fib.State) error {
	q := &Querier{conn: s.conn, buf: s.buf}
	var err error
	if st.Mode4, err = s.mode4(q, st); err != nil {
		return fmt.Errorf("probe the IPv4 rules of %v: %w", s.opt.NetNS, err)
	}
	if st.Mode4 != fib.ModeRules && !s.allInet() {
		found, err := s.userLocal(ctx)
		if err != nil {
			return fmt.Errorf("read IPv4 local routes of %v: %w", s.opt.NetNS, err)
		}
		if found {
			st.UserLocalRoutes = fib.FactYes
		}
	}
	if !slices.Contains(s.families, fib.Inet6) {
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
	merged, err := s.merged6(ctx, st)
	if err != nil {
		return 0, err
	}
	asked := 0
	for r := range merged.Routes() {
		if !missing[r.Table] || asked == enoughProbes {
			continue
		}
		for _, p := range within(r.Dst) {
			f := fib.Flow{Dst: p}
			if d := merged.Resolve(f); d.Errno != 0 || d.Undetermined != 0 || !missing[d.Table] {
				continue // not what only that table can answer
			}
			asked++
			reply, errno, err := q.Get(f, 0)
			switch {
			case err != nil:
				return 0, err
			case errno == 0 && missing[reply.Route.Table]:
				return fib.ModeMerged, nil
			}
		}
	}
	if asked > 0 {
		return fib.ModeRules, nil
	}
	return fib.ModeUnknown, nil
}

// merged6 is the namespace as it answers IPv6 flows if its rules are not walked.
func (s *scan) merged6(ctx context.Context, st *fib.State) (*fib.Snapshot, error) {
	c := *st
	c.Mode6, c.Routes = fib.ModeMerged, nil
	for _, table := range []fib.TableID{fib.TableLocal, fib.TableMain} {
		err := s.conn.stream(ctx, rtnl.Dump{Type: rtnl.RTM_GETROUTE, Family: fib.Inet6, Table: table}, func(m rtnl.Message) error {
			var r fib.Route
			err := rtnl.DecodeRoute(m, &r, nil)
			if err == nil {
				c.Routes = append(c.Routes, r)
			}
			return err
		})
		var k *kernelError
		if errors.As(err, &k) && k.errno == fib.ENOENT {
			continue // no such table
		}
		if err != nil {
			return nil, err
		}
	}
	f := fib.New(fib.Config{Kernel: st.Kernel})
	_, err := f.Update(func(tx *fib.Txn) error { return tx.Load(&c) })
	return f.Snapshot(), err
}

// within are destinations of a route: its first address, which on a router is often
// the link's anycast address, and one that is nobody's.
func within(p netip.Prefix) []netip.Addr {
	first := p.Addr()
	if first.IsMulticast() || first.IsLinkLocalUnicast() {
		return nil
	}
	other := first.As16()
	if p.Bits() <= 120 {
		other[15] |= 0x77
	}
	return []netip.Addr{first, netip.AddrFrom16(other)}
}

// userLocal looks for IPv4 local routes that the kernel did not make, through a
// dump of local routes only, for which the kernel goes through all others as well.
func (s *scan) userLocal(ctx context.Context) (found bool, err error) {
	err = s.conn.dumpAll(ctx, rtnl.Dump{Type: rtnl.RTM_GETROUTE, Family: fib.Inet, RouteType: fib.TypeLocal}, s.buf,
		func() { found = false }, func(m rtnl.Message) error {
			var r fib.Route
			if err := rtnl.DecodeRoute(m, &r, nil); err != nil {
				return err
			}
			found = found || isHandmade(&r)
			return nil
		})
	return found, err
}

func isHandmade(r *fib.Route) bool {
	return r.Type == fib.TypeLocal && (r.Table != fib.TableLocal || r.Protocol != fib.ProtoKernel) && r.Family() == fib.Inet
}
