package fib

import (
	"net/netip"
	"slices"
)

// maxDoubts bounds what one [Txn.Learn] asks for: a state that leaves more open
// keeps the rest marked.
const maxDoubts = 256

// Oracle is a kernel that can be asked. An error of either function ends the asking.
type Oracle struct {
	// Which returns which of several answers to a flow is the kernel's, -1 where that
	// cannot be told.
	Which func(f Flow, answers []Decision) (int, error)
	// Match calls fn with the stored route behind the kernel's answer to each flow, if
	// there is one (RTM_F_FIB_MATCH). fn does not keep it.
	Match func(flows []Flow, fn func(i int, r *Route)) error
	// LocalRoutes: an IPv4 local route was seen that the kernel did not make.
	LocalRoutes bool
}

// Learn settles what the state leaves open and an answer of the kernel tells: the
// scope of gateways (J9), the source that a nexthop object remembers (J10), the
// attributes of IPv6 legs and the routes between them (J12), routes that are no
// longer found (J13), whether a local route was ever added (J14). What no flow
// reaches stays open, and the answers that depend on it stay marked.
//
// It returns what was settled. Without anything open it costs one look at every
// distinct route, and at every prefix where there are IPv6 multipath routes.
func (tx *Txn) Learn(o Oracle) (Learned, error) {
	if tx.ended() {
		return Learned{}, ErrTxnDone
	}
	tx.finishLoad()
	var got Learned
	if o.LocalRoutes && tx.s.userLocal != FactYes && tx.s.mode4 != ModeRules {
		tx.s.userLocal, tx.dirty, got.LocalRoutes = FactYes, true, true
	}
	if err := tx.learnLegs(o, &got); err != nil {
		return got, err
	}
	for _, d := range tx.doubts() {
		for _, f := range d.flows {
			settled, err := tx.askFor(&d, f, o)
			if err != nil {
				return got, err
			}
			if settled {
				got.add(&d)
				break
			}
		}
	}
	return got, nil
}

// Learned is what [Txn.Learn] settled.
type Learned struct {
	LocalRoutes bool     // whether a local route was ever added
	Objects     []uint32 // nexthop objects whose source is known now
	Prefixes    []TablePrefix
}

// TablePrefix names the routes under one prefix in one table.
type TablePrefix struct {
	Table TableID
	Dst   netip.Prefix
}

// IsZero reports whether nothing was settled.
func (l *Learned) IsZero() bool { return !l.LocalRoutes && len(l.Objects) == 0 && len(l.Prefixes) == 0 }

func (l *Learned) add(d *doubt) {
	switch d.why {
	case UndeterminedLocalCheck:
		l.LocalRoutes = true
	case UndeterminedSource:
		l.Objects = append(l.Objects, d.id)
	default:
		l.Prefixes = append(l.Prefixes, TablePrefix{d.at.k.id, d.at.dst})
	}
}

// doubt is one thing that is open, with flows that may tell.
type doubt struct {
	why   Undetermined
	flows []Flow
	at    routeKey // the route in question, and where it has several
	alias *alias   // which alias, and which leg of it
	leg   int
	id    uint32 // nexthop object
}

// askFor asks for one flow and notes what the answer tells. The flow must meet the
// doubt, and nothing else that is open.
func (tx *Txn) askFor(d *doubt, f Flow, o Oracle) (bool, error) {
	var answers []Decision
	met := true
	tx.s.ways(f, func(a Decision, w *walk, taken []branch) bool {
		met = len(taken) == 1 && taken[0].why == d.why && taken[0].alt == len(answers) && d.meets(w)
		answers = append(answers, a)
		return met
	})
	if !met || len(answers) != 2 || answers[0] == answers[1] {
		return false, nil
	}
	for i := range answers {
		answers[i].Undetermined = 0
	}
	i, err := o.Which(f, answers)
	if err != nil || i < 0 {
		return false, err
	}
	tx.settle(d, i, &answers[i])
	return true, nil
}

