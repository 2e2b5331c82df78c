package fib

import (
	"net/netip"
	"slices"
)

// selectPath4 settles on a leg of the route that was found (B16–B24). Only output
// lookups have a source preference and choose among default routers.
func (w *walk) selectPath4(h *hit, output bool) {
	if w.key.Oif != 0 {
		return // the first leg on it stands: B16
	}
	legs := w.s.legs(h.alias)
	if len(legs) > 1 {
		w.multipath4(h, legs, output)
	} else if output && h.prefix.Bits() == 0 && h.alias.typ == TypeUnicast {
		w.defaultRouter(h)
	}
}

// multipath4 chooses among several legs by hash.
func (w *walk) multipath4(h *hit, legs []Nexthop, output bool) {
	c := choice4{w: w, route: h.alias, legs: legs, bounds: h.alias.bounds, obj: h.obj, stay: h.leg}
	if h.obj != nil {
		c.bounds = h.obj.bounds
	} else if output && w.s.kernel.AtLeast(6, 16) && w.f.Src.IsValid() && !w.f.Src.IsUnspecified() {
		c.src = w.f.Src
	}
	for i := range legs { // once, however much of the hash is looked at
		if c.obj == nil && w.s.sysctls.MultipathUseNeigh && legs[i].open() && !w.goodNeigh(&legs[i]) {
			w.usesGateway(h.alias, i)
		}
	}
	v, known := w.hash()
	leg := c.at(v)
	if !known {
		leg = c.anyOf(leg)
	}
	h.leg, h.nh = leg, legs[leg]
	if w.telling() {
		w.tellChoice4(&c, leg, h)
	}
}

// choice4 is one multipath choice as a function of the hash.
type choice4 struct {
	w      *walk
	route  *alias // of the legs
	legs   []Nexthop
	bounds []int32
	obj    *object
	stay   int        // what stands if no leg is eligible
	src    netip.Addr // the flow's source, where legs are preferred by theirs; zero: they are not
}

// at is the leg that hash v leads to.
func (c *choice4) at(v uint32) int {
	if c.obj != nil {
		return c.w.memberAt(c.obj, v)
	}
	if !c.w.s.kernel.AtLeast(6, 16) {
		return c.plainAt(v)
	}
	best, leg := -1, c.stay
	for i := range c.legs {
		if !c.eligible(i) {
			continue
		}
		score := 0
		if c.src.IsValid() && c.w.legSource4(c.route, nil, &c.legs[i]) == c.src {
			score = 2
		}
		if int64(v) <= int64(c.bounds[i]) {
			score++
		}
		if score > best {
			best, leg = score, i
		}
	}
	return leg
}

// plainAt is the choice before Linux 6.16: by hash alone.
func (c *choice4) plainAt(v uint32) int {
	first := -1
	for i := range c.legs {
		if c.w.s.sysctls.MultipathUseNeigh {
			if !c.good(i) {
				continue
			}
			if first < 0 {
				first = i
			}
		}
		if int64(v) <= int64(c.bounds[i]) {
			return i
		}
	}
	if first >= 0 {
		return first
	}
	return c.stay
}

func (c *choice4) eligible(i int) bool {
	return c.bounds[i] >= 0 && (!c.w.s.sysctls.MultipathUseNeigh || c.good(i))
}

// anyOf is the choice where nobody knows the hash: likely, or for a fork another leg
// that some hash leads to.
func (c *choice4) anyOf(likely int) int {
	if c.w.fork == nil {
		if !c.each(func(leg int) bool { return leg == likely }) {
			c.w.und |= UndeterminedHash
		}
		return likely
	}
	legs := []int{likely}
	c.each(func(leg int) bool {
		if !slices.Contains(legs, leg) {
			legs = append(legs, leg)
		}
		return true
	})
	return legs[c.w.choose(UndeterminedHash, len(legs))]
}

// each calls fn with the leg of every part of the hash space, until it returns false;
// then each is false as well.
func (c *choice4) each(fn func(leg int) bool) bool {
	if len(c.legs) < 2 {
		return true
	}
	if c.obj != nil && c.obj.Resilient {
		for v := range c.w.bucketCount(c.obj) {
			if !fn(c.at(uint32(v))) {
				return false
			}
		}
		return true
	}
	for _, b := range c.bounds {
		if b >= 0 && !fn(c.at(uint32(b))) {
			return false
		}
	}
	return fn(c.at(hashSpace - 1))
}

