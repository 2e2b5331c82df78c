package iproute

import (
	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtnl"
)

// KernelReply is the reply of a kernel, ready to print as ip prints it. stored
// tells that fibmatch was asked for. The reply shares memory with k.
func KernelReply(k *rtnl.Reply, stored bool) Reply {
	rt := &k.Route
	r := Reply{
		Family: rt.Family(), Stored: stored, Type: rt.Type, Dst: rt.Dst, From: rt.Src, NexthopID: rt.NexthopID, Encap: k.Encap,
		TOS: rt.TOS, Gateway: k.Gateway, Dev: k.Oif, Iif: k.Iif, Table: rt.Table, Protocol: rt.Protocol, Scope: rt.Scope,
		PrefSrc: rt.PrefSrc, Metric: rt.Priority, Flags: k.Flags, Mark: k.Mark, Realms: k.Realms, UID: k.UID, HasUID: k.HasUID,
		Expires: uint32(max(k.ExpiresTick, 0) / 100), Pref: rt.Pref,
	}
	r.HasMetric = rt.Priority != 0 || r.Family == fib.Inet6
	if !rt.Metrics.IsZero() {
		r.Metrics = &rt.Metrics
	}
	if len(rt.Nexthops) > 1 {
		r.Nexthops = rt.Nexthops
	}
	return r
}
