package fib

import "net/netip"

// input4 is K.7: a packet that was received on a link.
func (w *walk) input4(d *Decision) {
	dev := w.s.links[w.f.Iif]
	if dev == nil {
		w.fail(d, ENODEV, Step{Kind: StepCheck, Reason: ReasonNoSuchLink, Link: w.f.Iif})
		return
	}
	if !isSet4(w.f.Src) {
		w.key.Src = netip.Addr{}
	}
	src, dst := w.key.Src, w.f.Dst
	if dev.NoInet {
		w.fail(d, EINVAL, Step{Kind: StepCheck, Reason: ReasonNoInet, Link: dev.Index})
		return
	}
	if dst.IsMulticast() {
		w.multicastIn(d, dev)
		return
	}
	switch martian := w.martian(dev); {
	case src.IsMulticast() || src == lbcast:
		w.fail(d, EINVAL, Step{Kind: StepCheck, Reason: ReasonSourceInvalid, Addr: src})
	case dst == lbcast || !src.IsValid() && dst.IsUnspecified():
		w.broadcastIn(d, dev)
	case martian != ReasonNone:
		w.fail(d, EINVAL, Step{Kind: StepCheck, Reason: martian, Addr: dst})
	default:
		w.unicastIn(d, dev)
	}
}

// martian names what makes the flow's addresses impossible on a wire (C26).
func (w *walk) martian(dev *link) Reason {
	src, dst := w.key.Src, w.f.Dst
	switch {
	case !src.IsValid():
		return ReasonMartianSource
	case dst.IsUnspecified():
		return ReasonMartianDestination
	case w.s.routeLocalnet(dev):
		return ReasonNone
	case dst.IsLoopback():
		return ReasonMartianDestination
	case src.IsLoopback():
		return ReasonMartianSource
	}
	return ReasonNone
}

// multicastIn is C25: no table is asked.
func (w *walk) multicastIn(d *Decision, dev *link) {
	src, dst := w.key.Src, w.f.Dst
	ours := dev.joined(dst) // a query asks for the memberships of the slave alone, unlike a packet (C25)
	forwarded := !dst.IsLinkLocalMulticast() && w.s.sysctls.All4.McForwarding && dev.Conf4.McForwarding
	if !ours && !forwarded {
		w.fail(d, EINVAL, Step{Kind: StepCheck, Reason: ReasonNotJoined, Addr: dst, Link: dev.Index})
		return
	}
	switch {
	case src.IsMulticast() || src == lbcast:
		w.fail(d, EINVAL, Step{Kind: StepCheck, Reason: ReasonSourceInvalid, Addr: src})
		return
	case src.IsLoopback() && !w.s.routeLocalnet(dev),
		!src.IsValid() && !dst.IsLinkLocalMulticast() && w.f.IPProto != protoIGMP:
		w.fail(d, EINVAL, Step{Kind: StepCheck, Reason: ReasonMartianSource, Addr: src})
		return
	}
	a := answer4{typ: TypeMulticast, dev: loopback, flags: DecisionMulticast | DecisionNoMetrics}
	if ours {
		a.flags |= DecisionLocal
	}
	if src.IsValid() {
		v := w.validate(dev, netip.Addr{}, 0)
		if v.errno != 0 {
			w.fail(d, v.errno, Step{Kind: StepCheck, Reason: v.why, Addr: src})
			return
		}
		a.itag = v.itag
	}
	w.step(Step{Kind: StepCheck, Reason: ReasonMulticastDelivery, Taken: true, Addr: dst})
	w.deliver4(d, &a)
}

// broadcastIn is C30: delivery of a broadcast, through the route in w.h if the
// tables found it to be one.
func (w *walk) broadcastIn(d *Decision, dev *link) {
	a := answer4{typ: TypeBroadcast, dev: loopback, flags: DecisionBroadcast | DecisionLocal | DecisionNoMetrics}
	if w.key.Src.IsValid() {
		v := w.validate(dev, netip.Addr{}, 0)
		if v.errno != 0 {
			w.failWithRoute(d, v.errno, Step{Kind: StepCheck, Reason: v.why, Addr: w.key.Src})
			return
		}
		a.itag = v.itag
	}
	if w.h.alias != nil {
		a.dev = w.s.deliverTo(w.h.nh.Link)
	}
	w.step(Step{Kind: StepCheck, Reason: ReasonBroadcastDelivery, Taken: true, Addr: w.f.Dst})
	w.deliver4(d, &a)
}

