package iproute

import (
	"net/netip"
	"strconv"

	"github.com/fibula-net/fibula/fib"
)

// object writes the keys that ip has in ip's order, then ours.
func (p *Printer) object(w *ipJSON, r *Reply, others []Answer) {
	n := p.Names.get()
	w.openObject()
	if r.Type != fib.TypeUnicast {
		w.stringField("type", n.TypeName(r.Type))
	}
	w.prefixField("dst", r.Dst)
	if r.From.IsValid() {
		w.prefixField("from", r.From)
	}
	if r.NexthopID != 0 {
		w.uintField("nhid", uint64(r.NexthopID))
	}
	p.encap(w, r.Encap)
	if r.TOS != 0 {
		w.stringField("tos", n.DSFieldName(r.TOS))
	}
	w.via(r.Family, r.Gateway)
	if r.Dev != 0 {
		w.stringField("dev", linkName(p.Links, r.Dev))
	}
	if r.Table != 0 && r.Table != fib.TableMain {
		w.stringField("table", n.TableName(uint32(r.Table)))
	}
	hasProtocol := r.Flags&rtmCloned == 0 && r.Protocol != fib.ProtoBoot
	if hasProtocol {
		w.stringField("protocol", n.ProtocolName(uint8(r.Protocol)))
	}
	hasScope := r.Flags&rtmCloned == 0 && r.Scope != fib.ScopeUniverse
	if hasScope {
		w.stringField("scope", n.ScopeName(uint8(r.Scope)))
	}
	if r.PrefSrc.IsValid() {
		w.addrField("prefsrc", r.PrefSrc)
	}
	if r.HasMetric {
		w.uintField("metric", uint64(r.Metric))
	}
	w.flags(r.Flags)
	if r.Mark != 0 {
		w.uintField("mark", uint64(r.Mark))
	}
	w.realms(n, r.Realms)
	if r.HasUID {
		w.uintField("uid", uint64(r.UID))
	}
	if r.Family == fib.Inet && r.Flags&rtmCloned != 0 {
		w.key("cache")
		w.openArray()
		for i := range cacheFlags {
			if c := &cacheFlags[i]; r.Flags&c.bit != 0 {
				w.string(c.name)
			}
		}
		w.closeArray()
	}
	if r.Expires != 0 {
		w.uintField("expires", uint64(r.Expires))
	}
	w.metrics(r.Metrics)
	if r.Iif != 0 {
		w.stringField("iif", linkName(p.Links, r.Iif))
	}
	if r.Family == fib.Inet6 {
		w.stringField("pref", r.Pref.String())
	}
	if len(r.Nexthops) > 0 {
		w.key("nexthops")
		w.openArray()
		for i := range r.Nexthops {
			p.nexthop(w, n, r.Family, &r.Nexthops[i])
		}
		w.closeArray()
	}
	if d := r.Decision; d != nil && !p.StrictIP {
		p.extras(w, n, r, d, hasProtocol, hasScope)
		p.candidates(w, others)
	}
	w.closeObject()
}

// extras are our own keys: the route and the rule behind the answer, as far as
// ip has not said the same under the same key.
func (p *Printer) extras(w *ipJSON, n *Names, r *Reply, d *fib.Decision, hasProtocol, hasScope bool) {
	if d.HasRoute {
		w.prefixField("prefix", d.Prefix)
	}
	if d.HasRule {
		w.uintField("rule", uint64(d.Rule))
	}
	if d.HasRoute {
		if !hasScope {
			w.stringField("scope", n.ScopeName(uint8(d.Scope)))
		}
		if r.TOS == 0 {
			w.stringField("tos", n.DSFieldName(d.TOS))
		}
		if !r.HasMetric {
			w.uintField("metric", uint64(d.Priority))
		}
		if !hasProtocol {
			w.stringField("protocol", n.ProtocolName(uint8(d.Protocol)))
		}
		if d.NexthopID != 0 && r.NexthopID == 0 {
			w.uintField("nhid", uint64(d.NexthopID))
		}
	}
	if r.Type == fib.TypeUnicast {
		w.stringField("type", n.TypeName(r.Type))
	}
	if d.Undetermined != 0 {
		w.undetermined(d.Undetermined)
	}
}

