package fib

import (
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/fibula-net/fibula/rules"
)

const (
	minMTU4 = 68
	minMTU6 = 1280
	maxName = 15
)

var allHosts4 = netip.AddrFrom4([4]byte{224, 0, 0, 1})

const stateFlags = LinkUp | LinkRunning | LinkLowerUp

// SetLink does what happens when a link appears (its index is unused) or changes:
// it takes l in place of what is known, with every consequence that a kernel
// draws. Rules follow names (A18). Going up and down, gaining and losing the
// carrier, joining and leaving a VRF take routes, addresses, nexthop objects and
// neighbours along (E7–E16, L25–L28), another MTU those of IPv6 routes (E17); of several changes in one call, the VRF
// comes first. The first VRF brings its rules (L2).
//
// lo gets 127.0.0.1/8 and ::1 when it comes up, as in a kernel; other links get no
// address by themselves. An MTU below 68 or 1280 sets NoInet or NoInet6. Nil
// Groups4 leave the multicast groups as they are; 224.0.0.1 is joined while the
// link is up.
//
// It costs the number of links, and rules that name it, for what changes no route, otherwise the number of distinct
// routes, and O(routes) where some fall. Possible errors, as *[OpError]: EINVAL
// (index, name, VRF table, unknown master), EEXIST (the name is taken),
// EOPNOTSUPP (a link can't become or stop being a VRF); [ErrTxnDone].
func (tx *Txn) SetLink(l Link) error {
	const op = "link set"
	if tx.ended() {
		return ErrTxnDone
	}
	if err := tx.checkLink(&l); err != nil {
		return opError(op, l.Name, err)
	}
	l.NoInet = l.NoInet || l.MTU != 0 && l.MTU < minMTU4
	l.NoInet6 = l.NoInet6 || l.MTU != 0 && l.MTU < minMTU6
	l.Groups4 = slices.Clone(l.Groups4)
	old := tx.s.links[l.Index]
	if old != nil && old.is(l) {
		return nil
	}
	tx.ownLinks()
	if old == nil {
		first := l
		first.Flags, first.Master = l.Flags&^stateFlags, 0
		tx.s.links[l.Index] = &link{Link: first, epoch: tx.in.epoch}
		tx.s.linkOrder = append(tx.s.linkOrder, l.Index)
		if l.IsL3Master() {
			tx.addVRFRules()
		}
	}
	tx.changeLink(tx.ownLink(l.Index), &l)
	return nil
}

func (tx *Txn) checkLink(l *Link) error {
	old := tx.s.links[l.Index]
	other, taken := tx.s.LinkByName(l.Name)
	switch {
	case l.Index <= 0:
		return refuse(EINVAL, "index %d is not positive", l.Index)
	case l.Name == "" || len(l.Name) > maxName || l.Name == "." || l.Name == ".." || strings.ContainsAny(l.Name, "/: \t\n\v\f\r"):
		return refuse(EINVAL, "%q is no name for a link", l.Name)
	case taken && other.Index != l.Index:
		return refuse(EEXIST, "link %d has this name", other.Index)
	case old != nil && (old.IsL3Master() != l.IsL3Master() || old.VRFTable != l.VRFTable):
		return refuse(EOPNOTSUPP, "a link can't become or stop being a VRF, and a VRF's table can't change")
	case l.IsL3Master() && l.VRFTable == TableUnspec:
		return refuse(EINVAL, "a VRF needs a table")
	}
	if l.Master == 0 || old != nil && old.Master == l.Master {
		return nil
	}
	m := tx.s.links[l.Master]
	switch {
	case m == nil || l.Master == l.Index:
		return refuse(EINVAL, "there is no link with index %d to be the master", l.Master)
	case m.IsL3Master() && l.Flags&LinkLoopback != 0:
		return refuse(EOPNOTSUPP, "lo can't be in a VRF")
	case m.IsL3Master() && l.IsL3Master():
		return refuse(EINVAL, "a VRF can't be in a VRF")
	}
	return nil
}

// is reports whether l says nothing new.
func (old *link) is(l Link) bool {
	if l.Groups4 == nil {
		l.Groups4 = old.Groups4
	}
	return reflect.DeepEqual(old.Link, l)
}

