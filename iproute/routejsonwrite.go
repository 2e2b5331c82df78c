package iproute

import (
	"encoding/hex"
	"strconv"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/rules"
)

// stateNames writes the words that need no file of names, so that a state file means the
// same on every machine.
var stateNames *Names

// route writes r as "ip -j route show table all" would, with the same values left out.
// dev names links.
func (w *jsonWriter) route(r *fib.Route, dev devNames) {
	w.open('{')
	if r.Type != fib.TypeUnicast {
		w.key("type").str(r.Type.String())
	}
	if r.Dst.IsValid() {
		w.key("dst").prefix(r.Dst)
	}
	if r.Src.IsValid() {
		w.key("from").prefix(r.Src)
	}
	if r.NexthopID != 0 {
		w.key("nhid").uint(uint64(r.NexthopID))
	}
	if r.TOS != 0 {
		w.key("tos").hex(uint64(r.TOS))
	}
	inline := len(r.Nexthops) == 1 && fitsInline(r, &r.Nexthops[0])
	if inline {
		w.legKeys(&r.Nexthops[0], r.Family(), 1, dev)
	}
	if r.Table != fib.TableMain {
		w.key("table").str(stateNames.TableName(uint32(r.Table)))
	}
	if r.Protocol != fib.ProtoBoot {
		w.key("protocol").str(stateNames.ProtocolName(uint8(r.Protocol)))
	}
	if r.Scope != fib.ScopeUniverse {
		w.key("scope").str(stateNames.ScopeName(uint8(r.Scope)))
	}
	if r.PrefSrc.IsValid() {
		w.key("prefsrc").addr(r.PrefSrc)
	}
	if r.Priority != 0 {
		w.key("metric").uint(uint64(r.Priority))
	}
	var legBits uint32
	if inline {
		legBits = uint32(r.Nexthops[0].Flags)
	}
	if legBits != 0 || r.Flags != 0 {
		w.key("flags").open('[')
		w.bitItems(legBits, legFlags)
		w.bitItems(uint32(r.Flags), routeFlags)
		w.close(']')
	}
	if !r.Metrics.IsZero() {
		w.key("metrics").open('[')
		w.metrics(&r.Metrics)
		w.close(']')
	}
	if r.Expires != 0 {
		w.key("expires").uint(uint64(r.Expires))
	}
	switch {
	case r.Pref == fib.PrefMedium:
	case r.Pref == fib.PrefHigh || r.Pref == fib.PrefLow:
		w.key("pref").str(r.Pref.String())
	default:
		w.key("pref").uint(uint64(r.Pref))
	}
	w.fact("lost", r.Lost)
	w.fact("learned", r.Learned)
	if len(r.Nexthops) > 0 && !inline {
		w.key("nexthops").open('[')
		for i := range r.Nexthops {
			n := &r.Nexthops[i]
			w.open('{')
			w.legKeys(n, r.Family(), 1, dev)
			if n.Flags != 0 {
				w.key("flags").bits(uint32(n.Flags), legFlags)
			}
			w.close('}')
		}
		w.close(']')
	}
	w.close('}')
}

// fitsInline reports whether a single leg can stand in the route itself and be told from
// it again.
func fitsInline(r *fib.Route, n *fib.Nexthop) bool {
	return (n.Gateway.IsValid() || n.Link != 0) && n.Flags&^legFlagMask == 0 && r.Flags&legFlagMask == 0
}

// legKeys writes all of n but its flags. A gateway of another family than the route's
// stands in "via"; weight implied is left out.
func (w *jsonWriter) legKeys(n *fib.Nexthop, family fib.Family, implied uint16, dev devNames) {
	if n.Encap != (fib.Encap{}) {
		w.key("encap").open('{')
		w.key("type").str(encapTypeName(n.Encap.Type))
		w.key("data").str(hex.EncodeToString([]byte(n.Encap.Data)))
		w.close('}')
	}
	switch gw := rules.FamilyOf(n.Gateway); gw {
	case 0:
	case family:
		w.key("gateway").addr(n.Gateway)
	default:
		w.key("via").open('{')
		w.key("family").str(gw.String())
		w.key("host").addr(n.Gateway)
		w.close('}')
	}
	if n.Link != 0 {
		w.key("dev").dev(n.Link, dev)
	}
	if n.Weight != implied {
		w.key("weight").uint(uint64(n.Weight))
	}
	if n.Realms != 0 {
		w.key("flow").open('{')
		if from := n.Realms >> 16; from != 0 {
			w.key("from").str(strconv.FormatUint(uint64(from), 10))
		}
		if to := n.Realms & 0xffff; to != 0 {
			w.key("to").str(strconv.FormatUint(uint64(to), 10))
		}
		w.close('}')
	}
	if n.ScopeSet {
		w.key("nhscope").str(stateNames.ScopeName(uint8(n.Scope)))
	}
}

func (w *jsonWriter) metrics(m *fib.Metrics) {
	w.open('{')
	for i, v := range m.Values {
		switch {
		case v == 0:
		case i == fib.MetricLock:
			w.key("lock").open('[')
			for k := range 32 {
				if v>>k&1 != 0 && k > 0 && k < len(m.Values) {
					w.str(metricName(k))
					v &^= 1 << k
				}
			}
			if v != 0 {
				w.hex(uint64(v))
			}
			w.close(']')
		case i == fib.MetricFeatures:
			for _, b := range features {
				if v&b.value != 0 {
					w.key(b.name).null()
					v &^= b.value
				}
			}
			if v != 0 {
				w.key(metricName(i)).hex(uint64(v))
			}
		case metricUnits[i] != 0:
			w.key(metricName(i)).fraction(v, metricUnits[i])
		default:
			w.key(metricName(i)).uint(uint64(v))
		}
	}
	if m.CongCtl != "" {
		w.key("congestion").str(m.CongCtl)
	}
	w.close('}')
}

// devNames gives the names of links by index, of those links that a name finds again.
type devNames map[int32]string

func (w *jsonWriter) dev(index int32, names devNames) {
	if name, ok := names[index]; ok {
		w.str(name)
		return
	}
	w.int(int64(index))
}
