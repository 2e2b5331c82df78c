package iproute

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/rules"
)

// Explainer writes the story of a decision, for people and as JSON. It is safe
// for concurrent use.
type Explainer struct {
	Printer *Printer // names, links, and the form of the answer; nil: the zero Printer
	Style   Style
}

// Style decorates parts of the text, such as with colour; a nil function leaves
// its part plain. Each gets a part of one line.
type Style struct {
	Taken  func(string) string // what led on to the answer
	Passed func(string) string // what was passed over
	Error  func(string) string
	Title  func(string) string
}

func style(f func(string) string, s string) string {
	if f == nil || s == "" {
		return s
	}
	return f(s)
}

func (x *Explainer) printer() *Printer {
	if x.Printer == nil {
		return &Printer{}
	}
	return x.Printer
}

// storyLine is one step as text.
type storyLine struct {
	depth           int
	subject, remark string
	taken, failed   bool
}

// Columns of the text: remarks align behind the widest subject up to maxSubject.
const (
	indent     = 2
	maxSubject = 70
)

// AppendText appends the story in words: the flow, a line for each step, deeper
// ones indented, "+" for what led on, "-" for what was passed over and "!" for
// what ended in an error; then the answer as "ip route get" prints it.
func (x *Explainer) AppendText(b []byte, q *Query, e *fib.Explanation) []byte {
	s := story{p: x.printer(), e: e, n: x.printer().Names.get()}
	b = append(b, style(x.Style.Title, escape(q.String()))...)
	b = append(b, "\n\n"...)
	width := 0
	lines := s.lines()
	for i := range lines {
		if w := lines[i].depth*indent + utf8.RuneCountInString(lines[i].subject); w <= maxSubject {
			width = max(width, w)
		}
	}
	for i := range lines {
		b = x.appendLine(b, &lines[i], width)
	}
	b = append(b, '\n')
	for _, line := range s.legs() {
		b = append(append(b, line...), '\n')
	}
	return x.appendAnswer(b, q, e)
}

func (x *Explainer) appendLine(b []byte, l *storyLine, width int) []byte {
	mark, paint := "- ", x.Style.Passed
	switch {
	case l.failed:
		mark, paint = "! ", x.Style.Error
	case l.taken:
		mark, paint = "+ ", x.Style.Taken
	}
	line := strings.Repeat(" ", l.depth*indent) + l.subject
	if l.remark != "" {
		pad := max(width-utf8.RuneCountInString(line), 0)
		line += strings.Repeat(" ", pad+2) + l.remark
	}
	return append(append(b, style(paint, mark+line)...), '\n')
}

// answer is the answer that the story ends with.
func (x *Explainer) answer(q *Query, e *fib.Explanation) Answer {
	m := fib.Match{Decision: e.Decision, Found: e.Route != nil}
	if e.Route != nil {
		m.Route = *e.Route
	}
	a := q.answer(&e.Flow, m)
	a.Candidates = q.answers(&e.Flow, e.Candidates)
	a.settle(q)
	return a
}

func (x *Explainer) appendAnswer(b []byte, q *Query, e *fib.Explanation) []byte {
	a := x.answer(q, e)
	b = x.appendOutcome(b, &a, x.Style.Taken, "")
	if e.Decision.Undetermined == 0 {
		return b
	}
	b = append(append(b, style(x.Style.Error, undeterminedText(e.Decision.Undetermined))...), '\n')
	for i := range a.Candidates[1:] {
		b = x.appendOutcome(b, &a.Candidates[1+i], x.Style.Passed, "or: ")
	}
	return b
}

// appendOutcome appends a as "ip route get" prints it.
func (x *Explainer) appendOutcome(b []byte, a *Answer, paint func(string) string, before string) []byte {
	if a.Errno != 0 {
		return append(append(b, style(x.Style.Error, before+Answers(a.Errno))...), '\n')
	}
	p := *x.printer()
	p.JSON = false
	text := strings.TrimSuffix(string(p.AppendReply(nil, &a.Reply)), "\n")
	for line := range strings.SplitSeq(text, "\n") {
		b = append(append(b, style(paint, before+line)...), '\n')
		before = strings.Repeat(" ", len(before))
	}
	return b
}