// changeLink brings a link of the transaction's own to what l says.
func (tx *Txn) changeLink(cur *link, l *Link) {
	if l.NoInet && !cur.NoInet {
		tx.destroy4(cur)
	}
	if l.NoInet6 && !cur.NoInet6 {
		tx.disable6(cur, linkUnregistered)
	}
	old := cur.Link
	cur.Link = *l
	cur.Flags, cur.Master = l.Flags&^stateFlags|old.Flags&stateFlags, old.Master
	if l.Groups4 == nil {
		cur.Groups4 = slices.Clone(old.Groups4)
	}
	if i, known := tx.s.byName[l.Name]; !known || i != l.Index {
		tx.nameLink(l.Index, old.Name, l.Name)
		cur.relabel4()
	}
	if old.MTU != l.MTU && !old.NoInet6 && !l.NoInet6 {
		tx.changeMTU6(l.Index, old.mtu6(), l.MTU)
		if l.MTU6 == old.MTU6 {
			cur.MTU6 = 0
		}
	}
	if old.NoInet6 && !l.NoInet6 && cur.Up() {
		tx.enable6(cur)
	}
	tx.changeConf6(cur, old.Conf6)
	tx.changeMaster(cur, l.Master)
	tx.changeState(cur, l.Flags&stateFlags)
	if cur.Up() && !slices.Contains(cur.Groups4, allHosts4) && !cur.NoInet {
		cur.Groups4 = append(slices.Clone(cur.Groups4), allHosts4)
	}
}

// relabel4 gives the IPv4 addresses labels of the link's new name: the first one the name
// itself, the others with what followed their colon, or their number.
func (l *link) relabel4() {
	for i := range l.addrs4 {
		_, after, ok := strings.Cut(l.addrs4[i].Label, ":")
		switch {
		case i == 0:
			after = ""
		case ok:
			after = ":" + after
		default:
			after = ":" + strconv.Itoa(i+1)
		}
		l.addrs4[i].Label = l.Name[:min(len(l.Name), maxName-min(len(after), maxName))] + after
	}
}

// changeConf6 follows the settings that change addresses and routes at once (D32,
// E16).
func (tx *Txn) changeConf6(l *link, old Conf6) {
	if now := l.Conf6.Forwarding; now != old.Forwarding {
		for i := range l.addrs6 {
			a := &l.addrs6[i]
			switch {
			case a.Flags&AddrTentative != 0:
			case now:
				tx.joinAnycast6(l, a)
			default:
				tx.leaveAnycast6(l, a)
			}
		}
	}
	switch {
	case l.Conf6.DisableIPv6 && !old.DisableIPv6:
		tx.disable6(l, linkDown)
	case !l.Conf6.DisableIPv6 && old.DisableIPv6 && l.Up():
		tx.enable6(l)
	}
}

// changeMaster moves a link into or out of a VRF (L25–L28); other masters mean
// nothing to routing.
func (tx *Txn) changeMaster(l *link, master int32) {
	if l.Master == master {
		return
	}
	isVRF := func(i int32) bool { m := tx.s.links[i]; return m != nil && m.IsL3Master() }
	wasVRF := isVRF(l.Master)
	if wasVRF {
		l.Master = 0
		tx.cycle(l)
	}
	l.Master = master
	if isVRF(master) {
		tx.cycle(l)
	}
}

// cycle is what a change of the L3 domain does to a link: everything falls, and if
// the link was up it goes down and up again.
func (tx *Txn) cycle(l *link) {
	tx.disable4(l, linkDown, true)
	tx.disable6(l, linkDown)
	if flags := l.Flags & stateFlags; flags&LinkUp != 0 {
		tx.changeState(l, 0)
		tx.changeState(l, flags)
	}
}

// changeState sets IFF_UP and the carrier.
func (tx *Txn) changeState(l *link, state LinkFlags) {
	wasUp, hadCarrier, wasRunning := l.Up(), l.Carrier(), l.Flags&LinkRunning != 0
	l.Flags = l.Flags&^stateFlags | state
	switch up, carrier := l.Up(), l.Carrier(); {
	case wasUp && !up:
		tx.linkDown(l)
	case !wasUp && up:
		tx.linkUp(l)
	case up && hadCarrier && !carrier, up && carrier && !(hadCarrier && wasRunning): // LOWER_UP shows before the kernel acts on it
		tx.followCarrier(l)
	}
}

// followCarrier does what a kernel does whenever it tells of a change of a link that is up
// (E7, E15): what depends on its carrier becomes as that is.
func (tx *Txn) followCarrier(l *link) {
	if !l.Carrier() {
		tx.flushObjects(l.Index, linkCarrier)
		tx.syncDown4(l.Index, linkCarrier, false)
		tx.syncDown6(l.Index, linkCarrier)
		tx.dropNeighbours(l.Index, Inet, true)
		tx.dropNeighbours(l.Index, Inet6, true)
		return
	}
	tx.syncUp4(l, FlagLinkdown)
	if l.ready6 {
		tx.syncUp6(l, FlagLinkdown)
	} else {
		tx.becomeReady6(l)
	}
}

