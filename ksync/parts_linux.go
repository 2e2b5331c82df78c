package ksync

import (
	"net/netip"
	"reflect"
	"slices"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rebuild"
	"github.com/fibula-net/fibula/rules"
)

// parts is a state taken to pieces, each of which can be left out: then it is as
// in a namespace where nobody configured it.
type parts struct {
	whole  *fib.State
	fresh  *fib.Sysctls
	pieces []piece
	gone   []fib.Route  // routes that came with an address and were deleted
	absent []rules.Rule // initial rules that were deleted
}

type pieceKind uint8

// The kinds of piece, in the order in which they are tried to be left out.
const (
	pieceRoute pieceKind = iota
	pieceGone
	pieceRule
	pieceAbsent
	pieceNexthop
	pieceNeighbour
	pieceAddress
	pieceLink
	pieceSetting     // of the namespace
	pieceLinkSetting // of a link, which is at number
	pieceMode
	pieceLabels
)

type piece struct {
	kind   pieceKind
	number int
	path   []int // of a setting: the field's way within its struct
}

func newParts(st *fib.State, fresh *fib.Sysctls) *parts {
	p := &parts{whole: st, fresh: fresh}
	add := func(kind pieceKind, n int) {
		for i := range n {
			p.pieces = append(p.pieces, piece{kind: kind, number: i})
		}
	}
	var extra []int
	extra, p.gone = rebuild.Split(st)
	for _, i := range extra {
		p.pieces = append(p.pieces, piece{kind: pieceRoute, number: i})
	}
	add(pieceGone, len(p.gone))
	for i := range st.Rules {
		if !isInitial(&st.Rules[i]) {
			p.pieces = append(p.pieces, piece{kind: pieceRule, number: i})
		}
	}
	for _, f := range []fib.Family{fib.Inet, fib.Inet6} {
		for _, r := range rules.Initial(f).All() {
			if !slices.Contains(st.Rules, r) {
				p.absent = append(p.absent, r)
			}
		}
	}
	add(pieceAbsent, len(p.absent))
	add(pieceNexthop, len(st.Nexthops))
	add(pieceNeighbour, len(st.Neighbours))
	add(pieceAddress, len(st.Addresses))
	add(pieceLink, len(st.Links))
	p.settings(pieceSetting, -1, reflect.ValueOf(&st.Sysctls).Elem(), reflect.ValueOf(fresh).Elem(), nil)
	for i := range st.Links {
		l, base := &st.Links[i], &st.Sysctls
		if l.Flags&fib.LinkLoopback != 0 { // was there before anything was set
			base = fresh
		}
		p.settings(pieceLinkSetting, i, reflect.ValueOf(&l.Conf4).Elem(), reflect.ValueOf(&base.Default4).Elem(), []int{4})
		p.settings(pieceLinkSetting, i, reflect.ValueOf(&l.Conf6).Elem(), reflect.ValueOf(&base.Default6).Elem(), []int{6})
	}
	add(pieceMode, 2)
	if len(st.AddrLabels) > 0 {
		add(pieceLabels, 1)
	}
	return p
}

// settings finds the fields of have that are not as in base.
func (p *parts) settings(kind pieceKind, number int, have, base reflect.Value, path []int) {
	for i := range have.NumField() {
		way := append(slices.Clone(path), i)
		switch {
		case have.Field(i).Kind() == reflect.Struct:
			p.settings(kind, number, have.Field(i), base.Field(i), way)
		case !have.Field(i).Equal(base.Field(i)):
			p.pieces = append(p.pieces, piece{kind: kind, number: number, path: way})
		}
	}
}

func isInitial(r *rules.Rule) bool {
	for _, x := range rules.Initial(r.Family).All() {
		if x == *r {
			return true
		}
	}
	return false
}

func (p *parts) all() []int {
	out := make([]int, len(p.pieces))
	for i := range out {
		out[i] = i
	}
	return out
}

// state puts the kept pieces together. What stands on a piece that is left out
// goes with it.
func (p *parts) state(kept []int) *fib.State {
	w := p.whole
	st := &fib.State{Kernel: w.Kernel, Sysctls: *p.fresh, UserLocalRoutes: w.UserLocalRoutes}
	has := map[pieceKind]map[int]bool{}
	for _, i := range kept {
		k := &p.pieces[i]
		if has[k.kind] == nil {
			has[k.kind] = map[int]bool{}
		}
		has[k.kind][k.number] = true
		if k.kind == pieceSetting {
			at(&st.Sysctls, k.path).Set(at(&w.Sysctls, k.path))
		}
	}
	there := map[int32]bool{}
	for i := range w.Links {
		if l := w.Links[i]; has[pieceLink][i] || l.Flags&fib.LinkLoopback != 0 {
			l.Conf4, l.Conf6 = st.Sysctls.Default4, st.Sysctls.Default6
			if l.Flags&fib.LinkLoopback != 0 {
				l.Conf4, l.Conf6 = p.fresh.Default4, p.fresh.Default6
				if !has[pieceLink][i] {
					l.Flags &^= fib.LinkUp | fib.LinkRunning | fib.LinkLowerUp
				}
			}
			for _, j := range kept {
				if k := &p.pieces[j]; k.kind == pieceLinkSetting && k.number == i {
					at(linkConf(&l, k.path[0]), k.path[1:]).Set(at(linkConf(&w.Links[i], k.path[0]), k.path[1:]))
				}
			}
			st.Links = append(st.Links, l)
			there[l.Index] = true
		}
	}
	for i := range st.Links {
		if !there[st.Links[i].Master] {
			st.Links[i].Master = 0
		}
	}
	for i, a := range w.Addresses {
		if has[pieceAddress][i] && there[a.Link] && !a.Local.IsLoopback() || p.byItself(st, &a) {
			st.Addresses = append(st.Addresses, a)
		}
	}
	for i, n := range w.Neighbours {
		if has[pieceNeighbour][i] && there[n.Link] {
			st.Neighbours = append(st.Neighbours, n)
		}
	}
	p.nexthops(st, has[pieceNexthop], there)
	p.routes(st, has, there)
	p.rules(st, has)
	if has[pieceMode][0] {
		st.Mode4 = w.Mode4
	}
	if has[pieceMode][1] {
		st.Mode6 = w.Mode6
	}
	if has[pieceLabels][0] {
		st.AddrLabels = w.AddrLabels
	}
	return st
}

