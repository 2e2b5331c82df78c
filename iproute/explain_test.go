package iproute

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/rules"
)

func TestEveryReasonHasWords(t *testing.T) {
	seen := map[string]fib.Reason{}
	for r := fib.ReasonNone + 1; !strings.HasPrefix(r.String(), "reason("); r++ {
		text, ok := reasonTexts[r]
		require.True(t, ok, "%s has no words", r)
		other, dup := seen[text]
		require.False(t, dup, "%s and %s have the same words", r, other)
		seen[text] = r
	}
}

// aStory is one lookup that a rule passes on, a suppressor drops and a third rule answers.
func aStory(t require.TestingT) (Query, fib.Explanation) {
	q, err := parseLine("10.9.1.5 from 10.1.0.1 mark 1", Env{UID: 1000})
	require.NoError(t, err)
	f, err := q.Flow(someLinks)
	require.NoError(t, err)
	prefix := netip.MustParsePrefix("10.9.0.0/16")
	gw := netip.MustParseAddr("10.1.0.2")
	leg := fib.Nexthop{Link: 2, Gateway: gw, Weight: 1}
	route := fib.Route{Table: 254, Dst: prefix, Type: fib.TypeUnicast, Protocol: fib.ProtoStatic, Nexthops: []fib.Nexthop{leg}}
	route.Metrics.Values[fib.MetricMTU] = 1400
	marked := &rules.Rule{Family: fib.Inet, Priority: 100, Action: rules.ActLookup, Table: 50, Mark: 2, MarkMask: 0xff}
	gone := &rules.Rule{Family: fib.Inet, Priority: 110, Action: rules.ActLookup, Table: 50, Oif: "wg0"}
	short := &rules.Rule{Family: fib.Inet, Priority: 200, Action: rules.ActLookup, Table: 254, SuppressPrefixLength: rules.Some(16)}
	main := &rules.Rule{Family: fib.Inet, Priority: 32766, Action: rules.ActLookup, Table: 254}
	steps := []fib.Step{
		{Kind: fib.StepRule, Reason: fib.ReasonSelector, Rule: marked, RuleIndex: 1, Selector: rules.SelMark},
		{Kind: fib.StepRule, Reason: fib.ReasonSelector, Rule: gone, RuleIndex: 2, Selector: rules.SelOifDetached},
		{Kind: fib.StepRule, Reason: fib.ReasonMatched, Taken: true, Rule: short, RuleIndex: 3, Table: 254},
		{Kind: fib.StepTable, Reason: fib.ReasonTableEntered, Taken: true, Table: 254},
		{Kind: fib.StepPrefix, Reason: fib.ReasonCovers, Taken: true, Table: 254, Prefix: prefix},
		{Kind: fib.StepRoute, Reason: fib.ReasonTOS, Table: 254, Prefix: prefix, Route: &fib.Route{Dst: prefix, Type: fib.TypeUnicast, TOS: 0x10, Nexthops: []fib.Nexthop{leg}}},
		{Kind: fib.StepRoute, Reason: fib.ReasonSelected, Taken: true, Table: 254, Prefix: prefix, Route: &route},
		{Kind: fib.StepLeg, Reason: fib.ReasonFirst, Taken: true, Table: 254, Prefix: prefix, Nexthop: &leg, Link: 2},
		{Kind: fib.StepRule, Reason: fib.ReasonSuppressedLength, Rule: short, RuleIndex: 3, Table: 254},
		{Kind: fib.StepRule, Reason: fib.ReasonMatched, Taken: true, Rule: main, RuleIndex: 4, Table: 254},
		{Kind: fib.StepRoute, Reason: fib.ReasonSelected, Taken: true, Table: 254, Prefix: prefix, Route: &route},
		{Kind: fib.StepSource, Reason: fib.ReasonSourceGiven, Taken: true, Addr: f.Src, Link: 2},
	}
	d := fib.Decision{Type: fib.TypeUnicast, Link: 2, Gateway: gw, HasRule: true, Rule: 32766, RuleIndex: 4, HasRoute: true, Table: 254,
		Prefix: prefix, Protocol: fib.ProtoStatic, NexthopLink: 2, Scope: fib.ScopeUniverse, RouteType: fib.TypeUnicast}
	return q, fib.Explanation{Flow: f, Decision: d, Steps: steps, Route: &route}
}

