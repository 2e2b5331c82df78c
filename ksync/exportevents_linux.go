package ksync

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtnl"
	"github.com/fibula-net/fibula/ksync/plan"
	"github.com/fibula-net/fibula/rules"
)

// routeKey is what a route is known by.
type routeKey struct {
	table    fib.TableID
	dst, src netip.Prefix
	tos      uint8
	priority uint32
}

func keyOfRoute(r *fib.Route) routeKey { return routeKey{r.Table, r.Dst, r.Src, r.TOS, r.Priority} }

func (k *routeKey) String() string {
	r := fib.Route{Table: k.table, Dst: k.dst, Src: k.src, TOS: k.tos, Priority: k.priority, Type: fib.TypeUnicast}
	return "route " + r.String()
}

// objectKey is what an object is known by: a route by its key, others by their name.
type objectKey struct {
	route routeKey
	name  string
}

func keyOfOp(op *plan.Op) objectKey {
	if op.Kind == plan.Route {
		return objectKey{route: keyOfRoute(op.Route)}
	}
	return objectKey{name: op.Name()}
}

func (k *objectKey) String() string {
	if k.name != "" {
		return k.name
	}
	return k.route.String()
}

// heard is what others did to a key, the last of several things.
type heard struct {
	port    uint32
	deleted bool
	flags   uint16     // of an addition
	route   *fib.Route // of an addition
	several bool       // more happened than one event tells
}

// told is one thing that others did.
type told struct {
	key routeKey
	heard
}

// foreignNews is what was heard since it was last taken.
type foreignNews struct {
	routes map[routeKey]heard
	list   []told // what is not in routes yet, in order
	// more is what a look at rules and nexthops tells; all what a whole comparison does.
	more, all bool
	overflow  bool
	shared    bool            // another's route came under a key that a route had
	port      uint32          // who changed a rule or nexthop last
	lent      map[uint32]bool // objects of others that came, changed or went
	err       error           // nothing more will be heard
}

func (n *foreignNews) empty() bool {
	return len(n.routes) == 0 && !n.more && !n.all && !n.shared && len(n.lent) == 0 && n.err == nil
}

// listener hears of what others do to what an owner owns. One goroutine drains the
// socket, whatever the exporter is at, so that a burst of our own changes or others' does
// not overflow it before its buffer is full.
type listener struct {
	sub   *subscription
	owner plan.Owner
	own   uint32 // port of our writer
	links map[int32]fib.Link

	mu   sync.Mutex // guards news; held for no other lock
	news foreignNews
	wake chan struct{} // has one entry if there is news
	done chan struct{}
}

// maxHeard is how many keys are remembered before everything is compared instead.
const maxHeard = 500_000

func listen(ctx context.Context, e *Exporter) (*listener, error) {
	// Rules of others matter to nobody here, but their events are few and have no filter.
	groups := slices.Concat(linkGroups[:3], routeGroups, ruleGroups)
	opt := subscribeOptions{groups: groups, filter: eventFilter{
		tables: e.opt.Owner.Tables, protocols: []fib.Protocol{e.opt.Owner.Protocol}, sharers: true, notFrom: []uint32{e.w.port}}}
	sub, err := subscribe(ctx, e.opt.NetNS, opt)
	if err != nil {
		return nil, err
	}
	l := &listener{sub: sub, owner: e.opt.Owner, own: e.w.port, links: map[int32]fib.Link{},
		wake: make(chan struct{}, 1), done: make(chan struct{})}
	go l.run()
	return l, nil
}

// close ends it; ctx of listen must be done, or nothing is left to hear.
func (l *listener) close() {
	l.sub.wake()
	<-l.done
}

func (l *listener) run() {
	defer close(l.done)
	defer l.sub.close()
	var list []told
	for {
		batch := foreignNews{list: list[:0]}
		_, err := l.sub.read(-1, func(m rtnl.Message) error { l.hear(&batch, m); return nil })
		switch {
		case errors.Is(err, errLost):
			batch.all, batch.overflow = true, true
		case err != nil:
			batch.err = err
		}
		l.mu.Lock()
		l.news.merge(&batch)
		some := !l.news.empty()
		l.mu.Unlock()
		list = batch.list
		if some {
			select {
			case l.wake <- struct{}{}:
			default:
			}
		}
		if err != nil && !errors.Is(err, errLost) {
			return
		}
	}
}

