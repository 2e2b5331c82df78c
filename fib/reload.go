package fib

import (
	"net/netip"
	"slices"
)

// Reload takes all of a state but its routes, in place of what the FIB holds. Like
// [Txn.Load] it checks nothing against the rest and derives nothing: what follows for
// routes, their dump tells ([Txn.Merge]).
//
// What dumps do not show stays as it is known: the modes, unless the state names them
// or the rules changed, which addresses wait for their link to come up, and, as
// long as no IPv4 address changed, the sources that nexthop objects remember.
//
// It costs O(size of the state without routes), and a look at every distinct route.
// Errors as for Load.
func (tx *Txn) Reload(st *State) error {
	if tx.ended() {
		return ErrTxnDone
	}
	small := *st
	small.Routes = nil
	if err := checkState(&small); err != nil {
		return err
	}
	tx.finishLoad()
	old, s := *tx.s, tx.s
	s.links, s.linkOrder, s.byName = map[int32]*link{}, nil, map[string]int32{}
	s.owner4, s.neighs, s.objects = map[netip.Addr]int32{}, map[neighKey]Neighbour{}, map[uint32]*object{}
	tx.owned.links, tx.owned.neighs, tx.owned.objects, tx.owned.owner4, tx.owned.names = true, true, true, true, true
	tx.dirty = true
	tx.take(&small)
	s.keepHidden(&old, &small)
	tx.bindRules()
	return nil
}

// keepHidden carries over what no dump shows.
func (s *Snapshot) keepHidden(old *Snapshot, st *State) {
	s.vrfRule = s.vrfRule || old.vrfRule
	for i, l := range s.links {
		if was := old.links[i]; was != nil {
			l.kept6 = slices.Clone(was.kept6)
			l.ready6 = l.ready6 || was.ready6 && l.Up()
		}
	}
	if st.Mode4 == ModeUnknown && s.rules4.Equal(old.rules4) {
		s.mode4, s.open4 = old.mode4, old.open4
	} else if st.Mode4 == ModeUnknown {
		s.mode4, s.open4 = ModeRules, false // some rule came or went
	}
	if st.Mode6 == ModeUnknown && (s.rules6.Equal(old.rules6) || old.mode6 == ModeRules) {
		s.mode6, s.open6 = old.mode6, old.open6
		// Of rules that came and went, nobody may have heard.
		s.hidden6 = s.mode6 == ModeMerged && (old.hidden6 || s.rules6.IsInitial())
	}
	if !sameOwners(s, old) {
		return
	}
	for id, o := range s.objects {
		if was := old.objects[id]; was != nil && !o.Source.IsValid() && was.Nexthop == o.Nexthop {
			o.Source = was.Source
		}
	}
	s.resolveObjects()
}

// sameOwners reports whether the same links have the same IPv4 addresses.
func sameOwners(a, b *Snapshot) bool {
	if len(a.links) != len(b.links) {
		return false
	}
	for i, l := range a.links {
		was := b.links[i]
		if was == nil || !slices.EqualFunc(l.addrs4, was.addrs4, func(x, y Address) bool { return x.Local == y.Local && x.Flags == y.Flags && x.Scope == y.Scope }) {
			return false
		}
	}
	return true
}
