// Package rtsock decodes the messages of FreeBSD's routing socket, and of the
// sysctl that dumps tables in the same form, into the project's own types. It
// touches bytes only and runs on every system; package ksync has the sockets.
//
// # Where to start
//
// A [Decoder] knows what no message says: which FIB it is about. [Decoder.Links]
// reads an answer to NET_RT_IFLIST, [Decoder.Routes] one to NET_RT_DUMP, and
// [Decoder.Event] one message of the socket. [Next] cuts a buffer into messages.
//
// # What becomes of FreeBSD's words
//
// FIB 0 is table main, FIB n is the table of [Table]. Link flags and route flags
// become those of rtnetlink: PINNED and LOCAL routes are of protocol kernel, STATIC
// ones of protocol static, DYNAMIC ones of protocol redirect, and PROTO1 to PROTO3,
// which routing daemons set for their own, are [ProtoFlag1] to [ProtoFlag3]. The
// address of a nexthop's interface is the preferred source of an IPv4 route, as
// FreeBSD takes it for one. An MTU counts where it was given (FIXEDMTU). The zone of
// a link-local address is dropped, be it embedded in the address or beside it: the
// link of the route or address tells it.
//
// # Hostile input
//
// A decoder checks every length, never panics and never reads beyond its message.
// What the model does not have is counted in the report.
//
// # Layout
//
// Structures are those of FreeBSD 11 and newer on 64-bit machines, little-endian as
// all of these that Go runs on. Sockaddrs are aligned to 8 bytes. Masks may be cut
// short behind their last byte that is not zero, and addresses may have their zone
// embedded, as older kernels send them.
package rtsock
