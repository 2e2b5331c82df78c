package ksync

import (
	"errors"
	"slices"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtnl"
	"github.com/fibula-net/fibula/rules"
)

// applier applies events to one transaction and notes what they leave in doubt.
type applier struct {
	m    *Mirrored
	tx   *fib.Txn
	d    *doubts
	seen [numEvents]uint64
	// derives: something happened from which the kernel draws consequences in silence.
	derives bool
	// everywhere: which routes these concern is not certain.
	everywhere bool
	// trim: what is left of a route may be none of those that are followed.
	trim bool
}

func (a *applier) apply(e *event) error {
	a.seen[e.kind]++
	a.m.drift.explain(e)
	if e.vague {
		a.vague(e)
		return nil
	}
	var err error
	switch e.kind {
	case eventRoute:
		return a.route(e)
	case eventLink:
		err = a.link(e)
	case eventAddress:
		err = a.address(e)
	case eventRule:
		err = a.rule(e)
	case eventNexthop:
		err = a.nexthop(e)
	case eventNeighbour:
		a.neighbour(e)
	case eventNetconf:
		err = a.netconf(e)
	case eventUnclear:
		a.d.surroundings = true
	}
	if errors.Is(err, fib.ErrTxnDone) {
		return err
	}
	if err != nil { // it does not fit what was known
		a.m.log.Debug("event does not fit", "kind", e.kind.String(), "gone", e.gone, "error", err)
		a.d.object(e.object())
		a.derives, a.everywhere = true, true
	}
	return nil
}

// object names what an event is about as differences do; "" if it is none of these.
func (e *event) object() string {
	switch e.kind {
	case eventLink:
		return linkName(&e.link)
	case eventAddress:
		return addressName(&e.address)
	case eventNexthop:
		return nexthopName(&e.nexthop)
	case eventRule:
		return rulesName(e.rule.Family)
	}
	return ""
}

// vague puts in doubt what an event is about without saying how it is now.
func (a *applier) vague(e *event) {
	switch {
	case e.kind != eventRoute:
		a.d.all("change")
	case a.m.follows(e.route.Family(), e.route.Table):
		a.d.prefix(e.route.Family(), fib.TablePrefix{Table: e.route.Table, Dst: e.route.Dst})
	}
}

func (a *applier) route(e *event) error {
	r := &e.route
	switch {
	case !a.m.follows(r.Family(), r.Table):
		return nil
	case a.m.part.ByRoute():
		return a.heardPart(e)
	}
	defer func() {
		if len(a.m.open) > 0 {
			a.m.closes(a.tx.Snapshot(), fib.TablePrefix{Table: r.Table, Dst: r.Dst})
		}
	}()
	var h fib.Heard
	var err error
	if e.gone {
		h, err = a.tx.TellRouteGone(r)
	} else {
		h, err = a.tx.TellRoute(r, e.flags)
	}
	if errors.Is(err, fib.ErrTxnDone) {
		return err
	}
	if err != nil || h == fib.HeardDoubt {
		a.doubt(r)
	}
	return nil
}

// doubt puts the prefix of a route in doubt. What an IPv6 message leaves open of several legs
// a dump does not show either (D4a).
func (a *applier) doubt(r *fib.Route) {
	a.d.prefix(r.Family(), fib.TablePrefix{Table: r.Table, Dst: r.Dst})
	a.m.unsure = a.m.unsure || r.Family() == fib.Inet6 && len(r.Nexthops) > 1
}

func (a *applier) link(e *event) error {
	l := &e.link
	old, ok := a.tx.Snapshot().Link(l.Index)
	beyond := ok && a.tx.SourcesBeyond(l.Index)
	if e.gone {
		if !ok {
			return nil
		}
		a.concerns(l.Index, beyond || a.inDomain(&old))
		return a.tx.DeleteLink(l.Index)
	}
	if !ok {
		a.d.object(linkName(l)) // its place among the others, and its groups, are not told
	}
	if ok && old.MTU != l.MTU {
		l.MTU6 = 0 // follows, but after the message
	}
	h, err := a.tx.TellLink(*l)
	if h != fib.HeardKnown {
		a.concerns(l.Index, beyond || old.Master != l.Master && (a.inDomain(&old) || a.inDomain(l)))
	}
	return err
}

// concerns puts in doubt what a change of a link, or of an address on it, has silent
// consequences for: the routes by it, unless others are concerned too.
func (a *applier) concerns(link int32, others bool) {
	a.derives, a.everywhere = true, a.everywhere || others
	a.d.link(link)
}

// inDomain reports whether a link is a VRF, or belongs to one.
func (a *applier) inDomain(l *fib.Link) bool {
	m, ok := a.tx.Snapshot().Link(l.Master)
	return l.IsL3Master() || ok && m.IsL3Master()
}

