package iproute

import (
	"net/netip"

	"github.com/fibula-net/fibula/fib"
)

// Links, addresses, neighbours and address labels have the keys of "ip -j -d link",
// "address", "neighbour" and "addrlabel". Keys of our own are noted where they are written.

var linkFlags = []bit{
	{uint32(fib.LinkLoopback), "LOOPBACK"},
	{uint32(fib.LinkBroadcast), "BROADCAST"},
	{uint32(fib.LinkPointo), "POINTOPOINT"},
	{uint32(fib.LinkMulticast), "MULTICAST"},
	{uint32(fib.LinkNoARP), "NOARP"},
	{1 << 9, "ALLMULTI"},
	{1 << 8, "PROMISC"},
	{uint32(fib.LinkMaster), "MASTER"},
	{1 << 11, "SLAVE"},
	{1 << 2, "DEBUG"},
	{1 << 15, "DYNAMIC"},
	{1 << 14, "AUTOMEDIA"},
	{1 << 13, "PORTSEL"},
	{1 << 5, "NOTRAILERS"},
	{uint32(fib.LinkUp), "UP"},
	{uint32(fib.LinkRunning), "RUNNING"},
	{uint32(fib.LinkLowerUp), "LOWER_UP"},
	{1 << 17, "DORMANT"},
	{1 << 18, "ECHO"},
}

// noCarrier is what ip prints instead of RUNNING's absence on a link that is up.
const noCarrier = 1 << 31

func (d *decoder) linkFlags() fib.LinkFlags {
	v := d.bitNames("link flag", func(word string) (uint32, bool) {
		switch {
		case d.capture && word == "NO-CARRIER":
			return noCarrier, true
		case d.capture && word == "M-DOWN": // the link below is down
			return 0, true
		}
		return bitNamed(linkFlags)(word)
	})
	if d.capture {
		if v&noCarrier == 0 && v&uint32(fib.LinkUp) != 0 {
			v |= uint32(fib.LinkRunning)
		}
		v &^= noCarrier
	}
	return fib.LinkFlags(v)
}

// linkObject is a link as read: its master may be a link that comes later, its addresses
// may be part of it.
type linkObject struct {
	fib.Link
	masterName string
	addrs      []fib.Address
}

// link reads one link; base has the settings of a new one.
func (d *decoder) link(base fib.Link) linkObject {
	o := linkObject{Link: base}
	l := &o.Link
	for it := d.object(); it.next(); {
		switch key := d.key(); string(key) {
		case "ifindex":
			l.Index = int32(d.uint(31))
		case "ifname":
			l.Name = string(d.str())
		case "flags":
			l.Flags = d.linkFlags()
		case "mtu":
			l.MTU = d.u32()
		case "group":
			l.Group = word(d, "group", 32, d.names.Group)
		case "master":
			if d.peek() == '"' {
				o.masterName = string(d.str())
			} else {
				l.Master = int32(d.uint(31))
			}
		case "linkinfo":
			d.linkInfo(l)
		case "addr_info":
			for it := d.array(); it.next(); {
				if a := d.linkAddress(); a.Local.IsValid() {
					o.addrs = append(o.addrs, a)
				}
			}
		case "mtu6":
			l.MTU6 = d.u32()
		case "no_inet":
			l.NoInet = d.flag()
		case "no_inet6":
			l.NoInet6 = d.flag()
		case "multicast_groups":
			for it := d.array(); it.next(); {
				l.Groups4 = append(l.Groups4, d.address("multicast_groups"))
			}
		case "sysctls":
			d.linkSysctls(l)
		default:
			// A link has many attributes, different ones for each kind, and none that
			// is not named here enters a routing decision.
			d.skipKnown("link", key)
		}
	}
	return o
}

func (d *decoder) linkInfo(l *fib.Link) {
	for it := d.object(); it.next(); {
		switch key := d.key(); string(key) {
		case "info_kind":
			l.Kind = string(d.str())
		case "info_data":
			for it := d.object(); it.next(); {
				key := d.key()
				if string(key) == "table" && (l.Kind == "vrf" || !d.capture) {
					l.VRFTable = fib.TableID(word(d, "table", 32, d.names.Table))
				} else {
					d.skipKnown("info_data", key)
				}
			}
		default:
			d.skipKnown("linkinfo", key)
		}
	}
}

