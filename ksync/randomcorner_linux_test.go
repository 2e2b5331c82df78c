package ksync_test

import "fmt"

// corners adds what chance alone would hardly put together, each to some of the
// configurations, where flows are sure to meet it.
func (g confGen) corners(c *randomConf) {
	for _, corner := range []func(*randomConf){g.defaults, g.sources, g.unusable, g.oddTypes, g.subtree, g.lost} {
		if g.one(2) {
			corner(c)
		}
	}
}

// defaults adds equal default routes, among which the state of the neighbours
// chooses (B18).
func (g confGen) defaults(c *randomConf) {
	table, tos := pickOf(g, "", "", "", " table 50"), pickOf(g, "", "", "", " tos 0x10")
	for range 2 + g.IntN(2) {
		i := g.IntN(confLinks)
		gw := fmt.Sprintf("10.%d.0.%d", i+1, 9+g.IntN(2))
		c.v4 = append(c.v4, fmt.Sprintf("route append default via %s dev d%d metric 0%s%s", gw, i, tos, table))
		if !g.one(4) {
			c.v4 = append(c.v4, fmt.Sprintf("neigh replace %s dev d%d lladdr 02:00:00:00:00:77 nud %s", gw, i, pickOf(g, "failed", "failed", "stale", "noarp", "reachable")))
		}
	}
}

// sources adds a multipath route whose legs have sources of their own, one of which
// a flow may have (B21).
func (g confGen) sources(c *randomConf) {
	line := "route add 172.20.0.0/" + pickOf(g, "16", "24")
	for i := range 2 + g.IntN(2) {
		line += fmt.Sprintf(" nexthop via 10.%d.0.9 dev d%d weight %d", i+1, i, 1+g.IntN(3))
	}
	c.v4 = append(c.v4, line)
}

// unusable adds routes through nexthop objects that hide shorter prefixes where
// they cannot be used (B13).
func (g confGen) unusable(c *randomConf) {
	i := g.IntN(confLinks)
	c.nh4 = append(c.nh4, fmt.Sprintf("nexthop add id 40 dev d%d", i))
	c.v4 = append(c.v4, "route add 172.21.0.0/24 nhid 40",
		fmt.Sprintf("route add 172.21.0.0/16 via 10.%d.0.9", 1+g.IntN(confLinks)))
}

// oddTypes adds IPv4 routes of types that no forwarded packet may take.
func (g confGen) oddTypes(c *randomConf) {
	c.v4 = append(c.v4, fmt.Sprintf("route add anycast 172.22.0.0/16 dev d%d", g.IntN(confLinks)),
		fmt.Sprintf("route add multicast 172.23.0.0/16 dev d%d", g.IntN(confLinks)))
}

// subtree adds source-specific IPv6 routes beside plain ones (D8, D9).
func (g confGen) subtree(c *randomConf) {
	i, j := g.IntN(confLinks), g.IntN(confLinks)
	c.v6 = append(c.v6, fmt.Sprintf("route add 2001:db8:90::/48 via 2001:db8:%d::9 dev d%d", i+1, i),
		fmt.Sprintf("route add 2001:db8:90::/48 from 2001:db8:%d::/64 via 2001:db8:%d::9 dev d%d", 1+g.IntN(confLinks), j+1, j),
		fmt.Sprintf("route add default from 2001:db8:%d::/64 via 2001:db8:%d::9 dev d%d", 1+g.IntN(confLinks), j+1, j))
}

// lost deletes a plain IPv6 route, which leaves source-specific ones of the same
// prefix behind that lookups may not find (D8).
func (g confGen) lost(c *randomConf) {
	i, j := g.IntN(confLinks-1), g.IntN(confLinks-1)
	plain := fmt.Sprintf("2001:db8:a0::/48 via 2001:db8:%d::9 dev d%d metric 77", i+1, i)
	c.v6 = append(c.v6, "route add "+plain, fmt.Sprintf("route add 2001:db8:a0::/48 from 2001:db8:%d::/64 via 2001:db8:%d::9 dev d%d", 1+g.IntN(confLinks), j+1, j),
		fmt.Sprintf("route add 2001:db8:a0:1::/64 via 2001:db8:%d::9 dev d%d", j+1, j), "route del "+plain)
}
