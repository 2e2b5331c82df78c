package rebuild

import (
	"fmt"
	"strings"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/rules"
)

// words collects the words of a command.
type words struct{ strings.Builder }

func (w *words) add(set bool, format string, args ...any) {
	if set {
		fmt.Fprintf(w, " "+format, args...)
	}
}

func addressText(a *fib.Address, dev string) string {
	var w words
	if a.Prefix.Addr() == a.Local || !a.Prefix.IsValid() {
		fmt.Fprintf(&w, "%v/%d", a.Local, a.Prefix.Bits())
	} else {
		fmt.Fprintf(&w, "%v peer %v", a.Local, a.Prefix)
	}
	w.add(a.Broadcast.IsValid(), "broadcast %v", a.Broadcast)
	w.add(true, "dev %s", dev)
	w.add(a.Label != "" && a.Label != dev, "label %s", a.Label)
	w.add(a.Local.Is4() && a.Scope != fib.ScopeUniverse && !a.Local.IsLoopback(), "scope %v", a.Scope)
	w.add(a.Metric != 0, "metric %d", a.Metric)
	w.add(a.Flags&fib.AddrHome != 0, "home")
	w.add(a.Flags&fib.AddrNoPrefixRoute != 0, "noprefixroute")
	w.add(a.Flags&fib.AddrNoDAD != 0, "nodad")
	w.add(a.PreferredLft == 0, "preferred_lft 0")
	return w.String()
}

var neighWords = map[fib.NeighState]string{fib.NeighIncomplete: "incomplete", fib.NeighReachable: "reachable", fib.NeighStale: "stale",
	fib.NeighDelay: "delay", fib.NeighProbe: "probe", fib.NeighFailed: "failed", fib.NeighPermanent: "permanent"}

func neighbourText(n *fib.Neighbour, dev string) string {
	var w words
	fmt.Fprintf(&w, "neighbour replace %v dev %s", n.Addr, dev)
	w.add(n.LLAddr != "", "lladdr %s", n.LLAddr)
	w.add(true, "nud %s", neighWords[n.State])
	return w.String()
}

func (p *planner) nexthopText(o *fib.NexthopObject) string {
	text := p.nexthopWords("add", o)
	if o.Family == fib.Inet6 && !o.Nexthop.Gateway.IsValid() {
		text = "-6 " + text
	}
	return text
}

func (p *planner) nexthopWords(verb string, o *fib.NexthopObject) string {
	var w words
	fmt.Fprintf(&w, "nexthop %s id %d", verb, o.ID)
	switch {
	case o.IsGroup():
		sep := " group "
		for _, m := range o.Group {
			fmt.Fprintf(&w, "%s%d", sep, m.ID)
			if m.Weight > 1 {
				fmt.Fprintf(&w, ",%d", m.Weight)
			}
			sep = "/"
		}
		w.add(o.Resilient, "type resilient buckets %d idle_timer %d unbalanced_timer %d", len(o.Buckets), o.IdleTimer/100, o.UnbalancedTimer/100)
	case o.Blackhole:
		w.add(true, "blackhole")
	default:
		w.add(o.Nexthop.Gateway.IsValid(), "via %v", o.Nexthop.Gateway)
		w.add(o.Nexthop.Link != 0, "dev %s", p.dev(o.Nexthop.Link))
		w.add(o.Nexthop.Flags&fib.FlagOnlink != 0, "onlink")
	}
	w.add(o.FDB, "fdb")
	w.add(o.Protocol != fib.ProtoUnspec, "proto %d", o.Protocol)
	return w.String()
}

// protoWords are the protocols that ip knows without a file.
var protoWords = map[fib.Protocol]string{fib.ProtoKernel: "kernel", fib.ProtoStatic: "static", fib.ProtoRA: "ra", fib.ProtoRedirect: "redirect"}

var metricWords = map[int]string{fib.MetricMTU: "mtu", 3: "window", 4: "rtt", 5: "rttvar", 6: "ssthresh", 7: "cwnd", fib.MetricAdvMSS: "advmss",
	9: "reordering", fib.MetricHopLimit: "hoplimit", 11: "initcwnd", fib.MetricFeatures: "features", 13: "rto_min", 14: "initrwnd", 15: "quickack",
	17: "fastopen_no_cookie"}

// routeText is the route in the words of "ip route add".
func (p *planner) routeText(verb string, r *fib.Route) string {
	if r.Family() == fib.Inet6 {
		return "-6 " + p.routeWords(verb, r)
	}
	return p.routeWords(verb, r)
}

