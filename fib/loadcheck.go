package fib

import "net/netip"

// checkState checks that a state can be taken at all, before anything is: what it
// names twice, and what is no link, address or route.
func checkState(st *State) error {
	links, names := map[int32]bool{}, map[string]bool{}
	for i := range st.Links {
		l := &st.Links[i]
		switch {
		case names[l.Name]:
			return opError("load link", l.Name, refuse(EINVAL, "two links have this name"))
		case l.Index <= 0 || links[l.Index]:
			return opError("load link", l.Name, refuse(EINVAL, "index %d is not positive or appears twice", l.Index))
		}
		links[l.Index], names[l.Name] = true, true
	}
	for i := range st.Addresses {
		a := &st.Addresses[i]
		if !links[a.Link] {
			return opError("load address", addressName(a), refuse(ENODEV, "there is no link with index %d", a.Link))
		}
		if err := wellFormedAddress(a); err != nil {
			return opError("load address", addressName(a), err)
		}
	}
	for i := range st.Neighbours {
		if a := st.Neighbours[i].Addr; !a.IsValid() || a.Zone() != "" {
			return opError("load neighbour", a.String(), refuse(EINVAL, "the address is missing or has a zone"))
		}
	}
	ids := map[uint32]bool{}
	for i := range st.Nexthops {
		o := &st.Nexthops[i]
		gw := o.Nexthop.Gateway
		switch {
		case o.ID == 0 || ids[o.ID]:
			return opError("load nexthop", objectName(o.ID), refuse(EINVAL, "the id is missing or appears twice"))
		case gw.Zone() != "":
			return opError("load nexthop", objectName(o.ID), refuse(EINVAL, "the gateway has a zone; name the link instead"))
		case gw.Is4() && o.Family == Inet6:
			return opError("load nexthop", objectName(o.ID), refuse(EINVAL, "gateway %v is not of the object's family", gw))
		}
		ids[o.ID] = true
	}
	for i := range st.Routes {
		if err := checkLoaded(&st.Routes[i]); err != nil {
			return err
		}
	}
	return nil
}

// checkLoaded checks that a dump can contain r.
func checkLoaded(r *Route) error {
	const op = "load route"
	if err := wellFormed(r); err != nil {
		return opError(op, r.String(), err)
	}
	if r.Dst != r.Dst.Masked() || r.Src.IsValid() && r.Src != r.Src.Masked() {
		return opError(op, r.String(), refuse(EINVAL, "host bits of a prefix are set"))
	}
	return nil
}

// wellFormed checks that r's addresses are of families that go together. No
// request and no dump can contain others.
func wellFormed(r *Route) error {
	switch {
	case !r.Dst.IsValid():
		return refuse(EINVAL, "the destination is missing")
	case r.Src != netip.Prefix{} && !r.Src.IsValid():
		return refuse(EINVAL, "the source prefix is invalid")
	case r.Src.IsValid() && (r.Family() == Inet || r.Src.Addr().Is4()):
		return refuse(EINVAL, "only IPv6 routes have a source prefix, an IPv6 one")
	case r.PrefSrc.IsValid() && r.PrefSrc.Is4() != (r.Family() == Inet):
		return refuse(EINVAL, "preferred source %v is not of the destination's family", r.PrefSrc)
	case r.PrefSrc.Zone() != "":
		return refuse(EINVAL, "preferred source %v has a zone", r.PrefSrc)
	}
	if r.NexthopID != 0 {
		return nil // nexthops are the object's
	}
	for i := range r.Nexthops {
		switch gw := r.Nexthops[i].Gateway; {
		case gw.Zone() != "":
			return refuse(EINVAL, "gateway %v has a zone; name the link instead", gw)
		case gw.Is4() && r.Family() == Inet6:
			return refuse(EINVAL, "IPv6 routes have no IPv4 gateway")
		}
	}
	return nil
}
