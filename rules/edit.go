package rules

import (
	"github.com/fibula-net/fibula/internal/errno"
)

// AddFlags modifies Add.
type AddFlags struct {
	// Excl is NLM_F_EXCL: refuse a rule that the list already has.
	Excl bool

	// FreeTable returns the lowest table id above 0 for which no table exists,
	// for an IPv4 rule with table 0 (A7); false when all are taken. nil refuses
	// such rules as if all were.
	FreeTable func() (id uint32, ok bool)

	// Link binds the new rule's names as Bind does; nil leaves them detached.
	Link func(name string) (index int32, l3master bool)
}

// Add returns the list with the requested rule after all others of its priority
// (A1), and the rule as it was stored: with its default priority (A2), its
// table (A7) and normalised. l is unchanged.
//
// Errors are *Error: EAFNOSUPPORT for another family, EEXIST with flags.Excl for
// a duplicate (A4), EINVAL and ERANGE for values that a kernel refuses (A6),
// ENOBUFS when FreeTable has nothing. Checked in the kernel's order, so that a
// request with several faults gets the kernel's errno. O(√n) at most: one
// page of rules and the list of pages are copied; with flags.Excl also the rules of the same priority, of a long
// list only those that share the request's rarest address, link, mark, uid or port.
func (l *List) Add(q Request, flags AddFlags) (*List, Rule, error) {
	r, attrs, err := l.prepare(&q)
	if err != nil {
		return l, Rule{}, err
	}
	if flags.Excl {
		if i, ok := l.duplicate(&r, attrs); ok {
			return l, Rule{}, refuse(errno.EEXIST, "rule %q: the list has %q", r, l.At(i).Rule)
		}
	}
	if err := checkSelectors(&q, attrs); err != nil {
		return l, Rule{}, err
	}
	if r.Action == ActLookup && r.Table == 0 && !r.L3MDev {
		free, ok := uint32(0), false
		if flags.FreeTable != nil {
			free, ok = flags.FreeTable()
		}
		if !ok {
			return l, Rule{}, refuse(errno.ENOBUFS, "table 0: no free table id")
		}
		r.Table = free
	}
	e := &Entry{Rule: r}
	if flags.Link != nil {
		e.bind(flags.Link)
	}
	return l.inserted(e), r, nil
}

// Delete returns the list without the first rule that agrees with everything the
// request carries (A5), and that rule. Action and table 0 agree with any, and a
// goto's target and Not are not compared. l is unchanged.
//
// Errors are *Error: ENOENT if no rule agrees, else as for Add. It costs what Add
// does with flags.Excl; a request without priority looks at rules of all priorities.
func (l *List) Delete(q Request) (*List, Rule, error) {
	r, attrs, err := l.prepare(&q)
	if err != nil {
		return l, Rule{}, err
	}
	from, to := 0, l.Len()
	if attrs&AttrPriority != 0 {
		from, to = l.lowerBound(r.Priority), l.upperBound(r.Priority)
	}
	if i, ok := l.first(from, to, &r, func(o *Rule) bool { return agrees(o, &r, attrs) }); ok {
		return l.deleted(i), l.At(i).Rule, nil
	}
	return l, Rule{}, refuse(errno.ENOENT, "rule %q: no rule agrees with it", r)
}

// prepare checks q and returns the rule as it would be stored, apart from an
// IPv4 table 0, and what q carries.
func (l *List) prepare(q *Request) (Rule, Attr, error) {
	if q.Family.Bits() == 0 || l.Family() != 0 && l.Family() != q.Family {
		return Rule{}, 0, refuse(errno.EAFNOSUPPORT, "%s rule: the list is for %s", q.Family, l.Family())
	}
	attrs := q.attrs()
	if err := checkRequest(q, attrs); err != nil {
		return Rule{}, 0, err
	}
	r := q.Rule
	if r.Mark != 0 && attrs&AttrMarkMask == 0 {
		r.MarkMask = 1<<32 - 1
	}
	if attrs&AttrDSCP != 0 && attrs&AttrDSCPMask == 0 {
		r.DSCPMask = 0x3f
	}
	r.HasUIDs = attrs&AttrUIDRange != 0
	if attrs&AttrPriority == 0 {
		r.Priority = l.defaultPriority()
	}
	r = r.normal()
	if err := checkGoto(&r); err != nil {
		return Rule{}, 0, err
	}
	return r, attrs, nil
}

