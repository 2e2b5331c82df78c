package plan

import (
	"fmt"
	"slices"

	"github.com/fibula-net/fibula/fib"
)

// Mode says how nexthops are given to the kernel.
type Mode uint8

// The modes.
const (
	AsGiven Mode = iota // objects where the desired state has objects
	Objects             // equal nexthops become one object, with ids of the owner's range
	Inline              // every route has its own nexthops
)

// Source is where a desired state comes from.
type Source struct {
	Owner Owner
	FIB   *fib.Snapshot
	Mode  Mode
	// Link translates the indexes of FIB's links into the kernel's; nil: they are the
	// kernel's. false: there is no such link (yet), and routes through it are left out.
	Link func(int32) (int32, bool)
	// Actual is asked, in mode Objects, which objects there are to be used again.
	Actual *Actual
}

// Missing counts what a desired state has that cannot be asked for, since a link is
// missing.
type Missing struct {
	Routes   int    `json:"routes"`
	Nexthops int    `json:"nexthops"`
	Example  string `json:"example,omitempty"`
}

// made reports whether kernels make such routes by themselves.
func made(r *fib.Route) bool {
	switch r.Protocol {
	case fib.ProtoKernel, fib.ProtoRedirect:
		return true
	case fib.ProtoRA:
		return r.Family() == fib.Inet6
	}
	return false
}

// From takes what is wanted out of a FIB: the routes of the owned tables, but for
// those that kernels make by themselves; the rules of the owned priorities, but for the
// kernel's; and nexthop objects with the owned ids, or as the mode says. It costs one
// walk over the routes, unless they are taken as they are.
func From(src *Source) (Desired, Missing, error) {
	d, f := begin(src)
	if src.Link == nil && src.Mode != Objects {
		return d, f.missing, nil
	}
	if src.Mode == Objects {
		f.share = newShare(src, d.Nexthops)
	}
	for _, fam := range src.Owner.families() {
		for _, t := range src.Owner.tables() {
			src.FIB.EachRoute(fam, t, f.survey)
		}
	}
	if f.share != nil {
		more, err := f.share.settle(&d)
		if err != nil {
			return d, f.missing, err
		}
		d.Nexthops = append(d.Nexthops, more...)
	}
	return d, f.missing, nil
}

// begin takes what is wanted but for what a survey of the routes tells.
func begin(src *Source) (Desired, *from) {
	d := Desired{Owner: src.Owner, Routes: src.FIB}
	f := &from{Source: src}
	for _, fam := range src.Owner.families() {
		for _, r := range src.FIB.Rules(fam) {
			if src.Owner.Rules.Contains(r.Priority) && fib.Protocol(r.Protocol) != fib.ProtoKernel {
				d.Rules = append(d.Rules, r)
			}
		}
	}
	if src.Mode != Inline {
		d.Nexthops = f.objects()
	}
	d.Edit, d.from = f.edit, f
	return d, f
}

type from struct {
	*Source
	missing Missing
	share   *share
	gone    map[uint32]bool // objects that are left out
	// borrowed are objects that are not ours and that routes of ours use.
	borrowed map[uint32]bool
}

// objects are the desired objects with owned ids, without those whose links are
// missing.
func (f *from) objects() (out []fib.NexthopObject) {
	f.gone = map[uint32]bool{}
	for _, o := range f.FIB.Nexthops() {
		if !f.Owner.Nexthops.Contains(o.ID) {
			continue
		}
		if o.IsGroup() {
			o.Group = slices.DeleteFunc(o.Group, func(m fib.GroupMember) bool { return f.gone[m.ID] })
			if len(o.Group) == 0 {
				f.gone[o.ID] = true
				continue
			}
		} else if !f.Owner.HasFamily(max(o.Family, fib.Inet)) {
			f.gone[o.ID] = true
			continue
		} else if !f.link(&o.Nexthop) {
			f.gone[o.ID] = true
			f.missing.Nexthops++
			f.missing.example(fmt.Sprintf("nexthop id %d", o.ID))
			continue
		}
		NormalizeNexthop(&o)
		out = append(out, o)
	}
	return out
}

func (m *Missing) example(name string) {
	if m.Example == "" {
		m.Example = name
	}
}

func (f *from) link(n *fib.Nexthop) bool {
	if f.Link == nil || n.Link == 0 {
		return true
	}
	i, ok := f.Link(n.Link)
	n.Link = i
	return ok
}

// wants makes r the route that is wanted, still with its own nexthops.
func (f *from) wants(r *fib.Route) (wanted, missing bool) {
	if made(r) {
		return false, false
	}
	if f.Mode == Inline {
		r.NexthopID = 0
	}
	if r.NexthopID != 0 {
		if !f.borrowed[r.NexthopID] && !f.Owner.Nexthops.Contains(r.NexthopID) {
			if f.borrowed == nil {
				f.borrowed = map[uint32]bool{}
			}
			f.borrowed[r.NexthopID] = true
		}
		return !f.gone[r.NexthopID], f.gone[r.NexthopID]
	}
	for i := range r.Nexthops {
		if !f.link(&r.Nexthops[i]) {
			return false, true
		}
	}
	return true, false
}

// survey looks at one route before the plan is made.
func (f *from) survey(r *fib.Route) bool {
	wanted, missing := f.wants(r)
	if missing {
		f.missing.Routes++
		if f.missing.Example == "" {
			f.missing.example("route " + r.String())
		}
	}
	if wanted && f.share != nil {
		Normalize(r)
		f.share.note(r)
	}
	return true
}

func (f *from) edit(r *fib.Route) bool {
	if wanted, _ := f.wants(r); !wanted {
		return false
	}
	if f.share != nil && r.NexthopID == 0 {
		Normalize(r)
		if id := f.share.idOf(r); id != 0 {
			r.NexthopID = id
			r.Nexthops = r.Nexthops[:0]
		}
	}
	return true
}
