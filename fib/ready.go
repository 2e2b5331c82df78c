package fib

import "net/netip"

// ready is the answer of a leaf, worked out when it is published, for the flows that
// leave all choice but that of a leg to the table. What depends on flow, prefix, table or
// rule is filled in by quick. A leaf has none where more counts: TOS, dead legs, anything
// undetermined.
type ready struct {
	d       Decision // of a flow that this host sends
	several bool     // aliases: of a default route, neighbours choose among them (B18)
	toDst   bool     // the source is the destination (C8)
	ranked  bool     // the source is chosen for the destination (D41):
	// usually this one, where that is the one for every global address that is not ours.
	usual netip.Addr
	dev   int32
	gated bool   // a gateway that is known to have failed excludes the route (D10)
	mtu   uint32 // of IPv4 that is delivered here, where it was received

	fan *fan // several legs, whose answers take the place of d
}

// fan are the legs of a route, among which a hash chooses.
type fan struct {
	legs []fanLeg
	// buckets are the legs of a resilient group by remainder (B24).
	buckets []uint16
	neighs  bool // neighbours count, that are not valid
	bySrc   bool // the flow's own source may count (B22)
}

// fanLeg is one of them.
type fanLeg struct {
	bound int32 // the upper end of its part of the hash space, as B20; -1: it has none
	ok    bool  // its answer stands ready
	ready
}

// readyLeaves bounds the leaves that have a ready answer, and so what a change of links
// costs, which may concern all of them. Whoever has more distinct routes has walks
// for the rest.
const readyLeaves = 1 << 16

// readyLegs bounds the legs of a ready answer: a Ref counts no further.
const readyLegs = 1 << 16

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
		for k := range min(len(s.leaves), readyLeaves/leafPageSize) {
			pg := tx.in.ownPage(&s.leaves, k)
			for j, l := range &pg.leaves {
				pg.ready[j] = s.readyFor(l)
				pg.cards[j] = pg.ready[j].card()
			}
		}
		return
	}
	for _, i := range tx.in.fresh {
		if i < readyLeaves {
			pg := s.leaves[i/leafPageSize]
			j := i % leafPageSize
			pg.ready[j] = s.readyFor(pg.leaves[j])
			pg.cards[j] = pg.ready[j].card()
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
	if !ok || r.fan != nil && len(r.fan.legs) > readyLegs {
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
			return s.fan4(&w, r)
		}
		r.toDst = w.h.alias.typ == TypeLocal && !w.h.alias.prefSrc.IsValid()
		if w.route4(&r.d, &answer4{}, false); r.d.Errno != 0 {
			return false
		}
		r.mtu = s.mtuOf(r.d.Link)
	default:
		return false
	}
	return w.und == 0
}

// fan4 is ready4 for a route of several legs that w has found.
func (s *Snapshot) fan4(w *walk, r *ready) bool {
	a, o := w.h.alias, w.h.obj
	if a.typ != TypeUnicast || o == nil && s.sysctls.MultipathUseNeigh {
		return false
	}
	legs := s.legs(a)
	f := &fan{legs: make([]fanLeg, len(legs)), bySrc: o == nil}
	bounds := a.bounds
	if o != nil {
		bounds, f.neighs = o.bounds, true
		f.buckets = w.bucketLegs(o)
	}
	for i := range legs {
		x, leg := *w, &f.legs[i]
		x.h.leg, x.h.nh = i, legs[i]
		x.leave4(&leg.d, &answer4{}, false)
		leg.ok, leg.bound = leg.d.Errno == 0 && x.und == 0, bounds[i]
	}
	r.fan, r.d = f, f.legs[0].d
	return r.d.Errno == 0
}

// bucketLegs are the legs of a resilient group by bucket; nil of another one.
func (w *walk) bucketLegs(o *object) []uint16 {
	if !o.Resilient {
		return nil
	}
	legs := make([]uint16, w.bucketCount(o))
	for i := range legs {
		legs[i] = uint16(w.bucketMember(o, uint32(i)))
	}
	return legs
}