// meets reports whether the walk came by what d is about.
func (d *doubt) meets(w *walk) bool {
	switch d.why {
	case UndeterminedGateway:
		return w.h.prefix == d.at.dst && len(w.gates) == 1 && w.gates[0].alias == d.alias.id && w.gates[0].leg == d.leg
	case UndeterminedSource:
		return w.h.obj != nil && w.h.leg < len(w.h.obj.ids) && w.h.obj.ids[w.h.leg] == d.id
	}
	return true
}

// settle notes alternative alt, of which truth is the answer.
func (tx *Txn) settle(d *doubt, alt int, truth *Decision) {
	tx.dirty = true
	switch d.why {
	case UndeterminedLocalCheck:
		tx.s.userLocal = FactNo
		if alt == 1 {
			tx.s.userLocal = FactYes
		}
	case UndeterminedSource:
		tx.rememberSource(d.id, truth.Source)
	case UndeterminedSourceNode:
		l := *tx.leafOf(d.at.k, d.at.dst)
		l.lost = lostNot
		if alt == 1 {
			l.lost = lostCertainly
		}
		tx.setLeaf(d.at.k, d.at.dst, &l)
	case UndeterminedGateway:
		l := tx.leafOf(d.at.k, d.at.dst)
		i := slices.Index(l.plain, d.alias)
		if i < 0 {
			return // settled with another leg
		}
		a := *d.alias
		a.legs = slices.Clone(a.legs)
		n := &a.legs[d.leg]
		n.ScopeSet = true
		if used := n.Scope == ScopeLink; used != (alt == 1) {
			n.Scope = ScopeLink
		} else {
			n.Scope = ScopeHost
		}
		list := slices.Clone(l.plain)
		list[i] = tx.internAlias(&a)
		tx.setLeaf(d.at.k, d.at.dst, l.with(netip.Prefix{}, list))
	}
}

// doubts collects what is open.
func (tx *Txn) doubts() []doubt {
	var out []doubt
	if d := tx.localCheckDoubt(); len(d.flows) > 0 {
		out = append(out, d)
	}
	open := map[uint32]bool{}
	for i, refs := range tx.in.leafRefs {
		if refs == 0 {
			continue
		}
		if l := tx.s.leaves.at(uint32(i)); l != nil && tx.s.isOpen(l) {
			open[uint32(i)] = true
		}
	}
	if len(open) == 0 {
		return out
	}
	asked := map[uint32]bool{} // objects
	for _, k := range tx.s.sortedTables() {
		for p, i := range tx.s.tables[k].version().All() {
			if !open[i] {
				continue
			}
			out = tx.routeDoubts(out, routeKey{k, p}, tx.s.leaves.at(i), asked)
			if len(out) >= maxDoubts {
				return out
			}
		}
	}
	return out
}

// isOpen reports whether something about the routes of l is.
func (s *Snapshot) isOpen(l *leaf) bool {
	if l.lost == lostMaybe {
		return true
	}
	for _, a := range l.plain {
		if a.openLeg() >= 0 || s.openSource(a) != 0 {
			return true
		}
	}
	return false
}

// openLeg is the first leg of which it is open whether its gateway is used, or -1.
func (a *alias) openLeg() int {
	return slices.IndexFunc(a.legs, func(n Nexthop) bool { return a.fam == Inet && n.Gateway.IsValid() && !n.ScopeSet })
}

// openSource is the nexthop object behind a whose remembered source is open, or 0.
func (s *Snapshot) openSource(a *alias) uint32 {
	o := s.objects[a.nhid]
	if a.fam != Inet || a.nhid == 0 || o == nil || o.fam == Inet6 || a.prefSrc.IsValid() {
		return 0
	}
	for i := range o.members {
		n := &o.members[i]
		if n.Gateway.Is6() || o.sources[i].IsValid() {
			continue
		}
		kept, _ := s.legSelect4(a, o, n)
		if now, _ := s.selectSource4(n.Link, n.Gateway, a.scope); now != kept {
			return o.ids[i]
		}
	}
	return 0
}

