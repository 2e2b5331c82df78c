package fib

import (
	"net/netip"
	"slices"

	"github.com/fibula-net/fibula/lookup"
	"github.com/fibula-net/fibula/lookup/flat"
	"github.com/fibula-net/fibula/rules"
)

// Snapshot is a FIB at one generation: rules, tables, nexthops, links, addresses
// and the rest, all of the same moment.
//
// A Snapshot never changes and is safe for concurrent use. Its readers take no
// lock and wait for nobody; the garbage collector frees it after the last one.
type Snapshot struct {
	gen     uint64
	kernel  KernelVersion
	profile rules.Profile
	sysctls Sysctls
	mode4   Mode // never ModeUnknown
	mode6   Mode
	// open4, open6: the mode is the likelier one, but nobody can know (J4).
	open4, open6 bool
	// hidden6: whether rules are walked was not known while they were the initial ones, with which both
	// modes answer alike (A9).
	hidden6 bool
	// userLocal: a local route was once added by hand (C31).
	userLocal Fact
	// Whether any leg has realms, which, as those of an IPv4 rule, makes every source
	// be looked up (C31).
	legRealms bool

	rules4, rules6 *rules.List
	tables         map[tableKey]*table
	leaves         leafPages

	links     map[int32]*link
	linkOrder []int32 // in order of creation (C22)
	byName    map[string]int32
	// owner4 names the link that owns an IPv4 address: of several, the one where
	// it was added last (C4).
	owner4 map[netip.Addr]int32
	neighs map[neighKey]Neighbour
	// objects are the nexthop objects by id, with what lookups need worked out.
	objects map[uint32]*object
	labels  []AddrLabel // longest prefix first
	vrfRule bool        // the rules that come with the first VRF were made (L2)
	cuts    shortcuts
}

type tableKey struct {
	id  TableID
	fam Family
	//lint:ignore U1000 without a hole, a map hashes it as one number
	pad [3]uint8
}

// table is one table of one family.
type table struct {
	id  TableID
	fam Family
	// lpm is what lookups read: a lookup.Table, or within a transaction that
	// changes it a lookup.Editor.
	lpm  lookup.Reader
	flat *flat.Table // lpm, if it is one: for calls that need no look at what it is
	// sieve is of a small table, as published.
	sieve *sieve
}

// version is the table as it stands now, to go over and to derive others from.
func (t *table) version() lookup.Table {
	if ed, ok := t.lpm.(lookup.Editor); ok {
		return ed.View()
	}
	return t.lpm.(lookup.Table)
}

// link is an interface with its addresses in the kernel's order (C21, D40).
type link struct {
	Link
	addrs4, addrs6 []Address
	kept6          []netip.Addr       // addresses that wait for the link to come up (E12)
	anycast6       map[netip.Addr]int // anycast addresses answered to, and by how many of addrs6 (D32)
	ready6         bool               // IPv6 has seen it up and running since it last went down (E11)
	epoch          uint64             // of the transaction that owns it
}

type neighKey struct {
	link int32
	addr netip.Addr
}

// object is a nexthop object as lookups see it.
type object struct {
	NexthopObject
	// members are the legs: of a group one per member, otherwise the object's own.
	// Empty for a blackhole.
	members []Nexthop
	// ids are the members' ids, sources what the kernel remembers for each (C19).
	ids     []uint32
	sources []netip.Addr
	// bounds as B20 over all members, without exclusions (B24).
	bounds []int32
	// blackhole is set for a blackhole object and for a group whose only member is one.
	blackhole bool
	fam       Family // family of the (first) member
	hasInet   bool   // an IPv4 object is behind it: not for IPv6 routes
}

// Generation is the number of the transaction that made this snapshot; an empty
// FIB has generation 0.
func (s *Snapshot) Generation() uint64 { return s.gen }

// Kernel is the kernel whose behaviour the snapshot answers with.
func (s *Snapshot) Kernel() KernelVersion { return s.kernel }

func (s *Snapshot) rulesOf(f Family) *rules.List {
	if f == Inet {
		return s.rules4
	}
	return s.rules6
}

// modeOf is the mode of a family, and whether it is no more than the likelier one.
func (s *Snapshot) modeOf(f Family) (m Mode, open bool) {
	if f == Inet {
		return s.mode4, s.open4
	}
	return s.mode6, s.open6
}

func (s *Snapshot) table(f Family, id TableID) *table { return s.tables[tableKey{id: id, fam: f}] }

// leafAt returns the aliases under exactly p, or nil.
func (s *Snapshot) leafAt(t *table, p netip.Prefix) *leaf {
	if t == nil {
		return nil
	}
	i, ok := t.lpm.Get(p)
	if !ok {
		return nil
	}
	return s.leaves.at(i)
}

func (s *Snapshot) link(i int32) *link { return s.links[i] }

// neigh returns the state of a neighbour and whether there is an entry.
func (s *Snapshot) neigh(link int32, a netip.Addr) (NeighState, bool) {
	n, ok := s.neighs[neighKey{link, a}]
	return n.State, ok
}

// ignoreLinkdown4: all OR own (F11).
func (s *Snapshot) ignoreLinkdown4(l *link) bool {
	return s.sysctls.All4.IgnoreRoutesWithLinkdown || l != nil && l.Conf4.IgnoreRoutesWithLinkdown
}

// ignoreLinkdown6: the device alone; a device without IPv6 counts as ignoring (D12).
func (s *Snapshot) ignoreLinkdown6(l *link) bool {
	return l == nil || l.NoInet6 || l.Conf6.IgnoreRoutesWithLinkdown
}

// legs returns the legs that count for a: the object's if it has one.
func (s *Snapshot) legs(a *alias) []Nexthop {
	if a.nhid == 0 {
		return a.legs
	}
	if o := s.objects[a.nhid]; o != nil {
		return o.members
	}
	return nil
}

// copied is the link as it is handed out.
func (l *link) copied() Link {
	c := l.Link
	c.Groups4 = slices.Clone(c.Groups4)
	return c
}

// Addresses are those of a link in the kernel's order, IPv4 first.
func (s *Snapshot) Addresses(link int32) []Address {
	if l := s.links[link]; l != nil {
		return slices.Concat(l.addrs4, l.addrs6)
	}
	return nil
}

// Sysctls are the settings of the namespace.
func (s *Snapshot) Sysctls() Sysctls { return s.sysctls }

// LinkByName finds a link by its name.
func (s *Snapshot) LinkByName(name string) (Link, bool) { return s.Link(s.byName[name]) }

// Link finds a link by its index.
func (s *Snapshot) Link(index int32) (Link, bool) {
	if l := s.links[index]; l != nil {
		return l.copied(), true
	}
	return Link{}, false
}
