package rules_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"

	"github.com/fibula-net/fibula/rules"
)

// fuzzSource makes decisions from fuzzer bytes, and from a generator once they
// are used up, so that the fuzzer steers and nothing loops.
type fuzzSource struct {
	data []byte
	rest *rand.PCG
}

func newFuzzRand(data []byte) *rand.Rand {
	return rand.New(&fuzzSource{data: data, rest: rand.NewPCG(uint64(len(data)), 1)})
}

func (s *fuzzSource) Uint64() uint64 {
	if len(s.data) == 0 {
		return s.rest.Uint64()
	}
	var word [8]byte
	// The generator's high bits decide, so the byte goes there.
	word[0] = s.data[0]
	s.data = s.data[1:]
	return binary.BigEndian.Uint64(word[:])
}

func pick[T any](rnd *rand.Rand, from ...T) T { return from[rnd.IntN(len(from))] }

func chance(rnd *rand.Rand, percent int) bool { return rnd.IntN(100) < percent }

// attributes is a request as a naive person writes it down: attribute → value.
type attributes map[string]string

// Addresses, links and numbers come from tiny universes, so that things meet.
var (
	addresses4 = []netip.Addr{addr("0.0.0.0"), addr("0.1.2.3"), addr("10.0.0.1"), addr("10.0.0.2"), addr("10.128.0.1"), addr("255.255.255.255")}
	addresses6 = []netip.Addr{addr("::"), addr("::1"), addr("2001:db8::1"), addr("2001:db8::2"), addr("2001:db8:8000::1"), addr("::ffff:10.0.0.1")}
	lengths4   = []int{0, 1, 8, 9, 31, 32}
	lengths6   = []int{0, 1, 32, 33, 127, 128}
	linkNames  = []string{"lo", "d0", "d1", "gone"}
)

func randomAddr(rnd *rand.Rand, f rules.Family) netip.Addr {
	if f == rules.Inet {
		return pick(rnd, addresses4...)
	}
	return pick(rnd, addresses6...)
}

func randomPrefix(rnd *rand.Rand, f rules.Family) netip.Prefix {
	bits := pick(rnd, lengths4...)
	if f == rules.Inet6 {
		bits = pick(rnd, lengths6...)
	}
	p := netip.PrefixFrom(randomAddr(rnd, f), bits)
	if chance(rnd, 80) {
		p = p.Masked()
	}
	return p
}