// unicastIn is the part of an input lookup that needs rules and tables (C27–C29).
func (w *walk) unicastIn(d *Decision, dev *link) {
	h := &w.h
	if e := w.rules(h); e != 0 {
		why := ReasonReject
		if !dev.Conf4.Forwarding {
			e, why = EHOSTUNREACH, ReasonNoRouteForwardingOff
		}
		w.failWithRoute(d, e, Step{Kind: StepCheck, Reason: why, Link: dev.Index})
		return
	}
	a := answer4{typ: h.alias.typ}
	forwardBroadcast := a.typ == TypeBroadcast && w.s.sysctls.All4.BcForwarding && dev.Conf4.BcForwarding
	switch {
	case forwardBroadcast:
	case a.typ == TypeBroadcast:
		w.broadcastIn(d, dev)
		return
	case a.typ == TypeLocal:
		v := w.validate(dev, w.f.Dst, 0)
		if v.errno != 0 {
			w.failWithRoute(d, v.errno, Step{Kind: StepCheck, Reason: v.why, Addr: w.key.Src})
			return
		}
		a.dev, a.itag, a.flags = w.s.deliverTo(h.nh.Link), v.itag, DecisionLocal|DecisionNoMetrics
		w.step(Step{Kind: StepCheck, Reason: ReasonLocalDelivery, Taken: true, Link: a.dev})
		w.deliver4(d, &a)
		return
	case !dev.Conf4.Forwarding:
		w.failWithRoute(d, EHOSTUNREACH, Step{Kind: StepCheck, Reason: ReasonForwardingOff, Link: dev.Index})
		return
	case a.typ != TypeUnicast:
		w.failWithRoute(d, EINVAL, Step{Kind: StepCheck, Reason: ReasonNotUnicast, Addr: w.f.Dst})
		return
	}
	w.forward4(d, dev, &a)
}

// forward4 settles the way of a packet that goes on (C29).
func (w *walk) forward4(d *Decision, dev *link, a *answer4) {
	h := &w.h
	w.selectPath4(h, false)
	out := w.s.links[h.nh.Link]
	if out == nil || out.NoInet {
		w.failWithRoute(d, EINVAL, Step{Kind: StepCheck, Reason: ReasonNoInet, Link: h.nh.Link})
		return
	}
	v := w.validate(dev, w.f.Dst, out.Index)
	if v.errno != 0 {
		w.failWithRoute(d, v.errno, Step{Kind: StepCheck, Reason: v.why, Addr: w.key.Src})
		return
	}
	a.dev, a.itag = out.Index, v.itag
	if out == dev && v.onlink && (w.s.sysctls.All4.SendRedirects || out.Conf4.SendRedirects) {
		shared := w.s.sysctls.All4.SharedMedia || out.Conf4.SharedMedia
		if shared || out.onlink4(w.key.Src, h.nh.Gateway) {
			a.flags |= DecisionRedirect
		}
	}
	w.write4(d, a)
}

// onlink4 reports whether one subnet of l holds a, and gw if that is an IPv4 address.
func (l *link) onlink4(a, gw netip.Addr) bool {
	for i := range l.addrs4 {
		if p := l.addrs4[i].Prefix; p.Contains(a) && (!gw.Is4() || p.Contains(gw)) {
			return true
		}
	}
	return false
}

// deliver4 writes the answer for a packet that ends here: without the route's
// gateway and metrics, and with the realms of the reverse path alone (C28).
func (w *walk) deliver4(d *Decision, a *answer4) {
	d.Type, d.Link, d.Flags, d.Realms = a.typ, a.dev, a.flags, a.itag
	d.MTU = w.s.mtuOf(a.dev)
	w.fillRule(d)
	w.fillRoute(d)
}

// failWithRoute is fail after the tables were asked.
func (w *walk) failWithRoute(d *Decision, e Errno, st Step) {
	w.fillRule(d)
	w.fillRoute(d)
	w.fail(d, e, st)
}

// validation is the verdict on a packet's source (C31).
type validation struct {
	errno  Errno
	why    Reason
	onlink bool   // the source is reached without a gateway (C29)
	itag   uint32 // realms of the reverse path
}

