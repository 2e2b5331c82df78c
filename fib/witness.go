package fib

import (
	"net/netip"
	"slices"

	"github.com/fibula-net/fibula/rules"
)

// Witness is a flow that two snapshots decide differently.
type Witness struct {
	Flow          Flow
	Before, After Decision
}

// witnessTries bounds how many rules, and how many addresses of a prefix, are tried.
const witnessTries = 8

// FindWitness looks for a flow to a prefix of a table that two snapshots decide
// differently: to some of its addresses, as this host's own flow and as one that the
// rules that lead to the table select. That none is found does not mean that there is none.
//
// It resolves some dozens of flows at most.
func FindWitness(before, after *Snapshot, p TablePrefix) (Witness, bool) {
	w := witness{before: before, after: after}
	f := Inet6
	if p.Dst.Addr().Is4() {
		f = Inet
	}
	addrs := addressesOf(p.Dst)
	flows := []Flow{{}}
	for _, s := range [...]*Snapshot{after, before} {
		for r := range s.rulesTo(f, p.Table) {
			if x := w.selected(s, r); !slices.Contains(flows, x) {
				flows = append(flows, x)
			}
		}
	}
	for _, x := range flows {
		for _, a := range addrs {
			if x.Dst = a; w.differs(x) {
				return w.found, true
			}
		}
	}
	return Witness{}, false
}

// FindRuleWitness looks in the same way for a flow that a rule selects and that two
// snapshots decide differently.
func FindRuleWitness(before, after *Snapshot, r rules.Rule) (Witness, bool) {
	w := witness{before: before, after: after}
	f := Family(r.Family)
	for _, s := range [...]*Snapshot{after, before} {
		x := w.selected(s, r)
		for _, a := range s.destinations(f, &r) {
			if x.Dst = a; w.differs(x) {
				return w.found, true
			}
		}
	}
	return Witness{}, false
}

type witness struct {
	before, after *Snapshot
	found         Witness
}

func (w *witness) differs(f Flow) bool {
	a, b := w.before.Resolve(f), w.after.Resolve(f)
	x, y := a, b
	x.RuleIndex, y.RuleIndex = 0, 0 // other rules before it are no other decision
	if x == y {
		return false
	}
	w.found = Witness{f, a, b}
	return true
}

// rulesTo are the first rules that lead to a table.
func (s *Snapshot) rulesTo(f Family, id TableID) func(func(rules.Rule) bool) {
	return func(yield func(rules.Rule) bool) {
		n := 0
		for _, r := range s.rulesOf(f).All() {
			if r.Action == rules.ActLookup && !r.L3MDev && TableID(r.Table) == id && n < witnessTries {
				if n++; !yield(r) {
					return
				}
			}
		}
	}
}

// selected is a flow, but for its destination, that meets a rule's selectors.
func (w *witness) selected(s *Snapshot, r rules.Rule) (f Flow) {
	if r.Not {
		return f
	}
	if r.From.IsValid() {
		f.Src = addressesOf(r.From.Masked())[0]
	}
	f.Iif, f.Oif = s.byName[r.Iif], s.byName[r.Oif]
	if r.Iif != "" && r.Iif == s.linkName(loopback) { // sent by this host
		f.Iif = 0
	}
	f.Mark, f.TOS, f.IPProto, f.Sport, f.Dport, f.TunID, f.FlowLabel = r.Mark, r.TOS, r.IPProto, r.Sport.Start, r.Dport.Start, r.TunID, r.FlowLabel
	if r.DSCPMask != 0 {
		f.TOS = r.DSCP << 2
	}
	if r.HasUIDs {
		f.UID, f.UIDSet = r.UIDs.Start, true
	}
	return f
}

func (s *Snapshot) linkName(i int32) string {
	if l := s.links[i]; l != nil {
		return l.Name
	}
	return ""
}

// destinations are addresses that a rule may decide about.
func (s *Snapshot) destinations(f Family, r *rules.Rule) (out []netip.Addr) {
	if r.To.IsValid() {
		return addressesOf(r.To.Masked())
	}
	out = append(out, netip.AddrFrom4([4]byte{192, 0, 2, 1}))
	if f == Inet6 {
		out[0] = netip.MustParseAddr("2001:db8::1")
	}
	if t := s.table(f, TableID(r.Table)); t != nil {
		n := 0
		for p := range t.version().All() {
			out = append(out, addressesOf(p)[0])
			if n++; n >= witnessTries {
				break
			}
		}
	}
	return out
}

// addressesOf are some addresses of a prefix: the first that a host may have, the last, and
// some between.
func addressesOf(p netip.Prefix) []netip.Addr {
	first := p.Addr()
	if p.IsSingleIP() {
		return []netip.Addr{first}
	}
	out := []netip.Addr{first.Next(), first}
	for i := 1; len(out) < witnessTries; i++ {
		out = append(out, within(p, uint64(i)))
	}
	return out
}

// within is an address of a prefix, scattered by n.
func within(p netip.Prefix, n uint64) netip.Addr {
	b := p.Addr().As16()
	from := p.Bits()
	if p.Addr().Is4() {
		from += 96
	}
	x := n * 0x9e3779b97f4a7c15
	for i := from; i < 128; i++ {
		if x>>(uint(i)%64)&1 != 0 {
			b[i/8] |= 0x80 >> (i % 8)
		}
	}
	a := netip.AddrFrom16(b)
	if p.Addr().Is4() {
		return a.Unmap()
	}
	return a
}
