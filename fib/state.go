package fib

import (
	"net/netip"

	"github.com/fibula-net/fibula/rules"
)

// Mode says whether the rules of a family are walked at all (A8–A10).
type Mode uint8

// The modes. In IPv4, Merged means that local and main are one tree and no rule
// has ever been added or deleted; in IPv6 that local, then main, are hard-wired.
const (
	ModeUnknown Mode = iota // derive it from the rules
	ModeMerged
	ModeRules
)

// Sysctls are the settings of the namespace, beside those of each link.
type Sysctls struct {
	All4, Default4 Conf4
	All6, Default6 Conf6
	// Multipath4, Multipath6: fib_multipath_hash_policy and _fields of each family.
	Multipath4, Multipath6 Multipath
	HashSeed               uint32 // net.ipv4.fib_multipath_hash_seed; 0: random, unknown (B25)
	MultipathUseNeigh      bool   // net.ipv4.fib_multipath_use_neigh (B23)
	NexthopCompatMode      bool   // net.ipv4.nexthop_compat_mode
	SkipNotifyOnDevDown    bool   // net.ipv6.route.skip_notify_on_dev_down
}

// Multipath is how a family hashes flows onto legs (B25).
type Multipath struct {
	Policy uint8  // 0 layer 3, 1 layer 4, 2 inner layer 3, 3 custom
	Fields uint32 // policy 3 only
}

// KernelVersion is a Linux release as far as behaviour depends on it.
type KernelVersion struct{ Major, Minor, Patch int }

// AtLeast reports whether v is major.minor or newer, or one of the older releases to
// which something was carried back, from that patch on. The zero version counts as the
// newest.
func (v KernelVersion) AtLeast(major, minor int, back ...KernelVersion) bool {
	if v == (KernelVersion{}) {
		return true
	}
	for _, b := range back {
		if v.Major == b.Major && v.Minor == b.Minor && v.Patch >= b.Patch {
			return true
		}
	}
	return v.Major > major || v.Major == major && v.Minor >= minor
}

// State is everything on which the decisions of one namespace depend, as plain
// data: what a scan collects, a state file stores and [Txn.Load] takes.
//
// Order carries meaning: Links are in order of creation (C22), Addresses in the
// kernel's order per link, Rules in list order, Routes in alias order under each
// prefix.
type State struct {
	Kernel     KernelVersion
	Sysctls    Sysctls
	Mode4      Mode
	Mode6      Mode
	Links      []Link
	Addresses  []Address
	Rules      []rules.Rule
	Routes     []Route
	Nexthops   []NexthopObject
	Neighbours []Neighbour
	AddrLabels []AddrLabel
	// UserLocalRoutes: a local route was once added by hand; sticky (C31).
	UserLocalRoutes Fact
}

// Fact is something that a dump may leave open.
type Fact uint8

// What is known of a fact.
const (
	FactUnknown Fact = iota
	FactNo
	FactYes
)

// DefaultAddrLabels is the label table that every namespace starts with (D42).
func DefaultAddrLabels() []AddrLabel {
	ls := []struct {
		p string
		l uint32
	}{{"::/0", 1}, {"fc00::/7", 5}, {"fec0::/10", 11}, {"2002::/16", 2}, {"3ffe::/16", 12}, {"2001::/32", 6},
		{"2001:10::/28", 7}, {"::ffff:0:0/96", 4}, {"::/96", 3}, {"::1/128", 0}}
	out := make([]AddrLabel, len(ls))
	for i, l := range ls {
		out[i] = AddrLabel{Prefix: netip.MustParsePrefix(l.p), Label: l.l}
	}
	return out
}