const storyText = `10.9.1.5 from 10.1.0.1 mark 0x1

- rule 100: from all fwmark 0x2/0xff lookup 50               fwmark: the flow has 0x1
- rule 110: from all oif wg0 [detached] lookup 50            no link has that name
+ rule 200: from all lookup main suppress_prefixlength 16    matches
+   table main                                               looked up
+     10.9.0.0/16                                            covers the destination
-       10.9.0.0/16 tos 0x10 via 10.1.0.2 dev d0 proto unspec  its tos is not the flow's
+       10.9.0.0/16 via 10.1.0.2 dev d0 proto static mtu 1400  selected
+         0: via 10.1.0.2 dev d0 weight 1                    the first that fits
- rule 200                                                   the result is dropped: its prefix is too short (suppress_prefixlength)
+ rule 32766: from all lookup main                           matches
+       10.9.0.0/16 via 10.1.0.2 dev d0 proto static mtu 1400  selected
+ source 10.1.0.1 dev d0                                     given with the flow

10.9.1.5 from 10.1.0.1 via 10.1.0.2 dev d0 mark 1 uid 1000 
    cache mtu 1400 
`

func TestStoryReadsWell(t *testing.T) {
	q, e := aStory(t)
	x := Explainer{Printer: &Printer{Links: someLinks}}
	got := string(x.AppendText(nil, &q, &e))
	assert.Equal(t, squeeze(storyText), squeeze(got))
	columns := map[int]bool{}
	for _, line := range strings.Split(got, "\n")[2:14] {
		if i := strings.LastIndex(line, "  "); i > 0 {
			columns[i] = true
		}
	}
	assert.Len(t, columns, 1, "remarks align:\n%s", got)
}

// squeeze makes runs of blanks one, but for those at the beginning of a line.
func squeeze(s string) string {
	for strings.Contains(s, "   ") {
		s = strings.ReplaceAll(s, "   ", "  ")
	}
	return s
}

func TestAnErrorIsToldOnce(t *testing.T) {
	q, e := aStory(t)
	e.Decision = fib.Decision{Errno: fib.EACCES}
	e.Steps = []fib.Step{
		{Kind: fib.StepRule, Reason: fib.ReasonAction, Taken: true, Rule: &rules.Rule{Priority: 5, Action: rules.ActProhibit}, Errno: fib.EACCES},
		{Kind: fib.StepCheck, Reason: fib.ReasonReject, Link: 2, Errno: fib.EACCES}, // an input lookup says so, too
		{Kind: fib.StepResult, Reason: fib.ReasonReject, Errno: fib.EACCES},
	}
	x := Explainer{}
	assert.Equal(t, "10.9.1.5 from 10.1.0.1 mark 0x1\n\n! rule 5: from all prohibit  matches and ends the lookup: Permission denied\n\n"+
		"RTNETLINK answers: Permission denied\n", string(x.AppendText(nil, &q, &e)))
}

func TestTOSThatNoFlowHas(t *testing.T) {
	q, e := aStory(t)
	e.Flow.TOS = 0x28
	e.Steps[0].Selector = rules.SelTOS
	e.Steps[5].Route.TOS = 0x28
	x := Explainer{}
	text := string(x.AppendText(nil, &q, &e))
	assert.Contains(t, text, "no flow has its tos: only the bits 0x1c are compared")
	assert.Contains(t, text, "tos: the flow has 0x8 (of 0x28, by the mask 0x1c)")
}

