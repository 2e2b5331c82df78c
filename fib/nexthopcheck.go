package fib

import (
	"net/netip"
	"slices"
	"strconv"
)

func objectName(id uint32) string {
	if id == 0 {
		return ""
	}
	return "id " + strconv.FormatUint(uint64(id), 10)
}

// checkObject checks a request for a nexthop object in the kernel's order and
// settles id, family, and link, scope and flags of the leg.
func (tx *Txn) checkObject(o *NexthopObject, flags AddFlags) error {
	if o.IsGroup() {
		if err := tx.checkGroup(o); err != nil {
			return err
		}
	} else if err := tx.checkSingle(o); err != nil {
		return err
	}
	if o.ID == 0 {
		if flags&Replace != 0 {
			return refuse(EINVAL, "a replacement needs an id")
		}
		for o.ID = 1; tx.s.objects[o.ID] != nil; o.ID++ {
		}
	}
	old := tx.s.objects[o.ID]
	if old == nil && o.Resilient && len(o.Buckets) == 0 {
		return refuse(EINVAL, "a resilient group needs a number of buckets")
	}
	if !o.IsGroup() && !o.FDB {
		if err := tx.settleSingle(o); err != nil {
			return err
		}
	}
	switch {
	case old != nil && flags&Replace == 0:
		return refuse(EEXIST, "the id is taken")
	case old == nil && flags&Replace != 0 && flags&Create == 0:
		return refuse(ENOENT, "there is no such object, and the request does not create one")
	}
	return nil
}

// checkSingle is what needs no look at tables.
func (tx *Txn) checkSingle(o *NexthopObject) error {
	n := &o.Nexthop
	if o.Family == 0 {
		o.Family = Inet
		if n.Gateway.Is6() {
			o.Family = Inet6
		}
	}
	n.Weight, n.Scope, n.ScopeSet, n.Realms = 1, 0, false, 0
	gateway := gatewayMistake(o)
	if n.Gateway.IsUnspecified() && n.Gateway.Is4() == (o.Family == Inet) {
		n.Gateway = netip.Addr{} // as if it were not given
	}
	l := tx.s.links[n.Link]
	switch {
	case o.Family != Inet && o.Family != Inet6:
		return refuse(EINVAL, "family %v is neither IPv4 nor IPv6", o.Family)
	case o.Resilient || len(o.Buckets) > 0:
		return refuse(EINVAL, "only groups are resilient")
	case n.Flags&^FlagOnlink != 0:
		return refuse(EINVAL, "onlink is the only flag to be asked for")
	case o.FDB && (o.Blackhole || n.Link != 0 || n.Encap.Type != 0 || n.Flags != 0 || !n.Gateway.IsValid()):
		return refuse(EINVAL, "an fdb object has a gateway and nothing else")
	case o.Blackhole && (n.Link != 0 || n.Gateway.IsValid() || n.Encap.Type != 0):
		return refuse(EINVAL, "a blackhole has neither link nor gateway")
	case n.Gateway.Zone() != "":
		return refuse(EINVAL, "the gateway has a zone; name the link instead")
	case o.Blackhole || o.FDB:
		return nil
	case gateway != nil && tx.s.kernel.AtLeast(6, 15):
		return gateway
	case n.Link == 0:
		return refuse(EINVAL, "a link is needed")
	case l == nil:
		return refuse(EINVAL, "there is no link with index %d", n.Link)
	case !l.Up() || !l.Carrier():
		return refuse(ENETDOWN, "link %s is down or has no carrier", l.Name)
	}
	return gateway // older kernels look at the link first
}

// gatewayMistake is what is wrong with the gateway of a single object by itself.
func gatewayMistake(o *NexthopObject) error {
	n := &o.Nexthop
	switch {
	case n.Gateway.IsValid() && n.Gateway.Is4() != (o.Family == Inet):
		return refuse(EINVAL, "gateway %v is not of the object's family", n.Gateway)
	case !n.Gateway.IsValid() && n.Flags&FlagOnlink != 0:
		return refuse(EINVAL, "onlink needs a gateway")
	}
	return nil
}

