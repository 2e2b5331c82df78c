package fib

import "slices"

// toldList is a list of IPv6 routes while notifications change it.
type toldList struct {
	tx   *Txn
	list []*alias
	add  int
	gone int
}

func (t *toldList) enter(a *alias, flags AddFlags) Heard {
	p := t.tx.internAlias(a)
	n, gone, err := insert6(t.list, p, flags)
	if err != nil {
		t.tx.in.unused(p)
		return HeardDoubt
	}
	t.list, t.gone, t.add = n, t.gone+gone, t.add+1
	return HeardNews
}

func (t *toldList) remove(hit func(*alias) bool) (n int) {
	before := len(t.list)
	t.list = slices.DeleteFunc(t.list, hit)
	n = before - len(t.list)
	t.gone += n
	return n
}

// legs are the positions of the legs of the multipath route of a metric.
func (t *toldList) legs(priority uint32) (at []int) {
	for i, x := range t.list {
		if x.priority == priority && x.ecmpAble() {
			at = append(at, i)
		}
	}
	return at
}

func (t *toldList) leg(at []int, n *Nexthop) int {
	return slices.IndexFunc(at, func(i int) bool { return legName(&t.list[i].legs[0]) == legName(n) })
}

func (tx *Txn) tell6(r *Route, flags AddFlags) Heard {
	k := tableKey{id: r.Table, fam: Inet6}
	l := tx.leafOf(k, r.Dst)
	t := &toldList{tx: tx, list: slices.Clone(l.list(r.Src))}
	legs := tx.toldLegs(r)
	var heard Heard
	if len(legs) > 0 && legs[0].Gateway.IsValid() {
		heard = t.tellLegs(r, legs, flags)
	} else {
		heard = t.tellOne(r, legs, flags)
	}
	if t.add+t.gone == 0 {
		return heard
	}
	tx.res.RoutesAdded += t.add
	tx.res.RoutesRemoved += t.gone
	tx.setLeaf(k, r.Dst, l.with(r.Src, t.list))
	return heard
}

// tellOne is told of a route that is no leg of others: without gateway, of a reject
// type or with a nexthop object.
func (t *toldList) tellOne(r *Route, legs []Nexthop, flags AddFlags) Heard {
	a := t.tx.told(r, legs)
	if i := t.tx.shownIn(t.list, &a); i >= 0 {
		switch {
		case flags&(Replace|Create) == Create:
			return t.last(i)
		case flags&Replace != 0 && slices.ContainsFunc(t.list[:i], func(x *alias) bool { return x.priority == a.priority && !x.ecmpAble() }):
			return HeardDoubt // told again because its object changed, or in the place of the first
		}
		return HeardKnown
	}
	if flags&Replace != 0 {
		if h := t.enter(&a, Replace); h == HeardNews {
			return h
		}
		t.enter(&a, Create)
		return HeardDoubt
	}
	other := func(x *alias) bool { return x.priority == a.priority && sameNexthop6(x, &a) }
	if i := slices.IndexFunc(t.list, other); i >= 0 { // its attributes changed
		t.list[i] = t.tx.internAlias(&a)
		t.add, t.gone = t.add+1, t.gone+1
		return HeardDoubt
	}
	occupied := slices.ContainsFunc(t.list, func(x *alias) bool { return x.priority == a.priority })
	h := t.enter(&a, Create)
	if flags&Excl != 0 && occupied {
		return HeardDoubt
	}
	return h
}

// last makes the alias at i, which was derived before the kernel entered it, the last of
// its metric.
func (t *toldList) last(i int) Heard {
	a, j := t.list[i], i
	for j+1 < len(t.list) && t.list[j+1].priority == a.priority {
		t.list[j], j = t.list[j+1], j+1
	}
	if j == i {
		return HeardKnown
	}
	t.list[j] = a
	t.add, t.gone = t.add+1, t.gone+1
	return HeardNews
}

