package rtnl

import (
	"fmt"

	"github.com/fibula-net/fibula/fib"
)

const linkHeadLen = 16

// DecodeLink reads an RTM_NEWLINK or RTM_DELLINK, with the whole IPv4 and IPv6
// configuration of the link (IFLA_AF_SPEC), each link's own values, not combined
// with those of "all" (F11). Groups4 is not in the message.
func DecodeLink(m Message, l *fib.Link, rep *Report) error {
	*l = fib.Link{NoInet: true, NoInet6: true}
	b := m.Data
	if len(b) < linkHeadLen {
		return short(&m, linkHeadLen)
	}
	d := linkMsg{msg: m, rep: rep, l: l}
	if b[0] != 0 { // AF_BRIDGE and the like: a port's view of the link
		rep.value(m.Type, "family", uint32(b[0]))
		return fmt.Errorf("%s of family %d: %w", messageName(m.Type), b[0], ErrSkip)
	}
	l.Index, l.Flags = int32(ne.Uint32(b[4:])), fib.LinkFlags(ne.Uint32(b[8:]))
	if err := d.each(b[linkHeadLen:], &iflaSpace, d.attr); err != nil {
		return wrap(&m, err)
	}
	if l.MTU6 == l.MTU {
		l.MTU6 = 0
	}
	if l.Kind != "vrf" {
		l.VRFTable = 0
	}
	return wrap(&m, d.err)
}

type linkMsg struct {
	field
	msg Message
	rep *Report
	l   *fib.Link
	// data is IFLA_INFO_DATA, whose meaning the kind tells.
	data []byte
}

// each calls fn for every attribute and reports those it does not take.
func (d *linkMsg) each(b []byte, s *space, fn func(t uint16, v []byte) (bool, error)) error {
	for len(b) > 0 {
		t, v, rest, err := nextAttr(b)
		if err != nil {
			return err
		}
		b = rest
		ok, err := fn(t, v)
		if err != nil {
			return err
		}
		if !ok {
			d.rep.attr(d.msg.Type, s, t)
		}
	}
	return nil
}

// irrelevantLink are the attributes without meaning for routing: link-layer
// addresses, queues, offloads, counters, hardware, names beside the name.
var irrelevantLink = [...]bool{
	1: true, 2: true, 5: true, 6: true, 7: true, 8: true, 9: true, 11: true, 12: true, 13: true, 14: true, 15: true,
	16: true, 17: true, 20: true, 21: true, 22: true, 23: true, 24: true, 25: true, 30: true, 31: true, 32: true, 33: true,
	34: true, 35: true, 36: true, 37: true, 38: true, 39: true, 40: true, 41: true, 42: true, 43: true, 44: true, 45: true,
	46: true, 47: true, 48: true, 49: true, 50: true, 51: true, 52: true, 53: true, 54: true, 55: true, 56: true, 57: true,
	58: true, 59: true, 60: true, 61: true, 62: true, 63: true, 64: true, 65: true, 66: true, 67: true, 68: true, 69: true,
}

func (d *linkMsg) attr(t uint16, v []byte) (bool, error) {
	switch t {
	case iflaIfName:
		d.l.Name = d.str(v)
	case iflaMTU:
		d.l.MTU = d.u32("IFLA_MTU", v)
	case iflaMaster:
		d.l.Master = d.link("IFLA_MASTER", v)
	case iflaGroup:
		d.l.Group = d.u32("IFLA_GROUP", v)
	case iflaLinkInfo:
		return true, d.info(v)
	case iflaAFSpec:
		return true, d.each(v, &afSpecSpace, d.afSpec)
	default:
		return int(t) < len(irrelevantLink) && irrelevantLink[t], nil
	}
	return true, nil
}

func (d *linkMsg) info(v []byte) error {
	err := d.each(v, &infoSpace, func(t uint16, v []byte) (bool, error) {
		switch t {
		case iflaInfoKind:
			d.l.Kind = d.str(v)
		case iflaInfoData:
			d.data = v
		case 3, 4, 5: // statistics; a master's settings for its port
		default:
			return false, nil
		}
		return true, nil
	})
	if err != nil || d.l.Kind != "vrf" {
		return err // the settings of other kinds have no meaning for routing
	}
	return d.each(d.data, &vrfSpace, func(t uint16, v []byte) (bool, error) {
		if t != iflaVRFTable {
			return false, nil
		}
		d.l.VRFTable = fib.TableID(d.u32("IFLA_VRF_TABLE", v))
		return true, nil
	})
}