// randomRequest returns a request, and the same as attributes. percent is how
// likely each attribute is; faults allows values that a kernel refuses.
func randomRequest(rnd *rand.Rand, f rules.Family, percent int, faults bool) (rules.Request, attributes) {
	q := rules.Request{Rule: rules.Rule{Family: f}}
	a := attributes{}
	has := func() bool { return chance(rnd, percent) }
	faulty := func() bool { return faults && chance(rnd, 4) }
	set := func(name string, value any) { a[name] = fmt.Sprint(value) }

	q.Action = pick(rnd, rules.ActLookup, rules.ActLookup, rules.ActLookup, rules.ActGoto,
		rules.ActNop, rules.ActBlackhole, rules.ActUnreachable, rules.ActProhibit, rules.Action(9))
	if faults && chance(rnd, 10) {
		q.Action = rules.ActUnspec
	}
	set("action", uint8(q.Action))
	if q.Action != rules.ActGoto || faulty() {
		if q.L3MDev = chance(rnd, 5); q.L3MDev {
			set("l3mdev", 1)
		}
		if !q.L3MDev || faulty() {
			if q.Table = pick[uint32](rnd, 5, 6, 300); faulty() {
				q.Table = 0
			}
			set("table", q.Table)
		}
	}
	if chance(rnd, 80) {
		q.Priority, q.Present = pick[uint32](rnd, 0, 5, 6, 7, 8), q.Present|rules.AttrPriority
		set("priority", q.Priority)
	}
	if (q.Action == rules.ActGoto) != faulty() {
		if q.Goto = uint32(6 + rnd.IntN(5)); faulty() {
			q.Goto = 0
		}
		q.Present |= rules.AttrGoto
		set("goto", q.Goto)
	}
	if q.Not = chance(rnd, 10); q.Not {
		set("not", 1)
	}
	if q.FindSaddr = chance(rnd, 5); q.FindSaddr {
		set("findsaddr", 1)
	}
	if has() {
		q.From = randomPrefix(rnd, f)
		set("from", q.From)
	}
	if has() {
		q.To = randomPrefix(rnd, f)
		set("to", q.To)
	}
	if has() {
		q.Iif = pick(rnd, linkNames...)
		set("iif", q.Iif)
	}
	if has() {
		q.Oif = pick(rnd, linkNames...)
		set("oif", q.Oif)
	}
	if has() {
		q.Mark = pick[uint32](rnd, 0, 1, 0x11)
		set("mark", q.Mark)
	}
	if has() {
		q.MarkMask, q.Present = pick[uint32](rnd, 0, 0xf, 0x1f), q.Present|rules.AttrMarkMask
		set("markmask", q.MarkMask)
	}
	if has() {
		q.TOS = pick[uint8](rnd, 4, 8, 16)
		if f == rules.Inet6 || faulty() {
			q.TOS = pick[uint8](rnd, 4, 0x20, 0xfc)
		}
		if faulty() {
			q.TOS |= 1
		}
		set("tos", q.TOS)
	}
	if has() && (q.TOS == 0 || faulty()) {
		q.DSCP, q.Present = pick[uint8](rnd, 0, 1, 8, 63), q.Present|rules.AttrDSCP
		if faults && chance(rnd, 20) {
			q.DSCP = 64
		}
		set("dscp", q.DSCP)
	}
	if (q.Present&rules.AttrDSCP != 0 || faulty()) && chance(rnd, 50) {
		q.DSCPMask, q.Present = pick(rnd, q.DSCP&0x3f|1, 0x3f), q.Present|rules.AttrDSCPMask
		if faulty() {
			q.DSCPMask = pick[uint8](rnd, 1, 0x40)
		}
		set("dscpmask", q.DSCPMask)
	}
	if f == rules.Inet6 && has() || faulty() {
		q.FlowLabelMask = pick[uint32](rnd, 0, 0xf, 0xfffff)
		q.FlowLabel = pick[uint32](rnd, 0, 1, 0x12345) & q.FlowLabelMask
		if faulty() {
			q.FlowLabel, q.FlowLabelMask = 0x10, pick[uint32](rnd, 0xf, 0x100010)
		}
		both := rules.AttrFlowLabel | rules.AttrFlowLabelMask
		if faulty() {
			both = pick(rnd, rules.AttrFlowLabel, rules.AttrFlowLabelMask)
		}
		if both&rules.AttrFlowLabel != 0 {
			set("flowlabel", q.FlowLabel)
		} else {
			q.FlowLabel = 0
		}
		if both&rules.AttrFlowLabelMask != 0 {
			set("flowlabelmask", q.FlowLabelMask)
		} else {
			q.FlowLabelMask = 0
		}
		q.Present |= both
	}
	if has() {
		q.HasUIDs, q.UIDs = true, pick(rnd, rules.UIDRange{Start: 0, End: 0}, rules.UIDRange{Start: 5, End: 10}, rules.UIDRange{Start: 0, End: 1<<32 - 2})
		if faulty() {
			q.UIDs = pick(rnd, rules.UIDRange{Start: 6, End: 5}, rules.UIDRange{Start: 6, End: 1<<32 - 1})
		}
		set("uids", q.UIDs)
	}
	if has() {
		q.IPProto = pick[uint8](rnd, 6, 17)
		set("ipproto", q.IPProto)
	}
	for _, s := range []struct {
		name        string
		p           *rules.PortRange
		attr, maskA rules.Attr
	}{{"sport", &q.Sport, rules.AttrSport, rules.AttrSportMask}, {"dport", &q.Dport, rules.AttrDport, rules.AttrDportMask}} {
		hasMask := false
		if has() {
			*s.p = pick(rnd, rules.PortRange{Start: 53, End: 53}, rules.PortRange{Start: 50, End: 60}, rules.PortRange{Start: 1, End: 65534})
			if faulty() {
				*s.p = pick(rnd, rules.PortRange{Start: 0, End: 5}, rules.PortRange{Start: 5, End: 4}, rules.PortRange{Start: 9, End: 65535}, rules.PortRange{})
			}
			q.Present |= s.attr
			set(s.name, fmt.Sprint(s.p.Start, "-", s.p.End))
			hasMask = s.p.Start == s.p.End && chance(rnd, 30)
		}
		if hasMask || faulty() {
			s.p.Mask = s.p.Start | 0xf
			if faulty() {
				s.p.Mask = 2
			}
			q.Present |= s.maskA
			set(s.name+"mask", s.p.Mask)
		}
	}
	if has() {
		q.TunID = pick[uint64](rnd, 1, 1<<40)
		set("tunid", q.TunID)
	}
	if has() {
		q.Realms, q.Present = pick[uint32](rnd, 0, 3, 0x10002), q.Present|rules.AttrRealms
		set("realms", q.Realms)
	}
	if has() {
		q.SuppressPrefixLength = rules.Some(pick[uint32](rnd, 0, 8, 1<<32-1))
		set("suppresslength", q.SuppressPrefixLength.V)
	}
	if has() {
		q.SuppressIfGroup = rules.Some(pick[uint32](rnd, 0, 8, 1<<32-1))
		set("suppressgroup", q.SuppressIfGroup.V)
	}
	if chance(rnd, 50) {
		q.Protocol = 3
		set("protocol", 3)
	}
	return q, a
}

func randomFlow(rnd *rand.Rand, f rules.Family) rules.Flow {
	flow := rules.Flow{
		Family:    f,
		Dst:       randomAddr(rnd, f),
		Iif:       pick[int32](rnd, 1, 2, 3),
		Oif:       pick[int32](rnd, 0, 0, 1, 2, 3),
		Mark:      pick[uint32](rnd, 0, 1, 0x11, 0x21),
		TOS:       pick[uint8](rnd, 0, 4, 8, 16, 0x20, 0x24, 0xfc, 0xff),
		FlowLabel: pick[uint32](rnd, 0, 1, 0x12345),
		UID:       pick[uint32](rnd, 0, 4, 5, 10, 11, 1<<32-1),
		IPProto:   pick[uint8](rnd, 0, 6, 17),
		Sport:     pick[uint16](rnd, 0, 1, 49, 50, 53, 60, 61, 65535),
		Dport:     pick[uint16](rnd, 0, 1, 49, 50, 53, 60, 61, 65535),
		TunID:     pick[uint64](rnd, 0, 1),
		L3Master:  pick[int32](rnd, 0, 0, 2, 3),
		L3FromOif: chance(rnd, 50),
	}
	if chance(rnd, 70) {
		flow.Src = randomAddr(rnd, f)
	}
	return flow
}

// links resolves linkNames: d0 is a plain link, d1 an L3 master.
func links(name string) (int32, bool) {
	switch name {
	case "lo":
		return 1, false
	case "d0":
		return 2, false
	case "d1":
		return 3, true
	}
	return 0, false
}