var undeterminedNames = [...]struct {
	bit        fib.Undetermined
	name, text string
}{
	{fib.UndeterminedHash, "hash", "the seed of the multipath hash is not readable (set net.ipv4.fib_multipath_hash_seed)"},
	{fib.UndeterminedDefaultRouter, "default-router", "the choice among equal default routes depends on earlier lookups"},
	{fib.UndeterminedMode, "mode", "whether rules are in force cannot be told"},
	{fib.UndeterminedGateway, "gateway", "whether the gateway was one of this host's own addresses when the route was added cannot be told"},
	{fib.UndeterminedSource, "source", "the source address kept in a nexthop object depends on earlier lookups"},
	{fib.UndeterminedShared, "shared-nexthop", "the kernel may describe another route with the same nexthop object"},
	{fib.UndeterminedSourceNode, "source-route", "whether the kernel still finds the routes with a source prefix cannot be told"},
	{fib.UndeterminedLocalCheck, "local-check", "whether a local route was ever added by hand cannot be told"},
}

func (w *ipJSON) undetermined(u fib.Undetermined) {
	w.key("undetermined")
	w.openArray()
	for i := range undeterminedNames {
		if c := &undeterminedNames[i]; u&c.bit != 0 {
			w.string(c.name)
		}
	}
	w.closeArray()
}

func (p *Printer) nexthop(w *ipJSON, n *Names, fam fib.Family, leg *fib.Nexthop) {
	w.openObject()
	p.encap(w, leg.Encap)
	w.via(fam, leg.Gateway)
	w.realms(n, leg.Realms)
	w.stringField("dev", linkName(p.Links, leg.Link))
	w.uintField("weight", uint64(max(leg.Weight, 1)))
	w.flags(uint32(leg.Flags))
	w.closeObject()
}

func (w *ipJSON) via(fam fib.Family, gw netip.Addr) {
	switch {
	case !gw.IsValid():
	case addrFamily(gw) == fam:
		w.addrField("gateway", gw)
	default:
		w.key("via")
		w.openObject()
		w.stringField("family", addrFamily(gw).String())
		w.addrField("host", gw)
		w.closeObject()
	}
}

func (w *ipJSON) flags(flags uint32) {
	w.key("flags")
	w.openArray()
	for i := range replyFlags {
		if f := &replyFlags[i]; flags&f.bit != 0 {
			w.string(f.name)
		}
	}
	w.closeArray()
}

func (w *ipJSON) realms(n *Names, realms uint32) {
	if realms == 0 {
		return
	}
	w.key("flow")
	w.openObject()
	if from := uint16(realms >> 16); from != 0 {
		w.stringField("from", n.RealmName(from))
	}
	w.stringField("to", n.RealmName(uint16(realms)))
	w.closeObject()
}

func (w *ipJSON) metrics(m *fib.Metrics) {
	if m == nil {
		return
	}
	w.key("metrics")
	w.openArray()
	w.openObject()
	for i := 2; i < len(metricWords); i++ {
		v, _, ok := shownMetric(m, i)
		switch {
		case !ok:
		case i == fib.MetricFeatures:
			if v&featureECN != 0 {
				w.nullField("ecn")
			}
			if v&^featureECN != 0 {
				w.stringField("features", "0x"+strconv.FormatUint(uint64(v), 16))
			}
		case i == metricCC:
			w.stringField("congestion", m.CongCtl)
		default:
			w.uintField(metricWords[i], uint64(v))
		}
	}
	w.closeObject()
	w.closeArray()
}
