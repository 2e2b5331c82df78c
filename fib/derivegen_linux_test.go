package fib_test

import (
	"net/netip"

	"github.com/fibula-net/fibula/fib"
)

// What the twin test makes up: addresses, gateways and routes of small universes,
// so that most requests meet something.

func (w *twin) dev() int32 { return firstLink + int32(w.r.IntN(numLinks)) }

func (w *twin) address4() fib.Address {
	r := w.r
	i := r.IntN(numLinks)
	a := fib.Address{Link: firstLink + int32(i)}
	a.Local = netip.AddrFrom4([4]byte{10, byte(i + 1), byte(r.IntN(4) / 3), byte(1 + r.IntN(3))})
	a.Prefix = netip.PrefixFrom(a.Local, oneOf(r, 24, 24, 24, 24, 25, 8, 31, 32, 0))
	if chance(r, 10) {
		a.Local = oneOf(r, addrOf("10.1.0.1"), addrOf("10.9.0.1"), addrOf("0.0.0.5"))
	}
	if chance(r, 5) {
		a.Local = oneOf(r, addrOf("224.0.0.1"), addrOf("255.255.255.255"), addrOf("0.1.2.3"))
		a.Prefix = netip.PrefixFrom(a.Local, a.Prefix.Bits())
	}
	if chance(r, 10) {
		a.Prefix = oneOf(r, prefixOf("10.7.0.2/32"), prefixOf("10.7.0.9/24"), prefixOf("10.1.0.2/24"))
	}
	if chance(r, 20) {
		a.Broadcast = oneOf(r, addrOf("10.1.0.255"), addrOf("10.1.0.77"), addrOf("255.255.255.255"), addrOf("10.2.0.255"))
	}
	if chance(r, 10) {
		a.Scope = oneOf(r, fib.ScopeLink, fib.ScopeHost, fib.ScopeSite)
	}
	if chance(r, 15) {
		a.Flags |= fib.AddrNoPrefixRoute
	}
	if chance(r, 20) {
		a.Metric = uint32(1 + r.IntN(3))
	}
	return a
}

func (w *twin) address6() fib.Address {
	r := w.r
	i := r.IntN(numLinks)
	a := fib.Address{Link: firstLink + int32(i)}
	a.Local = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, byte(i + 1), 15: byte(r.IntN(4))})
	a.Prefix = netip.PrefixFrom(a.Local, oneOf(r, 64, 64, 64, 64, 48, 126, 127, 128))
	if chance(r, 15) {
		a.Local = oneOf(r, addrOf("fe80::1"), addrOf("fe80::2"), addrOf("2001:db8:1::1"))
		a.Prefix = netip.PrefixFrom(a.Local, 64)
	}
	if chance(r, 10) {
		a.Prefix = oneOf(r, prefixOf("2001:db8:7::9/128"), prefixOf("2001:db8:7::9/64"))
	}
	if chance(r, 15) {
		a.Flags |= fib.AddrNoPrefixRoute
	}
	if chance(r, 10) {
		a.Flags |= fib.AddrNoDAD
	}
	if chance(r, 20) {
		a.Metric = uint32(1+r.IntN(3)) * 100
	}
	return a
}

// gateway4 is an address of a link's subnet, mostly; link 0 means any.
func (w *twin) gateway4(dev int32) netip.Addr {
	net := byte(dev - firstLink + 1)
	if dev == 0 || chance(w.r, 10) {
		net = byte(1 + w.r.IntN(numLinks))
	}
	if chance(w.r, 3) {
		return oneOf(w.r, netip.IPv4Unspecified(), addrOf("224.0.0.1"), addrOf("255.255.255.255"))
	}
	return netip.AddrFrom4([4]byte{10, net, 0, oneOf[byte](w.r, 4, 5, 6, 7, 8, 9, 2, 1, 255)})
}

func (w *twin) gateway6(dev int32) netip.Addr {
	if chance(w.r, 20) {
		return addrOf("fe80::9")
	}
	if chance(w.r, 2) {
		return netip.IPv6Unspecified()
	}
	net := byte(dev - firstLink + 1)
	if dev == 0 || chance(w.r, 10) {
		net = byte(1 + w.r.IntN(numLinks))
	}
	return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, net, 15: byte(1 + w.r.IntN(8))})
}

// object is the id of a nexthop object that exists, mostly.
func (w *twin) object() uint32 {
	all := w.f.Snapshot().State().Nexthops
	if len(all) == 0 || chance(w.r, 10) {
		return uint32(1 + w.r.IntN(8))
	}
	return oneOf(w.r, all...).ID
}

// metrics are of a route, some beyond the bounds that the kernel has for them.
func (w *twin) metrics() fib.Metrics {
	m := metricsOf(fib.MetricMTU, oneOf[uint32](w.r, 1300, 1400, 1500))
	if chance(w.r, 20) {
		m.Values[fib.MetricLock] = 1 << fib.MetricMTU
	}
	if chance(w.r, 30) {
		m = metricsOf(oneOf(w.r, fib.MetricMTU, fib.MetricAdvMSS, fib.MetricHopLimit, fib.MetricFeatures), oneOf[uint32](w.r, 1, 255, 1<<16, 1<<20))
	}
	return m
}

