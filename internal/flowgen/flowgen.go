package flowgen

import (
	"math/rand/v2"
	"net/netip"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/rules"
)

// sampleSize bounds what is kept of each kind, so that a table of a million
// prefixes costs no more than one pass.
const sampleSize = 1 << 12

// Options choose among the kinds of flow. The zero value makes output flows of
// both families without restrictions of its own.
type Options struct {
	Input  bool // input flows as well
	NoOif  bool // no output interface
	Family fib.Family
}

// Gen makes flows for one snapshot. It is not safe for concurrent use.
type Gen struct {
	r    *rand.Rand
	o    Options
	fams []fib.Family

	dst, src, own map[fib.Family]*sample[netip.Addr]
	links         []int32
	marks, uids   []uint32
	tos           []uint8
	labels        []uint32
	ports         []uint16
}

// New prepares flows for s. The same seed gives the same flows.
func New(s *fib.Snapshot, seed uint64, o Options) *Gen {
	g := &Gen{
		r: rand.New(rand.NewPCG(seed, 0x666962756c61)), o: o,
		dst:   map[fib.Family]*sample[netip.Addr]{},
		src:   map[fib.Family]*sample[netip.Addr]{},
		own:   map[fib.Family]*sample[netip.Addr]{},
		marks: []uint32{0, 1}, uids: []uint32{0, 1000}, tos: []uint8{0, 0x10, 0x08, 0xb8}, ports: []uint16{0, 53, 80, 443},
		labels: []uint32{0, 0x12345},
	}
	for _, f := range []fib.Family{fib.Inet, fib.Inet6} {
		if o.Family != 0 && o.Family != f {
			continue
		}
		g.fams = append(g.fams, f)
		g.dst[f], g.src[f], g.own[f] = g.sample(), g.sample(), g.sample()
	}
	for _, f := range g.fams {
		g.special(f)
		for id := range s.Tables(f) {
			for r := range s.RoutesOf(f, id) {
				g.route(f, &r)
			}
		}
		for _, r := range s.Rules(f) {
			g.rule(f, &r)
		}
	}
	for l, addrs := range s.Links() {
		g.links = append(g.links, l.Index)
		for _, a := range addrs {
			if own := g.own[rules.FamilyOf(a.Local)]; own != nil {
				own.add(a.Local)
			}
		}
	}
	return g
}

func (g *Gen) special(f fib.Family) {
	words := []string{"0.0.0.0", "0.0.0.1", "127.0.0.1", "224.0.0.1", "224.0.0.251", "239.1.1.1", "255.255.255.255", "192.0.2.1", "203.0.113.77"}
	if f == fib.Inet6 {
		words = []string{"::", "::1", "fe80::1", "ff02::1", "ff0e::1", "2001:db8:ffff::1", "::ffff:192.0.2.1", "fec0::1"}
	}
	for _, w := range words {
		g.dst[f].add(netip.MustParseAddr(w))
	}
}

func (g *Gen) route(f fib.Family, r *fib.Route) {
	g.edges(g.dst[f], r.Dst)
	if r.Src.IsValid() {
		g.edges(g.src[f], r.Src)
	}
	if r.TOS != 0 {
		g.tos = addSmall(g.tos, r.TOS)
	}
	for i := range r.Nexthops {
		if gw := r.Nexthops[i].Gateway; gw.IsValid() && rules.FamilyOf(gw) == f {
			g.dst[f].add(gw)
		}
	}
}

func (g *Gen) rule(f fib.Family, r *rules.Rule) {
	if r.To.IsValid() {
		g.edges(g.dst[f], r.To)
	}
	if r.From.IsValid() {
		g.edges(g.src[f], r.From)
	}
	if r.MarkMask != 0 {
		bit := uint32(1) << g.r.IntN(32)
		g.marks = addSmall(g.marks, r.Mark, r.Mark^bit, r.Mark|^r.MarkMask, r.Mark^r.MarkMask)
	}
	if r.TOS != 0 {
		g.tos = addSmall(g.tos, r.TOS, r.TOS|0xe0, r.TOS^0x04)
	}
	if r.DSCPMask != 0 {
		g.tos = addSmall(g.tos, r.DSCP<<2, r.DSCP<<2^0x04, r.DSCP<<2^0x80)
	}
	if r.HasUIDs {
		g.uids = addSmall(g.uids, r.UIDs.Start-1, r.UIDs.Start, r.UIDs.End, r.UIDs.End+1)
	}
	if r.FlowLabelMask != 0 {
		g.labels = addSmall(g.labels, r.FlowLabel, r.FlowLabel^1, r.FlowLabel^0x80000)
	}
	for _, p := range []rules.PortRange{r.Sport, r.Dport} {
		if p.IsSet() {
			g.ports = addSmall(g.ports, p.Start-1, p.Start, p.End, p.End+1, p.Start^0x100)
		}
	}
}

