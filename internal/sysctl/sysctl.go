// Package sysctl names the settings on which routing depends, and where the types of
// package fib have them: for reading, storing and setting them.
package sysctl

import (
	"cmp"
	"slices"

	"github.com/fibula-net/fibula/fib"
)

// Setting is one sysctl that routing depends on, inside a value of type C. At returns
// a pointer to a bool, uint8, int32 or uint32.
type Setting[C any] struct {
	Name string
	At   func(*C) any
}

// Conf4 are the settings of a link below net.ipv4.conf.LINK, by name.
var Conf4 = sorted([]Setting[fib.Conf4]{
	{"forwarding", func(c *fib.Conf4) any { return &c.Forwarding }},
	{"accept_local", func(c *fib.Conf4) any { return &c.AcceptLocal }},
	{"route_localnet", func(c *fib.Conf4) any { return &c.RouteLocalnet }},
	{"src_valid_mark", func(c *fib.Conf4) any { return &c.SrcValidMark }},
	{"send_redirects", func(c *fib.Conf4) any { return &c.SendRedirects }},
	{"shared_media", func(c *fib.Conf4) any { return &c.SharedMedia }},
	{"bc_forwarding", func(c *fib.Conf4) any { return &c.BcForwarding }},
	{"mc_forwarding", func(c *fib.Conf4) any { return &c.McForwarding }},
	{"ignore_routes_with_linkdown", func(c *fib.Conf4) any { return &c.IgnoreRoutesWithLinkdown }},
	{"promote_secondaries", func(c *fib.Conf4) any { return &c.PromoteSecondaries }},
	{"rp_filter", func(c *fib.Conf4) any { return &c.RPFilter }},
})

// Conf6 are those below net.ipv6.conf.LINK.
var Conf6 = sorted([]Setting[fib.Conf6]{
	{"forwarding", func(c *fib.Conf6) any { return &c.Forwarding }},
	{"disable_ipv6", func(c *fib.Conf6) any { return &c.DisableIPv6 }},
	{"ignore_routes_with_linkdown", func(c *fib.Conf6) any { return &c.IgnoreRoutesWithLinkdown }},
	{"use_oif_addrs_only", func(c *fib.Conf6) any { return &c.UseOifAddrsOnly }},
	{"optimistic_dad", func(c *fib.Conf6) any { return &c.OptimisticDAD }},
	{"use_optimistic", func(c *fib.Conf6) any { return &c.UseOptimistic }},
	{"keep_addr_on_down", func(c *fib.Conf6) any { return &c.KeepAddrOnDown }},
	{"use_tempaddr", func(c *fib.Conf6) any { return &c.UseTempaddr }},
	{"accept_dad", func(c *fib.Conf6) any { return &c.AcceptDAD }},
	{"addr_gen_mode", func(c *fib.Conf6) any { return &c.AddrGenMode }},
})

// Global are the settings of a namespace that are no link's, by their dotted names.
var Global = sorted([]Setting[fib.Sysctls]{
	{"net.ipv4.fib_multipath_hash_policy", func(s *fib.Sysctls) any { return &s.Multipath4.Policy }},
	{"net.ipv4.fib_multipath_hash_fields", func(s *fib.Sysctls) any { return &s.Multipath4.Fields }},
	{"net.ipv4.fib_multipath_hash_seed", func(s *fib.Sysctls) any { return &s.HashSeed }},
	{"net.ipv4.fib_multipath_use_neigh", func(s *fib.Sysctls) any { return &s.MultipathUseNeigh }},
	{"net.ipv4.nexthop_compat_mode", func(s *fib.Sysctls) any { return &s.NexthopCompatMode }},
	{"net.ipv6.fib_multipath_hash_policy", func(s *fib.Sysctls) any { return &s.Multipath6.Policy }},
	{"net.ipv6.fib_multipath_hash_fields", func(s *fib.Sysctls) any { return &s.Multipath6.Fields }},
	{"net.ipv6.route.skip_notify_on_dev_down", func(s *fib.Sysctls) any { return &s.SkipNotifyOnDevDown }},
})

// Namespace are the global settings and those of "all" and "default".
var Namespace = func() []Setting[fib.Sysctls] {
	all := slices.Clone(Global)
	for _, c := range Conf4 {
		all = append(all,
			Setting[fib.Sysctls]{"net.ipv4.conf.all." + c.Name, func(s *fib.Sysctls) any { return c.At(&s.All4) }},
			Setting[fib.Sysctls]{"net.ipv4.conf.default." + c.Name, func(s *fib.Sysctls) any { return c.At(&s.Default4) }})
	}
	for _, c := range Conf6 {
		all = append(all,
			Setting[fib.Sysctls]{"net.ipv6.conf.all." + c.Name, func(s *fib.Sysctls) any { return c.At(&s.All6) }},
			Setting[fib.Sysctls]{"net.ipv6.conf.default." + c.Name, func(s *fib.Sysctls) any { return c.At(&s.Default6) }})
	}
	return sorted(all)
}()

func sorted[C any](s []Setting[C]) []Setting[C] {
	slices.SortFunc(s, func(a, b Setting[C]) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

// Find returns the setting with a name.
func Find[C any](settings []Setting[C], name string) (Setting[C], bool) {
	i, ok := slices.BinarySearchFunc(settings, name, func(s Setting[C], n string) int { return cmp.Compare(s.Name, n) })
	if !ok {
		return Setting[C]{}, false
	}
	return settings[i], true
}

// Get returns the value as the kernel shows it.
func Get(p any) int64 {
	switch p := p.(type) {
	case *bool:
		if *p {
			return 1
		}
	case *uint8:
		return int64(*p)
	case *int32:
		return int64(*p)
	case *uint32:
		return int64(*p)
	}
	return 0
}

// Set stores v and reports whether it fits.
func Set(p any, v int64) bool {
	switch p := p.(type) {
	case *bool:
		*p = v != 0
		return true
	case *uint8:
		*p = uint8(v)
	case *int32:
		*p = int32(v)
	case *uint32:
		*p = uint32(v)
	}
	return Get(p) == v
}
