package fib

import "net/netip"

// lbcast is the limited broadcast address.
var lbcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// answer4 is what an IPv4 lookup came to, before it is put into a Decision.
type answer4 struct {
	typ    RouteType
	dev    int32
	src    netip.Addr // selected; zero: none, or the flow's own
	noPath bool       // the gateway, metrics and realms of the route do not count
	itag   uint32     // realms of the reverse path (C31)
	flags  DecisionFlags
}

// run4 answers an IPv4 flow (section C).
func (w *walk) run4(d *Decision) {
	if w.input {
		w.input4(d)
	} else {
		w.output4(d)
	}
	d.Undetermined = w.und
}

// output4 is K.6.
func (w *walk) output4(d *Decision) {
	a := answer4{}
	oif := w.f.Oif
	given := isSet4(w.f.Src)
	if !given {
		w.key.Src = netip.Addr{}
	}
	if given && !w.checkSource4(d, &a) {
		return
	}
	if a.dev != 0 {
		w.finish4(d, &a) // C2
		return
	}
	if oif != 0 {
		l := w.s.links[oif]
		if l == nil {
			w.fail(d, ENODEV, Step{Kind: StepCheck, Reason: ReasonNoSuchLink, Link: oif})
			return
		}
		if !l.Up() {
			w.fail(d, ENETUNREACH, Step{Kind: StepCheck, Reason: ReasonLinkDown, Link: oif})
			return
		}
		if l.NoInet {
			w.fail(d, ENETUNREACH, Step{Kind: StepCheck, Reason: ReasonNoInet, Link: oif})
			return
		}
		if w.f.Dst.IsLinkLocalMulticast() || w.f.Dst == lbcast || w.key.IPProto == protoIGMP {
			w.step(Step{Kind: StepCheck, Reason: ReasonOnlinkThroughOif, Taken: true, Link: oif})
			a.typ, a.dev = TypeUnicast, oif
			if !given {
				a.src = w.choose4(oif, ScopeLink)
			}
			w.finish4(d, &a)
			return
		}
		if !given {
			// The source chosen here is the flow's from now on: rules see it (C5).
			if w.f.Dst.IsMulticast() {
				a.src = w.choose4(oif, ScopeUniverse)
			} else if w.f.Dst.IsUnspecified() {
				a.src = w.choose4(oif, ScopeHost)
			}
			w.key.Src = a.src
		}
	}
	if w.f.Dst.IsUnspecified() { // C6
		w.step(Step{Kind: StepCheck, Reason: ReasonUnspecified, Taken: true, Addr: w.f.Dst})
		if !given && !a.src.IsValid() {
			a.src = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		}
		a.typ, a.dev, a.flags = TypeLocal, loopback, DecisionLocal
		w.finish4(d, &a)
		return
	}
	w.lookup4(d, &a, given)
}

func isSet4(a netip.Addr) bool { return a.IsValid() && !a.IsUnspecified() }

// checkSource4 checks a given source (C1–C3). With a.dev set it has found the answer.
func (w *walk) checkSource4(d *Decision, a *answer4) bool {
	src := w.f.Src
	if src.IsMulticast() || src == lbcast {
		w.fail(d, EINVAL, Step{Kind: StepCheck, Reason: ReasonSourceInvalid, Addr: src})
		return false
	}
	owner := w.ownerOf(src)
	if owner == 0 {
		w.fail(d, ENETUNREACH, Step{Kind: StepCheck, Reason: ReasonSourceNotLocal, Addr: src})
		return false
	}
	if w.f.Oif == 0 && (w.f.Dst.IsMulticast() || w.f.Dst == lbcast) {
		w.step(Step{Kind: StepCheck, Reason: ReasonSourceDevice, Taken: true, Addr: src, Link: owner})
		a.typ, a.dev = TypeUnicast, owner
	}
	return true
}

