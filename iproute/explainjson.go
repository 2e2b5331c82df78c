package iproute

import (
	"strconv"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/rules"
)

// AppendJSON appends the story as one JSON object and a line feed:
//
//	{"flow":{…},"decision":{…},"legs":[…],"steps":[…]}
//
// and, when an error ends the lookup, "error" and "message" in front. "decision"
// is what get -j prints. Each step has "kind" and "reason", which are stable
// codes, "taken", and what its kind needs of "rule", "rule_index", "rule_text",
// "selector", "value" (what the flow has for that selector), "table", "prefix",
// "from", "route", "leg", "gateway", "addr", "dev", "error", "text" (for people).
func (x *Explainer) AppendJSON(b []byte, q *Query, e *fib.Explanation) []byte {
	p := x.printer()
	s := story{p: p, e: e, n: p.Names.get()}
	w := ipJSON{b: b, pretty: p.Pretty}
	d := &e.Decision
	w.openObject()
	if d.Errno != 0 {
		w.stringField("error", d.Errno.Name())
		w.stringField("message", d.Errno.Error())
	}
	w.stringField("query", q.String())
	w.key("flow")
	s.flow(&w)
	w.key("decision")
	a := x.answer(q, e)
	p.answer(&w, &a)
	if len(e.Legs) > 0 {
		w.key("legs")
		w.openArray()
		for i := range e.Legs {
			s.share(&w, &e.Legs[i])
		}
		w.closeArray()
	}
	w.key("steps")
	w.openArray()
	for i := range e.Steps {
		s.step(&w, &e.Steps[i])
	}
	w.closeArray()
	w.closeObject()
	return append(w.b, '\n')
}

func (s *story) flow(w *ipJSON) {
	f := &s.e.Flow
	number := func(key string, v uint64) {
		if v != 0 {
			w.uintField(key, v)
		}
	}
	w.openObject()
	w.stringField("family", f.Family().String())
	w.addrField("dst", f.Dst)
	if f.Src.IsValid() {
		w.addrField("from", f.Src)
	}
	if f.Iif != 0 {
		w.stringField("iif", linkName(s.p.Links, f.Iif))
	}
	if f.Oif != 0 {
		w.stringField("oif", linkName(s.p.Links, f.Oif))
	}
	number("mark", uint64(f.Mark))
	if f.TOS != 0 {
		w.stringField("tos", "0x"+strconv.FormatUint(uint64(f.TOS), 16))
	}
	w.uintField("uid", uint64(f.UID))
	number("ipproto", uint64(f.IPProto))
	number("sport", uint64(f.Sport))
	number("dport", uint64(f.Dport))
	number("tun_id", f.TunID)
	number("flowlabel", uint64(f.FlowLabel))
	w.closeObject()
}

func (s *story) share(w *ipJSON, l *fib.Leg) {
	w.openObject()
	s.legKeys(w, &l.Nexthop)
	w.key("share")
	w.raw(strconv.FormatFloat(l.Share, 'f', 6, 64))
	w.boolField("chosen", l.Chosen)
	if l.Reason != fib.ReasonNone {
		w.stringField("reason", l.Reason.String())
	}
	w.closeObject()
}

func (s *story) legKeys(w *ipJSON, leg *fib.Nexthop) {
	if leg.Gateway.IsValid() {
		w.addrField("gateway", leg.Gateway)
	}
	if leg.Link != 0 {
		w.stringField("dev", linkName(s.p.Links, leg.Link))
	}
	w.uintField("weight", uint64(max(leg.Weight, 1)))
	w.flags(uint32(leg.Flags))
}

func (s *story) step(w *ipJSON, st *fib.Step) {
	w.openObject()
	w.stringField("kind", stepKind(st.Kind))
	w.stringField("reason", st.Reason.String())
	w.boolField("taken", st.Taken)
	if st.Kind == fib.StepRule && st.Rule != nil {
		w.uintField("rule", uint64(st.Rule.Priority))
		w.uintField("rule_index", uint64(max(st.RuleIndex, 0)))
		w.stringField("rule_text", s.rule(st))
		if st.Selector != rules.SelNone {
			w.stringField("selector", st.Selector.String())
			if s.hasValue(st.Selector) {
				w.stringField("value", s.value(st.Selector))
			}
		}
	}
	inTable := st.Kind >= fib.StepTable && st.Kind <= fib.StepLeg
	if inTable || st.Kind == fib.StepRule && st.Table != 0 {
		w.stringField("table", s.n.TableName(uint32(st.Table)))
	}
	if st.Prefix.IsValid() {
		w.prefixField("prefix", st.Prefix)
	}
	if st.SrcPrefix.IsValid() {
		w.stringField("from", st.SrcPrefix.String())
	}
	if st.Route != nil {
		w.stringField("route", s.route(st.Route))
	}
	if st.Kind == fib.StepLeg {
		w.uintField("leg", uint64(max(st.Leg, 0)))
		if st.Nexthop != nil {
			s.legKeys(w, st.Nexthop)
		}
	} else if st.Link != 0 {
		w.stringField("dev", linkName(s.p.Links, st.Link))
	}
	if st.Addr.IsValid() {
		w.addrField("addr", st.Addr)
	}
	if st.Errno != 0 {
		w.stringField("error", st.Errno.Name())
	}
	text := s.remark(st)
	if st.Detail != "" {
		text += " (" + st.Detail + ")"
	}
	if text != "" {
		w.stringField("text", text)
	}
	w.closeObject()
}

func (s *story) hasValue(sel rules.Selector) bool {
	switch sel {
	case rules.SelNone, rules.SelNot, rules.SelIifDetached, rules.SelOifDetached, rules.SelL3MDev:
		return false
	}
	return true
}