// defaultPriority is one less than that of the second rule, if possible (A2).
func (l *List) defaultPriority() uint32 {
	if l.Len() < 2 || l.At(1).Priority == 0 {
		return 0
	}
	return l.At(1).Priority - 1
}

// duplicate finds a rule that NLM_F_EXCL takes for equal to r (A4). Not, the
// goto target and FindSaddr are not compared.
func (l *List) duplicate(r *Rule, attrs Attr) (int, bool) {
	want := exact(r)
	return l.first(l.lowerBound(r.Priority), l.upperBound(r.Priority), r, func(o *Rule) bool {
		return exact(o) == want && agreesOnSelectors(o, r, attrs)
	})
}

// exact returns what of r duplicates must have equal in any case.
func exact(r *Rule) Rule {
	return Rule{
		Action: r.Action, Table: r.Table, Iif: r.Iif, Oif: r.Oif, Mark: r.Mark, MarkMask: r.MarkMask,
		SuppressIfGroup: r.SuppressIfGroup, SuppressPrefixLength: r.SuppressPrefixLength,
		TunID: r.TunID, L3MDev: r.L3MDev, UIDs: r.UIDs, HasUIDs: r.HasUIDs,
		IPProto: r.IPProto, Protocol: r.Protocol, Sport: r.Sport, Dport: r.Dport,
	}
}

// agrees reports whether the rule o is one that a delete request means (A5).
func agrees(o, r *Rule, attrs Attr) bool {
	return any0(r.Action, o.Action) && any0(r.Table, o.Table) &&
		any0(r.Iif, o.Iif) && any0(r.Oif, o.Oif) &&
		any0(r.Mark, o.Mark) && any0(r.MarkMask, o.MarkMask) &&
		any0(r.SuppressIfGroup, o.SuppressIfGroup) &&
		any0(r.SuppressPrefixLength, o.SuppressPrefixLength) &&
		any0(r.TunID, o.TunID) && any0(r.L3MDev, o.L3MDev) &&
		(!r.HasUIDs || o.HasUIDs && r.UIDs == o.UIDs) &&
		any0(r.IPProto, o.IPProto) && any0(r.Protocol, o.Protocol) &&
		any0(r.Sport, o.Sport) && any0(r.Dport, o.Dport) &&
		agreesOnSelectors(o, r, attrs)
}

// any0 reports whether want is the zero value, which agrees with everything, or
// equals have.
func any0[T comparable](want, have T) bool {
	var zero T
	return want == zero || want == have
}

// agreesOnSelectors compares what adding and deleting both compare only where
// the request carries it: from, to, tos, dscp, flow label and realms.
func agreesOnSelectors(o, r *Rule, attrs Attr) bool {
	if !any0(r.From, o.From) || !any0(r.To, o.To) || !any0(r.TOS, o.TOS) {
		return false
	}
	// A rule without a dscp selector does not agree with "dscp 0".
	if attrs&AttrDSCP != 0 && (o.DSCPMask == 0 || o.DSCP != r.DSCP) {
		return false
	}
	if attrs&AttrDSCPMask != 0 && (o.DSCPMask == 0 || o.DSCPMask != r.DSCPMask) {
		return false
	}
	if r.Family == Inet6 {
		return (attrs&AttrFlowLabel == 0 || o.FlowLabel == r.FlowLabel) &&
			(attrs&AttrFlowLabelMask == 0 || o.FlowLabelMask == r.FlowLabelMask)
	}
	return attrs&AttrRealms == 0 || o.Realms == r.Realms
}
