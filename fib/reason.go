package fib

import "strconv"

// Reason is a stable code for why a step led on or was passed over. The text
// forms are part of the interface; new ones may be added, none changes.
type Reason uint8

// The reasons. Those of a rule that did not match are told by Step.Selector.
const (
	ReasonNone Reason = iota

	// Rules (A11–A15).
	ReasonMatched           // all selectors hold
	ReasonSelector          // a selector failed
	ReasonNop               // action nop
	ReasonGoto              // jumped to the target
	ReasonGotoUnresolved    // no rule has the target's priority
	ReasonSuppressedLength  // suppress_prefixlength dropped the result
	ReasonSuppressedGroup   // suppress_ifgroup dropped the result
	ReasonAction            // blackhole, unreachable, prohibit, or an unknown action
	ReasonEndOfRules        // nothing matched
	ReasonSourceNotInPrefix // deferred from: the selected source is outside (A17)
	ReasonRulesNotInForce   // hard-wired tables, no rule is walked (A8, A9)

	// Tables and prefixes.
	ReasonTableMissing
	ReasonTableEntered
	ReasonTableNoRoute
	ReasonCovers           // the prefix covers the destination
	ReasonAbandoned        // an object route without a usable leg hides this prefix (B13)
	ReasonNoSourcePrefix   // none of the node's source prefixes covers the source (D8)
	ReasonNotCandidate     // plain routes do not count at this node (D9)
	ReasonLost             // its source-specific routes are no longer found (D8)
	ReasonBacktrack        // nothing eligible here: next shorter prefix (D9)
	ReasonRetryUnreachable // once more, without regard to neighbours (D9)

	// Routes.
	ReasonSelected
	ReasonTOS
	ReasonScope // of checks of gateways only, which nobody explains: a query has scope universe
	ReasonDead
	ReasonNoUsableLeg
	ReasonThrow
	ReasonReject
	ReasonBlackholeNexthop
	ReasonHigherMetric // another route of this prefix won on metric or score (D13)
	ReasonLowerScore
	ReasonSibling // a leg of the multipath route that was chosen: the hash decides (D20)

	// Legs.
	ReasonOif
	ReasonLinkdown
	ReasonNeighFailed
	ReasonHash          // chosen or passed over by the hash
	ReasonFirst         // the first one that fits
	ReasonSourceMatch   // its source is the flow's (B21)
	ReasonDefaultRouter // chosen among equal default routes (B18)
	ReasonNotUnicast

	// Checks of the flow.
	ReasonSourceInvalid  // multicast or broadcast source (C1)
	ReasonSourceNotLocal // (C3)
	ReasonSourceLoopback // 127/8 source on a real device (C10)
	ReasonNoSuchLink
	ReasonLinkDown         // not administratively up
	ReasonNoInet           // no IPv4 on the link
	ReasonOnlinkThroughOif // answered without a table: on-link through oif (C5)
	ReasonOnlinkFallback   // the error was replaced: on-link through oif (C7)
	ReasonUnspecified      // destination 0.0.0.0 (C6)
	ReasonSourceDevice     // multicast through the source's device (C2)
	ReasonLocalDelivery
	ReasonBroadcastDelivery
	ReasonMulticastDelivery
	ReasonNotJoined // multicast group not joined (C25)
	ReasonMartianSource
	ReasonMartianDestination
	ReasonForwardingOff
	ReasonNoRouteForwardingOff
	ReasonReversePathOK
	ReasonReversePathFailed
	ReasonReversePathOff
	ReasonLinkScope // link-local or multicast destination in a VRF: its table alone (L24)

	// Source address.
	ReasonSourceGiven
	ReasonSourcePreferred   // the route's prefsrc
	ReasonSourceDestination // delivered here: the destination itself
	ReasonSourceSubnet      // first address whose subnet holds the gateway (C20)
	ReasonSourceFirst       // first acceptable address of the device (C20)
	ReasonSourceBorrowed    // from another device (C20)
	ReasonSourceSelected    // RFC 6724 (D40, D41)
	ReasonSourceWorse       // another candidate was preferred (D41)
	ReasonSourceTentative   // not usable yet, or never (D40)
	ReasonSourceNone

	numReasons
)

