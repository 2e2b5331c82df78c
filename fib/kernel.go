package fib

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/fibula-net/fibula/rules"
)

// IsL3Master reports whether the link is a VRF.
func (l *Link) IsL3Master() bool { return l.Kind == "vrf" }

// groupBackport is the patch with which 6.1 got what newer releases do with nexthop
// groups (I7, I11). 6.1.190 has neither, 6.1.192 both.
var groupBackport = KernelVersion{6, 1, 192}

// setKernel makes s answer as that kernel would (section I of the description of
// the kernel's lookup).
func (s *Snapshot) setKernel(k KernelVersion) {
	s.kernel = k
	s.profile = rules.Profile{L3MDevByDomain: k.AtLeast(6, 15)}
	if !k.AtLeast(6, 12) {
		s.profile.Unknown |= rules.AttrDSCP
	}
	if !k.AtLeast(6, 14) {
		s.profile.Unknown |= rules.AttrFlowLabel | rules.AttrFlowLabelMask
	}
	if !k.AtLeast(6, 15) {
		s.profile.Unknown |= rules.AttrDSCPMask | rules.AttrSportMask | rules.AttrDportMask
	}
}

// DefaultSysctls are the settings of a new network namespace.
func DefaultSysctls() Sysctls {
	c4 := Conf4{SendRedirects: true, SharedMedia: true}
	c6 := Conf6{AcceptDAD: 1}
	all6 := c6
	all6.AcceptDAD = 0
	m := Multipath{Fields: 7}
	return Sysctls{All4: c4, Default4: c4, All6: all6, Default6: c6, Multipath4: m, Multipath6: m, NexthopCompatMode: true}
}

// SetSysctls replaces the namespace's settings. Settings of a link are part of
// the link.
func (tx *Txn) SetSysctls(c Sysctls) error {
	if tx.ended() {
		return ErrTxnDone
	}
	if c != tx.s.sysctls {
		tx.s.sysctls, tx.dirty = c, true
	}
	return nil
}

// SetAddrLabels replaces the IPv6 address label table (D42).
func (tx *Txn) SetAddrLabels(labels []AddrLabel) error {
	if tx.ended() {
		return ErrTxnDone
	}
	sorted := slices.Clone(labels)
	sortLabels(sorted)
	if !slices.Equal(sorted, tx.s.labels) {
		tx.s.labels, tx.dirty = sorted, true
	}
	return nil
}

func sortLabels(ls []AddrLabel) {
	slices.SortStableFunc(ls, func(a, b AddrLabel) int { return cmp.Compare(b.Prefix.Bits(), a.Prefix.Bits()) })
}

// resolveObjects works out what lookups need to know of the nexthop objects, which
// must be the transaction's own.
func (s *Snapshot) resolveObjects() {
	for _, o := range s.objects {
		o.resolve(s.objects)
	}
}

func (o *object) resolve(all map[uint32]*object) {
	o.members, o.ids, o.sources, o.bounds, o.blackhole = nil, nil, nil, nil, o.Blackhole
	o.fam, o.hasInet = o.Family, o.Family == Inet
	if !o.IsGroup() {
		if !o.Blackhole {
			n := o.Nexthop
			n.Weight = max(n.Weight, 1)
			if !n.ScopeSet {
				n.Scope, n.ScopeSet = o.Scope, true
			}
			o.members, o.ids, o.sources = []Nexthop{n}, []uint32{o.ID}, []netip.Addr{o.Source}
		}
		return
	}
	for i, m := range o.Group {
		x := all[m.ID]
		if x == nil || x.IsGroup() {
			continue
		}
		if i == 0 {
			o.fam = x.Family
		}
		o.hasInet = o.hasInet || x.Family == Inet
		if x.Blackhole {
			o.blackhole = len(o.Group) == 1
			continue
		}
		n := x.Nexthop
		n.Weight = max(m.Weight, 1)
		if !n.ScopeSet {
			n.Scope, n.ScopeSet = x.Scope, true
		}
		o.members = append(o.members, n)
		o.ids, o.sources = append(o.ids, m.ID), append(o.sources, x.Source)
	}
	o.bounds = boundsOf(o.members, func(*Nexthop) bool { return false })
}
