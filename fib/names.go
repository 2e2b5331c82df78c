package fib

import (
	"strconv"

	"github.com/fibula-net/fibula/internal/errno"
	"github.com/fibula-net/fibula/rules"
)

// Family is an address family: [Inet] or [Inet6].
type Family = rules.Family

// The two families, with rtnetlink's numbers.
const (
	Inet  = rules.Inet
	Inet6 = rules.Inet6
)

// Errno is an error number of the Linux kernel, on every operating system.
type Errno = errno.Errno

// TableID names a routing table, as in RTA_TABLE.
type TableID uint32

// The tables that every namespace has.
const (
	TableUnspec  TableID = 0
	TableDefault TableID = 253
	TableMain    TableID = 254
	TableLocal   TableID = 255
)

// String is the word iproute2 has for the table without any rt_tables file, or
// its number.
func (t TableID) String() string {
	switch t {
	case TableUnspec:
		return "unspec"
	case TableDefault:
		return "default"
	case TableMain:
		return "main"
	case TableLocal:
		return "local"
	}
	return strconv.FormatUint(uint64(t), 10)
}

// RouteType is rtm_type: what happens to a packet that takes the route.
type RouteType uint8

// The route types of rtnetlink.
const (
	TypeUnspec RouteType = iota
	TypeUnicast
	TypeLocal
	TypeBroadcast
	TypeAnycast
	TypeMulticast
	TypeBlackhole
	TypeUnreachable
	TypeProhibit
	TypeThrow
	TypeNAT
	TypeXResolve
)

var typeNames = [...]string{"unspec", "unicast", "local", "broadcast", "anycast", "multicast",
	"blackhole", "unreachable", "prohibit", "throw", "nat", "xresolve"}

// String is iproute2's word for the type, or its number.
func (t RouteType) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return strconv.Itoa(int(t))
}

// MarshalText writes the word String gives.
func (t RouteType) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// IsReject reports whether a route of this type ends a lookup without a path:
// blackhole, unreachable, prohibit, throw, nat and xresolve.
func (t RouteType) IsReject() bool { return t >= TypeBlackhole }

// rejects6 is IsReject for IPv6 routes: nat and xresolve are ordinary ones there.
func (t RouteType) rejects6() bool { return t.IsReject() && t < TypeNAT }

// Scope is rtm_scope: how far a destination is. A larger number is narrower.
type Scope uint8

// The scopes of rtnetlink.
const (
	ScopeUniverse Scope = 0
	ScopeSite     Scope = 200
	ScopeLink     Scope = 253
	ScopeHost     Scope = 254
	ScopeNowhere  Scope = 255
)

// String is the word iproute2 has for the scope, or its number.
func (s Scope) String() string {
	switch s {
	case ScopeUniverse:
		return "global"
	case ScopeSite:
		return "site"
	case ScopeLink:
		return "link"
	case ScopeHost:
		return "host"
	case ScopeNowhere:
		return "nowhere"
	}
	return strconv.Itoa(int(s))
}

// Protocol is rtm_protocol: who installed a route.
type Protocol uint8

// The protocols this package gives to routes it derives or defaults.
const (
	ProtoUnspec   Protocol = 0
	ProtoRedirect Protocol = 1
	ProtoKernel   Protocol = 2
	ProtoBoot     Protocol = 3
	ProtoStatic   Protocol = 4
	ProtoRA       Protocol = 9
)