func addSmall[T comparable](have []T, vs ...T) []T {
	if len(have) < sampleSize {
		return append(have, vs...)
	}
	return have
}

// edges adds the first and last address of p, their neighbours outside, and one inside.
func (g *Gen) edges(s *sample[netip.Addr], p netip.Prefix) {
	first := p.Masked().Addr()
	b := first.AsSlice()
	in := first.AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
		in[i/8] |= byte(g.r.IntN(2)) << (7 - i%8)
	}
	last, _ := netip.AddrFromSlice(b)
	inside, _ := netip.AddrFromSlice(in)
	for _, a := range []netip.Addr{first, last, inside, first.Prev(), last.Next()} {
		if a.IsValid() {
			s.add(a)
		}
	}
}

// Next makes a flow.
func (g *Gen) Next() fib.Flow {
	f := g.fams[g.r.IntN(len(g.fams))]
	fl := fib.Flow{Dst: g.dst[f].pick()}
	if g.one(8) {
		fl.Dst = g.own[f].pickOr(fl.Dst)
	}
	switch {
	case g.one(2):
	case g.one(2):
		fl.Src = g.own[f].pickOr(netip.Addr{})
	case g.one(2):
		fl.Src = g.src[f].pickOr(netip.Addr{})
	default:
		fl.Src = g.dst[f].pick()
	}
	if fl.Src.IsUnspecified() {
		fl.Src = netip.Addr{}
	}
	if g.one(2) {
		fl.Mark = g.marks[g.r.IntN(len(g.marks))]
	}
	if g.one(3) {
		fl.TOS = g.tos[g.r.IntN(len(g.tos))] &^ 3
	}
	if g.one(2) {
		fl.UID, fl.UIDSet = g.uids[g.r.IntN(len(g.uids))], true
		if fl.UID == 1<<32-1 {
			fl.UID = 1<<32 - 2
		}
	}
	if g.one(2) {
		fl.IPProto = []uint8{6, 17, 1}[g.r.IntN(3)]
		if f == fib.Inet6 && fl.IPProto == 1 {
			fl.IPProto = 58
		}
		fl.Sport, fl.Dport = g.port(), g.port()
	}
	if f == fib.Inet6 && g.one(4) {
		fl.FlowLabel = g.labels[g.r.IntN(len(g.labels))] & 0xfffff
	}
	switch {
	case len(g.links) == 0:
	case g.o.Input && g.one(3):
		fl.Iif = g.links[g.r.IntN(len(g.links))]
	case !g.o.NoOif && g.one(4):
		fl.Oif = g.links[g.r.IntN(len(g.links))]
	}
	return fl
}

func (g *Gen) one(in int) bool { return g.r.IntN(in) == 0 }

func (g *Gen) port() uint16 { return g.ports[g.r.IntN(len(g.ports))] }

// sample keeps a uniform choice of what was added (reservoir sampling).
type sample[T any] struct {
	r    *rand.Rand
	vals []T
	seen int
}

func (g *Gen) sample() *sample[netip.Addr] { return &sample[netip.Addr]{r: g.r} }

func (s *sample[T]) add(v T) {
	s.seen++
	if len(s.vals) < sampleSize {
		s.vals = append(s.vals, v)
	} else if i := s.r.IntN(s.seen); i < sampleSize {
		s.vals[i] = v
	}
}

func (s *sample[T]) pick() T { return s.vals[s.r.IntN(len(s.vals))] }

func (s *sample[T]) pickOr(def T) T {
	if len(s.vals) == 0 {
		return def
	}
	return s.pick()
}
