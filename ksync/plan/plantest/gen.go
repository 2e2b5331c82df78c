// Package plantest makes random states for tests of plans: few prefixes, links and
// priorities, so that things meet, and objects of others among ours. Start at [Gen.Part].
package plantest

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/ksync/plan"
	"github.com/fibula-net/fibula/rules"
)

// The two who have objects.
const (
	Ours   = fib.Protocol(99)
	Theirs = fib.Protocol(4)
)

// Links is how many there are, besides lo: d0 …, the first with index FirstLink.
const (
	Links     = 3
	FirstLink = 2
)

const (
	ownLow  = 100
	ownHigh = 199
)

// Owner is who owns what is ours.
var Owner = plan.Owner{
	Protocol: Ours, Tables: []fib.TableID{10, 11, fib.TableMain},
	Rules: plan.Range{First: ownLow, Last: ownHigh}, Nexthops: plan.Range{First: 100, Last: 199},
}

// Gen makes random states in a small universe, so that things meet.
type Gen struct{ *rand.Rand }

// One is true once in so many times.
func (g Gen) One(in int) bool { return g.IntN(in) == 0 }

// Pick is one of from.
func Pick[T any](g Gen, from ...T) T { return from[g.IntN(len(from))] }

// Base is a namespace with links, addresses and what they bring.
func Base() (*fib.FIB, error) {
	f := fib.New(fib.Config{})
	_, err := f.Update(func(tx *fib.Txn) error {
		up := fib.LinkUp | fib.LinkRunning | fib.LinkLowerUp
		if err := tx.SetLink(fib.Link{Index: 1, Name: "lo", Flags: up | fib.LinkLoopback, MTU: 65536}); err != nil {
			return err
		}
		for l := int32(FirstLink); l < FirstLink+Links; l++ {
			if err := tx.SetLink(fib.Link{Index: l, Name: LinkName(l), Flags: up, MTU: 1500}); err != nil {
				return err
			}
			for _, p := range Addresses(l) {
				err := tx.AddAddress(fib.Address{Link: l, Local: p.Addr(), Prefix: p, Flags: fib.AddrPermanent | fib.AddrNoDAD,
					ValidLft: 1<<32 - 1, PreferredLft: 1<<32 - 1})
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
	return f, err
}

// LinkName is the name of a link.
func LinkName(l int32) string { return "d" + strconv.Itoa(int(l-FirstLink)) }

// Addresses are those of a link.
func Addresses(l int32) []netip.Prefix {
	return []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(l), 1}), 24), netip.PrefixFrom(gw6(l, 1), 64)}
}

func gw6(l int32, host byte) netip.Addr {
	return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 0, 0, byte(l), 15: host})
}

// Gateway is a neighbour on a link.
func Gateway(f fib.Family, l int32, host byte) netip.Addr {
	if f == fib.Inet {
		return netip.AddrFrom4([4]byte{10, 0, byte(l), host})
	}
	return gw6(l, host)
}

func (g Gen) family() fib.Family { return Pick(g, fib.Inet, fib.Inet6) }

// dst is one of few prefixes below 64.0.0.0/2 or 4000::/2.
func (g Gen) dst(f fib.Family) netip.Prefix {
	b := [16]byte{64 | byte(g.IntN(4))<<4}
	bits := Pick(g, 0, 2, 3, 4)
	a := netip.AddrFrom16(b)
	if f == fib.Inet {
		a = netip.AddrFrom4([4]byte(b[:4]))
	}
	return netip.PrefixFrom(a, bits).Masked()
}

func (g Gen) leg(f fib.Family) fib.Nexthop {
	l := int32(FirstLink + g.IntN(Links))
	n := fib.Nexthop{Link: l, Weight: 1}
	if g.One(2) {
		n.Gateway = Gateway(f, l, byte(2+g.IntN(2)))
	}
	return n
}

