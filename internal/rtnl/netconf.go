package rtnl

import "github.com/fibula-net/fibula/fib"

const netconfHeadLen = 1

// What Netconf.Link says beside an index.
const (
	NetconfAll     = -1
	NetconfDefault = -2
)

// Netconf is one announcement of settings (F10). A setting that the message does
// not have is -1.
type Netconf struct {
	Family fib.Family
	Link   int32 // NetconfAll, NetconfDefault or an index

	Forwarding, McForwarding, BcForwarding, RPFilter, IgnoreRoutesWithLinkdown, ForceForwarding int32
}

// DecodeNetconf reads an RTM_NEWNETCONF or RTM_DELNETCONF.
func DecodeNetconf(m Message, c *Netconf, rep *Report) error {
	*c = Netconf{Forwarding: -1, McForwarding: -1, BcForwarding: -1, RPFilter: -1, IgnoreRoutesWithLinkdown: -1, ForceForwarding: -1}
	b := m.Data
	if len(b) < netconfHeadLen {
		return short(&m, netconfHeadLen)
	}
	fam, err := family(&m, b[0], rep)
	if err != nil {
		return err
	}
	c.Family = fam
	var d field
	for b = b[min(len(b), 4):]; len(b) > 0; {
		t, v, rest, err := nextAttr(b)
		if err != nil {
			return wrap(&m, err)
		}
		b = rest
		to := (*int32)(nil)
		switch t {
		case netconfIfindex:
			to = &c.Link
		case netconfForwarding:
			to = &c.Forwarding
		case netconfRPFilter:
			to = &c.RPFilter
		case netconfMcForwarding:
			to = &c.McForwarding
		case netconfIgnoreLinkdown:
			to = &c.IgnoreRoutesWithLinkdown
		case netconfBcForwarding:
			to = &c.BcForwarding
		case netconfForceForward:
			to = &c.ForceForwarding
		case netconfProxyNeigh, netconfInput: // no meaning for unicast routing
		default:
			rep.attr(m.Type, &netconfSpace, t)
		}
		if to != nil {
			*to = d.link(netconfSpace.name(t), v)
		}
	}
	return wrap(&m, d.err)
}
