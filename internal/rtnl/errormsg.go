package rtnl

import (
	"fmt"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/errno"
)

// Attributes of the extended acknowledgement.
const nlmsgerrAttrMsg = 1

// DecodeError reads an NLMSG_ERROR or NLMSG_DONE: the errno, 0 for success, and
// the kernel's remark where it made one (NETLINK_EXT_ACK). An NLMSG_ERROR without
// room for a number is EIO.
func DecodeError(m Message) (e fib.Errno, remark string) {
	b := m.Data
	if len(b) < 4 {
		if m.Type == NLMSG_ERROR {
			return errno.EIO, fmt.Sprintf("the answer is cut short: %d bytes", len(b))
		}
		return 0, ""
	}
	e = fib.Errno(-int32(ne.Uint32(b)))
	b = b[4:]
	if m.Type == NLMSG_ERROR {
		// The request follows: its head alone when capped, else all of it.
		n := headerLen
		if m.Flags&NLM_F_CAPPED == 0 && len(b) >= 4 {
			n = align(int(min(ne.Uint32(b), 1<<30)))
		}
		if m.Flags&NLM_F_ACK_TLVS == 0 || n > len(b) {
			return e, ""
		}
		b = b[n:]
	} else if m.Flags&NLM_F_ACK_TLVS == 0 {
		return e, ""
	}
	var f field
	for len(b) > 0 {
		t, v, rest, err := nextAttr(b)
		if err != nil {
			break
		}
		if b = rest; t == nlmsgerrAttrMsg {
			remark = f.str(v)
		}
	}
	return e, remark
}
