package fib

import "net/netip"

// ready is the answer of a leaf, worked out when it is published, for the flows that
// leave all choice to the table: sent by this host, with no oif and to one host.
// What depends on flow, prefix, table or rule is filled in by quick. A leaf has none where
// more counts: TOS, several legs, dead ones, anything undetermined.
type ready struct {
	d       Decision
	several bool // aliases: of a default route, neighbours choose among them (B18)
	toDst   bool // the source is the destination (C8)
	ranked  bool // the source is chosen for the destination (D41):
	// usually this one, where that is the one for every global address that is not ours.
	usual netip.Addr
	dev   int32
	gated bool // a gateway that is known to have failed excludes the route (D10)
}

// readyLeaves bounds the leaves that have a ready answer, and so what a change of links
// costs, which may concern all of them. Whoever has more distinct routes has walks
// for the rest.
const readyLeaves = 1 << 16

// Destinations for which ready answers are worked out: hosts as any others.
var (
	anyHost4 = netip.AddrFrom4([4]byte{192, 0, 2, 1})
	anyHost6 = netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 15: 1})
)

// makeReady works out the answers of the leaves that are new, or of all if what they depend on
// has changed.
func (tx *Txn) makeReady() {
	s := tx.s
	if tx.owned.links || tx.owned.objects || s.sysctls != tx.base.sysctls || s.kernel != tx.base.kernel {
		tx.ownLeaves()
		for k := range min(len(s.leaves), readyLeaves/leafPageSize) {
			pg := tx.in.ownPage(s.leaves, k)
			for j, l := range &pg.leaves {
				pg.ready[j] = s.readyFor(l)
			}
		}
		return
	}
	for _, i := range tx.in.fresh {
		if i < readyLeaves {
			pg := s.leaves[i/leafPageSize]
			pg.ready[i%leafPageSize] = s.readyFor(pg.leaves[i%leafPageSize])
		}
	}
}

// readyFor is the ready answer of l, or nil.
func (s *Snapshot) readyFor(l *leaf) *ready {
	if l == nil || len(l.plain) == 0 || len(l.bySrc) > 0 || l.lost != lostNever {
		return nil
	}
	r := &ready{several: len(l.plain) > 1}
	ok := false
	if l.plain[0].fam == Inet {
		ok = s.ready4(l, r)
	} else {
		ok = s.ready6(l, r)
	}
	if !ok {
		return nil
	}
	return r
}

func (s *Snapshot) ready4(l *leaf, r *ready) bool {
	for _, a := range l.plain {
		if a.tos != 0 || a.typ != TypeUnicast && a.typ != TypeLocal && a.typ != TypeBroadcast && !a.typ.IsReject() {
			return false
		}
	}
	w := newWalk(s, Flow{Dst: anyHost4}, nil)
	w.h.prefix = netip.PrefixFrom(anyHost4, 32)
	switch v, e := w.leaf4(l, &w.h); v {
	case aliasRejects:
		w.refuse4(&r.d, e)
	case aliasFits:
		if len(s.legs(w.h.alias)) > 1 {
			return false
		}
		r.toDst = w.h.alias.typ == TypeLocal && !w.h.alias.prefSrc.IsValid()
		if w.route4(&r.d, &answer4{}, false); r.d.Errno != 0 {
			return false
		}
	default:
		return false
	}
	return w.und == 0
}

func (s *Snapshot) ready6(l *leaf, r *ready) bool {
	// With several routes, which of them have failed neighbours would count.
	if r.several && !s.sysctls.All6.Forwarding {
		return false
	}
	w := newWalk(s, Flow{Dst: anyHost6}, nil)
	q := query6{dst: anyHost6, src: netip.IPv6Unspecified()}
	p := pick6{bits: 128}
	if !w.choose6(l.plain, &q, false, &p) {
		return false
	}
	a := p.alias
	if a.typ == TypeThrow || len(s.legs6(a)) > 1 || r.several && a.ecmpAble() {
		return false
	}
	out, e := w.settle6(&table{fam: Inet6}, &q, &p, &w.h)
	r.d.Errno = e
	w.fillRoute(&r.d)
	if out == found {
		r.dev, r.ranked = s.legs6(a)[0].Link, !a.prefSrc.IsValid()
		r.gated = !s.sysctls.All6.Forwarding && w.h.nh.Gateway.IsValid()
		r.usual = s.usualSource6(r.dev)
		w.way6(&r.d)
		r.d.Source = a.prefSrc
		// In a VRF the device of what is delivered depends on the destination (L13).
		if (a.typ == TypeLocal || a.typ == TypeAnycast) && s.masterOf(w.h.nh.Link) != 0 {
			return false
		}
	}
	return w.und == 0
}

// usualSource6 is the source of packets that leave by dev towards any global address that
// is none of ours; zero: it depends. The only global address of a link that
// is in order wins over all others by rules 2, 3 and 5 (D41).
func (s *Snapshot) usualSource6(dev int32) netip.Addr {
	l := s.link(dev)
	if l == nil || l.NoInet6 || s.masterOf(dev) != 0 {
		return netip.Addr{}
	}
	c := candidates6{s: s, dst: anyHost6, dev: dev, scope: scopeGlobal6}
	best := netip.Addr{}
	n := 0
	c.each = func(a *Address, r rank6, ok bool) {
		if ok && r>>fromRule5 == rank6(256-scopeGlobal6)<<1|1 {
			best = a.Local
			n++
		}
	}
	if c.link(l); n != 1 || best == anyHost6 {
		return netip.Addr{}
	}
	return best
}
