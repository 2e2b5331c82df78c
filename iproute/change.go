package iproute

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/rules"
)

// AppendLink appends a link as "ip link" begins its first line, or with JSON as an object
// with the keys of a state file.
func (p *Printer) AppendLink(b []byte, l *fib.Link) []byte {
	if p.JSON {
		return p.object1(b, func(w *jsonWriter) { w.link(l, &fib.Sysctls{}, p.devs(l.Master)) })
	}
	b = fmt.Appendf(b, "%d: %s: <%s> mtu %d", l.Index, printable(l.Name), strings.Join(linkWords(l.Flags), ","), l.MTU)
	if l.Master != 0 {
		b = append(append(b, " master "...), linkText(p.Links, l.Master)...)
	}
	if l.Kind != "" {
		b = append(append(b, " kind "...), printable(l.Kind)...)
	}
	return append(b, '\n')
}

// linkWords are the names of a link's flags.
func linkWords(f fib.LinkFlags) (out []string) {
	for _, b := range linkFlags {
		if uint32(f)&b.value != 0 {
			out = append(out, b.name)
		}
	}
	return out
}

// AppendAddress appends an address as "ip -o address" does, or with JSON as an object with
// the keys of a state file.
func (p *Printer) AppendAddress(b []byte, a *fib.Address) []byte {
	if p.JSON {
		return p.object1(b, func(w *jsonWriter) { w.linkAddress(a, p.devs(a.Link)) })
	}
	b = fmt.Appendf(b, "%d: %s    %v ", a.Link, linkText(p.Links, a.Link), addrFamily(a.Local))
	switch {
	case a.Prefix.Addr() == a.Local || !a.Prefix.IsValid():
		b = fmt.Appendf(b, "%v/%d", a.Local, a.Prefix.Bits())
	default:
		b = fmt.Appendf(b, "%v peer %v", a.Local, a.Prefix)
	}
	if a.Broadcast.IsValid() {
		b = fmt.Appendf(b, " brd %v", a.Broadcast)
	}
	b = fmt.Appendf(b, " scope %s", p.Names.get().ScopeName(uint8(a.Scope)))
	if a.Label != "" {
		b = append(append(b, ' '), printable(a.Label)...)
	}
	return append(b, '\n')
}

// AppendNexthop appends a nexthop object as "ip nexthop" does, or with JSON as an object with
// the keys of a state file.
func (p *Printer) AppendNexthop(b []byte, o *fib.NexthopObject) []byte {
	if p.JSON {
		return p.object1(b, func(w *jsonWriter) { w.nexthop(o, p.devs(o.Nexthop.Link)) })
	}
	n := p.Names.get()
	b = fmt.Appendf(b, "id %d", o.ID)
	switch {
	case o.IsGroup():
		sep := " group "
		for _, m := range o.Group {
			b = fmt.Appendf(b, "%s%d", sep, m.ID)
			if m.Weight > 1 {
				b = fmt.Appendf(b, ",%d", m.Weight)
			}
			sep = "/"
		}
		if o.Resilient {
			b = append(b, " type resilient"...)
		}
	case o.Blackhole:
		b = append(b, " blackhole"...)
	default:
		if o.Nexthop.Gateway.IsValid() {
			b = fmt.Appendf(b, " via %v", o.Nexthop.Gateway)
		}
		b = append(append(b, " dev "...), linkText(p.Links, o.Nexthop.Link)...)
		b = fmt.Appendf(b, " scope %s", n.ScopeName(uint8(o.Scope)))
	}
	if o.Protocol != fib.ProtoUnspec {
		b = fmt.Appendf(b, " proto %s", n.ProtocolName(uint8(o.Protocol)))
	}
	return append(b, '\n')
}

// AppendRule appends a rule as "ip rule" does, or with JSON as an object with the keys of a
// state file.
func (p *Printer) AppendRule(b []byte, r *rules.Rule) []byte {
	if p.JSON {
		return p.object1(b, func(w *jsonWriter) { w.rule(r) })
	}
	return append(p.Names.AppendRule(fmt.Appendf(b, "%d:\t", r.Priority), r, false, false, false), '\n')
}

// object1 appends what write writes.
func (p *Printer) object1(b []byte, write func(*jsonWriter)) []byte {
	w := &jsonWriter{}
	write(w)
	return append(b, w.b...)
}

// devs names some links.
func (p *Printer) devs(links ...int32) devNames {
	names := devNames{}
	for _, i := range links {
		if p.Links == nil || i == 0 {
			continue
		}
		if l, ok := p.Links.Link(i); ok {
			names[i] = l.Name
		}
	}
	return names
}

// QueryOf is the query that asks for a flow: ParseGet reads its String.
func QueryOf(f fib.Flow, links Links) Query {
	q := Query{Family: f.Family(), Dst: f.Dst, Cut: -1, TOS: f.TOS, Mark: f.Mark, UID: f.UID, HasUID: f.UIDSet, IPProto: f.IPProto,
		HasIPProto: f.IPProto != 0, Sport: f.Sport, Dport: f.Dport, FlowLabel: f.FlowLabel}
	if f.Src.IsValid() {
		q.From = netip.PrefixFrom(f.Src, f.Src.BitLen())
	}
	if f.Iif != 0 {
		q.Iif = linkName(links, f.Iif)
	}
	if f.Oif != 0 {
		q.Oif = linkName(links, f.Oif)
	}
	return q
}