// validate checks the source of a packet received on dev, for which oif is the
// way out (0: none) and dst what it is checked against (C31).
func (w *walk) validate(dev *link, dst netip.Addr, oif int32) validation {
	all, own := &w.s.sysctls.All4, &dev.Conf4
	rp := max(all.RPFilter, own.RPFilter)
	if rp == 0 && (oif != dev.Index || !all.SendRedirects && !own.SendRedirects) && !w.s.rules4.HasRealms() && !w.s.legRealms {
		switch {
		case all.AcceptLocal || own.AcceptLocal:
			w.step(Step{Kind: StepCheck, Reason: ReasonReversePathOff, Taken: true, Addr: w.key.Src})
			return validation{}
		case w.mode() == ModeMerged && w.s.userLocal != FactYes:
			v := validation{}
			if _, ours := w.s.owner4[w.key.Src]; ours {
				v = validation{errno: EINVAL, why: ReasonMartianSource}
			}
			if w.s.userLocal == FactUnknown {
				if full := w.reversePath(dev, dst, oif, rp); full != v && w.choose(UndeterminedLocalCheck, 2) == 1 {
					return full
				}
			}
			if v.errno == 0 {
				w.step(Step{Kind: StepCheck, Reason: ReasonReversePathOff, Taken: true, Addr: w.key.Src})
			}
			return v
		}
	}
	v := w.reversePath(dev, dst, oif, rp)
	if v.errno == 0 {
		w.step(Step{Kind: StepCheck, Reason: ReasonReversePathOK, Taken: true, Addr: w.key.Src, Link: dev.Index})
	}
	return v
}

// reversePath looks the source up as a destination (C31, full check).
func (w *walk) reversePath(dev *link, dst netip.Addr, oif int32, rp uint8) validation {
	r := *w
	r.reverse, r.hashed, r.und, r.l3Noted = true, false, 0, false
	r.key.Src, r.key.Dst = dst, w.key.Src
	r.key.Iif, r.key.Oif = oif, 0
	if oif == 0 {
		r.key.Iif = loopback
	}
	r.key.L3Master, r.key.L3FromOif = w.s.masterOf(dev.Index), false
	r.key.Sport, r.key.Dport = w.key.Dport, w.key.Sport
	if !w.s.sysctls.All4.SrcValidMark && !dev.Conf4.SrcValidMark {
		r.key.Mark = 0
	}
	var h hit
	if r.rules(&h) != 0 {
		return w.lastResort(rp)
	}
	if h.alias.typ != TypeUnicast &&
		(h.alias.typ != TypeLocal || !w.s.sysctls.All4.AcceptLocal && !dev.Conf4.AcceptLocal) {
		return validation{errno: EINVAL, why: ReasonMartianSource}
	}
	v := validation{itag: reverseRealms(h.nh.Realms, r.realms)}
	if w.s.usesLink(&h, dev.Index) || h.alias.typ == TypeLocal && dev.Index == loopback {
		v.onlink = h.nh.Scope >= ScopeHost
		return v
	}
	if len(dev.addrs4) == 0 {
		return w.lastResort(rp)
	}
	if rp == 1 {
		return w.reverseFailed()
	}
	// Whether the sender is on the link decides about redirects.
	r.key.Oif, r.anyLinkstate, r.l3Noted = dev.Index, true, false
	if r.rules(&h) == 0 && h.alias.typ == TypeUnicast {
		v.onlink = h.nh.Scope >= ScopeHost
	}
	return v
}

// lastResort is the verdict where no route leads back.
func (w *walk) lastResort(rp uint8) validation {
	if rp != 0 {
		return w.reverseFailed()
	}
	return validation{}
}

// reverseFailed is the verdict of rp_filter; since Linux 6.13 with the errno of a martian.
func (w *walk) reverseFailed() validation {
	if !w.s.kernel.AtLeast(6, 13) {
		return validation{errno: EXDEV, why: ReasonReversePathFailed}
	}
	return validation{errno: EINVAL, why: ReasonReversePathFailed}
}

// reverseRealms turns the realms of the way back round: its destination realm is
// the packet's source realm.
func reverseRealms(leg, rule uint32) uint32 {
	tag := leg << 16
	if tag == 0 {
		tag = rule << 16
	}
	return tag | rule>>16
}

// usesLink reports whether a leg of the route found is on link i, or in the L3
// domain that i is.
func (s *Snapshot) usesLink(h *hit, i int32) bool {
	legs := s.legs(h.alias)
	for k := range legs {
		if legs[k].Link == i || s.masterOf(legs[k].Link) == i {
			return true
		}
	}
	return false
}