func undeterminedText(u fib.Undetermined) string {
	var why []string
	for i := range undeterminedNames {
		if c := &undeterminedNames[i]; u&c.bit != 0 {
			why = append(why, c.text)
		}
	}
	return "not certain: " + strings.Join(why, "; ")
}

// story turns steps into words.
type story struct {
	p *Printer
	n *Names
	e *fib.Explanation
}

func (s *story) lines() []storyLine {
	lines := make([]storyLine, 0, len(s.e.Steps))
	told := map[int]bool{} // rules whose line has been written
	for i := range s.e.Steps {
		st := &s.e.Steps[i]
		after := len(lines) > 0 && lines[len(lines)-1].failed // the line before has told the error
		repeats := st.Kind == fib.StepResult || st.Kind == fib.StepCheck && st.Reason == fib.ReasonReject
		if after && repeats || st.Kind == fib.StepResult && st.Taken {
			continue // in the second case the answer follows
		}
		l := storyLine{subject: s.subject(st, told), remark: s.remark(st), taken: st.Taken, failed: st.Errno != 0}
		switch st.Kind {
		case fib.StepTable:
			l.depth = 1
		case fib.StepPrefix:
			l.depth = 2
		case fib.StepRoute:
			l.depth = 3
		case fib.StepLeg:
			l.depth = 4
		}
		if st.Detail != "" {
			l.remark += " (" + st.Detail + ")"
		}
		if st.Errno != 0 {
			l.remark += ": " + st.Errno.Error()
		}
		lines = append(lines, l)
	}
	return lines
}

func (s *story) subject(st *fib.Step, told map[int]bool) string {
	switch st.Kind {
	case fib.StepRule:
		if st.Rule == nil {
			return "rules"
		}
		priority := "rule " + strconv.FormatUint(uint64(st.Rule.Priority), 10)
		if told[st.RuleIndex] {
			return priority
		}
		told[st.RuleIndex] = true
		return priority + ": " + s.rule(st)
	case fib.StepTable:
		return "table " + s.n.TableName(uint32(st.Table))
	case fib.StepPrefix:
		text := string(appendPrefix(nil, st.Prefix))
		if st.SrcPrefix.IsValid() {
			text += " from " + st.SrcPrefix.String()
		}
		return text
	case fib.StepRoute:
		if st.Route != nil {
			return s.route(st.Route)
		}
		return "route"
	case fib.StepLeg:
		return s.leg(st)
	case fib.StepSource:
		return "source" + s.where(st)
	case fib.StepResult:
		return "result"
	}
	return "check" + s.where(st)
}

// where names the address and the link that a step is about.
func (s *story) where(st *fib.Step) string {
	text := ""
	if st.Addr.IsValid() {
		text += " " + st.Addr.String()
	}
	if st.Link != 0 {
		text += " dev " + linkText(s.p.Links, st.Link)
	}
	return text
}

func (s *story) rule(st *fib.Step) string {
	return string(s.n.AppendRule(nil, st.Rule, st.Selector == rules.SelIifDetached, st.Selector == rules.SelOifDetached,
		st.Reason == fib.ReasonGotoUnresolved))
}

// route is the route in one line, without its legs if there are several.
func (s *story) route(r *fib.Route) string {
	reply := StoredReply(r)
	reply.Nexthops = nil
	p := Printer{Names: s.p.Names, Links: s.p.Links, Oneline: true}
	text := strings.TrimRight(string(p.AppendReply(nil, &reply)), " \n")
	if n := len(r.Nexthops); n > 1 {
		text += fmt.Sprintf(" (%d nexthops)", n)
	}
	return text
}

func (s *story) leg(st *fib.Step) string {
	text := "nexthop"
	if st.Nexthop != nil {
		text = s.legText(st.Nexthop)
	}
	return fmt.Sprintf("%d: %s", st.Leg, text)
}

func (s *story) legText(leg *fib.Nexthop) string {
	var b []byte
	b = appendEncapText(b, leg.Encap)
	if leg.Gateway.IsValid() {
		b = appendVia(b, addrFamily(leg.Gateway), leg.Gateway)
	}
	b = append(append(append(b, "dev "...), linkText(s.p.Links, leg.Link)...), ' ')
	b = appendFlags(appendNumber(b, "weight ", uint32(max(leg.Weight, 1))), uint32(leg.Flags))
	return strings.TrimSpace(string(b))
}