// link writes l; base has the settings of a new link, which are left out. Ours are "mtu6",
// "no_inet", "no_inet6", "multicast_groups" and "sysctls".
func (w *jsonWriter) link(l *fib.Link, base *fib.Sysctls, dev devNames) {
	w.open('{')
	w.key("ifindex").int(int64(l.Index))
	w.key("ifname").str(l.Name)
	w.key("flags").bits(uint32(l.Flags), linkFlags)
	w.key("mtu").uint(uint64(l.MTU))
	if l.Master != 0 {
		w.key("master").dev(l.Master, dev)
	}
	w.key("group").str(stateNames.GroupName(l.Group))
	if l.Kind != "" || l.VRFTable != 0 {
		w.key("linkinfo").open('{')
		w.name("info_kind", l.Kind)
		if l.VRFTable != 0 {
			w.key("info_data").open('{')
			w.key("table").uint(uint64(l.VRFTable))
			w.close('}')
		}
		w.close('}')
	}
	if l.MTU6 != 0 {
		w.key("mtu6").uint(uint64(l.MTU6))
	}
	w.flag("no_inet", l.NoInet)
	w.flag("no_inet6", l.NoInet6)
	if len(l.Groups4) > 0 {
		w.key("multicast_groups").open('[')
		for _, a := range l.Groups4 {
			w.addr(a)
		}
		w.close(']')
	}
	w.linkSysctls(l, base)
	w.close('}')
}

// addrFlags are the flags that iproute2 writes as keys with the value true.
var addrFlags = []bit{
	{uint32(fib.AddrNoDAD), "nodad"},
	{uint32(fib.AddrOptimistic), "optimistic"},
	{uint32(fib.AddrDADFailed), "dadfailed"},
	{uint32(fib.AddrHome), "home address"},
	{uint32(fib.AddrDeprecated), "deprecated"},
	{uint32(fib.AddrTentative), "tentative"},
	{uint32(fib.AddrManageTemp), "mngtmpaddr"},
	{uint32(fib.AddrNoPrefixRoute), "noprefixroute"},
	{0x400, "autojoin"},
	{0x800, "stable-privacy"},
}

var addrProtocol = wordIn[uint8]([]string{"unspec", "kernel_lo", "kernel_ra", "kernel_ll"})

// linkAddress reads one address. In a state file "dev" names its link, in ip's output the
// object around it. The zero Address stands for an object without an address.
func (d *decoder) linkAddress() (a fib.Address) {
	const object = "address"
	var peer netip.Addr
	length := -1
	a.Flags, a.ValidLft, a.PreferredLft = fib.AddrPermanent, allOnes, allOnes
	for it := d.object(); it.next(); {
		key := d.key()
		if v, ok := bitNamed(addrFlags)(string(key)); ok {
			if d.flag() {
				a.Flags |= fib.AddrFlags(v)
			}
			continue
		}
		switch string(key) {
		case "dev":
			a.Link = d.dev()
		case "local":
			a.Local = d.address("local")
		case "address":
			peer = d.address("address")
		case "prefixlen":
			length = int(d.u8())
		case "metric":
			a.Metric = d.u32()
		case "broadcast":
			a.Broadcast = d.address("broadcast")
		case "scope":
			a.Scope = d.scope()
		case "secondary", "temporary":
			if d.flag() {
				a.Flags |= fib.AddrSecondary
			}
		case "dynamic":
			if d.flag() {
				a.Flags &^= fib.AddrPermanent
			}
		case "ifa_flags":
			a.Flags |= fib.AddrFlags(d.u32())
		case "protocol", "proto":
			a.Protocol = word(d, "address protocol", 8, addrProtocol)
		case "label":
			a.Label = string(d.str())
		case "valid_life_time":
			a.ValidLft = d.u32()
		case "preferred_life_time":
			a.PreferredLft = d.u32()
		case "created":
			a.Created = d.u32()
		case "family", "anycast":
			d.skipKnown(object, key)
		default:
			d.unknown(object, key)
		}
	}
	if !peer.IsValid() {
		peer = a.Local
	}
	if d.capture && !a.Local.IsValid() {
		a.Local = peer // ip leaves out what is equal, older ones the other one
	}
	if d.err != nil || length < 0 {
		return a
	}
	if a.Prefix = netip.PrefixFrom(peer, length); !a.Prefix.IsValid() {
		d.fail("address %s: prefixlen %d does not fit it", peer, length)
	}
	return a
}