// byItself reports whether an address comes with lo.
func (p *parts) byItself(st *fib.State, a *fib.Address) bool {
	return a.Local.IsLoopback() && slices.ContainsFunc(st.Links, func(l fib.Link) bool {
		return l.Index == a.Link && l.Flags&fib.LinkLoopback != 0 && l.Up()
	})
}

func at(v any, path []int) reflect.Value { return reflect.ValueOf(v).Elem().FieldByIndex(path) }

func linkConf(l *fib.Link, family int) any {
	if family == 4 {
		return &l.Conf4
	}
	return &l.Conf6
}

func (p *parts) nexthops(st *fib.State, kept map[int]bool, there map[int32]bool) {
	ids := map[uint32]bool{}
	for _, groups := range []bool{false, true} {
		for i, o := range p.whole.Nexthops {
			if !kept[i] || o.IsGroup() != groups || !o.IsGroup() && !o.Blackhole && !there[o.Nexthop.Link] {
				continue
			}
			o.Group = slices.DeleteFunc(slices.Clone(o.Group), func(m fib.GroupMember) bool { return !ids[m.ID] })
			if groups && len(o.Group) == 0 {
				continue
			}
			ids[o.ID] = true
			st.Nexthops = append(st.Nexthops, o)
		}
	}
}

func (p *parts) routes(st *fib.State, has map[pieceKind]map[int]bool, there map[int32]bool) {
	for _, r := range rebuild.Derived(st) {
		if !slices.ContainsFunc(p.gone, func(g fib.Route) bool { return rebuild.Same(&g, &r) }) {
			st.Routes = append(st.Routes, r)
			continue
		}
		for i := range p.gone {
			if rebuild.Same(&p.gone[i], &r) && !has[pieceGone][i] {
				st.Routes = append(st.Routes, r)
			}
		}
	}
	for i, r := range p.whole.Routes {
		if !has[pieceRoute][i] {
			continue
		}
		if r.NexthopID != 0 {
			if slices.ContainsFunc(st.Nexthops, func(o fib.NexthopObject) bool { return o.ID == r.NexthopID }) {
				st.Routes = append(st.Routes, r)
			}
			continue
		}
		legs := slices.DeleteFunc(slices.Clone(r.Nexthops), func(n fib.Nexthop) bool { return n.Link != 0 && !there[n.Link] })
		if len(r.Nexthops) == 0 || len(legs) > 0 {
			r.Nexthops = legs
			st.Routes = append(st.Routes, r)
		}
	}
}

// rules keeps the order, with initial rules whose deletion is left out in their place.
func (p *parts) rules(st *fib.State, has map[pieceKind]map[int]bool) {
	for i, r := range p.whole.Rules {
		if isInitial(&r) || has[pieceRule][i] {
			st.Rules = append(st.Rules, r)
		}
	}
	for i, r := range p.absent {
		if has[pieceAbsent][i] {
			continue
		}
		where := slices.IndexFunc(st.Rules, func(x rules.Rule) bool { return x.Family == r.Family && x.Priority > r.Priority })
		if where < 0 {
			where = len(st.Rules)
		}
		st.Rules = slices.Insert(st.Rules, where, r)
	}
}

// near are the pieces without routes that have nothing to do with the addresses of
// an answer, directly or by a gateway.
func (p *parts) near(a *Answer) []int {
	about := map[netip.Addr]bool{a.Flow.Dst: true}
	for _, x := range []netip.Addr{a.Flow.Src, a.Ours.Gateway, a.Ours.Source, a.Kernel.Gateway, a.Kernel.Route.PrefSrc} {
		if x.IsValid() {
			about[x] = true
		}
	}
	covers := func(r *fib.Route) bool {
		for x := range about {
			if r.Dst.Contains(x) {
				return true
			}
		}
		return false
	}
	var kept []int
	for range 2 {
		kept = kept[:0]
		for i, k := range p.pieces {
			if k.kind == pieceRoute {
				r := &p.whole.Routes[k.number]
				if !covers(r) {
					continue
				}
				for _, n := range r.Nexthops {
					if n.Gateway.IsValid() {
						about[n.Gateway] = true
					}
				}
			}
			kept = append(kept, i)
		}
	}
	return kept
}
