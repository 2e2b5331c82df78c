package ksync

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtnl"
)

// groupsOf are the groups whose news can change answers in some families; none: both.
func groupsOf(families []fib.Family) []int {
	of := map[int]fib.Family{
		unix.RTNLGRP_IPV4_IFADDR: fib.Inet, unix.RTNLGRP_IPV4_NETCONF: fib.Inet, unix.RTNLGRP_IPV4_ROUTE: fib.Inet, unix.RTNLGRP_IPV4_RULE: fib.Inet,
		unix.RTNLGRP_IPV6_IFADDR: fib.Inet6, unix.RTNLGRP_IPV6_NETCONF: fib.Inet6, unix.RTNLGRP_IPV6_ROUTE: fib.Inet6, unix.RTNLGRP_IPV6_RULE: fib.Inet6,
	}
	return slices.DeleteFunc(append(slices.Clone(configGroups), unix.RTNLGRP_NEIGH), func(g int) bool {
		f, one := of[g]
		return one && len(families) > 0 && !slices.Contains(families, f)
	})
}

// events is the filter that keeps back what is not followed.
func (p *part) events() eventFilter {
	f := eventFilter{tables: p.Tables, protocols: p.Protocols, links: p.heard, siblings: p.ByRoute()}
	if p.Links != nil && len(f.links) == 0 {
		f.links = []int32{-1}
	}
	return f
}

func (k *kernelSource) listen(p *part) error {
	k.part = *p
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.sub.setFilter(p.events())
}

// maxDumps bounds how often the kernel goes over its tables to find what is followed; it
// filters by one protocol and one link at a time.
const maxDumps = 32

// dumps are the requests that together show what is followed, no route being missing.
func (p *part) dumps(f fib.Family, table fib.TableID) []rtnl.Dump {
	protocols, links := p.Protocols, p.Links
	if len(protocols) == 0 || slices.Contains(protocols, 0) { // which the kernel takes for all
		protocols = []fib.Protocol{0}
	}
	if links == nil || len(protocols)*len(links) > maxDumps && len(protocols) <= maxDumps {
		links = []int32{0}
	}
	if len(protocols)*len(links) > maxDumps {
		protocols = []fib.Protocol{0}
		if len(links) > maxDumps {
			links = []int32{0}
		}
	}
	var out []rtnl.Dump
	for _, proto := range protocols {
		for _, l := range links {
			out = append(out, rtnl.Dump{Family: f, Table: table, Protocol: proto, Link: l})
		}
	}
	return out
}

func (k *kernelSource) routes(ctx context.Context, f fib.Family, table fib.TableID, fn func(*fib.Route) error) error {
	return k.retry(func() error {
		dumps := k.part.dumps(f, table)
		if len(dumps) == 1 {
			return k.scan.filtered(ctx, dumps[0], fn)
		}
		return k.scan.together(ctx, dumps, fn)
	})
}

func (k *kernelSource) liken(same func(kind uint64, dst netip.Prefix) bool) { k.scan.same = same }
func (k *kernelSource) kind() uint64                                        { return k.scan.kind }

func (k *kernelSource) routesBy(ctx context.Context, f fib.Family, link int32, fn func(*fib.Route) error) (bool, error) {
	d := rtnl.Dump{Family: f, Link: link}
	if p := &k.part; len(p.Tables) == 1 {
		d.Table = p.Tables[0]
	}
	return true, k.retry(func() error { return k.scan.filtered(ctx, d, fn) })
}

// together passes on the routes of several dumps as one dump would show them. It holds the
// messages, some 80 bytes each. Where that leaves the order of two routes open, it asks for
// all of their protocol, or if they have not the same, of their table: fn is shown more than
// was asked for then.
func (s *scan) together(ctx context.Context, dumps []rtnl.Dump, fn func(*fib.Route) error) error {
	g := gathered{tables: map[fib.TableID]*gatheredTable{}}
	var interrupted error
	dump := func(d rtnl.Dump, list int) error {
		err := s.dumpRoutes(ctx, d, func(m rtnl.Message) error { return g.add(list, m, &s.report) })
		if errors.Is(err, errInterrupted) {
			interrupted, err = err, nil
		}
		return err
	}
	for i := range dumps {
		if err := dump(dumps[i], i); err != nil {
			return err
		}
	}
	for _, id := range g.order {
		t := g.tables[id]
		whole := rtnl.Dump{Family: dumps[0].Family, Table: id}
		for {
			err := t.each(func(*fib.Route) error { return nil })
			var open *ambiguous
			if !errors.As(err, &open) {
				if err == nil {
					err = t.each(fn)
				}
				if err != nil {
					return err
				}
				break
			}
			if whole.Protocol = open.protocols[0]; whole.Protocol != open.protocols[1] || t.whole[whole.Protocol] {
				whole.Protocol = 0
				*t = gatheredTable{}
			} else {
				t.leave(whole.Protocol)
			}
			if err := dump(whole, len(t.lists)); err != nil {
				return err
			}
		}
	}
	return interrupted
}

// ambiguous: the order of two routes of different dumps is open.
type ambiguous struct{ protocols [2]fib.Protocol }