// good reports whether the neighbour of a leg that uses its gateway may be up (B23).
func (c *choice4) good(i int) bool {
	uses, _ := c.w.gate(c.route, i)
	return !uses || c.w.goodNeigh(&c.legs[i])
}

// goodNeigh reports whether the gateway has no neighbour entry or a valid one.
func (w *walk) goodNeigh(n *Nexthop) bool {
	if !n.Gateway.IsValid() {
		return true
	}
	state, ok := w.s.neigh(n.Link, n.Gateway)
	return !ok || state.Valid()
}

// usesGateway reports whether packets go to the gateway: if it is one of our own
// addresses they do not (C12). An IPv6 gateway always counts (K16).
func (n *Nexthop) usesGateway() bool {
	return n.Gateway.IsValid() && (n.Gateway.Is6() || n.Scope == ScopeLink)
}

// memberAt is the member of a group that hash v leads to (B24), of both families.
// For a single object it is 0.
func (w *walk) memberAt(o *object, v uint32) int {
	if len(o.members) <= 1 {
		return 0
	}
	if o.Resilient {
		return w.bucketMember(o, v)
	}
	late := w.s.kernel.AtLeast(6, 6, groupBackport)
	stay, good := -1, false
	for i := range o.members {
		good = w.goodNeigh(&o.members[i])
		if late && !good {
			continue
		}
		if late && stay < 0 {
			stay = i
		}
		if int64(v) > int64(o.bounds[i]) {
			continue
		}
		if good {
			return i
		}
		// Before 6.6 members ahead of the hash's place were never tried.
		if stay < 0 {
			stay = i
		}
	}
	return max(stay, 0)
}

// bucketCount is the number of buckets of a resilient group.
func (w *walk) bucketCount(o *object) int { return max(len(o.Buckets), 1) }

// bucketMember is the member that holds the bucket of hash v.
func (w *walk) bucketMember(o *object, v uint32) int {
	if len(o.Buckets) == 0 {
		return 0
	}
	id := o.Buckets[v%uint32(len(o.Buckets))]
	for i, m := range o.ids {
		if m == id {
			return i
		}
	}
	return 0
}

// tellChoice4 tells the choice and what share of the hash space each leg has.
func (w *walk) tellChoice4(c *choice4, leg int, h *hit) {
	// Not c.legs: what a step keeps of c would move the whole walk to the heap.
	legs := w.s.legs(h.alias)
	why := ReasonHash
	if c.src.IsValid() && w.legSource4(c.route, nil, &legs[leg]) == c.src {
		why = ReasonSourceMatch
	}
	shares := c.shares()
	w.ex.Legs = w.ex.Legs[:0]
	for i := range legs {
		n := &legs[i]
		out := Leg{Nexthop: shownLeg(*n), Share: shares[i], Chosen: i == leg}
		switch {
		case i == leg:
		case c.bounds[i] < 0 && n.Flags&FlagDead != 0:
			out.Reason = ReasonDead
		case c.bounds[i] < 0:
			out.Reason = ReasonLinkdown
		case shares[i] == 0 && !w.goodNeigh(n):
			out.Reason = ReasonNeighFailed
		default:
			out.Reason = ReasonHash
		}
		w.ex.Legs = append(w.ex.Legs, out)
	}
	w.step(Step{Kind: StepLeg, Table: h.table, Prefix: h.prefix, Leg: leg, Nexthop: &legs[leg], Link: legs[leg].Link,
		Reason: why, Taken: true})
}

// shares is the part of the hash space that leads to each leg.
func (c *choice4) shares() []float64 {
	if c.obj != nil && c.obj.Resilient {
		out := make([]float64, len(c.legs))
		n := c.w.bucketCount(c.obj)
		for v := range n {
			out[c.at(uint32(v))] += 1 / float64(n)
		}
		return out
	}
	return sharesOf(len(c.legs), c.bounds, c.at)
}

// sharesOf is the part of the hash space for which at leads to each of n legs. The
// answer of at may change behind a bound and nowhere else.
func sharesOf(n int, bounds []int32, at func(v uint32) int) []float64 {
	out := make([]float64, n)
	from := int64(0)
	for from < hashSpace {
		upTo := int64(hashSpace - 1)
		for _, b := range bounds {
			if int64(b) >= from && int64(b) < upTo {
				upTo = int64(b)
			}
		}
		out[at(uint32(upTo))] += float64(upTo+1-from) / hashSpace
		from = upTo + 1
	}
	return out
}
