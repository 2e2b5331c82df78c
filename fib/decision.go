package fib

import "net/netip"

// Decision is the kernel's answer to a flow, as a value: comparable, without
// pointers of ours or strings.
type Decision struct {
	Errno Errno // 0: the flow has a way (or is delivered here)

	Type    RouteType  // of the answer: unicast, local, broadcast, multicast, anycast (C11)
	Link    int32      // device of the answer; lo for what is delivered here
	Gateway netip.Addr // zero: on-link
	Source  netip.Addr // source address chosen or stored; zero: none (RTA_PREFSRC)
	Flags   DecisionFlags
	MTU     uint32 // of the path: the route's, else the link's; 0 when there is no link

	// The rule that decided. Where none is walked, the rules being as at the start (A8,
	// A9), it is the initial rule of the table that answered.
	HasRule   bool
	Rule      uint32 // priority
	RuleIndex int32  // position in the list; -1: none

	// The route behind the answer. Without one HasRoute is false and the rest is zero:
	// nothing matched, or the answer needs no route (C2, C5–C7, C25).
	HasRoute    bool
	Table       TableID      // the table that holds the route (in merged mode main, as the kernel reports)
	Prefix      netip.Prefix // destination of the route
	SrcPrefix   netip.Prefix // IPv6 source prefix of the route; zero: none
	TOS         uint8        // of the route; also of a route dropped by a suppressor where C7 shows it
	Priority    uint32       // metric
	Protocol    Protocol
	Scope       Scope
	RouteType   RouteType  // type as stored
	Pref        RouterPref // of the leg that won on score (D4a)
	NexthopID   uint32
	NexthopLink int32  // device of the leg as stored (the real device where Link is lo)
	Leg         int32  // position of the leg among the route's nexthops; 0 for a single one
	Realms      uint32 // RTA_FLOW of the answer (A27)

	Undetermined Undetermined
}

// DecisionFlags are marks that the kernel's reply carries.
type DecisionFlags uint16

// The marks of a reply.
const (
	DecisionLocal        DecisionFlags = 1 << iota // cache "local"
	DecisionBroadcast                              // cache "brd"
	DecisionMulticast                              // cache "mc"
	DecisionRedirect                               // cache "redirect" (C29)
	DecisionSourceInFlow                           // the rule chose the source: it became the flow's (A17)
	DecisionNoMetrics                              // the answer drops the route's metrics (C11, C28)
)