// Families other than the two in IFLA_AF_SPEC: bridge, MPLS, MCTP.
const (
	afBridge = 7
	afMPLS   = 28
	afMCTP   = 45
)

func (d *linkMsg) afSpec(fam uint16, v []byte) (bool, error) {
	switch fam {
	case uint16(fib.Inet):
		d.l.NoInet = false
		return true, d.each(v, &inetSpace, func(t uint16, v []byte) (bool, error) {
			if t == iflaInetConf {
				d.l.Conf4 = conf4(v)
			}
			return t == iflaInetConf, nil
		})
	case uint16(fib.Inet6):
		d.l.NoInet6 = false
		return true, d.each(v, &inet6Space, func(t uint16, v []byte) (bool, error) {
			if t == iflaInet6Conf {
				d.l.Conf6 = conf6(v)
				d.l.MTU6 = devconf(v, conf6MTU)
			}
			// flags, statistics, multicast, cache information, token, mode (also in CONF), MTU told by a router
			return t >= 1 && t <= 9, nil
		})
	case afBridge, afMPLS, afMCTP:
		return true, nil
	}
	return false, nil
}

// devconf is element i of an array of 32-bit settings; 0 where the kernel's array
// is shorter.
func devconf(v []byte, i int) uint32 {
	if len(v) < 4*i+4 {
		return 0
	}
	return ne.Uint32(v[4*i:])
}

// Positions in IFLA_INET_CONF: IPV4_DEVCONF_* less one.
const (
	conf4Forwarding     = 0
	conf4McForwarding   = 1
	conf4SendRedirects  = 5
	conf4SharedMedia    = 6
	conf4RPFilter       = 7
	conf4PromoteSec     = 19
	conf4AcceptLocal    = 22
	conf4SrcVMark       = 23
	conf4RouteLocalnet  = 25
	conf4IgnoreLinkdown = 28
	conf4BcForwarding   = 31
)

func conf4(v []byte) fib.Conf4 {
	on := func(i int) bool { return devconf(v, i) != 0 }
	return fib.Conf4{
		Forwarding: on(conf4Forwarding), McForwarding: on(conf4McForwarding), BcForwarding: on(conf4BcForwarding),
		SendRedirects: on(conf4SendRedirects), SharedMedia: on(conf4SharedMedia), RPFilter: uint8(devconf(v, conf4RPFilter)),
		PromoteSecondaries: on(conf4PromoteSec), AcceptLocal: on(conf4AcceptLocal), SrcValidMark: on(conf4SrcVMark),
		RouteLocalnet: on(conf4RouteLocalnet), IgnoreRoutesWithLinkdown: on(conf4IgnoreLinkdown),
	}
}

// Positions in IFLA_INET6_CONF: DEVCONF_*.
const (
	conf6Forwarding     = 0
	conf6MTU            = 2
	conf6UseTempaddr    = 10
	conf6OptimisticDAD  = 23
	conf6DisableIPv6    = 26
	conf6AcceptDAD      = 27
	conf6UseOptimistic  = 34
	conf6UseOifAddrs    = 37
	conf6IgnoreLinkdown = 39
	conf6KeepAddr       = 42
	conf6AddrGenMode    = 47
)

func conf6(v []byte) fib.Conf6 {
	on := func(i int) bool { return devconf(v, i) != 0 }
	num := func(i int) int32 { return int32(devconf(v, i)) }
	return fib.Conf6{
		Forwarding: on(conf6Forwarding), DisableIPv6: on(conf6DisableIPv6),
		IgnoreRoutesWithLinkdown: on(conf6IgnoreLinkdown), UseOifAddrsOnly: on(conf6UseOifAddrs),
		OptimisticDAD: on(conf6OptimisticDAD), UseOptimistic: on(conf6UseOptimistic),
		KeepAddrOnDown: num(conf6KeepAddr), UseTempaddr: num(conf6UseTempaddr), AcceptDAD: num(conf6AcceptDAD),
		AddrGenMode: uint8(num(conf6AddrGenMode)),
	}
}
