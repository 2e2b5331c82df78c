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

type tableKey struct {
	f  fib.Family
	id fib.TableID
}

type linkKey struct {
	f    fib.Family
	link int32
}

// Gen makes flows for one snapshot. It is not safe for concurrent use.
type Gen struct {
	s    *fib.Snapshot
	r    *rand.Rand
	o    Options
	fams []fib.Family

	dst, src, own map[fib.Family]*sample[netip.Addr]
	rules         map[fib.Family][]rules.Rule
	tables        map[tableKey]*sample[netip.Addr]
	ids           map[fib.Family][]fib.TableID
	onLink        map[linkKey][]netip.Addr // neighbours of a link's own addresses
	routes        int
	turn          int // which own address is next
	links         []int32
	marks, uids   []uint32
	tos           []uint8
	labels        []uint32
	ports         []uint16
}

// New prepares flows for s. The same seed gives the same flows.
func New(s *fib.Snapshot, seed uint64, o Options) *Gen {
	g := &Gen{
		s: s, r: rand.New(rand.NewPCG(seed, 0x666962756c61)), o: o,
		dst:    map[fib.Family]*sample[netip.Addr]{},
		src:    map[fib.Family]*sample[netip.Addr]{},
		own:    map[fib.Family]*sample[netip.Addr]{},
		rules:  map[fib.Family][]rules.Rule{},
		tables: map[tableKey]*sample[netip.Addr]{},
		ids:    map[fib.Family][]fib.TableID{},
		onLink: map[linkKey][]netip.Addr{},
		marks:  []uint32{0, 1}, uids: []uint32{0, 1000}, tos: []uint8{0, 0x10, 0x08, 0xb8}, ports: []uint16{0, 53, 80, 443},
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
		for _, a := range special[f] {
			g.dst[f].add(a)
		}
		for id := range s.Tables(f) {
			k := tableKey{f, id}
			g.tables[k] = g.sample()
			g.ids[f] = append(g.ids[f], id)
			for r := range s.RoutesOf(f, id) {
				g.route(f, &r)
				g.tables[k].add(r.Dst.Addr())
				if r.Dst.Bits() < f.Bits() {
					g.tables[k].add(g.inside(r.Dst))
				}
			}
		}
		g.rules[f] = s.Rules(f)
		for _, r := range g.rules[f] {
			g.rule(f, &r)
		}
	}
	for l, addrs := range s.Links() {
		g.links = append(g.links, l.Index)
		for _, a := range addrs {
			f := rules.FamilyOf(a.Local)
			if own := g.own[f]; own != nil {
				own.add(a.Local)
				g.onLink[linkKey{f, l.Index}] = append(g.onLink[linkKey{f, l.Index}], a.Local.Next())
			}
		}
	}
	return g
}

// special are the destinations that are special everywhere, and some that are not.
var special = map[fib.Family][]netip.Addr{
	fib.Inet: parse("0.0.0.0", "0.0.0.1", "127.0.0.1", "127.1.2.3", "169.254.1.1", "224.0.0.1", "224.0.0.251", "224.0.1.1",
		"239.1.1.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "203.0.113.77"),
	fib.Inet6: parse("::", "::1", "::2", "fe80::1", "ff01::1", "ff02::1", "ff02::fb", "ff05::2", "ff0e::1", "2001:db8:ffff::1",
		"::ffff:192.0.2.1", "fec0::1", "2002:c000:201::1"),
}

func parse(words ...string) (out []netip.Addr) {
	for _, w := range words {
		out = append(out, netip.MustParseAddr(w))
	}
	return out
}

func (g *Gen) route(f fib.Family, r *fib.Route) {
	g.routes++
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

// edges adds the edges of p to s.
func (g *Gen) edges(s *sample[netip.Addr], p netip.Prefix) {
	for _, a := range g.edgesOf(p) {
		s.add(a)
	}
}

// edgesOf are the first and last address of p, their neighbours outside, and one inside.
func (g *Gen) edgesOf(p netip.Prefix) []netip.Addr {
	first := p.Masked().Addr()
	b := first.AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	out := make([]netip.Addr, 0, 5)
	for _, a := range [...]netip.Addr{first, last, g.inside(p), first.Prev(), last.Next()} {
		if a.IsValid() {
			out = append(out, a)
		}
	}
	return out
}

// inside is a random address of p.
func (g *Gen) inside(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= byte(g.r.IntN(2)) << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// ofTable is a destination that a table has a route for, or any.
func (g *Gen) ofTable(k tableKey) netip.Addr {
	if s := g.tables[k]; s != nil {
		return s.pickOr(g.dst[k.f].pick())
	}
	return g.dst[k.f].pick()
}

// Next makes a flow: at random from the samples, or to a route by a way that leads
// to its table, or as a rule selects it; the latter with one field of chance.
func (g *Gen) Next() fib.Flow {
	f := g.fams[g.r.IntN(len(g.fams))]
	fl := g.random(f)
	var aimed fib.Flow
	switch rs, ids := g.rules[f], g.ids[f]; {
	case len(rs) > 0 && g.one(4):
		aimed = g.onRule(&rs[g.r.IntN(len(rs))])
	case len(ids) > 0 && g.one(2):
		aimed = g.toTable(tableKey{f, ids[g.r.IntN(len(ids))]}, &fl)
	default:
		return fl
	}
	g.mix(&aimed, &fl)
	if g.askable(&aimed) {
		return aimed
	}
	return fl
}

// toTable makes a flow to a route of a table, by a way that leads there: often with
// an own source, from a link or through one, which is what makes routes unfit.
func (g *Gen) toTable(k tableKey, chance *fib.Flow) fib.Flow {
	ways := g.ways(k)
	fl := ways[g.r.IntN(len(ways))]
	fl.Dst = g.ofTable(k)
	fl.Sport, fl.Dport, fl.IPProto = chance.Sport, chance.Dport, chance.IPProto // for the hash
	if len(g.links) == 0 {
		return fl
	}
	link := g.links[g.r.IntN(len(g.links))]
	switch g.r.IntN(5) {
	case 0:
		fl.Oif, fl.Iif = link, 0
	case 1:
		fl.Src = g.own[k.f].pickOr(fl.Src)
	case 2:
		fl.Oif, fl.Iif, fl.Src = 0, link, g.near(k.f, link)
	}
	return fl
}

// noLink is an index that no link has, most likely.
const noLink = 1<<31 - 9

// mix takes one field of a flow from another, or none.
func (g *Gen) mix(to, from *fib.Flow) {
	switch g.r.IntN(9) {
	case 0:
		to.Dst = from.Dst
	case 1:
		to.Src = from.Src
	case 2:
		to.Mark = from.Mark
	case 3:
		to.TOS = from.TOS
	case 4:
		to.UID, to.UIDSet = from.UID, from.UIDSet
	case 5:
		to.IPProto, to.Sport, to.Dport = from.IPProto, from.Sport, from.Dport
	case 6:
		to.FlowLabel = from.FlowLabel
	case 7:
		to.Iif, to.Oif = from.Iif, from.Oif
	}
}

func (g *Gen) random(f fib.Family) fib.Flow {
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
	case !g.o.NoOif && g.one(64):
		fl.Oif = noLink
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
