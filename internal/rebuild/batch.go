package rebuild

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/rules"
)

// Batch writes operations as lines for "ip -batch". A batch has no -4 and -6 of its own,
// so that the family is in the words wherever ip takes it from there.
type Batch struct {
	Links []fib.Link // to name links
	names map[int32]string
}

func (b *Batch) planner() *planner {
	if b.names == nil {
		b.names = map[int32]string{}
		for i := range b.Links {
			b.names[b.Links[i].Index] = b.Links[i].Name
		}
	}
	return &planner{names: b.names}
}

// Route is such as "route add 10.0.0.0/8 dev eth0 table 100"; verb is ip's. ok is false
// where ip has no words for the route.
func (b *Batch) Route(verb string, r *fib.Route) (line string, ok bool) {
	line = b.planner().routeWords(verb, r)
	if r.Family() == fib.Inet6 && r.Dst.Bits() == 0 {
		line = strings.Replace(line, " default", " ::/0", 1)
	}
	for i := range r.Nexthops {
		if r.Nexthops[i].Encap.Type != 0 {
			return line, false
		}
	}
	return line, true
}

// Nexthop is such as "nexthop add id 5 via 10.0.0.1 dev eth0".
func (b *Batch) Nexthop(verb string, o *fib.NexthopObject) (line string, ok bool) {
	if verb == "del" {
		return fmt.Sprintf("nexthop del id %d", o.ID), true
	}
	c := *o
	if c.Family == fib.Inet6 && !c.IsGroup() && !c.Blackhole && !c.Nexthop.Gateway.IsValid() {
		c.Nexthop.Gateway = netip.IPv6Unspecified() // none to the kernel, the family to ip
	}
	return b.planner().nexthopWords(verb, &c), o.Nexthop.Encap.Type == 0 && !(o.Blackhole && o.Family == fib.Inet6)
}

// Rule is such as "rule add pref 100 fwmark 0x1 lookup 100". In IPv6 it begins with
// "-6 ", for which ip needs a batch of its own.
func (b *Batch) Rule(verb string, r *rules.Rule) (line string, ok bool) {
	line = ruleText(verb, r)
	return line, !r.FindSaddr
}
