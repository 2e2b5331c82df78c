package fib

import (
	"maps"

	"github.com/fibula-net/fibula/rules"
)

// AddRule does what RTM_NEWRULE does and returns the rule as stored: with its
// default priority (A2), its allocated table (A7), normalised, and without what the
// kernel that is followed does not know (section I). Only [Excl] of the flags has a
// meaning (A1, A4).
//
// The first rule added or deleted ends merged mode for ever (A8, A9).
//
// Possible errors, as *[OpError]: EEXIST, EINVAL, ERANGE, EAFNOSUPPORT, ENOBUFS;
// [ErrTxnDone].
func (tx *Txn) AddRule(q rules.Request, flags AddFlags) (rules.Rule, error) {
	const op = "rule add"
	if tx.ended() {
		return rules.Rule{}, ErrTxnDone
	}
	q = tx.s.profile.Heard(q)
	var allocated TableID
	list, r, err := tx.s.rulesOf(q.Family).Add(q, rules.AddFlags{
		Excl: flags&Excl != 0,
		FreeTable: func() (uint32, bool) {
			id, ok := tx.freeTable()
			allocated = id
			return uint32(id), ok
		},
		Link: tx.s.bindName,
	})
	if err != nil {
		return rules.Rule{}, opError(op, q.Rule.String(), err)
	}
	if allocated != 0 {
		tx.edit(tableKey{id: allocated, fam: Inet}, true)
	}
	tx.setRules(q.Family, list)
	if q.Family == Inet6 {
		tx.s.mode6, tx.s.open6, tx.s.hidden6 = ModeRules, false, false
	}
	return r, nil
}

// DeleteRule does what RTM_DELRULE does: it removes the first rule that agrees
// with every attribute the request carries (A5), and returns it.
//
// Possible errors, as *[OpError]: ENOENT, EINVAL, EAFNOSUPPORT; [ErrTxnDone].
func (tx *Txn) DeleteRule(q rules.Request) (rules.Rule, error) {
	if tx.ended() {
		return rules.Rule{}, ErrTxnDone
	}
	q = tx.s.profile.Heard(q)
	list, r, err := tx.s.rulesOf(q.Family).Delete(q)
	if err != nil {
		return rules.Rule{}, opError("rule delete", q.Rule.String(), err)
	}
	tx.setRules(q.Family, list)
	if q.Family == Inet6 && tx.s.hidden6 {
		tx.s.mode6, tx.s.open6 = loadedMode(ModeUnknown, list, false)
		tx.s.hidden6 = false
	}
	return r, nil
}

// setRules installs a changed list. An IPv4 deletion ends merged mode as an
// addition does; an IPv6 deletion alone does not (A8, A9).
func (tx *Txn) setRules(f Family, l *rules.List) {
	if f == Inet {
		tx.s.rules4, tx.s.mode4, tx.s.open4 = l, ModeRules, false
	} else {
		tx.s.rules6 = l
	}
	tx.dirty = true
}

// bindRules resolves the link names of all rules.
func (tx *Txn) bindRules() {
	names := make(map[string]int32, len(tx.s.links))
	for i, l := range tx.s.links {
		names[l.Name] = i
	}
	tx.s.byName, tx.owned.names = names, true
	tx.s.rules4, tx.s.rules6 = tx.s.rules4.Bind(tx.s.bindName), tx.s.rules6.Bind(tx.s.bindName)
}

// nameLink follows a link that gets a name in place of another, with the rules that
// have either; an empty one says that there is no link yet, or no longer (A18).
func (tx *Txn) nameLink(index int32, old, name string) {
	if !tx.owned.names {
		tx.s.byName, tx.owned.names = maps.Clone(tx.s.byName), true
	}
	delete(tx.s.byName, old)
	if name != "" {
		tx.s.byName[name] = index
	}
	for _, n := range [...]string{old, name} {
		if n != "" {
			i, l3master := tx.s.bindName(n)
			tx.s.rules4, tx.s.rules6 = tx.s.rules4.Rebind(n, i, l3master), tx.s.rules6.Rebind(n, i, l3master)
		}
	}
}

func (s *Snapshot) bindName(name string) (int32, bool) {
	if l := s.links[s.byName[name]]; l != nil {
		return l.Index, l.IsL3Master()
	}
	return 0, false
}

// freeTable is the lowest table id that no IPv4 table has (A7).
func (tx *Txn) freeTable() (TableID, bool) {
	for id := TableID(1); id != 0; id++ {
		if id != TableMain && id != TableLocal && tx.s.tables[tableKey{id: id, fam: Inet}] == nil {
			return id, true
		}
	}
	return 0, false
}
