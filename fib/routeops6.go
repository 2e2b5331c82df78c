package fib

import (
	"net/netip"
	"slices"
)

// addRoute6 enters an IPv6 route, a multipath one as one alias per leg: the first
// with the request's flags, the others as appended to it.
func (tx *Txn) addRoute6(r *Route, flags AddFlags) error {
	k := tableKey{id: r.Table, fam: Inet6}
	legs := r.Nexthops
	if len(legs) == 0 || r.NexthopID != 0 {
		legs = []Nexthop{{}}
	}
	l := tx.leafOf(k, r.Dst)
	list := slices.Clone(l.list(r.Src))
	var fresh []*alias
	removed := 0
	for i := range legs {
		own := legs[i : i+1]
		if r.Type.rejects6() || r.NexthopID != 0 {
			own = nil
		}
		a := tx.newAlias(r, own)
		p := tx.internAlias(&a)
		fresh = append(fresh, p)
		n, gone, err := insert6(list, p, flags)
		if err != nil {
			for _, p := range fresh {
				tx.in.unused(p)
			}
			return err
		}
		list, removed = n, removed+gone
		flags = flags&^(Excl|Replace) | Create | Append
	}
	tx.setLeaf(k, r.Dst, l.with(r.Src, list))
	tx.res.RoutesAdded += len(fresh)
	tx.res.RoutesRemoved += removed
	return nil
}

// insert6 puts a into a list sorted by metric and tells how many others it
// replaced (D2, D3).
func insert6(list []*alias, a *alias, flags AddFlags) (out []*alias, removed int, err error) {
	at, replace, fallback := len(list), -1, -1
	for i, x := range list {
		if x.priority > a.priority {
			at = i
			break
		}
		if x.priority < a.priority {
			continue
		}
		if flags&Excl != 0 {
			return nil, 0, refuse(EEXIST, "a route with this prefix and metric exists")
		}
		if flags&Replace != 0 {
			if x.ecmpAble() == a.ecmpAble() {
				replace = i
				break
			}
			if fallback < 0 {
				fallback = i
			}
			continue
		}
		if sameNexthop6(x, a) {
			return nil, 0, refuse(EEXIST, "a route with this prefix, metric and nexthop exists")
		}
	}
	if flags&Replace == 0 {
		return slices.Insert(list, at, a), 0, nil
	}
	if replace < 0 {
		replace = fallback
	}
	if replace < 0 {
		if flags&Create == 0 {
			return nil, 0, refuse(ENOENT, "no route with this prefix and metric exists, and the request does not create one")
		}
		return slices.Insert(list, at, a), 0, nil
	}
	multipath := list[replace].ecmpAble()
	out = slices.Clone(list[:replace])
	out = append(out, a)
	removed = 1
	for _, x := range list[replace+1:] {
		if multipath && x.priority == a.priority && x.ecmpAble() {
			removed++
			continue
		}
		out = append(out, x)
	}
	return out, removed, nil
}

func sameNexthop6(a, b *alias) bool {
	if a.nhid != 0 || b.nhid != 0 {
		return a.nhid == b.nhid
	}
	x, y := a.leg6(), b.leg6()
	return x.Link == y.Link && x.Gateway == y.Gateway && x.Encap == y.Encap
}

func (tx *Txn) deleteRoute6(k tableKey, r *Route) error {
	dst, src := r.Dst.Masked(), r.Src
	if src.IsValid() {
		if src = src.Masked(); src.Bits() == 0 {
			src = netip.Prefix{}
		}
	}
	l := tx.leafOf(k, dst)
	if len(l.bySrc) == 0 {
		src = netip.Prefix{} // with no source-specific routes the kernel stops at the plain ones
	}
	list := l.list(src)
	wants := r.Nexthops
	if len(wants) == 0 || r.NexthopID != 0 {
		wants = []Nexthop{{}}
	}
	whole := len(wants) == 1 && !wants[0].Gateway.IsValid()
	gone := 0
	for i := range wants {
		j := slices.IndexFunc(list, func(a *alias) bool { return matchesDelete6(a, r, &wants[i]) })
		if j < 0 {
			return refuse(ESRCH, "no such route")
		}
		first := list[j]
		var n []*alias
		for k, x := range list {
			if k == j || whole && first.ecmpAble() && x.ecmpAble() && x.priority == first.priority {
				gone++
				continue
			}
			n = append(n, x)
		}
		list = n
	}
	tx.setLeaf(k, dst, l.with(src, list))
	tx.res.RoutesRemoved += gone
	return nil
}

func matchesDelete6(a *alias, r *Route, want *Nexthop) bool {
	if r.Priority != 0 && a.priority != r.Priority || r.Protocol != 0 && a.protocol != r.Protocol {
		return false
	}
	// An object route agrees with any link and gateway.
	if a.nhid != 0 || r.NexthopID != 0 {
		return a.nhid != 0 && (r.NexthopID == 0 || a.nhid == r.NexthopID)
	}
	have := a.leg6()
	if want.Gateway == netip.IPv6Unspecified() { // a gateway that no route has
		return (want.Link == 0 || have.Link == want.Link) && !have.Gateway.IsValid()
	}
	return matchesLeg(have, want)
}

// leg6 is the leg of an IPv6 alias without object; a reject route hangs on lo (D16).
func (a *alias) leg6() *Nexthop {
	if len(a.legs) == 0 {
		return &onLoopback[0]
	}
	return &a.legs[0]
}