// lookup4 is the part of an output lookup that needs rules and tables (C7–C9).
func (w *walk) lookup4(d *Decision, a *answer4, given bool) {
	h := &w.h
	if e := w.rules(h); e != 0 {
		if w.key.Oif != 0 && (w.f.Dst.IsMulticast() || w.key.L3Master == 0) { // C7, L9
			w.step(Step{Kind: StepCheck, Reason: ReasonOnlinkFallback, Taken: true, Link: w.key.Oif, Errno: e})
			*h = hit{}
			w.und = 0
			a.typ, a.dev = TypeUnicast, w.key.Oif
			if !given && !a.src.IsValid() {
				a.src = w.choose4(w.key.Oif, ScopeLink)
			}
			d.TOS = w.droppedTOS
			w.finish4(d, a)
			return
		}
		w.refuse4(d, e)
		return
	}
	w.route4(d, a, given)
}

// refuse4 answers with the error of a rule, of a reject route or of neither.
func (w *walk) refuse4(d *Decision, e Errno) {
	w.fillRule(d)
	w.fillRoute(d)
	w.fail(d, e, Step{Kind: StepResult, Reason: ReasonReject})
}

// route4 answers with the route that was found.
func (w *walk) route4(d *Decision, a *answer4, given bool) {
	h := &w.h
	if h.alias.typ == TypeLocal { // C8
		if !given && !a.src.IsValid() {
			a.src = w.f.Dst
			why := ReasonSourceDestination
			if h.alias.prefSrc.IsValid() {
				a.src, why = h.alias.prefSrc, ReasonSourcePreferred
			}
			w.tellSource(a.src, why, 0)
		}
		a.typ, a.dev, a.flags = TypeLocal, w.s.deliverTo(h.nh.Link), DecisionLocal
		if w.telling() {
			w.step(Step{Kind: StepCheck, Reason: ReasonLocalDelivery, Taken: true, Link: a.dev})
		}
		w.finish4(d, a)
		return
	}
	w.selectPath4(h, true)
	w.leave4(d, a, given)
}

// leave4 answers with the leg that was chosen.
func (w *walk) leave4(d *Decision, a *answer4, given bool) {
	h := &w.h
	switch {
	case given:
		w.tellSource(w.f.Src, ReasonSourceGiven, 0)
	case !a.src.IsValid():
		var why Reason
		a.src, why = w.routeSource4(h)
		w.tellSource(a.src, why, h.nh.Link)
	}
	a.typ, a.dev = h.alias.typ, h.nh.Link
	w.finish4(d, a)
}

// choose4 selects a source for dev without a gateway, telling it.
func (w *walk) choose4(dev int32, scope Scope) netip.Addr {
	src, why := w.s.selectSource4(dev, netip.Addr{}, scope)
	w.tellSource(src, why, dev)
	return src
}

func (w *walk) tellSource(src netip.Addr, why Reason, dev int32) {
	if w.telling() {
		w.step(Step{Kind: StepSource, Reason: why, Taken: src.IsValid(), Addr: src, Link: dev})
	}
}

// deliverTo is the device that delivers what a local route on link i accepts: the
// link's VRF, otherwise lo (C8, L13).
func (s *Snapshot) deliverTo(i int32) int32 {
	if m := s.masterOf(i); m != 0 {
		return m
	}
	return loopback
}

