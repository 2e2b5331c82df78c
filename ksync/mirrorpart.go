package ksync

import (
	"errors"
	"slices"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/rules"
)

// part is what a mirror follows, as things are.
type part struct {
	fib.Selection
	names []string // of the links
	heard []int32  // links whose routes count: the selected ones, and the slaves of VRFs among them
	// faint are tables in which a route may have become one of the selected without a word:
	// the next poll looks at them.
	faint map[tableOf]struct{}
}

func (o *MirrorOptions) part() part {
	return part{Selection: fib.Selection{Families: o.Families, Tables: o.Tables, Protocols: o.Protocols}, names: o.Links}
}

// follows reports whether the mirror follows routes of a table.
func (m *Mirrored) follows(f fib.Family, t fib.TableID) bool { return m.part.Table(f, t) }

func (m *Mirrored) families() (out []fib.Family) {
	for _, f := range m.src.families() {
		if len(m.part.Families) == 0 || slices.Contains(m.part.Families, f) {
			out = append(out, f)
		}
	}
	return out
}

// reselect finds the links that are followed, and has the kernel keep back what comes by
// others. It reports whether they are others than before.
func (m *Mirrored) reselect(s *fib.Snapshot) (bool, error) {
	p := &m.part
	if p.names == nil {
		return false, nil
	}
	links, heard := []int32{}, []int32{}
	for _, name := range p.names {
		l, ok := s.LinkByName(name)
		if !ok {
			continue
		}
		links, heard = append(links, l.Index), append(heard, l.Index)
		if l.IsL3Master() {
			heard = append(heard, s.Slaves(l.Index)...)
		}
	}
	slices.Sort(heard)
	if p.Links != nil && slices.Equal(p.Links, links) && slices.Equal(p.heard, heard) {
		return false, nil
	}
	p.Links, p.heard = links, heard
	return true, m.src.listen(p)
}

// keep drops what was derived of routes that are not followed.
func (m *Mirrored) keep(tx *fib.Txn) error {
	p := &m.part
	if len(p.Families)+len(p.Tables)+len(p.Protocols) == 0 && p.Links == nil {
		return nil
	}
	return tx.Keep(&p.Selection)
}

// seldom is what is looked at now and then because news of it never come.
func (m *Mirrored) seldom() *doubts {
	d := m.leftOver()
	d.surroundings = true
	return d
}

// leftOver are the tables in which something may be followed of which no news tell.
func (m *Mirrored) leftOver() *doubts {
	d := &doubts{}
	for t := range m.part.faint {
		d.table(t).all = true
	}
	m.part.faint = nil
	return d
}

// heardPart applies news of a route to a mirror of some routes: where a table has others, the
// news can mean more than it says, or nothing.
func (a *applier) heardPart(e *event) error {
	r := &e.route
	s := a.tx.Snapshot()
	x := &news1{wanted: s.Selects(&a.m.part.Selection, r), event: e}
	for _, o := range s.RoutesAt(r.Table, r.Dst) {
		if o.Priority == r.Priority && o.TOS == r.TOS && o.Src == r.Src {
			x.rivals += max(1, len(o.Nexthops))
		}
	}
	var err error
	if r.Family() == fib.Inet {
		err = a.part4(x)
	} else {
		err = a.part6(x)
	}
	if errors.Is(err, fib.ErrTxnDone) {
		return err
	}
	if len(a.m.open) > 0 {
		a.m.closes(a.tx.Snapshot(), fib.TablePrefix{Table: r.Table, Dst: r.Dst})
	}
	if err != nil || x.doubt {
		a.doubt(r)
	}
	return nil
}

// news1 is one of them: whether the route is followed, and how many of ours, legs counted, have
// its destination, TOS and metric.
type news1 struct {
	*event
	wanted bool
	rivals int
	doubt  bool
}

// tell takes the news as they are; what does not fit is a doubt.
func (a *applier) tell(x *news1, flags fib.AddFlags) (h fib.Heard, err error) {
	if x.gone {
		h, err = a.tx.TellRouteGone(&x.route)
	} else {
		h, err = a.tx.TellRoute(&x.route, flags)
	}
	x.doubt = x.doubt || h == fib.HeardDoubt
	return h, err
}

const alone = fib.Create | fib.Excl

func (a *applier) part4(x *news1) error {
	replaces := x.flags&fib.Replace != 0
	switch {
	case x.gone:
		_, err := a.tell(x, 0)
		x.doubt = x.doubt && x.wanted
		return err
	case !x.wanted:
		x.doubt = x.rivals > 0 && (replaces || x.flags&fib.Excl != 0) // one of ours may have gone for it
		return nil
	case x.rivals == 0: // before, behind or in place of what is not ours
		_, err := a.tell(x, alone)
		return err
	}
	h, err := a.tell(x, x.flags)
	x.doubt = x.doubt || replaces && h != fib.HeardKnown // it may have replaced one that is not ours
	return err
}

// part6: what an IPv6 message says of legs is about a route with the protocol of its first leg,
// which it does not tell (D4, F5).
func (a *applier) part6(x *news1) error {
	r, legs := &x.route, len(x.route.Nexthops)
	leg := r.NexthopID == 0 && legs > 0 && r.Nexthops[0].Gateway.IsValid()
	mixed := len(a.m.part.Protocols) > 0
	switch {
	case x.gone && leg && legs == 1 && x.rivals == 0:
		if mixed { // the first leg of a route may have gone, and those that are left be ours
			a.m.part.doubtFaintly(tableOf{fib.Inet6, r.Table})
		}
		return nil
	case x.gone:
		a.trim = true
		h, err := a.tell(x, 0)
		x.doubt = (x.doubt || leg && legs == 1 && x.rivals > 1 && mixed && h != fib.HeardKnown) && (x.wanted || x.rivals > 0)
		return err
	case !x.wanted:
		x.doubt = x.rivals > 0 || legs > 1 && mixed && a.m.part.Links != nil && x.flags&fib.Excl == 0
		return nil
	case x.rivals == 0 && (x.flags&fib.Excl != 0 || legs <= 1):
		_, err := a.tell(x, alone)
		return err
	case x.rivals == 0 && mixed:
		x.doubt = true
		return nil
	}
	h, err := a.tell(x, x.flags)
	x.doubt = x.doubt || h != fib.HeardKnown && (x.flags&fib.Replace != 0 || legs > 1 && mixed)
	return err
}

func (p *part) doubtFaintly(t tableOf) {
	if p.faint == nil {
		p.faint = map[tableOf]struct{}{}
	}
	p.faint[t] = struct{}{}
}

// ofFamilies drops of a plain state what is not followed.
func (p *part) ofFamilies(st *fib.State) {
	if len(p.Families) == 0 {
		return
	}
	st.Addresses = slices.DeleteFunc(st.Addresses, func(a fib.Address) bool {
		f := fib.Inet6
		if a.Local.Is4() {
			f = fib.Inet
		}
		return !slices.Contains(p.Families, f)
	})
	st.Rules = slices.DeleteFunc(st.Rules, func(r rules.Rule) bool { return !slices.Contains(p.Families, r.Family) })
	if !slices.Contains(p.Families, fib.Inet6) {
		st.AddrLabels = nil
	}
	if len(st.Addresses) == 0 {
		st.Addresses = nil
	}
	if len(st.Rules) == 0 {
		st.Rules = nil
	}
}
