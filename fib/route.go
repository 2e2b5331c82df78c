package fib

import "net/netip"

// Route is what one RTM_NEWROUTE configures. It is a value: a Route handed in is
// copied, a Route handed out may be kept and changed.
type Route struct {
	Table    TableID
	Dst      netip.Prefix // masked; its address tells the family
	Src      netip.Prefix // IPv6 source prefix ("from"); zero: none (D8)
	TOS      uint8        // IPv4 DSCP field, rtm_tos; 0 matches every flow (B11)
	Priority uint32       // metric; smaller wins
	Type     RouteType
	Scope    Scope
	Protocol Protocol
	Flags    RouteFlags
	PrefSrc  netip.Addr // preferred source; zero: none
	Metrics  Metrics
	Pref     RouterPref // IPv6 router preference
	Expires  uint32     // IPv6 seconds left when it was loaded or added; 0: never. Kept, not enforced: nothing here has a clock
	Lost     Fact       // with Src: in the table, but no longer found (a defect of the kernel, D8)
	// Learned, for an IPv6 route of protocol ra with one gateway: the kernel entered it
	// from a router advertisement, and it is no leg of a multipath route (D3). No dump
	// shows it, no request can ask for it; unknown counts as yes.
	Learned Fact

	NexthopID uint32    // nexthop object; 0: the nexthops below are the route's own
	Nexthops  []Nexthop // in order; for an object route a dump's expansion is ignored
}

// Family is the family of the destination.
func (r *Route) Family() Family {
	if r.Dst.Addr().Is4() {
		return Inet
	}
	return Inet6
}

// Rejects reports whether a lookup ends with the route, without a path: it is of a
// reject type, but for nat and xresolve in IPv6, which are ordinary types there (D50).
func (r *Route) Rejects() bool {
	if r.Family() == Inet6 {
		return r.Type.rejects6()
	}
	return r.Type.IsReject()
}

// RouteFlags are the rtm_flags of a route as a whole.
type RouteFlags uint32

// Nexthop is one leg: a gateway, a link or both, with a weight.
type Nexthop struct {
	Link    int32      // interface index (RTA_OIF); 0: none
	Gateway netip.Addr // zero: on-link; may be of the other family ("via inet6")
	Weight  uint16     // 1 … 256 (65535 since Linux 6.12); 0 counts as 1
	Flags   NexthopFlags
	Realms  uint32 // RTA_FLOW: source realm in the high half, destination realm in the low half
	Encap   Encap
	// Scope is the scope of the gateway, which no dump of a route shows (B30):
	// link when the gateway is used, host when it is one of our own addresses.
	// ScopeSet false leaves it to be derived, or calls a Scope of a state no more than
	// the likelier one.
	Scope    Scope
	ScopeSet bool
}

// NexthopFlags are the rtnh_flags of a leg; a route with one leg carries them in rtm_flags.
type NexthopFlags uint8

// The flags of rtnetlink.
const (
	FlagDead       NexthopFlags = 1 << iota // nothing can be sent through it
	FlagPervasive                           // recursive gateway lookup
	FlagOnlink                              // the gateway is taken to be on the link
	FlagOffload                             // in hardware; no meaning for lookups
	FlagLinkdown                            // its link has no carrier
	FlagUnresolved                          // multicast only
	FlagTrap                                // hardware; no meaning for lookups
)

// Encap is a lightweight tunnel of a leg, kept as it came and not interpreted.
type Encap struct {
	Type uint16 // LWTUNNEL_ENCAP_*; 0: none
	Data string // the attribute's bytes
}

// RouterPref is an IPv6 router preference as in RTA_PREF (RFC 4191).
type RouterPref uint8

// The preferences of RFC 4191 section 2.1.
const (
	PrefMedium RouterPref = 0
	PrefHigh   RouterPref = 1
	PrefLow    RouterPref = 3
)

// String is iproute2's word for the preference.
func (p RouterPref) String() string {
	switch p {
	case PrefHigh:
		return "high"
	case PrefLow:
		return "low"
	}
	return "medium"
}

// The indexes into [Metrics.Values]: RTAX_*.
const (
	MetricLock     = 1
	MetricMTU      = 2
	MetricAdvMSS   = 8
	MetricHopLimit = 10
	MetricFeatures = 12
	numMetrics     = 18
)

// Metrics are the path metrics of a route (RTA_METRICS); the zero value has none.
type Metrics struct {
	Values  [numMetrics]uint32 // by RTAX_* number; 0: not set
	CongCtl string             // RTAX_CC_ALGO
}

// IsZero reports whether no metric is set.
func (m *Metrics) IsZero() bool { return *m == Metrics{} }
