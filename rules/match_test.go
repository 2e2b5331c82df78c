package rules_test

import (
	"encoding/binary"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/internal/conformance"
	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/rules"
)

// condition is one selector of a rule, on its own.
type condition struct {
	selector rules.Selector
	holds    bool
}

// conditions lists the selectors that the rule has in the order of the
// reference, each evaluated for itself: the model of Match.
func conditions(e *rules.Entry, f *rules.Flow, p rules.Profile) []condition {
	var cs []condition
	add := func(has bool, s rules.Selector, holds bool) {
		if has {
			cs = append(cs, condition{s, holds})
		}
	}
	add(e.IifDetached(), rules.SelIifDetached, false)
	byDomain := e.IifMaster && p.L3MDevByDomain
	add(e.IifIndex != 0 && !byDomain, rules.SelIif, f.Iif == e.IifIndex)
	add(e.IifIndex != 0 && byDomain, rules.SelIif, f.L3Master == e.IifIndex && !f.L3FromOif)
	add(e.OifDetached(), rules.SelOifDetached, false)
	byDomain = e.OifMaster && p.L3MDevByDomain
	add(e.OifIndex != 0 && !byDomain, rules.SelOif, f.Oif == e.OifIndex)
	add(e.OifIndex != 0 && byDomain, rules.SelOif, f.L3Master == e.OifIndex && f.L3FromOif)
	add(e.MarkMask != 0, rules.SelMark, f.Mark&e.MarkMask == e.Mark&e.MarkMask)
	add(e.TunID != 0, rules.SelTunID, f.TunID == e.TunID)
	add(e.L3MDev, rules.SelL3MDev, f.L3Master != 0)
	add(e.HasUIDs, rules.SelUID, e.UIDs.Start <= f.UID && f.UID <= e.UIDs.End)

	unset := netip.IPv4Unspecified()
	if e.Family == rules.Inet6 {
		unset = netip.IPv6Unspecified()
	}
	src, dst := f.Src, f.Dst
	if !src.IsValid() {
		src = unset
	}
	if !dst.IsValid() {
		dst = unset
	}
	to := func() { add(e.To.IsValid(), rules.SelTo, samePrefix(e.To, dst)) }
	dscp := f.TOS >> 2
	if e.Family == rules.Inet {
		add(e.From.IsValid(), rules.SelFrom, samePrefix(e.From, src))
		to()
		add(e.TOS != 0, rules.SelTOS, e.TOS>>2 == dscp&7)
	} else {
		to()
		add(e.From.IsValid(), rules.SelFrom, src == unset && e.FindSaddr || src != unset && samePrefix(e.From, src))
		add(e.TOS != 0, rules.SelTOS, e.TOS>>2 == dscp)
	}
	add(e.DSCPMask != 0, rules.SelDSCP, dscp&e.DSCPMask == e.DSCP)
	add(e.FlowLabelMask != 0, rules.SelFlowLabel, f.FlowLabel&e.FlowLabelMask == e.FlowLabel)
	add(e.IPProto != 0, rules.SelIPProto, f.IPProto == e.IPProto)
	add(e.Sport.Start != 0, rules.SelSport, samePort(e.Sport, f.Sport))
	add(e.Dport.Start != 0, rules.SelDport, samePort(e.Dport, f.Dport))
	return cs
}

// samePrefix compares by arithmetic: both addresses without their low bits.
func samePrefix(p netip.Prefix, a netip.Addr) bool {
	shift := uint(a.BitLen() - p.Bits())
	x, y := new(big.Int).SetBytes(a.AsSlice()), new(big.Int).SetBytes(p.Addr().AsSlice())
	return x.Rsh(x, shift).Cmp(y.Rsh(y, shift)) == 0
}

func samePort(p rules.PortRange, port uint16) bool {
	if p.Mask != 0 {
		return port&p.Mask == p.Start&p.Mask
	}
	return p.Start <= port && port <= p.End
}