func TestStyleTouchesNothingButLooks(t *testing.T) {
	q, e := aStory(t)
	plain := Explainer{Printer: &Printer{Links: someLinks}}
	loud := plain
	wrap := func(c string) func(string) string {
		return func(s string) string { return "<" + c + ">" + s + "</>" }
	}
	loud.Style = Style{Taken: wrap("g"), Passed: wrap("d"), Error: wrap("r"), Title: wrap("b")}
	styled := string(loud.AppendText(nil, &q, &e))
	assert.Contains(t, styled, "<d>- rule 100")
	assert.Contains(t, styled, "<g>+ rule 200")
	assert.Equal(t, string(plain.AppendText(nil, &q, &e)), strings.NewReplacer("<g>", "", "<d>", "", "<r>", "", "<b>", "", "</>", "").Replace(styled))
}

func TestStoryAsJSON(t *testing.T) {
	q, e := aStory(t)
	x := Explainer{Printer: &Printer{Links: someLinks, JSON: true}}
	var got struct {
		Query    string
		Flow     map[string]any
		Decision map[string]any
		Steps    []map[string]any
		Error    *string
	}
	require.NoError(t, json.Unmarshal(x.AppendJSON(nil, &q, &e), &got))
	assert.Equal(t, q.String(), got.Query)
	assert.Equal(t, map[string]any{"family": "inet", "dst": "10.9.1.5", "from": "10.1.0.1", "mark": 1.0, "uid": 1000.0}, got.Flow)
	assert.Equal(t, "10.9.0.0/16", got.Decision["prefix"])
	assert.Nil(t, got.Error)
	require.Len(t, got.Steps, len(e.Steps))
	assert.Equal(t, map[string]any{"kind": "rule", "reason": "selector", "taken": false, "rule": 100.0, "rule_index": 1.0,
		"rule_text": "from all fwmark 0x2/0xff lookup 50", "selector": "fwmark", "value": "0x1", "text": "fwmark: the flow has 0x1"}, got.Steps[0])
	assert.Equal(t, map[string]any{"kind": "leg", "reason": "first", "taken": true, "table": "main", "prefix": "10.9.0.0/16", "leg": 0.0,
		"gateway": "10.1.0.2", "dev": "d0", "weight": 1.0, "flags": []any{}, "text": "the first that fits"}, got.Steps[7])

	e.Decision = fib.Decision{Errno: fib.EHOSTUNREACH, HasRule: true, Rule: 100}
	e.Route = nil
	require.NoError(t, json.Unmarshal(x.AppendJSON(nil, &q, &e), &got))
	require.NotNil(t, got.Error)
	assert.Equal(t, "EHOSTUNREACH", *got.Error)
	assert.Equal(t, "EHOSTUNREACH", got.Decision["error"])
	assert.Contains(t, string(x.AppendText(nil, &q, &e)), "\nRTNETLINK answers: No route to host\n")
}

// Any step renders, whatever of it is set.
func TestStrangeStepsRender(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q, e := aStory(t)
		for i := range e.Steps {
			st := &e.Steps[i]
			st.Kind = fib.StepKind(rapid.IntRange(0, 9).Draw(t, "kind"))
			st.Reason = fib.Reason(rapid.Byte().Draw(t, "reason"))
			st.Selector = rules.Selector(rapid.IntRange(0, 20).Draw(t, "selector"))
			st.Errno = rapid.SampledFrom([]fib.Errno{0, fib.EINVAL, 999}).Draw(t, "errno")
			if rapid.Bool().Draw(t, "clear") {
				st.Rule, st.Route, st.Nexthop, st.Prefix = nil, nil, nil, netip.Prefix{}
			}
		}
		e.Legs = []fib.Leg{{Share: 0.75, Chosen: true}, {Share: 0.25}, {Reason: fib.ReasonDead}}
		x := Explainer{}
		text := string(x.AppendText(nil, &q, &e))
		require.GreaterOrEqual(t, strings.Count(text, "\n"), len(e.Steps)+4)
		out := x.AppendJSON(nil, &q, &e)
		require.True(t, json.Valid(out), "%s", out)
		uniqueKeys(t, out)
	})
}
