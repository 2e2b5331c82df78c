package plan

import (
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/rules"
)

// Plan is what makes a kernel's state the desired one. It is immutable.
type Plan struct {
	Counts    Counts
	Conflicts []Conflict
	// NeedsComplete: routes are replaced, or throw routes come or go, but what was
	// compared has our routes alone. The plan is to be made again from everybody's, lest
	// another's route be replaced in place of ours.
	NeedsComplete bool

	// Unproven says why a flow that both states deliver may be lost for a moment after
	// all; see the package's page.
	Unproven []string

	want   Desired
	tables []tablePlan
	special,
	less, // legs that go when those in their place are there
	late []Op // of routes whose key has several
	objects objectPlan
	rules   rulePlan
	// blackholes are the objects of either state that refuse.
	blackholes, wantBlackholes map[uint32]bool
	led, leads                 tablesLed // to which tables rules lead now; new rules will
}

// tablePlan is the plan of one table of one family.
type tablePlan struct {
	fam     fib.Family
	id      fib.TableID
	marks   []mark       // by number of the wanted route
	has     [nPhases]int // how many
	gone    []gone
	exact   []fib.Route // that a key alone does not tell; gone.exact names one
	legs    []goneLeg   // of IPv6 routes that go
	throws  []throw
	blocked map[key]bool // where something foreign is in the way
}

// mark says what happens to a wanted route: 0 is nothing, else its phase and verb.
type mark uint8

func markOf(v Verb, ph phase) mark { return 1 + mark(v) | mark(ph)<<4 }

func (m mark) verb() Verb   { return Verb(m&0xf - 1) }
func (m mark) phase() phase { return phase(m >> 4) }

// phase is when something happens; see the package's page.
type phase uint8

const (
	directly  phase = iota // deliver without a gateway, so that others find theirs
	early                  // deliver, or change in place what does not matter
	hidden                 // refuse and pass where no rule leads yet, or nothing delivers
	goneEarly              // deletions before the rules: what refuses
	gonePass               // and then throw, which hid what delivers
	goneMid                // deletions between new and old rules
	latePass               // throw, when all rules are there
	lateRefuse
	goneThrow // throw before what it did not hide
	goneLate
	nPhases
)

// gone is a route to delete, in little memory: there may be millions.
type gone struct {
	addr     [16]byte
	priority uint32
	exact    uint32 // number in tablePlan.exact, plus one
	leg      uint32 // number of its first in tablePlan.legs
	legs     uint16
	bits     uint8
	tos      uint8
	phase    phase
}

// goneLeg is a leg of an IPv6 route: one under the same key may be another's, and only a
// request that names the gateway leaves that (D4a).
type goneLeg struct {
	gateway [16]byte
	link    int32
}

// New compares two states. Nothing of either is changed; desired must not change while
// the plan is used. It costs O(routes of the owned tables).
//
// Errors are those of actual's routes, and *[fib.OpError]-like texts for a desired
// state that cannot be.
func New(desired Desired, actual Actual) (*Plan, error) {
	if err := desired.Owner.Check(); err != nil {
		return nil, err
	}
	p := &Plan{want: desired}
	if err := p.check(); err != nil {
		return nil, err
	}
	p.planRules(&actual)
	p.planNexthops(&actual)
	for _, f := range desired.Owner.families() {
		for _, t := range desired.Owner.tables() {
			if err := p.planTable(f, t, &actual); err != nil {
				return nil, err
			}
		}
	}
	p.NeedsComplete = !actual.Complete && (p.Counts[Route].Replaced > 0 || len(p.special)+len(p.less)+len(p.late) > 0 ||
		slices.ContainsFunc(p.tables, func(t tablePlan) bool { return len(t.throws) > 0 }))
	return p, nil
}

func (p *Plan) planTable(f fib.Family, t fib.TableID, actual *Actual) error {
	counts, conflicts, specials, lesses, lates := p.Counts, len(p.Conflicts), len(p.special), len(p.less), len(p.late) // to start over
	routes := func(yield func(*fib.Route, error) bool) {}
	if actual.Routes != nil {
		routes = actual.Routes(f, t)
	}
	tp := tablePlan{fam: f, id: t}
	count := 0
	err := p.merge(f, t, routes, &count, func(want, have *group) error { p.pair(&tp, want, have); return nil })
	if errors.Is(err, errOrder) {
		p.Counts, p.Conflicts, p.special, p.less, p.late = counts, p.Conflicts[:conflicts], p.special[:specials], p.less[:lesses], p.late[:lates]
		tp = tablePlan{fam: f, id: t}
		err = p.merge(f, t, sorted(f, actual.Routes(f, t)), &count, func(want, have *group) error { p.pair(&tp, want, have); return nil })
	}
	if err != nil {
		return err
	}
	p.Counts[Route].Desired += count
	if err := p.settleThrows(&tp, actual); err != nil {
		return err
	}
	for _, m := range tp.marks {
		if m != 0 {
			tp.has[m.phase()]++
		}
	}
	for i := range tp.gone {
		tp.has[tp.gone[i].phase]++
	}
	p.tables = append(p.tables, tp)
	return nil
}

func (p *Plan) unproven(format string, args ...any) {
	p.Unproven = append(p.Unproven, fmt.Sprintf(format, args...))
}