// tellLegs is told of legs with gateways: all that the multipath route has now, the new
// one first; or one that stands alone. The order of the others a message does not tell.
func (t *toldList) tellLegs(r *Route, legs []Nexthop, flags AddFlags) Heard {
	one := func(i int) alias {
		a := t.tx.told(r, legs[i:i+1])
		a.learned = r.Protocol == ProtoRA && len(legs) == 1 && r.Learned != FactNo
		return a
	}
	at := t.legs(r.Priority)
	known := 0
	for i := range legs {
		if t.leg(at, &legs[i]) >= 0 {
			known++
		}
	}
	if first := one(0); first.learned { // stands apart from others
		return t.tellOne(r, legs, flags)
	}
	switch {
	case known == len(legs) && known == len(at):
		first := one(0)
		i := t.leg(at, &legs[0])
		if a := t.list[at[i]]; string(t.tx.s.appendAlias(nil, a, withoutMarks)) == string(t.tx.s.appendAlias(nil, &first, withoutMarks)) {
			return HeardKnown
		}
		if len(legs) > 1 { // the attributes are those of one leg, nobody knows which
			return HeardDoubt
		}
		t.list[at[i]] = t.tx.internAlias(&first)
		t.add, t.gone = t.add+1, t.gone+1
		if flags&Replace != 0 {
			return HeardNews
		}
		return HeardDoubt
	case flags&Replace != 0 || len(at) == 0:
		heard := HeardNews
		first := one(0)
		if flags&Replace == 0 || t.enter(&first, Replace) != HeardNews {
			if flags&Replace != 0 {
				heard = HeardDoubt
			}
			heard = max(heard, t.enter(&first, Create))
		}
		for i := 1; i < len(legs); i++ {
			a := one(i)
			heard = max(heard, t.enter(&a, Create|Append))
		}
		return heard
	}
	return t.tellFurther(legs, at, known, one)
}

// tellFurther adds to the legs at what the message has more, and removes what it has
// not.
func (t *toldList) tellFurther(legs []Nexthop, at []int, known int, one func(int) alias) Heard {
	heard := HeardNews
	missing := func(i int) bool { return t.leg(at, &legs[i]) < 0 }
	if known < len(at) || known+1 < len(legs) || !missing(0) {
		heard = HeardDoubt
	}
	var fresh []int
	for i := range legs {
		if missing(i) {
			fresh = append(fresh, i)
		}
	}
	priority := t.list[at[0]].priority
	t.remove(func(x *alias) bool {
		return x.priority == priority && x.ecmpAble() && !slices.ContainsFunc(legs, func(n Nexthop) bool { return legName(&n) == legName(&x.legs[0]) })
	})
	for _, i := range fresh {
		a := one(i)
		heard = max(heard, t.enter(&a, Create|Append))
	}
	return heard
}

func (tx *Txn) tellGone6(k tableKey, r *Route) Heard {
	l := tx.leafOf(k, r.Dst)
	t := &toldList{tx: tx, list: slices.Clone(l.list(r.Src))}
	heard := t.tellGone(r)
	if t.gone > 0 {
		tx.res.RoutesRemoved += t.gone
		tx.setLeaf(k, r.Dst, l.with(r.Src, t.list))
	}
	return heard
}

func (t *toldList) tellGone(r *Route) Heard {
	a := t.tx.told(r, r.Nexthops)
	if len(a.legs) > 1 {
		at := t.legs(r.Priority)
		all := len(at) == len(a.legs)
		for i := range a.legs {
			all = all && t.leg(at, &a.legs[i]) >= 0
		}
		switch n := t.remove(func(x *alias) bool { return x.priority == r.Priority && x.ecmpAble() }); {
		case n == 0:
			return HeardKnown
		case !all:
			return HeardDoubt
		}
		return HeardNews
	}
	if i := t.tx.shownIn(t.list, &a); i >= 0 {
		at := t.legs(a.priority)
		t.list, t.gone = slices.Delete(t.list, i, i+1), t.gone+1
		if len(at) > 1 && at[0] == i {
			return HeardDoubt // the attributes of the next leg are shown from now on, which may be others (D4a)
		}
		return HeardNews
	}
	// Of a further leg nobody knew the attributes.
	i := slices.IndexFunc(t.list, func(x *alias) bool { return x.priority == a.priority && sameNexthop6(x, &a) })
	if i < 0 {
		return HeardKnown
	}
	if !t.list[i].ecmpAble() && a.nhid == 0 {
		t.list, t.gone = slices.Delete(t.list, i, i+1), t.gone+1
		return HeardDoubt
	}
	t.list, t.gone = slices.Delete(t.list, i, i+1), t.gone+1
	return HeardNews
}