func (*ambiguous) Error() string { return "the order of routes of different dumps is open" }

// gathered are the messages of several dumps by table.
type gathered struct {
	tables map[fib.TableID]*gatheredTable
	order  []fib.TableID
	r      fib.Route
}

// gatheredTable has the messages of one table, a list for each dump. Routes with a source
// prefix come apart, before the others.
type gatheredTable struct {
	lists   [][]byte
	sources []gatheredSource
	whole   map[fib.Protocol]bool // protocols of which a later list has all
	later   int                   // number of the first such list
}

type gatheredSource struct {
	r    fib.Route
	list int
	text []byte
}

func (g *gathered) add(list int, m rtnl.Message, rep *Report) error {
	if err := rtnl.DecodeRoute(m, &g.r, rep); err != nil {
		return err
	}
	t := g.tables[g.r.Table]
	if t == nil {
		t = &gatheredTable{}
		g.tables[g.r.Table] = t
		g.order = append(g.order, g.r.Table)
	}
	if g.r.Src.IsValid() {
		c := g.r
		c.Nexthops = slices.Clone(c.Nexthops)
		t.sources = append(t.sources, gatheredSource{c, list, bytes.Clone(m.Data)})
		return nil
	}
	for list >= len(t.lists) {
		t.lists = append(t.lists, nil)
	}
	t.lists[list] = rtnl.AppendMessage(t.lists[list], m)
	return nil
}

// leave has the routes of a protocol come from the next list.
func (t *gatheredTable) leave(p fib.Protocol) {
	if t.whole == nil {
		t.whole, t.later = map[fib.Protocol]bool{}, len(t.lists)
	}
	t.whole[p] = true
	t.sources = slices.DeleteFunc(t.sources, func(x gatheredSource) bool { return x.r.Protocol == p })
}

// gatheredHead is the next route of one list.
type gatheredHead struct {
	rest []byte
	skip map[fib.Protocol]bool
	text []byte
	r    fib.Route
	more bool
}

func (h *gatheredHead) advance() error {
	for {
		if h.more = len(h.rest) > 0; !h.more {
			return nil
		}
		m, rest, err := rtnl.Next(h.rest)
		if err != nil {
			return err
		}
		h.rest, h.text = rest, m.Data
		if err := rtnl.DecodeRoute(m, &h.r, nil); err != nil || !h.skip[h.r.Protocol] {
			return err
		}
	}
}

// compareGathered orders routes of one prefix as the kernel does, as far as that is known.
func compareGathered(a, b *fib.Route) int {
	if a.Family() == fib.Inet {
		return cmp.Or(cmp.Compare(b.TOS, a.TOS), cmp.Compare(a.Priority, b.Priority))
	}
	return cmp.Compare(a.Priority, b.Priority)
}

// each goes over the routes of a table in order, those that several dumps show once.
func (t *gatheredTable) each(fn func(*fib.Route) error) error {
	if err := t.eachSource(fn); err != nil {
		return err
	}
	heads := make([]gatheredHead, len(t.lists))
	for i := range heads {
		if heads[i].rest = t.lists[i]; t.whole != nil && i < t.later {
			heads[i].skip = t.whole
		}
		if err := heads[i].advance(); err != nil {
			return err
		}
	}
	for {
		var h *gatheredHead
		for i := range heads {
			if x := &heads[i]; x.more && (h == nil || compareHeads(&x.r, &h.r) < 0) {
				h = x
			}
		}
		if h == nil {
			return nil
		}
		for i := range heads {
			x := &heads[i]
			if x == h || !x.more || compareHeads(&x.r, &h.r) != 0 {
				continue
			}
			if !bytes.Equal(x.text, h.text) {
				return &ambiguous{[...]fib.Protocol{h.r.Protocol, x.r.Protocol}}
			}
			if err := x.advance(); err != nil {
				return err
			}
		}
		if err := fn(&h.r); err != nil {
			return err
		}
		if err := h.advance(); err != nil {
			return err
		}
	}
}

func compareHeads(a, b *fib.Route) int {
	return cmp.Or(fib.CompareDumped(a.Family(), a.Dst, b.Dst), compareGathered(a, b))
}

func (t *gatheredTable) eachSource(fn func(*fib.Route) error) error {
	slices.SortStableFunc(t.sources, func(x, y gatheredSource) int {
		return cmp.Or(x.r.Dst.Compare(y.r.Dst), x.r.Src.Compare(y.r.Src), compareGathered(&x.r, &y.r), cmp.Compare(x.list, y.list))
	})
	for i := range t.sources {
		x := &t.sources[i]
		if i > 0 {
			y := &t.sources[i-1]
			if x.r.Dst == y.r.Dst && x.r.Src == y.r.Src && x.r.Priority == y.r.Priority && x.list != y.list {
				if !bytes.Equal(x.text, y.text) {
					return &ambiguous{[...]fib.Protocol{x.r.Protocol, y.r.Protocol}}
				}
				continue
			}
		}
		if err := fn(&x.r); err != nil {
			return err
		}
	}
	return nil
}
