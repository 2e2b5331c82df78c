package rtsock

import "github.com/fibula-net/fibula/fib"

// Kind is what an event is about.
type Kind uint8

// The kinds.
const (
	KindUnclear Kind = iota // something changed that the message does not tell
	KindLink
	KindAddress
	KindRoute
)

// String is a word for messages.
func (k Kind) String() string { return [...]string{"unclear", "link", "address", "route"}[k] }

// Event is a change that a message announces. Of the objects only that of its kind
// counts.
type Event struct {
	Kind Kind
	Gone bool
	// Link has no name when its flags changed, and nothing but index and name when it
	// came or went.
	Link    fib.Link
	Address fib.Address
	Route   Route // one leg: of a multipath route each is announced by itself
	Replace bool  // the route takes the place of the one that its prefix has
}

// Event reads one message of the socket. on tells the flags of a link. Errors that wrap
// [ErrSkip] mean that nothing of the model changed: a lookup failed, a neighbour came, a
// multicast group was joined, a request was refused or only asked.
func (d *Decoder) Event(m Message, on func(link int32) fib.LinkFlags, e *Event) error {
	*e = Event{Route: Route{Route: fib.Route{Nexthops: e.Route.Nexthops[:0]}}}
	var err error
	switch m.Type {
	case RTM_ADD, RTM_DELETE, RTM_CHANGE:
		e.Kind, e.Gone, e.Replace = KindRoute, m.Type == RTM_DELETE, m.Type == RTM_CHANGE
		return d.Route(m, &e.Route)
	case RTM_NEWADDR, RTM_DELADDR:
		e.Kind, e.Gone = KindAddress, m.Type == RTM_DELADDR
		return d.Address(m, on(m.Link()), &e.Address)
	case RTM_IFINFO:
		e.Kind = KindLink
		return d.Link(m, &e.Link)
	case RTM_IFANNOUNCE:
		e.Kind = KindLink
		e.Link, e.Gone, err = Announcement(m)
		return err
	case RTM_REDIRECT: // adds a route without telling all of it
		return m.need(routeLen)
	case RTM_GET, RTM_LOSING, RTM_MISS, RTM_LOCK, RTM_RESOLVE, RTM_NEWMADDR, RTM_DELMADDR, RTM_IEEE80211, RTM_IPFWLOG:
	default:
		d.value(m, "type", uint32(m.Type))
	}
	return m.skip("no change of links, addresses or routes")
}
