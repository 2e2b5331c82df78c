package rules

// Attr is a set of attributes that a request carries although their value is
// zero.
type Attr uint32

// Attributes of which a kernel tells "absent" from "zero" (A2, A4, A5, A6). Any
// other attribute with a zero value is the same as an absent one.
const (
	AttrPriority      Attr = 1 << iota // absent: A2 when adding, any priority when deleting
	AttrMarkMask                       // absent: all ones if Mark is not zero
	AttrDSCP                           // DSCP 0 is a selector
	AttrDSCPMask                       // absent: all six bits, if AttrDSCP
	AttrFlowLabel                      // IPv6: needs AttrFlowLabelMask
	AttrFlowLabelMask                  // IPv6: needs AttrFlowLabel
	AttrUIDRange                       // same as Rule.HasUIDs
	AttrSport                          // 0-0 is an error
	AttrSportMask                      // 0 is an error
	AttrDport                          // as AttrSport
	AttrDportMask                      // as AttrSportMask
	AttrL3MDev                         // l3mdev 0 is an error
	AttrRealms                         // realm 0 is compared (IPv4)
	AttrGoto                           // goto 0 is an error
)

// Request is one RTM_NEWRULE or RTM_DELRULE: a rule and the attributes it
// carries. A field that is not zero is always carried; Present adds those that
// are there with value zero.
type Request struct {
	Rule
	Present Attr
}

// RequestOf returns the request that carries everything in r that is not zero,
// and the priority always. It is exact for every rule that selects something
// with each selector it has: adding it stores r again, deleting it finds the
// first rule that agrees with r. (A mark with mask 0 selects nothing; its
// request gets the mask that an author of just a mark wants, all ones.)
func RequestOf(r Rule) Request {
	q := Request{Rule: r, Present: AttrPriority}
	if r.DSCPMask != 0 {
		q.Present |= AttrDSCP
	}
	if r.FlowLabelMask != 0 {
		q.Present |= AttrFlowLabel
	}
	q.Present = q.attrs()
	return q
}

// attrs returns every attribute that q carries.
func (q *Request) attrs() Attr {
	a := q.Present
	for _, c := range [...]struct {
		carried bool
		attr    Attr
	}{
		{q.Priority != 0, AttrPriority},
		{q.MarkMask != 0, AttrMarkMask},
		{q.DSCP != 0, AttrDSCP},
		{q.DSCPMask != 0, AttrDSCPMask},
		{q.FlowLabel != 0, AttrFlowLabel},
		{q.FlowLabelMask != 0, AttrFlowLabelMask},
		{q.HasUIDs, AttrUIDRange},
		{q.Sport.Start|q.Sport.End != 0, AttrSport},
		{q.Sport.Mask != 0, AttrSportMask},
		{q.Dport.Start|q.Dport.End != 0, AttrDport},
		{q.Dport.Mask != 0, AttrDportMask},
		{q.L3MDev, AttrL3MDev},
		{q.Realms != 0, AttrRealms},
		{q.Goto != 0, AttrGoto},
	} {
		if c.carried {
			a |= c.attr
		}
	}
	return a
}

// Heard returns what a kernel takes of a request: q without the attributes that it
// does not know.
func (p Profile) Heard(q Request) Request {
	q.Present &^= p.Unknown
	for _, c := range [...]struct {
		attr Attr
		drop func()
	}{
		{AttrDSCP, func() { q.DSCP = 0 }},
		{AttrDSCPMask, func() { q.DSCPMask = 0 }},
		{AttrFlowLabel, func() { q.FlowLabel = 0 }},
		{AttrFlowLabelMask, func() { q.FlowLabelMask = 0 }},
		{AttrSportMask, func() { q.Sport.Mask = 0 }},
		{AttrDportMask, func() { q.Dport.Mask = 0 }},
	} {
		if p.Unknown&c.attr != 0 {
			c.drop()
		}
	}
	return q
}
