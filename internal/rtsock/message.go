package rtsock

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtnl"
)

var le = binary.LittleEndian

// ErrSkip is wrapped by the error for a well-formed message that is no part of the
// routing state: a neighbour, another family, a refused request. It is counted in the
// report where it is news; skip it and go on.
var ErrSkip = rtnl.ErrSkip

// Message is one message, head included: a window into the buffer that was read.
type Message struct {
	Type uint8 // RTM_*
	data []byte
}

// Next cuts the first message off b and returns the rest. A message that claims more
// bytes than there are, or another version, is an error; rest is then nil.
func Next(b []byte) (m Message, rest []byte, err error) {
	if len(b) < headLen {
		return m, nil, fmt.Errorf("routing message cut short: %d bytes, its head has %d", len(b), headLen)
	}
	n := int(le.Uint16(b))
	m.Type = b[3]
	if b[2] != version {
		return m, nil, fmt.Errorf("%s is of version %d; only %d is known", MessageName(m.Type), b[2], version)
	}
	if n < headLen || n > len(b) {
		return m, nil, fmt.Errorf("%s says it has %d bytes, %d are there", MessageName(m.Type), n, len(b))
	}
	m.data = b[:n]
	return m, b[n:], nil
}

// Reply reports whether the message is the answer to the request that process pid made
// with number seq.
func (m Message) Reply(pid int, seq uint32) bool {
	return m.Type <= RTM_RESOLVE && len(m.data) >= routeLen && le.Uint32(m.data[16:]) == uint32(pid) && le.Uint32(m.data[20:]) == seq
}

// Link is the index of the link that the message is about; 0: none.
func (m Message) Link() int32 {
	at := 4
	switch m.Type {
	case RTM_NEWADDR, RTM_DELADDR, RTM_IFINFO, RTM_NEWMADDR, RTM_DELMADDR:
		at = 12
	}
	if len(m.data) < at+2 {
		return 0
	}
	return int32(le.Uint16(m.data[at:]))
}

// need checks that the message has room for its own head.
func (m Message) need(n int) error {
	if len(m.data) < n {
		return m.errorf("cut short: %d bytes, its head has %d", len(m.data), n)
	}
	return nil
}

func (m Message) errorf(format string, args ...any) error {
	return fmt.Errorf("%s: "+format, append([]any{MessageName(m.Type)}, args...)...)
}

// sockaddrs are those of one message, each as long as it says; nil: not there.
type sockaddrs [rtaxMax][]byte

// sockaddrs reads what follows the head: a sockaddr for each bit of which.
func (d *Decoder) sockaddrs(m Message, head int, which uint32) (s sockaddrs, err error) {
	b := m.data[head:]
	for i := range s {
		if which&(1<<i) == 0 {
			continue
		}
		if len(b) == 0 {
			return s, m.errorf("%s is announced, but not there", sockaddrNames[i])
		}
		n := int(b[0])
		if n > len(b) {
			return s, m.errorf("%s says it has %d bytes, %d are there", sockaddrNames[i], n, len(b))
		}
		s[i] = b[:n:n]
		b = b[min(len(b), max(8, (n+7)&^7)):]
	}
	for i := rtaxMax; i < 32; i++ { // behind all others, so that they stand in no one's way
		if which&(1<<i) != 0 {
			d.attr(m, fmt.Sprintf("RTA_%#x", uint32(1)<<i), uint32(i))
		}
	}
	return s, nil
}

// unknown are the sockaddrs that have no meaning in a message.
func (d *Decoder) unknown(m Message, s *sockaddrs, which ...int) {
	for _, i := range which {
		if s[i] != nil {
			d.attr(m, sockaddrNames[i], uint32(i))
		}
	}
}

// family is the second byte of a sockaddr; 0 where it is too short.
func family(sa []byte) uint8 {
	if len(sa) < 2 {
		return 0
	}
	return sa[1]
}

