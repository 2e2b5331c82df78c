package iproute

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/procnet"
	"github.com/fibula-net/fibula/internal/sysctl"
	"github.com/fibula-net/fibula/rules"
)

func (c *capture) readKernel() error {
	name, data, err := c.text(fileKernel)
	if err != nil {
		return err
	}
	if name == "" {
		c.notes.add("no kernel file: taken to be the newest kernel that is known; add uname -rv")
		return nil
	}
	words := strings.Fields(string(data))
	for i := range words { // uname -a has other words before, too
		if v, err := procnet.ParseRelease(strings.Join(words[i:], " ")); err == nil {
			c.st.Kernel = v
			return nil
		}
	}
	c.notes.add("%s: no release such as 6.18.44 in it", name)
	return nil
}

// sysctlFile holds the settings of links: by link, then "ipv4.rp_filter" and the like.
type sysctlFile struct {
	links map[string]map[string]int64
	mtu6  map[string]int64
	// four, six: links that have a directory below net/ipv4/conf and net/ipv6/conf.
	four, six map[string]bool
}

// readSysctls reads "net.ipv4.conf.all.rp_filter = 1" (sysctl -a) and
// "/proc/sys/net/ipv4/conf/all/rp_filter:1" (grep). Settings that do not matter are many.
func (c *capture) readSysctls() error {
	name, data, err := c.text(fileSysctl)
	if err != nil {
		return err
	}
	if name == "" {
		c.notes.add("no sysctl file: settings are taken to be those of a new namespace (forwarding and rp_filter off); add sysctl -a")
		return nil
	}
	c.hasSysctl = true
	c.sysctl = sysctlFile{map[string]map[string]int64{}, map[string]int64{}, map[string]bool{}, map[string]bool{}}
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		key, text, ok := cutSysctl(strings.TrimSpace(line))
		if !ok {
			continue
		}
		v, err := strconv.ParseInt(text, 0, 64)
		if s, known := sysctl.Find(sysctl.Namespace, key); known {
			if err != nil || !sysctl.Set(s.At(&c.st.Sysctls), v) {
				c.notes.add("%s:%d: %s: value %.40q not understood", name, number, key, text)
			}
			continue
		}
		if err == nil {
			c.sysctl.add(key, v)
		}
	}
	return nil
}

// cutSysctl returns the dotted name, with a slash for each dot in a link's name, and the value.
func cutSysctl(line string) (key, value string, ok bool) {
	if rest, is := strings.CutPrefix(line, "/proc/sys/"); is {
		key, value, ok = strings.Cut(rest, ":")
		if i := strings.LastIndexByte(rest, ':'); ok && strings.Count(rest, ":") > 1 && strings.Contains(rest[:i], "/conf/") {
			key, value = rest[:i], rest[i+1:] // a link's name may have colons, values of conf have none
		}
		key = strings.Map(func(r rune) rune {
			switch r {
			case '/':
				return '.'
			case '.':
				return '/'
			}
			return r
		}, key)
	} else {
		key, value, ok = strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	}
	return key, value, ok
}

func (s *sysctlFile) add(key string, v int64) {
	family, seen := "ipv4.", s.four
	rest, ok := strings.CutPrefix(key, "net.ipv4.conf.")
	if !ok {
		family, seen = "ipv6.", s.six
		rest, ok = strings.CutPrefix(key, "net.ipv6.conf.")
	}
	i := strings.LastIndexByte(rest, '.')
	if !ok || i < 0 {
		return
	}
	link, setting := strings.ReplaceAll(rest[:i], "/", "."), rest[i+1:]
	seen[link] = true
	if family == "ipv6." && setting == "mtu" {
		s.mtu6[link] = v
	}
	if s.links[link] == nil {
		s.links[link] = map[string]int64{}
	}
	s.links[link][family+setting] = v
}

// apply sets what the file says of l. A link without a directory has no IPv4, or IPv6.
func (s *sysctlFile) apply(l *fib.Link) {
	for key, v := range s.links[l.Name] {
		if p := linkSetting(l, key); p != nil {
			sysctl.Set(p, v)
		}
	}
	if mtu := s.mtu6[l.Name]; mtu > 0 && mtu < 1<<32 && uint32(mtu) != l.MTU {
		l.MTU6 = uint32(mtu)
	}
	l.NoInet = len(s.four) > 0 && !s.four[l.Name]
	l.NoInet6 = len(s.six) > 0 && !s.six[l.Name]
	if l.NoInet {
		l.Conf4 = fib.Conf4{}
	}
	if l.NoInet6 {
		l.Conf6 = fib.Conf6{}
	}
}

