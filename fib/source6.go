package fib

import "net/netip"

// source6 selects the source address of a flow to dst that leaves through dev, as
// RFC 6724 section 5 and the kernel have it (D40, D41). The zero Addr is none.
func (w *walk) source6(dst netip.Addr, dev int32) netip.Addr {
	c := candidates6{s: w.s, dst: orUnspecified6(dst), dev: dev, all: w.literal}
	c.scope = scopeOf6(c.dst)
	c.label = w.s.label6(c.dst, dev)
	c.run()
	if w.telling() {
		w.tellSource6(&c)
	}
	if c.best == nil {
		return netip.Addr{}
	}
	return c.best.Local
}

// candidates6 is one selection under way.
type candidates6 struct {
	s     *Snapshot
	dst   netip.Addr
	dev   int32
	scope int
	label uint32
	all   bool // go over all candidates, also those that cannot win

	best     *Address // nil: none yet
	bestRank rank6
	compared int // candidates so far

	// each, if set, is told of every candidate in turn; ok is false for one that is
	// not used at all.
	each func(a *Address, r rank6, ok bool)
}

// run goes over the candidates in the kernel's order; among equals the first wins.
func (c *candidates6) run() {
	out := c.s.link(c.dev)
	if isMulticast6(c.dst) || c.scope <= scopeLinkLocal6 || out != nil && !out.NoInet6 && out.Conf6.UseOifAddrsOnly {
		c.link(out)
		return
	}
	domain := c.s.masterOf(c.dev)
	if domain != 0 {
		// In a VRF the outgoing link and the VRF itself come first, and if they have one
		// address between them no other link is asked (L19). A VRF that is the outgoing
		// link compares its addresses with themselves and goes on.
		c.link(out)
		c.link(c.s.link(domain))
		if c.compared == 1 {
			return
		}
	}
	var first *link
	settled := false
	if !c.all && domain == 0 {
		first = out // rule 5 keeps its addresses apart from the others'
		c.link(first)
		settled = c.settled()
	}
	for _, i := range c.s.linkOrder {
		l := c.s.link(i)
		if l == first || settled && !l.has6(c.dst) {
			continue
		}
		if c.s.masterOf(i) == domain {
			c.link(l)
		}
	}
}

// settled reports whether no address of another link but the destination itself can
// win: the best one of the outgoing link, which rule 5 prefers, has all that comes
// before rule 5.
func (c *candidates6) settled() bool {
	return c.best != nil && c.bestRank>>fromRule5 >= rank6(256-c.scope)<<1|1
}

// has6 reports whether a is an IPv6 address of the link.
func (l *link) has6(a netip.Addr) bool {
	for i := range l.addrs6 {
		if l.addrs6[i].Local == a {
			return true
		}
	}
	return false
}

func (c *candidates6) link(l *link) {
	if l == nil || l.NoInet6 {
		return
	}
	for i := range l.addrs6 {
		a := &l.addrs6[i]
		ok := a.Flags&AddrTentative == 0 || a.Flags&AddrOptimistic != 0
		ok = ok && a.Local.Is6() && !isMulticast6(a.Local) && !a.Local.IsUnspecified()
		var r rank6
		if ok {
			c.compared++
			if r = c.rank(l, a); c.best == nil || r > c.bestRank {
				c.best, c.bestRank = a, r
			}
		}
		if c.each != nil {
			c.each(a, r, ok)
		}
	}
}

// rank6 is an address's standing by all rules of D41, the first of them in the
// highest bits, so that the greater number wins.
type rank6 uint64

// rules6 are the rules that a rank holds, first to last: the number in RFC 6724
// section 5, what the rule prefers, and the bits it takes.
var rules6 = [...]struct {
	number int
	name   string
	bits   int
}{
	{1, "the destination itself", 1},
	{2, "appropriate scope", 10},
	{3, "not deprecated", 1},
	{5, "outgoing interface", 1},
	{6, "matching label", 1},
	{7, "temporary or public as configured", 1},
	{0, "both or neither ORCHID", 1},
	{8, "longest matching prefix", 8},
	{0, "not optimistic", 1},
}

// fromRule5 are the bits of a rank that rule 5 and those after it take.
const fromRule5 = 1 + 1 + 1 + 1 + 8 + 1

func (c *candidates6) rank(l *link, a *Address) rank6 {
	var r rank6
	next := 0
	put := func(v int) {
		r = r<<rules6[next].bits | rank6(v)
		next++
	}
	flag := func(b bool) {
		v := 0
		if b {
			v = 1
		}
		put(v)
	}
	flag(a.Local == c.dst)
	scope := scopeOf6(a.Local)
	if scope >= c.scope {
		put(256 - scope)
	} else {
		put(128 + scope) // below every sufficient scope
	}
	avoid := AddrDeprecated
	if !c.s.useOptimistic6(l) {
		avoid |= AddrOptimistic
	}
	flag(isV4Embedded6(a.Local) || a.Flags&avoid == 0)
	flag(c.dev == 0 || c.dev == l.Index)
	flag(c.s.label6(a.Local, l.Index) == c.label)
	flag((a.Flags&AddrTemporary != 0) == (l.Conf6.UseTempaddr >= 2))
	flag(isORCHID6(a.Local) == isORCHID6(c.dst))
	put(min(commonBits6(a.Local, c.dst), max(a.Prefix.Bits(), 0)))
	flag(a.Flags&AddrOptimistic == 0)
	return r
}

// useOptimistic6: all or own, for both settings (F11).
func (s *Snapshot) useOptimistic6(l *link) bool {
	all := &s.sysctls.All6
	return (all.OptimisticDAD || l.Conf6.OptimisticDAD) && (all.UseOptimistic || l.Conf6.UseOptimistic)
}

// noLabel is the label of an address that no entry covers.
const noLabel = 1<<32 - 1

// label6 is the label of a as seen on a link (D42): that of the longest prefix, of
// two of one length the one bound to the link.
func (s *Snapshot) label6(a netip.Addr, dev int32) uint32 {
	label, bits := uint32(noLabel), -1
	for i := range s.labels {
		e := &s.labels[i]
		n := e.Prefix.Bits()
		if n < bits {
			break
		}
		if e.Link != 0 && e.Link != dev || !e.Prefix.Contains(a) {
			continue
		}
		if n > bits || e.Link != 0 {
			label, bits = e.Label, n
		}
	}
	return label
}
