package iproute

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/fibula-net/fibula/fib"
)

// Links finds links by name and by index. *fib.Snapshot is one.
type Links interface {
	LinkByName(name string) (fib.Link, bool)
	Link(index int32) (fib.Link, bool)
}

var _ Links = (*fib.Snapshot)(nil)

// String gives the query back as words that ParseGet reads as q, if the
// environment has the same user and the built-in names.
func (q Query) String() string {
	var b strings.Builder
	flag := func(set bool, word string) {
		if set {
			b.WriteString(word + " ")
		}
	}
	flag(q.FibMatch, "fibmatch")
	flag(q.Connected, "connected")
	flag(q.Notify, "notify")
	b.WriteString(q.Dst.String())
	if q.Cut >= 0 {
		fmt.Fprintf(&b, "/%d", q.Cut)
	}
	word := func(set bool, key, value string) {
		if set {
			b.WriteString(" " + key + " " + value)
		}
	}
	number := func(key string, v uint32) { word(v != 0, key, strconv.FormatUint(uint64(v), 10)) }
	if q.From.IsValid() {
		if q.From.IsSingleIP() {
			word(true, "from", q.From.Addr().String())
		} else {
			word(true, "from", q.From.String())
		}
	}
	word(q.As.IsValid(), "as", q.As.String())
	word(q.Iif != "", "iif", QuoteWord(q.Iif))
	word(q.Oif != "", "oif", QuoteWord(q.Oif))
	word(q.Vrf != "", "vrf", QuoteWord(q.Vrf))
	word(q.TOS != 0, "tos", fmt.Sprintf("%#x", q.TOS))
	word(q.Mark != 0, "mark", fmt.Sprintf("%#x", q.Mark))
	word(q.HasUID, "uid", strconv.FormatUint(uint64(q.UID), 10))
	word(q.HasIPProto, "ipproto", strconv.Itoa(int(q.IPProto)))
	number("sport", uint32(q.Sport))
	number("dport", uint32(q.Dport))
	number("flowlabel", q.FlowLabel)
	return b.String()
}

// Warning is what ip warns of, empty for most queries.
func (q *Query) Warning() string {
	if q.Cut < 0 {
		return ""
	}
	return fmt.Sprintf("Warning: /%d as prefix is invalid, only /%d (or none) is supported.", q.Cut, q.Family.Bits())
}

// Flow resolves the names of links and returns the flow that is asked for. It
// finds what ip finds (no such device, no VRF) and then what the kernel refuses
// before it looks up anything (0.5); a *UsageError tells which word. A name that
// no link has, of the form "if7", stands for the index, as in ip.
func (q *Query) Flow(links Links) (fib.Flow, error) {
	f := fib.Flow{Dst: q.Dst, Mark: q.Mark, TOS: q.TOS, UID: q.CallerUID, Sport: q.Sport, Dport: q.Dport, FlowLabel: q.FlowLabel}
	if q.HasUID {
		f.UID, f.UIDSet = q.UID, true
	}
	if q.HasIPProto {
		f.IPProto = q.IPProto
	}
	var err error
	if q.Vrf != "" {
		l, ok := links.LinkByName(q.Vrf)
		if !ok || l.Kind != "vrf" {
			return fib.Flow{}, badValue("vrf", q.Vrf, "the name of a VRF link")
		}
		f.Oif = l.Index
	}
	if q.Iif != "" {
		if f.Iif, err = linkIndex(links, q.Iif); err != nil {
			return fib.Flow{}, err
		}
	}
	if q.Oif != "" {
		if f.Oif, err = linkIndex(links, q.Oif); err != nil {
			return fib.Flow{}, err
		}
	}
	if q.From.IsValid() {
		if !q.From.IsSingleIP() {
			return fib.Flow{}, refused(fib.EINVAL, q.From.String(), "from "+q.From.String()+": a source is one address, without a length")
		}
		f.Src = q.From.Addr()
	}
	if q.As.IsValid() {
		return fib.Flow{}, refused(fib.EINVAL, "as", "as "+q.As.String()+": not for inet and inet6 lookups")
	}
	if q.Notify && q.Family == fib.Inet6 {
		return fib.Flow{}, refused(fib.EINVAL, "notify", "notify is for inet lookups only")
	}
	if q.FlowLabel != 0 && q.Family == fib.Inet {
		return fib.Flow{}, refused(fib.EINVAL, "flowlabel", "flowlabel is for inet6 lookups only")
	}
	if q.FlowLabel > 0xfffff {
		return fib.Flow{}, refused(fib.EINVAL, "flowlabel", "flowlabel has 20 bits")
	}
	if q.HasIPProto && !ipProtoAsked(q.Family, q.IPProto) {
		return fib.Flow{}, refused(fib.EOPNOTSUPP, "ipproto", "ipproto "+strconv.Itoa(int(q.IPProto))+
			": the kernel looks up tcp, udp, and icmp (inet) or ipv6-icmp (inet6) only")
	}
	return f, nil
}

// ipProtoAsked: the protocols that RTA_IP_PROTO takes (0.5).
func ipProtoAsked(f fib.Family, proto uint8) bool {
	return proto == 6 || proto == 17 || proto == 1 && f == fib.Inet || proto == 58 && f == fib.Inet6
}

func linkIndex(links Links, name string) (int32, error) {
	if l, ok := links.LinkByName(name); ok {
		return l.Index, nil
	}
	if digits, ok := strings.CutPrefix(name, "if"); ok {
		if v, err := strconv.ParseUint(digits, 10, 31); err == nil && v > 0 {
			return int32(v), nil
		}
	}
	return 0, &UsageError{Exit: ExitInput, Errno: fib.ENODEV, Word: name, Msg: `Cannot find device "` + clip(name) + `"`}
}

// linkText is linkName as text.
func linkText(links Links, index int32) string { return printable(linkName(links, index)) }

// linkName is ip's name for a link: "*" for none, "if7" for one that is gone.
func linkName(links Links, index int32) string {
	if index == 0 {
		return "*"
	}
	if links != nil {
		if l, ok := links.Link(index); ok {
			return l.Name
		}
	}
	return "if" + strconv.Itoa(int(index))
}

// hostPrefix is the prefix of one address.
func hostPrefix(a netip.Addr) netip.Prefix {
	if !a.IsValid() {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(a, a.BitLen())
}
