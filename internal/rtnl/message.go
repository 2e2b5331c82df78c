package rtnl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/fibula-net/fibula/fib"
)

var ne = binary.NativeEndian

const headerLen = 16

// Header is the head of a netlink message without its length.
type Header struct {
	Type  uint16 // RTM_*, NLMSG_*
	Flags uint16 // NLM_F_*
	Seq   uint32
	Port  uint32 // nlmsg_pid
}

// Message is one netlink message; Data is what follows the head, a window into
// the buffer that was read.
type Message struct {
	Header
	Data []byte
}

// ErrSkip is wrapped by the error for a well-formed message that is no part of
// the routing state: a cached exception, an expired route, another family. It is
// counted in the report where it is news; skip it and go on.
var ErrSkip = errors.New("not part of the routing state")

// Next cuts the first message off b and returns the rest. A message that claims
// more bytes than there are is an error; rest is then nil.
func Next(b []byte) (m Message, rest []byte, err error) {
	if len(b) < headerLen {
		return m, nil, fmt.Errorf("netlink message cut short: %d bytes, its head has %d", len(b), headerLen)
	}
	n := int64(ne.Uint32(b))
	if n < headerLen || n > int64(len(b)) {
		return m, nil, fmt.Errorf("netlink message of type %d says it has %d bytes, %d are there",
			ne.Uint16(b[4:]), n, len(b))
	}
	m.Type, m.Flags = ne.Uint16(b[4:]), ne.Uint16(b[6:])
	m.Seq, m.Port = ne.Uint32(b[8:]), ne.Uint32(b[12:])
	m.Data = b[headerLen:n]
	return m, b[min(int64(len(b)), align(n)):], nil
}

// AddFlags adds to the flags of an encoded message.
func AddFlags(b []byte, flags uint16) { ne.PutUint16(b[6:], ne.Uint16(b[6:])|flags) }

// SetSeq gives an encoded message its sequence number.
func SetSeq(b []byte, seq uint32) { ne.PutUint32(b[8:], seq) }

func align[T int | int64](n T) T { return (n + 3) &^ 3 }

// nextAttr cuts the first attribute off b. The flags in its type are removed.
func nextAttr(b []byte) (typ uint16, val, rest []byte, err error) {
	if len(b) < 4 {
		return 0, nil, nil, fmt.Errorf("attribute head cut short: %d bytes", len(b))
	}
	n := int(ne.Uint16(b))
	typ = ne.Uint16(b[2:]) & nlaTypeMask
	if n < 4 || n > len(b) {
		return typ, nil, nil, fmt.Errorf("attribute %d says it has %d bytes, %d are there", typ, n, len(b))
	}
	return typ, b[4:n], b[min(len(b), align(n)):], nil
}

// lengthError names an attribute whose value has an impossible length.
func lengthError(name string, v []byte) error {
	return fmt.Errorf("%s has %d bytes", name, len(v))
}

// field reads the values of one message; the first failure stays.
type field struct{ err error }

func (f *field) fail(name string, v []byte) {
	if f.err == nil {
		f.err = lengthError(name, v)
	}
}

func (f *field) u8(name string, v []byte) uint8 {
	if len(v) < 1 {
		f.fail(name, v)
		return 0
	}
	return v[0]
}

func (f *field) u16(name string, v []byte) uint16 {
	if len(v) < 2 {
		f.fail(name, v)
		return 0
	}
	return ne.Uint16(v)
}

func (f *field) u32(name string, v []byte) uint32 {
	if len(v) < 4 {
		f.fail(name, v)
		return 0
	}
	return ne.Uint32(v)
}

// link is an interface index.
func (f *field) link(name string, v []byte) int32 { return int32(f.u32(name, v)) }

// str cuts at the first NUL.
func (f *field) str(v []byte) string {
	for i, c := range v {
		if c == 0 {
			return string(v[:i])
		}
	}
	return string(v)
}

// addr is an address of family fam.
func (f *field) addr(name string, fam fib.Family, v []byte) netip.Addr {
	if len(v) != fam.Bits()/8 || len(v) == 0 {
		f.fail(name, v)
		return netip.Addr{}
	}
	return addrOf(v)
}

func addrOf(v []byte) netip.Addr {
	if len(v) == 4 {
		return netip.AddrFrom4([4]byte(v))
	}
	return netip.AddrFrom16([16]byte(v))
}

// via is the value of RTA_VIA: a family and an address.
func (f *field) via(v []byte) netip.Addr {
	if len(v) == 2+4 && ne.Uint16(v) == uint16(fib.Inet) || len(v) == 2+16 && ne.Uint16(v) == uint16(fib.Inet6) {
		return addrOf(v[2:])
	}
	f.fail("RTA_VIA", v)
	return netip.Addr{}
}

// prefix joins an address, which may be missing, with a length from the head.
func (f *field) prefix(name string, fam fib.Family, a netip.Addr, bits uint8) netip.Prefix {
	if int(bits) > fam.Bits() {
		if f.err == nil {
			f.err = fmt.Errorf("%s has prefix length %d in family %v", name, bits, fam)
		}
		return netip.Prefix{}
	}
	if !a.IsValid() {
		a = unspecified(fam)
	}
	return netip.PrefixFrom(a, int(bits))
}

func unspecified(fam fib.Family) netip.Addr {
	if fam == fib.Inet {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// family checks that a message is about one of the two families.
func family(m *Message, b byte, rep *Report) (fib.Family, error) {
	fam := fib.Family(b)
	if fam != fib.Inet && fam != fib.Inet6 {
		rep.value(m.Type, "family", uint32(b))
		return 0, fmt.Errorf("%s of family %d: %w", messageName(m.Type), b, ErrSkip)
	}
	return fam, nil
}

// wrap names the message in an error about its contents.
func wrap(m *Message, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", messageName(m.Type), err)
}

// short is the error for a message without room for its own head.
func short(m *Message, want int) error {
	return fmt.Errorf("%s cut short: %d bytes, its head has %d", messageName(m.Type), len(m.Data), want)
}

// AppendMessage appends m as it came, to be cut off again by [Next].
func AppendMessage(b []byte, m Message) []byte {
	start := len(b)
	b = ne.AppendUint32(b, uint32(headerLen+len(m.Data)))
	b = ne.AppendUint16(b, m.Type)
	b = ne.AppendUint16(b, m.Flags)
	b = ne.AppendUint32(b, m.Seq)
	b = ne.AppendUint32(b, m.Port)
	b = append(b, m.Data...)
	for (len(b)-start)%4 != 0 {
		b = append(b, 0)
	}
	return b
}