func (p *planner) routeWords(verb string, r *fib.Route) string {
	var w words
	w.WriteString("route " + verb)
	w.add(r.Type != fib.TypeUnicast && r.Type != fib.TypeUnspec, "%v", r.Type)
	if r.Dst.Bits() == 0 {
		w.add(true, "default")
	} else {
		w.add(true, "%v", r.Dst)
	}
	w.add(r.Src.IsValid(), "from %v", r.Src)
	w.add(r.TOS != 0, "tos %#x", r.TOS)
	w.add(r.Table != fib.TableMain, "table %d", r.Table)
	w.add(r.Priority != 0 && (r.Family() == fib.Inet || r.Priority != 1024), "metric %d", r.Priority)
	if word, ok := protoWords[r.Protocol]; ok {
		w.add(true, "proto %s", word)
	} else {
		w.add(r.Protocol != fib.ProtoBoot, "proto %d", r.Protocol)
	}
	w.add(r.Family() == fib.Inet && r.Scope != usualScope(r) && r.Scope != fib.ScopeNowhere, "scope %d", r.Scope)
	w.add(r.PrefSrc.IsValid(), "src %v", r.PrefSrc)
	for i := 2; i < len(r.Metrics.Values); i++ {
		v := r.Metrics.Values[i]
		if v == 0 || metricWords[i] == "" {
			continue
		}
		w.add(true, "%s", metricWords[i])
		w.add(r.Metrics.Values[fib.MetricLock]&(1<<i) != 0, "lock")
		switch i {
		case 4: // rtt, in eighths
			w.add(true, "%dms", v/8)
		case 5: // rttvar, in quarters
			w.add(true, "%dms", v/4)
		case 13: // rto_min
			w.add(true, "%dms", v)
		case fib.MetricFeatures: // ECN is all there is a word for
			w.add(true, "ecn")
		default:
			w.add(true, "%d", v)
		}
	}
	w.add(r.Metrics.CongCtl != "", "congctl %s", r.Metrics.CongCtl)
	w.add(r.Pref != fib.PrefMedium, "pref %v", r.Pref)
	if r.NexthopID != 0 {
		w.add(true, "nhid %d", r.NexthopID)
		return w.String()
	}
	for i := range r.Nexthops {
		p.leg(&w, r, &r.Nexthops[i])
	}
	return w.String()
}

func (p *planner) leg(w *words, r *fib.Route, n *fib.Nexthop) {
	several := len(r.Nexthops) > 1
	w.add(several, "nexthop")
	switch {
	case !n.Gateway.IsValid():
	case n.Gateway.Is6() && r.Family() == fib.Inet:
		w.add(true, "via inet6 %v", n.Gateway)
	default:
		w.add(true, "via %v", n.Gateway)
	}
	w.add(n.Link != 0 && !(r.Type.IsReject() && r.Family() == fib.Inet6), "dev %s", p.dev(n.Link))
	w.add(several, "weight %d", max(n.Weight, 1))
	w.add(n.Flags&fib.FlagOnlink != 0, "onlink")
	if n.Realms != 0 {
		w.add(true, "realm %d/%d", n.Realms>>16, n.Realms&0xffff)
	}
	w.add(n.Encap.Type != 0, "encap-type-%d-left-out", n.Encap.Type)
}

// usualScope is the one that ip gives a route by itself.
func usualScope(r *fib.Route) fib.Scope {
	switch r.Type {
	case fib.TypeLocal, fib.TypeNAT:
		return fib.ScopeHost
	case fib.TypeBroadcast, fib.TypeMulticast, fib.TypeAnycast:
		return fib.ScopeLink
	case fib.TypeUnicast:
		if r.NexthopID == 0 && len(r.Nexthops) == 1 && !r.Nexthops[0].Gateway.IsValid() {
			return fib.ScopeLink
		}
	}
	return fib.ScopeUniverse
}

// ruleText is the rule in the words of "ip rule".
func ruleText(verb string, r *rules.Rule) string {
	family := ""
	if r.Family == rules.Inet6 {
		family = "-6 "
	}
	_, text, _ := strings.Cut(r.String(), ":\t")
	text = strings.Replace(text, "lookup [l3mdev-table]", "l3mdev", 1)
	text = strings.TrimPrefix(text, "from all ")
	if after, ok := strings.CutPrefix(text, "not from all "); ok {
		text = "not " + after
	}
	remark := ""
	if r.FindSaddr { // ip has no word for it
		remark = " # with FIB_RULE_FIND_SADDR"
	}
	return fmt.Sprintf("%srule %s pref %d %s%s", family, verb, r.Priority, text, remark)
}

// QueryText is the flow in the words of "ip route get".
func QueryText(st *fib.State, f fib.Flow, fibmatch bool) string {
	p := planner{names: map[int32]string{}}
	for i := range st.Links {
		p.names[st.Links[i].Index] = st.Links[i].Name
	}
	var w words
	w.WriteString("ip -n " + Name + " route get")
	w.add(fibmatch, "fibmatch")
	w.add(true, "%v", f.Dst)
	w.add(f.Src.IsValid(), "from %v", f.Src)
	w.add(f.Iif != 0, "iif %s", p.dev(f.Iif))
	w.add(f.Oif != 0, "oif %s", p.dev(f.Oif))
	w.add(f.Mark != 0, "mark %#x", f.Mark)
	w.add(f.TOS != 0, "tos %#x", f.TOS)
	w.add(f.UIDSet || f.UID != 0, "uid %d", f.UID)
	w.add(f.IPProto != 0, "ipproto %d", f.IPProto)
	w.add(f.Sport != 0, "sport %d", f.Sport)
	w.add(f.Dport != 0, "dport %d", f.Dport)
	w.add(f.FlowLabel != 0, "flowlabel %#x", f.FlowLabel)
	return w.String()
}
