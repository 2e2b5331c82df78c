package fib

import "slices"

func (tx *Txn) checkRoute6(r *Route) error {
	switch {
	case r.TOS != 0:
		return refuse(EINVAL, "IPv6 routes have no TOS")
	case r.Type > TypeXResolve:
		return refuse(EINVAL, "route type %d is unknown", r.Type)
	case r.NexthopID != 0 && (len(r.Nexthops) > 0 || r.Src.IsValid()):
		return refuse(EINVAL, "a nexthop object excludes nexthops and a source prefix")
	}
	if err := tx.settleMetrics(&r.Metrics); err != nil {
		return err
	}
	r.Flags &^= RouteFlags(stateMarks)
	if r.NexthopID != 0 {
		o := tx.s.objects[r.NexthopID]
		if o == nil {
			return refuse(EINVAL, "there is no nexthop object %d", r.NexthopID)
		}
		if err := o.fitsInet6(); err != nil {
			return err
		}
		return tx.checkPrefSrc6(r, firstLink(o.members))
	}
	late := !tx.s.kernel.AtLeast(6, 16) // the kernel looks at the gateways of legs that it has made (I23)
	if !late && len(r.Nexthops) > 1 && slices.ContainsFunc(r.Nexthops, func(n Nexthop) bool { return !n.Gateway.IsValid() }) {
		return legWithoutGateway()
	}
	if r.Type.rejects6() {
		return tx.checkReject6(r)
	}
	if len(r.Nexthops) == 0 {
		return refuse(ENODEV, "neither a link nor a gateway is given")
	}
	for i := range r.Nexthops {
		n := &r.Nexthops[i]
		n.onlyInet6()
		if err := tx.checkLeg6(r.Table, r.PrefSrc, n); err != nil {
			return err
		}
		if tx.s.links[n.Link].loopback() && r.Type != TypeLocal {
			r.Pref = PrefMedium // a reject in disguise (D17)
		}
		for j := range i {
			if r.Nexthops[j].Link == n.Link && r.Nexthops[j].Gateway == n.Gateway && r.Nexthops[j].Encap == n.Encap {
				return refuse(EEXIST, "nexthop via %v appears twice", n.Gateway)
			}
		}
		if r.Type != TypeLocal {
			tx.markLinkdown(n)
		}
		if err := tx.checkPrefSrc6(r, n.Link); err != nil {
			return err
		}
		if late && len(r.Nexthops) > 1 && !n.Gateway.IsValid() {
			return legWithoutGateway()
		}
	}
	return nil
}

func legWithoutGateway() error {
	return refuse(EINVAL, "each nexthop of a multipath route needs a gateway")
}

// onlyInet6 takes from a leg what IPv6 does not know or does not take from a request.
func (n *Nexthop) onlyInet6() {
	n.Scope, n.ScopeSet, n.Realms = 0, false, 0
	n.Flags &= FlagOnlink
}

// checkReject6: such routes hang on lo, whatever is asked for; links that are named
// must be there all the same, and up for an onlink gateway (D52).
func (tx *Txn) checkReject6(r *Route) error {
	for i := range r.Nexthops {
		if err := tx.checkLink6(&r.Nexthops[i]); err != nil {
			return err
		}
		if i > 0 {
			return refuse(EEXIST, "the nexthops of a route of type %v are all the same", r.Type)
		}
		if err := tx.checkPrefSrc6(r, loopback); err != nil {
			return err
		}
		if len(r.Nexthops) > 1 && !tx.s.kernel.AtLeast(6, 16) {
			return legWithoutGateway() // made without, whatever is given
		}
	}
	r.Nexthops, r.Pref = nil, PrefMedium
	return tx.checkPrefSrc6(r, loopback)
}

func firstLink(legs []Nexthop) int32 {
	if len(legs) == 0 {
		return loopback
	}
	return legs[0].Link
}

// checkPrefSrc6: a preferred source is an address of ours, seen from the link of
// the leg (D53).
func (tx *Txn) checkPrefSrc6(r *Route, dev int32) error {
	if !r.PrefSrc.IsValid() {
		return nil
	}
	if !tx.s.ownsAddress6(r.PrefSrc, dev, false, true) {
		return refuse(EINVAL, "preferred source %v is not an address of this host", r.PrefSrc)
	}
	return nil
}