func (g Gen) route(proto fib.Protocol, objects []fib.NexthopObject) fib.Route {
	f := g.family()
	r := fib.Route{Table: Pick(g, Owner.Tables...), Dst: g.dst(f), Protocol: proto, Priority: uint32(1 + g.IntN(2)), Type: fib.TypeUnicast}
	if g.One(6) && f == fib.Inet {
		r.TOS = 0x10
	}
	switch g.IntN(8) {
	case 0:
		r.Type = Pick(g, fib.TypeBlackhole, fib.TypeUnreachable, fib.TypeProhibit)
		return r
	case 1:
		r.Type = fib.TypeThrow
		return r
	case 2:
		for _, i := range g.Perm(len(objects)) {
			o := &objects[i]
			if o.Blackhole || o.IsGroup() || o.Family == f {
				r.NexthopID = o.ID
				if o.Blackhole && f == fib.Inet6 { // an IPv4 object
					r.NexthopID = 0
					continue
				}
				if o.IsGroup() && f == fib.Inet6 {
					r.NexthopID = 0
					continue
				}
				return r
			}
		}
	case 3:
		{
			a, b := g.leg(f), g.leg(f)
			a.Gateway, b.Gateway = Gateway(f, a.Link, 2), Gateway(f, b.Link, 3)
			b.Weight = uint16(1 + g.IntN(3))
			r.Nexthops = []fib.Nexthop{a, b}
			return r
		}
	}
	r.Nexthops = []fib.Nexthop{g.leg(f)}
	if g.One(5) {
		r.Metrics.Values[fib.MetricMTU] = uint32(1400 + g.IntN(2))
	}
	return r
}

func (g Gen) objects(from uint32, proto fib.Protocol) (out []fib.NexthopObject) {
	for i := range uint32(g.IntN(4)) {
		f := g.family()
		o := fib.NexthopObject{ID: from + i, Family: f, Protocol: proto, Nexthop: g.leg(f)}
		if g.One(6) {
			o = fib.NexthopObject{ID: from + i, Family: fib.Inet, Protocol: proto, Blackhole: true}
		}
		out = append(out, o)
	}
	var members []fib.GroupMember
	for _, o := range out {
		if o.Family == fib.Inet && !o.Blackhole {
			members = append(members, fib.GroupMember{ID: o.ID, Weight: uint16(1 + g.IntN(2))})
		}
	}
	if len(members) > 0 && g.One(2) {
		out = append(out, fib.NexthopObject{ID: from + 50, Protocol: proto, Group: members})
	}
	return out
}

func (g Gen) rule(proto fib.Protocol) rules.Rule {
	r := rules.Rule{Family: g.family(), Protocol: uint8(proto), Priority: uint32(ownLow + g.IntN(4)), Action: rules.ActLookup, Table: uint32(Pick(g, Owner.Tables...))}
	if proto != Ours && g.One(2) {
		r.Priority = Pick[uint32](g, 50, 300)
	}
	if g.One(3) {
		r.Mark, r.MarkMask = uint32(1+g.IntN(2)), 0xffffffff
	}
	if g.One(4) {
		r.To = g.dst(r.Family)
	}
	if g.One(6) {
		r.Not = r.Mark != 0 || r.To.IsValid() && r.To.Bits() > 0
	}
	if g.One(6) {
		r.Table, r.Action = 0, Pick(g, rules.ActUnreachable, rules.ActBlackhole, rules.ActProhibit, rules.ActNop)
	}
	if g.One(8) && r.Action == rules.ActLookup {
		r.SuppressPrefixLength = rules.Some(uint32(g.IntN(3)))
	}
	if r.To.Bits() == 0 {
		r.To = netip.Prefix{}
	}
	return r
}

// Part is what one owner has.
type Part struct {
	Objects []fib.NexthopObject
	Routes  []fib.Route
	Rules   []rules.Rule
}

// Part is random; its objects have ids from from on.
func (g Gen) Part(from uint32, proto fib.Protocol) (p Part) {
	p.Objects = g.objects(from, proto)
	for range g.IntN(14) {
		p.Routes = append(p.Routes, g.route(proto, p.Objects))
	}
	for range g.IntN(7) {
		p.Rules = append(p.Rules, g.rule(proto))
	}
	return p
}

// Vary makes a state that has much in common with p.
func (g Gen) Vary(p Part) Part {
	q := g.Part(100, Ours)
	if g.One(4) {
		return q
	}
	for _, r := range p.Routes {
		if !g.One(3) && (r.NexthopID == 0 || slices.ContainsFunc(q.Objects, func(o fib.NexthopObject) bool { return o.ID == r.NexthopID })) {
			q.Routes = append(q.Routes, r)
		}
	}
	for _, r := range p.Rules {
		if !g.One(3) {
			q.Rules = slices.Insert(q.Rules, g.IntN(len(q.Rules)+1), r)
		}
	}
	return q
}

// Enter puts a part into a FIB as far as it is accepted there.
func (p *Part) Enter(f *fib.FIB) {
	_, _ = f.Update(func(tx *fib.Txn) error {
		for _, o := range p.Objects {
			_, _ = tx.AddNexthop(o, fib.OpAdd)
		}
		for _, r := range p.Routes {
			_ = tx.AddRoute(r, fib.OpAdd)
		}
		for _, r := range p.Rules {
			_, _ = tx.AddRule(rules.RequestOf(r), 0)
		}
		return nil
	})
}