var reasonNames = [numReasons]string{
	ReasonNone: "none", ReasonMatched: "matched", ReasonSelector: "selector", ReasonNop: "nop", ReasonGoto: "goto",
	ReasonGotoUnresolved: "goto-unresolved", ReasonSuppressedLength: "suppressed-prefixlength",
	ReasonSuppressedGroup: "suppressed-ifgroup", ReasonAction: "action",
	ReasonEndOfRules: "end-of-rules", ReasonSourceNotInPrefix: "source-not-in-prefix",
	ReasonRulesNotInForce: "rules-not-in-force", ReasonTableMissing: "table-missing", ReasonTableEntered: "table-entered",
	ReasonTableNoRoute: "table-no-route", ReasonCovers: "covers", ReasonAbandoned: "abandoned",
	ReasonNoSourcePrefix: "no-source-prefix", ReasonNotCandidate: "not-candidate", ReasonLost: "lost", ReasonBacktrack: "backtrack",
	ReasonRetryUnreachable: "retry-unreachable", ReasonSelected: "selected", ReasonTOS: "tos", ReasonScope: "scope",
	ReasonDead: "dead", ReasonNoUsableLeg: "no-usable-leg", ReasonThrow: "throw", ReasonReject: "reject",
	ReasonBlackholeNexthop: "blackhole-nexthop", ReasonHigherMetric: "higher-metric", ReasonLowerScore: "lower-score", ReasonSibling: "sibling",
	ReasonOif: "oif", ReasonLinkdown: "linkdown", ReasonNeighFailed: "neigh-failed",
	ReasonHash: "hash", ReasonFirst: "first", ReasonSourceMatch: "source-match", ReasonDefaultRouter: "default-router",
	ReasonNotUnicast: "not-unicast", ReasonSourceInvalid: "source-invalid", ReasonSourceNotLocal: "source-not-local",
	ReasonSourceLoopback: "source-loopback", ReasonNoSuchLink: "no-such-link", ReasonLinkDown: "link-down",
	ReasonNoInet: "no-inet", ReasonOnlinkThroughOif: "onlink-through-oif", ReasonOnlinkFallback: "onlink-fallback",
	ReasonUnspecified: "unspecified", ReasonSourceDevice: "source-device", ReasonLocalDelivery: "local-delivery",
	ReasonBroadcastDelivery: "broadcast-delivery", ReasonMulticastDelivery: "multicast-delivery",
	ReasonNotJoined: "not-joined", ReasonMartianSource: "martian-source",
	ReasonMartianDestination: "martian-destination", ReasonForwardingOff: "forwarding-off",
	ReasonNoRouteForwardingOff: "no-route-forwarding-off", ReasonReversePathOK: "reverse-path-ok",
	ReasonReversePathFailed: "reverse-path-failed", ReasonReversePathOff: "reverse-path-off",
	ReasonLinkScope:   "link-scope",
	ReasonSourceGiven: "source-given", ReasonSourcePreferred: "source-preferred",
	ReasonSourceDestination: "source-destination", ReasonSourceSubnet: "source-subnet",
	ReasonSourceFirst: "source-first", ReasonSourceBorrowed: "source-borrowed",
	ReasonSourceSelected: "source-selected", ReasonSourceWorse: "source-worse",
	ReasonSourceTentative: "source-tentative", ReasonSourceNone: "source-none",
}

// String is the stable code.
func (r Reason) String() string {
	if r < numReasons {
		return reasonNames[r]
	}
	return "reason(" + strconv.Itoa(int(r)) + ")"
}

// MarshalText writes the stable code.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }
