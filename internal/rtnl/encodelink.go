package rtnl

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/fibula-net/fibula/fib"
)

// LinkRequest is what RTM_NEWLINK asks for: a new link, or a change of one. The
// zero value of a field asks for nothing.
type LinkRequest struct {
	Index    int32
	Name     string
	Kind     string // of a new link: veth, dummy, vrf …
	VRFTable fib.TableID
	MTU      uint32
	Group    uint32
	Master   int32
	SetFlags fib.LinkFlags // which flags to set to those of Flags
	Flags    fib.LinkFlags

	// Of a new veth: its other end's name, and the file that holds the other
	// end's namespace (0: the same one).
	Peer      string
	PeerNetNS uintptr
}

// maxLinkName is IFNAMSIZ without its NUL.
const maxLinkName = 15

// AppendLink appends l as an RTM_NEWLINK.
func AppendLink(b []byte, h Header, l *LinkRequest) ([]byte, error) {
	if len(l.Name) > maxLinkName || len(l.Peer) > maxLinkName {
		return b, fmt.Errorf("link %q, peer %q: a name has at most %d bytes", l.Name, l.Peer, maxLinkName)
	}
	if l.Peer != "" && l.Kind != "veth" {
		return b, errors.New("link " + l.Name + ": only a veth has a peer")
	}
	e := begin(b, h)
	e.linkHead(l.Index, l.Flags, l.SetFlags)
	if l.Name != "" {
		e.str(iflaIfName, l.Name)
	}
	if l.MTU != 0 {
		e.u32(iflaMTU, l.MTU)
	}
	if l.Group != 0 {
		e.u32(iflaGroup, l.Group)
	}
	if l.Master != 0 {
		e.u32(iflaMaster, uint32(l.Master))
	}
	if l.Kind != "" {
		info := e.nest(iflaLinkInfo)
		e.str(iflaInfoKind, l.Kind)
		data := e.nest(iflaInfoData)
		switch {
		case l.VRFTable != 0:
			e.u32(iflaVRFTable, uint32(l.VRFTable))
		case l.Peer != "":
			peer := e.nest(vethInfoPeer)
			e.linkHead(0, 0, 0)
			e.str(iflaIfName, l.Peer)
			if l.PeerNetNS != 0 {
				e.u32(iflaNetNSFD, uint32(l.PeerNetNS))
			}
			e.close(peer)
		}
		e.close(data)
		e.close(info)
	}
	return e.end()
}

func (e *encoder) linkHead(index int32, flags, change fib.LinkFlags) {
	e.bytes(0, 0, 0, 0)
	e.num32(uint32(index))
	e.num32(uint32(flags))
	e.num32(uint32(change))
}

// AppendAddress appends a as an RTM_NEWADDR or RTM_DELADDR. Of the flags, only
// those that can be asked for are sent.
func AppendAddress(b []byte, h Header, a *fib.Address) ([]byte, error) {
	e := begin(b, h)
	fam := fib.Inet6
	if a.Local.Is4() {
		fam = fib.Inet
	}
	flags := uint32(a.Flags & (fib.AddrNoDAD | fib.AddrHome | fib.AddrManageTemp | fib.AddrNoPrefixRoute | fib.AddrOptimistic))
	e.bytes(byte(fam), byte(max(0, a.Prefix.Bits())), byte(flags), byte(a.Scope))
	e.num32(uint32(a.Link))
	e.addr(ifaLocal, a.Local)
	if p := a.Prefix.Addr(); p.IsValid() {
		e.addr(ifaAddress, p)
	}
	e.addr(ifaBroadcast, a.Broadcast)
	if a.Label != "" {
		e.str(ifaLabel, a.Label)
	}
	if flags != 0 {
		e.u32(ifaFlags, flags)
	}
	if a.Metric != 0 {
		e.u32(ifaRTPriority, a.Metric)
	}
	if a.Protocol != 0 {
		e.u8(ifaProto, a.Protocol)
	}
	const forever = 1<<32 - 1
	if h.Type == RTM_NEWADDR && a.ValidLft != 0 && (a.ValidLft != forever || a.PreferredLft != forever) {
		e.raw(ifaCacheInfo, ne.AppendUint64(ne.AppendUint32(ne.AppendUint32(nil, a.PreferredLft), a.ValidLft), 0))
	}
	b, err := e.end()
	if err != nil {
		return b, fmt.Errorf("address %v: %w", a.Local, err)
	}
	return b, nil
}

// AppendNeighbour appends n as an RTM_NEWNEIGH or RTM_DELNEIGH.
func AppendNeighbour(b []byte, h Header, n *fib.Neighbour) ([]byte, error) {
	e := begin(b, h)
	fam := fib.Inet6
	if n.Addr.Is4() {
		fam = fib.Inet
	}
	e.bytes(byte(fam), 0, 0, 0)
	e.num32(uint32(n.Link))
	e.num16(uint16(n.State))
	e.bytes(0, 0)
	e.addr(ndaDst, n.Addr)
	if n.LLAddr != "" {
		ll, err := hex.DecodeString(strings.ReplaceAll(n.LLAddr, ":", "")) // as colons writes it
		if err != nil {
			return b, fmt.Errorf("neighbour %v: %w", n.Addr, err)
		}
		e.raw(ndaLLAddr, ll)
	}
	return e.end()
}

// AppendAddrLabel appends l as an RTM_NEWADDRLABEL or RTM_DELADDRLABEL.
func AppendAddrLabel(b []byte, h Header, l *fib.AddrLabel) ([]byte, error) {
	e := begin(b, h)
	e.bytes(byte(fib.Inet6), 0, byte(max(0, l.Prefix.Bits())), 0)
	e.num32(uint32(l.Link))
	e.num32(0)
	e.addr(ifalAddress, l.Prefix.Addr())
	e.u32(ifalLabel, l.Label)
	return e.end()
}
