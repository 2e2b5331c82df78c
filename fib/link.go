package fib

import "net/netip"

// LinkFlags are the IFF_* flags that routing looks at, with rtnetlink's values.
type LinkFlags uint32

// The flags of a link.
const (
	LinkUp        LinkFlags = 1 << 0
	LinkBroadcast LinkFlags = 1 << 1
	LinkLoopback  LinkFlags = 1 << 3
	LinkPointo    LinkFlags = 1 << 4
	LinkRunning   LinkFlags = 1 << 6
	LinkNoARP     LinkFlags = 1 << 7
	LinkMaster    LinkFlags = 1 << 10
	LinkMulticast LinkFlags = 1 << 12
	LinkLowerUp   LinkFlags = 1 << 16
)

// Link is one network interface of the namespace.
type Link struct {
	Index    int32
	Name     string
	Flags    LinkFlags
	MTU      uint32
	MTU6     uint32 // IPv6 MTU where it differs; 0: MTU
	Group    uint32
	Master   int32   // index of the bridge, bond or VRF; 0: none
	Kind     string  // "veth", "vrf", …; empty for lo and hardware
	VRFTable TableID // kind vrf only
	Conf4    Conf4
	Conf6    Conf6
	// NoInet, NoInet6: the link has no IPv4 or IPv6 configuration at all (MTU
	// below the family's minimum, for one).
	NoInet, NoInet6 bool
	// Groups4 are the IPv4 multicast groups joined, which a dump of links does
	// not show (C25).
	Groups4 []netip.Addr
}

// Up reports IFF_UP: administratively up.
func (l *Link) Up() bool { return l.Flags&LinkUp != 0 }

// Carrier reports whether the link is running: carrier lost means that RUNNING
// and LOWER_UP are both clear (E8).
func (l *Link) Carrier() bool { return l.Flags&(LinkRunning|LinkLowerUp) != 0 }

func (l *Link) mtu6() uint32 {
	if l.MTU6 != 0 {
		return l.MTU6
	}
	return l.MTU
}

// Conf4 is net.ipv4.conf of one link, of "all" or of "default".
type Conf4 struct {
	Forwarding, AcceptLocal, RouteLocalnet, SrcValidMark, SendRedirects, SharedMedia bool
	BcForwarding, McForwarding, IgnoreRoutesWithLinkdown, PromoteSecondaries         bool
	RPFilter                                                                         uint8 // 0 off, 1 strict, 2 loose
}

// Conf6 is net.ipv6.conf of one link, of "all" or of "default".
type Conf6 struct {
	Forwarding, DisableIPv6, IgnoreRoutesWithLinkdown, UseOifAddrsOnly bool
	OptimisticDAD, UseOptimistic                                       bool
	KeepAddrOnDown, UseTempaddr                                        int32
	AcceptDAD                                                          int32
	AddrGenMode                                                        uint8 // 0 EUI-64, 1 none, 2 stable privacy, 3 random
}

// Address is one address of a link.
type Address struct {
	Link                   int32
	Local                  netip.Addr   // IFA_LOCAL
	Prefix                 netip.Prefix // IFA_ADDRESS with its length: the peer's, or Local's own; not masked
	Broadcast              netip.Addr   // IPv4; zero: none
	Scope                  Scope
	Flags                  AddrFlags
	Label                  string // IPv4 only
	Protocol               uint8  // IFA_PROTO
	Metric                 uint32 // IFA_RT_PRIORITY: metric of the prefix route; 0: the default
	ValidLft, PreferredLft uint32 // seconds; 0xffffffff: for ever
	Created                uint32 // hundredths of a second, as in IFA_CACHEINFO (C4)
}

// AddrFlags are the IFA_F_* flags, with rtnetlink's values.
type AddrFlags uint32

// The flags of an address. Secondary (IPv4) and Temporary (IPv6) are one bit.
const (
	AddrSecondary     AddrFlags = 0x01
	AddrTemporary     AddrFlags = 0x01
	AddrNoDAD         AddrFlags = 0x02
	AddrOptimistic    AddrFlags = 0x04
	AddrDADFailed     AddrFlags = 0x08
	AddrHome          AddrFlags = 0x10
	AddrDeprecated    AddrFlags = 0x20
	AddrTentative     AddrFlags = 0x40
	AddrPermanent     AddrFlags = 0x80
	AddrManageTemp    AddrFlags = 0x100
	AddrNoPrefixRoute AddrFlags = 0x200
)

// Neighbour is one entry of the ARP or ND table.
type Neighbour struct {
	Link   int32
	Addr   netip.Addr
	State  NeighState
	LLAddr string // link-layer address as text; empty: none
}

// NeighState is the NUD_* state of a neighbour, with rtnetlink's values.
type NeighState uint16

// The states of a neighbour.
const (
	NeighNone       NeighState = 0
	NeighIncomplete NeighState = 0x01
	NeighReachable  NeighState = 0x02
	NeighStale      NeighState = 0x04
	NeighDelay      NeighState = 0x08
	NeighProbe      NeighState = 0x10
	NeighFailed     NeighState = 0x20
	NeighNoARP      NeighState = 0x40
	NeighPermanent  NeighState = 0x80
)

// Valid reports the kernel's NUD_VALID.
func (s NeighState) Valid() bool {
	return s&(NeighPermanent|NeighNoARP|NeighReachable|NeighProbe|NeighStale|NeighDelay) != 0
}

// AddrLabel is one entry of the IPv6 label table of RFC 6724 (D42).
type AddrLabel struct {
	Prefix netip.Prefix
	Link   int32 // 0: every link
	Label  uint32
}