func (n *foreignNews) merge(b *foreignNews) {
	n.more, n.all, n.overflow, n.shared, n.err = n.more || b.more, n.all || b.all, n.overflow || b.overflow, n.shared || b.shared, errors.Join(n.err, b.err)
	if b.port != 0 {
		n.port = b.port
	}
	for id := range b.lent {
		n.lend(id)
	}
	for i := range b.list {
		n.note(b.list[i].key, b.list[i].heard)
	}
}

// lend notes that something is new of an object of others.
func (n *foreignNews) lend(id uint32) {
	if n.lent == nil {
		n.lent = map[uint32]bool{}
	}
	n.lent[id] = true
}

func (n *foreignNews) note(k routeKey, h heard) {
	if n.routes == nil {
		n.routes = map[routeKey]heard{}
	}
	if before, ok := n.routes[k]; ok && !before.deleted && !h.deleted {
		h.several = true
	}
	if len(n.routes) >= maxHeard {
		n.all = true
		return
	}
	n.routes[k] = h
}

// take returns the news and forgets them.
func (l *listener) take() foreignNews {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.news
	l.news = foreignNews{}
	return n
}

// hear notes what a message means.
func (l *listener) hear(n *foreignNews, m rtnl.Message) {
	if m.Port == l.own && m.Port != 0 {
		return
	}
	switch m.Type {
	case rtnl.RTM_NEWROUTE, rtnl.RTM_DELROUTE:
		l.route(n, m)
	case rtnl.RTM_NEWRULE, rtnl.RTM_DELRULE:
		var q rules.Request
		if rtnl.DecodeRule(m, &q, nil) == nil && l.owner.OwnsRule(&q.Rule) {
			n.more, n.port = true, m.Port
		}
	case rtnl.RTM_NEWNEXTHOP, rtnl.RTM_DELNEXTHOP:
		var o fib.NexthopObject
		if rtnl.DecodeNexthop(m, &o, nil) != nil {
			return
		}
		if !l.owner.Nexthops.Contains(o.ID) {
			n.lend(o.ID)
			return
		}
		// With an object its routes go, most of them silently.
		n.more, n.port = true, m.Port
		n.all = n.all || m.Type == rtnl.RTM_DELNEXTHOP
	case rtnl.RTM_NEWLINK, rtnl.RTM_DELLINK:
		l.link(n, m)
	case rtnl.RTM_NEWADDR, rtnl.RTM_DELADDR:
		n.all = true
	}
}

// link looks whether a link changed in a way that routes mind.
func (l *listener) link(n *foreignNews, m rtnl.Message) {
	var k fib.Link
	if rtnl.DecodeLink(m, &k, nil) != nil {
		return
	}
	old, known := l.links[k.Index]
	const states = fib.LinkUp | fib.LinkRunning | fib.LinkLowerUp
	if m.Type == rtnl.RTM_DELLINK {
		delete(l.links, k.Index)
		n.all = true
		return
	}
	l.links[k.Index] = k
	if !known || old.Name != k.Name || (old.Flags^k.Flags)&states != 0 || old.Master != k.Master {
		n.all = true
	}
}

func (l *listener) route(n *foreignNews, m rtnl.Message) {
	var r fib.Route
	if rtnl.DecodeRoute(m, &r, nil) != nil || !l.owner.OwnsTable(r.Table) || !l.owner.HasFamily(r.Family()) {
		return
	}
	plan.Normalize(&r)
	ours := r.Protocol == l.owner.Protocol
	if !ours && m.Type == rtnl.RTM_NEWROUTE && m.Flags&rtnl.NLM_F_EXCL == 0 {
		n.shared = true
	}
	if !ours && (m.Type != rtnl.RTM_NEWROUTE || m.Flags&rtnl.NLM_F_REPLACE == 0) {
		return
	}
	h := told{keyOfRoute(&r), heard{port: m.Port, deleted: m.Type == rtnl.RTM_DELROUTE, flags: m.Flags}}
	if !h.deleted {
		h.route = &r
	}
	n.list = append(n.list, h)
}

// writerOf guesses who has a port.
func writerOf(port uint32) Writer {
	w := Writer{Port: port}
	if b, err := os.ReadFile("/proc/" + strconv.FormatUint(uint64(port), 10) + "/comm"); err == nil && port != 0 {
		w.Process = strings.TrimSpace(string(b))
	}
	return w
}
