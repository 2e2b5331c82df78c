package fib

import "net/netip"

// AddRoutes is AddRoute for one route after the other, with the same flags. It stops at the first that is
// refused, and returns how many were entered. Many at once are faster: they wait for the memory
// together.
func (tx *Txn) AddRoutes(routes []Route, flags AddFlags) (entered int, err error) {
	if tx.ended() {
		return 0, ErrTxnDone
	}
	for len(routes) > 0 {
		n := min(len(routes), expected)
		tx.expect(routes[:n])
		for i := range routes[:n] {
			if err := tx.addRoute(&routes[i], flags); err != nil {
				return entered, err
			}
			entered++
		}
		routes = routes[n:]
	}
	return entered, nil
}

// expected is how many routes are looked for ahead.
const expected = 256

// expecter is what can be told ahead what it will be asked: a table of flat, and its editor.
type expecter interface {
	Expect([]netip.Prefix) (seen uint64)
}

// expect is told of routes that are about to be changed.
func (tx *Txn) expect(routes []Route) {
	if len(routes) == 1 {
		return
	}
	prefixes := tx.in.scratch.prefixes[:0]
	for i := range routes {
		r := &routes[i]
		prefixes = append(prefixes, r.Dst)
		if i+1 < len(routes) && routes[i+1].Table == r.Table && routes[i+1].Family() == r.Family() {
			continue
		}
		k := tableKey{id: r.Table, fam: r.Family()}
		if k.id == TableUnspec {
			k.id = TableMain
		}
		if t := tx.s.tables[k]; t != nil && t.lpm.Len() > expected {
			if x, ok := t.lpm.(expecter); ok {
				tx.in.scratch.seen += x.Expect(prefixes)
			}
		}
		prefixes = prefixes[:0]
	}
	tx.in.scratch.prefixes = prefixes
}
