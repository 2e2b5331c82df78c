package iproute

import "github.com/fibula-net/fibula/fib"

// reasonTexts are the reasons in plain words.
var reasonTexts = map[fib.Reason]string{
	fib.ReasonMatched:              "matches",
	fib.ReasonSelector:             "a selector does not hold",
	fib.ReasonNop:                  "matches and does nothing",
	fib.ReasonGoto:                 "matches: on to its target",
	fib.ReasonGotoUnresolved:       "matches, but no rule has the target's priority: on to the next rule",
	fib.ReasonSuppressedLength:     "the result is dropped: its prefix is too short (suppress_prefixlength)",
	fib.ReasonSuppressedGroup:      "the result is dropped: its link is in the group (suppress_ifgroup)",
	fib.ReasonAction:               "matches and ends the lookup",
	fib.ReasonEndOfRules:           "no rule left",
	fib.ReasonSourceNotInPrefix:    "the source selected for the result is outside of from: on to the next rule",
	fib.ReasonRulesNotInForce:      "never changed, so not walked: local and main are looked up without them",
	fib.ReasonTableMissing:         "does not exist: on to the next rule",
	fib.ReasonTableEntered:         "looked up",
	fib.ReasonTableNoRoute:         "no route left: on to the next rule",
	fib.ReasonCovers:               "covers the destination",
	fib.ReasonAbandoned:            "its nexthop object has no usable leg: passed over with all routes of the prefix",
	fib.ReasonNoSourcePrefix:       "none of its source prefixes covers the source",
	fib.ReasonNotCandidate:         "the search cannot start here: no source prefix covers the source",
	fib.ReasonBacktrack:            "nothing usable here: on to the next shorter prefix",
	fib.ReasonLost:                 "has routes with a source prefix that the kernel no longer finds",
	fib.ReasonRetryUnreachable:     "once more, without regard to neighbours",
	fib.ReasonSelected:             "selected",
	fib.ReasonTOS:                  "its tos is not the flow's",
	fib.ReasonScope:                "its scope is wider than asked for",
	fib.ReasonDead:                 "dead",
	fib.ReasonNoUsableLeg:          "no nexthop of it is usable",
	fib.ReasonThrow:                "throw: the table is left, on to the next rule",
	fib.ReasonReject:               "refuses the flow",
	fib.ReasonBlackholeNexthop:     "its nexthop is a blackhole",
	fib.ReasonHigherMetric:         "another route of the prefix has a smaller metric",
	fib.ReasonLowerScore:           "another route of the prefix fits better",
	fib.ReasonSibling:              "another leg of the multipath route that fits: the hash decides",
	fib.ReasonOif:                  "not through the link asked for",
	fib.ReasonLinkdown:             "its link has no carrier (ignore_routes_with_linkdown)",
	fib.ReasonNeighFailed:          "its gateway does not answer",
	fib.ReasonHash:                 "by the flow's hash",
	fib.ReasonFirst:                "the first that fits",
	fib.ReasonSourceMatch:          "its link has the flow's source",
	fib.ReasonDefaultRouter:        "chosen among equal default routes",
	fib.ReasonNotUnicast:           "not a unicast route",
	fib.ReasonSourceInvalid:        "cannot be a source: multicast or broadcast",
	fib.ReasonSourceNotLocal:       "not an address of this host",
	fib.ReasonSourceLoopback:       "a loopback source cannot leave the host (route_localnet)",
	fib.ReasonNoSuchLink:           "no such link",
	fib.ReasonLinkDown:             "the link is down",
	fib.ReasonNoInet:               "the link has no configuration for this family",
	fib.ReasonOnlinkThroughOif:     "on-link through the link asked for, without a table",
	fib.ReasonOnlinkFallback:       "no answer, but a link was asked for: on-link through it",
	fib.ReasonUnspecified:          "the unspecified address means this host",
	fib.ReasonSourceDevice:         "through the link that has the source, without a table",
	fib.ReasonLocalDelivery:        "delivered here",
	fib.ReasonBroadcastDelivery:    "broadcast, delivered here",
	fib.ReasonMulticastDelivery:    "multicast, delivered here",
	fib.ReasonNotJoined:            "the link has not joined the multicast group",
	fib.ReasonMartianSource:        "martian source: cannot come from there",
	fib.ReasonMartianDestination:   "martian destination: cannot be routed",
	fib.ReasonForwardingOff:        "forwarding is off on the link",
	fib.ReasonNoRouteForwardingOff: "no route, and forwarding is off on the link",
	fib.ReasonReversePathOK:        "the source may come in there (rp_filter)",
	fib.ReasonReversePathFailed:    "the way back leads elsewhere (rp_filter)",
	fib.ReasonReversePathOff:       "the way back is not checked (rp_filter is off)",
	fib.ReasonLinkScope:            "link-local or multicast in a VRF: its table alone",
	fib.ReasonSourceGiven:          "given with the flow",
	fib.ReasonSourcePreferred:      "the route's preferred source (src)",
	fib.ReasonSourceDestination:    "delivered here: the destination itself",
	fib.ReasonSourceSubnet:         "the first address of the link whose subnet holds the gateway",
	fib.ReasonSourceFirst:          "the first address of the link that fits",
	fib.ReasonSourceBorrowed:       "borrowed from another link",
	fib.ReasonSourceSelected:       "the best candidate (RFC 6724)",
	fib.ReasonSourceWorse:          "another candidate is better",
	fib.ReasonSourceTentative:      "not usable: tentative or failed",
	fib.ReasonSourceNone:           "no address fits",
}

// reasonText is the reason in plain words, or its code.
func reasonText(r fib.Reason) string {
	if s, ok := reasonTexts[r]; ok {
		return s
	}
	return r.String()
}

// stepKinds are the stable names of the kinds of step.
var stepKinds = [...]string{
	fib.StepCheck: "check", fib.StepRule: "rule", fib.StepTable: "table", fib.StepPrefix: "prefix", fib.StepRoute: "route",
	fib.StepLeg: "leg", fib.StepSource: "source", fib.StepResult: "result",
}

func stepKind(k fib.StepKind) string {
	if int(k) < len(stepKinds) {
		return stepKinds[k]
	}
	return "unknown"
}
