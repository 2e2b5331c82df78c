package fib

import (
	"fmt"
	"slices"

	"github.com/fibula-net/fibula/rules"
)

// CheckWriter compares what the writer remembers with what the tables hold: every
// reference is counted, and nothing is kept that has none.
func (f *FIB) CheckWriter() error {
	s, in := f.Snapshot(), f.in
	for i, l := range s.links {
		if s.byName[l.Name] != i || len(s.byName) != len(s.links) {
			return fmt.Errorf("link %d is not found as %q among %v", i, l.Name, s.byName)
		}
	}
	for _, l := range [...]*rules.List{s.rules4, s.rules6} {
		if l != l.Bind(s.bindName) {
			return fmt.Errorf("names of %v rules are not bound to the links that have them", l.Family())
		}
	}
	refs := make([]uint32, len(in.leafRefs))
	for k, t := range s.tables {
		for p, i := range t.version().All() {
			if l := s.leaves.at(i); l == nil || l.empty() {
				return fmt.Errorf("table %v: %v names leaf %d, which is not there or empty", k, p, i)
			}
			refs[i]++
		}
	}
	held, live, realms, lost := map[uint32]uint32{}, 0, 0, 0
	for i, n := range refs {
		if n != in.leafRefs[i] {
			return fmt.Errorf("leaf %d: %d references counted, %d there", i, in.leafRefs[i], n)
		}
		if int(i/leafPageSize) >= len(s.leaves) {
			continue // of an aborted transaction
		}
		l := s.leaves.at(uint32(i))
		if (l != nil) != (n > 0) {
			return fmt.Errorf("leaf %d with %d references: stored %v", i, n, l != nil)
		}
		if l == nil {
			continue
		}
		live++
		if got, ok := in.leafIDs[string(l.appendKey(nil))]; !ok || got != uint32(i) {
			return fmt.Errorf("leaf %d is not found by its key", i)
		}
		if l.hasRealms() {
			realms++
		}
		if l.isLost() {
			lost++
		}
		l.each(func(a *alias) { held[a.id]++ })
	}
	if live != len(in.leafIDs) || live+len(in.freeLeaf) != len(refs) {
		return fmt.Errorf("%d leaves, %d keys, %d free of %d", live, len(in.leafIDs), len(in.freeLeaf), len(refs))
	}
	lendable, aliases := 0, 0
	for id, r := range in.aliasRecs {
		switch {
		case r == nil:
			continue
		case r.id != uint32(id) || r.key != string(r.appendKey(nil)):
			return fmt.Errorf("alias %d has id %d or another key", id, r.id)
		case r.refs != held[r.id] || r.refs == 0:
			return fmt.Errorf("alias %d: %d references counted, %d there", id, r.refs, held[r.id])
		case r.single != 0 && (len(s.leaves.at(r.single-1).plain) != 1 || s.leaves.at(r.single - 1).plain[0] != r.alias):
			return fmt.Errorf("alias %d is not alone in leaf %d", id, r.single-1)
		}
		aliases++
		if r.lendsMetrics() {
			lendable++
		}
	}
	if aliases != len(held) || aliases+len(in.freeAlias) != len(in.aliasRecs) || realms != in.realms || lost != in.lost || lendable != in.lendable {
		return fmt.Errorf("%d aliases, %d held, %d free of %d; %d with realms, %d counted; %d lost, %d counted; %d to lend metrics, %d counted",
			aliases, len(held), len(in.freeAlias), len(in.aliasRecs), realms, in.realms, lost, in.lost, lendable, in.lendable)
	}
	for key, r := range in.aliases {
		if in.aliasRecs[r.id] != r || r.key != key {
			return fmt.Errorf("a key leads to alias %d, which is gone or has another", r.id)
		}
	}
	return nil
}

// LoadsOtherwise reports whether an alias has what no state can tell: hash ranges from
// before a setting was toggled (J3), or a type of its own that is the same as that of
// its object, a blackhole (J16).
func (s *Snapshot) LoadsOtherwise() (yes bool) {
	for _, t := range s.tables {
		for _, i := range t.version().All() {
			s.leaves.at(i).each(func(a *alias) {
				yes = yes || a.typ == TypeBlackhole && s.isBlackhole(a) || len(a.bounds) > 0 && !slices.Equal(a.bounds, s.bounds4(a.legs))
			})
		}
	}
	return yes
}

// IsQuick reports whether the answer to f stands ready.
func (s *Snapshot) IsQuick(f Flow) bool {
	var d Decision
	return s.quick(&f, &d, nil)
}

// HasLegs reports whether several legs of the route behind d were there to choose from.
func (s *Snapshot) HasLegs(d Decision) bool {
	f := Inet6
	if d.Prefix.Addr().Is4() {
		f = Inet
	}
	for _, id := range [...]TableID{d.Table, TableLocal} {
		l := s.leafAt(s.table(f, id), d.Prefix)
		if l == nil {
			continue
		}
		for _, a := range l.plain {
			if len(s.legs(a)) > 1 || f == Inet6 && len(l.plain) > 1 && a.ecmpAble() && isSibling6(a, l.plain[1]) {
				return true
			}
		}
	}
	return false
}

// RefKind names the kind of r.
func (s *Snapshot) RefKind(r Ref) string {
	if r.leg > 0 {
		return "leg"
	}
	return [...]string{"walked", "refused", "rule", "merged", "local", "main"}[r.how]
}

// InLane4 and InLane6 report whether flows are looked up together.
func (s *Snapshot) InLane4(k *Key4) bool {
	return s.cuts.on && s.cuts.inet.lane.table != nil && s.inLane4(k)
}

func (s *Snapshot) InLane6(k *Key6) bool {
	return s.cuts.on && s.cuts.inet6.lane.table != nil && s.inLane6(k)
}
