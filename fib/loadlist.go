package fib

import (
	"cmp"
	"net/netip"
	"slices"
)

// routeKey names the routes of one prefix in one table.
type routeKey struct {
	k   tableKey
	dst netip.Prefix
}

// loadingLeaf is the list of a prefix with several routes while they are loaded.
// It becomes a leaf when all are there: interning each length that it passes
// through would cost the square of the last.
type loadingLeaf struct {
	lost  lostness
	plain []*alias
	bySrc map[netip.Prefix][]*alias
}

// loadAlias enters a behind the aliases of r's prefix. Without a source prefix it returns the leaf that a makes
// up alone. It allocates nothing for a route that stands alone under its prefix and differs from others in that only.
func (tx *Txn) loadAlias(k tableKey, r *Route, a *alias) (i uint32, plain bool) {
	p := tx.in.alias(a)
	if r.Src.IsValid() {
		tx.res.RoutesAdded++
		key := routeKey{k, r.Dst}
		l := tx.loading[key]
		if l == nil {
			l = tx.startList(key, tx.leafOf(k, r.Dst))
		}
		l.addRoute(r, p.alias)
		return 0, false
	}
	if i = p.single - 1; p.single == 0 {
		i = tx.in.leaf(&tx.s.leaves, &leaf{plain: []*alias{p.alias}})
	}
	tx.enter(k, r, i)
	return i, true
}

// startList begins the list of a prefix with what is there.
func (tx *Txn) startList(key routeKey, before *leaf) *loadingLeaf {
	l := &loadingLeaf{plain: slices.Clone(before.plain), lost: before.lost}
	for _, s := range before.bySrc {
		for _, a := range s.list {
			l.add(s.src, a)
		}
	}
	if tx.loading == nil {
		tx.loading = map[routeKey]*loadingLeaf{}
	}
	tx.loading[key] = l
	return l
}

// addRoute is add for a route as loaded, which may tell more.
func (l *loadingLeaf) addRoute(r *Route, a *alias) {
	l.add(r.Src, a)
	if r.Src.IsValid() {
		l.lost = max(l.lost, [...]lostness{FactUnknown: lostMaybe, FactNo: lostNot, FactYes: lostCertainly}[r.Lost])
	}
}

func (l *loadingLeaf) add(src netip.Prefix, a *alias) {
	if !src.IsValid() {
		l.plain = append(l.plain, a)
		return
	}
	if l.bySrc == nil {
		l.bySrc = map[netip.Prefix][]*alias{}
	}
	l.bySrc[src] = append(l.bySrc[src], a)
}

// settleLists makes leaves of the lists under way. Whatever else reads or changes
// routes within the transaction comes after it.
func (tx *Txn) settleLists() {
	for key, l := range tx.loading {
		n := &leaf{plain: l.plain, lost: l.lost}
		if n.isLost() {
			tx.maybeLost = append(tx.maybeLost, key)
		}
		for src, list := range l.bySrc {
			n.bySrc = append(n.bySrc, srcList{src, list})
		}
		slices.SortFunc(n.bySrc, func(a, b srcList) int {
			return cmp.Or(cmp.Compare(b.src.Bits(), a.src.Bits()), a.src.Addr().Compare(b.src.Addr()))
		})
		tx.setLeaf(key.k, key.dst, n)
	}
	clear(tx.loading)
}

// ended reports whether the transaction is over. Every operation but the loading
// of one more route begins with it.
func (tx *Txn) ended() bool {
	if tx.done {
		return true
	}
	tx.unlike()
	if len(tx.loading) > 0 {
		tx.settleLists()
	}
	return false
}