// finish4 makes the final checks of an output flow and writes the answer (C10–C13).
// The flow's own source is not reported as selected.
func (w *walk) finish4(d *Decision, a *answer4) {
	l := w.s.links[a.dev]
	if l == nil || l.NoInet {
		w.fail(d, EINVAL, Step{Kind: StepCheck, Reason: ReasonNoInet, Link: a.dev})
		return
	}
	src := a.src
	if isSet4(w.f.Src) {
		src = w.f.Src
	}
	if src.IsLoopback() && l.Flags&LinkLoopback == 0 && !l.IsL3Master() && !w.s.routeLocalnet(l) {
		w.fillRule(d)
		w.fillRoute(d)
		w.fail(d, EINVAL, Step{Kind: StepCheck, Reason: ReasonSourceLoopback, Addr: src, Link: a.dev})
		return
	}
	if l.Flags&LinkLoopback != 0 {
		a.flags |= DecisionLocal
	}
	dst := w.f.Dst
	switch {
	case dst == lbcast:
		a.typ, a.noPath = TypeBroadcast, true
	case dst.IsMulticast():
		a.typ = TypeMulticast
	}
	switch a.typ {
	case TypeBroadcast:
		a.flags |= DecisionBroadcast | DecisionLocal
	case TypeMulticast:
		a.flags = DecisionMulticast // not local for being on lo
		if l.joined(dst) {
			a.flags |= DecisionLocal
		}
		// A route as short as a default is no multicast route (C11).
		a.noPath = w.h.alias != nil && w.h.prefix.Bits() < 4
	}
	w.write4(d, a)
}

// joined reports whether l receives the IPv4 group (C25). Every link that is up
// has joined all-hosts.
func (l *link) joined(group netip.Addr) bool {
	for _, g := range l.Groups4 {
		if g == group {
			return true
		}
	}
	return l.Up() && group == netip.AddrFrom4([4]byte{224, 0, 0, 1})
}

// write4 puts the answer into the decision.
func (w *walk) write4(d *Decision, a *answer4) {
	h := &w.h
	d.Type, d.Link, d.Source, d.Flags = a.typ, a.dev, a.src, a.flags
	w.fillRule(d)
	if h.alias == nil {
		d.MTU = w.s.mtuOf(a.dev)
		d.Realms = fillRealms(fillRealms(0, w.realms), a.itag)
		return
	}
	w.fillRoute(d)
	realms := uint32(0)
	if a.noPath {
		d.Flags |= DecisionNoMetrics
		d.MTU = w.s.mtuOf(a.dev)
	} else {
		if w.usesGateway(h.alias, h.leg) {
			d.Gateway = h.nh.Gateway
		}
		d.MTU = w.s.pathMTU(h.alias, a.dev)
		realms = h.nh.Realms
	}
	d.Realms = fillRealms(fillRealms(realms, w.realms), a.itag)
}

// fillRealms takes each half that realms lacks from tag (A27).
func fillRealms(realms, tag uint32) uint32 {
	if realms&0xffff == 0 {
		realms |= tag & 0xffff
	}
	if realms&0xffff0000 == 0 {
		realms |= tag & 0xffff0000
	}
	return realms
}

func (s *Snapshot) mtuOf(dev int32) uint32 {
	if l := s.links[dev]; l != nil {
		return l.MTU
	}
	return 0
}

func (s *Snapshot) pathMTU(a *alias, dev int32) uint32 {
	if a.metrics != nil && a.metrics.Values[MetricMTU] != 0 {
		return a.metrics.Values[MetricMTU]
	}
	return s.mtuOf(dev)
}

// fail ends the lookup with an error.
func (w *walk) fail(d *Decision, e Errno, st Step) {
	d.Errno = e
	st.Errno = e
	if st.Kind != StepResult {
		w.step(st)
	}
}

// fillRule names the rule that decided, if one did.
func (w *walk) fillRule(d *Decision) {
	if r := w.h.rule; r != nil {
		d.HasRule, d.RuleIndex, d.Rule = true, int32(w.s.rulesOf(w.fam).Position(r)), r.Priority
	}
}

// fillRoute names the route behind the answer, if there is one.
func (w *walk) fillRoute(d *Decision) {
	h := &w.h
	if h.alias == nil {
		return
	}
	d.HasRoute = true
	d.Table, d.Prefix, d.SrcPrefix, d.TOS = h.table, h.prefix, h.src, h.tos
	d.Priority, d.Protocol, d.Scope = h.alias.priority, h.alias.protocol, h.alias.scope
	d.RouteType, d.Pref, d.NexthopID = h.alias.typ, h.pref, h.alias.nhid
	d.NexthopLink, d.Leg = h.nh.Link, int32(h.leg)
}
