package fib_test

import "net/netip"

func addrOf(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefixOf(s string) netip.Prefix { return netip.MustParsePrefix(s) }
