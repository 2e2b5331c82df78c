package rtnl

import (
	"encoding/hex"
	"net/netip"

	"github.com/fibula-net/fibula/fib"
)

const (
	addrHeadLen  = 8
	neighHeadLen = 12
	labelHeadLen = 12
)

// DecodeAddress reads an RTM_NEWADDR or RTM_DELADDR. Where the message has no
// IFA_LOCAL the address itself is the local one (IPv6 without a peer).
func DecodeAddress(m Message, a *fib.Address, rep *Report) error {
	*a = fib.Address{ValidLft: 1<<32 - 1, PreferredLft: 1<<32 - 1}
	b := m.Data
	if len(b) < addrHeadLen {
		return short(&m, addrHeadLen)
	}
	fam, err := family(&m, b[0], rep)
	if err != nil {
		return err
	}
	var d field
	var peer netip.Addr
	bits := b[1]
	a.Flags, a.Scope, a.Link = fib.AddrFlags(b[2]), fib.Scope(b[3]), int32(ne.Uint32(b[4:]))
	for b = b[addrHeadLen:]; len(b) > 0; {
		t, v, rest, err := nextAttr(b)
		if err != nil {
			return wrap(&m, err)
		}
		b = rest
		switch t {
		case ifaAddress:
			peer = d.addr("IFA_ADDRESS", fam, v)
		case ifaLocal:
			a.Local = d.addr("IFA_LOCAL", fam, v)
		case ifaLabel:
			a.Label = d.str(v)
		case ifaBroadcast:
			a.Broadcast = d.addr("IFA_BROADCAST", fam, v)
		case ifaFlags:
			a.Flags = fib.AddrFlags(d.u32("IFA_FLAGS", v))
		case ifaRTPriority:
			a.Metric = d.u32("IFA_RT_PRIORITY", v)
		case ifaProto:
			a.Protocol = d.u8("IFA_PROTO", v)
		case ifaCacheInfo:
			if len(v) < 16 {
				d.fail("IFA_CACHEINFO", v)
				break
			}
			a.PreferredLft, a.ValidLft, a.Created = ne.Uint32(v), ne.Uint32(v[4:]), ne.Uint32(v[8:])
		default:
			rep.attr(m.Type, &ifaSpace, t)
		}
	}
	if !a.Local.IsValid() {
		a.Local = peer
	}
	if !peer.IsValid() {
		peer = a.Local
	}
	if !peer.IsValid() {
		d.fail("neither IFA_LOCAL nor IFA_ADDRESS is there: the address", nil)
	}
	a.Prefix = d.prefix("IFA_ADDRESS", fam, peer, bits)
	known := fib.AddrSecondary | fib.AddrNoDAD | fib.AddrOptimistic | fib.AddrDADFailed | fib.AddrHome | fib.AddrDeprecated |
		fib.AddrTentative | fib.AddrPermanent | fib.AddrManageTemp | fib.AddrNoPrefixRoute | addrFlagsIrrelevant
	rep.flags(m.Type, "ifa_flags", uint32(a.Flags&^known))
	return wrap(&m, d.err)
}

// DecodeNeighbour reads an RTM_NEWNEIGH or RTM_DELNEIGH of IPv4 or IPv6. Proxy
// entries wrap [ErrSkip].
func DecodeNeighbour(m Message, n *fib.Neighbour, rep *Report) error {
	*n = fib.Neighbour{}
	b := m.Data
	if len(b) < neighHeadLen {
		return short(&m, neighHeadLen)
	}
	fam, err := family(&m, b[0], rep)
	if err != nil {
		return err
	}
	if b[10]&ntfProxy != 0 {
		return wrap(&m, ErrSkip)
	}
	var d field
	n.Link, n.State = int32(ne.Uint32(b[4:])), fib.NeighState(ne.Uint16(b[8:]))
	for b = b[neighHeadLen:]; len(b) > 0; {
		t, v, rest, err := nextAttr(b)
		if err != nil {
			return wrap(&m, err)
		}
		b = rest
		switch t {
		case ndaDst:
			n.Addr = d.addr("NDA_DST", fam, v)
		case ndaLLAddr:
			n.LLAddr = colons(v)
		case 3, 4, 12, 15: // NDA_CACHEINFO, NDA_PROBES, NDA_PROTOCOL, NDA_FLAGS_EXT: clocks and origins
		default:
			rep.attr(m.Type, &ndaSpace, t)
		}
	}
	if !n.Addr.IsValid() {
		d.fail("NDA_DST", nil)
	}
	return wrap(&m, d.err)
}

// colons writes a link-layer address as 02:00:00:00:00:01.
func colons(v []byte) string {
	if len(v) == 0 {
		return ""
	}
	out := make([]byte, 0, 3*len(v))
	for i := range v {
		if i > 0 {
			out = append(out, ':')
		}
		out = hex.AppendEncode(out, v[i:i+1])
	}
	return string(out)
}

// DecodeAddrLabel reads an RTM_NEWADDRLABEL or RTM_DELADDRLABEL (D42).
func DecodeAddrLabel(m Message, l *fib.AddrLabel, rep *Report) error {
	*l = fib.AddrLabel{}
	b := m.Data
	if len(b) < labelHeadLen {
		return short(&m, labelHeadLen)
	}
	fam, err := family(&m, b[0], rep)
	if err != nil {
		return err
	}
	var d field
	var addr netip.Addr
	bits := b[2]
	l.Link = int32(ne.Uint32(b[4:]))
	for b = b[labelHeadLen:]; len(b) > 0; {
		t, v, rest, err := nextAttr(b)
		if err != nil {
			return wrap(&m, err)
		}
		b = rest
		switch t {
		case ifalAddress:
			addr = d.addr("IFAL_ADDRESS", fam, v)
		case ifalLabel:
			l.Label = d.u32("IFAL_LABEL", v)
		default:
			rep.attr(m.Type, &ifalSpace, t)
		}
	}
	l.Prefix = d.prefix("IFAL_ADDRESS", fam, addr, bits).Masked()
	return wrap(&m, d.err)
}