// checkMatch compares Match with the model for one rule and flow, then with
// its own answer for the inverted rule.
func checkMatch(t *testing.T, r rules.Rule, f *rules.Flow, p rules.Profile) {
	t.Helper()
	match := func(r rules.Rule) (*rules.Entry, bool, rules.Selector, bool) {
		l := rules.Load(r.Family, []rules.Rule{r}).Bind(links)
		matched, failed, deferred := l.Match(0, f, p)
		return l.At(0), matched, failed, deferred
	}
	r.Not = false
	e, matched, failed, deferred := match(r)
	want := rules.SelNone
	for _, c := range conditions(e, f, p) {
		if !c.holds {
			want = c.selector
			break
		}
	}
	if failed != want || matched != (want == rules.SelNone) {
		t.Fatalf("rule %v\nflow %+v\ngot %v %v, want %v", e.Rule, *f, matched, failed, want)
	}
	noSource := !f.Src.IsValid() || f.Src.IsUnspecified()
	if wantDeferred := matched && r.FindSaddr && r.Family == rules.Inet6 && e.From.IsValid() && noSource; deferred != wantDeferred {
		t.Fatalf("rule %v\nflow %+v\ndeferred %v, want %v", e.Rule, *f, deferred, wantDeferred)
	}
	r.Not = true
	_, inverted, why, _ := match(r)
	wantWhy := failed
	if matched {
		wantWhy = rules.SelNot
	}
	if inverted == matched || why != wantWhy {
		t.Fatalf("rule %v\nflow %+v\ninverted: got %v %v, want %v %v", r, *f, inverted, why, !matched, wantWhy)
	}
}

func randomMatch(t *testing.T, rnd *rand.Rand) {
	f := pick(rnd, rules.Inet, rules.Inet6)
	q, _ := randomRequest(rnd, f, pick(rnd, 5, 10, 30), false)
	flow := randomFlow(rnd, f)
	checkMatch(t, q.Rule, &flow, rules.Profile{L3MDevByDomain: chance(rnd, 50)})
}

func TestMatchIsTheFirstFailingCondition(t *testing.T) {
	rnd := randtest.Rand(t)
	for range randtest.Fewer(100_000) {
		randomMatch(t, rnd)
	}
}

func FuzzMatch(f *testing.F) {
	f.Add([]byte{})
	f.Add(binary.BigEndian.AppendUint64(nil, 0x0123456789abcdef))
	f.Fuzz(func(t *testing.T, data []byte) { randomMatch(t, newFuzzRand(data)) })
}

