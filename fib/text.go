package fib

import (
	"fmt"
	"strings"
)

// String names the route as `ip route` would, in numbers where names need files.
// It is meant for messages; package iproute prints exactly what ip prints.
func (r Route) String() string {
	var b strings.Builder
	if r.Type != TypeUnicast && r.Type != TypeUnspec {
		b.WriteString(r.Type.String() + " ")
	}
	switch {
	case !r.Dst.IsValid():
		b.WriteString("(no destination)")
	case r.Dst.Bits() == 0:
		b.WriteString("default")
	default:
		b.WriteString(r.Dst.String())
	}
	if r.Src.IsValid() {
		fmt.Fprintf(&b, " from %v", r.Src)
	}
	if r.NexthopID != 0 {
		fmt.Fprintf(&b, " nhid %d", r.NexthopID)
	} else {
		for i := range r.Nexthops {
			n := &r.Nexthops[i]
			if len(r.Nexthops) > 1 {
				b.WriteString(" nexthop")
			}
			if n.Gateway.IsValid() {
				fmt.Fprintf(&b, " via %v", n.Gateway)
			}
			if n.Link != 0 {
				fmt.Fprintf(&b, " dev %d", n.Link)
			}
		}
	}
	if r.Table != TableMain {
		fmt.Fprintf(&b, " table %v", r.Table)
	}
	if r.TOS != 0 {
		fmt.Fprintf(&b, " tos %#02x", r.TOS)
	}
	if r.Priority != 0 {
		fmt.Fprintf(&b, " metric %d", r.Priority)
	}
	return b.String()
}
