package ksync_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/rules"
)

// forKernel fits a configuration to the running kernel: without the hash seed where
// that cannot be set, and mostly with VRFs where links of that kind can be made.
func forKernel(t *testing.T, c randomConf, seed uint64) randomConf {
	if !netnstest.Has(t, netnstest.HashSeed) {
		c.sysctls = slices.DeleteFunc(c.sysctls, func(kv [2]string) bool { return kv[0] == "net.ipv4.fib_multipath_hash_seed" })
	}
	g := confGen{rand.New(rand.NewPCG(seed, 8))}
	if netnstest.Has(t, netnstest.VRF) && !g.one(4) {
		g.vrfs(&c)
	}
	return c
}

// vrfs are the L3 domains that a configuration may have. Their tables are among
// those that its routes and rules use anyway.
var vrfs = []struct {
	name  string
	table int
}{{"red", 100}, {"blue", 1000}}

func (g confGen) vrfs(c *randomConf) {
	var early, late []string // before the links are up and have addresses, and after
	for i, v := range vrfs {
		early = append(early, fmt.Sprintf("link add %s type vrf table %d", v.name, v.table))
		if !g.one(10) {
			early = append(early, "link set "+v.name+" up")
		}
		if g.one(3) {
			early = append(early, fmt.Sprintf("link set %s group %d", v.name, 1+g.IntN(3)))
		}
		for _, a := range []string{"10.10N.0.1/24", "2001:db8:10N::1/64 nodad", "127.0.0.1/8", "::1/128", "fe80::10N:1/64 nodad"} {
			if g.one(3) {
				late = append(late, fmt.Sprintf("addr add %s dev %s", strings.ReplaceAll(a, "N", fmt.Sprint(i)), v.name))
			}
		}
	}
	for i := range confLinks {
		master := pickOf(g, "red", "red", "red", "blue", "", "", "")
		if master == "" {
			continue
		}
		dev := fmt.Sprintf("d%d", i)
		enslave := fmt.Sprintf("link set %s master %s", dev, master)
		if g.one(2) {
			early = append(early, enslave)
			continue
		}
		// A link that is enslaved while it is up loses its IPv6 addresses (L25).
		late = append(late, enslave)
		if !g.one(4) {
			late = append(late, fmt.Sprintf("addr add 2001:db8:%d::1/64 dev %s nodad", i+1, dev), fmt.Sprintf("addr add fe80::%d:1/64 dev %s nodad", i+1, dev))
		}
	}
	if g.one(6) {
		late = append(late, pickOf(g, "link set d1 nomaster", "link set d1 master blue", "link set red down", "link del blue"))
	}
	at := slices.IndexFunc(c.links, func(l string) bool { return !strings.HasPrefix(l, "link add") })
	c.links = slices.Concat(c.links[:at], early, c.links[at:], late)
	g.domainRoutes(c)
	g.domainRules(c)
}

// domainRoutes adds what is usual in VRFs: a guard against the tables behind
// (L7), routes that leave a domain for another (L23), and gateways inside it.
func (g confGen) domainRoutes(c *randomConf) {
	table := func() string { return fmt.Sprintf(" table %d", vrfs[g.IntN(len(vrfs))].table) }
	if g.one(2) {
		guard := "route add " + pickOf(g, "unreachable", "unreachable", "blackhole", "prohibit", "throw") + " default metric 4278198272" + table()
		c.v4, c.v6 = append(c.v4, guard), append(c.v6, guard)
	}
	for range 1 + g.IntN(5) {
		dev := pickOf(g, "red", "blue", "d0", "d1", "d2")
		where := pickOf(g, table(), table(), "")
		c.v4 = append(c.v4, fmt.Sprintf("route add %s dev %s%s%s", g.dst4(), dev, pickOf(g, "", "", " src 10.1.0.1", " metric 20"), where))
		c.v6 = append(c.v6, fmt.Sprintf("route add %s dev %s%s%s", g.dst6(), dev, pickOf(g, "", "", " src 2001:db8:1::1", " metric 200"), where))
	}
	for range 1 + g.IntN(4) {
		c.v4 = append(c.v4, fmt.Sprintf("route add %s %s%s", g.dst4(), g.leg4(), table()))
		c.v6 = append(c.v6, fmt.Sprintf("route add %s %s%s", g.dst6(), g.leg6(), table()))
	}
	if g.one(3) {
		c.v4 = append(c.v4, "nexthop add id 40 dev red", fmt.Sprintf("route add %s nhid 40%s", g.dst4(), table()))
		c.v6 = append(c.v6, "-6 nexthop add id 140 dev red", fmt.Sprintf("route add %s nhid 140%s", g.dst6(), table()))
	}
}

// domainRules moves the rule of the L3 domains and that of table local, adds others
// of its kind, and lets rules name a VRF as iif or oif.
func (g confGen) domainRules(c *randomConf) {
	for _, lines := range []*[]string{&c.v4, &c.v6} {
		switch g.IntN(8) {
		case 0:
			*lines = append(*lines, "rule del pref 1000")
		case 1:
			*lines = append(*lines, fmt.Sprintf("rule add pref %d l3mdev", 1+g.IntN(20)), "rule del pref 1000")
		case 2:
			*lines = append(*lines, "rule add pref 32765 table local", "rule del pref 0")
		}
	}
	for i := range c.rules {
		r := &c.rules[i].Rule
		switch g.IntN(8) {
		case 0:
			r.Iif = vrfs[g.IntN(len(vrfs))].name
		case 1:
			r.Oif = vrfs[g.IntN(len(vrfs))].name
		}
	}
	for _, f := range []rules.Family{rules.Inet, rules.Inet6} {
		if g.one(3) {
			r := rules.Rule{Family: f, Priority: 1 + g.Uint32N(1200), Action: rules.ActLookup, L3MDev: true, Not: g.one(6)}
			if g.one(2) {
				r.SuppressPrefixLength = rules.Some(pickOf(g, uint32(0), 16, 24, 64))
			}
			if g.one(3) {
				g.selectors(&r)
				r.Table, r.L3MDev = 0, true
			}
			c.rules = append(c.rules, rules.RequestOf(r))
		}
	}
}
