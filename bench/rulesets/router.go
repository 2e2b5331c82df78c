package rulesets

import (
	"encoding/binary"
	"net/netip"

	"github.com/fibula-net/fibula/bench/tables"
	"github.com/fibula-net/fibula/fib"
)

// Uplink is the link through which the routers of the table main are reached: no index
// that a kernel would give to another.
const Uplink = 1000

// Gateway is the router that next hop i of a table stands for. It lies outside what
// streams ask for.
func Gateway(f fib.Family, i uint32) netip.Addr {
	if f == fib.Inet {
		return netip.AddrFrom4([4]byte{192, 0, 2, byte(i) + 1})
	}
	a := netip.MustParseAddr("fe80::").As16()
	binary.BigEndian.PutUint16(a[14:], uint16(i)+1)
	return netip.AddrFrom16(a)
}

// NextHop is the next hop of a table that an answer stands for: [Gateway] backwards,
// all ones where there is no way, and a number of its own for every other link.
func NextHop(d *fib.Decision) uint32 {
	b := d.Gateway.As16() // all zero where there is no gateway: one less is all ones
	if d.Errno == 0 && d.Link != Uplink {
		return 1<<16 | uint32(d.Link)
	}
	return uint32(b[15]) - 1
}

// State is a router without routes: one uplink with an address of both families, and
// what the set adds. The address brings no route, so that answers to any destination
// are those of the table.
func (s *Set) State() *fib.State {
	st := fib.New(fib.Config{}).Snapshot().State()
	st.UserLocalRoutes = fib.FactNo
	up := tunnel(Uplink, "up")
	st.Sysctls.All4.Forwarding, st.Sysctls.All6.Forwarding = true, true
	st.Links = append([]fib.Link{up}, s.Links...)
	for i, a := range []string{"192.0.2.254/32", "2001:db8::254/128"} {
		p := netip.MustParsePrefix(a)
		st.Addresses = append(st.Addresses, fib.Address{Link: Uplink, Local: p.Addr(), Prefix: p, Flags: fib.AddrPermanent | fib.AddrNoPrefixRoute,
			Created: uint32(i + 1), ValidLft: ^uint32(0), PreferredLft: ^uint32(0)})
	}
	st.Rules = append(st.Rules, s.Rules...)
	if len(s.Rules) > 0 {
		st.Mode4, st.Mode6 = fib.ModeRules, fib.ModeRules
	} else {
		st.Mode4, st.Mode6 = fib.ModeMerged, fib.ModeMerged
	}
	st.Routes = append(st.Routes, s.Routes...)
	return st
}

// Route is the route of main for a prefix. It leads where [tables.NextHop] says.
func Route(p netip.Prefix) fib.Route {
	f := fib.Inet6
	r := fib.Route{Table: fib.TableMain, Dst: p, Type: fib.TypeUnicast, Protocol: bgp, Priority: 1024}
	if p.Addr().Is4() {
		f, r.Priority = fib.Inet, 0
	}
	r.Nexthops = []fib.Nexthop{{Link: Uplink, Gateway: Gateway(f, tables.NextHop(p)), Weight: 1, Flags: fib.FlagOnlink}}
	return r
}

const bgp = 186 // RTPROT_BGP

// Load makes a FIB with the set's policy and the table in main.
func (s *Set) Load(t *tables.Table, c fib.Config) (*fib.FIB, error) {
	f := fib.New(c)
	_, err := f.Update(func(tx *fib.Txn) error {
		if err := tx.Load(s.State()); err != nil {
			return err
		}
		for _, part := range [][]netip.Prefix{t.V4, t.V6} {
			for _, p := range part {
				r := Route(p)
				if err := tx.LoadRoute(&r); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return f, err
}