// Ops yields the operations in order. It may be called several times.
func (p *Plan) Ops() iter.Seq[Op] {
	return func(yield func(Op) bool) {
		_ = p.objects.in(yield) &&
			p.routes(directly, yield) && p.routes(early, yield) && each(p.special, yield) && each(p.less, yield) &&
			p.routes(hidden, yield) && p.deletions(goneEarly, yield) && p.deletions(gonePass, yield) &&
			p.rules.in(yield) && p.deletions(goneMid, yield) && p.rules.out(yield) &&
			p.routes(latePass, yield) && p.routes(lateRefuse, yield) && each(p.late, yield) &&
			p.deletions(goneThrow, yield) && p.deletions(goneLate, yield) && p.objects.out(yield)
	}
}

// WithoutDeletions yields the operations but for deletions.
func (p *Plan) WithoutDeletions() iter.Seq[Op] {
	return func(yield func(Op) bool) {
		for op := range p.Ops() {
			if op.Verb != Delete && !yield(op) {
				return
			}
		}
	}
}

func each(ops []Op, yield func(Op) bool) bool {
	for _, op := range ops {
		if !yield(op) {
			return false
		}
	}
	return true
}

// routes yields what is entered in a phase.
func (p *Plan) routes(ph phase, yield func(Op) bool) bool {
	on := true
	for i := range p.tables {
		t := &p.tables[i]
		if t.has[ph] == 0 {
			continue
		}
		due := func(n int) bool { return n < len(t.marks) && t.marks[n] != 0 && t.marks[n].phase() == ph }
		p.want.eachSpread(t.fam, t.id, t.has[ph] >= manyRoutes, due, func(n int, r *fib.Route) bool {
			on = yield(Op{Verb: t.marks[n].verb(), Kind: Route, Route: r})
			return on
		})
		if !on {
			return false
		}
	}
	return true
}

// manyRoutes are worth the memory that it takes to enter them spread over the table.
const manyRoutes = 1000

// deletions yields the routes that go in a phase.
func (p *Plan) deletions(ph phase, yield func(Op) bool) bool {
	var r fib.Route
	var legs []fib.Nexthop
	for i := range p.tables {
		t := &p.tables[i]
		if t.has[ph] == 0 {
			continue
		}
		for n := range t.gone {
			g := &t.gone[spread(n, len(t.gone), spreadOut)]
			if g.phase != ph {
				continue
			}
			if g.exact != 0 {
				r = t.exact[g.exact-1]
			} else {
				legs = legs[:0]
				for _, l := range t.legs[g.leg:][:g.legs] {
					legs = append(legs, fib.Nexthop{Link: l.link, Gateway: netip.AddrFrom16(l.gateway), Weight: 1})
				}
				r = fib.Route{Nexthops: legs, Table: t.id, Dst: g.dst(t.fam), TOS: g.tos, Priority: g.priority, Scope: fib.ScopeNowhere, Protocol: p.want.Owner.Protocol}
			}
			if !yield(Op{Verb: Delete, Kind: Route, Route: &r}) {
				return false
			}
		}
	}
	return true
}

// spread is the n-th of the numbers below of, when each step-th comes first, then those behind them.
func spread(n, of, step int) int {
	long := (of + step - 1) / step // of the first rounds
	full := of % step              // rounds that long
	if full == 0 || n < full*long {
		return n%long*step + n/long
	}
	n -= full * long
	return n%(long-1)*step + n/(long-1) + full
}

// keyOf is the key of a route that goes.
func (t *tablePlan) keyOf(g *gone) key {
	if g.exact != 0 {
		return keyOf(&t.exact[g.exact-1])
	}
	return key{dst: g.dst(t.fam), tos: g.tos, priority: g.priority}
}

func (g *gone) dst(f fib.Family) netip.Prefix {
	if f == fib.Inet {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte(g.addr[:4])), int(g.bits))
	}
	return netip.PrefixFrom(netip.AddrFrom16(g.addr), int(g.bits))
}

// check says what the desired rules and objects have that cannot be.
func (p *Plan) check() error {
	o := &p.want.Owner
	p.want.Rules, p.want.Nexthops = slices.Clone(p.want.Rules), slices.Clone(p.want.Nexthops)
	for i := range p.want.Rules {
		r := &p.want.Rules[i]
		r.Protocol = uint8(o.Protocol)
		switch {
		case !o.Rules.Contains(r.Priority):
			return mistake("rule "+r.String(), "its priority %d is not among those that are ours, %v", r.Priority, o.Rules)
		case r.Action == rules.ActLookup && r.Table == 0 && !r.L3MDev:
			return mistake("rule "+r.String(), "table 0 lets the kernel choose a table")
		}
	}
	p.want.Rules = slices.DeleteFunc(p.want.Rules, func(r rules.Rule) bool { return !o.HasFamily(r.Family) })
	ids := map[uint32]bool{}
	for i := range p.want.Nexthops {
		n := &p.want.Nexthops[i]
		n.Group = slices.Clone(n.Group)
		n.Protocol = o.Protocol
		NormalizeNexthop(n)
		name := (&Op{Kind: Nexthop, Nexthop: n}).Name()
		switch {
		case !o.Nexthops.Contains(n.ID):
			return mistake(name, "its id is not among those that are ours, %v", o.Nexthops)
		case ids[n.ID]:
			return mistake(name, "the id is given twice")
		}
		ids[n.ID] = true
	}
	return nil
}
