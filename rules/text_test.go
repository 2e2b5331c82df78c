package rules_test

import (
	"encoding"
	"net/netip"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/internal/errno"
	"github.com/fibula-net/fibula/rules"
)

func TestRuleString(t *testing.T) {
	for want, r := range map[string]rules.Rule{
		"100:\tfrom 10.0.0.1 to 10.1.0.0/16 lookup 50":                             {Priority: 100, From: pfx("10.0.0.1/32"), To: pfx("10.1.0.0/16"), Action: rules.ActLookup, Table: 50},
		"0:\tnot from all fwmark 0x1 iif d0 oif d1 lookup main":                    {Not: true, Mark: 1, MarkMask: 1<<32 - 1, Iif: "d0", Oif: "d1", Action: rules.ActLookup, Table: 254},
		"5:\tfrom all tos 0x10 fwmark 0/0xff goto 10":                              {Priority: 5, TOS: 16, MarkMask: 0xff, Action: rules.ActGoto, Goto: 10},
		"5:\tfrom 2001:db8::/32 dscp 0x8 flowlabel 0x1/0xff lookup [l3mdev-table]": {Priority: 5, From: pfx("2001:db8::/32"), DSCP: 8, DSCPMask: 63, FlowLabel: 1, FlowLabelMask: 255, L3MDev: true, Action: rules.ActLookup},
		"5:\tfrom all dscp 0/0x7 uidrange 0-5 ipproto 6 sport 53 dport 50-60 nop":  {Priority: 5, DSCPMask: 7, HasUIDs: true, UIDs: rules.UIDRange{End: 5}, IPProto: 6, Sport: rules.Port(53), Dport: rules.Ports(50, 60), Action: rules.ActNop},
		"5:\tfrom all dport 0x50/0xfff0 tun_id 9 realms 1/2 blackhole proto 3":     {Priority: 5, Dport: rules.PortRange{Start: 0x50, End: 0x50, Mask: 0xfff0}, TunID: 9, Realms: 0x10002, Action: rules.ActBlackhole, Protocol: 3},
		"5:\tfrom all lookup local suppress_prefixlength 0 suppress_ifgroup 7":     {Priority: 5, Action: rules.ActLookup, Table: 255, SuppressPrefixLength: rules.Some(0), SuppressIfGroup: rules.Some(7)},
		"5:\tfrom all lookup default realms 2":                                     {Priority: 5, Action: rules.ActLookup, Table: 253, Realms: 2, Protocol: 2},
		"5:\tfrom all action(9)":                                                   {Priority: 5, Action: 9},
		"4294967295:\tfrom 0.0.0.0/1 prohibit":                                     {Priority: 1<<32 - 1, From: pfx("0.0.0.0/1"), Action: rules.ActProhibit},
		"7:\tfrom all lookup 5 suppress_prefixlength -2":                           {Priority: 7, Action: rules.ActLookup, Table: 5, SuppressPrefixLength: rules.Some(1<<32 - 2)},
		"8:\tfrom ::ffff:10.0.0.1 unreachable":                                     {Priority: 8, From: pfx("::ffff:10.0.0.1/128"), Action: rules.ActUnreachable},
		"9:\tfrom all to 10.0.0.9/24 lookup 4294967295 suppress_prefixlength 4096": {Priority: 9, To: pfx("10.0.0.9/24"), Action: rules.ActLookup, Table: 1<<32 - 1, SuppressPrefixLength: rules.Some(4096)},
	} {
		assert.Equal(t, want, r.String())
	}
}

