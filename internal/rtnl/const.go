package rtnl

// Message types.
const (
	NLMSG_NOOP    = 1
	NLMSG_ERROR   = 2
	NLMSG_DONE    = 3
	NLMSG_OVERRUN = 4

	RTM_NEWLINK          = 16
	RTM_DELLINK          = 17
	RTM_GETLINK          = 18
	RTM_NEWADDR          = 20
	RTM_DELADDR          = 21
	RTM_GETADDR          = 22
	RTM_NEWROUTE         = 24
	RTM_DELROUTE         = 25
	RTM_GETROUTE         = 26
	RTM_NEWNEIGH         = 28
	RTM_DELNEIGH         = 29
	RTM_GETNEIGH         = 30
	RTM_NEWRULE          = 32
	RTM_DELRULE          = 33
	RTM_GETRULE          = 34
	RTM_NEWADDRLABEL     = 72
	RTM_DELADDRLABEL     = 73
	RTM_GETADDRLABEL     = 74
	RTM_NEWNETCONF       = 80
	RTM_DELNETCONF       = 81
	RTM_GETNETCONF       = 82
	RTM_NEWNEXTHOP       = 104
	RTM_DELNEXTHOP       = 105
	RTM_GETNEXTHOP       = 106
	RTM_NEWNEXTHOPBUCKET = 116
	RTM_DELNEXTHOPBUCKET = 117
	RTM_GETNEXTHOPBUCKET = 118
)

// Flags of a message.
const (
	NLM_F_REQUEST   = 0x1
	NLM_F_MULTI     = 0x2
	NLM_F_ACK       = 0x4
	NLM_F_ECHO      = 0x8
	NLM_F_DUMP_INTR = 0x10
	NLM_F_CAPPED    = 0x100 // in an error: the request is not repeated
	NLM_F_ACK_TLVS  = 0x200 // in an error: attributes follow
	NLM_F_REPLACE   = 0x100 // in a request that makes something
	NLM_F_EXCL      = 0x200
	NLM_F_CREATE    = 0x400
	NLM_F_APPEND    = 0x800
	NLM_F_DUMP      = 0x300 // in a request that asks for something
)

// The part of an attribute's type that is not a flag (nested, byte order).
const (
	nlaTypeMask = 0x3fff
	nlaNested   = 0x8000
)

// Flags of a route (rtm_flags). The low seven bits are those of its leg.
const (
	RTM_F_NOTIFY         = 0x100
	RTM_F_CLONED         = 0x200
	RTM_F_EQUALIZE       = 0x400
	RTM_F_PREFIX         = 0x800
	RTM_F_LOOKUP_TABLE   = 0x1000
	RTM_F_FIB_MATCH      = 0x2000
	RTM_F_OFFLOAD        = 0x4000
	RTM_F_TRAP           = 0x8000
	RTM_F_OFFLOAD_FAILED = 0x20000000

	legFlags = 0x7f
	// What a stored route can carry beside the flags of its leg.
	routeFlags = RTM_F_PREFIX | RTM_F_OFFLOAD | RTM_F_TRAP | RTM_F_OFFLOAD_FAILED
)

// Flags of the answer to an IPv4 route query, in rtm_flags (cache flags).
const (
	RTCF_REDIRECTED = 0x00040000
	RTCF_DOREDIRECT = 0x01000000
	RTCF_BROADCAST  = 0x10000000
	RTCF_MULTICAST  = 0x20000000
	RTCF_LOCAL      = 0x80000000
)

const (
	rtaDst       = 1
	rtaSrc       = 2
	rtaIif       = 3
	rtaOif       = 4
	rtaGateway   = 5
	rtaPriority  = 6
	rtaPrefSrc   = 7
	rtaMetrics   = 8
	rtaMultipath = 9
	rtaFlow      = 11
	rtaCacheInfo = 12
	rtaTable     = 15
	rtaMark      = 16
	rtaMFCStats  = 17
	rtaVia       = 18
	rtaPref      = 20
	rtaEncapType = 21
	rtaEncap     = 22
	rtaExpires   = 23
	rtaPad       = 24
	rtaUID       = 25
	rtaIPProto   = 27
	rtaSport     = 28
	rtaDport     = 29
	rtaNHID      = 30
	rtaFlowLabel = 31

	rtaxCCAlgo = 16
)

