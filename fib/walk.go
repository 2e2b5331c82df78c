package fib

import (
	"net/netip"

	"github.com/fibula-net/fibula/rules"
)

// loopback is the index that lo has in every namespace.
const loopback = 1

// outcome is how the lookup in one table ended.
type outcome uint8

const (
	found    outcome = iota
	passOn           // no table, no route or throw: the next rule
	rejected         // the whole lookup ends with an error
)

// hit is what a lookup found.
type hit struct {
	alias  *alias
	leg    int     // position among the legs (IPv6: among the siblings)
	nh     Nexthop // that leg
	table  TableID
	from   TableID // the table that holds it: not main, while local and main answer as one (B1)
	prefix netip.Prefix
	src    netip.Prefix // IPv6 source prefix; zero: none
	tos    uint8        // of the alias that matched, even if B18 chose another
	rule   *rules.Entry // that led here; nil: none
	obj    *object      // the nexthop object behind the route, if any
	pref   RouterPref   // IPv6: of the leg that won on score, even if the hash chose another (D4a)
}

// walk is one lookup under way. Resolve and Explain use the same one; with ex
// set it takes the literal walks of rules and tables and tells the story.
//
// A walk lives on the stack of its caller: nothing may keep a pointer to it.
type walk struct {
	s     *Snapshot
	f     Flow // as asked
	fam   Family
	input bool
	key   rules.Flow // what rules and tables see (0.2), after L5
	ex    *Explanation
	// literal takes the walks as the description has them, one prefix length after
	// the other, in place of the fast ones. A story is told by literal walks only.
	literal bool

	// h is what answers: Explain and FibMatch need it after the walk. h.alias is nil
	// where no route stands behind the answer.
	h hit

	scope        Scope      // of the flow: universe but for gateway checks (B11.3, B30)
	anyLinkstate bool       // ignore_routes_with_linkdown is not looked at
	gateway6     bool       // a route's IPv6 gateway is looked up: no suppressors, throw is final (G4)
	droppedTOS   uint8      // of the last IPv4 route that a suppressor dropped (C7)
	l3Noted      bool       // a rule has noted the table of the L3 domain (A26)
	realms       uint32     // of the rule that ended the walk (A27)
	dropped      hit        // the last IPv6 object route that a suppressor dropped or that threw (D22a)
	found6       netip.Addr // source that a FIND_SADDR rule made the flow's (A17)
	und          Undetermined
	fork         *fork  // leads the walk through what is undetermined; nil: the likeliest way
	gates        []gate // what fork took open gateways to be (J9)
	turned       bool   // an open mode is taken to be the less likely one
	modeKnown    Mode   // what an open mode was taken to be (J4)
	hashed       bool
	hashKnown    bool
	hashValue    uint32
	only         bool // table onlyTable is looked at in place of the rules
	onlyTable    TableID
	reverse      bool // the reverse lookup of C31: its steps are not told
}

// newWalk prepares the lookup of f: the defaults of 0.2.
func newWalk(s *Snapshot, f Flow, ex *Explanation) walk {
	f.Dst, f.Src = f.Dst.WithZone(""), f.Src.WithZone("")
	w := walk{s: s, f: f, fam: f.Family(), input: f.Iif != 0, ex: ex, literal: ex != nil}
	if !s.kernel.AtLeast(6, 14) { // queries have no flow label
		w.f.FlowLabel = 0
	}
	s.outputKey(&w.key, &w.f, w.fam)
	if w.input {
		w.key.Iif, w.key.Oif = f.Iif, 0
	}
	switch {
	case w.fam == Inet6:
		if w.input && !f.UIDSet {
			w.key.UID = 1<<32 - 1 // no user: 0.4
		}
	case w.input:
		w.key.UID = 0
		s.dissect(&w.key)
	}
	return w
}

// dissect takes from the key of a received IPv4 flow what rules do not see (0.3).
func (s *Snapshot) dissect(key *rules.Flow) {
	switch {
	case !s.rules4.RequiresDissection():
		key.IPProto, key.Sport, key.Dport = 0, 0, 0
	case key.IPProto == protoICMP: // a packet without ports
		key.Sport, key.Dport = 0, 0
	}
}

// outputKey sets key to what rules and tables see of a flow that this host sends (0.2).
func (s *Snapshot) outputKey(key *rules.Flow, f *Flow, fam Family) {
	// Not a literal: it would be made aside and copied, and the copy wait for it.
	key.Family, key.Src, key.Dst, key.Iif, key.Oif, key.Mark = fam, f.Src, f.Dst, loopback, f.Oif, f.Mark
	key.TOS, key.UID, key.IPProto, key.Sport, key.Dport, key.TunID = f.TOS&^3, f.UID, f.IPProto, f.Sport, f.Dport, f.TunID
	switch {
	case fam == Inet6 && s.kernel.AtLeast(6, 14):
		key.FlowLabel = f.FlowLabel
	case fam == Inet && f.IPProto == 0:
		key.IPProto = protoUDP
	}
}

// Protocols that lookups know by number.
const (
	protoICMP = 1
	protoIGMP = 2
	protoUDP  = 17
)

// source is the flow's source as tables see it; the zero Addr is none.
func (w *walk) source() netip.Addr {
	if w.found6.IsValid() {
		return w.found6
	}
	return w.key.Src
}

// step records one line of the story.
func (w *walk) step(st Step) {
	if w.ex != nil && !w.reverse {
		if st.Rule != nil { // the story is its reader's own
			r := *st.Rule
			st.Rule = &r
		}
		if st.Nexthop != nil {
			n := shownLeg(*st.Nexthop)
			st.Nexthop = &n
		}
		w.ex.Steps = append(w.ex.Steps, st)
	}
}

// telling reports whether steps are recorded: callers guard costly ones with it.
func (w *walk) telling() bool { return w.ex != nil && !w.reverse }

// errnoOf is the error of a reject route (both families); 0 for throw.
func errnoOf(t RouteType) Errno {
	switch t {
	case TypeUnreachable:
		return EHOSTUNREACH
	case TypeProhibit:
		return EACCES
	case TypeThrow:
		return 0
	}
	return EINVAL // blackhole, nat, xresolve
}

// masterOf is the L3 domain (VRF) that link i belongs to: itself, its master or 0 (L5).
func (s *Snapshot) masterOf(i int32) int32 {
	l := s.links[i]
	switch {
	case l == nil:
		return 0
	case l.IsL3Master():
		return l.Index
	}
	if m := s.links[l.Master]; m != nil && m.IsL3Master() {
		return m.Index
	}
	return 0
}

// enterDomain is what precedes every walk of the rules: it finds the flow's L3
// domain and clears an oif that is one (L5).
func (w *walk) enterDomain() {
	if l := w.s.links[w.key.Oif]; w.key.Oif != 0 && l != nil {
		if w.key.L3Master == 0 {
			w.key.L3Master, w.key.L3FromOif = w.s.masterOf(l.Index), true
		}
		if l.IsL3Master() {
			w.key.Oif = 0
		}
		return
	}
	if w.key.Iif > loopback && w.key.L3Master == 0 {
		w.key.L3Master = w.s.masterOf(w.key.Iif)
	}
}
