package rulesets

import (
	"fmt"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/rules"
)

// Set is one policy.
type Set struct {
	Name   string
	About  string       // for people
	Rules  []rules.Rule // of both families, beside those that every host has
	Routes []fib.Route  // of tables other than main
	Links  []fib.Link   // beside those of the router

	// Flows are templates without destination, a power of two for each family: query i
	// of a stream travels as template i modulo their number.
	Flows map[fib.Family][]fib.Flow
	// Bare is set where every flow is answered by the table main, as if there were no
	// rules: answers must be those of longest-prefix match alone.
	Bare bool
}

// Names are the sets in the order of reports; those with a number take any.
var Names = []string{"none", "miss-10", "miss-100", "miss-1000", "miss-10000", "wg-quick", "multi-uplink", "tailscale",
	"cni-100", "cni-1000", "cni-10000", "cni-100000"}

// Named makes a set by its name.
func Named(name string) (*Set, error) {
	kind, number, numbered := strings.Cut(name, "-")
	n, err := strconv.Atoi(number)
	if numbered && err == nil && n >= 1 && n <= mostRules {
		switch kind {
		case "miss":
			return miss(n), nil
		case "cni":
			return cni(n), nil
		}
	}
	for _, s := range []*Set{none(), wgQuick(), multiUplink(), tailscale()} {
		if s.Name == name {
			return s, nil
		}
	}
	return nil, fmt.Errorf("rule set %q: use none, wg-quick, multi-uplink, tailscale, miss-N or cni-N (N rules or pods, at most %d)", name, mostRules)
}

const mostRules = 1 << 20

// both adds r for each family, from and to being left to the caller.
func (s *Set) both(r rules.Rule) {
	for _, f := range families {
		r.Family = f
		s.Rules = append(s.Rules, r)
	}
}

// towards adds a default route of both families through a link.
func (s *Set) towards(table fib.TableID, link int32) {
	for _, dst := range []string{"0.0.0.0/0", "::/0"} {
		s.Routes = append(s.Routes, fib.Route{Table: table, Dst: netip.MustParsePrefix(dst), Type: fib.TypeUnicast,
			Scope: fib.ScopeLink, Priority: metric(dst), Nexthops: []fib.Nexthop{{Link: link, Weight: 1}}})
	}
}

func metric(dst string) uint32 {
	if strings.Contains(dst, ":") {
		return 1024
	}
	return 0
}

// same gives both families the same templates.
func (s *Set) same(flows ...fib.Flow) {
	if bits.OnesCount(uint(len(flows))) != 1 {
		panic(fmt.Sprintf("rule set %s: %d templates", s.Name, len(flows)))
	}
	s.Flows = map[fib.Family][]fib.Flow{fib.Inet: flows, fib.Inet6: flows}
}

var families = []fib.Family{fib.Inet, fib.Inet6}

// Count is the number of rules of one family.
func (s *Set) Count(f fib.Family) int {
	n := 0
	for i := range s.Rules {
		if s.Rules[i].Family == f {
			n++
		}
	}
	return n
}