func TestRefusalsNameSelectorValueAndReason(t *testing.T) {
	nop := func(f rules.Family) rules.Rule { return rules.Rule{Family: f, Priority: 5, Action: rules.ActNop} }
	edit := func(f rules.Family, change func(*rules.Rule)) rules.Request {
		r := nop(f)
		change(&r)
		return rules.RequestOf(r)
	}
	with := func(f rules.Family, present rules.Attr) rules.Request {
		q := rules.RequestOf(nop(f))
		q.Present |= present
		return q
	}
	const v4, v6 = rules.Inet, rules.Inet6
	for _, c := range []struct {
		q     rules.Request
		errno errno.Errno
		text  string
	}{
		{edit(v4, func(r *rules.Rule) { r.Dport = rules.Ports(100, 50) }), errno.EINVAL, "dport 100-50: start above end (EINVAL)"},
		{edit(v4, func(r *rules.Rule) { r.Sport = rules.Ports(1, 65535) }), errno.EINVAL, "sport 1-65535: end is 65535 (EINVAL)"},
		{with(v4, rules.AttrSport), errno.EINVAL, "sport 0-0: start is 0 (EINVAL)"},
		{with(v4, rules.AttrDportMask), errno.EINVAL, "dport mask 0x0: no port (EINVAL)"},
		{edit(v4, func(r *rules.Rule) { r.Dport = rules.PortRange{Start: 1, End: 2, Mask: 3} }), errno.EINVAL, "dport mask 0x3: 1-2 is a range (EINVAL)"},
		{edit(v4, func(r *rules.Rule) { r.Dport = rules.PortRange{Start: 4, End: 4, Mask: 3} }), errno.EINVAL, "dport 0x4/0x3: port has bits outside the mask (EINVAL)"},
		{edit(v4, func(r *rules.Rule) { r.Iif = "a-name-of-16-char" }), errno.ERANGE, `iif "a-name-of-16-char": longer than 15 bytes (ERANGE)`},
		{edit(v4, func(r *rules.Rule) { r.Oif = "a\x00b" }), errno.EINVAL, `oif "a\x00b": a name ends before a NUL byte (EINVAL)`},
		{edit(v6, func(r *rules.Rule) { r.DSCP = 64 }), errno.ERANGE, "dscp 64: above 63 (ERANGE)"},
		{edit(v6, func(r *rules.Rule) { r.DSCPMask = 64 }), errno.EINVAL, "dscp mask 0x40: above 0x3f (EINVAL)"},
		{with(v6, rules.AttrDSCPMask), errno.EINVAL, "dscp mask 0x0: no dscp (EINVAL)"},
		{edit(v6, func(r *rules.Rule) { r.DSCP, r.DSCPMask = 3, 1 }), errno.EINVAL, "dscp 0x3/0x1: value has bits outside the mask (EINVAL)"},
		{edit(v6, func(r *rules.Rule) { r.DSCP, r.TOS = 3, 4 }), errno.EINVAL, "dscp 3: not together with tos 0x4 (EINVAL)"},
		{edit(v6, func(r *rules.Rule) { r.TOS = 1 }), errno.EINVAL, "tos 0x1: bits 0 and 1 are not part of the TOS (EINVAL)"},
		{edit(v4, func(r *rules.Rule) { r.TOS = 0x80 }), errno.EINVAL, "tos 0x80: bits outside 0x1c; IPv4 needs dscp for them (EINVAL)"},
		{edit(v4, func(r *rules.Rule) { r.FlowLabel = 5 }), errno.EINVAL, "flowlabel 0x5: IPv4 has no flow label (EINVAL)"},
		{edit(v6, func(r *rules.Rule) { r.FlowLabel = 5 }), errno.EINVAL, "flowlabel 0x5: no mask (EINVAL)"},
		{with(v6, rules.AttrFlowLabelMask), errno.EINVAL, "flowlabel mask 0x0: no flow label (EINVAL)"},
		{edit(v6, func(r *rules.Rule) { r.FlowLabelMask = 1 << 20 }), errno.EINVAL, "flowlabel mask 0x100000: more than 20 bits (EINVAL)"},
		{edit(v6, func(r *rules.Rule) { r.FlowLabel, r.FlowLabelMask = 2, 1 }), errno.EINVAL, "flowlabel 0x2/0x1: value has bits outside the mask (EINVAL)"},
		{edit(v6, func(r *rules.Rule) { r.HasUIDs, r.UIDs = true, rules.UIDRange{Start: 2, End: 1} }), errno.EINVAL, "uidrange 2-1: start above end (EINVAL)"},
		{edit(v6, func(r *rules.Rule) { r.HasUIDs, r.UIDs = true, rules.UIDRange{Start: 2, End: 1<<32 - 1} }), errno.EINVAL, "uidrange 2-4294967295: 4294967295 is no user id (EINVAL)"},
		{edit(v4, func(r *rules.Rule) { r.From = pfx("::/1") }), errno.EINVAL, "from ::/1: not an inet prefix (EINVAL)"},
		{edit(v4, func(r *rules.Rule) { r.To = netip.PrefixFrom(addr("10.0.0.0"), 33) }), errno.EINVAL, "to invalid Prefix: invalid prefix (EINVAL)"},
		{edit(v4, func(r *rules.Rule) { r.Goto = 9 }), errno.EINVAL, "goto 9: the action is nop (EINVAL)"},
		{edit(v4, func(r *rules.Rule) { r.Action = rules.ActGoto }), errno.EINVAL, "goto: no target priority (EINVAL)"},
		{edit(v4, func(r *rules.Rule) { r.Action, r.Goto = rules.ActGoto, 5 }), errno.EINVAL, "goto 5: not above the rule's own priority 5 (EINVAL)"},
		{with(v4, rules.AttrL3MDev), errno.EINVAL, "l3mdev 0: only 1 is possible; leave it out instead (EINVAL)"},
		{edit(v4, func(r *rules.Rule) { r.L3MDev, r.Table = true, 9 }), errno.EINVAL, "table 9: an l3mdev rule takes the table of the L3 master (EINVAL)"},
		{edit(v6, func(r *rules.Rule) { r.Action = rules.ActLookup }), errno.EINVAL, "table 0: an IPv6 rule needs a table (EINVAL)"},
	} {
		l := rules.Initial(c.q.Family)
		next, _, err := l.Add(c.q, rules.AddFlags{Excl: true})
		require.EqualError(t, err, c.text)
		assert.ErrorIs(t, err, c.errno)
		assert.Same(t, l, next)
	}
	_, _, err := rules.Initial(v4).Add(rules.RequestOf(lookupRule(v4, 0, 255)), rules.AddFlags{Excl: true})
	assert.NoError(t, err, "another protocol makes another rule")
	again := lookupRule(v4, 0, 255)
	again.Protocol = 2
	_, _, err = rules.Initial(v4).Add(rules.RequestOf(again), rules.AddFlags{Excl: true})
	assert.EqualError(t, err, `rule "0:\tfrom all lookup local": the list has "0:\tfrom all lookup local" (EEXIST)`)
	_, _, err = rules.Initial(v6).Delete(rules.RequestOf(again))
	assert.ErrorIs(t, err, syscall.EAFNOSUPPORT)
	assert.EqualError(t, err, "inet rule: the list is for inet6 (EAFNOSUPPORT)")
}

