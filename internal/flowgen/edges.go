package flowgen

import (
	"iter"
	"net/netip"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/rules"
)

// perPrefix is about how many flows the edges of one route are worth.
const perPrefix = 10

// Flows yields n flows: first those that try each edge once (every link as iif and
// oif, the addresses that are special, every selector of every rule on and one
// off, the edges of every prefix, asked so that a rule leads to its table), then
// those of [Gen.Next]. Where n has no room for every edge, they are taken at even
// distances and about a third of the flows is left to chance.
func (g *Gen) Flows(n int) iter.Seq[fib.Flow] {
	return func(yield func(fib.Flow) bool) {
		left := n
		put := func(f fib.Flow) bool {
			if left == 0 || !g.askable(&f) {
				return left > 0
			}
			left--
			return yield(f) && left > 0
		}
		step := 1
		if all := g.fixedEdges(); all > n/3 {
			step = all/max(n/3, 1) + 1
		}
		at := g.r.IntN(step)
		some := func(f fib.Flow) bool {
			if at++; at%step != 0 {
				return true
			}
			return put(f)
		}
		if left == 0 || !g.linkEdges(some) || !g.ruleEdges(some) || !g.prefixEdges(put, left) {
			return
		}
		for put(g.Next()) {
		}
	}
}

// perRule is about how many flows the edges of one rule are worth.
const perRule = 30

// fixedEdges is about how many edges there are beside those of prefixes.
func (g *Gen) fixedEdges() (n int) {
	for _, f := range g.fams {
		n += len(g.everywhere(f))*(2+2*len(g.links)) + perRule*len(g.rules[f])
	}
	return n
}

// askable holds a flow to the options and to what a query can say.
func (g *Gen) askable(f *fib.Flow) bool {
	if f.Src.IsUnspecified() {
		f.Src = netip.Addr{}
	}
	if f.UID == 1<<32-1 { // means "nobody" to a query
		f.UID--
	}
	f.TOS &^= 3
	f.FlowLabel &= 0xfffff
	f.TunID = 0
	return (f.Iif == 0 || g.o.Input) && (f.Oif == 0 || !g.o.NoOif)
}

// linkEdges sends to every special and own address, through every link, and from
// every link.
func (g *Gen) linkEdges(put func(fib.Flow) bool) bool {
	for _, f := range g.fams {
		for _, dst := range g.everywhere(f) {
			if !put(fib.Flow{Dst: dst}) || !put(fib.Flow{Dst: dst, Src: g.own[f].pickOr(netip.Addr{})}) {
				return false
			}
			for _, l := range g.links {
				if !put(fib.Flow{Dst: dst, Oif: l}) || !put(fib.Flow{Dst: dst, Iif: l, Src: g.near(f, l)}) {
					return false
				}
			}
		}
	}
	return true
}

// ownPerLink bounds the own addresses that meet every link.
const ownPerLink = 64

// everywhere are the destinations that concern every link.
func (g *Gen) everywhere(f fib.Family) []netip.Addr {
	out := append([]netip.Addr(nil), special[f]...)
	for i, a := range g.own[f].vals {
		if i == ownPerLink {
			break
		}
		out = append(out, a, a.Next())
	}
	return out
}

// near is a source as a neighbour on a link has it.
func (g *Gen) near(f fib.Family, link int32) netip.Addr {
	if as := g.onLink[linkKey{f, link}]; len(as) > 0 {
		return as[g.r.IntN(len(as))]
	}
	return netip.Addr{}
}

func (g *Gen) ruleEdges(put func(fib.Flow) bool) bool {
	for _, f := range g.fams {
		for i := range g.rules[f] {
			if !g.eachEdge(&g.rules[f][i], put) {
				return false
			}
		}
	}
	return true
}

