package iproute

import (
	"strings"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/sysctl"
)

// sysctls reads the settings of a namespace; those not given keep their values in s.
func (d *decoder) sysctls(s *fib.Sysctls) {
	for it := d.object(); it.next(); {
		key := d.key()
		c, ok := sysctl.Find(sysctl.Namespace, string(key))
		if !ok {
			d.unknown("sysctls", key)
			continue
		}
		if v := d.int(64); d.err == nil && !sysctl.Set(c.At(s), v) {
			d.fail("sysctl %s: %d is out of range", c.Name, v)
		}
	}
}

func (w *jsonWriter) sysctls(s *fib.Sysctls) {
	w.open('{')
	for _, c := range sysctl.Namespace {
		w.b = append(w.b, '\n')
		w.key(c.Name).int(sysctl.Get(c.At(s)))
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
		if v := d.int(64); d.err == nil && !sysctl.Set(p, v) {
			d.fail("sysctl %s: %d is out of range", name, v)
		}
	}
}

// linkSetting finds "ipv4.NAME" or "ipv6.NAME" in l; nil: there is none.
func linkSetting(l *fib.Link, key string) any {
	if name, ok := strings.CutPrefix(key, "ipv4."); ok {
		if c, ok := sysctl.Find(sysctl.Conf4, name); ok {
			return c.At(&l.Conf4)
		}
	}
	if name, ok := strings.CutPrefix(key, "ipv6."); ok {
		if c, ok := sysctl.Find(sysctl.Conf6, name); ok {
			return c.At(&l.Conf6)
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
	for _, c := range sysctl.Conf4 {
		if v := sysctl.Get(c.At(&l.Conf4)); v != sysctl.Get(c.At(&base.Default4)) {
			w.key("ipv4." + c.Name).int(v)
		}
	}
	for _, c := range sysctl.Conf6 {
		if v := sysctl.Get(c.At(&l.Conf6)); v != sysctl.Get(c.At(&base.Default6)) {
			w.key("ipv6." + c.Name).int(v)
		}
	}
	w.close('}')
}