// text is what every word type offers.
type text[T any] interface {
	*T
	encoding.TextUnmarshaler
}

func roundTrip[T interface {
	comparable
	encoding.TextMarshaler
	String() string
}, P text[T]](t *testing.T, values ...T) {
	t.Helper()
	for _, v := range values {
		b, err := v.MarshalText()
		require.NoError(t, err)
		assert.Equal(t, v.String(), string(b))
		var back T
		require.NoError(t, P(&back).UnmarshalText(b), "%s", b)
		assert.Equal(t, v, back)
	}
	var zero T
	got := zero
	for _, bad := range []string{"", "what?", "action(256)", "action(1", "action(x)"} {
		assert.ErrorContains(t, P(&got).UnmarshalText([]byte(bad)), `"`+bad+`"`)
		assert.Equal(t, zero, got)
	}
}

func TestWordsRoundTrip(t *testing.T) {
	roundTrip(t, rules.Inet, rules.Inet6)
	var actions []rules.Action
	for n := range 256 {
		actions = append(actions, rules.Action(n))
	}
	roundTrip(t, actions...)
	var selectors []rules.Selector
	for s := rules.SelNone; s <= rules.SelNot; s++ {
		selectors = append(selectors, s)
	}
	roundTrip(t, selectors...)
	assert.Equal(t, "selector(200)", rules.Selector(200).String())
	assert.Equal(t, "family(7)", rules.Family(7).String())
	assert.Equal(t, "suppress_ifgroup", rules.SuppressIfGroup.String())
}

func TestFamilyOf(t *testing.T) {
	assert.Equal(t, rules.Inet, rules.FamilyOf(addr("1.2.3.4")))
	assert.Equal(t, rules.Inet6, rules.FamilyOf(addr("::ffff:1.2.3.4")))
	assert.Zero(t, rules.FamilyOf(netip.Addr{}))
	assert.Equal(t, []int{32, 128, 0}, []int{rules.Inet.Bits(), rules.Inet6.Bits(), rules.Family(0).Bits()})
}
