// Package rtnl encodes and decodes rtnetlink messages straight from and to the
// project's own types, on any operating system: it touches bytes only, sockets
// are the caller's business (package ksync) and so are files of messages
// (package iproute reads what "ip route save" writes).
//
// # Where to start
//
// [Next] cuts a buffer into messages. Each kind has a decoder: [DecodeRoute],
// [DecodeRule], [DecodeLink], [DecodeAddress], [DecodeNexthop], [DecodeBucket],
// [DecodeNeighbour], [DecodeAddrLabel], [DecodeNetconf] and, for the answer to a
// route query, [DecodeReply]. What is sent is appended to a buffer: [AppendDump],
// [AppendRouteQuery], [AppendRoute], [AppendRule], [AppendNexthop].
//
// # Hostile input
//
// A decoder checks every length, never panics and never reads beyond its
// message. What it does not model it counts in a [Report] by name and number
// instead of dropping it silently. Attributes without meaning for routing are
// listed one by one in the decoders; they are no news.
//
// Integers are in the byte order of the machine, as the kernel sends them.
package rtnl