// TestEachSelectorDecides has, for every selector, flows that hit and miss it,
// at its edges, in a rule that has only this selector.
func TestEachSelectorDecides(t *testing.T) {
	type flows = []rules.Flow
	some := func(fs ...rules.Flow) flows { return fs }
	src := func(s ...string) (fs flows) {
		for _, a := range s {
			fs = append(fs, rules.Flow{Src: addr(a)})
		}
		return fs
	}
	dst := func(s ...string) (fs flows) {
		for _, a := range s {
			fs = append(fs, rules.Flow{Dst: addr(a)})
		}
		return fs
	}
	tos := func(ts ...uint8) (fs flows) {
		for _, n := range ts {
			fs = append(fs, rules.Flow{TOS: n})
		}
		return fs
	}
	dports := func(ps ...uint16) (fs flows) {
		for _, n := range ps {
			fs = append(fs, rules.Flow{Dport: n})
		}
		return fs
	}
	unset := some(rules.Flow{})
	for _, c := range []struct {
		name      string
		family    rules.Family
		rule      rules.Rule
		selector  rules.Selector
		hit, miss flows
	}{
		{"from", rules.Inet, rules.Rule{From: pfx("10.0.0.0/8")}, rules.SelFrom,
			src("10.0.0.0", "10.255.255.255"), append(src("9.255.255.255", "11.0.0.0", "0.0.0.0"), unset...)},
		{"from 0/8 holds the unset source", rules.Inet, rules.Rule{From: pfx("0.0.0.0/8")}, rules.SelFrom, unset, src("1.0.0.0")},
		{"from /0 is no selector", rules.Inet, rules.Rule{From: pfx("0.0.0.0/0")}, rules.SelFrom, append(src("1.2.3.4"), unset...), nil},
		{"from with host bits", rules.Inet, rules.Rule{From: pfx("10.0.0.9/24")}, rules.SelFrom, src("10.0.0.1"), src("10.0.1.9")},
		{"from", rules.Inet6, rules.Rule{From: pfx("2001:db8::/32")}, rules.SelFrom,
			src("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::1%d0"), append(src("2001:db9::", "::"), unset...)},
		{"from ::/8 misses the unset source", rules.Inet6, rules.Rule{From: pfx("::/8")}, rules.SelFrom, src("::1"), append(src("::"), unset...)},
		{"from mapped is IPv6", rules.Inet6, rules.Rule{From: pfx("::ffff:10.0.0.0/104")}, rules.SelFrom, src("::ffff:10.1.1.1"), src("::ffff:11.1.1.1")},
		{"find saddr", rules.Inet6, rules.Rule{From: pfx("2001:db8::/32"), FindSaddr: true}, rules.SelFrom, append(src("2001:db8::1"), unset...), src("2001:db9::")},
		{"find saddr is IPv6 only", rules.Inet, rules.Rule{From: pfx("10.0.0.0/8"), FindSaddr: true}, rules.SelFrom, src("10.0.0.0"), unset},
		{"to", rules.Inet, rules.Rule{To: pfx("10.0.0.1/32")}, rules.SelTo, dst("10.0.0.1"), append(dst("10.0.0.0", "10.0.0.2"), unset...)},
		{"to", rules.Inet6, rules.Rule{To: pfx("2001:db8::1/128")}, rules.SelTo, dst("2001:db8::1"), append(dst("2001:db8::"), unset...)},
		{"to ::/127 holds the unset destination", rules.Inet6, rules.Rule{To: pfx("::/127")}, rules.SelTo, append(dst("::1"), unset...), dst("::2")},
		{"iif", rules.Inet, rules.Rule{Iif: "d0"}, rules.SelIif, some(rules.Flow{Iif: 2}), some(rules.Flow{Iif: 1}, rules.Flow{Iif: 3}, rules.Flow{})},
		{"iif detached", rules.Inet6, rules.Rule{Iif: "gone"}, rules.SelIifDetached, nil, some(rules.Flow{}, rules.Flow{Iif: 1}, rules.Flow{Iif: -1})},
		{"oif", rules.Inet6, rules.Rule{Oif: "d0"}, rules.SelOif, some(rules.Flow{Oif: 2}), some(rules.Flow{Oif: 1}, rules.Flow{})},
		{"oif detached", rules.Inet, rules.Rule{Oif: "gone"}, rules.SelOifDetached, nil, some(rules.Flow{}, rules.Flow{Oif: -1})},
		{"fwmark", rules.Inet, rules.Rule{Mark: 5, MarkMask: 0xf}, rules.SelMark, some(rules.Flow{Mark: 5}, rules.Flow{Mark: 0xf5}), some(rules.Flow{}, rules.Flow{Mark: 4})},
		{"fwmark 0 with mask", rules.Inet6, rules.Rule{MarkMask: 0xff}, rules.SelMark, some(rules.Flow{}, rules.Flow{Mark: 0x100}), some(rules.Flow{Mark: 1})},
		{"fwmark bits outside the mask are ignored", rules.Inet, rules.Rule{Mark: 0x105, MarkMask: 0xf}, rules.SelMark, some(rules.Flow{Mark: 5}), some(rules.Flow{Mark: 0x100})},
		{"tos ignores upper DSCP bits", rules.Inet, rules.Rule{TOS: 0x10}, rules.SelTOS, tos(0x10, 0x13, 0xf0), tos(0, 0x14, 0xe0)},
		{"tos is all of DSCP", rules.Inet6, rules.Rule{TOS: 0x10}, rules.SelTOS, tos(0x10, 0x13), tos(0, 0x14, 0xf0)},
		{"dscp", rules.Inet, rules.Rule{DSCP: 0x24, DSCPMask: 0x3f}, rules.SelDSCP, tos(0x90, 0x93), tos(0x10, 0)},
		{"dscp 0 is a selector", rules.Inet6, rules.Rule{DSCPMask: 0x3f}, rules.SelDSCP, tos(0, 3), tos(4, 0x80)},
		{"dscp mask", rules.Inet, rules.Rule{DSCP: 8, DSCPMask: 0x38}, rules.SelDSCP, tos(0x20, 0x3c), tos(0, 0x40)},
		{"flowlabel", rules.Inet6, rules.Rule{FlowLabel: 0x10, FlowLabelMask: 0xf0}, rules.SelFlowLabel, some(rules.Flow{FlowLabel: 0x11f}), some(rules.Flow{}, rules.Flow{FlowLabel: 0x20})},
		{"flowlabel has 20 bits", rules.Inet6, rules.Rule{FlowLabel: 0x80001, FlowLabelMask: 0xfffff}, rules.SelFlowLabel, some(rules.Flow{FlowLabel: 0x80001}), some(rules.Flow{FlowLabel: 1}, rules.Flow{FlowLabel: 0xc0001}, rules.Flow{FlowLabel: 0x80000})},
		{"uidrange", rules.Inet, rules.Rule{HasUIDs: true, UIDs: rules.UIDRange{Start: 5, End: 7}}, rules.SelUID, some(rules.Flow{UID: 5}, rules.Flow{UID: 7}), some(rules.Flow{UID: 4}, rules.Flow{UID: 8}, rules.Flow{UID: 1<<32 - 1})},
		{"uidrange 0-0", rules.Inet6, rules.Rule{HasUIDs: true}, rules.SelUID, some(rules.Flow{}), some(rules.Flow{UID: 1})},
		{"uids without HasUIDs", rules.Inet, rules.Rule{UIDs: rules.UIDRange{Start: 5, End: 7}}, rules.SelUID, some(rules.Flow{UID: 1<<32 - 1}), nil},
		{"ipproto", rules.Inet, rules.Rule{IPProto: 17}, rules.SelIPProto, some(rules.Flow{IPProto: 17}), some(rules.Flow{}, rules.Flow{IPProto: 6})},
		{"sport", rules.Inet6, rules.Rule{Sport: rules.Port(53)}, rules.SelSport, some(rules.Flow{Sport: 53}), some(rules.Flow{}, rules.Flow{Sport: 54}, rules.Flow{Dport: 53})},
		{"dport range", rules.Inet, rules.Rule{Dport: rules.Ports(50, 60)}, rules.SelDport, dports(50, 60), dports(0, 49, 61)},
		{"dport mask", rules.Inet6, rules.Rule{Dport: rules.PortRange{Start: 0x50, End: 0x50, Mask: 0xfff0}}, rules.SelDport, dports(0x50, 0x5f), dports(0x4f, 0x60)},
		{"tun_id", rules.Inet, rules.Rule{TunID: 9}, rules.SelTunID, some(rules.Flow{TunID: 9}), some(rules.Flow{}, rules.Flow{TunID: 8})},
		{"l3mdev", rules.Inet6, rules.Rule{L3MDev: true}, rules.SelL3MDev, some(rules.Flow{L3Master: 3}), some(rules.Flow{})},
	} {
		c.rule.Family = c.family
		for _, p := range []rules.Profile{{}, {L3MDevByDomain: true}} {
			l := rules.Load(c.family, []rules.Rule{c.rule}).Bind(links)
			for _, f := range c.hit {
				f.Family = c.family
				matched, failed, _ := l.Match(0, &f, p)
				assert.True(t, matched, "%s %s %+v", c.family, c.name, f)
				assert.Equal(t, rules.SelNone, failed)
				checkMatch(t, c.rule, &f, p)
			}
			for _, f := range c.miss {
				f.Family = c.family
				matched, failed, _ := l.Match(0, &f, p)
				assert.False(t, matched, "%s %s %+v", c.family, c.name, f)
				assert.Equal(t, c.selector, failed, "%s %s %+v", c.family, c.name, f)
				checkMatch(t, c.rule, &f, p)
			}
		}
	}
}

