package plan

import (
	"net/netip"
	"slices"

	"github.com/fibula-net/fibula/fib"
)

// settable are the flags of a leg that a request sets; the others are states.
const settable = fib.FlagOnlink | fib.FlagPervasive

// Normalize makes r what a dump shows of it once it is installed: defaults are filled
// in, states of links and hardware left out. The legs are changed in place.
func Normalize(r *fib.Route) {
	if r.Table == fib.TableUnspec {
		r.Table = fib.TableMain
	}
	if r.Type == fib.TypeUnspec {
		r.Type = fib.TypeUnicast
	}
	r.Flags, r.Expires, r.Lost, r.Learned = 0, 0, 0, 0
	if r.Src.Bits() <= 0 {
		r.Src = netip.Prefix{}
	}
	if r.Dst.IsValid() && r.Family() == fib.Inet6 {
		r.Dst = r.Dst.Masked()
		if r.Src.IsValid() {
			r.Src = r.Src.Masked()
		}
		if r.Priority == 0 {
			r.Priority = 1024
		}
		r.Scope = fib.ScopeUniverse
	}
	if r.NexthopID != 0 || r.Rejects() {
		r.Nexthops = r.Nexthops[:0]
	}
	for i := range r.Nexthops {
		n := &r.Nexthops[i]
		n.Flags &= settable
		n.Scope, n.ScopeSet = 0, false
		if n.Weight == 0 || len(r.Nexthops) == 1 {
			n.Weight = 1
		}
	}
}

// SameRoute reports whether a kernel that has the route have need not be told to have
// want. Both are normalized. A leg without link is content with any.
func SameRoute(have, want *fib.Route) bool {
	if have.Type != want.Type && !(have.NexthopID != 0 && have.Type == fib.TypeBlackhole && want.Type == fib.TypeUnicast) ||
		have.Dst != want.Dst || have.Src != want.Src || have.TOS != want.TOS || have.Priority != want.Priority ||
		have.Table != want.Table || have.Scope != want.Scope || have.Protocol != want.Protocol ||
		have.PrefSrc != want.PrefSrc || have.Pref != want.Pref || have.NexthopID != want.NexthopID ||
		len(have.Nexthops) != len(want.Nexthops) {
		return false
	}
	// A route through an object without metrics inherits those of another (B7).
	if have.Metrics != want.Metrics && !(want.NexthopID != 0 && want.Family() == fib.Inet && want.Metrics.IsZero()) {
		return false
	}
	for i := range want.Nexthops {
		if !sameLeg(&have.Nexthops[i], &want.Nexthops[i]) {
			return false
		}
	}
	return true
}

func sameLeg(have, want *fib.Nexthop) bool {
	return have.Gateway == want.Gateway && (have.Link == want.Link || want.Link == 0 && want.Gateway.IsValid()) &&
		have.Weight == want.Weight && have.Flags == want.Flags && have.Realms == want.Realms && have.Encap == want.Encap
}

// NormalizeNexthop is [Normalize] for a nexthop object.
func NormalizeNexthop(o *fib.NexthopObject) {
	o.Scope, o.Source = 0, netip.Addr{}
	n := &o.Nexthop
	n.Flags &= fib.FlagOnlink
	n.Scope, n.ScopeSet, n.Realms, n.Weight = 0, false, 0, 1
	if n.Gateway.IsValid() && n.Gateway.IsUnspecified() {
		n.Gateway = netip.Addr{}
	}
	switch {
	case o.IsGroup():
		o.Family, o.Nexthop = 0, fib.Nexthop{}
		for i := range o.Group {
			o.Group[i].Weight = max(o.Group[i].Weight, 1)
		}
	case o.Blackhole:
		o.Nexthop = fib.Nexthop{Weight: 1}
	}
	if o.Family == 0 && !o.IsGroup() {
		o.Family = fib.Inet
		if n.Gateway.Is6() {
			o.Family = fib.Inet6
		}
	}
}

// SameNexthop is [SameRoute] for nexthop objects. What the buckets of a resilient group
// hold is the kernel's business; how many there are cannot be changed.
func SameNexthop(have, want *fib.NexthopObject) bool {
	return have.ID == want.ID && have.Protocol == want.Protocol && sameContent(have, want)
}

func sameContent(have, want *fib.NexthopObject) bool {
	return have.Family == want.Family && have.Blackhole == want.Blackhole && have.FDB == want.FDB &&
		have.Nexthop == want.Nexthop && slices.Equal(have.Group, want.Group) && have.Resilient == want.Resilient &&
		(!want.Resilient || have.IdleTimer == want.IdleTimer && have.UnbalancedTimer == want.UnbalancedTimer &&
			(len(want.Buckets) == 0 || len(have.Buckets) == len(want.Buckets)))
}

// class is what a route does to a flow that meets it.
type class uint8

const (
	delivers class = iota
	refuses        // ends the walk with an error
	passes         // throw: the next rule is asked
)

// classOf needs the objects that are blackholes.
func classOf(r *fib.Route, blackholes map[uint32]bool) class {
	switch {
	case r.Type == fib.TypeThrow:
		return passes
	case r.Rejects() || blackholes[r.NexthopID]:
		return refuses
	}
	return delivers
}

// direct reports whether a route has a leg without gateway, over which the gateways of
// others may be resolved (B30, D56).
func direct(r *fib.Route) bool {
	if r.NexthopID != 0 {
		return false
	}
	for i := range r.Nexthops {
		if !r.Nexthops[i].Gateway.IsValid() {
			return true
		}
	}
	return len(r.Nexthops) == 0
}

// key is what a kernel holds one route, or one group of aliases, under.
type key struct {
	dst, src netip.Prefix
	tos      uint8
	priority uint32
}

func keyOf(r *fib.Route) key { return key{r.Dst, r.Src, r.TOS, r.Priority} }