// onRule makes a flow that a rule selects, as far as a query can say it.
func (g *Gen) onRule(r *rules.Rule) fib.Flow {
	fl := fib.Flow{Mark: r.Mark, TOS: r.TOS | r.DSCP<<2, FlowLabel: r.FlowLabel, Sport: r.Sport.Start, Dport: r.Dport.End}
	switch {
	case r.To.IsValid():
		fl.Dst = g.inside(r.To)
	case r.Action == rules.ActLookup && !r.L3MDev:
		fl.Dst = g.ofTable(tableKey{r.Family, fib.TableID(r.Table)})
	default:
		fl.Dst = g.dst[r.Family].pick()
	}
	if r.From.IsValid() {
		g.from(r, &fl)
	}
	if r.HasUIDs {
		fl.UID, fl.UIDSet = r.UIDs.Start, true
	}
	if g.queryable(r.Family, r.IPProto) {
		fl.IPProto = r.IPProto
	}
	if l, ok := g.s.LinkByName(r.Oif); ok && r.Oif != "" {
		fl.Oif = l.Index
	}
	if l, ok := g.s.LinkByName(r.Iif); ok && r.Iif != "lo" && r.Iif != "" {
		fl.Iif = l.Index
		if !fl.Src.IsValid() {
			fl.Src = g.near(r.Family, l.Index)
		}
	}
	return fl
}

// from gives a flow a source that a rule selects: one of our own addresses, since
// the kernel lets nothing else out, or that of a packet that comes in.
func (g *Gen) from(r *rules.Rule, fl *fib.Flow) {
	own := g.own[r.Family].vals
	for i := range own {
		if a := own[(i+g.turn)%len(own)]; r.From.Contains(a) {
			fl.Src = a
			g.turn++
			return
		}
	}
	fl.Src = g.inside(r.From)
	if r.Iif == "" && r.Oif == "" && g.o.Input && len(g.links) > 0 {
		fl.Iif = g.links[g.r.IntN(len(g.links))]
	}
}

// queryable reports whether a query may name the protocol (0.5).
func (g *Gen) queryable(f fib.Family, proto uint8) bool {
	return proto == 6 || proto == 17 || proto == 1 && f == fib.Inet || proto == 58 && f == fib.Inet6
}

// eachEdge tries a rule's selectors on, then each of them just off.
func (g *Gen) eachEdge(r *rules.Rule, put func(fib.Flow) bool) bool {
	on := g.onRule(r)
	if !put(on) {
		return false
	}
	ok := true
	for _, l := range g.links { // the same as a packet that comes in
		if in := on; ok && r.Iif == "" && r.Oif == "" && on.Iif == 0 {
			if in.Iif = l; !in.Src.IsValid() || r.From.IsValid() && r.From.Contains(g.near(r.Family, l)) {
				in.Src = g.near(r.Family, l)
			}
			ok = put(in)
		}
	}
	off := func(set func(*fib.Flow)) {
		if f := on; ok {
			set(&f)
			ok = put(f)
		}
	}
	prefix := func(p netip.Prefix, set func(*fib.Flow, netip.Addr)) {
		if p.IsValid() {
			for _, a := range g.edgesOf(p) {
				off(func(f *fib.Flow) { set(f, a) })
			}
		}
	}
	prefix(r.To, func(f *fib.Flow, a netip.Addr) { f.Dst = a })
	prefix(r.From, func(f *fib.Flow, a netip.Addr) { f.Src = a })
	if r.From.IsValid() {
		off(func(f *fib.Flow) { f.Src = netip.Addr{} })
	}
	for _, l := range g.links {
		if r.Iif != "" {
			off(func(f *fib.Flow) { f.Iif = l })
		}
		if r.Oif != "" {
			off(func(f *fib.Flow) { f.Oif = l })
		}
	}
	if r.Iif != "" {
		off(func(f *fib.Flow) { f.Iif = 0 })
	}
	if r.Oif != "" {
		off(func(f *fib.Flow) { f.Oif = 0 })
	}
	if r.MarkMask != 0 {
		for bit := range 32 {
			off(func(f *fib.Flow) { f.Mark ^= 1 << bit })
		}
	}
	if r.TOS != 0 || r.DSCPMask != 0 {
		for bit := 2; bit < 8; bit++ {
			off(func(f *fib.Flow) { f.TOS ^= 1 << bit })
		}
	}
	if r.FlowLabelMask != 0 {
		for bit := range 20 {
			off(func(f *fib.Flow) { f.FlowLabel ^= 1 << bit })
		}
	}
	if r.HasUIDs {
		for _, uid := range []uint32{r.UIDs.Start - 1, r.UIDs.End, r.UIDs.End + 1} {
			off(func(f *fib.Flow) { f.UID = uid })
		}
		off(func(f *fib.Flow) { f.UID, f.UIDSet = 0, false })
	}
	if r.IPProto != 0 {
		for _, proto := range []uint8{0, 1, 6, 17, 58} {
			if proto == 0 || g.queryable(r.Family, proto) {
				off(func(f *fib.Flow) { f.IPProto = proto })
			}
		}
	}
	ports := func(p rules.PortRange, set func(*fib.Flow, uint16)) {
		if p.IsSet() {
			for _, port := range []uint16{0, p.Start - 1, p.Start, p.End, p.End + 1, p.Start ^ 0x100, p.Start ^ 0x8000} {
				off(func(f *fib.Flow) { set(f, port) })
			}
		}
	}
	ports(r.Sport, func(f *fib.Flow, p uint16) { f.Sport = p })
	ports(r.Dport, func(f *fib.Flow, p uint16) { f.Dport = p })
	return ok
}