// inet reads a sockaddr_in or sockaddr_in6. zone is the index of the link of a
// link-local address, which is taken out of the address.
func (m Message) inet(i int, sa []byte) (a netip.Addr, zone int32, err error) {
	switch fam := family(sa); {
	case fam == afInet && len(sa) >= 8:
		return netip.AddrFrom4([4]byte(sa[4:8])), 0, nil
	case fam == afInet6 && len(sa) >= 24:
		b := [16]byte(sa[8:24])
		if len(sa) >= 28 {
			zone = int32(le.Uint32(sa[24:]))
		}
		if scoped(b) && (b[2] != 0 || b[3] != 0) {
			zone, b[2], b[3] = int32(b[2])<<8|int32(b[3]), 0, 0
		}
		return netip.AddrFrom16(b), zone, nil
	case fam == afInet || fam == afInet6:
		return a, 0, m.errorf("%s of family %d has %d bytes", sockaddrNames[i], fam, len(sa))
	default:
		return a, 0, m.errorf("%s is of family %d, which is neither inet nor inet6", sockaddrNames[i], fam)
	}
}

// scoped reports whether the kernel embeds the link into such an address: link-local
// unicast, and multicast of scope interface or link.
func scoped(a [16]byte) bool {
	return a[0] == 0xfe && a[1]&0xc0 == 0x80 || a[0] == 0xff && (a[1]&0xf == 1 || a[1]&0xf == 2)
}

// mask is the length of a netmask. Its family and what lies behind its end mean
// nothing. ok is false where its ones are not all in front.
func mask(fam fib.Family, sa []byte) (bits int, ok bool) {
	var m [16]byte
	from, n := 4, 4
	if fam == fib.Inet6 {
		from, n = 8, 16
	}
	if len(sa) > from {
		copy(m[:n], sa[from:])
	}
	for bits < 8*n && m[bits/8]&(0x80>>(bits%8)) != 0 {
		bits++
	}
	for i := bits; i < 8*n; i++ {
		if m[i/8]&(0x80>>(i%8)) != 0 {
			return 0, false
		}
	}
	return bits, true
}

// sdl reads a sockaddr_dl: the index and name of a link.
func (m Message) sdl(i int, sa []byte) (link int32, name string, err error) {
	if len(sa) < 8 {
		return 0, "", m.errorf("%s of family link has %d bytes", sockaddrNames[i], len(sa))
	}
	n := int(sa[5])
	if 8+n > len(sa) {
		return 0, "", m.errorf("%s has %d bytes, its name alone has %d", sockaddrNames[i], len(sa), n)
	}
	return int32(le.Uint16(sa[2:])), string(sa[8 : 8+n]), nil
}

// Decoder says what messages do not. The zero value is of FIB 0 without a report.
type Decoder struct {
	FIB    uint16
	Now    int64        // seconds since 1970, from which lifetimes count
	Report *rtnl.Report // gets what is not modelled; nil: nobody wants to know
}

func (d *Decoder) attr(m Message, name string, num uint32) {
	d.Report.Met(rtnl.Unknown{Message: MessageName(m.Type), Kind: rtnl.KindAttribute, Name: name, Number: num})
}

func (d *Decoder) value(m Message, what string, v uint32) {
	d.Report.Met(rtnl.Unknown{Message: MessageName(m.Type), Kind: rtnl.KindValue, Name: what, Number: v})
}

func (d *Decoder) flags(m Message, what string, left uint32) {
	for bit := uint32(1); left != 0; bit <<= 1 {
		if left&bit != 0 {
			d.Report.Met(rtnl.Unknown{Message: MessageName(m.Type), Kind: rtnl.KindFlag, Name: what, Number: bit})
			left &^= bit
		}
	}
}

// skip is the error for what is no part of the routing state.
func (m Message) skip(format string, args ...any) error {
	return fmt.Errorf("%w: %w", m.errorf(format, args...), ErrSkip)
}

func isSkip(err error) bool { return errors.Is(err, ErrSkip) }