func TestL3MasterNamesMatchByDomainWhereTheKernelDoes(t *testing.T) {
	conformance.CoversEngine(t, "L14", "L15", "L16", "I16")
	l := rules.Load(rules.Inet, []rules.Rule{
		{Family: rules.Inet, Iif: "d1"},
		{Family: rules.Inet, Oif: "d1"},
	}).Bind(links)
	slaveIn := rules.Flow{Iif: 2, L3Master: 3}
	vrfOut := rules.Flow{Iif: 1, L3Master: 3, L3FromOif: true} // its oif was cleared (L5)
	vrfIndex := rules.Flow{Iif: 3, Oif: 3}
	for _, c := range []struct {
		rule     int
		flow     rules.Flow
		byDomain bool
		want     bool
	}{
		{0, slaveIn, true, true}, {0, vrfOut, true, false}, {0, vrfIndex, true, false},
		{1, slaveIn, true, false}, {1, vrfOut, true, true}, {1, vrfIndex, true, false},
		{0, slaveIn, false, false}, {0, vrfIndex, false, true},
		{1, vrfOut, false, false}, {1, vrfIndex, false, true},
	} {
		matched, _, _ := l.Match(c.rule, &c.flow, rules.Profile{L3MDevByDomain: c.byDomain})
		assert.Equal(t, c.want, matched, "%+v", c)
	}
}

