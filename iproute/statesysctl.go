package iproute

import (
	"cmp"
	"slices"
	"strings"

	"github.com/fibula-net/fibula/fib"
)

// setting is one sysctl that routing depends on, inside a value of type C. at returns
// a pointer to a bool, uint8, int32 or uint32.
type setting[C any] struct {
	name string
	at   func(*C) any
}

var conf4Settings = sorted([]setting[fib.Conf4]{
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

var conf6Settings = sorted([]setting[fib.Conf6]{
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

const (
	conf4Dir = "net.ipv4.conf."
	conf6Dir = "net.ipv6.conf."
)

// nsSettings are all settings of a namespace, by their dotted names.
var nsSettings = func() []setting[fib.Sysctls] {
	all := []setting[fib.Sysctls]{
		{"net.ipv4.fib_multipath_hash_policy", func(s *fib.Sysctls) any { return &s.Multipath4.Policy }},
		{"net.ipv4.fib_multipath_hash_fields", func(s *fib.Sysctls) any { return &s.Multipath4.Fields }},
		{"net.ipv4.fib_multipath_hash_seed", func(s *fib.Sysctls) any { return &s.HashSeed }},
		{"net.ipv4.fib_multipath_use_neigh", func(s *fib.Sysctls) any { return &s.MultipathUseNeigh }},
		{"net.ipv4.nexthop_compat_mode", func(s *fib.Sysctls) any { return &s.NexthopCompatMode }},
		{"net.ipv6.fib_multipath_hash_policy", func(s *fib.Sysctls) any { return &s.Multipath6.Policy }},
		{"net.ipv6.fib_multipath_hash_fields", func(s *fib.Sysctls) any { return &s.Multipath6.Fields }},
		{"net.ipv6.route.skip_notify_on_dev_down", func(s *fib.Sysctls) any { return &s.SkipNotifyOnDevDown }},
	}
	for _, c := range conf4Settings {
		all = append(all,
			setting[fib.Sysctls]{conf4Dir + "all." + c.name, func(s *fib.Sysctls) any { return c.at(&s.All4) }},
			setting[fib.Sysctls]{conf4Dir + "default." + c.name, func(s *fib.Sysctls) any { return c.at(&s.Default4) }})
	}
	for _, c := range conf6Settings {
		all = append(all,
			setting[fib.Sysctls]{conf6Dir + "all." + c.name, func(s *fib.Sysctls) any { return c.at(&s.All6) }},
			setting[fib.Sysctls]{conf6Dir + "default." + c.name, func(s *fib.Sysctls) any { return c.at(&s.Default6) }})
	}
	return sorted(all)
}()

func sorted[C any](s []setting[C]) []setting[C] {
	slices.SortFunc(s, func(a, b setting[C]) int { return cmp.Compare(a.name, b.name) })
	return s
}

func find[C any](settings []setting[C], name string) (setting[C], bool) {
	i, ok := slices.BinarySearchFunc(settings, name, func(s setting[C], n string) int { return cmp.Compare(s.name, n) })
	if !ok {
		return setting[C]{}, false
	}
	return settings[i], true
}

// getSetting returns the value as the kernel shows it.
func getSetting(p any) int64 {
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

// setSetting stores v and reports whether it fits.
func setSetting(p any, v int64) bool {
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
	return getSetting(p) == v
}

// sysctls reads the settings of a namespace; those not given keep their values in s.
func (d *decoder) sysctls(s *fib.Sysctls) {
	for it := d.object(); it.next(); {
		key := d.key()
		c, ok := find(nsSettings, string(key))
		if !ok {
			d.unknown("sysctls", key)
			continue
		}
		if v := d.int(64); d.err == nil && !setSetting(c.at(s), v) {
			d.fail("sysctl %s: %d is out of range", c.name, v)
		}
	}
}

func (w *jsonWriter) sysctls(s *fib.Sysctls) {
	w.open('{')
	for _, c := range nsSettings {
		w.b = append(w.b, '\n')
		w.key(c.name).int(getSetting(c.at(s)))
		w.b = append(w.b, ',')
	}
	w.b = append(w.b[:len(w.b)-1], '\n', '}')
}

// linkSysctls reads the settings of a link: "ipv4.rp_filter" is net.ipv4.conf.LINK.rp_filter.
func (d *decoder) linkSysctls(l *fib.Link) {
	for it := d.object(); it.next(); {
		key := d.key()
		p := linkSetting(l, string(key))
		if p == nil {
			d.unknown("sysctls of a link", key)
			continue
		}
		name := string(key)
		if v := d.int(64); d.err == nil && !setSetting(p, v) {
			d.fail("sysctl %s: %d is out of range", name, v)
		}
	}
}

// linkSetting finds "ipv4.NAME" or "ipv6.NAME" in l; nil: there is none.
func linkSetting(l *fib.Link, key string) any {
	if name, ok := strings.CutPrefix(key, "ipv4."); ok {
		if c, ok := find(conf4Settings, name); ok {
			return c.at(&l.Conf4)
		}
	}
	if name, ok := strings.CutPrefix(key, "ipv6."); ok {
		if c, ok := find(conf6Settings, name); ok {
			return c.at(&l.Conf6)
		}
	}
	return nil
}

// linkSysctls writes the settings in which l differs from a new link.
func (w *jsonWriter) linkSysctls(l *fib.Link, base *fib.Sysctls) {
	if l.Conf4 == base.Default4 && l.Conf6 == base.Default6 {
		return
	}
	w.key("sysctls").open('{')
	for _, c := range conf4Settings {
		if v := getSetting(c.at(&l.Conf4)); v != getSetting(c.at(&base.Default4)) {
			w.key("ipv4." + c.name).int(v)
		}
	}
	for _, c := range conf6Settings {
		if v := getSetting(c.at(&l.Conf6)); v != getSetting(c.at(&base.Default6)) {
			w.key("ipv6." + c.name).int(v)
		}
	}
	w.close('}')
}