// prefixEdges asks for the edges of every prefix in a way that reaches its table.
func (g *Gen) prefixEdges(put func(fib.Flow) bool, room int) bool {
	step := 1
	if all := g.routes * perPrefix; all > room {
		step = all/max(room/2, 1) + 1
	}
	n := g.r.IntN(step)
	for _, f := range g.fams {
		for id := range g.s.Tables(f) {
			ways := g.ways(tableKey{f, id})
			for r := range g.s.RoutesOf(f, id) {
				if n++; n%step == 0 && !g.edgesOfRoute(f, &r, ways[n/step%len(ways)], put) {
					return false
				}
			}
		}
	}
	return true
}

func (g *Gen) edgesOfRoute(f fib.Family, r *fib.Route, way fib.Flow, put func(fib.Flow) bool) bool {
	ask := func(set func(*fib.Flow)) bool {
		fl := way
		set(&fl)
		return put(fl)
	}
	for _, a := range g.edgesOf(r.Dst) {
		if !ask(func(f *fib.Flow) { f.Dst = a }) {
			return false
		}
	}
	in := g.inside(r.Dst)
	if r.TOS != 0 && (!ask(func(f *fib.Flow) { f.Dst, f.TOS = in, r.TOS }) || !ask(func(f *fib.Flow) { f.Dst, f.TOS = in, r.TOS^0x04 })) {
		return false
	}
	if r.Src.IsValid() {
		for _, a := range g.edgesOf(r.Src) {
			if !ask(func(f *fib.Flow) { f.Dst, f.Src = in, a }) {
				return false
			}
		}
	}
	if len(g.links) == 0 {
		return true
	}
	link := g.links[g.r.IntN(len(g.links))]
	if len(r.Nexthops) > 0 && r.Nexthops[0].Link != 0 && !ask(func(f *fib.Flow) { f.Dst, f.Oif, f.Iif = in, r.Nexthops[0].Link, 0 }) {
		return false
	}
	return ask(func(f *fib.Flow) { f.Dst, f.Oif, f.Iif = in, link, 0 }) &&
		ask(func(fl *fib.Flow) {
			fl.Dst, fl.Oif, fl.Iif = in, 0, link
			if !fl.Src.IsValid() {
				fl.Src = g.near(f, link)
			}
		})
}

// maxWays bounds how many rules are tried as the way to one table.
const maxWays = 8

// ways are flows that some rule leads to a table, but for the destination; one
// that asks for nothing special is always among them.
func (g *Gen) ways(k tableKey) []fib.Flow {
	out := []fib.Flow{{}}
	for i := range g.rules[k.f] {
		r := &g.rules[k.f][i]
		if r.Action == rules.ActLookup && !r.L3MDev && fib.TableID(r.Table) == k.id && len(out) < maxWays {
			if fl := g.onRule(r); g.askable(&fl) {
				out = append(out, fl)
			}
		}
	}
	for l := range g.s.Links() {
		if l.VRFTable == k.id && l.VRFTable != 0 {
			out = append(out, fib.Flow{Oif: l.Index})
		}
	}
	return out
}