// legs tells the shares of a multipath choice.
func (s *story) legs() []string {
	if len(s.e.Legs) < 2 {
		return nil
	}
	lines := []string{"shares of the flows:"}
	for i := range s.e.Legs {
		l := &s.e.Legs[i]
		text := fmt.Sprintf("  %5.1f %%  %s", l.Share*100, s.legText(&l.Nexthop))
		switch {
		case l.Chosen && s.e.Decision.Undetermined == 0:
			text += "  <- this flow"
		case l.Share == 0 && l.Reason != fib.ReasonNone:
			text += "  (" + reasonText(l.Reason) + ")"
		}
		lines = append(lines, text)
	}
	return append(lines, "")
}

// remark says in words why the step led on or was passed over.
func (s *story) remark(st *fib.Step) string {
	if st.Kind == fib.StepRule && st.Reason == fib.ReasonSelector {
		return s.selector(st)
	}
	switch {
	case st.Reason == fib.ReasonNone:
		return ""
	case st.Reason == fib.ReasonHash && st.Taken && s.e.Decision.Undetermined&fib.UndeterminedHash != 0:
		return "one of those that the hash may choose: its seed is not known"
	case st.Reason == fib.ReasonTOS && st.Route != nil && st.Route.TOS&^tosCompared != 0:
		return fmt.Sprintf("no flow has its tos: only the bits %#x are compared", tosCompared)
	}
	return reasonText(st.Reason)
}

// tosCompared is all that IPv4 compares of a TOS byte, in rules and in routes (A21, B11).
const tosCompared = 0x1c

// selector says what the flow has where a rule wants something else.
func (s *story) selector(st *fib.Step) string {
	switch st.Selector {
	case rules.SelNot:
		return "not: every selector holds, and the rule wants the contrary"
	case rules.SelIifDetached, rules.SelOifDetached:
		return "no link has that name"
	case rules.SelL3MDev:
		return "l3mdev: the flow belongs to no VRF"
	}
	return st.Selector.String() + ": the flow has " + s.value(st.Selector)
}

// value is what the flow has for a selector.
func (s *story) value(sel rules.Selector) string {
	f := &s.e.Flow
	number := func(v uint64) string { return strconv.FormatUint(v, 10) }
	addr := func(a netip.Addr) string {
		if !a.IsValid() || a.IsUnspecified() {
			return "none"
		}
		return a.String()
	}
	switch sel {
	case rules.SelFrom:
		return addr(f.Src)
	case rules.SelTo:
		return f.Dst.String()
	case rules.SelIif:
		if f.Iif == 0 {
			return "lo (sent by this host)"
		}
		return linkText(s.p.Links, f.Iif)
	case rules.SelOif:
		if f.Oif == 0 || f.Iif != 0 {
			return "none"
		}
		return linkText(s.p.Links, f.Oif)
	case rules.SelMark:
		return fmt.Sprintf("%#x", f.Mark)
	case rules.SelTOS:
		if compared := f.TOS & tosCompared; f.Family() == fib.Inet && compared != f.TOS {
			return fmt.Sprintf("%#x (of %#x, by the mask %#x)", compared, f.TOS, tosCompared)
		}
		return fmt.Sprintf("%#x", f.TOS&^3)
	case rules.SelDSCP:
		return fmt.Sprintf("%#x", f.TOS>>2)
	case rules.SelFlowLabel:
		return fmt.Sprintf("%#x", f.FlowLabel)
	case rules.SelUID:
		switch {
		case f.Iif != 0 && f.Family() == fib.Inet:
			return "0 (received flows have no user)"
		case f.Iif != 0 && !f.UIDSet:
			return "none"
		}
		return number(uint64(f.UID))
	case rules.SelIPProto:
		switch {
		case f.IPProto != 0:
			return s.n.IPProtoName(f.IPProto)
		case f.Family() == fib.Inet:
			return s.n.IPProtoName(17) + " (unless told)"
		}
		return "none"
	case rules.SelSport:
		return number(uint64(f.Sport))
	case rules.SelDport:
		return number(uint64(f.Dport))
	case rules.SelTunID:
		return number(f.TunID)
	}
	return "something else"
}
