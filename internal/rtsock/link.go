package rtsock

import (
	"bytes"
	"net/netip"

	"github.com/fibula-net/fibula/fib"
)

// Link reads an RTM_IFINFO. It has no name where a change is announced; only dumps tell
// it. Settings are not in the message.
//
// RUNNING of FreeBSD says that a driver is ready; the state of the line is apart.
// Together they are RUNNING and LOWER_UP of rtnetlink.
func (d *Decoder) Link(m Message, l *fib.Link) error {
	*l = fib.Link{}
	if err := m.need(linkLen); err != nil {
		return err
	}
	b := m.data
	if n := le.Uint16(b[16+6:]); n != ifDataLen {
		return m.errorf("if_data of %d bytes; FreeBSD 11 and newer have %d", n, ifDataLen)
	}
	s, err := d.sockaddrs(m, linkLen, le.Uint32(b[4:]))
	if err != nil {
		return err
	}
	l.Index = m.Link()
	if l.Index == 0 {
		return m.errorf("the link has no index")
	}
	flags := le.Uint32(b[8:])
	l.Flags = linkFlags(flags)
	if flags&iffRunning != 0 && b[16+4] != linkStateDown {
		l.Flags |= fib.LinkRunning | fib.LinkLowerUp
	}
	d.flags(m, "ifm_flags", flags&^iffKnown)
	l.MTU = le.Uint32(b[16+8:])
	if metric := le.Uint32(b[16+12:]); metric != 0 {
		d.value(m, "ifi_metric", metric)
	}
	if s[rtaxIfp] != nil {
		if _, l.Name, err = m.sdl(rtaxIfp, s[rtaxIfp]); err != nil {
			return err
		}
	}
	d.unknown(m, &s, rtaxDst, rtaxGateway, rtaxNetmask, rtaxGenmask, rtaxIfa, rtaxAuthor, rtaxBrd)
	return nil
}

func linkFlags(f uint32) (out fib.LinkFlags) {
	for _, x := range [...]struct {
		theirs uint32
		ours   fib.LinkFlags
	}{{iffUp, fib.LinkUp}, {iffBroadcast, fib.LinkBroadcast}, {iffLoopback, fib.LinkLoopback}, {iffPointToPoint, fib.LinkPointo},
		{iffNoARP, fib.LinkNoARP}, {iffMulticast, fib.LinkMulticast}} {
		if f&x.theirs != 0 {
			out |= x.ours
		}
	}
	return out
}

// Address reads an RTM_NEWADDR or RTM_DELADDR. The flags of its link, which
// [Message.Link] names, tell whether RTA_BRD is a broadcast address or a peer. Lifetimes
// and the state of IPv6 addresses are not in the message. Addresses of other families
// wrap [ErrSkip].
func (d *Decoder) Address(m Message, on fib.LinkFlags, a *fib.Address) error {
	*a = fib.Address{Flags: fib.AddrPermanent, ValidLft: 1<<32 - 1, PreferredLft: 1<<32 - 1}
	if err := m.need(addressLen); err != nil {
		return err
	}
	b := m.data
	s, err := d.sockaddrs(m, addressLen, le.Uint32(b[4:]))
	if err != nil {
		return err
	}
	if fam := family(s[rtaxIfa]); fam != afInet && fam != afInet6 {
		return m.skip("address of family %d", fam)
	}
	if a.Local, _, err = m.inet(rtaxIfa, s[rtaxIfa]); err != nil {
		return err
	}
	if a.Link = m.Link(); a.Link == 0 {
		return m.errorf("the address %v has no link", a.Local)
	}
	bits := a.Local.BitLen()
	if s[rtaxNetmask] != nil {
		var ok bool
		if bits, ok = mask(familyOf(a.Local), s[rtaxNetmask]); !ok {
			d.value(m, "netmask with holes", 0)
			return m.skip("the netmask of %v has holes", a.Local)
		}
	}
	a.Prefix = netip.PrefixFrom(a.Local, bits)
	if err := d.other(m, on, &s, a); err != nil {
		return err
	}
	a.Scope = addressScope(a.Local)
	d.flags(m, "ifam_flags", le.Uint32(b[8:])&^ifaKnown)
	if metric := le.Uint32(b[16:]); metric != 0 {
		d.value(m, "ifam_metric", metric)
	}
	d.unknown(m, &s, rtaxDst, rtaxGateway, rtaxGenmask, rtaxAuthor)
	return nil
}

// other reads the broadcast address or the peer.
func (d *Decoder) other(m Message, on fib.LinkFlags, s *sockaddrs, a *fib.Address) error {
	if fam := family(s[rtaxBrd]); fam != afInet && fam != afInet6 {
		return nil // none, or an empty one
	}
	x, _, err := m.inet(rtaxBrd, s[rtaxBrd])
	switch {
	case err != nil:
		return err
	case x.Is4() != a.Local.Is4():
		return m.errorf("RTA_BRD %v and RTA_IFA %v are of different families", x, a.Local)
	case on&fib.LinkPointo != 0 && !x.IsUnspecified():
		a.Prefix = netip.PrefixFrom(x, a.Prefix.Bits())
	case on&fib.LinkBroadcast != 0 && x.Is4():
		a.Broadcast = x
	}
	return nil
}

func familyOf(a netip.Addr) fib.Family {
	if a.Is4() {
		return fib.Inet
	}
	return fib.Inet6
}

// addressScope is the scope that Linux gives to an address by itself.
func addressScope(a netip.Addr) fib.Scope {
	switch {
	case a.IsLoopback():
		return fib.ScopeHost
	case a.IsLinkLocalUnicast() && a.Is6():
		return fib.ScopeLink
	}
	return fib.ScopeUniverse
}

// Announcement reads an RTM_IFANNOUNCE: a link came or went. A link that is renamed goes
// and comes.
func Announcement(m Message) (l fib.Link, gone bool, err error) {
	if err := m.need(announceLen); err != nil {
		return l, false, err
	}
	name, _, _ := bytes.Cut(m.data[6:22], []byte{0})
	l.Index, l.Name = m.Link(), string(name)
	switch what := le.Uint16(m.data[22:]); {
	case l.Index == 0 || l.Name == "":
		return l, false, m.errorf("the link has no index or no name")
	case what > 1:
		return l, false, m.errorf("link %s neither came nor went: what is %d", l.Name, what)
	default:
		return l, what == 1, nil
	}
}

// Links reads an answer to NET_RT_IFLIST: the links in order of creation, and their
// addresses. Both are appended to st.
func (d *Decoder) Links(b []byte, st *fib.State) error {
	on := map[int32]fib.LinkFlags{}
	for len(b) > 0 {
		m, rest, err := Next(b)
		if err != nil {
			return err
		}
		b = rest
		var l fib.Link
		var a fib.Address
		switch m.Type {
		case RTM_IFINFO:
			if err = d.Link(m, &l); err == nil {
				if l.Name == "" {
					return m.errorf("link %d has no name", l.Index)
				}
				st.Links = append(st.Links, l)
				on[l.Index] = l.Flags
			}
		case RTM_NEWADDR:
			if err = d.Address(m, on[m.Link()], &a); err == nil {
				st.Addresses = append(st.Addresses, a)
			}
		default:
			d.value(m, "type in a list of links", uint32(m.Type))
		}
		if err != nil && !isSkip(err) {
			return err
		}
	}
	return nil
}