func (tx *Txn) routeDoubts(out []doubt, at routeKey, l *leaf, asked map[uint32]bool) []doubt {
	if l.lost == lostMaybe {
		out = append(out, doubt{why: UndeterminedSourceNode, at: at, flows: tx.flowsTo(at, l.bySrc[0].src.Addr(), 0)})
	}
	for _, a := range l.plain {
		if leg := a.openLeg(); leg >= 0 {
			oif := int32(0)
			if len(a.legs) > 1 {
				oif = a.legs[leg].Link
			}
			out = append(out, doubt{why: UndeterminedGateway, at: at, alias: a, leg: leg, flows: tx.flowsTo(at, netip.Addr{}, oif)})
		}
		if id := tx.s.openSource(a); id != 0 && !asked[id] {
			asked[id] = true
			out = append(out, doubt{why: UndeterminedSource, at: at, id: id, flows: tx.flowsTo(at, netip.Addr{}, 0)})
		}
	}
	return out
}

// flowsTo are flows to the ends and the gaps of a prefix, plain and as the rules want
// them that lead to its table.
func (tx *Txn) flowsTo(at routeKey, src netip.Addr, oif int32) []Flow {
	dsts := []netip.Addr{at.dst.Addr(), lastOf(at.dst)}
	n := 0
	for p := range tx.s.tables[at.k].version().Covered(at.dst) {
		for _, a := range [...]netip.Addr{p.Addr().Prev(), lastOf(p).Next()} {
			if at.dst.Contains(a) {
				dsts = append(dsts, a)
			}
		}
		if n++; n == 16 {
			break
		}
	}
	var flows []Flow
	for _, dst := range dsts {
		base := Flow{Dst: dst, Src: src, Oif: oif}
		flows = append(flows, base)
		for _, r := range tx.s.rulesOf(at.k.fam).All() {
			if TableID(r.Table) != at.k.id || r.Not || len(flows) >= 64 {
				continue
			}
			f := base
			f.Mark, f.TOS, f.IPProto, f.FlowLabel = r.Mark, r.TOS|r.DSCP<<2, r.IPProto, r.FlowLabel
			f.Sport, f.Dport, f.UID, f.UIDSet = r.Sport.Start, r.Dport.Start, r.UIDs.Start, r.HasUIDs
			if !f.Src.IsValid() && r.From.IsValid() {
				f.Src = r.From.Addr()
			}
			if f != base {
				flows = append(flows, f)
			}
		}
	}
	return flows
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().As16()
	from := p.Bits()
	if p.Addr().Is4() {
		from += 96
	}
	for i := from; i < 128; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a := netip.AddrFrom16(b)
	if p.Addr().Is4() {
		return a.Unmap()
	}
	return a
}

// localCheckDoubt has flows from broadcast addresses, which only the full check
// refuses (C31).
func (tx *Txn) localCheckDoubt() doubt {
	d := doubt{why: UndeterminedLocalCheck}
	if tx.s.userLocal != FactUnknown || tx.s.mode4 != ModeMerged {
		return d
	}
	for _, i := range tx.s.linkOrder {
		l := tx.s.links[i]
		for j := range l.addrs4 {
			a := &l.addrs4[j]
			d.flows = append(d.flows, Flow{Dst: a.Local, Src: lastOf(a.Prefix), Iif: i})
		}
	}
	return d
}

// rememberSource notes the source of an object's leg (C19), the zero Addr that it is
// unknown.
func (tx *Txn) rememberSource(id uint32, src netip.Addr) {
	old := tx.s.objects[id]
	o := &object{NexthopObject: old.NexthopObject}
	o.Source = src
	tx.putObject(o, old)
}
