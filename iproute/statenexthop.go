package iproute

import "github.com/fibula-net/fibula/fib"

// Nexthop objects have the keys of "ip -j -d nexthop show". Ours are "family", which no
// iproute2 writes, "nhscope" and "bucket_nhids", the members that the buckets of a
// resilient group hold, which iproute2 lists apart ("nexthop bucket").

// idleUnit: iproute2 writes timers in seconds, the kernel keeps hundredths.
const idleUnit = 100

func (d *decoder) nexthop() (o fib.NexthopObject) {
	const object = "nexthop"
	encap, hasWeight := false, false
	for it := d.object(); it.next(); {
		key := d.key()
		switch string(key) {
		case "scope":
			o.Scope = d.scope()
			continue
		case "weight":
			hasWeight = true
		}
		encap = encap || string(key) == "encap"
		if d.legKey(&o.Nexthop, key) {
			continue
		}
		switch string(key) {
		case "id":
			if encap && d.capture {
				d.skip() // the tunnel's
			} else {
				o.ID = d.u32()
			}
		case "family":
			o.Family = d.family()
		case "blackhole":
			o.Blackhole = d.flag()
		case "fdb":
			o.FDB = d.flag()
		case "source":
			o.Source = d.address("source")
		case "group":
			for it := d.array(); it.next(); {
				o.Group = append(o.Group, d.groupMember())
			}
		case "type":
			switch s := d.str(); string(s) {
			case "resilient":
				o.Resilient = true
			case "mpath":
			default:
				d.fail("nexthop group type %q: expected mpath or resilient", s)
			}
		case "resilient_args":
			d.resilientArgs(&o)
		case "bucket_nhids":
			for it := d.array(); it.next(); {
				o.Buckets = append(o.Buckets, d.u32())
			}
		case "protocol":
			o.Protocol = fib.Protocol(word(d, "protocol", 8, d.names.Protocol))
		case "flags":
			if encap && d.peek() != '[' {
				d.skip() // the tunnel's
				continue
			}
			v := d.bitNames("nexthop flag", bitNamed(legFlags))
			if v > 0xff {
				d.fail("nexthop flags %#x: expected at most 8 bits", v)
			}
			o.Nexthop.Flags = fib.NexthopFlags(v)
		case "group_stats", "hw_stats", "used":
			d.skipKnown(object, key)
		default:
			if encap && d.capture {
				d.skip()
			} else {
				d.unknown(object, key)
			}
		}
	}
	if !hasWeight {
		o.Nexthop.Weight = ownWeight(&o)
	}
	if d.capture && o.Nexthop.Gateway.IsValid() {
		o.Family = familyOf(o.Nexthop.Gateway)
	}
	return o
}

// ownWeight is the weight of the leg that an object itself is.
func ownWeight(o *fib.NexthopObject) uint16 {
	if o.IsGroup() {
		return 0
	}
	return 1
}

func (d *decoder) groupMember() (m fib.GroupMember) {
	if d.capture {
		m.Weight = 1 // left out by ip
	}
	for it := d.object(); it.next(); {
		switch key := d.key(); string(key) {
		case "id":
			m.ID = d.u32()
		case "weight":
			m.Weight = d.u16()
		case "packets", "packets_hw":
			d.skipKnown("nexthop group", key)
		default:
			d.unknown("nexthop group", key)
		}
	}
	return m
}

func (d *decoder) resilientArgs(o *fib.NexthopObject) {
	for it := d.object(); it.next(); {
		switch key := d.key(); string(key) {
		case "idle_timer":
			o.IdleTimer = d.scaled(idleUnit)
		case "unbalanced_timer":
			o.UnbalancedTimer = d.scaled(idleUnit)
		case "buckets", "unbalanced_time":
			d.skipKnown("resilient_args", key) // the list of buckets tells; a clock
		default:
			d.unknown("resilient_args", key)
		}
	}
}

// bucket reads one line of "ip -j nexthop bucket".
func (d *decoder) bucket() (group uint32, index int, member uint32) {
	for it := d.object(); it.next(); {
		switch key := d.key(); string(key) {
		case "id":
			group = d.u32()
		case "bucket":
			for it := d.object(); it.next(); {
				switch key := d.key(); string(key) {
				case "index":
					index = int(d.u16())
				case "nhid":
					member = d.u32()
				case "idle_time":
					d.skip()
				default:
					d.unknown("nexthop bucket", key)
				}
			}
		case "flags":
			d.skip()
		default:
			d.unknown("nexthop bucket", key)
		}
	}
	return group, index, member
}

func (w *jsonWriter) nexthop(o *fib.NexthopObject, dev devNames) {
	w.open('{')
	w.key("id").uint(uint64(o.ID))
	if o.Family != 0 {
		w.key("family").str(o.Family.String())
	}
	if len(o.Group) > 0 {
		w.key("group").open('[')
		for _, m := range o.Group {
			w.open('{')
			w.key("id").uint(uint64(m.ID))
			w.key("weight").uint(uint64(m.Weight))
			w.close('}')
		}
		w.close(']')
	}
	if o.Resilient {
		w.key("type").str("resilient")
	}
	if o.IdleTimer != 0 || o.UnbalancedTimer != 0 {
		w.key("resilient_args").open('{')
		w.key("idle_timer").fraction(o.IdleTimer, idleUnit)
		w.key("unbalanced_timer").fraction(o.UnbalancedTimer, idleUnit)
		w.close('}')
	}
	if len(o.Buckets) > 0 {
		w.key("bucket_nhids").open('[')
		for _, id := range o.Buckets {
			w.uint(uint64(id))
		}
		w.close(']')
	}
	w.legKeys(&o.Nexthop, familyOf(o.Nexthop.Gateway), ownWeight(o), dev)
	w.key("scope").str(stateNames.ScopeName(uint8(o.Scope)))
	w.flag("blackhole", o.Blackhole)
	w.key("protocol").str(stateNames.ProtocolName(uint8(o.Protocol)))
	if o.Nexthop.Flags != 0 {
		w.key("flags").bits(uint32(o.Nexthop.Flags), legFlags)
	}
	w.flag("fdb", o.FDB)
	if o.Source.IsValid() {
		w.key("source").addr(o.Source)
	}
	w.close('}')
}
