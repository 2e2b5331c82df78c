package fib

// run6 answers an IPv6 flow, output or input (K.8): the rules and tables decide
// alone, nothing else is checked.
func (w *walk) run6(d *Decision) {
	if w.input && w.s.link(w.f.Iif) == nil {
		w.fail(d, ENODEV, Step{Kind: StepCheck, Reason: ReasonNoSuchLink, Link: w.f.Iif})
		return
	}
	e, done := w.linkScope6()
	if !done {
		e = w.rules(&w.h)
	}
	d.Errno = e
	w.fillRule(d)
	w.fillRoute(d)
	if e == 0 {
		w.answer6(d)
	}
	d.Undetermined = w.und
}

// linkScope6 is what precedes the rules for an output flow to a link-local or
// multicast destination whose oif belongs to a VRF: its table alone decides, and
// through the VRF device itself there is no way (L24).
func (w *walk) linkScope6() (e Errno, done bool) {
	domain := int32(0)
	if !w.input && w.f.Oif != 0 && (isMulticast6(w.key.Dst) || isLinkLocal6(w.key.Dst)) {
		domain = w.s.masterOf(w.f.Oif)
	}
	switch domain {
	case 0:
		return 0, false
	case w.f.Oif:
		w.step(Step{Kind: StepCheck, Reason: ReasonLinkScope, Link: domain, Errno: ENETUNREACH})
		return ENETUNREACH, true
	}
	w.step(Step{Kind: StepCheck, Reason: ReasonLinkScope, Taken: true, Link: domain})
	out, e := w.table6(w.s.link(domain).VRFTable, &w.h)
	if out == passOn && e == 0 {
		e = ENETUNREACH
	}
	return e, true
}

// answer6 fills in the way: device, gateway, source and MTU (K30).
func (w *walk) answer6(d *Decision) {
	h := &w.h
	w.way6(d)
	if w.found6.IsValid() {
		d.Flags |= DecisionSourceInFlow
	}
	switch {
	case h.alias.prefSrc.IsValid():
		d.Source = h.alias.prefSrc
		w.step(Step{Kind: StepSource, Taken: true, Reason: ReasonSourcePreferred, Addr: d.Source})
	case !w.input:
		// The device is that of the route as stored: of a group, its first member's.
		d.Source = w.source6(w.key.Dst, w.s.legs6(h.alias)[0].Link)
	}
}

// way6 fills in what does not depend on the flow.
func (w *walk) way6(d *Decision) {
	h := &w.h
	d.Type, d.Link, d.Gateway = h.alias.typ, w.s.replyLink6(h), h.nh.Gateway
	d.MTU = w.s.pathMTU6(h.alias, d.Link)
}

// replyLink6 is the device of the answer. What is delivered here, and the kernel's
// own anycast entries (D32), goes to lo; in a VRF to its device, but for link-local
// addresses (L13).
func (s *Snapshot) replyLink6(h *hit) int32 {
	dev, a := h.nh.Link, h.alias
	if a.typ != TypeLocal && (a.typ != TypeAnycast || a.priority != 0 || a.protocol != ProtoKernel) {
		return dev
	}
	to := s.deliverTo(dev)
	if to != dev && needsLink6(h.prefix.Addr()) {
		return loopback
	}
	return to
}

func (s *Snapshot) pathMTU6(a *alias, dev int32) uint32 {
	if a.metrics != nil && a.metrics.Values[MetricMTU] != 0 {
		return a.metrics.Values[MetricMTU]
	}
	if l := s.link(dev); l != nil && l.MTU6 != 0 {
		return l.MTU6
	}
	return s.mtuOf(dev)
}