func (s *Snapshot) ready6(l *leaf, r *ready) bool {
	w := newWalk(s, Flow{Dst: anyHost6}, nil)
	q := query6{dst: anyHost6, src: netip.IPv6Unspecified()}
	p := pick6{bits: 128}
	if !w.choose6(l.plain, &q, false, &p) {
		return false
	}
	a := p.alias
	switch {
	case a.typ == TypeThrow:
		return false
	case len(s.legs6(a)) > 1:
		return !r.several && s.fan6(&w, &p, r)
	case p.alias.siblings6(l.plain) > 1:
		return s.siblings6(&w, l, &p, r)
	case r.several && !s.sysctls.All6.Forwarding:
		return false // which of them have failed neighbours would count
	}
	out, e := w.settle6(&table{fam: Inet6}, &q, &p, &w.h)
	r.d.Errno = e
	if out == found {
		r.gated = !s.sysctls.All6.Forwarding && w.h.nh.Gateway.IsValid()
		return s.way6(&w, r)
	}
	w.fillRoute(&r.d)
	return w.und == 0
}

// way6 makes r of the leg that w has found, unless more counts.
func (s *Snapshot) way6(w *walk, r *ready) bool {
	a := w.h.alias
	w.fillRoute(&r.d)
	r.dev, r.ranked = s.legs6(a)[0].Link, !a.prefSrc.IsValid()
	r.usual = s.usualSource6(r.dev)
	w.way6(&r.d)
	r.d.Source = a.prefSrc
	// In a VRF the device of what is delivered depends on the destination (L13).
	return w.und == 0 && (a.typ != TypeLocal && a.typ != TypeAnycast || s.masterOf(w.h.nh.Link) == 0)
}

// fan6 is ready6 for a group.
func (s *Snapshot) fan6(w *walk, p *pick6, r *ready) bool {
	o := s.objects[p.alias.nhid]
	if p.alias.typ != TypeUnicast || o == nil || o.blackhole {
		return false
	}
	f := &fan{legs: make([]fanLeg, len(o.members)), neighs: true, buckets: w.bucketLegs(o)}
	for i := range o.members {
		x, leg := *w, &f.legs[i]
		x.h = hit{alias: p.alias, obj: o, leg: i, nh: o.members[i], pref: p.alias.pref}
		leg.ok, leg.bound = s.way6(&x, &leg.ready), o.bounds[i]
	}
	r.fan, r.d = f, f.legs[0].d
	return true
}

// siblings6 is the number of legs in list of the multipath route that a is a leg of, itself included;
// 0: it is none.
func (a *alias) siblings6(list []*alias) (n int) {
	if !a.ecmpAble() {
		return 0
	}
	for _, b := range list {
		if isSibling6(a, b) {
			n++
		}
	}
	return n
}

// siblings6 is ready6 for the legs of a multipath route, all of which can be used and
// none of which is preferred.
func (s *Snapshot) siblings6(w *walk, l *leaf, p *pick6, r *ready) bool {
	var total uint64
	n := 0
	for i, a := range l.plain {
		if a.priority != p.alias.priority {
			continue
		}
		if i != n || !a.ecmpAble() || a.typ != TypeUnicast || a.pref != p.alias.pref || w.unusable6(&a.legs[0]) != ReasonNone {
			return false
		}
		total += weightOf(&a.legs[0])
		n++
	}
	f := &fan{neighs: !s.sysctls.All6.Forwarding}
	var sum uint64
	for i, a := range l.plain[:n] {
		var leg fanLeg
		x := *w
		x.h = hit{alias: a, leg: i, nh: a.legs[0], pref: a.pref}
		sum += weightOf(&a.legs[0])
		leg.ok, leg.bound = s.way6(&x, &leg.ready), boundAt(sum, total)
		f.legs = append(f.legs, leg)
	}
	r.several, r.fan, r.d = false, f, f.legs[0].d
	return true
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