func (w *twin) route4() fib.Route {
	r := w.r
	p := oneOf(r, prefixOf("10.9.0.0/16"), prefixOf("10.9.1.0/24"), prefixOf("10.10.0.0/24"), prefixOf("0.0.0.0/0"), prefixOf("10.1.0.0/24"), prefixOf("10.1.0.1/32"))
	rt := fib.Route{Dst: p, Table: oneOf(r, fib.TableMain, fib.TableMain, 100), Protocol: oneOf(r, fib.ProtoStatic, fib.ProtoBoot), Type: fib.TypeUnicast}
	if chance(r, 5) {
		rt.Table = fib.TableLocal
	}
	if chance(r, 30) {
		rt.Priority = uint32(r.IntN(3))
	}
	if chance(r, 15) {
		rt.TOS = oneOf[uint8](r, 0x10, 0x04, 0x20)
	}
	if chance(r, 20) {
		rt.PrefSrc = w.gateway4(0)
	}
	if chance(r, 10) {
		rt.Metrics = w.metrics()
	}
	leg := func() fib.Nexthop {
		n := fib.Nexthop{Weight: 1}
		switch r.IntN(6) {
		case 0:
			n.Link, rt.Scope = w.dev(), oneOf(r, fib.ScopeLink, fib.ScopeLink, fib.ScopeUniverse)
		case 1:
			n.Link = w.dev()
			n.Gateway = w.gateway4(n.Link)
		case 2:
			n.Link, n.Flags = w.dev(), fib.FlagOnlink
			n.Gateway = w.gateway4(n.Link)
		case 3:
			n.Link = w.dev()
			n.Gateway = w.gateway6(n.Link)
		default:
			n.Gateway = w.gateway4(0)
		}
		if chance(r, 10) {
			n.Realms = uint32(1 + r.IntN(2))
		}
		return n
	}
	switch r.IntN(10) {
	case 0:
		rt.Type = oneOf(r, fib.TypeBlackhole, fib.TypeUnreachable, fib.TypeProhibit, fib.TypeThrow)
	case 1:
		rt.Type, rt.Scope = oneOf(r, fib.TypeLocal, fib.TypeBroadcast, fib.TypeAnycast, fib.TypeMulticast), oneOf(r, fib.ScopeHost, fib.ScopeLink)
		rt.Nexthops = []fib.Nexthop{{Link: w.dev(), Weight: 1}}
	case 2, 3, 4:
		for range 2 + r.IntN(2) {
			n := leg()
			n.Weight = uint16(1 + r.IntN(3))
			rt.Nexthops = append(rt.Nexthops, n)
		}
	case 5, 6:
		rt.NexthopID = w.object()
	default:
		rt.Nexthops = []fib.Nexthop{leg()}
	}
	return rt
}

func (w *twin) route6() fib.Route {
	r := w.r
	p := oneOf(r, prefixOf("2001:db8:9::/48"), prefixOf("2001:db8:9:1::/64"), prefixOf("2001:db8:10::/48"), prefixOf("::/0"), prefixOf("2001:db8:1::/64"), prefixOf("2001:db8:1::1/128"))
	rt := fib.Route{Dst: p, Table: oneOf(r, fib.TableMain, fib.TableMain, 100), Protocol: oneOf(r, fib.ProtoStatic, fib.ProtoBoot), Type: fib.TypeUnicast}
	if chance(r, 5) {
		rt.Table = fib.TableLocal
	}
	rt.Priority = oneOf[uint32](r, 0, 0, 0, 100, 256, 1024)
	if chance(r, 10) {
		rt.Src = oneOf(r, prefixOf("2001:db8:1::/64"), prefixOf("2001:db8::/32"))
	}
	if chance(r, 20) {
		rt.PrefSrc = w.gateway6(0)
	}
	if chance(r, 10) {
		rt.Metrics = w.metrics()
	}
	if chance(r, 10) {
		rt.Pref = oneOf(r, fib.PrefHigh, fib.PrefLow)
	}
	leg := func() fib.Nexthop {
		n := fib.Nexthop{Weight: 1}
		switch r.IntN(4) {
		case 0:
			n.Link = w.dev()
		case 1:
			n.Link, n.Flags = w.dev(), fib.FlagOnlink
		}
		n.Gateway = w.gateway6(n.Link)
		return n
	}
	switch r.IntN(10) {
	case 0:
		rt.Type = oneOf(r, fib.TypeBlackhole, fib.TypeUnreachable, fib.TypeProhibit, fib.TypeThrow)
		for range r.IntN(3) {
			rt.Nexthops = append(rt.Nexthops, leg())
		}
	case 1:
		rt.Type = oneOf(r, fib.TypeLocal, fib.TypeAnycast, fib.TypeMulticast, fib.TypeNAT)
		rt.Nexthops = []fib.Nexthop{{Link: w.dev(), Weight: 1}}
	case 2, 3, 4:
		for range 2 + r.IntN(2) {
			rt.Nexthops = append(rt.Nexthops, leg())
		}
	case 5, 6:
		rt.NexthopID = w.object()
	case 7, 8:
		rt.Nexthops = []fib.Nexthop{{Link: oneOf(r, w.dev(), w.dev(), 1), Weight: 1}}
	default:
		rt.Nexthops = []fib.Nexthop{leg()}
	}
	return rt
}