// settleSingle resolves the leg as that of a route of scope universe, in the VRF's
// table if there is one, else by the rules alone.
func (tx *Txn) settleSingle(o *NexthopObject) error {
	n := o.Nexthop
	if o.Blackhole { // it hangs on lo
		if n.Link = loopback; tx.s.links[n.Link] == nil {
			return nil
		}
	}
	table := TableUnspec
	if l := tx.s.links[n.Link]; !o.Blackhole {
		table = tx.s.l3Table(l)
	}
	var err error
	if o.Family == Inet6 {
		err = tx.checkLeg6(table, netip.Addr{}, &n)
	} else {
		err = tx.checkLeg4(&Route{Table: table}, &n)
	}
	if err != nil || o.Blackhole {
		return err
	}
	o.Nexthop, o.Scope = n, n.Scope
	if o.Family == Inet6 {
		o.Scope = ScopeLink
	}
	return nil
}

func (tx *Txn) checkGroup(o *NexthopObject) error {
	if o.Blackhole || o.Nexthop != (Nexthop{}) || o.Family != 0 {
		return refuse(EINVAL, "a group has members and nothing else")
	}
	if len(o.Buckets) > 0 && !o.Resilient {
		return refuse(EINVAL, "only resilient groups have buckets")
	}
	if len(o.Buckets) > 1<<16-1 {
		return refuse(EINVAL, "%d buckets are too many", len(o.Buckets))
	}
	for i := range o.Group {
		m := &o.Group[i]
		m.Weight = max(m.Weight, 1)
		if m.Weight > 256 && !tx.s.kernel.AtLeast(6, 12, groupBackport) {
			return refuse(EINVAL, "weight %d of member %d: 256 is the highest before Linux 6.12", m.Weight, m.ID)
		}
		if slices.ContainsFunc(o.Group[:i], func(x GroupMember) bool { return x.ID == m.ID }) {
			return refuse(EINVAL, "member %d appears twice", m.ID)
		}
	}
	for _, m := range o.Group {
		x := tx.s.objects[m.ID]
		switch {
		case x == nil:
			return refuse(EINVAL, "there is no nexthop object %d", m.ID)
		case x.IsGroup():
			return refuse(EINVAL, "member %d is a group", m.ID)
		case x.Blackhole && len(o.Group) > 1:
			return refuse(EINVAL, "member %d is a blackhole, which must be alone", m.ID)
		case x.FDB != o.FDB:
			return refuse(EINVAL, "member %d: objects for layer 2 (fdb) and others do not mix", m.ID)
		}
	}
	return nil
}

// checkReplace checks that the routes of old, and of the groups that have it, can
// use n.
func (tx *Txn) checkReplace(old, n *object) error {
	switch {
	case old.IsGroup() != n.IsGroup():
		return refuse(EINVAL, "a group can't take the place of a single object, nor the reverse")
	case old.Resilient != n.Resilient:
		return refuse(EINVAL, "a group can't become or stop being resilient")
	case n.Resilient && len(n.Buckets) > 0 && len(n.Buckets) != len(old.Buckets):
		return refuse(EINVAL, "the number of buckets can't change")
	}
	n.resolve(tx.s.objects)
	users := map[uint32]bool{old.ID: true}
	for id, g := range tx.s.objects {
		if slices.Contains(g.memberIDs(), old.ID) {
			users[id] = true
			if n.Blackhole && len(g.Group) > 1 {
				return refuse(EINVAL, "group %d has other members beside this one, a blackhole must be alone", id)
			}
		}
	}
	for _, r := range tx.in.aliasRecs {
		if r == nil || r.refs == 0 || r.nhid == 0 || !users[r.nhid] {
			continue
		}
		err := n.fitsInet6()
		if r.fam == Inet {
			err = n.fitsInet(r.scope)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fitsInet checks that an IPv4 route of that scope can use the object (B32).
func (o *object) fitsInet(scope Scope) error {
	var first Nexthop
	if len(o.members) > 0 {
		first = o.members[0]
	}
	switch {
	case o.FDB:
		return refuse(EINVAL, "nexthop object %d is for layer 2 (fdb)", o.ID)
	case scope == ScopeHost && o.IsGroup():
		return refuse(EINVAL, "a route of scope host can't use a group")
	case scope == ScopeHost && first.Gateway.IsValid():
		return refuse(EINVAL, "a route of scope host has no gateway")
	case scope >= ScopeLink && first.Flags&FlagOnlink != 0:
		return refuse(EINVAL, "an onlink nexthop needs a scope wider than link")
	}
	return nil
}

// fitsInet6 checks that IPv6 routes can use the object: no IPv4 object behind it.
func (o *object) fitsInet6() error {
	switch {
	case o.FDB:
		return refuse(EINVAL, "nexthop object %d is for layer 2 (fdb)", o.ID)
	case o.hasInet:
		return refuse(EINVAL, "nexthop object %d is an IPv4 one", o.ID)
	}
	return nil
}
