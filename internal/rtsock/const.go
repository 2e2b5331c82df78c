package rtsock

import (
	"fmt"

	"github.com/fibula-net/fibula/fib"
)

// version is RTM_VERSION, unchanged since FreeBSD 2.
const version = 5

// The types of messages.
const (
	RTM_ADD        = 0x01
	RTM_DELETE     = 0x02
	RTM_CHANGE     = 0x03
	RTM_GET        = 0x04
	RTM_LOSING     = 0x05
	RTM_REDIRECT   = 0x06
	RTM_MISS       = 0x07
	RTM_LOCK       = 0x08
	RTM_RESOLVE    = 0x0b
	RTM_NEWADDR    = 0x0c
	RTM_DELADDR    = 0x0d
	RTM_IFINFO     = 0x0e
	RTM_NEWMADDR   = 0x0f
	RTM_DELMADDR   = 0x10
	RTM_IFANNOUNCE = 0x11
	RTM_IEEE80211  = 0x12
	RTM_IPFWLOG    = 0x13
)

var messageNames = [...]string{RTM_ADD: "RTM_ADD", RTM_DELETE: "RTM_DELETE", RTM_CHANGE: "RTM_CHANGE", RTM_GET: "RTM_GET",
	RTM_LOSING: "RTM_LOSING", RTM_REDIRECT: "RTM_REDIRECT", RTM_MISS: "RTM_MISS", RTM_LOCK: "RTM_LOCK", RTM_RESOLVE: "RTM_RESOLVE",
	RTM_NEWADDR: "RTM_NEWADDR", RTM_DELADDR: "RTM_DELADDR", RTM_IFINFO: "RTM_IFINFO", RTM_NEWMADDR: "RTM_NEWMADDR",
	RTM_DELMADDR: "RTM_DELMADDR", RTM_IFANNOUNCE: "RTM_IFANNOUNCE", RTM_IEEE80211: "RTM_IEEE80211", RTM_IPFWLOG: "RTM_IPFWLOG"}

// MessageName is the constant's name, such as "RTM_ADD", or "message 99".
func MessageName(typ uint8) string {
	if int(typ) < len(messageNames) && messageNames[typ] != "" {
		return messageNames[typ]
	}
	return fmt.Sprintf("message %d", typ)
}

// The sockaddrs of a message: RTAX_*, whose bits are RTA_*.
const (
	rtaxDst = iota
	rtaxGateway
	rtaxNetmask
	rtaxGenmask
	rtaxIfp
	rtaxIfa
	rtaxAuthor
	rtaxBrd
	rtaxMax
)

var sockaddrNames = [rtaxMax]string{"RTA_DST", "RTA_GATEWAY", "RTA_NETMASK", "RTA_GENMASK", "RTA_IFP", "RTA_IFA", "RTA_AUTHOR", "RTA_BRD"}

// Address families.
const (
	afInet  = 2
	afLink  = 18
	afInet6 = 28
)

// The flags of a route: RTF_*.
const (
	rtfUp        = 0x1
	rtfGateway   = 0x2
	rtfHost      = 0x4
	rtfReject    = 0x8
	rtfDynamic   = 0x10
	rtfModified  = 0x20
	rtfDone      = 0x40
	rtfLLData    = 0x400
	rtfStatic    = 0x800
	rtfBlackhole = 0x1000
	rtfProto2    = 0x4000
	rtfProto1    = 0x8000
	rtfProto3    = 0x40000
	rtfFixedMTU  = 0x80000
	rtfPinned    = 0x100000
	rtfLocal     = 0x200000
	rtfBroadcast = 0x400000
	rtfMulticast = 0x800000
	rtfGWCompat  = 0x80000000

	rtfProtos = rtfProto1 | rtfProto2 | rtfProto3
	rtfKnown  = rtfUp | rtfGateway | rtfHost | rtfReject | rtfDynamic | rtfModified | rtfDone | rtfStatic | rtfBlackhole | rtfProtos |
		rtfFixedMTU | rtfPinned | rtfLocal | rtfBroadcast | rtfMulticast | rtfGWCompat
)

// The protocols of routes that carry RTF_PROTO1, 2 or 3: numbers of our own, since the
// flags do not say whose they are.
const (
	ProtoFlag1 fib.Protocol = 241 + iota
	ProtoFlag2
	ProtoFlag3
)

// The flags of a link: IFF_*.
const (
	iffUp           = 0x1
	iffBroadcast    = 0x2
	iffLoopback     = 0x8
	iffPointToPoint = 0x10
	iffRunning      = 0x40
	iffNoARP        = 0x80
	iffMulticast    = 0x8000
	// iffIrrelevant are IFF_DEBUG, NEEDSEPOCH, PROMISC, ALLMULTI, OACTIVE, SIMPLEX, LINK0 to LINK2, CANTCONFIG,
	// PPROMISC, MONITOR, STATICARP, STICKYARP, DYING, RENAMING, NOGROUP, NETLINK_1.
	iffIrrelevant = 0x4 | 0x20 | 0x100 | 0x200 | 0x400 | 0x800 | 0x7000 | 0x10000 | 0x20000 | 0x40000 | 0x80000 | 0x100000 | 0x200000 |
		0x400000 | 0x800000 | 0x1000000
	iffKnown = iffUp | iffBroadcast | iffLoopback | iffPointToPoint | iffRunning | iffNoARP | iffMulticast | iffIrrelevant
)

// linkStateDown is LINK_STATE_DOWN; links that cannot tell are in state 0.
const linkStateDown = 1

// The flags of an address: whether its routes to the prefix and to itself are entered. They
// are in the tables.
const ifaKnown = 0x1 | 0x4

// Sizes of the heads of messages, and where things are in them.
const (
	headLen     = 4 // length, version, type: what all have
	routeLen    = 152
	linkLen     = 168
	addressLen  = 20
	announceLen = 24
	ifDataLen   = 152
)

// fibOffset keeps FIBs apart from the tables local, main and default of Linux.
const fibOffset = 1 << 16

// Table is the table that stands for a FIB: main for FIB 0, n for those that Linux has no
// name for, 65536 + n for FIBs 253 and up. It is the inverse of [FIB].
func Table(n uint16) fib.TableID {
	switch {
	case n == 0:
		return fib.TableMain
	case fib.TableID(n) < fib.TableDefault:
		return fib.TableID(n)
	}
	return fibOffset + fib.TableID(n)
}

// FIB is the number of the FIB that a table stands for; ok is false if it is none.
func FIB(t fib.TableID) (n uint16, ok bool) {
	n = uint16(t)
	if t == fib.TableMain {
		n = 0
	}
	return n, Table(n) == t
}
