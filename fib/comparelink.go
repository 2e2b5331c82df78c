package fib

import (
	"bytes"
	"net/netip"
)

// LinkComparison compares the routes of one family that run over one link with those of a
// dump that a kernel has filtered by it (F14). It costs the routes of the dump and, if there
// are such routes on our side, a look at the index of each prefix. It is not safe for concurrent use.
type LinkComparison struct {
	s      *Snapshot
	fam    Family
	dev    int32
	sel    *Selection
	theirs map[linkPrefix][]byte
}

type linkPrefix struct {
	TablePrefix
	src netip.Prefix
}

// CompareLink begins a comparison of the routes over a link that sel wants; nil: all.
func (s *Snapshot) CompareLink(f Family, link int32, sel *Selection) *LinkComparison {
	if sel == nil {
		sel = &Selection{}
	}
	return &LinkComparison{s: s, fam: f, dev: link, sel: sel, theirs: map[linkPrefix][]byte{}}
}

// Route takes a route of the dump, in any order of prefixes. It is not kept.
func (c *LinkComparison) Route(r *Route) {
	if c.s.Selects(c.sel, r) {
		k := linkPrefix{TablePrefix{r.Table, r.Dst}, r.Src}
		c.theirs[k] = c.s.appendRoute(c.theirs[k], r, withMarks)
	}
}

// Finish returns the prefixes that differ, in no order.
func (c *LinkComparison) Finish() []TablePrefix { return c.Again(c.s) }

// Again is Finish with the routes of another snapshot, which has the same links and objects.
func (c *LinkComparison) Again(s *Snapshot) (out []TablePrefix) {
	c.s = s
	differ, met := map[TablePrefix]bool{}, map[linkPrefix]bool{}
	hits := c.leaves()
	for _, k := range c.s.sortedTables() {
		if len(hits) == 0 || k.fam != c.fam || !c.sel.Table(k.fam, k.id) {
			continue
		}
		for p, i := range c.s.tables[k].version().All() {
			l := hits[i]
			if l == nil {
				continue
			}
			for _, x := range l {
				at := linkPrefix{TablePrefix{k.id, p}, x.src}
				if theirs, ok := c.theirs[at]; !ok || !bytes.Equal(theirs, x.shown) {
					differ[at.TablePrefix] = true
				}
				met[at] = true
			}
		}
	}
	for at := range c.theirs {
		if !met[at] {
			differ[at.TablePrefix] = true
		}
	}
	for p := range differ {
		out = append(out, p)
	}
	return out
}

// shownBySrc is what a dump by a link shows of the routes under a source prefix.
type shownBySrc struct {
	src   netip.Prefix
	shown []byte
}

// leaves are those with routes over the link, by number.
func (c *LinkComparison) leaves() map[uint32][]shownBySrc {
	hits := map[uint32][]shownBySrc{}
	for k, page := range c.s.leaves {
		for j, l := range page.leaves {
			if l == nil {
				continue
			}
			i := uint32(k*leafPageSize + j)
			if b := c.list(l.plain); b != nil {
				hits[i] = append(hits[i], shownBySrc{shown: b})
			}
			for _, x := range l.bySrc {
				if b := c.list(x.list); b != nil {
					hits[i] = append(hits[i], shownBySrc{x.src, b})
				}
			}
		}
	}
	return hits
}

// list is what a dump by the link shows of a list, nil: nothing.
func (c *LinkComparison) list(list []*alias) (b []byte) {
	for i := 0; i < len(list); i++ {
		last := shownUpTo(list, i)
		if list[i].fam == c.fam && c.overLink(list[i:last+1]) {
			b = c.s.appendAlias(b, list[i], withMarks)
			for _, a := range list[i+1 : last+1] {
				if a.ecmpAble() {
					b = c.s.appendLeg(b, a.fam, &a.legs[0], withMarks)
				}
			}
		}
		i = last
	}
	return b
}

// overLink reports whether a route, of several aliases if it is a multipath route of IPv6, runs
// over the link.
func (c *LinkComparison) overLink(group []*alias) bool {
	for i, a := range group {
		if (i == 0 || a.ecmpAble()) && c.s.runsOver(a.fam, a.nhid, a.legs, c.dev) {
			return true
		}
	}
	return false
}

// SourcesBeyond reports whether a route by other links prefers an address of a link as its
// source: with the address such routes can go, or lose it (E4, D43).
func (tx *Txn) SourcesBeyond(link int32) bool {
	l := tx.s.links[link]
	if l == nil {
		return false
	}
	mine := map[netip.Addr]bool{}
	for _, list := range [...][]Address{l.addrs4, l.addrs6} {
		for i := range list {
			mine[list[i].Local] = true
		}
	}
	for _, r := range tx.in.aliasRecs {
		if r != nil && r.refs > 0 && mine[r.prefSrc] && !r.uses(link) {
			return true
		}
	}
	return false
}