// TellLink takes what RTM_NEWLINK notifies of: as [Txn.SetLink], and also if nothing is new
// about the link itself, since a kernel's messages can show a carrier before it acts on it.
// HeardKnown: neither the link nor anything that hangs on it is other than before.
func (tx *Txn) TellLink(l Link) (Heard, error) {
	old, swapped, objects, res := tx.s.links[l.Index], len(tx.swapped), len(tx.s.objects), tx.res
	same := old != nil && old.is(l)
	if err := tx.SetLink(l); err != nil {
		return HeardKnown, err
	}
	if cur := tx.s.links[l.Index]; cur.Up() {
		if ready := cur.ready6 || cur.NoInet6 || cur.Conf6.DisableIPv6; cur.Carrier() && !ready {
			same, cur = false, tx.ownLink(l.Index)
		}
		tx.followCarrier(cur)
	}
	if same && len(tx.swapped) == swapped && len(tx.s.objects) == objects && tx.res == res {
		return HeardKnown, nil
	}
	return HeardNews, nil
}

// linkDown draws the consequences of a link set down (E7, E12, E15). l has its new
// flags.
func (tx *Txn) linkDown(l *link) {
	tx.flushObjects(l.Index, linkDown)
	tx.disable4(l, linkDown, false)
	tx.disable6(l, linkDown)
	l.Groups4 = slices.DeleteFunc(slices.Clone(l.Groups4), func(a netip.Addr) bool { return a == allHosts4 })
}

// linkUp draws the consequences of a link set up (E7, E11, E12).
func (tx *Txn) linkUp(l *link) {
	if !l.NoInet {
		if l.loopback() && len(l.addrs4) == 0 {
			local := netip.AddrFrom4([4]byte{127, 0, 0, 1})
			_ = tx.addAddr4(Address{Link: l.Index, Local: local, Prefix: netip.PrefixFrom(local, 8), Scope: ScopeHost, Label: l.Name,
				Flags: AddrPermanent, ValidLft: forever, PreferredLft: forever, Protocol: addrProtoLoopback, Created: tx.s.nextCreated()})
		}
		for i := range l.addrs4 {
			tx.addRoutesOf4(l, &l.addrs4[i])
		}
		tx.syncUp4(l, FlagDead)
	}
	tx.enable6(l)
}

// destroy4 ends IPv4 on a link: its addresses go one by one, then its routes.
func (tx *Txn) destroy4(l *link) {
	for len(l.addrs4) > 0 {
		tx.removeAddr4(l, 0, true)
	}
	tx.disable4(l, linkUnregistered, true)
}

// DeleteLink does what happens when a link is deleted or leaves the namespace:
// its addresses, routes, nexthop objects and neighbours go (E7, E14, E15), of an
// IPv4 multipath route with one leg on it all legs; its slaves are released, from a
// VRF as L29 says; rules that name it are detached (A18).
//
// It costs O(routes). Possible errors, as *[OpError]: ENODEV; EOPNOTSUPP for lo;
// [ErrTxnDone].
func (tx *Txn) DeleteLink(index int32) error {
	const op = "link delete"
	if tx.ended() {
		return ErrTxnDone
	}
	l := tx.s.links[index]
	switch {
	case l == nil:
		return opError(op, "", refuse(ENODEV, "there is no link with index %d", index))
	case l.loopback():
		return opError(op, l.Name, refuse(EOPNOTSUPP, "lo can't be deleted"))
	}
	tx.ownLinks()
	for _, i := range slices.Clone(tx.s.linkOrder) {
		if tx.s.links[i].Master == index {
			tx.changeMaster(tx.ownLink(i), 0)
		}
	}
	l = tx.ownLink(index)
	tx.changeState(l, 0)
	tx.flushObjects(index, linkUnregistered)
	tx.destroy4(l)
	tx.disable6(l, linkUnregistered)
	tx.ownNeighbours()
	for k := range tx.s.neighs {
		if k.link == index {
			delete(tx.s.neighs, k)
		}
	}
	delete(tx.s.links, index)
	tx.s.linkOrder = slices.DeleteFunc(tx.s.linkOrder, func(i int32) bool { return i == index })
	tx.nameLink(index, l.Name, "")
	return nil
}

// addVRFRules makes the l3mdev rules that come with the first VRF of a namespace,
// once (L2, L3).
func (tx *Txn) addVRFRules() {
	if tx.s.vrfRule {
		return
	}
	tx.s.vrfRule = true
	for _, f := range []Family{Inet, Inet6} {
		r := rules.Rule{Family: f, Priority: 1000, Action: rules.ActLookup, L3MDev: true, Protocol: uint8(ProtoKernel)}
		_, _ = tx.AddRule(rules.RequestOf(r), Create|Excl) // EEXIST: a mirror heard of the rule first
	}
}