func TestNotesL3TableOnlyWhereTheSelectorWasReached(t *testing.T) {
	r := rules.Rule{Family: rules.Inet, L3MDev: true, Iif: "d0", To: pfx("10.0.0.0/8"), Not: true}
	l := rules.Load(rules.Inet, []rules.Rule{r}).Bind(links)
	for _, c := range []struct {
		flow rules.Flow
		want bool
	}{
		{rules.Flow{Iif: 2, L3Master: 3, Dst: addr("11.0.0.1")}, true},
		{rules.Flow{Iif: 2, L3Master: 3, Dst: addr("10.0.0.1")}, true},
		{rules.Flow{Iif: 1, L3Master: 3, Dst: addr("11.0.0.1")}, false},
		{rules.Flow{Iif: 2, Dst: addr("11.0.0.1")}, false},
	} {
		_, failed, _ := l.Match(0, &c.flow, rules.Profile{})
		assert.Equal(t, c.want, l.At(0).NotesL3Table(&c.flow, failed), "%+v", c.flow)
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	rnd := randtest.Rand(t)
	var rs []rules.Rule
	for range 200 {
		q, _ := randomRequest(rnd, rules.Inet6, 10, false)
		rs = append(rs, q.Rule)
	}
	l := rules.Load(rules.Inet6, rs).Bind(links)
	f := randomFlow(rnd, rules.Inet6)
	allocs := testing.AllocsPerRun(100, func() {
		for i := range l.Len() {
			l.Match(i, &f, rules.Profile{L3MDevByDomain: true})
			l.Target(i)
		}
	})
	require.Zero(t, allocs)
}

func TestSuppressors(t *testing.T) {
	for _, c := range []struct {
		rule  rules.Rule
		bits  int
		group uint32
		want  rules.Suppressor
	}{
		{rules.Rule{}, 0, 0, rules.SuppressNone},
		{rules.Rule{SuppressPrefixLength: rules.Some(0)}, 0, 0, rules.SuppressPrefixLength},
		{rules.Rule{SuppressPrefixLength: rules.Some(0)}, 1, 0, rules.SuppressNone},
		{rules.Rule{SuppressPrefixLength: rules.Some(24)}, 24, 0, rules.SuppressPrefixLength},
		{rules.Rule{SuppressPrefixLength: rules.Some(24)}, 25, 0, rules.SuppressNone},
		{rules.Rule{SuppressPrefixLength: rules.Some(1 << 31)}, 0, 0, rules.SuppressNone},
		{rules.Rule{SuppressIfGroup: rules.Some(0)}, 8, 0, rules.SuppressIfGroup},
		{rules.Rule{SuppressIfGroup: rules.Some(7)}, 8, 0, rules.SuppressNone},
		{rules.Rule{SuppressPrefixLength: rules.Some(8), SuppressIfGroup: rules.Some(7)}, 8, 7, rules.SuppressPrefixLength},
		{rules.Rule{SuppressPrefixLength: rules.Some(8), SuppressIfGroup: rules.Some(7)}, 9, 7, rules.SuppressIfGroup},
	} {
		assert.Equal(t, c.want, c.rule.SuppressedBy(c.bits, c.group), "%+v", c)
		assert.Equal(t, c.want != rules.SuppressNone, c.rule.Suppresses(c.bits, c.group))
	}
}

func BenchmarkMatch(b *testing.B) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, family := range []rules.Family{rules.Inet, rules.Inet6} {
		b.Run("family="+family.String(), func(b *testing.B) {
			var rs []rules.Rule
			for range 1024 {
				q, _ := randomRequest(rnd, family, 10, false)
				rs = append(rs, q.Rule)
			}
			l := rules.Load(family, rs).Bind(links)
			var fs [1024]rules.Flow
			for i := range fs {
				fs[i] = randomFlow(rnd, family)
			}
			matches, n := 0, 0
			for b.Loop() {
				if ok, _, _ := l.Match(n&1023, &fs[n>>10&1023], rules.Profile{}); ok {
					matches++
				}
				n++
			}
			b.ReportMetric(float64(matches)/float64(n), "matches/op")
		})
	}
}
