package plan

import (
	"errors"
	"fmt"
	"slices"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/rules"
)

// Owner says which objects of a kernel are ours.
type Owner struct {
	Protocol fib.Protocol  // of routes, rules and nexthop objects; 3 and up
	Tables   []fib.TableID // whose routes of that protocol are ours
	Rules    Range         // of priorities; the zero value: no rules
	Nexthops Range         // of ids; the zero value: no nexthop objects
	// Families of routes and rules; none: both. Nexthop objects are of the family of
	// their (first) gateway.
	Families []fib.Family
}

// Range is an inclusive range of numbers. The zero value is empty.
type Range struct{ First, Last uint32 }

// IsZero reports whether the range is empty.
func (r Range) IsZero() bool { return r == Range{} }

// Contains reports whether n lies in the range.
func (r Range) Contains(n uint32) bool { return !r.IsZero() && r.First <= n && n <= r.Last }

// String is such as "100-199".
func (r Range) String() string {
	if r.IsZero() {
		return "none"
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// Check says what of o cannot be.
func (o *Owner) Check() error {
	switch {
	case o.Protocol <= fib.ProtoKernel:
		return fmt.Errorf("protocol %d is the kernel's own; choose one that nobody else uses, such as 99", o.Protocol)
	case len(o.Tables) == 0 && o.Rules.IsZero() && o.Nexthops.IsZero():
		return errors.New("no tables, rules or nexthops are owned, so there is nothing to do")
	case slices.Contains(o.Tables, fib.TableUnspec):
		return errors.New("table 0 is none; name each table that is owned")
	case o.Rules.First > o.Rules.Last:
		return fmt.Errorf("rule priorities %d-%d: the first is above the last", o.Rules.First, o.Rules.Last)
	case o.Nexthops.First > o.Nexthops.Last:
		return fmt.Errorf("nexthop ids %d-%d: the first is above the last", o.Nexthops.First, o.Nexthops.Last)
	case !o.Nexthops.IsZero() && o.Nexthops.First == 0:
		return errors.New("nexthop ids begin with 1")
	}
	return nil
}

// HasFamily reports whether routes and rules of a family are of concern.
func (o *Owner) HasFamily(f fib.Family) bool {
	return len(o.Families) == 0 || slices.Contains(o.Families, f)
}

// OwnsRoute reports whether a route of a kernel is ours.
func (o *Owner) OwnsRoute(r *fib.Route) bool {
	return r.Protocol == o.Protocol && o.OwnsTable(r.Table) && o.HasFamily(r.Family())
}

// OwnsTable reports whether our routes of a table are owned.
func (o *Owner) OwnsTable(t fib.TableID) bool { return slices.Contains(o.Tables, t) }

// OwnsRule reports whether a rule of a kernel is ours.
func (o *Owner) OwnsRule(r *rules.Rule) bool {
	return fib.Protocol(r.Protocol) == o.Protocol && o.Rules.Contains(r.Priority) && o.HasFamily(r.Family)
}

// OwnsNexthop reports whether a nexthop object of a kernel is ours.
func (o *Owner) OwnsNexthop(n *fib.NexthopObject) bool {
	return n.Protocol == o.Protocol && o.Nexthops.Contains(n.ID)
}

// families are the families of concern, IPv4 first.
func (o *Owner) families() (out []fib.Family) {
	for _, f := range [...]fib.Family{fib.Inet, fib.Inet6} {
		if o.HasFamily(f) {
			out = append(out, f)
		}
	}
	return out
}

// tables are the owned tables in ascending order, each once.
func (o *Owner) tables() []fib.TableID {
	return slices.Compact(slices.Sorted(slices.Values(o.Tables)))
}