// linkAddress writes a. Ours are "dev" and "created" (hundredths of a second since boot).
func (w *jsonWriter) linkAddress(a *fib.Address, dev devNames) {
	w.open('{')
	w.key("dev").dev(a.Link, dev)
	if a.Local.IsValid() {
		w.key("local").addr(a.Local)
	}
	if a.Prefix.IsValid() {
		if a.Prefix.Addr() != a.Local {
			w.key("address").addr(a.Prefix.Addr())
		}
		w.key("prefixlen").uint(uint64(a.Prefix.Bits()))
	}
	if a.Metric != 0 {
		w.key("metric").uint(uint64(a.Metric))
	}
	if a.Broadcast.IsValid() {
		w.key("broadcast").addr(a.Broadcast)
	}
	w.key("scope").str(stateNames.ScopeName(uint8(a.Scope)))
	left := a.Flags &^ (fib.AddrPermanent | fib.AddrSecondary)
	if a.Flags&fib.AddrPermanent == 0 {
		w.key("dynamic").bool(true)
	}
	if a.Flags&fib.AddrSecondary != 0 {
		key := "temporary"
		if a.Local.Is4() {
			key = "secondary"
		}
		w.key(key).bool(true)
	}
	for _, b := range addrFlags {
		if v := fib.AddrFlags(b.value); left&v != 0 {
			w.key(b.name).bool(true)
			left &^= v
		}
	}
	if left != 0 {
		w.key("ifa_flags").hex(uint64(left))
	}
	if a.Protocol != 0 {
		w.key("protocol").uint(uint64(a.Protocol))
	}
	w.name("label", a.Label)
	w.key("valid_life_time").uint(uint64(a.ValidLft))
	w.key("preferred_life_time").uint(uint64(a.PreferredLft))
	if a.Created != 0 {
		w.key("created").uint(uint64(a.Created))
	}
	w.close('}')
}

var neighStates = []bit{
	{uint32(fib.NeighIncomplete), "INCOMPLETE"},
	{uint32(fib.NeighReachable), "REACHABLE"},
	{uint32(fib.NeighStale), "STALE"},
	{uint32(fib.NeighDelay), "DELAY"},
	{uint32(fib.NeighProbe), "PROBE"},
	{uint32(fib.NeighFailed), "FAILED"},
	{uint32(fib.NeighNoARP), "NOARP"},
	{uint32(fib.NeighPermanent), "PERMANENT"},
}

// neighbour reads one neighbour; ok is false for a proxy entry, which is none.
func (d *decoder) neighbour() (n fib.Neighbour, ok bool) {
	const object = "neighbour"
	ok = true
	for it := d.object(); it.next(); {
		switch key := d.key(); string(key) {
		case "dst":
			n.Addr = d.address("dst")
		case "dev":
			n.Link = d.dev()
		case "lladdr":
			n.LLAddr = string(d.str())
		case "state":
			v := d.bitNames("neighbour state", func(word string) (uint32, bool) {
				if word == "NONE" {
					return 0, true
				}
				return bitNamed(neighStates)(word)
			})
			if v > 0xffff {
				d.fail("neighbour state %#x: expected at most 16 bits", v)
			}
			n.State = fib.NeighState(v)
		case "proxy":
			d.skipKnown(object, key)
			ok = false
		case "router", "managed", "extern_learn", "offload", "extern_valid", "protocol", "probes", "refcnt", "used",
			"confirmed", "updated", "ndm_flags", "null":
			d.skipKnown(object, key)
		default:
			d.unknown(object, key)
		}
	}
	return n, ok
}

func (w *jsonWriter) neighbour(n *fib.Neighbour, dev devNames) {
	w.open('{')
	if n.Addr.IsValid() {
		w.key("dst").addr(n.Addr)
	}
	w.key("dev").dev(n.Link, dev)
	w.name("lladdr", n.LLAddr)
	w.key("state").bits(uint32(n.State), neighStates)
	w.close('}')
}

func (d *decoder) addrLabel() (l fib.AddrLabel) {
	var addr netip.Addr
	length := -1
	for it := d.object(); it.next(); {
		switch key := d.key(); string(key) {
		case "address":
			addr = d.address("address")
		case "prefixlen":
			length = int(d.u8())
		case "ifname", "dev":
			l.Link = d.dev()
		case "label":
			l.Label = d.u32()
		default:
			d.unknown("addrlabel", key)
		}
	}
	if d.err == nil && (addr.IsValid() || length >= 0) {
		if l.Prefix = netip.PrefixFrom(addr, length); !l.Prefix.IsValid() {
			d.fail("addrlabel %s: prefixlen %d does not fit it", addr, length)
		}
	}
	return l
}

func (w *jsonWriter) addrLabel(l *fib.AddrLabel, dev devNames) {
	w.open('{')
	if l.Prefix.IsValid() {
		w.key("address").addr(l.Prefix.Addr())
		w.key("prefixlen").uint(uint64(l.Prefix.Bits()))
	}
	if l.Link != 0 {
		w.key("ifname").dev(l.Link, dev)
	}
	w.key("label").uint(uint64(l.Label))
	w.close('}')
}