func (a *applier) address(e *event) error {
	x := e.address
	a.concerns(x.Link, (e.gone || a.known(&x) != nil) && a.tx.SourcesBeyond(x.Link))
	known := a.known(&x)
	if e.gone {
		if known == nil {
			return nil
		}
		return a.tx.DeleteAddress(x)
	}
	switch {
	case known == nil:
		if err := a.tx.AddAddress(x); err != nil {
			return err
		}
	case known.Flags&fib.AddrTentative != 0 && x.Flags&fib.AddrTentative == 0:
		if err := a.tx.ConfirmAddress(x.Link, x.Local); err != nil {
			return err
		}
	default:
		if err := a.tx.ReplaceAddress(x); err != nil {
			return err
		}
	}
	if now := a.known(&x); now == nil || !sameAddress(*now, x) {
		a.d.object(e.object())
	}
	return nil
}

// known is the address that has x's place.
func (a *applier) known(x *fib.Address) *fib.Address {
	for _, b := range a.tx.Snapshot().Addresses(x.Link) {
		if b.Local == x.Local && (x.Local.Is6() || b.Prefix.Bits() == x.Prefix.Bits() && b.Prefix.Masked() == x.Prefix.Masked()) {
			return &b
		}
	}
	return nil
}

// sameAddress: but for lifetimes, which run down.
func sameAddress(a, b fib.Address) bool {
	a.ValidLft, a.PreferredLft, b.ValidLft, b.PreferredLft = 0, 0, 0, 0
	return a == b
}

// rule applies what one event says and leaves the order to a look: news of two changes
// can come in the other order (F7), and of two equal rules nobody knows which is gone.
func (a *applier) rule(e *event) error {
	a.d.object(rulesName(e.rule.Family))
	same := slices.ContainsFunc(a.tx.Snapshot().Rules(e.rule.Family), func(r rules.Rule) bool { return r == e.rule.Rule })
	if same != e.gone {
		return nil
	}
	if e.gone {
		_, err := a.tx.DeleteRule(rules.RequestOf(e.rule.Rule))
		return err
	}
	_, err := a.tx.AddRule(rules.RequestOf(e.rule.Rule), fib.Create)
	return err
}

func (a *applier) nexthop(e *event) error {
	o := e.nexthop
	a.derives = true // routes by it are there as long as it is
	a.d.surroundings = true
	if a.m.part.Links != nil {
		a.d.elsewhere = true // it may be on another link now
	}
	if o.Resilient {
		a.d.object(nexthopName(&o)) // its buckets are not told
	}
	if e.gone {
		if err := a.tx.DeleteNexthop(o.ID); err != nil && !errors.Is(err, fib.ENOENT) {
			return err
		}
		return nil
	}
	_, err := a.tx.AddNexthop(o, fib.Create|fib.Replace)
	return err
}

func (a *applier) neighbour(e *event) {
	n := e.neighbour
	if e.gone {
		_ = a.tx.DeleteNeighbour(n.Link, n.Addr) // ENOENT: it went with its link
		return
	}
	_ = a.tx.SetNeighbour(n) // ENODEV: its link is gone
}

// netconf applies announced settings (F10).
func (a *applier) netconf(e *event) error {
	c := &e.netconf
	if e.gone || c.Link == 0 {
		return nil
	}
	if c.Link < 0 {
		s := a.tx.Snapshot().Sysctls()
		v4, v6 := &s.All4, &s.All6
		if c.Link == rtnl.NetconfDefault {
			v4, v6 = &s.Default4, &s.Default6
		}
		settle(c, v4, v6)
		return a.tx.SetSysctls(s)
	}
	l, ok := a.tx.Snapshot().Link(c.Link)
	if !ok {
		return nil
	}
	before := l
	settle(c, &l.Conf4, &l.Conf6)
	if l.Conf4 == before.Conf4 && l.Conf6 == before.Conf6 {
		return nil
	}
	a.concerns(c.Link, false)
	l.Groups4 = nil // stay
	return a.tx.SetLink(l)
}

func settle(c *rtnl.Netconf, v4 *fib.Conf4, v6 *fib.Conf6) {
	set := func(to *bool, v int32) {
		if v >= 0 {
			*to = v != 0
		}
	}
	if c.Family == fib.Inet6 {
		set(&v6.Forwarding, c.Forwarding)
		set(&v6.IgnoreRoutesWithLinkdown, c.IgnoreRoutesWithLinkdown)
		return
	}
	set(&v4.Forwarding, c.Forwarding)
	set(&v4.McForwarding, c.McForwarding)
	set(&v4.BcForwarding, c.BcForwarding)
	set(&v4.IgnoreRoutesWithLinkdown, c.IgnoreRoutesWithLinkdown)
	if c.RPFilter >= 0 {
		v4.RPFilter = uint8(c.RPFilter)
	}
}