const (
	fraDst                = 1
	fraSrc                = 2
	fraIifName            = 3
	fraGoto               = 4
	fraPriority           = 6
	fraFwMark             = 10
	fraFlow               = 11
	fraTunID              = 12
	fraSuppressIfGroup    = 13
	fraSuppressPrefixLen  = 14
	fraTable              = 15
	fraFwMask             = 16
	fraOifName            = 17
	fraPad                = 18
	fraL3MDev             = 19
	fraUIDRange           = 20
	fraProtocol           = 21
	fraIPProto            = 22
	fraSportRange         = 23
	fraDportRange         = 24
	fraDSCP               = 25
	fraFlowLabel          = 26
	fraFlowLabelMask      = 27
	fraSportMask          = 28
	fraDportMask          = 29
	fraDSCPMask           = 30
	ruleFlagInvert        = 0x2
	ruleFlagFindSaddr     = 0x10000
	ruleFlagsDerived      = 0x1 | 0x4 | 0x8 | 0x10 // permanent, unresolved, iif and oif detached: follow from the rest (A18, A28)
	ruleSuppressNone      = 1<<32 - 1
	markMaskAll           = 1<<32 - 1
	fraTableCompat        = 252 // in the head, when FRA_TABLE has the number
	maxRuleTableInHeader  = 255
	maxRouteTableInHeader = 255
)

const (
	nhaID        = 1
	nhaGroup     = 2
	nhaGroupType = 3
	nhaBlackhole = 4
	nhaOif       = 5
	nhaGateway   = 6
	nhaEncapType = 7
	nhaEncap     = 8
	nhaFDB       = 11
	nhaResGroup  = 12
	nhaResBucket = 13
	nhaOpFlags   = 14

	nhaResGroupBuckets         = 1
	nhaResGroupIdleTimer       = 2
	nhaResGroupUnbalancedTimer = 3
	nhaResGroupUnbalancedTime  = 4

	nhaResBucketIndex    = 1
	nhaResBucketIdleTime = 2
	nhaResBucketNHID     = 3

	nexthopGroupMultipath = 0
	nexthopGroupResilient = 1
)

const (
	iflaIfName   = 3
	iflaMTU      = 4
	iflaMaster   = 10
	iflaLinkInfo = 18
	iflaAFSpec   = 26
	iflaGroup    = 27
	iflaNetNSFD  = 28
	iflaExtMask  = 29

	iflaInfoKind = 1
	iflaInfoData = 2
	iflaVRFTable = 1
	vethInfoPeer = 1

	iflaInetConf  = 1
	iflaInet6Conf = 2

	extFilterSkipStats = 1 << 3
)

const (
	ifaAddress    = 1
	ifaLocal      = 2
	ifaLabel      = 3
	ifaBroadcast  = 4
	ifaCacheInfo  = 6
	ifaFlags      = 8
	ifaRTPriority = 9
	ifaProto      = 11

	addrFlagsIrrelevant = 0x400 | 0x800 // joins multicast groups by itself; made by stable privacy
)

const (
	ndaDst    = 1
	ndaLLAddr = 2

	ntfProxy = 0x08
)

const (
	ifalAddress = 1
	ifalLabel   = 2
)

const (
	netconfIfindex        = 1
	netconfForwarding     = 2
	netconfRPFilter       = 3
	netconfMcForwarding   = 4
	netconfProxyNeigh     = 5
	netconfIgnoreLinkdown = 6
	netconfInput          = 7
	netconfBcForwarding   = 8
	netconfForceForward   = 9
)