// readCreation puts the links in order of creation and notes their multicast groups, both
// from /proc/net/igmp and igmp6 (C22, C25).
func (c *capture) readCreation() error {
	name4, four, err := c.text(fileIGMP)
	if err != nil {
		return err
	}
	name6, six, err := c.text(fileIGMP6)
	if err != nil {
		return err
	}
	if name4 == "" {
		if len(c.st.Links) > 2 {
			c.notes.add("no igmp file: links are taken to have been created in order of their index, and to have joined 224.0.0.1 only; add /proc/net/igmp")
		}
		for i := range c.st.Links {
			if l := &c.st.Links[i]; l.Up() && !l.NoInet {
				l.Groups4 = []netip.Addr{netip.AddrFrom4([4]byte{224, 0, 0, 1})}
			}
		}
	}
	order4, groups, err := procnet.ParseIGMP(four)
	if err != nil {
		return fmt.Errorf("%s: %w", name4, err)
	}
	order6, err := procnet.ParseIGMP6(six)
	if err != nil {
		return fmt.Errorf("%s: %w", name6, err)
	}
	for i := range c.st.Links {
		l := &c.st.Links[i]
		l.Groups4 = append(l.Groups4, groups[l.Index]...)
	}
	procnet.CreationOrder(c.st.Links, order4, order6)
	return nil
}

// readMode reads the answer to "ip route get 127.0.0.1": with rules in force it comes from
// table local, otherwise from main (A10).
func (c *capture) readMode() error {
	if len(c.files.of[fileGet]) == 0 {
		c.notes.add("no get file: whether IPv4 rules are in force follows from the rules; add ip -j -d route get 127.0.0.1")
		return nil
	}
	_, err := c.array(fileGet, func(d *decoder) {
		table, typ := fib.TableMain, fib.TypeUnicast
		for it := d.object(); it.next(); {
			switch key := d.key(); string(key) {
			case "table":
				table = fib.TableID(word(d, "table", 32, d.names.Table))
			case "type":
				typ = fib.RouteType(word(d, "type", 8, typeWord))
			default:
				d.skip()
			}
		}
		switch {
		case typ != fib.TypeLocal: // someone routes 127.0.0.1 elsewhere
		case table == fib.TableMain:
			c.st.Mode4 = fib.ModeMerged
		case table == fib.TableLocal:
			c.st.Mode4 = fib.ModeRules
		}
	})
	return err
}

// derive fills in what follows from the rest.
func (c *capture) derive() {
	// Any rule but the initial ones was added, which puts the rules in force (A8–A10).
	if !rules.Load(fib.Inet, c.st.Rules).IsInitial() {
		c.st.Mode4 = fib.ModeRules
	}
	initial6 := slices.Collect(maps.Values(maps.Collect(rules.Initial(fib.Inet6).All())))
	for _, r := range c.st.Rules {
		if r.Family == fib.Inet6 && !slices.Contains(initial6, r) {
			c.st.Mode6 = fib.ModeRules
		}
	}
	local := map[fib.Family]bool{}
	for i := range c.st.Routes {
		r := &c.st.Routes[i]
		if r.Family() == fib.Inet && r.Type == fib.TypeLocal && c.st.Mode4 != fib.ModeRules && (r.Table != fib.TableLocal || r.Protocol != fib.ProtoKernel) {
			c.st.UserLocalRoutes = fib.FactYes // C31; matters without rules only
		}
		local[r.Family()] = local[r.Family()] || r.Table == fib.TableLocal
	}
	owners := map[netip.Addr]bool{}
	up := map[int32]bool{}
	for i := range c.st.Links {
		up[c.st.Links[i].Index] = c.st.Links[i].Up()
	}
	for i := range c.st.Addresses {
		a := &c.st.Addresses[i]
		f := familyOf(a.Local)
		if up[a.Link] && !local[f] {
			c.notes.add("no %s routes of table local, although there are addresses; capture ip route show table all", f)
			local[f] = true
		}
		if f == fib.Inet && owners[a.Local] {
			c.notes.add("address %s is on two links, and no capture shows where it came last (C4); taken to be the last one listed", a.Local)
		}
		owners[a.Local] = true
	}
}
